"""Conversion of Arrow tables, one at a time, to one pandas DataFrame, with little extra memory."""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from mytracker_nb.download.workers import run_all
from mytracker_nb.errors import MyTrackerError
from mytracker_nb.service.stopping import Stop
from mytracker_nb.tables.arrow_memory import (
    allocate,
    code_type,
    copy_to_pool,
    pool,
    release_unused,
)
from mytracker_nb.tables.object_columns import becomes_objects, encode_cells, to_objects
from mytracker_nb.tables.schema import descriptions

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = [
    "Columns",
    "DtypeBackend",
    "FrameOptions",
    "check_zone",
    "to_columns",
    "to_frame",
]

DtypeBackend = Literal["numpy_nullable", "pyarrow"]
Columns = list[Any]
"""The columns of some rows: a pyarrow.Array each, or `EncodedCells`."""

_CHUNKS_OF_TEXT = 8  # chunks of text that are joined to one: few, so that each copy stays small


@dataclass(frozen=True)
class FrameOptions:
    """The types of a DataFrame's columns.

    Attributes
    ----------
    dtype_backend : {"numpy_nullable", "pyarrow"}
        pandas' own types, or Arrow's.
    categories : bool, optional
        Whether titles are categories; None: with ``"pyarrow"`` only.
    tz : str
        The time zone of the times.

    Raises
    ------
    ValueError
        If the backend is unknown.
    MyTrackerError
        If the time zone is unknown.
    """

    dtype_backend: DtypeBackend = "numpy_nullable"
    categories: bool | None = None
    tz: str = "UTC"

    def __post_init__(self) -> None:
        if self.dtype_backend not in get_args(DtypeBackend):
            raise ValueError(
                f"dtype_backend={self.dtype_backend!r}: use 'numpy_nullable' or 'pyarrow'"
            )
        check_zone(self.tz)

    @property
    def is_arrow(self) -> bool:
        """Whether the columns keep their Arrow types."""
        return self.dtype_backend == "pyarrow"

    @property
    def has_categories(self) -> bool:
        """Whether titles become categories."""
        return self.is_arrow if self.categories is None else self.categories


def check_zone(tz: str) -> None:
    """Validate the name of a time zone.

    Raises
    ------
    MyTrackerError
        If it is unknown.
    """
    try:
        zoneinfo.ZoneInfo(tz)
    except (KeyError, ValueError, TypeError, OSError):
        raise MyTrackerError(
            f"tz={tz!r} is not a time zone. Use a name such as 'Europe/Moscow', "
            "or 'request' for the zone of the request"
        ) from None


def to_columns(table: pa.Table, *, release_memory: bool = False) -> Columns:
    """Copy the columns of a table, so that its memory can be freed.

    Parameters
    ----------
    table : pyarrow.Table
        The rows. Titles get the smallest integer type that their codes fit.
    release_memory : bool
        See `copy_to_pool`.
    """
    objects = {
        one.name: encode_cells(table.column(one.name))
        for one in table.schema
        if becomes_objects(one.type)
    }
    rest = table.drop_columns(list(objects)) if objects else table
    names = table.column_names
    del table
    copies = copy_to_pool(rest, _narrow_codes, release_memory=release_memory)
    columns = objects | dict(zip(rest.column_names, copies, strict=True))
    return [columns[name] for name in names]


def _narrow_codes(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        return column
    codes = column.indices.cast(pa.from_numpy_dtype(code_type(len(column.dictionary))))
    return pa.DictionaryArray.from_arrays(codes, column.dictionary)


def to_frame(schema: pa.Schema, parts: list[Columns], options: FrameOptions) -> pd.DataFrame:
    """Join all rows to one DataFrame.

    Parameters
    ----------
    schema : pyarrow.Schema
        The names of the columns, and their types for a frame without rows.
    parts : list of Columns
        The rows, from `to_columns`. Each column is removed from them once it is converted, so that
        its memory is free before the next.
    options : FrameOptions
        The types of the columns.

    Returns
    -------
    pandas.DataFrame
        ``.attrs`` has a description of each column.
    """
    import pandas as pd

    # One thread makes objects, which wait for Python's lock; the other columns need it little.
    order = sorted(range(len(schema)), key=lambda place: not becomes_objects(schema[place].type))

    def convert(number: int) -> Any:
        place = order[number]
        chunks = [part[place] for part in parts]
        for part in parts:
            part[place] = None
        try:
            return _pandas_column(chunks, schema[place].type, options)
        finally:
            # what is free in the arenas of the threads that read the files
            release_unused()

    done = run_all(convert, len(order), threads=2, stop=Stop())
    columns = {schema.names[place]: column for place, column in zip(order, done, strict=True)}
    frame = pd.DataFrame(columns, columns=schema.names, copy=False)
    frame.attrs.update(descriptions(schema.names))
    return frame


def _pandas_column(chunks: list[Any], arrow: pa.DataType, options: FrameOptions) -> Any:
    """One column of the frame; `chunks` is emptied where that frees memory early."""
    import pandas as pd
    import pyarrow as pa

    if becomes_objects(arrow):
        # as a Series: pandas would look for a better type of a bare array of objects
        return pd.Series(to_objects(chunks), dtype=object, copy=False)
    if pa.types.is_dictionary(arrow):
        if options.has_categories:
            return _categorical(chunks)
        arrow = arrow.value_type
        if options.is_arrow:
            chunks = [chunk.dictionary_decode() for chunk in chunks]
    if pa.types.is_timestamp(arrow):
        arrow = pa.timestamp("us", tz=options.tz)
        chunks = [chunk.view(arrow) for chunk in chunks]
    if options.is_arrow:
        return pa.chunked_array(chunks, arrow).to_pandas(types_mapper=pd.ArrowDtype)
    if pa.types.is_string(arrow):
        return _text(chunks)
    column = pa.chunked_array(chunks, arrow)
    if pa.types.is_timestamp(arrow):
        # by the zone's name, so that pandas chooses the class of the zone, which depends on its
        # version
        return column.to_pandas().dt.tz_convert(options.tz)
    if pa.types.is_date(arrow):
        return column.cast(pa.timestamp("us")).to_pandas()
    return _numbers(column.chunks or [pa.array([], arrow)])


def _text(chunks: list[Any]) -> Any:
    """Text of pandas' own type; `_CHUNKS_OF_TEXT` chunks are joined, since small ones are slow."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    large = pa.large_string()
    joined = []
    while chunks:
        some = [pc.cast(chunk, large, memory_pool=pool()) for chunk in chunks[:_CHUNKS_OF_TEXT]]
        del chunks[:_CHUNKS_OF_TEXT]
        joined.append(pa.concat_arrays(some, memory_pool=pool()))
        del some
    own: Any = pd.Series(["text"]).dtype
    if not isinstance(own, pd.StringDtype):  # before pandas 3
        own = pd.StringDtype("pyarrow")
    return own.__from_arrow__(pa.chunked_array(joined, large))


def _numbers(chunks: list[Any]) -> Any:
    """Numbers with a mask of missing cells: pandas' own nullable types."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    count = sum(map(len, chunks))
    is_whole = pa.types.is_integer(chunks[0].type)
    values = allocate(count, np.int64 if is_whole else np.float64)
    mask = allocate(count, np.bool_)
    start = 0
    for chunk in chunks:
        here = slice(start, start + len(chunk))
        start += len(chunk)
        values[here] = chunk.fill_null(0).to_numpy()
        mask[here] = chunk.is_null().to_numpy(zero_copy_only=False)
    array = pd.arrays.IntegerArray if is_whole else pd.arrays.FloatingArray
    return array(values, mask)


def _categorical(chunks: list[Any]) -> Any:
    """One categorical of dictionary-encoded chunks; categories are in the order of the rows."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.unique(pa.chunked_array([chunk.dictionary for chunk in chunks], pa.string()))
    kind = code_type(len(texts))
    count = sum(map(len, chunks))
    codes = allocate(count, kind)
    codes[:] = -1
    start = 0
    for chunk in chunks:
        here = codes[start : start + len(chunk)]
        start += len(chunk)
        if len(chunk.dictionary):
            new_codes = pc.index_in(chunk.dictionary, texts).to_numpy().astype(kind)
            np.take(new_codes, chunk.indices.fill_null(0).to_numpy(), out=here)
            if chunk.indices.null_count:
                here[chunk.indices.is_null().to_numpy(zero_copy_only=False)] = -1
    categories: Any = pd.CategoricalDtype(texts.to_pandas())
    return pd.Categorical.from_codes(codes, dtype=categories, validate=False)
