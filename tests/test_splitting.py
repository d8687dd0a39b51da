"""Splitting a request into pieces: each row is in exactly one."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mytracker_nb as mt
from mytracker_nb.plans.splitting import (
    Piece,
    Window,
    bisect,
    full_window,
    parse_every,
    problems,
    split_request,
    uncovered,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
DAYS = {"dateFrom": "2026-01-01", "dateTo": "2026-01-10"}
TIMES = {"tsFrom": 1_700_000_000, "tsTo": 1_700_086_399}


def request(**parameters: Any) -> mt.ExportRequest:
    return mt.ExportRequest(**{"event": "installs", "selectors": "idDevice", **parameters})


def cut_every(every: object, **parameters: Any) -> list[Piece]:
    full = request(**parameters)
    return split_request(full, parse_every(every, full))


def errors(full: mt.ExportRequest) -> list[mt.Problem]:
    return [problem for problem in problems(full, NOW) if problem.severity == "error"]


def refusal(act: Any, *arguments: Any) -> mt.Problem:
    with pytest.raises(mt.InvalidRequest) as caught:
        act(*arguments)
    (problem,) = caught.value.problems
    return problem


windows = st.builds(
    lambda first, length: Window(first, first + length - 1),
    st.integers(-50, 50),
    st.integers(1, 40),
)


@pytest.mark.parametrize("every", [None, "auto"])
def test_without_a_length_the_request_is_the_only_piece(every: object) -> None:
    full = request(**DAYS)
    (piece,) = split_request(full, parse_every(every, full))
    assert piece.request is full


@pytest.mark.parametrize("every", ["4d", timedelta(days=4), " 4 d ", "96h"])
def test_days_are_split_at_midnight_both_ends_included(every: object) -> None:
    assert [piece.bounds for piece in cut_every(every, **DAYS)] == [
        ("2026-01-01", "2026-01-04"),
        ("2026-01-05", "2026-01-08"),
        ("2026-01-09", "2026-01-10"),
    ]


def test_times_are_split_between_two_seconds() -> None:
    pieces = cut_every("6h", **TIMES)
    assert [piece.window.length for piece in pieces] == [21_600] * 4
    assert all(one.window.last + 1 == next_.window.first for one, next_ in pairwise(pieces))
    assert pieces[0].request.parameters["tsFrom"] == TIMES["tsFrom"]
    assert pieces[-1].request.parameters["tsTo"] == TIMES["tsTo"]


def test_a_piece_keeps_all_other_parameters() -> None:
    full = request(**DAYS, timezone="Asia/Tokyo", idCountry=["RU", "KZ"], rooted=1)
    for piece in split_request(full, 3):
        changed = {**piece.request.parameters, **DAYS}
        assert changed == full.parameters


def test_days_beside_times_stay_and_bound_them() -> None:
    midnight = int(datetime(2026, 1, 2, tzinfo=timezone.utc).timestamp())
    both = {
        "dateFrom": "2026-01-02",
        "dateTo": "2026-01-02",
        "tsFrom": midnight - 86_400,
        "tsTo": midnight + 7 * 86_400,
        "timezone": "Etc/UTC",
    }
    pieces = cut_every("12h", **both)
    assert [piece.window for piece in pieces] == [
        (midnight, midnight + 43_199),
        (midnight + 43_200, midnight + 86_399),
    ]
    assert {piece.request.parameters["dateFrom"] for piece in pieces} == {"2026-01-02"}


def test_days_and_times_without_a_common_second_are_not_split() -> None:
    full = request(**DAYS, **TIMES)
    assert [piece.request for piece in split_request(full, 3600)] == [full]
    assert bisect(Piece(full, full_window(full))) is None


def test_the_day_on_which_clocks_change_is_one_window() -> None:
    full = request(dateFrom="2026-03-28", dateTo="2026-03-30", timezone="Europe/Berlin")
    hours = []
    for piece in split_request(full, 1):
        start, end = (moment.astimezone(timezone.utc) for moment in piece.moments)
        hours.append((end - start) / timedelta(hours=1))
    assert hours == [24, 23, 24]


@given(window=windows, every=st.integers(1, 45), covered=st.lists(windows, max_size=4))
def test_windows_have_each_missing_unit_once(
    window: Window, every: int, covered: list[Window]
) -> None:
    full = request(tsFrom=window.first + 10**9, tsTo=window.last + 10**9)
    there = [Piece(full, Window(first + 10**9, last + 10**9)) for first, last in covered]
    units = [
        unit - 10**9
        for piece in split_request(full, every, there)
        for unit in range(piece.window.first, piece.window.last + 1)
    ]
    outside = {unit for first, last in covered for unit in range(first, last + 1)}
    assert units == [unit for unit in range(window.first, window.last + 1) if unit not in outside]


def test_what_is_not_covered_is_missing() -> None:
    assert uncovered(Window(1, 9), [Window(4, 5), Window(-3, 1)]) == [(2, 3), (6, 9)]
    assert uncovered(Window(1, 9), [Window(0, 20)]) == []
    assert uncovered(Window(1, 9), [Window(30, 40)]) == [(1, 9)]


@given(first=st.integers(0, 10**9), length=st.integers(1, 10**7))
def test_halves_meet_and_end_at_a_quarter_of_an_hour(first: int, length: int) -> None:
    full = request(tsFrom=first, tsTo=first + length - 1)
    piece = Piece(full, full_window(full))
    while (two := bisect(piece)) is not None:
        left, right = (half.window for half in two)
        assert left.last + 1 == right.first
        assert (left.first, right.last) == piece.window
        assert left.length % 900 == 0
        assert abs(left.length - right.length) <= 1800
        piece = two[0]
    assert piece.window.length == min(length, 900)


def test_halves_of_days_end_at_a_day() -> None:
    full = request(dateFrom="2026-01-01", dateTo="2026-01-03")
    left, right = bisect(Piece(full, full_window(full))) or ()
    assert left.bounds == ("2026-01-01", "2026-01-02")
    assert right.bounds == ("2026-01-03", "2026-01-03")
    assert bisect(right) is None


def test_all_parts_of_several_filters_are_combined() -> None:
    full = request(**DAYS, idApp=range(2500), idCampaign=range(1001), idPartner=range(1000))
    assert errors(full) == []
    pieces = split_request(full, 5)
    assert len(pieces) == 2 * 3 * 2
    for piece in pieces:
        assert piece.request.is_valid
        assert len(piece.request.parameters["idPartner"]) == 1000
    asked = [
        (app, campaign, *piece.bounds)
        for piece in pieces
        for app in piece.request.parameters["idApp"]
        for campaign in piece.request.parameters["idCampaign"][:2]
    ]
    assert len(set(asked)) == len(asked)
    assert {app for app, *_ in asked} == set(range(2500))


def test_the_parts_of_a_filter_do_not_depend_on_the_order_of_its_values() -> None:
    there, back = (
        split_request(request(**DAYS, idApp=values))
        for values in (range(1500), range(1499, -1, -1))
    )
    assert [piece.filters for piece in there] == [piece.filters for piece in back]


@pytest.mark.parametrize("name", ["idApp", "SDKKey"])
def test_a_split_of_one_of_two_filters_that_are_ored_is_refused(name: str) -> None:
    values: dict[str, Any] = {"idApp": [1], "SDKKey": ["0" * 20]}
    values[name] = range(1001) if name == "idApp" else [f"{n:020}" for n in range(1001)]
    (problem,) = errors(request(**DAYS, **values))
    assert (problem.parameter, problem.code) == (name, "too_many")
    assert "more than once" in problem.message


def test_sdk_keys_alone_may_be_split() -> None:
    full = request(**DAYS, SDKKey=[f"{n:020}" for n in range(1001)])
    assert errors(full) == []
    assert len(split_request(full)) == 2


def test_a_split_of_excluded_names_is_refused() -> None:
    names = {"event": "customEvents", "eventName": [f"name {n}" for n in range(1001)]}
    assert errors(request(**DAYS, **names)) == []
    (problem,) = errors(request(**DAYS, **names, eventNameInvert=1))
    assert problem.parameter == "eventName"
    assert "exclude" in problem.hint


def test_all_errors_of_the_request_are_reported_together() -> None:
    full = mt.ExportRequest(event="installs", idApp=range(1001), dateFrom="2026-01-01")
    assert [problem.code for problem in errors(full)] == ["required", "interval_half"]


@pytest.mark.parametrize("every", ["", "d", "7", "-1d", "0d", "1y", 7, timedelta(0), "7 days"])
def test_invalid_durations_are_refused(every: object) -> None:
    problem = refusal(parse_every, every, request(**TIMES))
    assert (problem.parameter, problem.code) == ("every", "bad_value")


@pytest.mark.parametrize("every", ["6h", "25h", timedelta(days=1, seconds=1)])
def test_days_are_not_split_by_the_hour(every: object) -> None:
    problem = refusal(parse_every, every, request(**DAYS))
    assert "whole days" in problem.message
    assert "tsFrom" in problem.hint


def test_an_absurd_number_of_pieces_is_refused() -> None:
    problem = refusal(lambda: cut_every("1m", tsFrom=0, tsTo=10**9))
    assert (problem.parameter, problem.code) == ("every", "too_many")
