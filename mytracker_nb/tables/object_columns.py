"""Columns of Python objects: lists as tuples, maps as `EventParams`; equal cells are one object.

While files are read, `encode_cells` stores the cells in Arrow, with each text once for a few ten
thousand rows; `to_objects` makes the objects of a whole column at the end. Making them while files
are read took several times as long: the same texts became objects again for each block of rows, and
only one thread at a time can make objects.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mytracker_nb.tables.arrow_memory import allocate, code_type, pool
from mytracker_nb.tables.event_params import EventParams

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Numbers = np.ndarray[Any, np.dtype[np.integer[Any]]]
    Objects = np.ndarray[Any, np.dtype[np.object_]]

__all__ = ["EncodedCells", "becomes_objects", "encode_cells", "to_objects"]

_MOST_SHARED = 1 << 16  # distinct cells of a column up to which equal ones are one object


def becomes_objects(arrow: pa.DataType) -> bool:
    """Whether a column of this type is converted to Python objects: coded lists, and maps."""
    import pyarrow as pa

    is_coded_list = pa.types.is_dictionary(arrow) and pa.types.is_list(arrow.value_type)
    return bool(is_coded_list or pa.types.is_map(arrow))


@dataclass(frozen=True)
class EncodedCells:
    """The cells of some rows of a column: the distinct cells, and a code for each row.

    For example, the rows ``[level, item]``, missing, ``[level]`` and ``[level, item]`` have the
    codes 0, -1, 1 and 0, the lengths 2 and 1, and the elements ``level``, ``item``, ``level``.

    Attributes
    ----------
    codes : numpy.ndarray
        For each row the number of its cell; -1 if the cell is missing.
    lengths : numpy.ndarray
        The number of elements of each cell.
    elements : list of pyarrow.DictionaryArray
        The elements of all cells, one after the other: one array; for maps one of the keys and one
        of the values.
    """

    codes: Numbers
    lengths: Numbers
    elements: list[pa.DictionaryArray]


def encode_cells(column: pa.ChunkedArray) -> EncodedCells:
    """Encode the cells of a column. The result is a copy: it needs no memory of the column.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Dictionary-encoded lists, or maps.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_map(column.type):
        cells = _concatenated(column.chunks, column.type)
        is_known = cells.is_valid().to_numpy(zero_copy_only=False)
        codes = np.where(is_known, np.arange(len(cells)), -1)
        sides = [cells.keys, cells.items]
    else:
        codes, cells = _used_lists(column)
        sides = [cells.values]
    bounds = cells.offsets.to_numpy()
    lengths = np.diff(bounds)
    return EncodedCells(
        _narrowed(codes, len(cells)),
        _narrowed(lengths, lengths.max(initial=0)),
        [
            pc.dictionary_encode(side.slice(bounds[0], bounds[-1] - bounds[0]), memory_pool=pool())
            for side in sides
        ],
    )


def _concatenated(chunks: list[pa.Array], arrow: pa.DataType) -> pa.Array:
    import pyarrow as pa

    return pa.concat_arrays([pa.array([], arrow), *chunks])


def _used_lists(column: pa.ChunkedArray) -> tuple[Numbers, pa.Array]:
    """A code for each row, and the lists: only those of the dictionaries that rows use."""
    import numpy as np
    import pyarrow as pa

    codes, lists = [np.empty(0, np.int64)], []
    count = 0
    for chunk in column.chunks:
        old = chunk.indices.fill_null(len(chunk.dictionary)).to_numpy()
        is_used = np.zeros(len(chunk.dictionary) + 1, bool)
        is_used[old] = True
        is_used[-1] = False
        new = np.cumsum(is_used) + (count - 1)
        new[-1] = -1
        codes.append(new[old])
        lists.append(chunk.dictionary.take(pa.array(np.flatnonzero(is_used))))
        count += len(lists[-1])
    return np.concatenate(codes), _concatenated(lists, column.type.value_type)


def _narrowed(numbers: Numbers, most: int) -> Numbers:
    """The numbers in the smallest type for their maximum `most`, in memory of `pool`."""
    narrow = allocate(len(numbers), code_type(most))
    narrow[:] = numbers
    return narrow


def to_objects(parts: list[EncodedCells]) -> Objects:
    """The cells of all rows of a column.

    Parameters
    ----------
    parts : list of EncodedCells
        The rows, in order. The list is emptied, so that its memory is free early.

    Returns
    -------
    numpy.ndarray
        Tuples or `EventParams`; None if a cell is missing. Equal texts are one object; so are equal
        cells, unless there are very many distinct ones.
    """
    import numpy as np

    objects = np.empty(sum(len(part.codes) for part in parts), object)
    texts = [_share_texts(parts, side) for side in range(len(parts[0].elements) if parts else 0)]
    known: dict[Any, Any] = {}
    start = 0
    parts.reverse()
    with _no_garbage_collection():
        while parts:
            part = parts.pop()
            sides = [
                _tuples(part.lengths, every[each.indices.fill_null(-1).to_numpy()])
                for every, each in zip(texts, part.elements, strict=True)
            ]
            cells = sides[0].tolist()
            if len(sides) == 2:
                cells = [EventParams(zip(*both, strict=True)) for both in zip(*sides, strict=True)]
            end = start + len(part.codes)
            # the code -1 selects the last object: None
            objects[start:end] = _array_of([*_share_cells(cells, known), None])[part.codes]
            start = end
    return objects


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Pause Python's garbage collector, which takes a fifth of the time to make tuples.

    It searches for cycles of references. Tuples of texts have none.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _share_texts(parts: list[EncodedCells], side: int) -> Objects:
    """The distinct texts of all parts, then None; the codes of the parts now refer to these."""
    import numpy as np
    import pyarrow as pa

    whole = pa.chunked_array([part.elements[side] for part in parts])
    whole = whole.unify_dictionaries(memory_pool=pool())
    for part, elements in zip(parts, whole.chunks, strict=True):
        part.elements[side] = elements
    texts: Objects = whole.chunk(0).dictionary.to_numpy(zero_copy_only=False)
    return np.concatenate([texts, _array_of([None])])


def _share_cells(cells: list[Any], known: dict[Any, Any]) -> list[Any]:
    """Replace each cell by the first one that is equal to it; `known` has the earlier cells.

    If there are very many distinct cells, few of them repeat, so the search is skipped.
    """
    if len(known) >= _MOST_SHARED:
        return cells
    return [known.setdefault(cell, cell) for cell in cells]


def _tuples(lengths: Numbers, elements: Objects) -> Objects:
    """The elements in tuples of these lengths.

    One `zip` makes all tuples of one length, from their first elements, their second ones and so
    on: making them one by one took more time than the rest of a load.
    """
    import numpy as np

    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    tuples = np.empty(len(lengths), object)
    for length in np.unique(lengths).tolist():
        cells = np.flatnonzero(lengths == length)
        # zip makes no rows if there are no columns
        columns = [elements[starts[cells] + place].tolist() for place in range(length)]
        same: Iterable[Any] = (
            zip(*columns, strict=True) if length else itertools.repeat((), len(cells))
        )
        tuples[cells] = np.fromiter(same, object, len(cells))
    return tuples


def _array_of(cells: list[Any]) -> Objects:
    """An array of these objects; `numpy.array` would make a matrix of tuples of one length."""
    import numpy as np

    objects = np.empty(len(cells), object)
    objects[:] = cells
    return objects
