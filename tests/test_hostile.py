"""An export through the faults of a service, and of proxies before it."""

from __future__ import annotations

import csv
import io
import json
import threading

import pytest

import mytracker_nb as mt
from mytracker_nb.sandbox.faults import HTML_PAGE
from mytracker_nb.service.rate_limit import RateLimiter
from mytracker_nb.service.retry import WaitKind

REQUEST = {
    "event": "customEvents",
    "selectors": ["idDevice", "tsEvent", "eventName", "params.value"],
    "dateFrom": "2026-01-01",
    "dateTo": "2026-01-01",
}
TOO_MANY = json.dumps(
    {
        "code": 429,
        "message": "Too Many Requests",
        "data": {
            "error": {
                "info": {
                    "quotas": [
                        {"name": "RequestsByUserPerHour", "exceeded": False, "resetInSecond": 900},
                        {"name": "RequestsByUserPerMinute", "exceeded": True, "resetInSecond": 30},
                    ]
                }
            }
        },
    }
)


class SandboxUser:
    """A client of a sandbox whose waits move the sandbox's clock in place of time."""

    def __init__(self, sandbox, fake_clock):
        self.sandbox = sandbox
        self.clock, self.slept = fake_clock, fake_clock.slept
        self.client = mt.Client(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)
        self.client.api.rate_limiter = RateLimiter({1.0: 10_000})
        fake_clock.on_sleep = sandbox.clock.advance

    def create(self):
        return self.client.create(mt.ExportRequest(**REQUEST))

    @property
    def creates(self):
        return sum(call.method == "POST" for call in self.sandbox.requests)


@pytest.fixture
def user(start_sandbox, fake_clock):
    opened = []

    def open_user(**config):
        opened.append(SandboxUser(start_sandbox(**config), fake_clock))
        return opened[-1]

    yield open_user
    for each in opened:
        each.client.api.session.close()


def devices(sandbox, number):
    """The cells of idDevice as the service wrote them."""
    tables = [csv.DictReader(io.StringIO(text, newline="")) for text in sandbox.served(number)]
    return [row["idDevice"] for table in tables for row in table]


FAULTS = [
    {"status": 429, "body": TOO_MANY},
    {"status": 429, "body": HTML_PAGE, "headers": {"Retry-After": "30"}},
    {"status": 500},
    {"status": 502, "body": HTML_PAGE},
    {"status": 200, "body": HTML_PAGE},
    {"status": 200, "body": b"\x1f\x8b\x08 no gzip", "headers": {"Content-Encoding": "gzip"}},
    {"status": 200, "body": "{" * 5_000},
    {"reset": "before"},
    {"reset": "after"},
    {"truncate": 10},
    {"data": {"status": "Thinking about it"}},
    {"data": {"status": None}},
    {"data": {"status": "In progress", "progress": "a lot", "isCancellable": []}},
]


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_faults_while_polling_are_retried(user, fault):
    here = user(seconds=60)
    export = here.create()
    here.sandbox.faults.add(path="/get.json", after=1, times=4, **fault)

    assert export.wait().status == "Success!"
    assert export.to_pandas().shape[0] > 100
    assert here.creates == 1
    assert len(here.sandbox.requests) < 30, "and not in a hot loop"


def test_a_quota_is_waited_for_and_the_card_says_so(user):
    here = user(seconds=60)
    export = here.create()
    here.sandbox.faults.add(path="/get.json", status=429, body=TOO_MANY)
    notes = []
    update = export._display.update
    export._display.update = lambda: (notes.extend(export.card().notes), update())

    export.wait()

    assert 30 <= here.slept[0] <= 31, "as long as the exceeded quota says"
    assert any("RequestsByUserPerMinute" in note and "retrying in 30 s" in note
               for note in notes)  # fmt: skip


def test_a_quota_of_files_is_waited_for_and_the_card_says_so(user):
    here = user()
    export = here.create().wait()
    here.sandbox.faults.add(path=".csv.gz", status=429, body=TOO_MANY, times=30)
    notes = []
    update = export._display.update
    export._display.update = lambda: (notes.extend(export.card().notes), update())

    assert len(export.to_pandas()) > 100
    assert [int(seconds) for seconds in here.slept] == [30] * 30, "as long as the quota says"
    assert any("retrying in 30 s" in note and "429" in note for note in notes)
    assert "retrying" not in export.card().text()


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"status": 429, "headers": {"Retry-After": "3"}, "body": HTML_PAGE},
        {"reset": "before"},
        {"reset": "after"},
        {"truncate": 900},
        {"corrupt": 300},
        {"status": 200, "body": HTML_PAGE},
        {"status": 200, "body": b""},
    ],
    ids=repr,
)
def test_faults_while_fetching_are_retried(user, fault):
    here = user()
    export = here.create().wait()
    here.sandbox.faults.add(path=".csv.gz", times=2, **fault)

    try:
        frame = export.to_pandas()
    except mt.FileError:
        # a complete but damaged file is reported, never taken for a good one
        assert {"corrupt", "body"} & set(fault)
        frame = export.to_pandas()

    assert frame["idDevice"].tolist() == devices(here.sandbox, export.id_raw_export)


def test_an_expired_file_is_reported_and_the_export_can_be_created_again(user):
    here = user(link_seconds=100)
    export = here.create().wait()
    here.sandbox.clock.advance(200)

    with pytest.raises(mt.LinkExpired, match="Create the export again"):
        export.to_pandas()
    assert export.retry().to_pandas().shape[0] > 100


def test_a_failed_export_can_be_created_again(user):
    here = user()
    here.sandbox.exports.outcomes.append("Error occurred")
    export = here.create()

    with pytest.raises(mt.ExportFailed, match=r"attach\(1\)\.retry\(\)") as caught:
        export.to_pandas()
    assert caught.value.export is export
    assert caught.value.export.retry().to_pandas().shape[0] > 100


def test_a_full_queue_is_reported_at_once_or_waited_for(user):
    here = user(seconds=60, queue=2)
    first, second = here.create(), here.create()
    request = mt.ExportRequest(**REQUEST | {"event": "installs", "selectors": ["idDevice"]})

    for ask in (here.client.create, here.client.export):
        with pytest.raises(mt.QueueFull) as full:
            ask(request)
        assert full.value.exports == (first.id_raw_export, second.id_raw_export)
    assert here.slept == []

    waits = []
    export = here.client.export(request, on_wait=waits.append)
    assert export.id_raw_export == 3
    assert [event.seconds for event in waits] == here.slept
    assert {event.kind for event in waits} == {WaitKind.QUEUE}
    assert all(isinstance(event.error, mt.QueueFull) for event in waits)
    assert sum(here.slept) < 80
    assert len(waits) < 12


def test_on_wait_can_end_a_wait(user):
    here = user(seconds=60, queue=1)
    here.create()

    def stop(event):
        raise mt.ExportTimeout("long enough")

    with pytest.raises(mt.ExportTimeout):
        here.client.export(mt.ExportRequest(**REQUEST), fresh=True, on_wait=stop)
    assert list(here.sandbox.exports) == [1]


@pytest.mark.parametrize("why", ["queue", "quota", "pace"])
def test_interrupting_a_create_that_waits_has_sent_nothing(user, why):
    here = user(seconds=60, queue=1)
    if why == "queue":
        here.create()
    elif why == "quota":
        here.sandbox.faults.add(path="/create.json", status=429, body=TOO_MANY)
    else:
        here.client.api.rate_limiter = RateLimiter({60.0: 1})
        here.client.quotas()

    def interrupt(seconds):
        raise KeyboardInterrupt

    here.clock.on_sleep = interrupt
    request = mt.ExportRequest(**REQUEST | {"event": "installs", "selectors": ["idDevice"]})
    with pytest.raises(mt.WaitInterrupted, match="no export was created"):
        here.client.export(request, on_wait=lambda event: None)

    assert len(here.sandbox.exports) == (why == "queue")
    (entry,) = here.client.journal.find_same(request)
    assert entry.state.value in ("Refused", "Not sent")


def test_a_wait_with_a_timeout_ends_without_a_response(user):
    here = user(seconds=60)
    export = here.create()
    may_answer, answered = threading.Event(), []

    def held_back(call):
        answered.append(may_answer.wait(100))

    here.sandbox.faults.add(path="/get.json", where=held_back, times=None)
    with pytest.raises(mt.ExportTimeout, match="'In progress'"):
        export.wait(timeout=0.5)
    assert answered == [], "the wait ended before the response"
    may_answer.set()


def test_a_wait_ends_if_the_faults_do_not(user):
    here = user(seconds=60)
    export = here.create()
    here.sandbox.faults.add(path="/get.json", times=None, status=500)

    with pytest.raises(mt.ApiError, match="HTTP 500"):
        export.wait()
    assert 10 < len(here.sandbox.requests) < 40
    assert sum(here.slept) < 1800


def test_a_wait_for_the_answer_to_another_kernels_create_says_so(user):
    here, events = user(), []
    request = mt.ExportRequest(**REQUEST)
    with here.client.journal.record_create(request) as create:

        def answer(event):
            events.append(event)
            create.answer(here.client.api.create(request.wire()))

        export = here.client.export(request, on_wait=answer)
    assert export.id_raw_export == 1
    assert here.creates == 1
    assert [event.kind for event in events] == [WaitKind.CREATE]
    assert "another kernel or thread is sending the same request" in events[0].text
