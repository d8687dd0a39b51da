"""Columns and lists as people paste and type them."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["join_column", "split_column", "split_unended"]

_CELL = re.compile(r'\s*"((?:[^"]|"")*)"[^\S\n\t]*(?=[,\t\n]|$)|([^,\t\r\n]+)')
_NEEDS_QUOTES = re.compile(r'[,\t\r\n"]|^\s|\s$|^$')
_UNENDED = re.compile(r"[^,\t\n]*\Z")


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


def split_unended(text: str) -> tuple[list[str], str]:
    """The values that something follows, and the text of the last, which may go on."""
    return split_column(_UNENDED.sub("", text)), _UNENDED.findall(text)[0].strip()
