"""Converts columns of Parquet files to text, the type that every cell fits.

A column must have the same type in all files of a dataset; otherwise readers refuse the dataset, or
return mixed values. If a cell of a new file does not fit the type of its column, the column is text
in that file, as the service wrote it, and is converted to text in the others. These have the values
only: a number that was written as ``1.50`` becomes ``1.5``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mytracker_nb.tables.parquet_writer import open_writer

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["mixed_columns", "rewrite", "to_text"]

_ESCAPED = re.compile(r"[\\'\0\b\f\n\r\t]")
_ESCAPES = {"\0": "0", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}


def mixed_columns(schemas: Iterable[pa.Schema]) -> set[str]:
    """The names of the columns that do not have the same type in all schemas."""
    types: dict[str, Any] = {}
    return {
        field.name
        for schema in schemas
        for field in schema
        if types.setdefault(field.name, field.type) != field.type
    }


def to_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    r"""The cells as text.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        A column of one of the types of `mytracker_nb.tables.schema.field`.

    Returns
    -------
    pyarrow.ChunkedArray
        Unix seconds for times, ``2026-11-01`` for dates, ``['a','it\'s']`` for lists.
    """
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("s", tz=column.type.tz)).cast(pa.int64())
    if pa.types.is_list(column.type):
        texts = [None if cell is None else _array_text(cell) for cell in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])
    return column.cast(pa.string())


def _array_text(elements: list[str | None]) -> str:
    return f"[{','.join('NULL' if text is None else _quoted(text) for text in elements)}]"


def _quoted(text: str) -> str:
    escaped = _ESCAPED.sub(lambda match: f"\\{_ESCAPES.get(match[0], match[0])}", text)
    return f"'{escaped}'"


def rewrite(
    source: Path, target: Path, columns: Collection[str], partition_by: str | None = None
) -> None:
    """Write a Parquet file with some columns as text.

    Parameters
    ----------
    source, target : Path
        The file, and a new one.
    columns : collection of str
        The columns.
    partition_by : str, optional
        The column by which the dataset is partitioned.

    Raises
    ------
    OSError
        If one can't be read or written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetFile(source) as file:
        fields = [
            field.with_type(pa.string()) if field.name in columns else field
            for field in file.schema_arrow
        ]
        schema = pa.schema(fields)
        with open_writer(target, schema, partition_by) as writer:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                cells = [
                    to_text(table[field.name]) if field.name in columns else table[field.name]
                    for field in schema
                ]
                writer.write_table(pa.table(cells, schema=schema))
