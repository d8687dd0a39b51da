"""Validation of requests: each code on its parameter, with its severity, in order."""

from __future__ import annotations

import copy
import pickle
import re
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mytracker_nb as mt
from mytracker_nb.errors import CODES
from mytracker_nb.request.coercion import Moment, coerce
from mytracker_nb.request.dictionaries import dictionary
from mytracker_nb.request.parameters import INTERVALS, PARAMETERS, find_parameter

NOW = datetime(2024, 11, 10, 12, 30, 15, 700_000, tzinfo=timezone.utc)
SECONDS = int(NOW.timestamp())
DAYS = {"dateFrom": "2024-11-01", "dateTo": "2024-11-07"}
GOOD = {"event": "installs", "selectors": "idDevice,tsEvent", **DAYS}
CUSTOM = {**GOOD, "event": "customEvents"}
PAYMENTS = {**GOOD, "event": "payments"}


def problems_of(now: datetime = NOW, **parameters: Any) -> list[mt.Problem]:
    return list(mt.ExportRequest(**parameters).check(now))


def codes(now: datetime = NOW, **parameters: Any) -> list[tuple[str, str, str]]:
    return [(p.parameter, p.code, p.severity) for p in problems_of(now, **parameters)]


def only(code: str, **parameters: Any) -> mt.Problem:
    (problem,) = (problem for problem in problems_of(**parameters) if problem.code == code)
    return problem


def test_a_valid_request_has_no_problems() -> None:
    request = mt.ExportRequest(**GOOD)
    assert request.check(NOW) == ()
    assert request.parameters == {
        "event": "installs",
        "selectors": ("idDevice", "tsEvent"),
        **DAYS,
    }


ERRORS = {
    "no event": ({"selectors": "idDevice", **DAYS}, "event", "required"),
    "no columns": ({"event": "installs", **DAYS}, "selectors", "required"),
    "no interval": (
        {"event": "installs", "selectors": "idDevice"},
        "dateFrom",
        "interval_missing",
    ),
    "no last day": ({**GOOD, "dateTo": ""}, "dateTo", "interval_half"),
    "no first day": ({**GOOD, "dateFrom": None}, "dateFrom", "interval_half"),
    "no last second": ({**GOOD, "tsFrom": 5}, "tsTo", "interval_half"),
    "no first second": ({**GOOD, "tsTo": 5}, "tsFrom", "interval_half"),
    "days in disorder": ({**GOOD, "dateFrom": "2024-11-08"}, "dateFrom", "order"),
    "seconds in disorder": ({**GOOD, "tsFrom": 6, "tsTo": 5}, "tsFrom", "order"),
    "availability in disorder": (
        {**GOOD, "availabilityTsFrom": 6, "availabilityTsTo": 5},
        "availabilityTsFrom",
        "order",
    ),
    "before 1970": ({**GOOD, "dateFrom": "1969-12-31"}, "dateFrom", "too_early"),
    "a negative time": ({**GOOD, "tsFrom": -1, "tsTo": 5}, "tsFrom", "too_early"),
    "only the end negative": ({**GOOD, "availabilityTsTo": -1}, "availabilityTsTo", "too_early"),
    "tomorrow": ({**GOOD, "dateTo": "2024-11-11"}, "dateTo", "too_late"),
    "a second from now": ({**GOOD, "tsFrom": 0, "tsTo": SECONDS + 1}, "tsTo", "too_late"),
    "available too recently": (
        {**GOOD, "availabilityTsFrom": SECONDS - 3 * 3600},
        "availabilityTsFrom",
        "too_late",
    ),
    "unknown event": ({**GOOD, "event": "install"}, "event", "not_in_dictionary"),
    "unknown choice": ({**GOOD, "rooted": 3}, "rooted", "not_in_dictionary"),
    "unknown title": ({**GOOD, "rooted": "Routed"}, "rooted", "not_in_dictionary"),
    "unknown country code": ({**GOOD, "idCountry": "XX"}, "idCountry", "not_in_dictionary"),
    "unknown country": ({**GOOD, "idCountry": "Rusia"}, "idCountry", "not_in_dictionary"),
    "unknown zone": ({**GOOD, "timezone": "Moscow"}, "timezone", "not_in_dictionary"),
    "payments only": ({**GOOD, "isVerified": 1}, "isVerified", "not_for_event"),
    "payments only, type": ({**CUSTOM, "idPurchaseType": 1}, "idPurchaseType", "not_for_event"),
    "custom events only": ({**GOOD, "eventName": "level"}, "eventName", "not_for_event"),
    "ad monetisation only": ({**GOOD, "idAdMediator": 1}, "idAdMediator", "not_for_event"),
    "hits and installs only": ({**CUSTOM, "idSegment": 1}, "idSegment", "not_for_event"),
    "1001 ids": ({**GOOD, "idApp": range(1001)}, "idApp", "too_many"),
    "1001 names": (
        {**CUSTOM, "eventName": [f"e{n}" for n in range(1001)]},
        "eventName",
        "too_many",
    ),
    "no id": ({**GOOD, "idApp": "x"}, "idApp", "bad_value"),
    "a truth value": ({**GOOD, "idApp": True}, "idApp", "bad_value"),
    "a truth value as choice": ({**GOOD, "rooted": False}, "rooted", "bad_value"),
    "empty part": ({**GOOD, "idApp": "1,,3"}, "idApp", "bad_value"),
    "comma at the end": ({**GOOD, "selectors": "idDevice,"}, "selectors", "bad_value"),
    "semicolons": ({**GOOD, "idApp": "1;2"}, "idApp", "bad_value"),
    "spaces": ({**GOOD, "selectors": "idDevice tsEvent"}, "selectors", "bad_value"),
    "two events": ({**GOOD, "event": "installs,sessions"}, "event", "bad_value"),
    "two mediators": (
        {**GOOD, "event": "adMonetization", "idAdMediator": [1, 2]},
        "idAdMediator",
        "bad_value",
    ),
    "a number as SDK key": ({**GOOD, "SDKKey": 12345}, "SDKKey", "bad_value"),
    "a short SDK key": ({**GOOD, "SDKKey": "12345"}, "SDKKey", "bad_value"),
    "no date": ({**GOOD, "dateFrom": "01.11.2024"}, "dateFrom", "bad_value"),
    "no such day": ({**GOOD, "dateFrom": "2024-02-30"}, "dateFrom", "bad_value"),
    "no such parameter": ({**GOOD, "idapp": 1}, "idapp", "unknown_parameter"),
    "one value as an array": ({**GOOD, "event[]": "installs"}, "event[]", "unknown_parameter"),
}


@pytest.mark.parametrize(("parameters", "name", "code"), ERRORS.values(), ids=ERRORS)
def test_an_error_is_reported_once_on_its_parameter_with_a_hint(
    parameters: dict[str, Any], name: str, code: str
) -> None:
    problems = problems_of(**parameters)
    assert [(p.parameter, p.code, p.severity) for p in problems] == [(name, code, "error")]
    # how to correct it is in the hint, or the message says it
    assert problems[0].hint or re.search("required when|use the|remove the", problems[0].message)


MILDER = {
    "unknown selector": (
        {**GOOD, "selectors": "idDevise"},
        "selectors",
        "not_in_dictionary",
        "warning",
    ),
    "unknown country id": (
        {**GOOD, "idCountry": 99999},
        "idCountry",
        "not_in_dictionary",
        "warning",
    ),
    "unlisted zone": (
        {**GOOD, "timezone": "Asia/Kolkata"},
        "timezone",
        "not_in_dictionary",
        "warning",
    ),
    "twice": ({**GOOD, "idApp": "5,5"}, "idApp", "duplicate", "warning"),
    "no names": ({**CUSTOM, "eventNameInvert": 1}, "eventNameInvert", "no_effect", "warning"),
    "either": ({**GOOD, "idApp": 1, "SDKKey": "1" * 20}, "SDKKey", "or_filter", "note"),
    "empty list": ({**GOOD, "idApp": []}, "idApp", "empty_list", "warning"),
    "placeholder": ({**CUSTOM, "eventName": ["{ev}"]}, "eventName", "placeholder", "warning"),
    "slow": ({**GOOD, "selectors": "idDeviceModelTitle"}, "selectors", "slow_selector", "note"),
}


@pytest.mark.parametrize(("parameters", "name", "code", "severity"), MILDER.values(), ids=MILDER)
def test_a_probable_mistake_is_a_warning_and_is_sent(
    parameters: dict[str, Any], name: str, code: str, severity: str
) -> None:
    assert codes(**parameters) == [(name, code, severity)]


def test_a_parameter_that_does_not_apply_has_no_second_warning() -> None:
    assert codes(**GOOD, eventNameInvert=1) == [("eventNameInvert", "not_for_event", "error")]
    for event, code in ((None, "required"), ("instals", "not_in_dictionary")):
        found = codes(**{**GOOD, "event": event}, eventNameInvert=1)
        assert found == [("event", code, "error")]


def test_every_code_is_tested_here_with_every_severity() -> None:
    found = {(code, "error") for _, _, code in ERRORS.values()}
    found |= {(code, severity) for _, _, code, severity in MILDER.values()}
    assert found == {(code, severity) for code in CODES for severity in CODES[code].severities}


def test_all_problems_are_reported_in_the_order_of_the_documentation() -> None:
    found = codes(
        zzz=1,
        rooted=7,
        SDKKey="1" * 20,
        idApp="5,x,5",
        timezone="Moscow",
        tsTo=5,
        dateFrom="2030-01-01",
        dateTo="2029-01-01",
        selectors="idDevice,idDevice,no such",
    )
    assert found == [
        ("event", "required", "error"),
        ("selectors", "bad_value", "error"),
        ("selectors", "duplicate", "warning"),
        ("dateFrom", "too_late", "error"),
        ("dateFrom", "order", "error"),
        ("dateTo", "too_late", "error"),
        ("tsFrom", "interval_half", "error"),
        ("timezone", "not_in_dictionary", "error"),
        ("idApp", "bad_value", "error"),
        ("idApp", "duplicate", "warning"),
        ("SDKKey", "or_filter", "note"),
        ("rooted", "not_in_dictionary", "error"),
        ("zzz", "unknown_parameter", "error"),
    ]


@given(st.permutations([*GOOD.items(), ("rooted", 7), ("idApp", "x"), ("idCountry", 99999)]))
def test_the_order_of_arguments_does_not_matter(pairs: list[tuple[str, Any]]) -> None:
    request = mt.ExportRequest(**dict(pairs))
    usual = mt.ExportRequest(**{**GOOD, "idApp": "x", "idCountry": 99999, "rooted": 7})
    assert request.check(NOW) == usual.check(NOW)
    assert request == usual
    assert hash(request) == hash(usual)


NOTHING_GIVEN = [
    ("event", "required", "error"),
    ("selectors", "required", "error"),
    ("dateFrom", "interval_missing", "error"),
]


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_empty_counts_as_not_given(empty: Any) -> None:
    assert codes(**dict.fromkeys(PARAMETERS, empty)) == NOTHING_GIVEN


@pytest.mark.parametrize("empty", [[], (), set(), [""], [" "]])
def test_an_empty_list_is_warned_of_where_it_lifts_a_filter(empty: Any) -> None:
    filters = [
        (name, "empty_list", "warning")
        for name, parameter in PARAMETERS.items()
        if parameter.is_filter
    ]
    assert codes(**dict.fromkeys(PARAMETERS, empty)) == [*NOTHING_GIVEN, *filters]
    # a list of the other name counts
    assert codes(**GOOD, **{"idApp": empty, "idApp[]": 7}) == []


def test_a_bad_value_counts_as_given() -> None:
    assert codes(event=5, selectors="?", dateFrom="?", tsTo="?") == [
        ("event", "bad_value", "error"),
        ("selectors", "bad_value", "error"),
        ("dateFrom", "bad_value", "error"),
        ("dateTo", "interval_half", "error"),
        ("tsFrom", "interval_half", "error"),
        ("tsTo", "bad_value", "error"),
    ]
    assert codes(**CUSTOM, eventName=5, eventNameInvert=1) == [("eventName", "bad_value", "error")]
    found = codes(**GOOD, idApp="x", SDKKey="y")
    assert ("SDKKey", "or_filter", "note") in found


def test_availability_does_not_count_as_an_interval_and_needs_no_second_end() -> None:
    assert codes(event="installs", selectors="idDevice", availabilityTsFrom=5) == [
        ("dateFrom", "interval_missing", "error")
    ]
    assert codes(**GOOD, availabilityTsFrom=5) == []
    assert codes(**GOOD, availabilityTsTo=5) == []


def test_both_intervals_may_be_given() -> None:
    assert codes(**GOOD, tsFrom=0, tsTo=5) == []


@pytest.mark.parametrize("event", ["install", "installs,sessions", 5])
def test_an_invalid_event_adds_no_problems_of_other_parameters(event: Any) -> None:
    narrow = {"isVerified": 1, "eventName": "x", "idAdMediator": 1, "idSegment": 1}
    assert [problem.parameter for problem in problems_of(**{**GOOD, **narrow, "event": event})] == [
        "event"
    ]


def test_without_an_event_all_parameters_apply() -> None:
    found = codes(selectors="idDevice", **DAYS, isVerified=1)
    assert found == [("event", "required", "error")]


APPLIES = [
    (name, event)
    for name, parameter in PARAMETERS.items()
    if parameter.events
    for event in dictionary("event")
]


@pytest.mark.parametrize(("name", "event"), APPLIES)
def test_a_parameter_is_for_its_events_only(name: str, event: str) -> None:
    payments = "payments userPayments testPayments trialPayments userTrialPayments"
    custom = "customEvents userCustomEvents"
    documented = {
        "isVerified": payments,
        "idPurchaseType": payments,
        "eventName": custom,
        "eventNameInvert": custom,
        "idAdMediator": "adMonetization userAdMonetization",
        "idSegment": "hits installs",
    }
    misplaced = (name, "not_for_event", "error") in codes(**{**GOOD, "event": event, name: 1})
    assert misplaced == (event not in documented[name].split())


# ---- limits


def test_1000_different_values_are_sent_and_1001_are_not() -> None:
    for name in (name for name, parameter in PARAMETERS.items() if parameter.is_list):
        if name == "selectors":
            continue
        values = [f"{number:020}" for number in range(1, 1002)]
        event = CUSTOM if name == "eventName" else GOOD
        assert [c for c in codes(**event, **{name: values[:1000]}) if c[2] == "error"] == []
        assert (name, "too_many", "error") in codes(**event, **{name: values})


def test_duplicates_are_not_counted() -> None:
    assert codes(**GOOD, idApp=[*range(1000), *range(1000)]) == [("idApp", "duplicate", "warning")]
    assert codes(**GOOD, idApp=["7", 7, "007", 7.0]) == [("idApp", "duplicate", "warning")]
    request = mt.ExportRequest(**GOOD, idApp=[3, 1, 3, 2, 1])
    assert request.parameters["idApp"] == (3, 1, 2)


def test_columns_are_not_a_filter() -> None:
    names = [f"column{number}" for number in range(1500)]
    assert codes(**{**GOOD, "selectors": names}) == [("selectors", "not_in_dictionary", "warning")]


def test_many_invalid_values_are_one_short_problem() -> None:
    (problem,) = problems_of(**GOOD, idApp=[f"x{number}" for number in range(5000)])
    assert "and 4995 more" in problem.message
    assert len(str(problem)) < 300


# ---- time


@pytest.mark.parametrize("name", ["tsFrom", "tsTo"])
def test_event_time_reaches_up_to_now(name: str) -> None:
    times = {"tsFrom": SECONDS, "tsTo": SECONDS, name: SECONDS}
    assert codes(**GOOD, **times) == []
    assert (name, "too_late", "error") in codes(**GOOD, **{**times, name: SECONDS + 1})


@pytest.mark.parametrize("name", ["availabilityTsFrom", "availabilityTsTo"])
def test_availability_is_before_now_minus_three_hours(name: str) -> None:
    limit = SECONDS - 3 * 3600
    assert codes(**GOOD, **{name: limit - 1}) == []
    assert codes(**GOOD, **{name: limit}) == [(name, "too_late", "error")]
    assert "3 hours ago" in only("too_late", **GOOD, **{name: limit}).message


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9)],
)
@pytest.mark.parametrize("name", ["tsFrom", "availabilityTsTo"])
def test_other_units_than_seconds_are_recognized(name: str, unit: str, factor: int) -> None:
    times = {"tsFrom": 1, "tsTo": 2, name: 1_700_000_000 * factor + 123}
    problem = only("too_late", **GOOD, **times)
    assert problem.parameter == name
    assert unit in problem.hint
    assert "1700000000" in problem.hint


def test_a_time_in_the_near_future_is_not_mistaken_for_another_unit() -> None:
    assert "milliseconds" not in only("too_late", **GOOD, tsFrom=1, tsTo=SECONDS + 9999).hint


@pytest.mark.parametrize(
    ("zone", "now", "today"),
    [
        ("Pacific/Apia", "2024-11-10T10:59:59+00:00", "2024-11-10"),
        ("Pacific/Apia", "2024-11-10T11:00:00+00:00", "2024-11-11"),
        ("Pacific/Honolulu", "2024-11-10T09:59:59+00:00", "2024-11-09"),
        ("Pacific/Honolulu", "2024-11-10T10:00:00+00:00", "2024-11-10"),
        (None, "2024-11-10T20:59:59+00:00", "2024-11-10"),
        (None, "2024-11-10T21:00:00+00:00", "2024-11-11"),
        ("UTC", "2024-11-10T23:59:59.999999+00:00", "2024-11-10"),
        # the clocks of Berlin went back at 01:00 UTC, those of New York forward at 07:00 UTC
        ("Europe/Berlin", "2024-10-26T21:59:59+00:00", "2024-10-26"),
        ("Europe/Berlin", "2024-10-26T22:00:00+00:00", "2024-10-27"),
        ("Europe/Berlin", "2024-10-27T22:59:59+00:00", "2024-10-27"),
        ("Europe/Berlin", "2024-10-27T23:00:00+00:00", "2024-10-28"),
        ("America/New_York", "2024-03-11T03:59:59+00:00", "2024-03-10"),
        ("America/New_York", "2024-03-11T04:00:00+00:00", "2024-03-11"),
        # not listed by the service, and still a zone
        ("Asia/Kathmandu", "2024-11-10T18:14:59+00:00", "2024-11-10"),
        ("Asia/Kathmandu", "2024-11-10T18:15:00+00:00", "2024-11-11"),
        # whoever asks may sit anywhere
        ("UTC", "2024-11-11T08:59:59+09:00", "2024-11-10"),
    ],
)
def test_today_is_today_in_the_request_s_zone(zone: str | None, now: str, today: str) -> None:
    moment = datetime.fromisoformat(now)
    day = datetime.fromisoformat(today).date()
    for offset, late in ((0, False), (1, True)):
        last = (day + timedelta(days=offset)).isoformat()
        found = codes(moment, **{**GOOD, "dateFrom": "2024-01-01", "dateTo": last}, timezone=zone)
        assert (("dateTo", "too_late", "error") in found) == late
    for text, back in (("today", 0), ("yesterday", 1), ("today-7d", 7), ("today - 1w", 7)):
        place = Moment(moment, ZoneInfo(zone or "Europe/Moscow"))
        reading = coerce(PARAMETERS["dateFrom"], [text], place)
        assert reading.value == (day - timedelta(days=back)).isoformat()


def test_a_relative_day_does_not_change_later() -> None:
    request = mt.ExportRequest(**{**GOOD, "dateTo": "yesterday"})
    day = request.parameters["dateTo"]
    assert request.check(datetime.now(timezone.utc) + timedelta(days=9)) == ()
    assert request.parameters["dateTo"] == day


def test_with_an_invalid_zone_days_are_those_of_moscow() -> None:
    assert mt.ExportRequest(**GOOD, timezone="Mars").zone == ZoneInfo("Europe/Moscow")


def test_check_needs_a_moment_with_a_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        mt.ExportRequest(**GOOD).check(datetime(2024, 11, 10))


@pytest.mark.parametrize("end", [datetime.min, datetime.max])
def test_the_moment_may_be_at_the_ends_of_the_calendar(end: datetime) -> None:
    late = end == datetime.min
    parameters = {**GOOD, "tsFrom": 5, "tsTo": 6, "availabilityTsTo": 7}
    for zone in ("UTC", "Asia/Tokyo", "America/New_York"):
        found = codes(end.replace(tzinfo=timezone.utc), **parameters, timezone=zone)
        assert [code for _, code, _ in found] == ["too_late"] * 5 * late


# by the second only, however far away
SINCE = {"selectors": "idSub1Title", "dateFrom": "", "dateTo": "", "tsTo": SECONDS}


@pytest.mark.parametrize(
    ("parameters", "slow"),
    [
        ({"selectors": "idSub1Title"}, False),
        ({"selectors": "idSub1Title", "dateFrom": "2021-06-02"}, True),
        ({"selectors": "idSub1Title", "dateFrom": "2021-06-03"}, False),
        ({"selectors": "idSub1Title", "dateFrom": "2021-06-02", "tsFrom": SECONDS - 9}, False),
        ({**SINCE, "tsFrom": 1}, True),
        ({**SINCE, "tsFrom": 1730000000}, False),
        ({**SINCE, "tsFrom": 2**62}, False),
        ({**SINCE, "tsFrom": -(2**62)}, True),
        ({"selectors": "idAppStoreTitle"}, True),
        ({"selectors": "idDevice"}, False),
    ],
)
def test_columns_that_slow_an_export_are_noted(parameters: dict[str, Any], slow: bool) -> None:
    found = codes(**{**GOOD, **parameters})
    assert (("selectors", "slow_selector", "note") in found) == slow


# ---- texts


def test_a_misspelt_name_gets_a_suggestion() -> None:
    for parameters, near in [
        ({"event": "install"}, "installs"),
        ({"event": "Installs"}, "installs"),
        ({"selectors": "idDevise"}, "idDevice"),
        ({"idCountry": "Rusia"}, "188 (RU, Russia)"),
        ({"timezone": "Moscow"}, "Europe/Moscow"),
        ({"rooted": "none"}, "2 (Not rooted)"),
        ({"datefrom": "today"}, "dateFrom"),
        ({"idapp": 1}, "idApp"),
        ({"app_id": 1}, "idApp"),
    ]:
        (problem,) = problems_of(**{**GOOD, **parameters})
        assert near in problem.hint


@pytest.mark.parametrize(
    ("parameters", "hint"),
    [
        ({"selectors": "tsEvnt"}, "did you mean tsEvent? The public list is complete for"),
        ({"selectors": "zzz"}, "the public list is complete for"),
        ({"timezоne": "UTC"}, "did you mean timezone? It contains 'о' is CYRILLIC"),
    ],
)
def test_a_suggestion_is_a_question_and_what_follows_a_sentence(
    parameters: dict[str, Any], hint: str
) -> None:
    (problem,) = problems_of(**{**GOOD, **parameters})
    assert problem.hint.startswith(hint)


@given(st.text(min_size=1).filter(str.strip))
def test_a_hint_suggests_or_says_what_is_accepted(text: str) -> None:
    for name in ("event", "timezone", "idCountry", "rooted"):
        for problem in problems_of(**{**GOOD, name: [text]}):
            if problem.code == "not_in_dictionary" and problem.severity == "error":
                assert problem.hint.startswith(("did you mean ", "expected "))


@pytest.mark.parametrize(
    ("parameters", "accepted"),
    [
        ({"idCountry": "XX"}, "a two-letter code or a name"),
        ({"idCountry": "Atlantis"}, "188 (RU, Russia)"),
        ({"idCountry": "Нарния"}, "an id"),
        ({"event": "things"}, "installs, sessions or customEvents"),
        ({"timezone": "Narnia/Town"}, "Europe/Moscow"),
        ({"rooted": "maybe"}, "0 (Unknown), 1 (Rooted) or 2 (Not rooted)"),
    ],
)
def test_a_value_that_resembles_none_gets_no_suggestion(
    parameters: dict[str, Any], accepted: str
) -> None:
    (problem,) = problems_of(**{**GOOD, **parameters})
    assert "did you mean" not in str(problem)
    assert problem.hint.startswith("expected ")
    assert accepted in problem.hint


def test_an_unknown_parameter_that_resembles_none_gets_no_suggestion() -> None:
    assert problems_of(**GOOD, zzz=1)[0].hint == "%mytracker_export? lists the parameters"


@pytest.mark.parametrize(
    ("word", "first", "last"),
    [
        ("last-month", "2024-10-01", "2024-10-31"),
        ("Last month", "2024-10-01", "2024-10-31"),
        ("this-month", "2024-11-01", "2024-11-10"),
        ("last-week", "2024-10-28", "2024-11-03"),
        ("this-week", "2024-11-04", "2024-11-10"),
        ("last-7-days", "2024-11-03", "2024-11-09"),
        ("Last 28 days", "2024-10-13", "2024-11-09"),
        ("last-2d", "2024-11-08", "2024-11-09"),
        ("Yesterday", "2024-11-09", "2024-11-09"),
        ("today-2w", "2024-10-27", "2024-10-27"),
    ],
)
def test_a_period_begins_at_dateFrom_and_ends_at_dateTo(word: str, first: str, last: str) -> None:
    moment = Moment(NOW, ZoneInfo("Europe/Moscow"))
    ends = [coerce(PARAMETERS[name], [word], moment).value for name in ("dateFrom", "dateTo")]
    assert ends == [first, last]


@pytest.mark.parametrize(
    ("day", "why"),
    [
        ("2026-11-31", "November has 30 days"),
        ("2023-02-29", "February 2023 has 28 days"),
        ("2024-02-30", "February 2024 has 29 days"),
        ("2024-13-01", "there is no month 13"),
        ("2024-00-01", "there is no month 0"),
        ("2024-01-00", "days are counted from 1"),
        ("last-0-days", "expected YYYY-MM-DD"),
        ("tomorrow", "expected YYYY-MM-DD"),
    ],
)
def test_an_impossible_day_says_why(day: str, why: str) -> None:
    assert only("bad_value", **{**GOOD, "dateFrom": day}).hint.startswith(why)


@pytest.mark.parametrize("zone", ["europe/moscow", "EUROPE/MOSCOW"])
def test_zones_are_found_in_any_case(zone: str) -> None:
    assert dict(mt.ExportRequest(**GOOD, timezone=zone).wire())["timezone"] == "Europe/Moscow"
    (problem,) = problems_of(**GOOD, timezone="asia/KOLKATA")
    assert problem.severity == "warning"
    assert mt.ExportRequest(timezone="asia/KOLKATA").parameters["timezone"] == "Asia/Kolkata"


@pytest.mark.parametrize("text", ["{level}", "$level", "${level}", "%(level)s"])
def test_a_text_that_is_only_a_placeholder_is_warned_of(text: str) -> None:
    assert codes(**CUSTOM, eventName=[text, "up"]) == [("eventName", "placeholder", "warning")]
    wire = mt.ExportRequest(**CUSTOM, eventName=[text]).wire()
    assert ("eventName[]", text) in wire


@pytest.mark.parametrize("text", ["$", "{}", "{1}", "$5", "a {b} c", "100%"])
def test_other_texts_with_such_signs_are_not(text: str) -> None:
    assert codes(**CUSTOM, eventName=[text]) == []


def test_an_unknown_column_says_what_is_known() -> None:
    problem = only("not_in_dictionary", **{**GOOD, "selectors": "revenue"})
    assert problem.severity == "warning"
    assert "complete for customEvents only" in problem.hint
    assert "docs.tracker.my.com" in problem.hint


def test_an_unknown_column_of_payments_says_that_no_amount_is_known() -> None:
    amount = "no column with the amount or the currency of a payment is publicly known"
    for event in ("payments", "userTrialPayments"):
        problem = only("not_in_dictionary", **{**GOOD, "event": event, "selectors": "revenue"})
        assert problem.severity == "warning"
        assert amount in problem.hint
        assert "docs.tracker.my.com" in problem.hint
    problem = only("not_in_dictionary", **{**GOOD, "event": "sessions", "selectors": "revenue"})
    assert amount not in problem.hint


@pytest.mark.parametrize(
    ("zone", "listed"), [("Asia/Kolkata", "Asia/Calcutta"), ("America/Nuuk", "America/Godthab")]
)
def test_an_unlisted_zone_offers_a_listed_one_with_the_same_time(zone: str, listed: str) -> None:
    assert f"the same time as {listed}" in only("not_in_dictionary", **GOOD, timezone=zone).hint


@pytest.mark.parametrize(
    ("parameters", "letter"),
    [
        ({"event": "inst\u0430lls"}, "CYRILLIC SMALL LETTER A"),
        ({"selectors": "id\u0421ountry"}, "CYRILLIC CAPITAL LETTER ES"),
        ({"id\u0410pp": 1}, "CYRILLIC CAPITAL LETTER A"),
        ({"dateFrom": "2024\u201311\u201301"}, "EN DASH"),
        ({"event": "installs\u200b"}, "ZERO WIDTH SPACE"),
        ({"SDKKey": "1" * 19 + "\u0663"}, "ARABIC-INDIC DIGIT THREE"),
    ],
)
def test_letters_that_only_look_right_are_named(parameters: dict[str, Any], letter: str) -> None:
    (problem,) = problems_of(**{**GOOD, **parameters})
    assert letter in problem.hint


def test_names_in_another_alphabet_are_not_reported() -> None:
    (problem,) = problems_of(**GOOD, idCountry="Нарния")
    assert "CYRILLIC" not in problem.hint


def test_several_invalid_values_are_named_in_the_plural() -> None:
    assert only("bad_value", **GOOD, idApp="x").message == "'x' is not an id"
    assert only("bad_value", **GOOD, idApp="x,y").message == "none of 'x', 'y' is an id"
    assert only("bad_value", **GOOD, idApp="1,,3,").message == "empty value: remove the extra comma"


def test_sdk_keys_that_lost_their_zeros_are_recognized() -> None:
    for key in (12345, "12345", 1.0, [12345]):
        assert "leading zeros" in only("bad_value", **GOOD, SDKKey=key).hint
    assert "zeros" not in str(only("bad_value", **GOOD, SDKKey="1" * 21))


# ---- names


def test_array_style_names_mean_lists() -> None:
    assert mt.ExportRequest(**GOOD, **{"idApp[]": [1, 2]}).parameters["idApp"] == (1, 2)
    assert mt.ExportRequest(**GOOD, **{"idApp": "1", "idApp[]": [2]}).parameters["idApp"] == (1, 2)
    assert mt.ExportRequest(**GOOD, **{"idApp[0]": 1, "idApp[1]": 2}).parameters["idApp"] == (1, 2)


def test_the_table_has_every_parameter_of_the_documentation_in_its_order() -> None:
    assert " ".join(PARAMETERS) == (
        "event selectors dateFrom dateTo tsFrom tsTo availabilityTsFrom availabilityTsTo timezone "
        "idApp idAccount idAd idCampaign idCountry idProject idPartner SDKKey isVerified "
        "idPurchaseType eventName eventNameInvert rooted idAdMediator idSegment"
    )
    assert {name for interval in INTERVALS for name in interval.names} < set(PARAMETERS)
    for name, parameter in PARAMETERS.items():
        assert find_parameter(name) is parameter
        assert (find_parameter(f"{name}[]") is parameter) == parameter.is_list
        assert find_parameter(name.lower() + "x") is None
        assert parameter.dictionary_name is None or len(parameter.dictionary or ())


# ---- the request as a value


def test_a_request_is_a_value() -> None:
    request = mt.ExportRequest(**GOOD, idApp=[1, 2])
    same = mt.ExportRequest(**{**GOOD, "idApp": "1, 2"})
    assert request == same
    assert len({request, same}) == 1
    assert request != mt.ExportRequest(**GOOD)
    assert request != "a text"
    for copied in (pickle.loads(pickle.dumps(request)), copy.deepcopy(request)):
        assert copied == request
        assert copied.check(NOW) == request.check(NOW)
    with pytest.raises(TypeError):
        request.parameters["idApp"] = (3,)  # type: ignore[index]
    assert repr(request).startswith("ExportRequest(event='installs', ")


def test_a_request_does_not_share_the_given_list() -> None:
    apps = [1, 2]
    request = mt.ExportRequest(**GOOD, idApp=apps)
    apps.append(3)
    assert request.parameters["idApp"] == (1, 2)


def test_the_form_fields_are_ids_in_one_field_and_names_in_many() -> None:
    request = mt.ExportRequest(
        **CUSTOM,
        idCountry=["RU", "Germany", 200],
        eventName=["a, b", "c"],
        eventNameInvert="On",
        rooted="Not rooted",
        SDKKey=["00000000000000000001"],
        timezone=ZoneInfo("UTC"),
        tsFrom=datetime(2024, 11, 1, tzinfo=timezone.utc),
        tsTo=datetime(2024, 11, 2),
    )
    assert request.wire() == [
        ("event", "customEvents"),
        ("selectors", "idDevice,tsEvent"),
        ("dateFrom", "2024-11-01"),
        ("dateTo", "2024-11-07"),
        ("tsFrom", "1730419200"),
        ("tsTo", "1730505600"),
        ("timezone", "UTC"),
        ("idCountry", "188,202,200"),
        ("SDKKey", "00000000000000000001"),
        ("eventName[]", "a, b"),
        ("eventName[]", "c"),
        ("eventNameInvert", "1"),
        ("rooted", "2"),
    ]


def test_a_request_with_errors_has_no_form() -> None:
    request = mt.ExportRequest(event="install", idApp="x")
    assert not request.is_valid
    for write in (request.wire, request.to_curl):
        with pytest.raises(mt.InvalidRequest) as caught:
            write()
        assert caught.value.problems == request.problems


def test_a_request_with_warnings_and_notes_is_valid() -> None:
    request = mt.ExportRequest(**{**GOOD, "selectors": "xyz,idOsLangTitle"}, idApp="5,5")
    assert {problem.severity for problem in request.problems} == {"warning", "note"}
    assert request.is_valid
    assert ("selectors", "xyz,idOsLangTitle") in request.wire()


# -- a copy with changes --------------------------------------------------------------------------


@given(st.sampled_from([name for name in PARAMETERS if name != "event"]))
def test_a_copy_differs_only_in_the_changes(name: str) -> None:
    request = mt.ExportRequest(**GOOD, idApp=[1, 2], idCountry="RU", timezone="UTC")
    before = dict(request.parameters)
    removed = request.replace(**{name: None})
    assert dict(removed.parameters) == {key: before[key] for key in before if key != name}
    assert removed.replace(**{name: before.get(name)}) == request
    assert dict(request.parameters) == before


def test_a_copy_accepts_both_names_of_a_list_and_unknown_names() -> None:
    request = mt.ExportRequest(**GOOD, idApp=[1, 2])
    assert request.replace(**{"idApp[]": 3}).parameters["idApp"] == (3,)  # type: ignore[misc]
    (problem,) = request.replace(idAppp=3).problems  # type: ignore[call-arg]
    assert problem.parameter == "idAppp"


def test_relative_dates_of_a_copy_are_of_the_same_moment() -> None:
    days = {"dateFrom": "today-7d", "dateTo": "yesterday"}
    request = mt.ExportRequest(**{**GOOD, **days}).as_of(NOW)
    later = request.replace(dateFrom="today-3d")
    assert later.read_at == NOW
    assert (later.parameters["dateFrom"], later.parameters["dateTo"]) == (
        "2024-11-07",
        "2024-11-09",
    )
    assert later.written == {**days, "dateFrom": "today-3d"}
