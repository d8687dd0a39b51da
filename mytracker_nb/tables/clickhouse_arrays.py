r"""ClickHouse's array text, ``['level','item\'s name']``, as lists of text.

`parse_arrays` works on whole columns: Arrow splits the cells of the common form (quoted elements
without an escape, single commas). All others (escapes, elements without quotes, blanks, ``[]``) go
one by one through `parse_array`, which reads every form.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["NotAnArray", "parse_array", "parse_arrays"]

_ESCAPES = {
    "0": "\0",
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "'": "'",
    '"': '"',
    "`": "`",
    "/": "/",
    "\\": "\\",
}
_ELEMENT = re.compile(r"""'((?:[^'\\]|\\.|'')*)'|([^\s,'"\[\]\\]+)""", re.DOTALL)
_COMMA_BETWEEN = re.compile(r"\s*,\s*")
_ESCAPE = re.compile(r"((?:\\x[0-9A-Fa-f]{2})+)|\\(.)|''", re.DOTALL)
# No quote and no backslash inside of an element, so "','" can only separate two of them.
_COMMON = r"^\['[^'\\]*'(?:,'[^'\\]*')*\]$"


class NotAnArray(ValueError):
    """A cell is no array text.

    Attributes
    ----------
    cell : str
        Its text.
    """

    def __init__(self, cell: str) -> None:
        super().__init__(cell)
        self.cell = cell


def _unescape(match: re.Match[str]) -> str:
    octets, letter = match.groups()
    if octets:
        return bytes.fromhex(octets.replace("\\x", "")).decode()
    if letter is None:
        return "'"
    # ClickHouse keeps a backslash that escapes nothing.
    return _ESCAPES.get(letter, f"\\{letter}")


def parse_array(cell: str) -> list[str | None] | None:
    r"""The elements of one cell, or None where it is no array text.

    Elements stand in single quotes with backslash escapes; bare ones (numbers) stay text, and a
    bare ``NULL`` is None.

    Examples
    --------
    >>> parse_array(r"['a','it\'s']")
    ['a', "it's"]
    """
    text = cell.strip()
    if len(text) < 2 or text[0] != "[" or text[-1] != "]":
        return None
    inner = text[1:-1].strip()
    if not inner:
        return []
    elements: list[str | None] = []
    position = 0
    while True:
        match = _ELEMENT.match(inner, position)
        if not match:
            return None
        quoted, bare = match.groups()
        try:
            elements.append(_ESCAPE.sub(_unescape, quoted) if bare is None else bare)
        except UnicodeDecodeError:
            return None
        if bare == "NULL":
            elements[-1] = None
        if match.end() == len(inner):
            return elements
        comma = _COMMA_BETWEEN.match(inner, match.end())
        if not comma:
            return None
        position = comma.end()


def parse_arrays(cells: pa.Array) -> pa.Array:
    """The elements of many cells.

    Parameters
    ----------
    cells : pyarrow.StringArray
        Array text, without nulls; best only the different ones (`dictionary_encode` first).

    Returns
    -------
    pyarrow.ListArray
        A ``list<string>`` for every cell.

    Raises
    ------
    NotAnArray
        If a cell is no array text.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    is_common = pc.match_substring_regex(cells, _COMMON)
    # Of a cell of another form this makes nonsense, which is replaced below.
    inner = pc.binary_slice(cells.cast(pa.binary()), 2, -2).view(pa.string())
    lists = pc.split_pattern(inner, "','")
    if is_common.true_count == len(cells):
        return lists
    rare = np.flatnonzero(pc.invert(is_common).to_numpy(zero_copy_only=False))
    exact = [_parsed(cell) for cell in cells.take(pa.array(rare)).to_pylist()]
    places = np.arange(len(cells))
    places[rare] = len(cells) + np.arange(len(rare))
    return pa.concat_arrays([lists, pa.array(exact, lists.type)]).take(pa.array(places))


def _parsed(cell: str) -> list[str | None]:
    elements = parse_array(cell)
    if elements is None:
        raise NotAnArray(cell)
    return elements
