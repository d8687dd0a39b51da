"""The memory of Arrow columns: the pool they are in, and the size of their chunks."""

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


# Rows of a chunk. Arrays of common widths then just fit the sizes in which the allocator reserves
# memory, and waste none.
CHUNK = 32_700


@cache
def pool() -> Any:
    """The memory pool for columns that are kept.

    It is jemalloc, set to return freed memory to the system at once: a load then takes a tenth less
    memory than with Arrow's default pool. Call it first on
    a thread that does not fill it.
    """
    import pyarrow as pa

    try:
        jemalloc = pa.jemalloc_memory_pool()
        # Each thread gets an arena of jemalloc's. The first arena exists before the setting below,
        # so it keeps free memory for a second all the same: this gives it to the calling thread.
        pa.allocate_buffer(1, memory_pool=jemalloc)
        pa.jemalloc_set_decay_ms(0)
    except NotImplementedError:
        return pa.default_memory_pool()
    return jemalloc


def release_unused() -> None:
    """Return the freed memory of Arrow's pools to the system; a pool keeps some for each thread."""
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
    """Divide the same rows into tables of `rows` rows; the last table can have fewer.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        Tables of the same schema.
    rows : int
        How many rows each table gets.

    Yields
    ------
    pyarrow.Table
        At least one, unless there are no tables.
    """
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += len(table)
        if count >= rows:
            joined = _concat(waiting)
            waiting, start = [], 0
            while count >= rows:
                yield joined.slice(start, rows)
                start += rows
                count -= rows
            if count:
                waiting = [joined.slice(start)]
            del joined
    if waiting:
        yield _concat(waiting)


def _concat(tables: list[pa.Table]) -> pa.Table:
    """Join tables; each dictionary-encoded column of text gets one dictionary for all rows.

    Arrow can't unify dictionaries of lists, so their chunks keep their own.
    """
    import pyarrow as pa

    joined = pa.concat_tables(tables)
    for index, column in enumerate(joined.columns):
        if pa.types.is_dictionary(column.type) and pa.types.is_string(column.type.value_type):
            joined = joined.set_column(index, joined.field(index), column.unify_dictionaries())
    return joined


def copy_to_pool(
    table: pa.Table,
    narrow: Callable[[pa.Array], pa.Array] = lambda array: array,
    *,
    release_memory: bool = False,
) -> list[pa.Array]:
    """Copy the columns of a table to `pool`, each as one array.

    Parameters
    ----------
    table : pyarrow.Table
        The table; all chunks of a title have the same dictionary.
    narrow : callable, optional
        Converts each chunk before it is copied.
    release_memory : bool
        Whether to return the memory that was used to parse the table to the system.
    """
    import pyarrow as pa

    columns = []
    for column in table.columns:
        chunks = [narrow(chunk) for chunk in column.chunks]
        columns.append(
            pa.concat_arrays(chunks, memory_pool=pool()) if chunks else pa.array([], column.type)
        )
    if release_memory:
        # the allocator keeps the freed memory of each thread, which adds up
        pa.default_memory_pool().release_unused()
    return columns
