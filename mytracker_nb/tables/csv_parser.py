"""Pieces of CSV text as Arrow tables with the right types, no digit changed.

Arrow reads a number leniently: ``007``, ``0x7`` and `` 7`` all become 7. So every piece is checked:
written back, its values would take exactly as many bytes as they came in. Only where they would
not, or where Arrow refuses, the piece is looked at cell by cell.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mytracker_nb.download.gzip_csv import BOM, CsvBlock
from mytracker_nb.errors import FileError, printable
from mytracker_nb.tables.clickhouse_arrays import NotAnArray, parse_arrays
from mytracker_nb.tables.schema import (
    FIRST_DAY,
    LAST_SECOND,
    field,
    fits,
    is_sent_text,
    kind,
    schema,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["CellTypeError", "Parser"]


@dataclass(frozen=True)
class CellTypeError:
    """The first cell that did not fit its column's type.

    Attributes
    ----------
    selector : str
        The column.
    file : str
        The file's name.
    line : int
        The line of its decompressed text, counted from 1 (the header).
    value : str
        The cell.
    """

    selector: str
    file: str
    line: int
    value: str

    def __str__(self) -> str:
        return printable(
            f"{self.selector}: {self.value[:60]!r} ({self.file}, line {self.line:,}) "
            f"does not fit type {kind(self.selector)}"
        )


@lru_cache(maxsize=64)
def _schema(selectors: tuple[str, ...], as_text: frozenset[str], encode_lists: bool) -> pa.Schema:
    import pyarrow as pa

    types = schema(selectors, as_text=as_text)
    if encode_lists:
        for place, one in enumerate(types):
            if pa.types.is_list(one.type):
                encoded = pa.dictionary(pa.int32(), one.type)
                types = types.set(place, one.with_type(encoded))
    return types


class _NeedsSlowPath(Exception):
    """A piece has to be looked at cell by cell."""


class Parser:
    """Parses the pieces of files that all have the same columns.

    Parameters
    ----------
    selectors : sequence of str
        The columns of the tables, in this order.
    as_text : collection of str
        Those to take as text, whatever the dictionary says.
    encode_lists : bool
        Whether a column of lists shall come dictionary-encoded: each different list once.

    Attributes
    ----------
    misfits : dict of str to CellTypeError
        The columns that turned out to be text. A table parsed before a misfit was found has the
        column's own type.
    """

    def __init__(
        self,
        selectors: Sequence[str],
        as_text: Collection[str] = (),
        *,
        encode_lists: bool = False,
    ) -> None:
        self.selectors = tuple(selectors)
        self._as_text = frozenset(as_text)
        self._encode_lists = encode_lists
        self.misfits: dict[str, CellTypeError] = {}

    @property
    def schema(self) -> pa.Schema:
        """The schema of the tables, after all misfits known by now."""
        as_text = self._as_text.union(self.misfits)
        return _schema(self.selectors, as_text, self._encode_lists)

    def parse(
        self,
        piece: CsvBlock,
        header: Sequence[str],
        file: str,
        found: dict[str, CellTypeError] | None = None,
    ) -> pa.Table:
        """The rows of a piece.

        Parameters
        ----------
        piece : CsvBlock
            Whole rows.
        header : sequence of str
            The names of the columns as they stand in the file: those of `selectors`, in any order.
        file : str
            The file's name, for errors.
        found : dict of str to CellTypeError, optional
            Takes the misfits found, for who does not know yet whether the file is sound;
            `misfits` by default.

        Returns
        -------
        pyarrow.Table
            Of one chunk.

        Raises
        ------
        FileError
            If a row has too many or too few cells, is no UTF-8 text or cannot be read exactly.
        """
        import pyarrow as pa

        found = self.misfits if found is None else found
        while True:
            # other threads find misfits too
            as_text = self._as_text | self.misfits.keys() | found.keys()
            # columns that were not asked for are left out below, whatever they hold
            unread = as_text.union(header) - set(self.selectors) | as_text
            roles = {name: "text" if name in unread else kind(name) for name in header}
            try:
                types = {name: _wire_type(name, role) for name, role in roles.items()}
                raw = _read(piece.text, types)
                if _length(raw, piece) != len(piece.text):
                    raise _NeedsSlowPath
                columns = [
                    _convert(name, roles[name], raw.column(name), self._encode_lists)
                    for name in self.selectors
                ]
            except (pa.ArrowInvalid, NotAnArray, _NeedsSlowPath) as error:
                misfits = _examine(piece, roles, file)
                found.update(misfits)
                if not misfits:
                    raise FileError(
                        f"{file}: the rows from line {piece.line:,} on cannot be read exactly "
                        f"({printable(error) or 'line breaks or quotes out of place'}). "
                        "Fetch the file again; if it stays so, ask for a new export",
                        file=file,
                        line=piece.line,
                    ) from error
            else:
                typed = _schema(self.selectors, frozenset(as_text), self._encode_lists)
                return pa.table(columns, schema=typed)


def _examine(piece: CsvBlock, roles: dict[str, str], file: str) -> dict[str, CellTypeError]:
    """Find what is odd about a piece: the misfits; raise for what cannot be read."""
    import pyarrow as pa

    try:
        piece.text.decode()
    except UnicodeDecodeError as error:
        line = piece.line + piece.text.count(b"\n", 0, error.start)
        raise FileError(
            f"{file}, line {line:,}: this is no UTF-8 text ({error.reason}, "
            f"byte 0x{piece.text[error.start]:02x}). Fetch the file again; "
            "if it stays so, ask for a new export",
            file=file,
            line=line,
        ) from error
    bad_rows: list[Any] = []

    def skip(row: Any) -> str:
        bad_rows.append(row)
        return "skip"

    cells = _read_csv(piece.text, dict.fromkeys(roles, pa.string()), on_bad_row=skip)
    if bad_rows:
        row = bad_rows[0]
        raise _bad_row(file, _line(piece, cells, row.number - 1), row.actual_columns, len(roles))
    empty = _empty_line(piece, cells)
    if empty:
        raise _bad_row(file, empty, 1, len(roles))
    misfits: dict[str, CellTypeError] = {}
    for name in [name for name, role in roles.items() if role != "text"]:
        column = cells.column(name)
        bad = _unfit(name, column)
        if bad:
            row = next(row for row, value in enumerate(column.to_pylist()) if value in bad)
            line = _line(piece, cells, row)
            misfits[name] = CellTypeError(name, file, line, column[row].as_py())
    return misfits


def _unfit(selector: str, column: pa.Array) -> set[str]:
    """The texts of a column that do not fit its type."""
    return {value for value in column.unique().to_pylist() if value and not fits(selector, value)}


def _wire_type(selector: str, role: str) -> pa.DataType:
    """What Arrow's CSV reader makes of a column, before `_convert`."""
    import pyarrow as pa

    if role == "timestamp":
        return pa.int64()
    if role == "number":
        return pa.string()
    if role == "list":
        return pa.dictionary(pa.int32(), pa.string())
    return field(selector, as_text=role == "text").type


def _convert(selector: str, role: str, column: pa.Array, encode_lists: bool) -> pa.Array:
    """From what was read to the column's type."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if role == "timestamp":
        return _times(column)
    if pa.types.is_dictionary(column.type):
        column = _coded_without_empty(column)
        if role == "list":
            lists = parse_arrays(column.dictionary)
            if encode_lists:
                return pa.DictionaryArray.from_arrays(column.indices, lists)
            return lists.take(column.indices)
    elif pa.types.is_string(column.type) and not is_sent_text(selector):
        column = _without_empty(column)
    if role == "number":
        if _unfit(selector, column):
            raise _NeedsSlowPath
        return column.cast(pa.float64())
    if role == "date" and (pc.min(column.view(pa.int32())).as_py() or 0) < FIRST_DAY:
        raise _NeedsSlowPath
    return column


def _read(text: bytes, types: dict[str, Any]) -> pa.RecordBatch:
    """What Arrow's reader makes of a piece.

    An empty cell is missing, in quotes or not; in a text column it is an empty text. Only in what
    the app sends is it missing without quotes.
    """
    import pyarrow as pa

    if not _is_utf8(text):
        raise _NeedsSlowPath
    batch = _read_csv(text, types)
    sent = {
        name: kept
        for name, kept in types.items()
        if is_sent_text(name) and not _has_text(batch.column(name)).all()
    }
    if sent:
        again = _read_csv(text, types, only=list(sent), bare_is_missing=True)
        columns = [(again if name in sent else batch).column(name) for name in types]
        batch = pa.RecordBatch.from_arrays(columns, names=list(types))
    return batch


def _read_csv(
    text: bytes,
    types: dict[str, Any],
    *,
    only: Sequence[str] = (),
    bare_is_missing: bool = False,
    on_bad_row: Any = None,
) -> pa.RecordBatch:
    import pyarrow as pa
    from pyarrow import csv

    if text.startswith(BOM):
        # Arrow drops one at the start of what it reads, where it is a part of a cell here.
        text = BOM + text
    table = csv.read_csv(
        pa.BufferReader(text),
        # one block, so that rows are counted and no cell is ever cut
        csv.ReadOptions(column_names=list(types), block_size=len(text) + 1, use_threads=False),
        csv.ParseOptions(
            newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=on_bad_row
        ),
        csv.ConvertOptions(
            column_types=types,
            include_columns=only or None,
            null_values=[""],
            strings_can_be_null=bare_is_missing,
            quoted_strings_can_be_null=not bare_is_missing,
            # looked at as a whole before, which is faster than cell by cell
            check_utf8=False,
        ),
    )
    batches = table.to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def _is_utf8(text: bytes) -> bool:
    import numpy as np
    import pyarrow as pa

    bounds = pa.py_buffer(np.array([0, len(text)], np.int32))
    try:
        pa.StringArray.from_buffers(1, bounds, pa.py_buffer(text)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _length(raw: pa.RecordBatch, piece: CsvBlock) -> int:
    """How many bytes the values would take as CSV text."""
    import pyarrow as pa

    # a comma or a line break after every cell
    total: int = raw.num_rows * raw.num_columns
    # what is in the text and in no value
    total += piece.quotes
    inside = [b'"'] if b'""' in piece.text else []
    if b"\r" in piece.text:
        total += piece.text.count(b"\r")
        inside.append(b"\r")
    for column in raw.columns:
        if pa.types.is_integer(column.type):
            total += _digits(column.drop_null().to_numpy())
        elif pa.types.is_date(column.type):
            total += len("YYYY-MM-DD") * (len(column) - column.null_count)
        else:
            total += _text_length(column, inside)
    return total


def _text_length(column: pa.Array, inside: Sequence[bytes]) -> int:
    """The bytes of a column of text, less those that are one of `inside`."""
    import numpy as np
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        _, octets = _octets(column)
        marks = sum(int(np.count_nonzero(octets == mark[0])) for mark in inside)
        return len(octets) - marks
    offsets, octets = _octets(column.dictionary)
    lengths = np.diff(offsets)
    for mark in inside:
        places = np.flatnonzero(octets == mark[0])
        if len(places):
            lengths -= np.diff(np.searchsorted(places, offsets))
    codes = column.indices.drop_null().to_numpy()
    return int(np.bincount(codes, minlength=len(lengths)) @ lengths)


def _octets(texts: pa.Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Where each text starts and ends within the bytes of all, and these."""
    import numpy as np

    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int32, len(texts) + 1)
    octets = np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)
    return bounds, octets[: bounds[-1]]


def _digits(numbers: np.ndarray[Any, Any]) -> int:
    """How many characters these integers take in decimal."""
    import numpy as np

    if not len(numbers):
        return 0
    total = len(numbers)
    low = int(numbers.min())
    if low < 0:
        total += int(np.count_nonzero(numbers < 0))
        # the lowest integer has no positive twin in int64
        numbers = np.abs(numbers).view(np.uint64)
        low = int(numbers.min())
    high = int(numbers.max())
    power = 10
    while power <= high:
        total += len(numbers) if power <= low else int(np.count_nonzero(numbers >= power))
        power *= 10
    return total


def _times(seconds: pa.Array) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    given = seconds.drop_null().to_numpy()
    if len(given) and (given.min() < 0 or given.max() > LAST_SECOND):
        raise _NeedsSlowPath
    micros = seconds.fill_null(0).to_numpy() * 1_000_000
    known = micros != 0
    valid = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
    return pa.Array.from_buffers(
        pa.timestamp("us", tz="UTC"), len(micros), [valid, pa.py_buffer(micros)]
    )


def _has_text(column: pa.Array) -> np.ndarray[Any, Any]:
    """Which cells of a text column, as it was read, are neither missing nor empty."""
    import numpy as np

    bounds = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1)
    return np.diff(bounds) > 0


def _without_empty(column: pa.Array) -> pa.Array:
    """A text column in which an empty text is missing, in the same memory."""
    import numpy as np
    import pyarrow as pa

    has_text = _has_text(column)
    if has_text.all():
        return column
    _, bounds, octets = column.buffers()
    valid = pa.py_buffer(np.packbits(has_text, bitorder="little"))
    return pa.StringArray.from_buffers(len(column), bounds, octets, valid)


def _coded_without_empty(column: pa.Array) -> pa.Array:
    """The same of a dictionary-encoded text column; its dictionary has no empty text."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = column.dictionary
    empties = np.flatnonzero(~_has_text(texts))
    if not len(empties):
        return column
    empty = empties[0]
    codes = column.indices.to_numpy()
    fewer = codes - (codes > empty)
    indices = pa.array(fewer.astype(np.int32), mask=codes == empty)
    return pa.DictionaryArray.from_arrays(indices, texts.filter(pc.not_equal(texts, "")))


def _bad_row(file: str, line: int, cells: int, wanted: int) -> FileError:
    return FileError(
        f"{file}, line {line:,}: the row has {cells} cells, the header {wanted}. "
        "Fetch the file again; if it stays so, ask for a new export",
        file=file,
        line=line,
    )


def _empty_line(piece: CsvBlock, cells: pa.RecordBatch) -> int | None:
    """The first line of the piece that is a row without a single comma, if columns want some."""
    if cells.num_columns > 1:
        lines = piece.text.split(b"\n")
        for row, values in enumerate(cells.to_pylist()):
            if not any(values.values()):
                line = _line(piece, cells, row)
                if not lines[line - piece.line].strip():
                    return line
    return None


def _line(piece: CsvBlock, cells: pa.RecordBatch, row: int) -> int:
    """The line that a row of the piece starts in: rows and line breaks inside of cells before."""
    import pyarrow.compute as pc

    before = cells.slice(0, row)
    inside = sum(pc.sum(pc.count_substring(column, "\n")).as_py() or 0 for column in before.columns)
    return piece.line + row + int(inside)
