"""Parsing of pasted text: columns, lists, and the service's own URL."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["find_query", "join_column", "split_column"]

_CELL = re.compile(r'\s*"((?:[^"]|"")*)"[^\S\n\t]*(?=[,\t\n]|$)|([^,\t\r\n]+)')
_NEEDS_QUOTES = re.compile(r'[,\t\r\n"]|^\s|\s$|^$')
_NAME = r"[\w.%\[\]]+="
# a value can have spaces, but not a space followed by a parameter: that is the text of a magic
_PAIR = rf"{_NAME}[^&\s]*(?:[^\S\n]+(?!{_NAME})[^&\s]*)*"
_QUERY = re.compile(rf"https?://.*|[\w.:-]+/[\w./-]*\?{_PAIR}(?:&{_PAIR})*|\??{_PAIR}(?:&{_PAIR})+")
_BEFORE = re.compile(r"\s*(?:%%?mytracker_export)?\s*(?:(?:GET|POST)\s+)?")
_BETWEEN_PAIRS = re.compile(r"(?<!\s)\s+(?=&)|(?<=[&?])\s+")


def split_column(text: str) -> list[str]:
    """The values of a pasted column or list, separated by line breaks, tabs or commas.

    As in spreadsheets, a value with a separator is in double quotes. Empty cells are dropped.
    """
    cells = (
        plain.strip() if plain else quoted.replace('""', '"')
        for quoted, plain in _CELL.findall(text)
    )
    return [cell for cell in cells if cell]


def join_column(values: Iterable[str], separator: str) -> str:
    """Join values to a text that `split_column` splits again."""
    return separator.join(
        '"{}"'.format(text.replace('"', '""')) if _NEEDS_QUOTES.search(text) else text
        for text in values
    )


def find_query(text: str) -> str | None:
    """The service's own URL, its query string, or a curl command, if `text` is one.

    It can follow the name of the magic or an HTTP method, be in quotes, and have line breaks
    between its parameters.
    """
    rest = text[_BEFORE.match(text).end() :]  # type: ignore[union-attr]
    if re.match(r"curl(\.exe)?\s", rest):
        return rest
    query = _BETWEEN_PAIRS.sub("", rest.strip("\"'`<> \t\r\n"))
    return query if _QUERY.fullmatch(query) else None
