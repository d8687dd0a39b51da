"""The text of a request in a cell: ``name=value``, or a URL, a query string or a curl command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl

from mytracker_nb.form.pasted import find_query
from mytracker_nb.request.parameters import find_parameter
from mytracker_nb.request.syntax import Assignment, Evaluate, Parsed, Span, parse_cell, parse_url

__all__ = ["parse_request"]

_WORD = re.compile(r"\S+")
_CURL = re.compile(r"(?<!\S)curl(?:\.exe)?\s")
_MANY = 2  # known parameters with which a text with & is a query string


def parse_request(line: str, cell: str | None, evaluate: Evaluate) -> Parsed:
    """Parse the line of a magic and the cell below it, None for a line magic.

    A URL, a query string or a curl command can replace the parameters. Options and parameters can
    come before and after it; a parameter in the cell overrides that of the URL.
    """
    body = line if cell is None else f"{line}\n{cell}"
    span = _find_pasted(line, cell)
    if span is None:
        return parse_cell(line, cell, evaluate)
    pasted = find_query(body[slice(*span)]) or ""
    # replace it by spaces, so that the positions of all other text stay
    blank = re.sub(r"\S", " ", body[slice(*span)])
    rest = body[: span.start] + blank + body[span.end :]
    line, _, below = rest.partition("\n") if cell is not None else (rest, "", "")
    parsed = parse_cell(line, below if cell is not None else None, evaluate)
    written = {assignment.name for assignment in parsed.assignments}
    parsed.assignments = [
        *(
            Assignment(name, value, *span, (span,))
            for name, value in parse_url(pasted).items()
            if name not in written
        ),
        *parsed.assignments,
    ]
    return parsed


def _find_pasted(line: str, cell: str | None) -> Span | None:
    """Find a URL, a query string or a curl command in the text of a magic."""
    body = line if cell is None else f"{line}\n{cell}"
    if curl := _CURL.search(body):
        before = body[: curl.start()]
        if not before.strip() or before.lstrip().startswith("-"):
            return Span(curl.start(), len(body.rstrip()))
    if cell is not None and _is_query(cell.strip()):
        start = len(line) + 1 + len(cell) - len(cell.lstrip())
        return Span(start, start + len(cell.strip()))
    for word in _words(body):
        if _is_query(body[slice(*word)]):
            return word
    return None


def _words(text: str) -> Iterator[Span]:
    for match in _WORD.finditer(text):
        yield Span(*match.span())


def _is_query(text: str) -> bool:
    """Whether `text` is a URL or a query string, and not a value with an ampersand."""
    query = find_query(text)
    if query is None:
        return False
    if "://" in query.partition("?")[0]:
        return True
    names = [name for name, _ in parse_qsl(query.partition("?")[2] or query)]
    return sum(find_parameter(name) is not None for name in names) >= _MANY
