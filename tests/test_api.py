"""The four calls: answers, errors, retries and the rate limit."""

from __future__ import annotations

import gzip
import heapq
import io
import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from functools import partial

import hypothesis
import pytest
import requests
from hypothesis import strategies as st

import mytracker_nb as mt
from mytracker_nb.errors import printable
from mytracker_nb.service.api import USER_AGENT, Api, Link, State
from mytracker_nb.service.credentials import Credentials
from mytracker_nb.service.rate_limit import RateLimiter
from mytracker_nb.service.retry import RetryPolicy, backoff

REQUEST = mt.ExportRequest(
    event="installs", selectors="idDevice", dateFrom="2026-01-01", dateTo="2026-01-02"
)
WORDS = ["code", "data", "error", "info", "quotas", "exceeded", "resetInSecond", "name"]
WORDS += ["exports", "idRawExport", "detail", "message", "status", "progress", "isCancellable"]
WORDS += ["files", "link", "timestampExpires", "errorMessage"]
IMPATIENT = RetryPolicy(faults=0, seconds=5)
# in the middle of a minute and of an hour, so that no quota resets by itself
NOW = 1_795_000_000.0


@pytest.fixture
def api_of():
    """Make the calls to a sandbox, with few retries and no delays."""

    def make(sandbox, retry_policy=IMPATIENT, key=None):
        credentials = Credentials(sandbox.api_user_id, key or sandbox.secret_key, sandbox.base_url)
        api = Api(credentials, retry_policy=retry_policy, rate_limiter=RateLimiter({1.0: 10_000}))
        opened.append(api)
        return api

    opened: list[Api] = []
    yield make
    for api in opened:
        api.session.close()


@pytest.fixture
def no_sleep(fake_clock):
    """Count the seconds slept in place of sleeping them."""
    return fake_clock.slept


def test_create_get_and_quotas(start_sandbox, api_of):
    sandbox = start_sandbox(seconds=100, without_quotas=False, now=lambda: NOW)
    api = api_of(sandbox)

    id_raw_export = api.create(REQUEST.wire())
    sandbox.clock.advance(50)
    state = api.get(id_raw_export)

    assert state.status == "In progress"
    assert state.progress == 0.5
    assert state.is_cancellable is True
    assert state.links == ()
    sandbox.clock.advance(51)
    done = api.get(id_raw_export)
    assert done.status == "Success!"
    assert all(link.url.startswith(sandbox.base_url) for link in done.links)
    assert all(link.expires.tzinfo is not None for link in done.links)
    names = {quota["name"] for quota in api.quotas()}
    assert "RequestsByUserPerMinute" in names


def test_the_body_has_the_parameters_and_the_user_agent_is_named(start_sandbox, api_of):
    sandbox = start_sandbox()
    api_of(sandbox).create(REQUEST.wire())

    (call,) = sandbox.requests
    assert call.method == "POST"
    assert "?" not in call.path
    headers = {name.lower(): value for name, value in dict(call.headers).items()}
    assert headers["user-agent"] == USER_AGENT
    assert headers["content-type"] == "application/x-www-form-urlencoded"


def test_cancel_returns_the_answer_of_the_service(start_sandbox, api_of):
    sandbox = start_sandbox(seconds=100)
    api = api_of(sandbox)
    id_raw_export = api.create(REQUEST.wire())

    assert api.cancel(id_raw_export) == "Canceled"
    assert api.get(id_raw_export).status == "Canceled by user"
    with pytest.raises(mt.BadRequest, match="can not be cancel"):
        api.cancel(id_raw_export)


def test_errors_have_the_messages_of_the_service(start_sandbox, api_of):
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


def test_a_missing_permission_is_reported(start_sandbox, api_of):
    with pytest.raises(mt.ApiError, match="Export permissions required"):
        api_of(start_sandbox(permission=False)).create(REQUEST.wire())


@pytest.mark.parametrize("status", [200, 400, 403, 404, 500, 502])
def test_a_response_that_is_not_json_is_described(start_sandbox, api_of, status):
    sandbox = start_sandbox()
    page = "<html><title>Login</title>\n\x1b[31mPlease  log in</html>"
    sandbox.faults.add(
        path="/get.json", status=status, body=page, headers={"Content-Type": "text/html"}
    )

    with pytest.raises(mt.ApiError) as caught:
        api_of(sandbox).get(1)
    assert type(caught.value) is mt.ApiError, "no word of the service's own"
    text = str(caught.value)
    assert f"HTTP {status}" in text
    assert "text/html" in text
    assert "Please log in" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"reset": "before"},
        {"reset": "after"},
        {"status": 200, "body": "<html>"},
        {"status": 404, "body": "<html>"},
        {"status": 408},
        {"status": 425},
    ],
)
def test_reads_are_retried_after_temporary_faults(start_sandbox, api_of, no_sleep, fault):
    sandbox = start_sandbox()
    api = api_of(sandbox, RetryPolicy(faults=3, seconds=60))
    id_raw_export = api.create(REQUEST.wire())
    sandbox.faults.add(path="/get.json", times=3, **fault)
    waits = []

    state = api.get(id_raw_export, on_wait=lambda event: waits.append(event.seconds))

    assert state.status == "Success!"
    assert len(no_sleep) == 3
    assert waits == no_sleep
    assert no_sleep[2] > no_sleep[0] / 2, "the waits grow"


def test_delays_do_not_change_the_random_numbers_of_a_notebook() -> None:
    random.seed(1)
    expected = random.random()
    random.seed(1)
    RetryPolicy().delay(3)
    assert random.random() == expected


def test_retries_end(start_sandbox, api_of, no_sleep):
    sandbox = start_sandbox()
    sandbox.faults.add(status=500, times=None)

    with pytest.raises(mt.ApiError, match="HTTP 500"):
        api_of(sandbox, RetryPolicy(faults=4, seconds=1000)).get(1)
    assert len(no_sleep) == 4


def test_refusals_are_not_retried(start_sandbox, api_of, no_sleep):
    sandbox = start_sandbox()
    with pytest.raises(mt.NotFound):
        api_of(sandbox, RetryPolicy()).get(7)
    assert len(sandbox.requests) == 1
    assert no_sleep == []


@pytest.mark.parametrize(
    "fault", [{"reset": "after"}, {"status": 500}, {"status": 200, "body": ""}]
)
def test_a_create_without_a_response_is_never_retried(start_sandbox, api_of, no_sleep, fault):
    sandbox = start_sandbox()
    sandbox.faults.add(path="/create.json", **fault)

    with pytest.raises(mt.CreateUnconfirmed, match="so the export may exist"):
        api_of(sandbox, RetryPolicy()).create(REQUEST.wire())
    assert len(sandbox.requests) == 1
    assert no_sleep == []


def test_a_create_that_was_not_sent_can_be_sent_again(start_sandbox, api_of):
    sandbox = start_sandbox()
    api = api_of(sandbox)
    sandbox.stop()

    with pytest.raises(mt.ConnectionFailed, match="the service did not respond") as caught:
        api.create(REQUEST.wire())
    assert not isinstance(caught.value, mt.CreateUnconfirmed)


def test_a_quota_is_waited_for_as_long_as_the_service_says(start_sandbox, api_of, fake_clock):
    sandbox = start_sandbox(
        without_quotas=False,
        quotas={"RequestsByUserPerMinute": 3, "RequestsByUserPerSecond": 0},
        now=lambda: NOW,
    )
    api = api_of(sandbox, RetryPolicy())
    slept, fake_clock.on_sleep = fake_clock.slept, sandbox.clock.advance
    ids = [api.create(REQUEST.wire()) for _ in range(4)]

    assert len(set(ids)) == 4, "after a 429 nothing was made, so it is asked again"
    assert len(slept) == 1
    assert 0 < slept[0] <= 61


def test_a_quota_that_takes_too_long_is_an_error(start_sandbox, api_of):
    sandbox = start_sandbox(
        without_quotas=False, quotas={"RequestsByUserPerHour": 1}, now=lambda: NOW
    )
    api = api_of(sandbox, RetryPolicy(quota_seconds=10))
    api.create(REQUEST.wire())

    with pytest.raises(mt.QuotaExceeded, match=r"HTTP 429.*RequestsByUserPerHour") as caught:
        api.get(1)
    assert 0 < caught.value.retry_after <= 3600
    assert any(quota["exceeded"] for quota in caught.value.quotas)


def test_a_wait_for_the_rate_limiter_is_as_long_as_shown(sandbox, api_of, fake_clock):
    api = api_of(sandbox, RetryPolicy(quota_seconds=0))
    for seconds, expected in ((0.3, "1 s"), (6.2, "7 s")):
        api.rate_limiter = RateLimiter()
        api.rate_limiter.block_for(seconds)
        with pytest.raises(mt.QuotaExceeded, match=f"next request in {expected}"):
            api.quotas()


def test_retry_after_is_used_if_no_quota_is_named(start_sandbox, api_of, no_sleep):
    sandbox = start_sandbox()
    api = api_of(sandbox, RetryPolicy())
    id_raw_export = api.create(REQUEST.wire())
    body = json.dumps({"code": 429, "message": "Too Many Requests", "data": None})
    sandbox.faults.add(path="/get.json", status=429, body=body, headers={"Retry-After": "7"})

    assert api.get(id_raw_export).status == "Success!"
    assert 7 <= no_sleep[0] < 8


def test_retry_after_may_be_a_date(start_sandbox, api_of, no_sleep):
    sandbox = start_sandbox()
    api = api_of(sandbox, RetryPolicy())
    soon = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=300), usegmt=True)
    for date in (soon, "Sun, 06 Nov 1994 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"):
        sandbox.faults.add(path="/quotas", status=429, headers={"Retry-After": date})
    api.quotas()
    assert 240 < no_sleep[0] < 301
    assert max(no_sleep[1:]) < 60


def test_unknown_statuses_and_fields_are_accepted(start_sandbox, api_of):
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


def test_a_response_without_facts():
    assert State("In progress").progress is None


class Canned(requests.adapters.BaseAdapter):
    """Answers everything with the same."""

    def __init__(self, status, body):
        super().__init__()
        self.status, self.body = status, body

    def send(self, request, **options):
        response = requests.Response()
        response.status_code = self.status
        response.raw = io.BytesIO(self.body)
        response.request, response.url = request, request.url
        return response

    def close(self):
        pass


def test_the_rate_limiter_respects_every_window(fake_clock):
    limits = {1.0: 3, 10.0: 12, 100.0: 40}
    limiter = RateLimiter(limits)
    times = []
    randomness = random.Random(1)

    for _ in range(120):
        limiter.wait()
        times.append(fake_clock.monotonic())
        fake_clock.move(randomness.choice([0, 0, 0.1, 2]))

    for window, count in limits.items():
        for first, last in zip(times, times[count:], strict=False):
            assert last - first >= window - 1e-6


def test_many_polled_exports_share_the_rate_limit(fake_clock):
    limiter = RateLimiter()
    limiter.register_poller("one")
    assert limiter.poll_interval(1.0) == 1.0

    for number in range(50):
        limiter.register_poller(number)
    assert 30 < limiter.poll_interval(1.0) < 45, "a minute's quota, for all of them"
    for _ in range(400):
        limiter.wait()
    for number in range(50):
        limiter.register_poller(number)
    assert limiter.poll_interval(1.0) == pytest.approx(50 * 9), "half of an hour's, for as long"
    for number in range(1, 50):
        limiter.unregister_poller(number)
    assert limiter.poll_interval(1.0) == pytest.approx(9)


def test_a_poller_that_stops_polling_is_dropped(fake_clock):
    limiter = RateLimiter()
    for number in range(100):
        limiter.register_poller(number)
    assert limiter.poll_interval(1.0) > 60
    fake_clock.sleep(3600)
    assert limiter.poll_interval(1.0) == 1.0


def test_fifty_exports_are_polled_at_once_within_the_quotas(fake_clock):
    limiter, randomness = RateLimiter(), random.Random(1)
    ends = [fake_clock.monotonic() + randomness.uniform(60, 300) for _ in range(50)]
    due = [(fake_clock.monotonic(), number) for number in range(50)]
    pauses = [backoff() for _ in ends]
    looks, late = [], []
    while due:
        moment, number = heapq.heappop(due)
        fake_clock.move(max(0.0, moment - fake_clock.monotonic()))
        limiter.wait()
        looks.append(fake_clock.monotonic())
        if fake_clock.monotonic() >= ends[number]:
            late.append(fake_clock.monotonic() - ends[number])
            limiter.unregister_poller(number)
        else:
            limiter.register_poller(number)
            heapq.heappush(
                due, (fake_clock.monotonic() + limiter.poll_interval(next(pauses[number])), number)
            )

    assert len(looks) < 300
    assert sum(late) / len(late) < 25, "seconds after its end that an export is seen to have ended"
    assert max(late) < 60


def test_errors_stay_under_their_quota(fake_clock):
    limiter = RateLimiter({1.0: 1000})
    for _ in range(40):
        assert limiter.acquire() == 0
        limiter.record_error()
    assert limiter.acquire() == pytest.approx(60)


def test_no_request_is_sent_while_the_service_refuses_them(start_sandbox, api_of, no_sleep):
    sandbox = start_sandbox(
        without_quotas=False, quotas={"RequestsByUserPerHour": 1}, now=lambda: NOW
    )
    impatient = RetryPolicy(quota_seconds=0)
    api, other = api_of(sandbox, impatient), api_of(sandbox, impatient)
    other.rate_limiter = api.rate_limiter
    api.quotas()
    with pytest.raises(mt.QuotaExceeded, match="HTTP 429"):
        api.quotas()
    asked = len(sandbox.requests)

    with pytest.raises(mt.QuotaExceeded, match="keeps under the service's quota"):
        other.quotas()
    assert len(sandbox.requests) == asked
    assert no_sleep == []


def test_a_create_that_the_rate_limiter_delays_is_not_sent(start_sandbox, api_of, fake_clock):
    sandbox = start_sandbox()
    api = api_of(sandbox, RetryPolicy())
    api.rate_limiter = RateLimiter({60.0: 1})
    api.quotas()
    waits = []

    def interrupt(seconds):
        raise KeyboardInterrupt

    fake_clock.on_sleep = interrupt
    with pytest.raises(KeyboardInterrupt):
        api.create(REQUEST.wire(), lambda event: waits.append((event.seconds, event.text)))

    assert [call.method for call in sandbox.requests] == ["GET"]
    ((seconds, text),) = waits
    assert 55 < seconds < 61
    assert "keeps under the service's quota" in text


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "soon"}, {"Retry-After": "nan"}])
def test_waits_grow_if_the_service_names_no_time(start_sandbox, api_of, no_sleep, headers):
    sandbox = start_sandbox()
    body = json.dumps({"code": 429, "data": {"error": {"info": {"quotas": [{"exceeded": 1}, 7]}}}})
    sandbox.faults.add(path="/quotas", times=8, status=429, body=body, headers=headers)

    api_of(sandbox, RetryPolicy()).quotas()

    assert len(no_sleep) == 8
    assert sum(no_sleep[4:]) > 4 * sum(no_sleep[:4])


def test_a_quota_page_of_a_proxy_is_waited_for_too(start_sandbox, api_of, no_sleep):
    sandbox = start_sandbox()
    page = {"status": 429, "body": "<html>slow down</html>", "headers": {"Retry-After": "30"}}
    sandbox.faults.add(path="/create.json", **page)

    assert api_of(sandbox, RetryPolicy()).create(REQUEST.wire()) == 1
    assert 30 <= no_sleep[0] < 31


def test_a_response_of_unlimited_size_is_cut_off(start_sandbox, api_of):
    sandbox = start_sandbox()
    bomb = gzip.compress(b"[" * (64 << 20))
    sandbox.faults.add(path="/quotas", body=bomb, headers={"Content-Encoding": "gzip"})

    with pytest.raises(mt.ApiError, match="expected JSON"):
        api_of(sandbox).quotas()


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["9" * 30, "-1", "1e999", "10%", "Success!", "In progress", "nan"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(WORDS) | st.text(), inner),
    max_leaves=20,
)
STATUSES = st.sampled_from([200, 302, 400, 429, 500])


@hypothesis.given(payload=ANYTHING, data=ANYTHING, status=STATUSES)
@hypothesis.settings(max_examples=150)
def test_any_response_is_a_result_or_an_error_of_ours(sandbox, payload, data, status):
    """Whatever the service says, it becomes a fact or an error of ours."""
    credentials = Credentials(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)
    answer = {**payload, "data": data} if isinstance(payload, dict) else payload
    session = requests.Session()
    session.mount("http://", Canned(status, json.dumps(answer).encode()))
    api = Api(
        credentials, session, RetryPolicy(faults=0, quota_seconds=0), RateLimiter({1.0: 10_000})
    )
    calls: list[tuple[Callable[[], object], type]] = [
        (api.quotas, list),
        (partial(api.get, 1), State),
        (partial(api.create, REQUEST.wire()), int),
    ]
    for call, kind in calls:
        try:
            outcome = call()
        except (mt.ApiError, mt.CreateUnconfirmed) as error:
            outcome = error
        if isinstance(outcome, mt.MyTrackerError):
            assert str(outcome).strip() == printable(outcome).strip() != ""
        else:
            assert status == 200
            assert isinstance(outcome, kind)
        api.rate_limiter = RateLimiter({1.0: 10_000})


@pytest.mark.parametrize("url", ["http://[oops/a.csv.gz", "", "http://x/a%2F..%2Fb.csv.gz", "/"])
def test_an_invalid_link_has_a_name(url):
    assert "/" not in Link(url, None).name
