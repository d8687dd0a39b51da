"""What Tab offers in a magic: parameters, values of dictionaries, options, variables.

It works on text alone; `mytracker_nb.magics.magics` connects it to IPython's completer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from mytracker_nb.magics.source_spans import parameter_name
from mytracker_nb.request.dictionaries import Dictionary, Entry, Selector, dictionary
from mytracker_nb.request.known_columns import columns_seen_with
from mytracker_nb.request.parameters import PARAMETERS, ValueType, find_parameter
from mytracker_nb.request.periods import PERIODS
from mytracker_nb.request.syntax import Assignment, Parsed, parse_cell

__all__ = ["Candidate", "Completions", "Syntax", "complete"]

_CELL_MAGIC = re.compile(r"\s*%%(\w+)(?=\s)[ \t]*")
_LINE_MAGIC = re.compile(r"[ \t]*(?:[^\n=%]+=[ \t]*)?%(\w+)[ \t]+")
_QUOTES = "\"'"
_COMMENT = re.compile(r"(^|\s)#")
_MOMENTS = {
    ValueType.DATE: (*(period.word for period in PERIODS), "today-7d", "today-30d"),
    ValueType.TIME: ("now", "now-6h", "now-1d", "now-7d"),
}


class Candidate(NamedTuple):
    """A text that can replace the typed one, and its description."""

    text: str
    about: str


class Completions(NamedTuple):
    """The text typed so far, up to the cursor, and what can replace it, best first."""

    fragment: str
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Syntax:
    """The arguments of a magic.

    Attributes
    ----------
    options : dict of str to str
        The options (``--wait``) with their help.
    parameters : bool
        Whether it takes the parameters of a request.
    words : str or None
        The name of the dictionary of its positional argument; None without one.
    """

    options: Mapping[str, str] = field(default_factory=dict)
    parameters: bool = False
    words: str | None = None


@dataclass(frozen=True)
class _Cursor:
    """A cursor in the text after the name of a magic."""

    syntax: Syntax
    body: str
    position: int
    is_cell: bool

    @property
    def before(self) -> str:
        return self.body[: self.position]

    @property
    def in_line(self) -> bool:
        """Whether it is in the first line, where options are."""
        return not self.is_cell or "\n" not in self.before


def complete(
    code: str, position: int, magics: Mapping[str, Syntax], names: Callable[[], Iterable[str]]
) -> Completions | None:
    """Complete at a cursor in a cell.

    Parameters
    ----------
    code : str
        The text of the cell.
    position : int
        The position of the cursor in it.
    magics : dict of str to Syntax
        The magics by name.
    names : callable
        Returns the names of the notebook's variables, for ``$name``.

    Returns
    -------
    Completions or None
        None if the cursor is in none of the magics, or if there is nothing to offer.
    """
    cursor = _locate(code, position, magics)
    if cursor is None:
        return None
    before = cursor.before
    if not cursor.in_line and _COMMENT.search(before.rpartition("\n")[2]):
        return None
    assignment = _open_assignment(cursor) if cursor.syntax.parameters else None
    if assignment is not None:
        *others, last = assignment.parts
        # an empty part can be followed by spaces, which are not a part of the fragment
        fragment = before[last.start :] if last.end > last.start else ""
        if fragment.startswith("$"):
            candidates = _objects(fragment, names())
        else:
            given = [before[slice(*part)].strip(_QUOTES) for part in others]
            candidates = _values(assignment.name, fragment, given, _event(cursor))
    else:
        fragment = re.split(r"\s", before)[-1]
        if fragment.startswith("-") and cursor.in_line:
            candidates = _options(cursor, fragment)
        else:
            candidates = _parameters(cursor, fragment)
    chosen = tuple(candidates)
    return Completions(fragment, chosen) if chosen else None


def _locate(code: str, position: int, magics: Mapping[str, Syntax]) -> _Cursor | None:
    """The magic in which the cursor is; None if it is in none."""
    cell = _CELL_MAGIC.match(code)
    if cell and cell[1] in magics:
        if position < cell.end():
            return None
        return _Cursor(magics[cell[1]], code[cell.end() :], position - cell.end(), is_cell=True)

    # a backslash continues a line; replacing it by two spaces keeps all positions
    joined = code.replace("\\\n", "  ")
    start = joined.rfind("\n", 0, position) + 1
    line = joined[start:].partition("\n")[0]
    magic = _LINE_MAGIC.match(line)
    if not magic or magic[1] not in magics or position - start < magic.end():
        return None
    body, position = line[magic.end() :], position - start - magic.end()
    return _Cursor(magics[magic[1]], body, position, is_cell=False)


def _parse(cursor: _Cursor, text: str) -> Parsed:
    line, _, cell = text.partition("\n") if cursor.is_cell else (text, "", "")
    return parse_cell(line, cell)


def _open_assignment(cursor: _Cursor) -> Assignment | None:
    """The assignment whose value is being typed; None if no value is."""
    before = cursor.before
    assignments = _parse(cursor, before).assignments
    if not assignments or not assignments[-1].parts:
        return None
    last = assignments[-1]
    more = before[last.end :]  # spaces after the value, which can still continue
    continues = before[last.end - 1] in "=," and (cursor.is_cell or "\n" not in more)
    if more and not continues:
        return None
    if "\n" in more and before[last.end - 1] == "=" and not more.endswith((" ", "\t")):
        return None  # on the next line of the cell, where another parameter begins
    return last


def _event(cursor: _Cursor) -> str | None:
    event = _parse(cursor, cursor.body).parameters.get("event")
    return event if isinstance(event, str) else None


def _objects(typed: str, names: Iterable[str]) -> Iterator[Candidate]:
    for name in sorted(names):
        if f"${name}".startswith(typed) and not name.startswith("_"):
            yield Candidate(f"${name}", "variable")


def _options(cursor: _Cursor, typed: str) -> Iterator[Candidate]:
    line = cursor.body.partition("\n")[0]
    given = {word for word in line.split() if word != typed}
    for option, about in cursor.syntax.options.items():
        if option.startswith(typed) and option not in given:
            yield Candidate(option, about)


def _parameters(cursor: _Cursor, typed: str) -> Iterator[Candidate]:
    if cursor.syntax.words:
        for entry in dictionary(cursor.syntax.words).values():
            yield from _spelled(dictionary(cursor.syntax.words), entry, typed)
    if not cursor.syntax.parameters:
        return
    start = cursor.position - len(typed)
    given = {
        parameter_name(assignment)
        for assignment in _parse(cursor, cursor.body).assignments
        if assignment.start != start
    }
    event = _event(cursor)
    has_equals = cursor.body[cursor.position :].lstrip(" \t").startswith("=")
    equals = "" if has_equals else "=" if cursor.in_line else " = "
    for parameter in PARAMETERS.values():
        is_near = parameter.name.casefold().startswith(typed.casefold())
        if is_near and parameter.name not in given and parameter.applies_to(event):
            yield Candidate(f"{parameter.name}{equals}", parameter.help)


def _values(name: str, typed: str, given: list[str], event: str | None) -> Iterator[Candidate]:
    parameter = find_parameter(name)
    if parameter is None or (given and not parameter.is_list):
        return
    names = parameter.dictionary
    if names is None:
        for word in _MOMENTS.get(parameter.value_type, ()):
            if word.startswith(typed):
                yield Candidate(word, parameter.help)
        return
    known = [names.find(part) for part in given]
    for entry in _ordered(names, event):
        if entry not in known:
            yield from _spelled(names, entry, typed)


def _ordered(names: Dictionary, event: str | None) -> list[Entry]:
    """The entries in the service's order; columns seen with the event come first."""
    seen = columns_seen_with(event)
    return sorted(
        names.values(), key=lambda entry: isinstance(entry, Selector) and entry not in seen
    )


def _spelled(names: Dictionary, entry: Entry, typed: str) -> Iterator[Candidate]:
    """The entry by its first name that begins with the typed text; nothing if none does."""
    if not names.numeric:
        if entry.value.casefold().startswith(typed.casefold()):
            kind = f"{entry.kind}: " if isinstance(entry, Selector) else ""
            yield Candidate(entry.value, kind + (entry.title or names.name))
        return
    spellings = [*entry.aliases, entry.value, entry.title, *entry.other_names]
    word = typed.strip(_QUOTES).casefold()
    for spelling in spellings if word else spellings[:1]:
        if spelling.casefold().startswith(word):
            quote = typed[0] if typed and typed[0] in _QUOTES else '"' if " " in spelling else ""
            yield Candidate(f"{quote}{spelling}{quote}", entry.label)
            break
