"""Arrow tables, piece by piece, to one pandas DataFrame in as little memory as possible."""

from __future__ import annotations

import itertools
import zoneinfo
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from mytracker_nb.errors import MyTrackerError
from mytracker_nb.tables.arrow_memory import copy_to_pool, pool
from mytracker_nb.tables.event_params import EventParams
from mytracker_nb.tables.schema import descriptions

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

__all__ = [
    "Columns",
    "DtypeBackend",
    "FrameOptions",
    "SharedCells",
    "check_zone",
    "to_columns",
    "to_frame",
]

DtypeBackend = Literal["numpy_nullable", "pyarrow"]
Columns = list[Any]
"""The columns of some rows, each a pyarrow.Array or, of lists and maps, an array of objects."""

_T = TypeVar("_T", bound=Hashable)
# chunks of text that become one: what is copied at once stays small
_PIECE = 8
_MOST_CELLS = 1 << 16
_MOST_TEXTS = 1 << 19


@dataclass(frozen=True)
class FrameOptions:
    """How a DataFrame holds the columns.

    Attributes
    ----------
    dtype_backend : {"numpy_nullable", "pyarrow"}
        pandas' own types, or Arrow's.
    categories : bool, optional
        Whether titles are categories; None: with ``"pyarrow"`` only.
    tz : str
        The zone of the times.

    Raises
    ------
    ValueError
        If there is no such backend.
    MyTrackerError
        If there is no such zone.
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
        """Whether the columns stay Arrow's."""
        return self.dtype_backend == "pyarrow"

    @property
    def has_categories(self) -> bool:
        """Whether titles become categories."""
        return self.is_arrow if self.categories is None else self.categories


def check_zone(tz: str) -> None:
    """Whether there is such a time zone.

    Raises
    ------
    MyTrackerError
        If there is none.
    """
    try:
        zoneinfo.ZoneInfo(tz)
    except (KeyError, ValueError, TypeError, OSError):
        raise MyTrackerError(
            f"tz={tz!r} is not a time zone. Use a name such as 'Europe/Moscow', "
            "or 'request' for the zone of the request"
        ) from None


class SharedCells:
    """Equal cells of a column of objects, and equal texts in them, as one object.

    So an equal cell costs a pointer. A column whose cells do not repeat fills its dict, which then
    grows no more.
    """

    def __init__(self) -> None:
        self._cells: dict[Any, Any] = {}
        self._texts: dict[str, str] = {}

    def share(self, cells: Iterable[_T]) -> list[_T]:
        """For each cell the first one seen that is equal to it."""
        return _first(self._cells, cells, _MOST_CELLS)

    def share_texts(self, texts: Iterable[str]) -> list[str]:
        """For each text the first one seen that is equal to it."""
        return _first(self._texts, texts, _MOST_TEXTS)


def _first(seen: dict[Any, Any], values: Iterable[Any], most: int) -> list[Any]:
    # setdefault is one step for other threads
    first = seen.setdefault if len(seen) < most else seen.get
    return [first(value, value) for value in values]


def to_columns(
    table: pa.Table, cells: dict[str, SharedCells], *, release_memory: bool = False
) -> Columns:
    """The columns of a table, copied so that nothing of the table is needed any more.

    Parameters
    ----------
    table : pyarrow.Table
        The rows. Lists that are dictionary-encoded become tuples, maps become `EventParams`;
        titles get the smallest codes that fit.
    cells : dict of str to SharedCells
        For each column of objects the cells of the tables before; filled on the way.
    release_memory : bool
        See `copy_to_pool`.
    """
    objects = {
        one.name: _objects(table.column(one.name), cells.setdefault(one.name, SharedCells()))
        for one in table.schema
        if _is_object(one.type)
    }
    rest = table.drop_columns(list(objects)) if objects else table
    names = table.column_names
    del table
    arrays = dict(
        zip(
            rest.column_names,
            copy_to_pool(rest, _narrow_codes, release_memory=release_memory),
            strict=True,
        )
    )
    return [objects[name] if name in objects else arrays[name] for name in names]


def _is_object(arrow: pa.DataType) -> bool:
    import pyarrow as pa

    is_coded_list = pa.types.is_dictionary(arrow) and pa.types.is_list(arrow.value_type)
    return bool(is_coded_list or pa.types.is_map(arrow))


def _objects(column: pa.ChunkedArray, cells: SharedCells) -> np.ndarray[Any, Any]:
    """The cells of a column as Python objects, missing ones as None."""
    import numpy as np
    import pyarrow as pa

    to_objects = _params if pa.types.is_map(column.type) else _tuples
    chunks = [to_objects(chunk, cells) for chunk in column.chunks]
    return np.concatenate(chunks) if chunks else np.empty(0, object)


def _tuples(column: pa.DictionaryArray, cells: SharedCells) -> np.ndarray[Any, Any]:
    import numpy as np
    import pyarrow as pa

    codes = column.indices.fill_null(len(column.dictionary)).to_numpy()
    # of a dictionary that more rows share only what these rows use
    is_used = np.zeros(len(column.dictionary) + 1, bool)
    is_used[codes] = True
    is_used[-1] = False
    lists = column.dictionary.take(pa.array(np.flatnonzero(is_used)))
    tuples = np.full(len(is_used), None, object)
    tuples[is_used] = _array_of(cells.share(_slices(lists, lists.flatten(), cells)))
    objects: np.ndarray[Any, Any] = tuples[codes]
    return objects


def _params(column: pa.MapArray, cells: SharedCells) -> np.ndarray[Any, Any]:
    is_known = column.is_valid().to_numpy(zero_copy_only=False)
    start, end = column.offsets[0].as_py(), column.offsets[-1].as_py()
    sides = [part.slice(start, end - start) for part in (column.keys, column.items)]
    rows = zip(*(_slices(column, part, cells) for part in sides), strict=True)
    objects = _array_of(cells.share(EventParams(zip(*row, strict=True)) for row in rows))
    objects[~is_known] = None
    return objects


def _slices(lists: Any, elements: pa.Array, cells: SharedCells) -> Iterator[tuple[Any, ...]]:
    """For each of some lists or maps, all of which are known, its part of `elements`."""
    offsets = (lists.offsets.to_numpy() - lists.offsets[0].as_py()).tolist()
    coded = elements.dictionary_encode()
    texts = cells.share_texts(coded.dictionary.to_numpy(zero_copy_only=False).tolist())
    codes = coded.indices.fill_null(len(texts)).to_numpy()
    values = _array_of([*texts, None])[codes].tolist()
    for start, end in itertools.pairwise(offsets):
        yield tuple(values[start:end])


def _array_of(cells: list[Any]) -> np.ndarray[Any, Any]:
    """An array of these objects; numpy on its own would make tuples of one length a matrix."""
    import numpy as np

    objects = np.empty(len(cells), object)
    objects[:] = cells
    return objects


def _narrow_codes(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        return column
    codes = column.indices.cast(pa.from_numpy_dtype(_code_type(len(column.dictionary))))
    return pa.DictionaryArray.from_arrays(codes, column.dictionary)


def _code_type(count: int) -> Any:
    import numpy as np

    return next(kind for kind in (np.int8, np.int16, np.int32) if count <= np.iinfo(kind).max)


def to_frame(schema: pa.Schema, parts: list[Columns], options: FrameOptions) -> pd.DataFrame:
    """One DataFrame of all rows.

    Parameters
    ----------
    schema : pyarrow.Schema
        The names of the columns, and their types where there are no rows.
    parts : list of Columns
        The rows, as `to_columns` gives them. They are emptied on the way, so that the memory of
        a column is free before the next is converted.
    options : FrameOptions
        How the frame holds them.

    Returns
    -------
    pandas.DataFrame
        ``.attrs`` says what the columns hold.
    """
    import pandas as pd

    columns: dict[str, Any] = {}
    for place, one in enumerate(schema):
        chunks = [part[place] for part in parts]
        for part in parts:
            part[place] = None
        columns[one.name] = _pandas_column(chunks, one.type, options)
        del chunks
        # what is free in the arenas of the threads that read the files
        pool().release_unused()
    frame = pd.DataFrame(columns, columns=schema.names, copy=False)
    frame.attrs.update(descriptions(schema.names))
    return frame


def _pandas_column(chunks: list[Any], arrow: pa.DataType, options: FrameOptions) -> Any:
    """One column of the frame; `chunks` is emptied where that frees memory early."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    if _is_object(arrow):
        # as a Series: pandas would look for a better type of a bare array of objects
        return pd.Series(np.concatenate([np.empty(0, object), *chunks]), dtype=object, copy=False)
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
        # by its name, so that each version of pandas has its own kind of zone
        return column.to_pandas().dt.tz_convert(options.tz)
    if pa.types.is_date(arrow):
        return column.cast(pa.timestamp("us")).to_pandas()
    return _numbers(column.chunks or [pa.array([], arrow)])


def _text(chunks: list[Any]) -> Any:
    """Text of pandas' own type, `_PIECE` chunks as one: in small ones pandas is slow."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    large = pa.large_string()
    pieces = []
    while chunks:
        some = [pc.cast(chunk, large, memory_pool=pool()) for chunk in chunks[:_PIECE]]
        del chunks[:_PIECE]
        pieces.append(pa.concat_arrays(some, memory_pool=pool()))
        del some
    own: Any = pd.Series(["text"]).dtype
    if not isinstance(own, pd.StringDtype):  # before pandas 3
        own = pd.StringDtype("pyarrow")
    return own.__from_arrow__(pa.chunked_array(pieces, large))


def _numbers(chunks: list[Any]) -> Any:
    """Whole or other numbers with a mask, as pandas' own nullable types have them."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    count = sum(map(len, chunks))
    is_whole = pa.types.is_integer(chunks[0].type)
    values = _allocate(count, np.int64 if is_whole else np.float64)
    mask = _allocate(count, np.bool_)
    start = 0
    for chunk in chunks:
        here = slice(start, start + len(chunk))
        start += len(chunk)
        values[here] = chunk.fill_null(0).to_numpy()
        mask[here] = chunk.is_null().to_numpy(zero_copy_only=False)
    array = pd.arrays.IntegerArray if is_whole else pd.arrays.FloatingArray
    return array(values, mask)


def _allocate(count: int, kind: Any) -> np.ndarray[Any, Any]:
    """Memory that the columns converted before have left."""
    import numpy as np
    import pyarrow as pa

    memory = pa.allocate_buffer(count * np.dtype(kind).itemsize, memory_pool=pool())
    array: np.ndarray[Any, Any] = np.frombuffer(memory, kind, count)
    return array


def _categorical(chunks: list[Any]) -> Any:
    """One categorical of dictionary-encoded chunks, categories in the order of the rows."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.unique(pa.chunked_array([chunk.dictionary for chunk in chunks], pa.string()))
    kind = _code_type(len(texts))
    count = sum(map(len, chunks))
    codes = _allocate(count, kind)
    codes[:] = -1
    start = 0
    for chunk in chunks:
        here = codes[start : start + len(chunk)]
        start += len(chunk)
        if len(chunk.dictionary):
            places = pc.index_in(chunk.dictionary, texts).to_numpy().astype(kind)
            np.take(places, chunk.indices.fill_null(0).to_numpy(), out=here)
            if chunk.indices.null_count:
                here[chunk.indices.is_null().to_numpy(zero_copy_only=False)] = -1
    categories: Any = pd.CategoricalDtype(texts.to_pandas())
    return pd.Categorical.from_codes(codes, dtype=categories, validate=False)
