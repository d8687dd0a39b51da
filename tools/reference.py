"""Write ``docs/reference.md`` from the tables that the package itself works with: ``make docs``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from IPython.core.magic_arguments import argument

from mytracker_nb import errors
from mytracker_nb.client.polling import RULE
from mytracker_nb.errors import CODES
from mytracker_nb.magics.export_magics import MyTrackerMagics
from mytracker_nb.magics.help_page import VALUES
from mytracker_nb.magics.magics import CELL_MAGICS, MAGICS
from mytracker_nb.request.availability import DELAY
from mytracker_nb.request.dictionaries import dictionary, selectors
from mytracker_nb.request.known_columns import what_is_known
from mytracker_nb.request.parameters import INTERVALS, MAX_VALUES, PARAMETERS, Parameter
from mytracker_nb.request.reuse import DEFAULT_SETTLE
from mytracker_nb.tables.column_list import columns
from mytracker_nb.tables.schema import field

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference.md"

_INTRODUCTION = """\
# Reference

`make docs` writes this page from the tables that the package works with; do not edit it by hand.
What it says about the service comes from the service's documentation and its public clients.

- [Parameters](#parameters) of a request
- [Rules](#rules) that a request has to meet
- [How values are written](#how-values-are-written)
- [Problems](#problems) of a request, by code
- [Errors](#errors) that can be raised
- [Waiting](#waiting): what is retried, and what ends it
- [Rows that arrive late](#rows-that-arrive-late): reuse, datasets, assumptions
- [Values with a meaning](#values-with-a-meaning): -1, Organic and the like
- [Magics](#magics): their options and settings
- [Settings](#settings): environment variables
- [Events](#events), [columns](#columns), [countries](#countries), [time zones](#time-zones),
  [closed lists](#closed-lists): the dictionaries

The names are the service's own, in the magics, the form and Python alike."""

_SETTINGS = """\
| variable | what it holds |
| --- | --- |
| `MYTRACKER_API_USER_ID` | the *API User ID* |
| `MYTRACKER_SECRET_KEY` | the *Secret key* |
| `MYTRACKER_BASE_URL` | the address of the service, if not the usual one |
| `MYTRACKER_NB_DATA_DIR` | the directory of the journal |
| `MYTRACKER_NB_CACHE_DIR` | the directory of downloaded files |"""


_WAITING = """\
`export.wait()`, `await export`, the card of an export, the form and a plan poll an export by one
rule:
"""

_DELAY = f"{DELAY.total_seconds() / 3600:g} hours"
_SETTLE = f"{DEFAULT_SETTLE.total_seconds() / 3600:g} hours"

_LATE_ROWS = f"""\
Rows of a day keep arriving after it: events sent by servers within hours, events of a phone that
was off when the app is next opened, imported purchases at any time. So an export has the rows that
were there when it was created; others may follow.
[Measure it on your account](recipes.md#late-rows).

- **An earlier export is reused** for the same request if it is in progress, or if it succeeded and
  was created {_SETTLE} or more after its window closed. `settle` requires more: `settle="2d"` of
  `mt.export` and `mt.plan`, `--settle 2d`, `%config MyTrackerMagics.settle`. Rows that arrived
  after it was created are not in it; its card says so. `fresh=True` or `--fresh` creates a new one.
- **An export with `availabilityTsTo`** has the same rows whenever it is created, so it is always
  reused.
- `export.top_up()` exports the rows that have appeared since an export with `availabilityTsTo`;
  `export.data(top_up=True)` has both. No row is in both, and none is missing.
- **A dataset** of `mt.plan(...).to_parquet(directory)` is built from exports bounded by
  `availabilityTsTo` and, from the second run on, by `availabilityTsFrom`: each run requests the
  rows that appeared in the service after the end of the last run and until {_DELAY} ago. So each
  row is fetched exactly once, however late it arrives. `mt.open_dataset(directory).complete_as_of`
  says until when rows that appeared are in the dataset. If the request has `availabilityTsFrom` or
  `availabilityTsTo` of its own, they are used instead.
- `compact=True` rewrites a dataset of many small files to few. Only the files listed in
  `_manifest.json` count; the list is replaced at once, so a reader always sees a whole state.

Three things are assumed, as the service's documentation does not say them:

- both `availabilityTsFrom` and `availabilityTsTo` are included in the interval;
- the second at which a row appeared never changes;
- all rows up to a second that the service accepts for `availabilityTsTo` (more than {_DELAY} ago)
  have appeared by then.

The first two are checked if `tsInsert` is among the selectors: a row outside its export's bounds is
reported with `AvailabilityWarning` and on the plan's card. With `tsEvent` too, so is a row that two
exports share. So a first dataset with both shows whether they hold for your account."""

_MEANINGS = (
    (
        "`duration`",
        "-1",
        "the session was interrupted, and its length is not known; leave it out of sums and "
        "averages",
    ),
    ("`idPartnerTitle`", "`Organic`", "no partner brought the install"),
    ("`idAdEventTypeTitle`", "`Неизвестно`", "no attribution, as for organic installs"),
    (
        "`tsClick`, `tsView`",
        "0",
        "there was no click or view, as for organic installs; a time of 0 is loaded as missing in "
        "all columns",
    ),
    (
        "`advertisingId`, `idfa`",
        f"`{UUID(int=0)}`",
        "tracking is off; many devices share this value, so a join on it merges strangers",
    ),
    (
        "`customUserId`",
        "empty",
        "the app had set no id of a user; events of users (`userSessions` and the like) count by "
        "this id, so select it there instead of columns of devices; leave out rows without it "
        "before a join, as pandas joins missing values with each other",
    ),
)

_KINDS = {
    "key": "an id that stays text, with all its digits and leading zeros",
    "id": "the id of an entry of a dictionary",
    "title": "its title, in the language of the account",
    "timestamp": "a time; exported as Unix seconds, 0 is missing",
    "date": "a day, in the time zone of the request",
    "integer": "a whole number",
    "number": "a number",
    "flag": "0 or 1, or an id of a short closed list",
    "list": "an array of texts",
}

_TEXT = "`str`; before pandas 3 `string`"
_IN_PANDAS = {"str": _TEXT, "string": _TEXT, "object": "`object`: a tuple of texts"}
_IN_ARROW = {"title": "`string`, as a dictionary"}

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
        "Rows that arrive late": [_LATE_ROWS],
        "Values with a meaning": _meanings(),
        "Magics": _magics(),
        "Settings": [_SETTINGS],
        "Events": _events(),
        "Columns": _columns(),
        "Countries": _countries(),
        "Time zones": [", ".join(f"`{zone}`" for zone in dictionary("timezone"))],
        "Closed lists": _closed_lists(),
    }
    texts = [f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items()]
    return "\n\n".join([_INTRODUCTION, *texts]) + "\n"


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
    yield f"- {pairs} are required. If both pairs are given, a row has to meet both."
    for interval in INTERVALS:
        start, end = interval.names
        texts = [f"`{start}` is not after `{end}`"]
        if interval.satisfies_required_interval:
            texts.append("each requires the other")
        if interval.earliest:
            texts.append(f"`{start}` is {interval.earliest} or later")
        hours = interval.availability_delay.total_seconds() / 3600
        if hours:
            texts.append(f"both are more than {hours:g} hours ago")
        else:
            texts.append("neither is in the future")
        yield f"- {'; '.join(texts)}. Both ends are included."
    filters = [parameter.name for parameter in PARAMETERS.values() if parameter.is_filter]
    many = [name for name in filters if PARAMETERS[name].is_list]
    yield f"- At most {MAX_VALUES} different values in one filter: {_names(many)}."
    yield "- Filters are combined with AND; only `idApp` and `SDKKey` with OR."
    yield "- Days are in `timezone`. Empty text and empty lists count as not given."
    yield (
        "- A request with an error is not sent; all its problems are listed at once. "
        "Warnings and notes are shown, and the request is sent."
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


def _meanings() -> Iterator[str]:
    yield from _table(("column", "value", "what it means"), _MEANINGS)
    yield ""
    yield (
        "These values were seen in public scripts and in the notebook of the official client; "
        "titles are in the language of the account, often Russian. They are not changed, and the "
        "sandbox has them too. [Recipes](recipes.md#count) has code for each."
    )


def _magics() -> Iterator[str]:
    for name, magic in MAGICS.items():
        yield f"### `%{name}`" + f" and `%%{name}`" * (name in CELL_MAGICS)
        yield ""
        if name == "mytracker_export":
            yield "Creates an export; `%mytracker_export?` shows the manual."
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
        "list is sent with a warning, and its values come as text. *Seen with* lists the events "
        "for which public requests used the column. `%mytracker_columns` and `mt.columns()` show "
        "the list."
    )
    yield ""
    yield f"Payments: {what_is_known('payments')[1]}"
    yield ""
    yield what_is_known("userSessions")[1]
    yield ""
    yield from _kinds()
    yield ""
    yield from _table(
        ("column", "what it holds", "kind", "seen with", "slows the export"),
        (
            (
                f"`{selector.value}`",
                selector.title,
                selector.kind,
                ", ".join(sorted(selector.seen_with)),
                selector.slows_export,
            )
            for selector in selectors().values()
        ),
    )


def _kinds() -> Iterator[str]:
    """The type of each kind of column, in the order of their explanations."""
    known = columns()
    in_pandas = dict(zip(known["kind"], known["dtype"], strict=True))
    example = dict(zip(known["kind"], known["column"], strict=True))
    assert set(_KINDS) == set(in_pandas)
    yield from _table(
        ("kind", "what it is", "in pandas", "in Arrow, polars and Parquet"),
        (
            (
                kind,
                meaning,
                _IN_PANDAS.get(in_pandas[kind], f"`{in_pandas[kind]}`"),
                _IN_ARROW.get(kind, f"`{field(example[kind]).type}`"),
            )
            for kind, meaning in _KINDS.items()
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
    yield "The values of parameters and of columns with ids from a closed list."
    yield ""
    for name in dict.fromkeys([*PARAMETERS, *selectors()]):
        with suppress(KeyError):
            entries = [] if name in _SECTIONS else dictionary(name).values()
            texts = ", ".join(f"{entry.value} {entry.title}" for entry in entries)
            if texts:
                yield f"- `{name}`: {texts}"


def main() -> None:
    """Write it."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"written: {PAGE.relative_to(PAGE.parents[1])}", file=sys.stderr)


if __name__ == "__main__":
    main()
