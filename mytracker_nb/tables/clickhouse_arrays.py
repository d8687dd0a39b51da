r"""Parsing of ClickHouse's array text, ``['level','item\'s name']``, to lists of text.

`parse_arrays` parses columns: Arrow splits the cells of the common form (quoted elements without
escapes, commas without spaces). Other cells (with escapes, unquoted elements, spaces, or ``[]``)
are parsed one by one by `parse_array`, which accepts every form.
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
# No element has a quote or a backslash, so "','" can only be a separator.
_COMMON = r"^\['[^'\\]*'(?:,'[^'\\]*')*\]$"


class NotAnArray(ValueError):
    """A cell is not array text.

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
    # ClickHouse keeps the backslash of an unknown escape
    return _ESCAPES.get(letter, f"\\{letter}")


def parse_array(cell: str) -> list[str | None] | None:
    r"""Parse one cell; None if it is not array text.

    Quoted elements have single quotes and backslash escapes. Unquoted elements (numbers) stay text,
    except ``NULL``, which is None.

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
    """Parse a column of cells.

    Parameters
    ----------
    cells : pyarrow.StringArray
        Array text, without nulls. Pass each different text once (`dictionary_encode`), since
        columns repeat them.

    Returns
    -------
    pyarrow.ListArray
        A ``list<string>`` for each cell.

    Raises
    ------
    NotAnArray
        If a cell is not array text.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    is_common = pc.match_substring_regex(cells, _COMMON)
    # wrong for cells of other forms, which are replaced below
    inner = pc.binary_slice(cells.cast(pa.binary()), 2, -2).view(pa.string())
    lists = pc.split_pattern(inner, "','")
    if is_common.true_count == len(cells):
        return lists
    rare = np.flatnonzero(pc.invert(is_common).to_numpy(zero_copy_only=False))
    exact = [_parsed(cell) for cell in cells.take(pa.array(rare)).to_pylist()]
    # append the exact lists to the others, and take them instead of the wrong ones
    positions = np.arange(len(cells))
    positions[rare] = len(cells) + np.arange(len(rare))
    return pa.concat_arrays([lists, pa.array(exact, lists.type)]).take(pa.array(positions))


def _parsed(cell: str) -> list[str | None]:
    elements = parse_array(cell)
    if elements is None:
        raise NotAnArray(cell)
    return elements
