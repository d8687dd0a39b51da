"""Coercion of values: what each type becomes, and that none raises."""

from __future__ import annotations

import decimal
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ANYTHING, NAMES, PLAIN, right

import mytracker_nb as mt
from mytracker_nb.request.coercion import Moment, Unreadable, coerce
from mytracker_nb.request.parameters import PARAMETERS, ValueType

DAYS = {"dateFrom": "2024-11-01", "dateTo": "2024-11-07"}
GOOD = {"event": "customEvents", "selectors": "idDevice", **DAYS}
MOSCOW = ZoneInfo("Europe/Moscow")


def kind(thing: Any) -> str:
    """What to call a case whose value may have no text."""
    return ascii(thing)[:40] if isinstance(thing, str) else type(thing).__name__


def value(name: str, thing: Any, **others: Any) -> Any:
    """What became of a value that is as it should be."""
    request = mt.ExportRequest(**{**GOOD, **others, name: thing})
    assert [problem for problem in request.problems if problem.severity == "error"] == []
    return request.parameters.get(name)


def refused(name: str, thing: Any) -> mt.Problem:
    (problem,) = mt.ExportRequest(**{**GOOD, name: thing}).problems
    assert (problem.parameter, problem.code, problem.severity) == (name, "bad_value", "error")
    return problem


# ---- lists


LISTS = {
    "text": "1,2",
    "text with spaces": " 1 ,\t2\u00a0",
    "texts": ["1", " 2 "],
    "texts with lists in": ["1,2"],
    "numbers": [1, 2],
    "whole floats": [1.0, 2.0],
    "tuple": (1, 2),
    "set": {2, 1},
    "frozenset": frozenset([1, 2]),
    "keys": {1: None, 2: None}.keys(),
    "range": range(1, 3),
    "numpy": np.array([1, 2]),
    "numpy, unsigned": np.array([1, 2], dtype="u8"),
    "numpy floats": np.array([1.0, 2.0]),
    "numpy texts": np.array(["1", "2"]),
    "numpy scalars": [np.int64(1), np.str_("2")],
    "Series": pd.Series([1, 2]),
    "Series, nullable": pd.Series([1, 2], dtype="Int64"),
    "Series of Arrow": pd.Series([1, 2], dtype="int64[pyarrow]"),
    "Series of texts": pd.Series(["1", "2"]),
    "Series by name": pd.Series([1, 2], index=["b", "a"]),
    "Index": pd.Index([1, 2]),
    "Categorical": pd.Categorical(["1", "2"]),
    "categories": pd.Series([1, 2], dtype="category"),
    "polars": pl.Series([1, 2]),
    "polars texts": pl.Series(["1", "2"]),
    "Arrow": pa.array([1, 2]),
    "Arrow, chunked": pa.chunked_array([[1], [2]]),
    "Arrow, dictionary": pa.array(["1", "2"]).dictionary_encode(),
    "Arrow scalars": [pa.scalar(1), pa.scalar("2")],
}


@pytest.mark.parametrize("thing", LISTS.values(), ids=LISTS)
def test_a_list_may_be_of_any_kind(thing: Any) -> None:
    assert value("idApp", thing) == (1, 2)
    assert all(type(item) is int for item in value("idApp", thing))


def test_a_generator_is_read_once() -> None:
    assert value("idApp", (number for number in (1, 2))) == (1, 2)


@pytest.mark.parametrize("thing", [5, "5", 5.0, np.int8(5), np.array(5), pa.scalar(5), ["5"]])
def test_one_value_needs_no_list(thing: Any) -> None:
    assert value("idApp", thing) == (5,)
    assert value("idSegment", thing, event="hits") == 5


def test_mixed_sets_have_a_fixed_order() -> None:
    assert value("idCountry", {"RU", 200, "de"}) == (200, 188, 202)
    assert value("idApp", {"7", 10, 9.0}) == (10, 7, 9)


TABLES = [
    pd.DataFrame({"a": [1]}),
    pl.DataFrame({"a": [1]}),
    pa.table({"a": [1]}),
    np.array([[1, 2]]),
]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: type(table).__module__)
def test_a_table_is_reported_as_one(table: Any) -> None:
    assert "one of its columns" in str(refused("idApp", table))


MISSING = [
    pd.Series([1, None]),
    pd.Series([1, None], dtype="Int64"),
    pl.Series([1, None]),
    pa.array([1, None]),
    [1, None],
    [1, float("nan")],
    [1, pd.NaT],
    [1, decimal.Decimal("NaN")],
]


@pytest.mark.parametrize("thing", MISSING, ids=lambda thing: type(thing).__module__)
def test_a_missing_value_in_a_list_is_reported(thing: Any) -> None:
    refused("idApp", thing)


# ---- ids


@pytest.mark.parametrize(
    "thing",
    [
        *[True, False, np.bool_(True), -1, "-1", "+1", 1.5, "1.0", "1e3", "1_000", 2**64, "9" * 30],
        *["x", "٣", "²", "1 000", b"1", [[1]], {"a": 1}, float("inf"), date(2024, 1, 1), object()],
        *[np.timedelta64(5, "ns"), pd.Timedelta("1s")],
    ],
    ids=kind,
)
def test_invalid_ids(thing: Any) -> None:
    assert "is not an id" in refused("idApp", thing).message


def test_ids_are_exact() -> None:
    assert value("idApp", [2**64 - 1, str(2**64 - 1), 2**53 + 1, "007"]) == (
        2**64 - 1,
        2**53 + 1,
        7,
    )
    refused("idApp", float(2**53))  # from here on, a float can be rounded from its neighbour
    assert value("idApp", float(2**53 - 1)) == (2**53 - 1,)


@pytest.mark.parametrize("thing", [188, "188", "RU", "ru", "Russia", " russia ", 188.0])
def test_a_country_is_found_by_id_code_or_title(thing: Any) -> None:
    assert value("idCountry", thing) == (188,)


@pytest.mark.parametrize("thing", [1.5, -1, b"RU"], ids=kind)
def test_ids_that_have_names_have_a_hint(thing: Any) -> None:
    assert re.search(
        r"a two-letter code or a name, such as \d+ \(\w\w, \w+", refused("idCountry", thing).hint
    )
    assert "expected 0 (Off)" in refused("eventNameInvert", thing).hint


@pytest.mark.parametrize(
    "text", ["selectors=[idDevice, tsEvent]", "selectors = (idDevice, tsEvent)", "idApp=[1]"]
)
def test_brackets_around_a_list_are_reported(text: str) -> None:
    given = mt.ExportRequest.from_magic(f"%%x\n{text}").parameters
    ((name, things),) = given.items()
    assert "remove the brackets" in refused(name, things).hint


def test_namibia_is_a_country_and_not_a_missing_value() -> None:
    assert value("idCountry", "NA") == (168,)
    assert value("idCountry", ["Namibia", "na"]) == (168,)


@pytest.mark.parametrize("thing", [2, "2", 2.0, "Not rooted", "not ROOTED", ["Not rooted"]])
def test_closed_lists_accept_ids_and_titles(thing: Any) -> None:
    assert value("rooted", thing) == 2


def test_every_title_of_every_list_is_accepted() -> None:
    for name, parameter in PARAMETERS.items():
        if parameter.value_type is ValueType.ID and parameter.dictionary is not None:
            event = next(iter(parameter.events or ["installs"]))
            for entry in parameter.dictionary.values():
                assert value(name, entry.title, event=event) in (
                    int(entry.value),
                    (int(entry.value),),
                )


# ---- days


@pytest.mark.parametrize(
    "thing",
    [
        "2024-11-05",
        " 2024-11-05 ",
        date(2024, 11, 5),
        datetime(2024, 11, 5, 23, 59),
        pd.Timestamp("2024-11-05 23:59"),
        np.datetime64("2024-11-05"),
        np.datetime64("2024-11-05T23:59:59.999999999"),
        pa.scalar(date(2024, 11, 5)),
        pl.Series([date(2024, 11, 5)]),
        pd.Series(pd.to_datetime(["2024-11-05"])),
        "2024-11-05T23:59:59",
        "2024-11-04T21:00:00Z",
        "2024-11-05 20:59:59+00:00",
        datetime(2024, 11, 4, 21, tzinfo=timezone.utc),
        pd.Timestamp("2024-11-05 20:59", tz="UTC"),
    ],
)
def test_a_day_is_that_of_the_zone(thing: Any) -> None:
    assert value("dateFrom", thing) == "2024-11-05"


def test_a_subclass_of_date_is_a_date() -> None:
    class Day(date):
        pass

    assert value("dateFrom", Day(2024, 11, 5)) == "2024-11-05"


def test_an_aware_datetime_is_the_day_in_the_requests_zone() -> None:
    moment = datetime(2024, 11, 4, 20, tzinfo=timezone.utc)
    assert value("dateFrom", moment) == "2024-11-04"
    assert value("dateFrom", moment, timezone="Asia/Tokyo") == "2024-11-05"
    assert value("dateFrom", moment, timezone="Asia/Kathmandu") == "2024-11-05"  # not listed


@pytest.mark.parametrize(
    "thing",
    [
        *["2024-1-1", "20241101", "2024-W45-1", "05.11.2024", "2024-02-30", "2024-11-05T25:00"],
        *["tomorrow", "today-", "today-7", "today7d", "-7d", "today-9999999d", "today-999999d"],
        *[1730764800, 1730764800.0, True, pd.NaT, pd.NA, np.datetime64("NaT", "ns"), float("nan")],
        *[timedelta(1), datetime.max.replace(tzinfo=timezone.utc), "0001-01-01T00:00+14:00", b"x"],
    ],
    ids=kind,
)
def test_invalid_days(thing: Any) -> None:
    refused("dateTo", [thing])


def test_a_unix_time_as_a_day_gets_a_hint() -> None:
    assert "tsFrom and tsTo" in refused("dateFrom", 1730764800).hint


# ---- Unix times


NOON = 1730800800  # 2024-11-05T10:00:00Z


@pytest.mark.parametrize(
    "thing",
    [
        NOON,
        str(NOON),
        float(NOON) + 0.999,
        np.int32(NOON),
        datetime(2024, 11, 5, 10, tzinfo=timezone.utc),
        datetime(2024, 11, 5, 13, 0, 0, 999_999),
        pd.Timestamp("2024-11-05 13:00"),
        pd.Timestamp("2024-11-05 15:30:00.000000001", tz="Asia/Kolkata"),
        np.datetime64("2024-11-05T13:00"),
        pa.scalar(datetime(2024, 11, 5, 13), pa.timestamp("us")),
        "2024-11-05T13:00",
        "2024-11-05 13:00:00",
        "2024-11-05T10:00:00Z",
        "2024-11-05T10:00:00z",
        "2024-11-05T10:00:00.5Z",
        "2024-11-05T13:00:00.123456789",
        "2024-11-05T19:00:00+09:00",
    ],
)
def test_a_time_without_a_zone_is_read_in_that_of_the_request(thing: Any) -> None:
    assert value("tsFrom", thing, tsTo=NOON + 1) == NOON


@pytest.mark.parametrize(
    ("zone", "seconds"),
    [("Europe/Moscow", 0), ("UTC", 10800), ("Asia/Tokyo", -21600), ("Asia/Kathmandu", -9900)],
)
def test_unlisted_zones_are_used_too(zone: str, seconds: int) -> None:
    time = datetime(2024, 11, 5, 13)
    for thing in (time, time.isoformat()):
        assert value("tsFrom", thing, tsTo=NOON + 99999, timezone=zone) == NOON + seconds


def test_the_repeated_hour_is_the_first_unless_fold_is_set() -> None:
    zone = "Europe/Berlin"
    first = datetime(2024, 10, 27, 2, 30)
    for thing, utc in ((first, 0), (first.replace(fold=1), 1)):
        moment = datetime(2024, 10, 27, utc, 30, tzinfo=timezone.utc)
        assert value("tsFrom", thing, tsTo=NOON, timezone=zone) == moment.timestamp()


def test_now_and_back_from_it() -> None:
    now = datetime(2024, 11, 5, 10, 0, 0, 900_000, tzinfo=timezone.utc)
    moment = Moment(now, MOSCOW)
    for text, ago in [("now", 0), ("now-6h", 6 * 3600), ("now - 1w", 604800), ("now-90m", 5400)]:
        assert coerce(PARAMETERS["tsFrom"], [text], moment).value == NOON - ago


@pytest.mark.parametrize(
    "thing",
    [
        *[
            "1730800800.5",
            "1e9",
            "1_000",
            "2024-11-05",
            "today",
            "now-",
            "13:00",
            True,
            None,
            pd.NaT,
        ],
        *[float("nan"), float("inf"), 10**30, -(10**5000), "9" * 5000, date(2024, 11, 5), "now-9x"],
        *["now-999999999w", timedelta(1), [NOON, NOON], decimal.Decimal(NOON)],
    ],
    ids=kind,
)
def test_invalid_unix_times(thing: Any) -> None:
    found = mt.ExportRequest(**GOOD, tsFrom=0, tsTo=[thing]).problems
    assert [(p.parameter, p.code) for p in found] == [("tsTo", "bad_value")]


def test_a_time_keeps_every_digit() -> None:
    (problem,) = mt.ExportRequest(**GOOD, tsFrom=0, tsTo=2**62 + 1).problems
    assert str(2**62 + 1) in problem.message


# ---- names and texts


def test_zones_may_be_objects() -> None:
    assert value("timezone", ZoneInfo("Asia/Tokyo")) == "Asia/Tokyo"
    assert value("timezone", timezone.utc) == "UTC"


def test_event_names_are_unchanged() -> None:
    names = ["a, b", " c ", 'say "hi"', "it's", "два\nслова", "🎉", "#1", "$x", "{y}", "a=b"]
    assert value("eventName", names) == tuple(names)
    assert value("eventName", pd.Series(names)) == tuple(names)
    assert value("eventName", "a, b") == ("a", "b")


@pytest.mark.parametrize("thing", [5, [5], ["a", None], ["a", ""], "a,,b", "\ud800", [b"a"]])
def test_invalid_event_names(thing: Any) -> None:
    refused("eventName", thing)


@pytest.mark.parametrize("thing", ["00000000000000000001", ["0" * 20], pd.Series(["9" * 20])])
def test_sdk_keys_stay_text(thing: Any) -> None:
    assert all(type(key) is str and len(key) == 20 for key in value("SDKKey", thing))


# ---- nothing raises


def survives(request: mt.ExportRequest) -> None:
    for problem in request.problems:
        assert str(problem)
        assert problem.severity in ("error", "warning", "note")
    assert request == request
    assert hash(request) == hash(request)
    assert repr(request)
    cell, line, code = request.to_magic(), request.to_magic(line=True), request.to_python()
    for text in (cell, line):
        assert mt.ExportRequest.from_magic(text).problems is not None
    compile(code, "cell", "exec")
    if request.is_valid:
        assert mt.ExportRequest.from_url(request.to_curl()).wire() == request.wire()


@given(st.dictionaries(NAMES, ANYTHING, max_size=5))
def test_no_value_raises(parameters: dict[str, Any]) -> None:
    survives(mt.ExportRequest(**parameters))


@given(right(), NAMES, PLAIN | st.lists(PLAIN, max_size=3))
def test_no_value_raises_beside_valid_ones(parameters: dict[str, Any], name: str, odd: Any) -> None:
    survives(mt.ExportRequest(**{**parameters, name: odd}))


class _Unshown:
    def __repr__(self) -> str:
        raise RuntimeError


class _Unread:
    def __iter__(self) -> Iterator[Any]:
        yield 1
        raise KeyError("x")


class _Unkind:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = object.__hash__


_ENDLESS: list[Any] = []
_ENDLESS.append(_ENDLESS)

FOREIGN = [
    _Unshown(),
    _Unread(),
    _Unkind(),
    _ENDLESS,
    10**5000,
    pd.NaT,
    pd.NA,
    pd.Period("2024-11"),
    pd.Interval(0, 1),
    pd.DataFrame(),
    pd.MultiIndex.from_tuples([(1, 2)]),
    pd.date_range("2024-11-01", periods=2, tz="Asia/Tokyo"),
    np.array([]),
    np.array([(1, 2)], dtype=[("a", int), ("b", int)]),
    np.array([None, "x"], dtype=object),
    np.ma.array([1, 2], mask=[False, True]),
    np.datetime64("10000-01-01"),
    pl.lit(1),
    pl.LazyFrame({"a": [1]}),
    pl.Series([[1]]),
    pa.array([[1]]),
    pa.scalar(1, pa.timestamp("ns")),
    pa.scalar(None),
    memoryview(b"12"),
]


@pytest.mark.parametrize("odd", FOREIGN, ids=kind)
def test_no_object_raises(odd: Any) -> None:
    for name in (*PARAMETERS, "other"):
        for thing in (odd, [odd], [odd, odd]):
            survives(mt.ExportRequest(**{**GOOD, name: thing}))


def test_an_unreadable_value_says_why() -> None:
    parameters = {**GOOD, "idApp": Unreadable("{x", "is not a Python expression in braces")}
    (problem,) = mt.ExportRequest(**parameters).problems
    assert str(problem) == "idApp: {x is not a Python expression in braces"


def test_unreadable_values_are_shortened() -> None:
    problem = refused("idApp", [Unreadable("{" + "x" * 999, "is odd"), *[_Unshown()] * 99])
    assert len(problem.message) < 200


def test_no_message_has_line_breaks_of_a_foreign_repr() -> None:
    assert "\n" not in str(refused("idApp", [pl.Series([1])]))
