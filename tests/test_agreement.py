"""The validator and the sandbox accept and refuse the same requests, each by its own rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_client import RAW, Signed
from strategies import EVENT_NAMES, right

import mytracker_nb as mt
from mytracker_nb.request.dictionaries import dictionary
from mytracker_nb.request.parameters import PARAMETERS, ValueType

# it is tomorrow in Apia
NOW = datetime(2024, 11, 10, 12, 30, 15, 500_000, tzinfo=timezone.utc)
SECONDS = int(NOW.timestamp())
LATEST_AVAILABLE = SECONDS - 3 * 3600
INTERVAL = {"dateFrom": "2024-11-01", "dateTo": "2024-11-02"}
GOOD = {"event": "installs", "selectors": "idDevice", **INTERVAL}


class Service:
    """A sandbox with a frozen clock."""

    def __init__(self) -> None:
        self.sandbox = mt.sandbox.start(
            seconds=0, without_quotas=True, unknown_selectors=True, now=NOW.timestamp
        )
        self.session = requests.Session()
        self.session.auth = Signed(self.sandbox.api_user_id, self.sandbox.secret_key)

    def refusal(self, fields: list[tuple[str, str]]) -> str:
        """The service's reason to refuse; empty where it does not."""
        url = f"{self.sandbox.base_url}{RAW}/create.json"
        answer = self.session.post(url, data=fields, timeout=20)
        content = answer.json()
        assert answer.status_code == content["code"]
        if answer.status_code == 200:
            return ""
        assert answer.status_code == 400
        return content["data"]["error"]["detail"]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.session.close()
    running.sandbox.stop()


# ---- the values of a form, right and wrong, as text

MANY = [str(number) for number in range(1001)]
IDS = ["0", "1", "1,2", "1,1", "007", str(2**64 - 1), ",".join(MANY[:1000]), ",".join(MANY)]
NO_IDS = ["x", "-1", "1.5", "1,,2", "1,", ",1", ",", "1;2", "1 2", "9" * 21, "٣", "True", "0x1"]
KEYS = ["0" * 20, "12345678901234567890", ",".join(f"{number:020}" for number in range(1001))]
NO_KEYS = ["1", "0" * 19, "0" * 21, "x" * 20, "0" * 19 + "٣", f"{'0' * 20},", "0" * 10 + " " * 10]
DAYS = ["2024-11-09", "2024-11-10", "2024-11-11", "2024-11-12", "1970-01-01", "1969-12-31"]
NO_DAYS = ["2024-02-30", "2024-1-1", "20241101", "01.11.2024", "x", "1731196800", "2024-11-09,"]
TIMES = [
    *["0", "-1", "1731242000", str(SECONDS), str(SECONDS + 1), str(SECONDS * 1000)],
    *[str(LATEST_AVAILABLE - 1), str(LATEST_AVAILABLE), str(LATEST_AVAILABLE + 1)],
]
NO_TIMES = ["x", "1.5", "1e9", "1,2", "9" * 21, "2024-11-09", "٣"]
ZONES = ["UTC", "Pacific/Apia", "Pacific/Honolulu", "Europe/Moscow", "Asia/Tokyo"]
NO_ZONES = ["Moscow", "UTC+3", "../UTC", "UTC,UTC", "+03:00"]
COLUMNS = ["idDevice", "idDevice,tsEvent", "idDevice,idDevice", "params.name", "someNew_one2"]
NO_COLUMNS = [
    "idDevice,",
    "idDevice,,tsEvent",
    "id device",
    "1x",
    "a..b",
    "a.1",
    ".a",
    "a.",
    "ид",
    "a;b",
]
EVENTS = list(dictionary("event"))
NO_EVENTS = ["install", "Installs", "installs,sessions", "x", "инсталлы"]
CHOICES = [*map(str, range(8)), "48", "49", "-1", "x", "0,1", "1.0"]

POOLS = {
    "event": EVENTS + NO_EVENTS,
    "selectors": COLUMNS + NO_COLUMNS,
    "timezone": ZONES + NO_ZONES,
    "SDKKey": KEYS + NO_KEYS,
    "idSegment": IDS[:2] + NO_IDS,
}
BY_KIND = {
    ValueType.DATE: DAYS + NO_DAYS,
    ValueType.TIME: TIMES + NO_TIMES,
    ValueType.ID: IDS + NO_IDS,
}


def texts(name: str) -> st.SearchStrategy[str | list[str]]:
    parameter = PARAMETERS[name]
    if parameter.value_type is ValueType.TEXT:
        many = [f"event {number}" for number in range(1001)]
        return st.lists(EVENT_NAMES, max_size=3) | st.sampled_from([many[:1000], many])
    pool = POOLS.get(name) or (
        CHOICES if parameter.dictionary and not parameter.is_list else BY_KIND[parameter.value_type]
    )
    return st.sampled_from([*pool, ""])


def as_text(value: Any) -> str | list[str]:
    if isinstance(value, list):
        return value if all(isinstance(item, str) for item in value) else ",".join(map(str, value))
    return str(value)


@st.composite
def parameter_sets(draw: st.DrawFn) -> dict[str, str | list[str]]:
    """A right request in which some values are replaced, added or left out."""
    parameters = {name: as_text(value) for name, value in draw(right()).items()}
    for name in draw(st.lists(st.sampled_from(list(PARAMETERS)), max_size=4)):
        parameters[name] = draw(texts(name))
    for name in draw(st.lists(st.sampled_from(list(parameters)), max_size=1)):
        del parameters[name]
    if draw(st.integers(0, 20)) == 0:
        parameters[draw(st.sampled_from(["idapp", "foo", "event[]", "Event"]))] = "1"
    return parameters


def form(parameters: dict[str, str | list[str]], arrays: bool) -> list[tuple[str, str]]:
    """The fields of a request, as a client without a validator sends them."""
    fields: list[tuple[str, str]] = []
    for name, value in parameters.items():
        parameter = PARAMETERS.get(name)
        if isinstance(value, str) and arrays and value and parameter and parameter.is_list:
            value = value.split(",")
        if isinstance(value, str):
            fields.append((name, value))
        elif arrays or name == "eventName":
            fields.extend((f"{name}[]", item) for item in value)
        else:
            fields.append((name, ",".join(value)))
    return fields


@given(parameter_sets(), st.booleans())
@settings(max_examples=150)
def test_the_validator_and_the_sandbox_agree(
    service: Service, parameters: dict[str, str | list[str]], arrays: bool
) -> None:
    request = mt.ExportRequest(**parameters)
    errors = [p for p in request.check(NOW) if p.severity == "error"]
    if {problem.code for problem in errors} == {"unknown_parameter"}:
        # what the service does not know it ignores; before anything is sent it is a slip
        service.refusal(form(parameters, arrays))
    elif errors:
        refusal = service.refusal(form(parameters, arrays))
        assert refusal, f"accepted in spite of {[*map(str, errors)]}"
        # the service names one parameter, which is among those that the validator names
        named = re.match(r"Argument '(.*?)'", refusal)
        assert named
        assert named[1] in {re.sub(r"\[\d*\]$", "", p.parameter) for p in errors}, refusal
    else:
        # what is right now was right then, so that wire() may look at the clock
        assert service.refusal(request.wire()) == ""


@given(right())
def test_valid_requests_are_accepted(service: Service, parameters: dict[str, Any]) -> None:
    request = mt.ExportRequest(**parameters)
    assert [p for p in request.check(NOW) if p.severity == "error"] == []
    assert service.refusal(request.wire()) == ""


EACH = [
    (name, text)
    for name, parameter in PARAMETERS.items()
    if parameter.value_type is not ValueType.TEXT
    for text in POOLS.get(name)
    or (
        CHOICES if parameter.dictionary and not parameter.is_list else BY_KIND[parameter.value_type]
    )
]


@pytest.mark.parametrize(("name", "text"), EACH, ids=lambda text: ascii(text)[1:20])
def test_they_agree_on_each_value(service: Service, name: str, text: str) -> None:
    event = next(iter(sorted(PARAMETERS[name].events or ["installs"])))
    parameters: dict[str, Any] = {**GOOD, "event": event, "dateFrom": "1970-01-01"}
    if name in ("tsFrom", "tsTo"):
        parameters |= {"tsFrom": "0", "tsTo": str(SECONDS)}
    assert_agreed(service, {**parameters, name: text})


@pytest.mark.parametrize("zone", [*ZONES, ""])
@pytest.mark.parametrize("day", DAYS)
def test_they_agree_on_today_in_each_zone(service: Service, zone: str, day: str) -> None:
    assert_agreed(service, {**GOOD, "dateFrom": "1970-01-01", "dateTo": day, "timezone": zone})


def assert_agreed(service: Service, parameters: dict[str, Any]) -> None:
    errors = [p for p in mt.ExportRequest(**parameters).check(NOW) if p.severity == "error"]
    sent = form(parameters, False) if errors else mt.ExportRequest(**parameters).wire()
    assert bool(service.refusal(sent)) == bool(errors)


# ---- where they differ, and the documentation does not say who is right


SENT_AND_REFUSED = {
    # the service lists 80 zones and does not say what it makes of others
    "a zone that is not listed": {**GOOD, "timezone": "Asia/Kolkata"},
}
REFUSED_AND_ACCEPTED = {
    # ids are unsigned 64-bit numbers where the storage is known
    "an id past 2^64": {**GOOD, "idApp": "9" * 20},
    # a blank part is a slip of the one who asks
    "a blank event name": {**GOOD, "event": "customEvents", "eventName": ["", "a"]},
}


@pytest.mark.parametrize("parameters", SENT_AND_REFUSED.values(), ids=SENT_AND_REFUSED)
def test_what_is_sent_and_may_be_refused(service: Service, parameters: dict[str, Any]) -> None:
    request = mt.ExportRequest(**parameters)
    assert [problem.severity for problem in request.check(NOW)] == ["warning"]
    assert service.refusal(request.wire())


@pytest.mark.parametrize("parameters", REFUSED_AND_ACCEPTED.values(), ids=REFUSED_AND_ACCEPTED)
def test_what_is_refused_and_might_be_accepted(
    service: Service, parameters: dict[str, Any]
) -> None:
    assert [p.severity for p in mt.ExportRequest(**parameters).check(NOW)] == ["error"]
    assert service.refusal(form(parameters, False)) == ""
