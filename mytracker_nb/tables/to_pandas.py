"""Arrow tables, piece by piece, to one pandas DataFrame in as little memory as possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from mytracker_nb.tables.arrow_memory import copy_to_pool, pool
from mytracker_nb.tables.schema import descriptions

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["Columns", "DtypeBackend", "dtypes", "narrow_codes", "to_frame"]

DtypeBackend = Literal["pyarrow", "numpy_nullable"]
Columns = list[Any]
"""The columns of some rows, each a pyarrow.Array."""


def dtypes(dtype_backend: DtypeBackend) -> Callable[[pa.DataType], Any]:
    """What becomes of each Arrow type; None leaves it to Arrow.

    Raises
    ------
    ValueError
        If there is no such backend.
    """
    if dtype_backend not in ("pyarrow", "numpy_nullable"):
        raise ValueError(
            f"dtype_backend is {dtype_backend!r}; it can be 'pyarrow' or 'numpy_nullable'"
        )

    def dtype(arrow: pa.DataType) -> Any:
        import pandas as pd
        import pyarrow as pa

        numpy = {
            pa.int64(): pd.Int64Dtype(),
            pa.float64(): pd.Float64Dtype(),
            pa.string(): pd.StringDtype("pyarrow"),
        }
        if dtype_backend == "pyarrow" or pa.types.is_nested(arrow):
            return pd.ArrowDtype(arrow)
        return numpy.get(arrow)

    return dtype


def narrow_codes(table: pa.Table, *, release_memory: bool = False) -> Columns:
    """Copy the columns of a table, titles with the smallest codes that fit (see `copy_to_pool`)."""
    return copy_to_pool(table, _slim, release_memory=release_memory)


def _slim(column: pa.Array) -> pa.Array:
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        return column
    codes = column.indices.cast(pa.from_numpy_dtype(_code_type(len(column.dictionary))))
    return pa.DictionaryArray.from_arrays(codes, column.dictionary)


def _code_type(count: int) -> Any:
    import numpy as np

    return next(kind for kind in (np.int8, np.int16, np.int32) if count <= np.iinfo(kind).max)


def to_frame(
    schema: pa.Schema, parts: list[Columns], dtype: Callable[[pa.DataType], Any]
) -> pd.DataFrame:
    """One DataFrame of all rows.

    Parameters
    ----------
    schema : pyarrow.Schema
        The names of the columns, and their types where there are no rows.
    parts : list of Columns
        The rows, as `narrow_codes` gives them. They are emptied on the way, so that the memory of
        a column is free before the next is converted.
    dtype : callable
        As `dtypes` gives it.

    Returns
    -------
    pandas.DataFrame
        Titles are categorical; ``.attrs`` tells what the columns hold.
    """
    import pandas as pd
    import pyarrow as pa

    columns: dict[str, Any] = {}
    for place, field in enumerate(schema):
        chunks = [part[place] for part in parts]
        for part in parts:
            part[place] = None
        if pa.types.is_dictionary(field.type):
            columns[field.name] = _categorical(chunks)
        else:
            column = pa.chunked_array(chunks, field.type)
            del chunks
            columns[field.name] = column.to_pandas(types_mapper=dtype, date_as_object=False)
            del column
    frame = pd.DataFrame(columns, columns=schema.names, copy=False)
    frame.attrs.update(descriptions(schema.names))
    return frame


def _categorical(chunks: list[Any]) -> Any:
    """One categorical of dictionary-encoded chunks, categories in the order of the rows."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.unique(pa.chunked_array([chunk.dictionary for chunk in chunks], pa.string()))
    kind = _code_type(len(texts))
    count = sum(map(len, chunks))
    # in the memory that the columns before have left
    memory = pa.allocate_buffer(count * np.dtype(kind).itemsize, memory_pool=pool())
    codes: Any = np.frombuffer(memory, kind, count)
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
