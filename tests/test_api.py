"""The four calls: what the service answers, in its words, and what is survived."""

from __future__ import annotations

import json
import random
import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

import mytracker_nb as mt
from mytracker_nb.api import USER_AGENT, Api, Patience, State
from mytracker_nb.credentials import Credentials
from mytracker_nb.pace import Pace

REQUEST = mt.ExportRequest(
    event="installs", selectors="idDevice", dateFrom="2026-01-01", dateTo="2026-01-02"
)
IMPATIENT = Patience(faults=0, seconds=5)


@pytest.fixture
def api_of():
    """Make the calls to a sandbox, with little patience and no delays."""

    def make(sandbox, patience=IMPATIENT, key=None):
        credentials = Credentials(sandbox.api_user_id, key or sandbox.secret_key, sandbox.base_url)
        api = Api(credentials, patience=patience, pace=Pace({1.0: 10_000}))
        opened.append(api)
        return api

    opened: list[Api] = []
    yield make
    for api in opened:
        api.session.close()


@pytest.fixture
def no_sleep(monkeypatch):
    """Count the seconds slept in place of sleeping them."""
    slept: list[float] = []
    clock = SimpleNamespace(sleep=slept.append, monotonic=time.monotonic)
    monkeypatch.setattr("mytracker_nb.api.time", clock)  # the sandbox's own sleeping goes on
    return slept


def test_create_get_and_quotas(start_sandbox, api_of):
    sandbox = start_sandbox(seconds=100, without_quotas=False)
    api = api_of(sandbox)

    id_raw_export = api.create(REQUEST.wire())
    sandbox.clock.advance(50)
    state = api.get(id_raw_export)

    assert state.status == "In progress"
    assert state.progress == pytest.approx(0.5, abs=0.1)
    assert state.is_cancellable is True
    assert state.links == ()
    sandbox.clock.advance(51)
    done = api.get(id_raw_export)
    assert done.status == "Success!"
    assert all(link.url.startswith(sandbox.base_url) for link in done.links)
    assert all(link.expires.tzinfo is not None for link in done.links)
    names = {quota["name"] for quota in api.quotas()}
    assert "RequestsByUserPerMinute" in names


def test_the_body_carries_the_parameters_and_who_asks_is_named(start_sandbox, api_of):
    sandbox = start_sandbox()
    api_of(sandbox).create(REQUEST.wire())

    (call,) = sandbox.requests
    assert call.method == "POST"
    assert "?" not in call.path
    headers = {name.lower(): value for name, value in dict(call.headers).items()}
    assert headers["user-agent"] == USER_AGENT
    assert headers["content-type"] == "application/x-www-form-urlencoded"


def test_cancel_tells_the_verdict(start_sandbox, api_of):
    sandbox = start_sandbox(seconds=100)
    api = api_of(sandbox)
    id_raw_export = api.create(REQUEST.wire())

    assert api.cancel(id_raw_export) == "Canceled"
    assert api.get(id_raw_export).status == "Canceled by user"
    with pytest.raises(mt.BadRequest, match="can not be cancel"):
        api.cancel(id_raw_export)


def test_refusals_are_told_in_the_services_words(start_sandbox, api_of):
    sandbox = start_sandbox(queue=1, seconds=100)
    api = api_of(sandbox)

    with pytest.raises(mt.NotFound, match=r"HTTP 404 Not Found: Raw export request not found"):
        api.get(99)
    with pytest.raises(mt.BadRequest, match=r"HTTP 400 Bad Request: Argument 'event'") as bad:
        api.create([("event", "nothing")])
    assert bad.value.status == 400
    assert bad.value.detail.startswith("Argument 'event'")
    assert bad.value.payload["code"] == 400
    with pytest.raises(mt.AccessDenied, match=r"HTTP 403 Access denied.*%mytracker_login"):
        api_of(sandbox, key="not the key").get(1)

    first = api.create(REQUEST.wire())
    with pytest.raises(mt.QueueFull, match="Maximum number of simultaneous requests") as full:
        api.create(REQUEST.wire())
    assert full.value.exports == (first,)
    assert isinstance(full.value, mt.BadRequest)


def test_a_missing_permission_is_told(start_sandbox, api_of):
    with pytest.raises(mt.ApiError, match="Export permissions required"):
        api_of(start_sandbox(permission=False)).create(REQUEST.wire())


@pytest.mark.parametrize("status", [200, 500, 502])
def test_what_is_no_json_is_told_as_what_it_is(start_sandbox, api_of, status):
    sandbox = start_sandbox()
    page = "<html><title>Login</title>\n\x1b[31mPlease  log in</html>"
    sandbox.faults.add(
        path="/get.json", status=status, body=page, headers={"Content-Type": "text/html"}
    )

    with pytest.raises(mt.ApiError) as caught:
        api_of(sandbox).get(1)
    text = str(caught.value)
    assert f"HTTP {status}" in text
    assert "text/html" in text
    assert "Please log in" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"reset": "before"}, {"reset": "after"}, {"status": 200, "body": "<html>"}],
)
def test_reads_survive_faults_that_pass(start_sandbox, api_of, no_sleep, fault):
    sandbox = start_sandbox()
    api = api_of(sandbox, Patience(faults=3, seconds=60))
    id_raw_export = api.create(REQUEST.wire())
    sandbox.faults.add(path="/get.json", times=3, **fault)
    told = []

    state = api.get(id_raw_export, on_wait=lambda delay, error: told.append(delay))

    assert state.status == "Success!"
    assert len(no_sleep) == 3
    assert told == no_sleep
    assert no_sleep[2] > no_sleep[0] / 2, "the waits grow"


def test_the_patience_has_an_end(start_sandbox, api_of, no_sleep):
    sandbox = start_sandbox()
    sandbox.faults.add(status=500, times=None)

    with pytest.raises(mt.ApiError, match="HTTP 500"):
        api_of(sandbox, Patience(faults=4, seconds=1000)).get(1)
    assert len(no_sleep) == 4


def test_refusals_are_not_asked_again(start_sandbox, api_of, no_sleep):
    sandbox = start_sandbox()
    with pytest.raises(mt.NotFound):
        api_of(sandbox, Patience()).get(7)
    assert len(sandbox.requests) == 1
    assert no_sleep == []


@pytest.mark.parametrize(
    "fault", [{"reset": "after"}, {"status": 500}, {"status": 200, "body": ""}]
)
def test_a_create_whose_answer_is_lost_is_never_repeated(start_sandbox, api_of, no_sleep, fault):
    sandbox = start_sandbox()
    sandbox.faults.add(path="/create.json", **fault)

    with pytest.raises(mt.CreateUnconfirmed, match="may have been made"):
        api_of(sandbox, Patience()).create(REQUEST.wire())
    assert len(sandbox.requests) == 1
    assert no_sleep == []


def test_a_create_that_never_left_may_be_asked_again_by_the_user(start_sandbox, api_of):
    sandbox = start_sandbox()
    api = api_of(sandbox)
    sandbox.stop()

    with pytest.raises(mt.ConnectionFailed, match="no answer from") as caught:
        api.create(REQUEST.wire())
    assert not isinstance(caught.value, mt.CreateUnconfirmed)


def test_a_quota_is_waited_for_as_long_as_the_service_says(start_sandbox, api_of, monkeypatch):
    sandbox = start_sandbox(
        without_quotas=False, quotas={"RequestsByUserPerMinute": 3, "RequestsByUserPerSecond": 0}
    )
    api = api_of(sandbox, Patience())
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        sandbox.clock.advance(seconds)

    clock = SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
    monkeypatch.setattr("mytracker_nb.api.time", clock)
    ids = [api.create(REQUEST.wire()) for _ in range(4)]

    assert len(set(ids)) == 4, "after a 429 nothing was made, so it is asked again"
    assert len(slept) == 1
    assert 0 < slept[0] <= 61


def test_a_quota_that_takes_too_long_is_an_error(start_sandbox, api_of):
    sandbox = start_sandbox(without_quotas=False, quotas={"RequestsByUserPerHour": 1})
    api = api_of(sandbox, Patience(seconds=0))
    api.create(REQUEST.wire())

    with pytest.raises(mt.QuotaExceeded, match=r"HTTP 429.*RequestsByUserPerHour") as caught:
        api.get(1)
    assert 0 < caught.value.retry_after <= 3600
    assert any(quota["exceeded"] for quota in caught.value.quotas)


def test_retry_after_is_understood_where_no_quota_is_named(start_sandbox, api_of, no_sleep):
    sandbox = start_sandbox()
    api = api_of(sandbox, Patience())
    id_raw_export = api.create(REQUEST.wire())
    body = json.dumps({"code": 429, "message": "Too Many Requests", "data": None})
    sandbox.faults.add(path="/get.json", status=429, body=body, headers={"Retry-After": "7"})

    assert api.get(id_raw_export).status == "Success!"
    assert 7 <= no_sleep[0] < 8


def test_unknown_words_and_fields_are_survived(start_sandbox, api_of):
    sandbox = start_sandbox()
    api = api_of(sandbox)
    id_raw_export = api.create(REQUEST.wire())
    odd = {
        "status": "Moved \x1b[2J to tape",
        "progress": "soon",
        "isCancellable": "maybe",
        "files": [{"link": 5}, "odd", {"timestampExpires": "1e400"}],
        "errorMessage": {"why": "?"},
    }
    sandbox.faults.add(path="/get.json", data=odd)

    state = api.get(id_raw_export)

    assert state.status == "Moved \ufffd[2J to tape"
    assert state.progress is None
    assert state.is_cancellable is None
    assert len(state.links) == 3
    assert state.links[2].expires is None


def test_a_redirect_is_not_followed(start_sandbox, api_of):
    sandbox, elsewhere = start_sandbox(), start_sandbox()
    sandbox.faults.add(
        path="/get.json", status=302, body="", headers={"Location": f"{elsewhere.base_url}/"}
    )

    with pytest.raises(mt.ApiError, match="HTTP 302"):
        api_of(sandbox).get(1)
    assert elsewhere.requests == []


def test_state_of_nothing_known():
    assert State("In progress").progress is None


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 1000.0
        self.lock = threading.Lock()

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        assert seconds > 0
        with self.lock:
            self.now += seconds


def test_the_pace_keeps_every_window(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("mytracker_nb.pace.time", clock)
    limits = {1.0: 3, 10.0: 12, 100.0: 40}
    pace = Pace(limits)
    times = []
    randomness = random.Random(1)

    for _ in range(120):
        pace.wait()
        times.append(clock.now)
        clock.now += randomness.choice([0, 0, 0.1, 2])

    for window, count in limits.items():
        for first, last in zip(times, times[count:], strict=False):
            assert last - first >= window - 1e-6


def test_many_followed_exports_share_the_longest_window():
    pace = Pace({1.0: 10, 3600.0: 720})
    assert pace.interval(1.0) == 1.0
    with pace.following(), pace.following():
        assert pace.interval(1.0) == 1.0
    with ExitStack() as followed:
        for _ in range(50):
            followed.enter_context(pace.following())
        looks = 50 * 3600 / pace.interval(1.0)
        assert looks <= 720 / 2
