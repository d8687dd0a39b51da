"""Arrow tables, piece by piece, to one pandas DataFrame in as little memory as possible."""

from __future__ import annotations

import itertools
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from mytracker_nb.errors import MyTrackerError
from mytracker_nb.tables.arrow_memory import copy_to_pool, pool, release_unused
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
"""The columns of some rows: a pyarrow.Array each, and of lists and maps Python objects."""

_T = TypeVar("_T")
# chunks of text that become one: what is copied at once stays small
_PIECE = 8
_MOST_CELLS = 1 << 16
_MOST_TEXTS = 1 << 20


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

    So an equal cell costs a pointer.
    """

    def __init__(self) -> None:
        self.cells = _Shared(_MOST_CELLS)
        self.texts = _Shared(_MOST_TEXTS)


class _Shared:
    """The first of each few equal values, for up to `most` different ones."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: dict[Any, Any] = {}
        self._count = 0

    def share(self, values: list[_T]) -> list[_T]:
        """For each value the first one seen that is equal to it."""
        # setdefault is one step for other threads
        first: Any = self._seen.setdefault
        if len(self._seen) >= self._most:
            # values that seldom repeat are not worth the search
            if self._count < 2 * self._most:
                return values
            first = self._seen.get
        self._count += len(values)
        return list(map(first, values, values))


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
    import pyarrow as pa

    objects = {
        one.name: (_maps if pa.types.is_map(one.type) else _tuples)(
            table.column(one.name), cells.setdefault(one.name, SharedCells())
        )
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


@dataclass(frozen=True)
class _Objects:
    """Cells that are Python objects: each different one once, and which of them each row has.

    Attributes
    ----------
    codes : numpy.ndarray
        For each row a place in `different`; in the memory of `pool`, which gives back at once what
        is free, while numpy's own would stay with the process.
    different : numpy.ndarray
        The objects. The last one is None, so that -1 is a missing cell.
    """

    codes: np.ndarray[Any, Any]
    different: np.ndarray[Any, Any]

    @classmethod
    def of(cls, codes: np.ndarray[Any, Any], different: list[Any]) -> _Objects:
        kept = _allocate(len(codes), _code_type(len(different)))
        kept[:] = codes
        return cls(kept, _array_of([*different, None]))

    def __len__(self) -> int:
        return len(self.codes)


def _tuples(column: pa.ChunkedArray, cells: SharedCells) -> _Objects:
    """The cells of a column of dictionary-encoded lists."""
    import numpy as np
    import pyarrow as pa

    codes, lists = [np.empty(0, np.int32)], [pa.array([], column.type.value_type)]
    count = 0
    for chunk in column.chunks:
        old = chunk.indices.fill_null(len(chunk.dictionary)).to_numpy()
        # of a dictionary that more rows share only what these rows use
        is_used = np.zeros(len(chunk.dictionary) + 1, bool)
        is_used[old] = True
        is_used[-1] = False
        new = np.cumsum(is_used) + (count - 1)
        new[-1] = -1
        codes.append(new[old])
        lists.append(chunk.dictionary.take(pa.array(np.flatnonzero(is_used))))
        count += len(lists[-1])
    whole = pa.concat_arrays(lists)
    different = _grouped(whole, whole.flatten(), cells).tolist()
    return _Objects.of(np.concatenate(codes), cells.cells.share(different))


def _maps(column: pa.ChunkedArray, cells: SharedCells) -> _Objects:
    """The cells of a column of maps."""
    import numpy as np

    maps: list[EventParams] = []
    is_known = [np.empty(0, bool)]
    for chunk in column.chunks:
        is_known.append(chunk.is_valid().to_numpy(zero_copy_only=False))
        start, end = chunk.offsets[0].as_py(), chunk.offsets[-1].as_py()
        sides = [part.slice(start, end - start) for part in (chunk.keys, chunk.items)]
        rows = zip(*(_grouped(chunk, part, cells).tolist() for part in sides), strict=True)
        maps += [EventParams(zip(*row, strict=True)) for row in rows]
    codes = np.where(np.concatenate(is_known), np.arange(len(maps)), -1)
    return _Objects.of(codes, cells.cells.share(maps))


def _grouped(lists: Any, elements: pa.Array, cells: SharedCells) -> np.ndarray[Any, Any]:
    """For each of some lists or maps, all of which are known, its part of `elements` as a tuple.

    All tuples of one length are made at once, by `zip` of their first elements, their second ones
    and so on: one by one they took more time than all else in a load.
    """
    import numpy as np

    coded = elements.dictionary_encode()
    texts = cells.texts.share(coded.dictionary.to_numpy(zero_copy_only=False).tolist())
    values = _array_of([*texts, None])[coded.indices.fill_null(len(texts)).to_numpy()]
    starts = lists.offsets.to_numpy() - lists.offsets[0].as_py()
    lengths = np.diff(starts)
    tuples = np.empty(len(lengths), object)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        # of no columns at all zip makes no rows
        same = zip(*(values[starts[rows] + place].tolist() for place in range(length)), strict=True)
        empty: Iterable[tuple[Any, ...]] = itertools.repeat((), len(rows))
        tuples[rows] = np.fromiter(same if length else empty, object, len(rows))
    return tuples


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
        release_unused()
    frame = pd.DataFrame(columns, columns=schema.names, copy=False)
    frame.attrs.update(descriptions(schema.names))
    return frame


def _pandas_column(chunks: list[Any], arrow: pa.DataType, options: FrameOptions) -> Any:
    """One column of the frame; `chunks` is emptied where that frees memory early."""
    import pandas as pd
    import pyarrow as pa

    if _is_object(arrow):
        # as a Series: pandas would look for a better type of a bare array of objects
        return pd.Series(_joined(chunks), dtype=object, copy=False)
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


def _joined(chunks: list[_Objects]) -> np.ndarray[Any, Any]:
    """The objects of all rows; `chunks` is emptied."""
    import numpy as np

    objects = np.empty(sum(map(len, chunks)), object)
    start = 0
    for place, chunk in enumerate(chunks):
        objects[start : start + len(chunk)] = chunk.different[chunk.codes]
        start += len(chunk)
        chunks[place] = None  # type: ignore[call-overload]
    return objects


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
