"""Typed columns as the text that the service would write."""

from __future__ import annotations

import math
from datetime import date, datetime, timezone
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from mytracker_nb.tables.clickhouse_arrays import parse_array
from mytracker_nb.tables.schema import LAST_SECOND, fits, schema
from mytracker_nb.tables.text_columns import mixed_columns, rewrite, to_text

TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(["NULL", "'", "\\'"])


def texts(selector: str, values: list[Any]) -> list[str | None]:
    column = pa.chunked_array([pa.array(values, schema([selector]).field(0).type)])
    found: list[str | None] = to_text(column).to_pylist()
    return found


@given(st.lists(st.none() | st.lists(st.none() | TEXT, max_size=4), min_size=1, max_size=5))
def test_lists_are_read_back_as_they_were(lists: list[list[str | None] | None]) -> None:
    found = texts("params.name", lists)
    assert [None if text is None else parse_array(text) for text in found] == lists


@given(st.integers(-(2**63), 2**63 - 1), st.dates(), st.integers(0, LAST_SECOND), st.floats())
def test_every_text_has_the_value_and_fits_its_type(
    number: int, day: date, seconds: int, share: float
) -> None:
    assert texts("idCountry", [number, None]) == [str(number), None]
    assert texts("dtEvent", [day, None]) == [day.isoformat(), None]
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    assert texts("tsEvent", [moment, None]) == [str(seconds), None]
    (text,) = texts("xdpi", [share])
    assert text is not None
    assert float(text) == share or math.isnan(share)
    for selector, written in (("idCountry", str(number)), ("dtEvent", str(day))):
        assert fits(selector, written)


@pytest.mark.parametrize(("share", "text"), [(1e5, "100000"), (0.1, "0.1"), (-0.5, "-0.5")])
def test_numbers_have_the_digits_that_they_need(share: float, text: str) -> None:
    assert texts("xdpi", [share]) == [text]


def test_everything_else_in_the_file_is_unchanged(tmp_path: Any) -> None:
    selectors = ["idCountry", "idAppTitle", "tsEvent", "params.name"]
    table = pa.Table.from_pylist(
        [
            {"idCountry": 188, "idAppTitle": "b", "tsEvent": datetime(2026, 1, 1)},
            {"idCountry": None, "idAppTitle": "a", "params.name": ["x", "it's"]},
        ],
        schema=schema(selectors),
    )
    parquet.write_table(table, tmp_path / "a", row_group_size=1)
    rewrite(tmp_path / "a", tmp_path / "b", {"idCountry", "params.name"})
    found = parquet.read_table(tmp_path / "b")
    assert found.drop(["idCountry", "params.name"]).equals(
        table.drop(["idCountry", "params.name"]), check_metadata=True
    )
    assert found["idCountry"].to_pylist() == ["188", None]
    assert found["params.name"].to_pylist() == [None, r"['x','it\'s']"]
    assert found.schema.field("idCountry").metadata == table.schema.field("idCountry").metadata
    assert mixed_columns([table.schema, found.schema]) == {"idCountry", "params.name"}
