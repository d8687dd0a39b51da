"""Blocks of CSV text to Arrow tables with the types of the dictionary, every value exact.

Arrow parses numbers leniently: ``007``, ``0x7`` and `` 7`` all become 7. So each block is checked:
written back as CSV, the parsed values must take as many bytes as the block has (`_length`). If they
do not, or Arrow rejects the block, it is examined cell by cell (`_examine`).
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
    keeps_empty_text,
    kind,
    schema,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["CellTypeError", "Parser"]


@dataclass(frozen=True)
class CellTypeError:
    """The first cell of a column that does not fit the column's type.

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
        for index, one in enumerate(types):
            if pa.types.is_list(one.type):
                encoded = pa.dictionary(pa.int32(), one.type)
                types = types.set(index, one.with_type(encoded))
    return types


class _NeedsSlowPath(Exception):
    """A block must be examined cell by cell."""


class Parser:
    """Parses the blocks of files that have the same columns.

    Parameters
    ----------
    selectors : sequence of str
        The columns of the tables, in order.
    as_text : collection of str
        Columns to load as text, whatever their type in the dictionary.
    encode_lists : bool
        Whether columns of lists are dictionary-encoded: each different list once.

    Attributes
    ----------
    type_errors : dict of str to CellTypeError
        The columns loaded as text since a cell did not fit their type. A table parsed before the
        cell was found has the column's type from the dictionary.
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
        self.type_errors: dict[str, CellTypeError] = {}

    @property
    def schema(self) -> pa.Schema:
        """The schema of the next table, with the columns of `type_errors` as text."""
        as_text = self._as_text.union(self.type_errors)
        return _schema(self.selectors, as_text, self._encode_lists)

    def parse(
        self,
        block: CsvBlock,
        header: Sequence[str],
        file: str,
        found: dict[str, CellTypeError] | None = None,
    ) -> pa.Table:
        """Parse the rows of a block.

        Parameters
        ----------
        block : CsvBlock
            Complete rows.
        header : sequence of str
            The names of the file's columns, in their order: `selectors`, and perhaps others.
        file : str
            The file's name in errors.
        found : dict of str to CellTypeError, optional
            Gets the type errors of this block, instead of `type_errors`: pass it while the file is
            not yet verified.

        Returns
        -------
        pyarrow.Table
            The rows, as one chunk.

        Raises
        ------
        FileError
            If a row has too many or too few cells, is not UTF-8 or can't be parsed exactly.
        """
        import pyarrow as pa

        found = self.type_errors if found is None else found
        while True:
            # read each time: other threads add type errors, too
            as_text = self._as_text | self.type_errors.keys() | found.keys()
            # columns that were not requested are dropped below, so they are not converted
            unread = as_text.union(header) - set(self.selectors) | as_text
            roles = {name: "text" if name in unread else kind(name) for name in header}
            try:
                types = {name: _wire_type(name, role) for name, role in roles.items()}
                raw = _read(block.text, types)
                if _length(raw, block) != len(block.text):
                    raise _NeedsSlowPath
                columns = [
                    _convert(name, roles[name], raw.column(name), self._encode_lists)
                    for name in self.selectors
                ]
            except (pa.ArrowInvalid, NotAnArray, _NeedsSlowPath) as error:
                type_errors = _examine(block, roles, file)
                found.update(type_errors)
                if not type_errors:
                    raise FileError(
                        f"{file}: the rows from line {block.line:,} on can't be parsed exactly "
                        f"({printable(error) or 'misplaced line breaks or quotes'}). "
                        "Fetch the file again; if the error persists, create a new export",
                        file=file,
                        line=block.line,
                    ) from error
            else:
                typed = _schema(self.selectors, frozenset(as_text), self._encode_lists)
                return pa.table(columns, schema=typed)


def _examine(block: CsvBlock, roles: dict[str, str], file: str) -> dict[str, CellTypeError]:
    """Find the type errors of a block, cell by cell.

    Raises
    ------
    FileError
        If the block is not UTF-8, or a row has too many or too few cells.
    """
    import pyarrow as pa

    try:
        block.text.decode()
    except UnicodeDecodeError as error:
        line = block.line + block.text.count(b"\n", 0, error.start)
        raise FileError(
            f"{file}, line {line:,}: invalid UTF-8 ({error.reason}, "
            f"byte 0x{block.text[error.start]:02x}). Fetch the file again; "
            "if the error persists, create a new export",
            file=file,
            line=line,
        ) from error
    bad_rows: list[Any] = []

    def skip(row: Any) -> str:
        bad_rows.append(row)
        return "skip"

    cells = _read_csv(block.text, dict.fromkeys(roles, pa.string()), on_bad_row=skip)
    if bad_rows:
        row = bad_rows[0]
        raise _bad_row(file, _line(block, cells, row.number - 1), row.actual_columns, len(roles))
    empty = _empty_line(block, cells)
    if empty:
        raise _bad_row(file, empty, 1, len(roles))
    type_errors: dict[str, CellTypeError] = {}
    for name in [name for name, role in roles.items() if role != "text"]:
        column = cells.column(name)
        bad = _unfitting(name, column)
        if bad:
            row = next(row for row, value in enumerate(column.to_pylist()) if value in bad)
            line = _line(block, cells, row)
            type_errors[name] = CellTypeError(name, file, line, column[row].as_py())
    return type_errors


def _unfitting(selector: str, column: pa.Array) -> set[str]:
    """The texts of a column that do not fit its type."""
    return {value for value in column.unique().to_pylist() if value and not fits(selector, value)}


def _wire_type(selector: str, role: str) -> pa.DataType:
    """The type as which Arrow's CSV reader parses a column, before `_convert`."""
    import pyarrow as pa

    if role == "timestamp":
        return pa.int64()
    if role == "number":
        return pa.string()
    if role == "list":
        return pa.dictionary(pa.int32(), pa.string())
    return field(selector, as_text=role == "text").type


def _convert(selector: str, role: str, column: pa.Array, encode_lists: bool) -> pa.Array:
    """Convert a column from its `_wire_type` to the type of the dictionary."""
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
    elif pa.types.is_string(column.type) and not keeps_empty_text(selector):
        column = _without_empty(column)
    if role == "number":
        if _unfitting(selector, column):
            raise _NeedsSlowPath
        return column.cast(pa.float64())
    if role == "date" and (pc.min(column.view(pa.int32())).as_py() or 0) < FIRST_DAY:
        raise _NeedsSlowPath
    return column


def _read(text: bytes, types: dict[str, Any]) -> pa.RecordBatch:
    """Parse a block with Arrow's CSV reader.

    An empty cell is missing, with quotes or without; a text column has an empty text for it, which
    `_convert` makes missing. In a text that the app sends (`keeps_empty_text`) it is missing only
    without quotes. Arrow decides this for all columns alike, so these columns are parsed a second
    time, if they have empty cells at all.
    """
    import pyarrow as pa

    if not _is_utf8(text):
        raise _NeedsSlowPath
    batch = _read_csv(text, types)
    sent = {
        name: kept
        for name, kept in types.items()
        if keeps_empty_text(name) and not _has_text(batch.column(name)).all()
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
        # Arrow drops a BOM at the start of what it reads; in a later block it belongs to a cell
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
            # `_is_utf8` has checked the block as a whole, which is faster than cell by cell
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


def _length(raw: pa.RecordBatch, block: CsvBlock) -> int:
    """How many bytes the parsed values would take as CSV text.

    The sum of the values' lengths, a comma or line break after each, and what the text has but the
    values lack: quotes around and doubled inside cells, and carriage returns. ``7,"a"`` and a line
    break have 6 bytes: values of 1 and 1, 2 separators, 2 quotes. From ``007,"a"`` Arrow parses the
    same values, but 8 bytes came in.
    """
    import pyarrow as pa

    total: int = raw.num_rows * raw.num_columns
    # all quotes and carriage returns of the text are counted here, so those inside of values
    # (`inside`) are not counted again below
    total += block.quotes
    inside = [b'"'] if b'""' in block.text else []
    if b"\r" in block.text:
        total += block.text.count(b"\r")
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
    """How many bytes the texts of a column have, without those that are in `inside`."""
    import numpy as np
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        _, octets = _octets(column)
        marks = sum(int(np.count_nonzero(octets == mark[0])) for mark in inside)
        return len(octets) - marks
    offsets, octets = _octets(column.dictionary)
    lengths = np.diff(offsets)
    for mark in inside:
        positions = np.flatnonzero(octets == mark[0])
        if len(positions):
            lengths -= np.diff(np.searchsorted(positions, offsets))
    codes = column.indices.drop_null().to_numpy()
    return int(np.bincount(codes, minlength=len(lengths)) @ lengths)


def _octets(texts: pa.Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The offsets of the texts in an array, and the bytes that these refer to."""
    import numpy as np

    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int32, len(texts) + 1)
    octets = np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)
    return bounds, octets[: bounds[-1]]


def _digits(numbers: np.ndarray[Any, Any]) -> int:
    """How many characters the integers have in decimal notation, in total."""
    import numpy as np

    if not len(numbers):
        return 0
    total = len(numbers)
    low = int(numbers.min())
    if low < 0:
        total += int(np.count_nonzero(numbers < 0))
        # the absolute value of the lowest int64 fits uint64 only
        numbers = np.abs(numbers).view(np.uint64)
        low = int(numbers.min())
    high = int(numbers.max())
    power = 10
    while power <= high:
        total += len(numbers) if power <= low else int(np.count_nonzero(numbers >= power))
        power *= 10
    return total


def _times(seconds: pa.Array) -> pa.Array:
    """Unix seconds as timestamps; 0 is the service's value for no time, so it is missing."""
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
    """Which cells of a text column are neither missing nor empty."""
    import numpy as np

    bounds = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1)
    return np.diff(bounds) > 0


def _without_empty(column: pa.Array) -> pa.Array:
    """The text column with empty texts as missing; it shares the memory."""
    import numpy as np
    import pyarrow as pa

    has_text = _has_text(column)
    if has_text.all():
        return column
    _, bounds, octets = column.buffers()
    valid = pa.py_buffer(np.packbits(has_text, bitorder="little"))
    return pa.StringArray.from_buffers(len(column), bounds, octets, valid)


def _coded_without_empty(column: pa.Array) -> pa.Array:
    """`_without_empty` for a dictionary-encoded column; its dictionary gets no empty text."""
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
        "Fetch the file again; if the error persists, create a new export",
        file=file,
        line=line,
    )


def _empty_line(block: CsvBlock, cells: pa.RecordBatch) -> int | None:
    """The line of the first blank row of a block; None if there is none.

    Arrow parses a blank line as a row of empty cells, which is right for one column only.
    """
    if cells.num_columns > 1:
        lines = block.text.split(b"\n")
        for row, values in enumerate(cells.to_pylist()):
            if not any(values.values()):
                line = _line(block, cells, row)
                if not lines[line - block.line].strip():
                    return line
    return None


def _line(block: CsvBlock, cells: pa.RecordBatch, row: int) -> int:
    """The line of the file in which a row of the block starts.

    The rows before it have a line each, and one more for each line break inside their cells.
    """
    import pyarrow.compute as pc

    before = cells.slice(0, row)
    inside = sum(pc.sum(pc.count_substring(column, "\n")).as_py() or 0 for column in before.columns)
    return block.line + row + int(inside)
