"""Where things stand in the text of a magic, and the error that points there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mytracker_nb import errors
from mytracker_nb.errors import Problem, printable
from mytracker_nb.request.parameters import find_parameter
from mytracker_nb.request.syntax import Assignment

__all__ = ["InvalidRequestInCell", "Span", "parameter_name", "written_parts"]

_GAP = re.compile(r"(?:\s+|#[^\n]*)*")
_PART = re.compile(r"""(?:"[^"]*"?|'[^']*'?)?(?:\{[^}]*\}?|[^,{#\n]|(?<!\s)#)*""")
_BEFORE, _AFTER = 50, 38  # characters of a long line that are shown before and after a place


class Span(NamedTuple):
    """A stretch of a text, from `start` up to `end`."""

    start: int
    end: int

    def shift(self, by: int) -> Span:
        """The same stretch in a text that begins `by` characters earlier."""
        return Span(self.start + by, self.end + by)


def written_parts(value: str) -> Iterator[Span]:
    """Where the parts of a value stand in what is written after the equals sign.

    Parameters
    ----------
    value : str
        Text of the notation, as far as it is written: a quote or a brace may still be open.

    Yields
    ------
    Span
        A part, with its quotes and without the space around it.
    """
    position = 0
    while True:
        start = _end(_GAP, value, position)
        end = _end(_PART, value, start)
        yield Span(start, start + len(value[start:end].rstrip()))
        position = _end(_GAP, value, end)
        if not value.startswith(",", position):
            return
        position += 1


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position


def parameter_name(assignment: Assignment) -> str:
    """The name that problems of what was written go by (``idApp`` for ``idApp[]``)."""
    parameter = find_parameter(assignment.name)
    return parameter.name if parameter else assignment.name


class InvalidRequestInCell(errors.InvalidRequest):
    """A request refused where it is written: its problems point into the cell.

    Parameters
    ----------
    problems : sequence of Problem
        All that is known of it.
    magic : str
        What the cell begins with: the magic and a space.
    body : str
        What follows.
    assignments : sequence of Assignment
        What was read from `body`.
    """

    def __init__(
        self,
        problems: Sequence[Problem] = (),
        magic: str = "",
        body: str = "",
        assignments: Sequence[Assignment] = (),
    ) -> None:
        super().__init__(problems)
        self._pointers: dict[Problem, str] = {}
        for problem in self.problems:
            place = _find(problem, body, assignments)
            if place is not None:
                self._pointers[problem] = _pointer(magic + body, place.shift(len(magic)))

    def _told(self, problem: Problem) -> str:
        return super()._told(problem) + self._pointers.get(problem, "")


# the user meets one error, whichever face has found it
InvalidRequestInCell.__name__ = errors.InvalidRequest.__name__


def _find(problem: Problem, body: str, assignments: Sequence[Assignment]) -> Span | None:
    """Where in `body` stands what `problem` is about; None if it is about something missing."""
    if problem.parameter.startswith("-"):
        option = re.search(rf"(?<!\S){re.escape(problem.parameter)}(?![\w-])", body)
        return Span(*option.span()) if option else None
    to_blame = None
    for assignment in assignments:
        if parameter_name(assignment) == problem.parameter:
            written = body[assignment.start : assignment.end]
            word, is_quoted = _word(problem, written)
            to_blame = word.shift(assignment.start)
            if is_quoted:
                break
    return to_blame


def _word(problem: Problem, written: str) -> tuple[Span, bool]:
    """What in ``name = value`` is to blame, and whether the message quotes it."""
    name, equals, value = written.partition("=")
    if not equals or problem.code == "unknown_parameter":
        return Span(0, len(name.rstrip())), False
    parts = [part.shift(len(name) + 1) for part in written_parts(value)]
    for part in parts:
        if repr(written[slice(*part)].strip("\"'")) in problem.message:
            return part, True
    return Span(parts[0].start, parts[-1].end), False


def _pointer(text: str, place: Span) -> str:
    """The line of `text` in which `place` begins, with carets under it."""
    number = text.count("\n", 0, place.start) + 1
    start = text.rfind("\n", 0, place.start) + 1
    line = printable(text[start:].partition("\n")[0]).replace("\t", " ").rstrip()
    column = place.start - start
    width = max(1, min(place.end - start, len(line)) - column)
    if column > _BEFORE:
        line, column = f"...{line[column - _BEFORE + 3 :]}", _BEFORE
    if len(line) > column + max(width, _AFTER):
        line = f"{line[: column + max(width, _AFTER) - 3]}..."
        width = min(width, len(line) - column)
    label = f"      line {number}: "
    return f"\n{label}{line}\n{' ' * (len(label) + column)}{'^' * width}"
