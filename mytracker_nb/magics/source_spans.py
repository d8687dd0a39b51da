"""The error that points into the cell: the line, with carets under the invalid part."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mytracker_nb import errors
from mytracker_nb.errors import Problem, printable
from mytracker_nb.request.parameters import find_parameter
from mytracker_nb.request.syntax import Assignment, Span

__all__ = ["InvalidRequestInCell", "parameter_name"]

_BEFORE, _AFTER = 50, 38  # characters of a long line that are shown before and after the carets


def parameter_name(assignment: Assignment) -> str:
    """The name by which problems refer to an assignment (``idApp`` for ``idApp[]``)."""
    parameter = find_parameter(assignment.name)
    return parameter.name if parameter else assignment.name


class InvalidRequestInCell(errors.InvalidRequest):
    """An invalid request whose problems point into its cell.

    Parameters
    ----------
    problems : sequence of Problem
        All problems of the request.
    magic : str
        The beginning of the cell: the magic and a space.
    body : str
        The rest of the cell.
    assignments : sequence of Assignment
        The assignments of `body`.
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
            span = _find(problem, body, assignments)
            if span is not None:
                self._pointers[problem] = _pointer(magic + body, span.shift(len(magic)))

    def _line(self, problem: Problem) -> str:
        return super()._line(problem) + self._pointers.get(problem, "")


# users see one error class, whether the request came from a cell or not
InvalidRequestInCell.__name__ = errors.InvalidRequest.__name__


def _find(problem: Problem, body: str, assignments: Sequence[Assignment]) -> Span | None:
    """Where in `body` the cause of `problem` is; None if something is missing."""
    if problem.parameter.startswith("-"):
        option = re.search(rf"(?<!\S){re.escape(problem.parameter)}(?![\w-])", body)
        return Span(*option.span()) if option else None
    found = None
    for assignment in assignments:
        if parameter_name(assignment) == problem.parameter:
            quoted = _quoted_part(problem, body, assignment)
            found = quoted or _full_span(problem, assignment)
            if quoted:
                break
    return found


def _quoted_part(problem: Problem, body: str, assignment: Assignment) -> Span | None:
    """Where the part of a value is that the message of `problem` quotes."""
    for part in assignment.parts:
        text = body[slice(*part)].strip("\"'")
        if repr(text) in problem.message or (not text and problem.message.startswith("empty")):
            return part
    return None


def _full_span(problem: Problem, assignment: Assignment) -> Span:
    """Where the name is, if it is unknown; otherwise where the value is."""
    if not assignment.parts or problem.code == "unknown_parameter":
        return assignment.name_span
    return Span(assignment.parts[0].start, assignment.parts[-1].end)


def _pointer(text: str, span: Span) -> str:
    """The line of `text` in which `span` begins, with carets under it."""
    number = text.count("\n", 0, span.start) + 1
    start = text.rfind("\n", 0, span.start) + 1
    line = printable(text[start:].partition("\n")[0]).replace("\t", " ").rstrip()
    column = span.start - start
    width = max(1, min(span.end - start, len(line)) - column)
    if column > _BEFORE:
        line, column = f"...{line[column - _BEFORE + 3 :]}", _BEFORE
    if len(line) > column + max(width, _AFTER):
        line = f"{line[: column + max(width, _AFTER) - 3]}..."
        width = min(width, len(line) - column)
    label = f"      line {number}: "
    return f"\n{label}{line}\n{' ' * (len(label) + column)}{'^' * width}"
