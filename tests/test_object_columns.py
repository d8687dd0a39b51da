"""Arrow's lists and maps as Python objects: all values are the same, equal ones are shared."""

from __future__ import annotations

import gc
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mytracker_nb.tables import object_columns
from mytracker_nb.tables.event_params import EventParams
from mytracker_nb.tables.object_columns import encode_cells, to_objects

TEXTS = st.sampled_from(["", "level", "item", "меч", "\0"]) | st.text(max_size=3)
LISTS = st.lists(st.none() | TEXTS, max_size=4)
MAPS = st.dictionaries(TEXTS, st.none() | TEXTS, max_size=3)


def coded(rows: list[Any], unused: list[Any], start: int) -> pa.Array:
    """Rows as dictionary-encoded lists, of a dictionary that holds more and of a slice of it."""
    known = [*unused, *(row for row in rows if row is not None)]
    codes = [None if row is None else known.index(row) for row in rows]
    lists = pa.array([None, *known], pa.list_(pa.string()))[1:]
    before = pa.array([0] * start + codes, pa.int32()) if known else pa.array(codes, pa.int32())
    full = pa.DictionaryArray.from_arrays(before, lists)
    return full[len(full) - len(rows) :]


def objects(parts: list[pa.ChunkedArray]) -> list[Any]:
    encoded = [encode_cells(part) for part in parts]
    made = to_objects(encoded).tolist()
    assert not encoded
    return made


@given(st.lists(st.tuples(st.lists(st.none() | LISTS), st.lists(LISTS), st.integers(0, 2))))
def test_lists_are_tuples(chunks: list[tuple[list[Any], list[Any], int]]) -> None:
    kind = pa.dictionary(pa.int32(), pa.list_(pa.string()))
    arrays = [coded(*chunk) for chunk in chunks]
    rows = [row if row is None else tuple(row) for chunk in chunks for row in chunk[0]]
    assert objects([pa.chunked_array(arrays, kind)]) == rows
    assert objects([pa.chunked_array([each], kind) for each in arrays]) == rows


@given(st.lists(st.lists(st.none() | MAPS)), st.integers(0, 2))
def test_maps_are_dicts(chunks: list[list[Any]], start: int) -> None:
    kind = pa.map_(pa.string(), pa.string())
    arrays = [pa.array([{"a": "b"}] * start + rows, kind)[start:] for rows in chunks]
    made = objects([pa.chunked_array(arrays, kind)])
    assert made == [row for rows in chunks for row in rows]
    assert {type(cell) for cell in made} <= {EventParams, type(None)}


def test_equal_texts_and_cells_are_one_object() -> None:
    rows = [["level"], ["level", "item"], None, ["item"], ["level"]]
    parts = [pa.chunked_array([coded(rows, [["x"]], 0)]) for _ in range(3)]
    made = objects(parts)
    assert len({id(cell) for cell in made}) == len(set(made))
    assert len({id(text) for cell in made if cell for text in cell}) == 2


def test_cells_that_seldom_repeat_are_right_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_columns, "_MOST_SHARED", 3)
    parts = [[[str(part), str(row % 7)] for row in range(20)] for part in range(4)]
    made = objects([pa.chunked_array([coded(rows, [], 0)]) for rows in parts])
    assert made == [tuple(row) for rows in parts for row in rows]
    assert len({id(text) for cell in made for text in cell}) == 7


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_collected_again_afterwards(enabled: bool) -> None:
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        objects([pa.chunked_array([coded([["level"]], [], 0)])])
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()


def test_no_rows_are_no_objects() -> None:
    assert objects([]) == []
    empty = pa.chunked_array([], pa.dictionary(pa.int32(), pa.list_(pa.string())))
    assert objects([empty, empty]) == []
