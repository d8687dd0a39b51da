"""Polling: after the same faults, cells, cards, the form and plans end in the same way."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import time

import pytest

import mytracker_nb as mt
from mytracker_nb import clock
from mytracker_nb.client.client import default_client
from mytracker_nb.client.export import display_of
from mytracker_nb.client.polling import RULE, poll_until_final
from mytracker_nb.form.submission import Phase, Submission
from mytracker_nb.sandbox.faults import HTML_PAGE
from mytracker_nb.service.rate_limit import RateLimiter
from mytracker_nb.service.retry import (
    LONG_RETRY,
    NO_RETRY,
    Retries,
    RetryPolicy,
    WaitKind,
)

PARAMETERS = {
    "event": "installs",
    "selectors": ["idDevice"],
    "dateFrom": "2026-01-01",
    "dateTo": "2026-01-01",
}
KNOWN = "Success!"


def create():
    return default_client().create(mt.ExportRequest(**PARAMETERS))


def by_wait():
    try:
        return create().wait().status
    except mt.MyTrackerError as error:
        return str(error)


def by_await():
    async def main():
        return (await create()).status

    try:
        return asyncio.run(main())
    except mt.MyTrackerError as error:
        return str(error)


def by_card():
    export = create()
    display = display_of(export)
    display.live(poll_until_final(export), lambda: export.is_finished)
    while (pause := display._step()) is not None:
        clock.sleep(pause)
    return export.status if export.is_finished else " ".join(export.card().text().split())


def by_form():
    submission = Submission(lambda: None)
    submission.submit(mt.ExportRequest(**PARAMETERS))
    end = time.monotonic() + 60
    while submission.phase is not Phase.FINISHED:
        # it is no longer updated, and says why
        is_detached, trouble = submission.phase is Phase.DETACHED, submission.trouble
        if is_detached and trouble and "retrying" not in trouble:
            return trouble
        assert time.monotonic() < end, (submission.phase, submission.trouble)
        time.sleep(0.01)
    return submission.export.status


def by_plan():
    plan = mt.plan(**PARAMETERS)
    try:
        plan.run().raise_for_failures()
    except mt.MyTrackerError as error:
        return str(error)
    return plan.exports[0].status


FACES = [by_wait, by_await, by_card, by_form, by_plan]
REFUSED = json.dumps({"code": 403, "message": "Access denied", "data": None})
UNKNOWN = json.dumps({"code": 404, "data": {"error": {"detail": "Raw export request not found"}}})
MOST = LONG_RETRY.faults


@pytest.fixture
def open_account(no_account, start_sandbox, monkeypatch, fake_clock):
    """Start a sandbox as the account in use; no wait takes time."""

    def start(**config):
        sandbox = start_sandbox(**config)
        monkeypatch.setenv("MYTRACKER_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("MYTRACKER_API_USER_ID", str(sandbox.api_user_id))
        monkeypatch.setenv("MYTRACKER_SECRET_KEY", sandbox.secret_key)
        default_client().api.rate_limiter = RateLimiter({1.0: 10_000}, errors={1.0: 10_000})
        fake_clock.on_sleep = sandbox.clock.advance
        return sandbox

    return start


@pytest.fixture
def account(open_account):
    """A sandbox that finishes exports at once, as the account in use."""
    return open_account()


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize(
    ("fault", "times", "verdict", "looks"),
    [
        ({"status": 503}, MOST, KNOWN, MOST + 1),
        ({"status": 503}, None, "HTTP 503", MOST + 1),
        ({"status": 200, "body": HTML_PAGE}, None, "expected JSON", MOST + 1),
        ({"reset": "before"}, MOST, KNOWN, MOST + 1),
        ({"reset": "after"}, None, "127.0.0.1", MOST + 1),
        # many waits of half a minute, and none of them is a fault; more than an hour is too long
        ({"status": 429, "headers": {"Retry-After": "30"}}, 2 * MOST, KNOWN, 2 * MOST + 1),
        ({"status": 429, "headers": {"Retry-After": "1200"}}, None, "HTTP 429", 4),
        ({"status": 403, "body": REFUSED}, None, "HTTP 403", 1),
        ({"status": 404, "body": UNKNOWN}, None, "HTTP 404", 1),
    ],
    ids=repr,
)
def test_all_callers_end_in_the_same_way(account, face, fault, times, verdict, looks):
    account.faults.add(path="/get.json", times=times, **fault)

    assert verdict in face()
    asked = [call for call in account.requests if call.path.endswith("/get.json")]
    assert len(asked) == looks
    assert len(account.exports) == 1


def test_a_successful_poll_resets_the_count(open_account):
    account = open_account(seconds=600)
    account.faults.add(path="/get.json", every=2, times=None, status=503)
    export, events = create(), []
    for event in poll_until_final(export):
        events.append(event)
        clock.sleep(event.seconds)

    assert export.status == KNOWN
    faults = [event for event in events if event.kind is WaitKind.FAULT]
    assert len(faults) > MOST
    assert max(event.seconds for event in faults) <= LONG_RETRY.first_delay
    assert all(event.text.startswith("retrying in 1 s: HTTP 503") for event in faults)
    assert {event.text for event in events if event.kind is WaitKind.POLL} == {""}


def test_the_deadline_ends_polling_and_the_last_fault_is_named(account, fake_clock):
    account.faults.add(path="/get.json", times=None, status=503)
    export = create()
    with pytest.raises(mt.ExportTimeout, match=r"attach\(1\)") as caught:
        export.wait(timeout=100)
    assert "the last poll failed: HTTP 503" in str(caught.value)
    assert caught.value.export is export
    assert sum(fake_clock.slept) == pytest.approx(100)


def test_the_rate_limiter_adds_no_faults_and_no_longer_pauses(fake_clock):
    retries = Retries(LONG_RETRY)
    held = mt.QuotaExceeded("ours", retry_after=2.0)
    for _ in range(3 * MOST):
        event = retries.after(held)
        assert event.kind is WaitKind.QUOTA
        assert 2.0 < event.seconds <= 2.5
    assert (retries.tries, retries.faults) == (0, 0)


def test_a_few_faults_that_last_too_long_end_polling(fake_clock):
    retries = Retries(RetryPolicy(faults=9, seconds=100.0))
    assert retries.after(mt.ConnectionFailed("lost")) is not None
    fake_clock.move(101.0)
    assert retries.after(mt.ConnectionFailed("lost")) is None
    retries.reset()
    assert retries.after(mt.ConnectionFailed("lost")) is not None
    assert Retries(NO_RETRY).after(mt.ConnectionFailed("lost")) is None


def test_the_text_of_the_rule_has_its_numbers():
    rule = " ".join(RULE.split())
    assert f"More than {MOST} errors in a row" in rule
    assert "or 30 minutes" in rule


def test_polls_are_divided_among_two_hundred_exports(account, fake_clock, monkeypatch):
    """Within the quotas each has its turn again and again; an hour has 800 requests for all."""
    client, looks = default_client(), {number: [] for number in range(200)}
    client.api.rate_limiter = RateLimiter()

    def answer(method, path, policy, *, params):
        looks[params["idRawExport"]].append(fake_clock.monotonic())
        return {"status": "In progress"}

    monkeypatch.setattr(client.api, "_call", answer)
    fake_clock.on_sleep = None
    start = fake_clock.monotonic()
    # as the one thread of the cards does: whoever is due first
    due = [(start, number, poll_until_final(client._export(number))) for number in range(200)]
    while due[0][0] < start + 2 * 3600:
        moment, number, steps = heapq.heappop(due)
        fake_clock.move(max(0.0, moment - fake_clock.monotonic()))
        event = next(steps)
        heapq.heappush(due, (fake_clock.monotonic() + event.seconds, number, steps))

    gaps = [later - time for times in looks.values() for time, later in itertools.pairwise(times)]
    assert max(times[0] for times in looks.values()) < start + 300
    assert min(len(times) for times in looks.values()) >= 4
    # half of an hour's requests, shared evenly: 200 exports, 400 requests
    assert max(gaps) <= 1800 + 60
