"""What people paste and type: columns, lists, and the service's own URL."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["find_query", "join_column", "split_column"]

_CELL = re.compile(r'\s*"((?:[^"]|"")*)"[^\S\n\t]*(?=[,\t\n]|$)|([^,\t\r\n]+)')
_NEEDS_QUOTES = re.compile(r'[,\t\r\n"]|^\s|\s$|^$')
_NAME = r"[\w.%\[\]]+="
# a value may hold spaces, but what looks like a parameter after one belongs to a magic
_PAIR = rf"{_NAME}[^&\s]*(?:[^\S\n]+(?!{_NAME})[^&\s]*)*"
_QUERY = re.compile(rf"https?://.*|[\w.:-]+/[\w./-]*\?{_PAIR}(?:&{_PAIR})*|\??{_PAIR}(?:&{_PAIR})+")
_BEFORE = re.compile(r"\s*(?:%%?mytracker_export)?\s*(?:(?:GET|POST)\s+)?")
_BETWEEN_PAIRS = re.compile(r"(?<!\s)\s+(?=&)|(?<=[&?])\s+")


def split_column(text: str) -> list[str]:
    """The values of a pasted column or list, parted by lines, tabs or commas.

    What holds one of these stands in double quotes, as spreadsheets have it; empty cells are left
    out.
    """
    cells = (
        plain.strip() if plain else quoted.replace('""', '"')
        for quoted, plain in _CELL.findall(text)
    )
    return [cell for cell in cells if cell]


def join_column(values: Iterable[str], separator: str) -> str:
    """`values` as text that `split_column` reads back."""
    return separator.join(
        '"{}"'.format(text.replace('"', '""')) if _NEEDS_QUOTES.search(text) else text
        for text in values
    )


def find_query(text: str) -> str | None:
    """The service's own URL, its query string, or a curl command, if `text` is one.

    It may stand after the name of the magic or that of the HTTP method, in quotes, and with line
    breaks between its parameters.
    """
    rest = text[_BEFORE.match(text).end() :]  # type: ignore[union-attr]
    if re.match(r"curl(\.exe)?\s", rest):
        return rest
    query = _BETWEEN_PAIRS.sub("", rest.strip("\"'`<> \t\r\n"))
    return query if _QUERY.fullmatch(query) else None
