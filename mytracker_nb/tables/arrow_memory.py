"""Where Arrow columns lie, and in how large chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = [
    "CHUNK",
    "allocate",
    "code_type",
    "copy_to_pool",
    "pool",
    "rechunk",
    "release_unused",
]


# Rows of a chunk: the arrays of common widths then fill what the allocator hands out.
CHUNK = 32_700


@cache
def pool() -> Any:
    """The memory pool for columns that stay.

    With jemalloc, which gives back at once what is free, a load takes a tenth less memory than
    with Arrow's default.
    """
    import pyarrow as pa

    try:
        jemalloc = pa.jemalloc_memory_pool()
        pa.jemalloc_set_decay_ms(0)
    except NotImplementedError:
        return pa.default_memory_pool()
    return jemalloc


def release_unused() -> None:
    """Give back the memory that is free in Arrow's pools; each keeps some for every thread."""
    import pyarrow as pa

    pool().release_unused()
    pa.default_memory_pool().release_unused()


def allocate(count: int, kind: Any) -> np.ndarray[Any, Any]:
    """An array of numpy's in `pool`; numpy's own memory would stay with the process."""
    import numpy as np
    import pyarrow as pa

    memory = pa.allocate_buffer(count * np.dtype(kind).itemsize, memory_pool=pool())
    array: np.ndarray[Any, Any] = np.frombuffer(memory, kind, count)
    return array


def code_type(most: int) -> Any:
    """The smallest type of numpy's for codes from -1 to `most`."""
    import numpy as np

    return next(kind for kind in (np.int8, np.int16, np.int32) if most <= np.iinfo(kind).max)


def rechunk(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of just `rows` rows, the last one of fewer.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        Tables of the same schema.
    rows : int
        How many rows each shall have.

    Yields
    ------
    pyarrow.Table
        At least one, if there was any.
    """
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += len(table)
        if count >= rows:
            whole = _concat(waiting)
            waiting, start = [], 0
            while count >= rows:
                yield whole.slice(start, rows)
                start += rows
                count -= rows
            if count:
                waiting = [whole.slice(start)]
            del whole
    if waiting:
        yield _concat(waiting)


def _concat(tables: list[pa.Table]) -> pa.Table:
    """Tables as one, with one dictionary for all rows of a column of text.

    Arrow cannot unify dictionaries of lists; each chunk of theirs keeps its own.
    """
    import pyarrow as pa

    whole = pa.concat_tables(tables)
    for place, column in enumerate(whole.columns):
        if pa.types.is_dictionary(column.type) and pa.types.is_string(column.type.value_type):
            whole = whole.set_column(place, whole.field(place), column.unify_dictionaries())
    return whole


def copy_to_pool(
    table: pa.Table,
    narrow: Callable[[pa.Array], pa.Array] = lambda array: array,
    *,
    release_memory: bool = False,
) -> list[pa.Array]:
    """The columns of a table in `pool`, each one array.

    Parameters
    ----------
    table : pyarrow.Table
        All chunks of a title have the same dictionary.
    narrow : callable, optional
        What to make of each chunk before.
    release_memory : bool
        Whether to give back the memory that it took to make the table.
    """
    import pyarrow as pa

    columns = []
    for column in table.columns:
        chunks = [narrow(chunk) for chunk in column.chunks]
        columns.append(
            pa.concat_arrays(chunks, memory_pool=pool()) if chunks else pa.array([], column.type)
        )
    if release_memory:
        # the allocator keeps what is free, for each thread of its own, and that is a lot
        pa.default_memory_pool().release_unused()
    return columns
