"""The page that ``%mytracker_export?`` shows, written from the table of parameters."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator

from mytracker_nb.request.dictionaries import dictionary
from mytracker_nb.request.parameters import PARAMETERS, Parameter

__all__ = ["VALUES", "export_manual"]

_WIDTH = 92
_FEW = 6  # a dictionary of no more values is written out

_INTRODUCTION = """\
Export raw events: from a cell to a card and a DataFrame.

In a line:

    %mytracker_export event=installs selectors=idDevice,tsEvent dateFrom=today-7d dateTo=today

As a whole cell, a parameter a line:

    %%mytracker_export --frame events
    event     = customEvents             # comments are welcome
    selectors = idDevice, tsEvent,
                eventName, params.name   # a list goes on after a comma
    eventName = $names                   # an object of the notebook
    dateFrom  = 2026-11-01
    dateTo    = 2026-11-07

The cell returns at once with the export, shown as a card; --wait follows it to its end, --frame
loads the data as well and shows its first rows under the card. The export is also the value:

    export = %mytracker_export ...

A request with errors is not sent: the cell fails and lists all of them
(mytracker_nb.InvalidRequest). Tab completes parameters, values and options.
In Python the same is mytracker_nb.export(event="installs", ...)."""

VALUES = """\
    a, b                lists: only commas separate
    "a, b"              one text, whatever it holds
    $name {expression}  the object itself: a list, a Series, a date ...
    2026-11-01          days; today, yesterday, today-7d, today-2w as well
    1793491200          Unix times; 2026-11-01T10:00 (in the request's time zone) or now-6h as well
    RU 188 Russia       countries by code, id or name; other dictionaries by id or title"""
"""How values are written, for the page and for the reference."""

_COLUMNS = """\
Columns

    Tab after selectors= offers those that are known, first those seen with the event; the
    service has more. mytracker_nb.dictionary("selector") tells what each holds."""

_GROUPS: tuple[tuple[str, Callable[[Parameter], bool]], ...] = (
    ("Always needed", lambda parameter: parameter.required),
    (
        "When; dateFrom and dateTo, or tsFrom and tsTo, are needed",
        lambda parameter: not parameter.required and not parameter.is_filter,
    ),
    (
        "Which rows, for every event",
        lambda parameter: parameter.is_filter and parameter.events is None,
    ),
    ("Which rows, for some events only", lambda parameter: parameter.events is not None),
)


def export_manual() -> str:
    """The page but for the options, which the parser of the magic adds."""
    sections = [_INTRODUCTION, f"Values\n\n{VALUES}"]
    for title, belongs in _GROUPS:
        lines = [
            line
            for parameter in PARAMETERS.values()
            if belongs(parameter)
            for line in _told(parameter)
        ]
        sections.append("\n".join([title, "", *lines]))
    sections.append("\n".join(["Events", "", *_wrapped(" " * 4, ", ".join(dictionary("event")))]))
    sections.append(_COLUMNS)
    return "\n\n".join(sections)


def _told(parameter: Parameter) -> Iterator[str]:
    """The lines about one parameter."""
    names = parameter.dictionary
    if names is not None and len(names) <= _FEW:
        kind = "one of " + ", ".join(entry.label for entry in names.values())
    else:
        kind = "a list" if parameter.is_list else parameter.value_type.value
    about = f"{parameter.help}: {kind}"
    if parameter.events is not None:
        about += "; only for " + ", ".join(sorted(parameter.events))
    yield from _wrapped(f"    {parameter.name:<20}", about)


def _wrapped(label: str, text: str) -> Iterator[str]:
    for line in textwrap.wrap(text, _WIDTH - len(label)):
        yield label + line
        label = " " * len(label)
