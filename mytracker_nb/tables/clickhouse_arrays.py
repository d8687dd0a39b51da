r"""ClickHouse's array text, ``['level','item\'s name']``, as lists of text.

`parse_arrays` works on whole columns: it finds all quotes and backslashes of all cells at once and
needs no Python loop over rows. Cells of a rarer shape (elements without quotes, blanks between
them, hexadecimal escapes) go one by one through `parse_array`, which knows them all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
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
_OPEN, _CLOSE, _QUOTE, _COMMA, _BACKSLASH = b"[]',\\"


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

    text = _Text(cells)
    if text.is_plain():
        return text.lists()
    plain = text.plain()
    odd = []
    for cell in cells.filter(pa.array(~plain)).to_pylist():
        elements = parse_array(cell)
        if elements is None:
            raise NotAnArray(cell)
        odd.append(elements)
    both = pa.concat_arrays(
        [_Text(cells.filter(pa.array(plain))).lists(), pa.array(odd, pa.list_(pa.string()))]
    )
    # Plain cells come first in `both`: the place of each is its rank among its like.
    places = np.argsort(np.argsort(~plain, kind="stable"))
    return both.take(pa.array(places))


class _Text:
    """The bytes of a column of cells, with what is structure in them."""

    def __init__(self, cells: pa.Array) -> None:
        import numpy as np

        _, offsets, data = cells.buffers()
        bounds = np.frombuffer(offsets, np.int32)[cells.offset : cells.offset + len(cells) + 1]
        octets = np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)
        self.octets = octets[bounds[0] : bounds[-1]]
        self.bounds = (bounds - bounds[0]).astype(np.int64)
        quotes = self.octets == _QUOTE
        self.escapes = self._escapes()
        if len(self.escapes):
            self.escapes = self.escapes[self.escapes + 1 < len(self.octets)]
            quotes[self.escapes + 1] = False
        self.quotes = np.flatnonzero(quotes)
        # quotes before the start of each cell, and in all
        self.before = np.searchsorted(self.quotes, self.bounds)

    def _escapes(self) -> np.ndarray[Any, Any]:
        """Where the backslashes stand that escape the next byte: every second one of a run."""
        import numpy as np

        places = np.flatnonzero(self.octets == _BACKSLASH)
        if not len(places):
            return places
        counter = np.arange(len(places))
        starts = np.flatnonzero(np.diff(places, prepend=-2) != 1)
        first = np.repeat(starts, np.diff(starts, append=len(places)))
        escapes: np.ndarray[Any, Any] = places[(counter - first) % 2 == 0]
        return escapes

    def is_plain(self) -> bool:
        """Whether all cells are: what `plain` tells of each, in fewer steps.

        Where every cell has its brackets, every gap between two elements a byte at least, and all
        of these bytes are as few as they can be, each gap is a single byte: the comma.
        """
        import numpy as np

        starts, ends = self.bounds[:-1], self.bounds[1:]
        if not len(starts) or (ends - starts).min() < 2 or (self.before % 2).any():
            return False
        if (self.octets[starts] != _OPEN).any() or (self.octets[ends - 1] != _CLOSE).any():
            return False
        opening, closing = self.quotes[0::2], self.quotes[1::2]
        if len(opening) and (opening[1:] - closing[:-1]).min(initial=2) < 2:
            return False
        filled = int(np.count_nonzero(np.diff(self.before)))
        outside = len(self.octets) - int((closing - opening + 1).sum())
        if outside != 2 * len(starts) + len(opening) - filled:
            return False
        if np.count_nonzero(self.octets[closing + 1] == _COMMA) != len(opening) - filled:
            return False
        return not len(self.escapes) or bool(_simple_escapes()[self.octets[self.escapes + 1]].all())

    def plain(self) -> np.ndarray[Any, Any]:
        """Which cells are ``[]`` or quoted elements with single commas and simple escapes."""
        import numpy as np

        starts, ends = self.bounds[:-1], self.bounds[1:]
        if not len(starts):
            return np.empty(0, bool)
        count = np.diff(self.before)
        good: np.ndarray[Any, Any] = (ends - starts >= 2) & (count % 2 == 0)
        if not len(self.octets):
            return good
        last = len(self.octets) - 1
        good &= self.octets[np.minimum(starts, last)] == _OPEN
        good &= self.octets[np.maximum(ends - 1, 0)] == _CLOSE
        good &= (count > 0) | (ends - starts == 2)
        filled = np.flatnonzero(good & (count > 0))
        good[filled] = (self.quotes[self.before[filled]] == starts[filled] + 1) & (
            self.quotes[self.before[filled + 1] - 1] == ends[filled] - 2
        )
        # Between two quotes of a cell stands an element or, every second time, a comma.
        cell = np.repeat(np.arange(len(starts)), count)
        rank = np.arange(len(self.quotes)) - self.before[cell]
        gaps = np.flatnonzero((rank[:-1] % 2 == 1) & (cell[:-1] == cell[1:]))
        place = self.quotes[gaps]
        wrong = (self.quotes[gaps + 1] - place != 2) | (self.octets[place + 1] != _COMMA)
        good[cell[gaps[wrong]]] = False
        if len(self.escapes):
            unknown = self.escapes[_simple_escapes()[self.octets[self.escapes + 1]] == 0]
            good[np.searchsorted(self.bounds, unknown, side="right") - 1] = False
            # An escape at the very end of a cell would reach into the next one.
            over = np.isin(self.escapes + 1, starts)
            good[np.searchsorted(self.bounds, self.escapes[over], side="right") - 1] = False
        return good

    def lists(self) -> pa.Array:
        """The elements, if all cells are plain."""
        import numpy as np
        import pyarrow as pa

        octets = self.octets
        opening, closing = self.quotes[0::2], self.quotes[1::2]
        lengths = closing - opening - 1
        keep = np.ones(len(octets), bool)
        keep[self.bounds[:-1]] = False
        keep[self.bounds[1:] - 1] = False
        keep[self.quotes] = False
        # After a closing quote stands a comma or the bracket.
        keep[closing + 1] = False
        if len(self.escapes):
            octets = octets.copy()
            octets[self.escapes + 1] = _simple_escapes()[octets[self.escapes + 1]]
            keep[self.escapes] = False
            lengths = (
                lengths
                - np.diff(
                    np.searchsorted(self.escapes, np.stack([opening, closing], axis=1)), axis=1
                ).ravel()
            )
        ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        elements = pa.StringArray.from_buffers(
            len(lengths), pa.py_buffer(ends), pa.py_buffer(octets[keep])
        )
        return pa.ListArray.from_arrays(pa.array((self.before // 2).astype(np.int32)), elements)


def _simple_escapes() -> np.ndarray[Any, Any]:
    """What an escaped byte stands for; 0 where `parse_array` has to look."""
    import numpy as np

    table = np.zeros(256, np.uint8)
    for letter, meaning in _ESCAPES.items():
        table[ord(letter)] = ord(meaning)
    return table
