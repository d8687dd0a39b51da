"""Write ``docs/reference.md`` from the tables that the package itself works with: ``make docs``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from IPython.core.magic_arguments import argument

from mytracker_nb import errors
from mytracker_nb.client.follow import RULE
from mytracker_nb.errors import CODES
from mytracker_nb.magics.export_magics import MyTrackerMagics
from mytracker_nb.magics.help_page import VALUES
from mytracker_nb.magics.magics import CELL_MAGICS, MAGICS
from mytracker_nb.request.dictionaries import dictionary, selectors
from mytracker_nb.request.known_columns import what_is_known
from mytracker_nb.request.parameters import INTERVALS, MAX_VALUES, PARAMETERS, Parameter
from mytracker_nb.tables.schema import field

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference.md"

_INTRODUCTION = """\
# Reference

Written by `make docs` from the tables that the package works with; not to be edited by hand.
What is said here of the service is what its documentation and its public clients show.

- [Parameters](#parameters): what a request can hold
- [Rules](#rules): what it must keep to
- [How values are written](#how-values-are-written)
- [Problems](#problems): what can be wrong with it, by code
- [Errors](#errors): what can be raised
- [Waiting](#waiting): what is retried, and what ends it
- [Magics](#magics): their options, and what can be set
- [Settings](#settings): the environment
- [Events](#events), [columns](#columns), [countries](#countries), [time zones](#time-zones),
  [closed lists](#closed-lists): the dictionaries

The names are the service's own, in the magics, the form and Python alike."""

_SETTINGS = """\
| variable | what it holds |
| --- | --- |
| `MYTRACKER_API_USER_ID` | the *API User ID* |
| `MYTRACKER_SECRET_KEY` | the *Secret key* |
| `MYTRACKER_BASE_URL` | the address of the service, if it is another than its own |
| `MYTRACKER_NB_DATA_DIR` | where the journal is kept |
| `MYTRACKER_NB_CACHE_DIR` | where the files of exports are kept |"""


_WAITING = """\
`export.wait()`, `await export`, the card of an export, the form and a plan follow an export by one
rule:
"""

# The section of each large dictionary.
_SECTIONS = {
    "event": "events",
    "selector": "columns",
    "country": "countries",
    "timezone": "time zones",
}


def page() -> str:
    """The whole page."""
    sections = {
        "Parameters": _parameters(),
        "Rules": _rules(),
        "How values are written": ["```", *_dedented(VALUES), "```"],
        "Problems": _problems(),
        "Errors": _errors(),
        "Waiting": [_WAITING, RULE],
        "Magics": _magics(),
        "Settings": [_SETTINGS],
        "Events": _events(),
        "Columns": _columns(),
        "Countries": _countries(),
        "Time zones": [", ".join(f"`{zone}`" for zone in dictionary("timezone"))],
        "Closed lists": _closed_lists(),
    }
    told = [f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items()]
    return "\n\n".join([_INTRODUCTION, *told]) + "\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    head = list(head)
    yield _row(head)
    yield _row(["---"] * len(head))
    yield from map(_row, rows)


def _row(cells: Iterable[str]) -> str:
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |".replace("|  |", "| |")


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _parameters() -> Iterator[str]:
    return _table(
        ("parameter", "what it is", "holds", "events"),
        (
            (
                f"`{parameter.name}`" + " (required)" * parameter.required,
                parameter.help,
                _holds(parameter),
                _names(sorted(parameter.events)) if parameter.events else "all",
            )
            for parameter in PARAMETERS.values()
        ),
    )


def _holds(parameter: Parameter) -> str:
    one = parameter.value_type.value
    if parameter.dictionary is not None:
        section = _SECTIONS.get(parameter.dictionary_name or "", "closed lists")
        one += f" of the [{section}](#{section.replace(' ', '-')})"
    return f"a list: {one} each" if parameter.is_list else one


def _rules() -> Iterator[str]:
    selecting = [interval for interval in INTERVALS if interval.satisfies_required_interval]
    pairs = " or ".join(f"`{start}` and `{end}`" for start, end in (i.names for i in selecting))
    yield f"- {pairs} must be given, or both pairs: then a row meets both."
    for interval in INTERVALS:
        start, end = interval.names
        told = [f"`{start}` is not after `{end}`"]
        if interval.satisfies_required_interval:
            told.append("one does not go without the other")
        if interval.earliest:
            told.append(f"`{start}` is {interval.earliest} or later")
        hours = interval.availability_delay.total_seconds() / 3600
        if hours:
            told.append(f"both are more than {hours:g} hours ago")
        else:
            told.append("neither is in the future")
        yield f"- {'; '.join(told)}. Both ends are included."
    filters = [parameter.name for parameter in PARAMETERS.values() if parameter.is_filter]
    many = [name for name in filters if PARAMETERS[name].is_list]
    yield f"- At most {MAX_VALUES} different values in one filter: {_names(many)}."
    yield "- A row meets all filters; only `idApp` and `SDKKey` widen each other."
    yield "- Days are those of `timezone`. Empty text and empty lists count as not given."
    yield (
        "- A request with an error is not sent, and all that is wrong is said at once; "
        "warnings and notes are shown, and do not hold it back."
    )


def _problems() -> Iterator[str]:
    yield "What `ExportRequest.problems` and `InvalidRequest.problems` hold, by `Problem.code`."
    yield ""
    yield from _table(
        ("code", "severity", "what is wrong"),
        ((f"`{code}`", " or ".join(kind.severities), kind.meaning) for code, kind in CODES.items()),
    )


def _errors() -> Iterator[str]:
    """The drawing in the docstring of the module, and what is said below it."""
    drawing, _, below = (errors.__doc__ or "").partition("::\n\n")[2].partition("\n\n")
    yield "```"
    yield from _dedented(drawing)
    yield "```"
    yield ""
    yield below.strip()


def _dedented(text: str) -> Iterator[str]:
    return (line.removeprefix("    ") for line in text.splitlines())


def _magics() -> Iterator[str]:
    for name, magic in MAGICS.items():
        yield f"### `%{name}`" + f" and `%%{name}`" * (name in CELL_MAGICS)
        yield ""
        if name == "mytracker_export":
            yield "Makes an export; `%mytracker_export?` is its manual."
        else:
            yield from (line.strip() for line in magic.parser.description.strip().splitlines())
        options = [part for part in reversed(magic.decorators) if isinstance(part, argument)]
        if options:
            yield ""
            yield from _table(
                ("argument", "what it does"),
                ((_usage(option), option.kwds["help"]) for option in options),
            )
        yield ""
    yield "### `%config MyTrackerMagics`"
    yield ""
    settings = MyTrackerMagics.class_traits(config=True)
    yield from _table(
        ("setting", "what it is"),
        ((f"`{name}`", setting.help) for name, setting in sorted(settings.items())),
    )


def _usage(option: argument) -> str:
    name, value = option.args[0], option.kwds.get("metavar")
    return f"`{name} {value}`" if value else f"`{name}`"


def _events() -> Iterator[str]:
    return _table(
        ("event", "title", "of", "parameters of its own"),
        (
            (
                f"`{entry.value}`",
                entry.title,
                entry.group,
                _names(
                    parameter.name
                    for parameter in PARAMETERS.values()
                    if parameter.events and entry.value in parameter.events
                ),
            )
            for entry in dictionary("event").values()
        ),
    )


def _columns() -> Iterator[str]:
    yield (
        f"The values of `selectors`. {' '.join(what_is_known(None))} A name that is not in the "
        "list is sent with a warning, and its values come as text. *Seen with* names the events "
        "that public requests had the column with. `%mytracker_columns` and `mt.columns()` show "
        "the list."
    )
    yield ""
    yield f"Payments: {what_is_known('payments')[1]}"
    yield ""
    yield from _table(
        ("column", "what it holds", "kind", "Arrow type", "seen with", "slows the export"),
        (
            (
                f"`{selector.value}`",
                selector.title,
                selector.kind,
                f"`{field(selector.value).type}`",
                ", ".join(sorted(selector.seen_with)),
                selector.slows_export,
            )
            for selector in selectors().values()
        ),
    )


def _countries() -> Iterator[str]:
    return _table(
        ("`idCountry`", "code", "name"),
        (
            (entry.value, ", ".join(entry.aliases), entry.title)
            for entry in dictionary("country").values()
        ),
    )


def _closed_lists() -> Iterator[str]:
    yield "Of parameters, and of columns that hold an id."
    yield ""
    for name in dict.fromkeys([*PARAMETERS, *selectors()]):
        with suppress(KeyError):
            entries = [] if name in _SECTIONS else dictionary(name).values()
            told = ", ".join(f"{entry.value} {entry.title}" for entry in entries)
            if told:
                yield f"- `{name}`: {told}"


def main() -> None:
    """Write it."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"written: {PAGE.relative_to(PAGE.parents[1])}", file=sys.stderr)


if __name__ == "__main__":
    main()
