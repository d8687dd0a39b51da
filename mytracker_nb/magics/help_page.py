"""The help page of ``%mytracker_export?``, written from the table of parameters."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator

from mytracker_nb.request.dictionaries import dictionary
from mytracker_nb.request.parameters import PARAMETERS, Parameter

__all__ = ["VALUES", "export_manual"]

_WIDTH = 92
_FEW = 6  # dictionaries of up to so many values are listed in full

_INTRODUCTION = """\
Export raw events: from a cell to a card and a DataFrame.

In a line:

    %mytracker_export event=installs selectors=idDevice,tsEvent dateFrom=today-7d dateTo=today

As a whole cell, one parameter per line:

    %%mytracker_export --frame events
    event     = customEvents             # a comment
    selectors = idDevice, tsEvent,
                eventName, params.name   # a list continues after a comma
    eventName = $names                   # a variable of the notebook
    dateFrom  = 2026-11-01
    dateTo    = 2026-11-07

The request is validated before anything is sent, then submitted. The cell returns at once with
the export, shown as a card. --wait waits until it is finished; --frame also loads the data and
shows the first rows below the card. The export is the value of the magic:

    export = %mytracker_export ...

Instead of the parameters, the service's own URL, a query string or a curl command can be given:

    %mytracker_export --frame df https://tracker.my.com/api/raw/v1/export/create.json?event=...

A request with errors is not sent: the cell fails and lists all errors
(mytracker_nb.InvalidRequest). Tab completes parameters, values and options.
In Python: mytracker_nb.export(event="installs", ...)."""

VALUES = """\
    a, b                a list; only commas separate
    "a, b"              one text, with its commas
    $name {expression}  a variable or an expression: a list, a Series, a date ...
    2026-11-01          a day; also today, yesterday, today-7d, today-2w
    last-month          a period: dateFrom is its first day, dateTo its last; also this-month,
                        this-week, last-week, last-7-days and any other number of days
    1793491200          a Unix time; also 2026-11-01T10:00 (in the request's time zone), now-6h
    RU 188 Russia       a country by code, id or name (English or Russian); values of other
                        dictionaries by id or title"""
"""The notation of values, for the help page and the reference."""

_COLUMNS = """\
Columns

    Tab after selectors= offers the columns of the public list, first those seen with the event.
    The list is complete for customEvents only; other names are sent with a warning.
    %mytracker_columns [event] shows the meaning and type of each column."""

_GROUPS: tuple[tuple[str, Callable[[Parameter], bool]], ...] = (
    ("Required", lambda parameter: parameter.required),
    (
        "Interval; dateFrom and dateTo or tsFrom and tsTo are required",
        lambda parameter: not parameter.required and not parameter.is_filter,
    ),
    (
        "Filters for all events",
        lambda parameter: parameter.is_filter and parameter.events is None,
    ),
    ("Filters for some events only", lambda parameter: parameter.events is not None),
)


def export_manual() -> str:
    """The help page without the options, which the parser of the magic adds."""
    sections = [_INTRODUCTION, f"Values\n\n{VALUES}"]
    for title, belongs in _GROUPS:
        lines = [
            line
            for parameter in PARAMETERS.values()
            if belongs(parameter)
            for line in _described(parameter)
        ]
        sections.append("\n".join([title, "", *lines]))
    sections.append("\n".join(["Events", "", *_wrapped(" " * 4, ", ".join(dictionary("event")))]))
    sections.append(_COLUMNS)
    return "\n\n".join(sections)


def _described(parameter: Parameter) -> Iterator[str]:
    """The lines about one parameter."""
    names = parameter.dictionary
    if names is not None and len(names) <= _FEW:
        kind = "one of " + ", ".join(entry.label for entry in names.values())
    else:
        kind = "a list" if parameter.is_list else parameter.value_type.value
    about = f"{parameter.help}: {kind}"
    if parameter.events is not None:
        about += "; only with " + ", ".join(sorted(parameter.events))
    yield from _wrapped(f"    {parameter.name:<20}", about)


def _wrapped(label: str, text: str) -> Iterator[str]:
    for line in textwrap.wrap(text, _WIDTH - len(label)):
        yield label + line
        label = " " * len(label)
