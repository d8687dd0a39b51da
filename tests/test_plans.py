"""Plans: one large request as many exports, over real HTTP."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from fake_clock import JumpingClock
from hypothesis import given, settings
from hypothesis import strategies as st
from killing import kill_beside_creates
from watching import interrupted_when

import mytracker_nb as mt
from mytracker_nb.plans.plan import Plan
from mytracker_nb.sandbox.faults import HTML_PAGE
from mytracker_nb.sandbox.server import Sandbox
from mytracker_nb.service import credentials
from mytracker_nb.service.credentials import Credentials
from mytracker_nb.service.rate_limit import RateLimiter
from mytracker_nb.storage import directories
from mytracker_nb.tables.dataset import MANIFEST

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

WEEK = {
    "event": "installs",
    "selectors": ["idDevice", "tsEvent", "countryTitle"],
    "dateFrom": "2026-10-05",
    "dateTo": "2026-10-11",
}


class SandboxUser:
    """A sandbox and one who plans there, as after a restart of the kernel each time."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    @property
    def client(self) -> mt.Client:
        sandbox = self.sandbox
        client = mt.Client(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)
        client.api.rate_limiter = RateLimiter({1.0: 1000})
        return client

    def plan(self, every: object = None, **parameters: Any) -> Plan:
        return Plan(self.client, mt.ExportRequest(**{**WEEK, **parameters}), every)

    @property
    def creates(self) -> int:
        return sum(call.path.endswith("/create.json") for call in self.sandbox.requests)

    @property
    def journal(self) -> Path:
        return directories.data_directory(self.sandbox.base_url) / "journal.sqlite3"

    def exported_days(self) -> list[tuple[str, str]]:
        """The days of all exports that were created, in order."""
        zone = timezone(timedelta(hours=3))
        return [
            tuple(
                datetime.fromtimestamp(seconds, zone).date().isoformat()
                for seconds in (export.query.ts_from, export.query.ts_to)
            )
            for export in self.sandbox.exports.values()
        ]

    def rows(self, *ids: int) -> Counter[str]:
        """The lines of exports, headers apart."""
        lines: Counter[str] = Counter()
        for number in ids:
            for text in self.sandbox.served(number):
                lines.update(text.splitlines()[1:])
        return lines

    def rows_of(self, plan: Plan) -> Counter[str]:
        return self.rows(*(export.id_raw_export for export in plan.exports))

    def rows_at_once(self, **parameters: Any) -> Counter[str]:
        """The rows of one export, from a service that has no limits."""
        with mt.sandbox.start(seconds=0, without_quotas=True, unknown_selectors=True) as other:
            user = SandboxUser(other)
            return user.rows(user.client.create(mt.ExportRequest(**parameters)).id_raw_export)


@pytest.fixture
def start(start_sandbox: Callable[..., Sandbox]) -> Callable[..., SandboxUser]:
    return lambda **config: SandboxUser(start_sandbox(**config))


def states(plan: Plan) -> list[str]:
    return list(plan.status["state"])


def test_a_plan_sends_nothing_before_it_runs(start: Callable[..., SandboxUser]) -> None:
    user = start()
    plan = user.plan("1d")
    assert "not started, 7 exports" in plan.card().text()
    assert len(plan.status) == 7
    assert plan.exports == ()
    assert user.sandbox.requests == []


def test_the_rows_are_those_of_one_export_in_the_order_of_the_windows(
    start: Callable[..., SandboxUser],
) -> None:
    user = start(seconds=0.2)
    plan = user.plan("2d")
    frame = plan.to_pandas()
    one = user.client.create(mt.ExportRequest(**WEEK)).wait()
    pd.testing.assert_frame_equal(
        frame, one.data().to_pandas(), check_categorical=False, check_dtype=True
    )
    assert user.exported_days()[:4] == [
        ("2026-10-05", "2026-10-06"),
        ("2026-10-07", "2026-10-08"),
        ("2026-10-09", "2026-10-10"),
        ("2026-10-11", "2026-10-11"),
    ]


def test_every_target_has_all_rows(start: Callable[..., SandboxUser]) -> None:
    user = start()
    plan = user.plan("3d").run()
    count = len(plan.to_pandas())
    assert count > 100
    assert plan.to_arrow().num_rows == count
    assert len(plan.to_polars()) == count
    assert len(plan.to_duckdb()) == count
    assert len(plan.to_dask()) == count
    assert plan.head(5).equals(plan.to_pandas().head(5))
    assert user.creates == 3


def test_fetched_pieces_are_not_fetched_again(start: Callable[..., SandboxUser]) -> None:
    user = start()
    plan = user.plan("3d").run()
    before = len(user.sandbox.requests)
    plan.to_pandas()
    assert len(user.sandbox.requests) == before


EVENTS = st.sampled_from(["installs", "sessions", "customEvents", "payments", "userPayments"])
ZONES = st.sampled_from(["Europe/Moscow", "America/New_York", "Asia/Katmandu", "Pacific/Auckland"])
FIRST_DAY = datetime(2026, 3, 1, tzinfo=timezone.utc)


@st.composite
def parameter_sets(draw: st.DrawFn) -> dict[str, Any]:
    """Requests for a few days around changes of clocks, by days, by times or by both."""
    parameters: dict[str, Any] = {
        "event": draw(EVENTS),
        "selectors": ["idDevice", "tsEvent", "dtEvent", "idCountry"],
        "timezone": draw(ZONES),
    }
    kinds = draw(st.sampled_from([("days",), ("times",), ("days", "times")]))
    if "days" in kinds:
        day = FIRST_DAY.date() + timedelta(days=draw(st.integers(0, 60)))
        parameters["dateFrom"] = day
        parameters["dateTo"] = day + timedelta(days=draw(st.integers(0, 12)))
    if "times" in kinds:
        start = int(FIRST_DAY.timestamp()) + draw(st.integers(0, 60 * 86_400))
        parameters["tsFrom"] = start
        parameters["tsTo"] = start + draw(st.integers(0, 10 * 86_400))
    if draw(st.booleans()):
        parameters["idCountry"] = draw(st.lists(st.sampled_from([188, 233, 23]), min_size=1))
    if draw(st.booleans()):
        parameters["idApp"] = draw(st.sampled_from([range(5001, 5003), range(4500, 6000)]))
    return parameters


@pytest.fixture(scope="module")
def small() -> Iterator[Sandbox]:
    """A service that exports few rows at once."""
    config = {"unknown_selectors": True, "max_rows": 400, "files": 1}
    with mt.sandbox.start(seconds=0, without_quotas=True, **config) as running:
        yield running


@pytest.mark.slow
@given(parameters=parameter_sets(), hours=st.sampled_from([None, 6, 24, 72, 168]))
@settings(max_examples=25)
def test_the_union_of_the_pieces_is_the_request(
    sandbox: Sandbox, small: Sandbox, parameters: dict[str, Any], hours: int | None
) -> None:
    only_days = "tsFrom" not in parameters
    every = timedelta(hours=24 if hours == 6 and only_days else hours) if hours else None
    plan = Plan(SandboxUser(small).client, mt.ExportRequest(**parameters), every).run()
    failed = plan.status[plan.status["state"] == "failed"]
    # a day with more rows than the service exports is reported
    assert failed["message"].str.contains("Too many lines").all()
    if len(failed):
        return
    # all apps there are
    one = {**parameters, "idApp": []} if len(parameters.get("idApp", ())) > 1000 else parameters
    full = SandboxUser(sandbox).client.create(mt.ExportRequest(**one))
    assert SandboxUser(small).rows_of(plan) == SandboxUser(sandbox).rows(full.id_raw_export)


def test_the_queue_is_filled_but_not_overfilled(start: Callable[..., SandboxUser]) -> None:
    user = start(seconds=0.8, queue=3)
    plan = user.plan("1d").run()
    exports = list(user.sandbox.exports.values())
    assert len(exports) == 7
    begins = sorted(export.created for export in exports)
    # three at once: the next three as soon as these end, and one after them
    assert begins[2] - begins[0] < 0.8
    assert begins[6] - begins[0] < 3 * (0.8 + 1.5)
    assert user.creates - len(exports) <= 1
    assert "7 of 7 exports done" in plan.card().text()


def test_a_plan_waits_for_a_queue_full_of_other_exports_and_shows_it(
    start: Callable[..., SandboxUser], jumping_clock: JumpingClock
) -> None:
    user = start(seconds=600, queue=2)
    others = [user.client.create(mt.ExportRequest(**WEEK, rooted=n)) for n in (0, 1)]
    plan = user.plan("4d")
    waits = jumping_clock.jump_when(lambda: "waiting for space" in plan.card().text())
    with waits, pytest.raises(mt.ExportTimeout):
        plan.run(timeout=1000)
    shown = plan.card().text()
    assert states(plan) == ["waiting", "waiting"]
    assert user.creates <= 5
    for other in others:
        other.cancel()
    user.sandbox.clock.advance(10)
    created = jumping_clock.jump_when(lambda: states(plan) == ["in progress"] * 2)
    with created, pytest.raises(mt.ExportTimeout) as caught:
        plan.run(timeout=1000)
    assert "0 of 2 exports done" in str(caught.value)
    assert "not started, 2 exports" in shown


def test_reused_exports_need_no_place_in_the_queue(
    start: Callable[..., SandboxUser], jumping_clock: JumpingClock
) -> None:
    user = start()
    user.plan("1d", dateFrom="2026-10-06").run()
    error = {"detail": "Maximum number of simultaneous requests reached."}
    full = json.dumps({"code": 400, "message": "Bad Request", "data": {"error": error}})
    user.sandbox.faults.add(path="/create.json", times=None, status=400, body=full)
    plan = user.plan("1d")
    done = jumping_clock.jump_when(lambda: states(plan) == ["waiting"] + ["done"] * 6)
    with done, pytest.raises(mt.ExportTimeout, match="waiting for space"):
        plan.run(timeout=1000)


def test_the_card_names_the_exports_that_fill_the_queue(
    start: Callable[..., SandboxUser],
) -> None:
    user = start(seconds=600, queue=1)
    other = user.client.create(mt.ExportRequest(**WEEK, rooted=1))
    plan = user.plan("4d")
    shown: list[str] = []

    def waits() -> bool:
        shown.append(" ".join(plan.card().text().split()))
        return "waiting for space" in shown[-1]

    with interrupted_when(waits), pytest.raises(mt.WaitInterrupted):
        plan.run(timeout=20)
    assert "Maximum number of simultaneous requests reached" in shown[-1]
    assert f"running: export {other.id_raw_export}" in shown[-1]
    assert "waiting for space" not in plan.card().text()


def test_interrupting_leaves_the_exports_and_says_how_to_resume(
    start: Callable[..., SandboxUser],
) -> None:
    user = start(seconds=600, queue=2)
    plan = user.plan("2d")
    stop = interrupted_when(lambda: "waiting for space" in plan.card().text())
    with stop, pytest.raises(mt.WaitInterrupted) as caught:
        plan.run(timeout=20)
    assert len(plan.exports) == 2
    assert "0 of 4" in plan.card().text()
    assert "Run the cell again" in str(caught.value)
    assert not any(export.canceled for export in user.sandbox.exports.values())


def test_a_piece_that_is_too_large_is_split_in_half(start: Callable[..., SandboxUser]) -> None:
    user = start(max_rows=150)
    plan = user.plan().run()
    assert plan.is_finished
    assert set(states(plan)) == {"done"}
    assert len(plan.exports) > 1
    bounds = plan.status[["dateFrom", "dateTo"]].to_numpy().ravel()
    assert list(bounds) == sorted(bounds)
    assert user.rows_of(plan) == user.rows_at_once(**WEEK)


def test_a_piece_that_was_too_large_is_not_requested_again_after_a_restart(
    start: Callable[..., SandboxUser],
) -> None:
    user = start(max_rows=150)
    rows = user.rows_of(user.plan().run())
    creates = user.creates
    assert user.rows_of(user.plan().run()) == rows
    assert user.creates == creates


@pytest.mark.parametrize(
    ("parameters", "smallest"),
    [
        ({}, "2026-10-05"),
        ({"dateFrom": "", "dateTo": "", "tsFrom": 1_790_000_000, "tsTo": 1_790_003_599}, None),
    ],
)
def test_a_piece_that_can_not_be_split_further_is_reported_and_the_rest_continues(
    start: Callable[..., SandboxUser], parameters: dict[str, Any], smallest: str | None
) -> None:
    user = start()
    for _ in range(20):
        user.sandbox.exports.outcomes.append("Too many lines in export")
    plan = user.plan(**parameters).run()
    failed = plan.status.query("state == 'failed'")
    assert len(failed) > 0
    assert failed["message"].str.contains("split further").all()
    first = failed.iloc[0]
    if smallest:
        assert (first["dateFrom"], first["dateTo"]) == (smallest, smallest)
    else:
        assert set(plan.status["tsTo"] - plan.status["tsFrom"]) == {899}
    with pytest.raises(mt.ExportTooLarge, match="Too many lines in export"):
        plan.to_pandas()
    creates = user.creates
    plan.retry()
    assert user.creates == creates
    with pytest.raises(mt.ExportTooLarge) as caught:
        plan.to_pandas()
    for text in (str(caught.value), plan.card().text()):
        assert "retry()" not in text


def test_it_resumes_after_a_restart(
    start: Callable[..., SandboxUser], jumping_clock: JumpingClock
) -> None:
    user = start(seconds=0.8, queue=2)
    third = jumping_clock.jump_when(lambda: len(user.sandbox.exports) >= 3)
    with third, pytest.raises(mt.ExportTimeout) as caught:
        user.plan("1d").run(timeout=1000)
    assert "of 7 exports done" in str(caught.value)
    done = user.creates
    assert 3 <= len(user.sandbox.exports) < 7
    user.sandbox.clock.advance(10)
    plan = user.plan("1d").run()
    assert len(user.sandbox.exports) == 7
    assert done < user.creates
    assert Counter(user.exported_days()) == Counter(set(user.exported_days()))
    assert user.rows_of(plan) == user.rows_at_once(**WEEK)


def test_earlier_exports_are_reused_and_reported(start: Callable[..., SandboxUser]) -> None:
    user = start()
    assert "reused" not in user.plan("4d").run().card().text()
    again = user.plan("4d").run()
    assert "2 of 2 exports reused; rows that arrived since are not in them" in again.card().text()
    fresh = Plan(user.client, again.request, "4d", fresh=True).run()
    assert "reused" not in fresh.card().text()
    assert user.creates == 4


def test_a_failed_piece_is_skipped_reported_and_retried_on_request(
    start: Callable[..., SandboxUser],
) -> None:
    user = start()
    user.sandbox.exports.outcomes.extend(["", "Error occurred"])
    plan = user.plan("2d").run()
    assert states(plan) == ["done", "failed", "done", "done"]
    assert "x 1 failed" in plan.card().text()
    assert "Error occurred" in plan.card().html()
    with pytest.raises(mt.ExportFailed, match="2026-10-07 to 2026-10-08") as caught:
        plan.to_pandas()
    assert caught.value.export is plan.exports[1]
    assert user.creates == 4
    assert states(plan.retry()) == ["done"] * 4
    assert user.creates == 5
    assert len(plan.to_pandas()) == sum(user.rows_at_once(**WEEK).values())


def test_a_piece_whose_create_is_unconfirmed_waits_for_retry(
    start: Callable[..., SandboxUser],
) -> None:
    user = start()
    user.sandbox.faults.add(path="/create.json", after=1, reset="after")
    plan = user.plan("2d").run()
    assert states(plan) == ["done", "unconfirmed", "done", "done"]
    assert "? 1 unconfirmed" in plan.card().text()
    again = user.plan("2d").run()  # as after a restart
    assert states(plan.run()) == states(again) == ["done", "unconfirmed", "done", "done"]
    assert len(user.sandbox.exports) == 4
    with pytest.raises(mt.CreateUnconfirmed, match=r"the plan's retry\(\)"):
        again.to_pandas()
    assert states(again.retry()) == ["done"] * 4
    assert user.rows_of(again) == user.rows_at_once(**WEEK)


def test_an_unconfirmed_piece_is_not_sent_again_however_old_it_is(
    start: Callable[..., SandboxUser],
) -> None:
    user = start()
    user.sandbox.faults.add(path="/create.json", reset="after")
    user.plan("4d").run()
    with closing(sqlite3.connect(user.journal)) as connection:
        connection.execute("UPDATE creates SET asked_at = asked_at - 200000")
        connection.commit()
    again = user.plan("4d").run()
    assert states(again) == ["unconfirmed", "done"]
    assert "was sent 2 days ago" in again.status["message"][0]
    assert user.creates == 2


def test_a_piece_that_another_kernel_is_sending_does_not_delay_the_others(
    start: Callable[..., SandboxUser], jumping_clock: JumpingClock
) -> None:
    user = start()
    plan = user.plan("4d")
    first = plan._tasks[0].piece.request
    with user.client.journal.record_create(first) as create:
        done = jumping_clock.jump_when(lambda: states(plan) == ["waiting", "done"])
        with done, pytest.raises(mt.ExportTimeout, match="is sending the same request"):
            plan.run(timeout=1000)
        create.answer(user.client.api.create(first.wire()))
    assert states(plan.run()) == ["done", "done"]
    assert user.creates == 2


def test_a_quota_is_waited_for_and_the_create_sent_again(start: Callable[..., SandboxUser]) -> None:
    user = start()
    user.sandbox.faults.add(path="/create.json", times=2, status=429)
    plan = user.plan("4d").run()
    assert states(plan) == ["done", "done"]
    assert len(user.sandbox.exports) == 2


def test_a_wait_for_a_quota_respects_the_timeout_and_is_reported(
    start: Callable[..., SandboxUser], jumping_clock: JumpingClock
) -> None:
    user = start(seconds=600)
    over = {"status": 429, "headers": {"Retry-After": "300"}}
    user.sandbox.faults.add(after=2, times=None, **over)
    plan = user.plan("1d")
    waits = jumping_clock.jump_when(lambda: "retrying" in plan.card().text(), seconds=200)
    with waits, pytest.raises(mt.ExportTimeout, match="retrying in 300 s: HTTP 429"):
        plan.run(timeout=200)
    with pytest.raises(mt.ExportTimeout):
        plan.run(timeout=1)  # not after what is left of the five minutes
    assert states(plan) == ["in progress"] * 2 + ["waiting"] * 5
    assert "retrying" not in plan.card().text()


def test_the_card_shows_what_a_running_plan_waits_for(
    start: Callable[..., SandboxUser],
    monkeypatch: pytest.MonkeyPatch,
    jumping_clock: JumpingClock,
) -> None:
    user = start(seconds=600)
    plan = user.plan("1d")
    plan._client.api.rate_limiter = RateLimiter({60.0: 3})
    shown: list[str] = []
    monkeypatch.setattr(plan._display, "update", lambda: shown.append(plan.card().text()))

    def says_why() -> bool:
        return any("keeps under" in " ".join(text.split()) for text in shown)

    waits = jumping_clock.jump_when(says_why, seconds=50)
    with waits, pytest.raises(mt.ExportTimeout, match="keeps under the service's quota"):
        plan.run(timeout=50)
    assert user.creates == 3
    assert "retrying" not in shown[-1]


def test_the_card_shows_that_files_wait_for_the_rate_limiter(
    start: Callable[..., SandboxUser], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = start(seconds=0, files=1).plan()
    # one create, one look, and the file not before the next window
    plan._client.api.rate_limiter = RateLimiter({4.0: 2})
    shown: list[str] = []
    monkeypatch.setattr(plan._display, "update", lambda: shown.append(plan.card().text()))
    plan.run()
    assert any("next request in" in text for text in shown)
    assert "next request" not in shown[-1]


def test_the_card_shows_what_files_wait_for(
    start: Callable[..., SandboxUser], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = start(seconds=0, files=1)
    user.sandbox.faults.add(path=".csv.gz", status=429, headers={"Retry-After": "1"})
    plan = user.plan()
    shown: list[str] = []
    monkeypatch.setattr(plan._display, "update", lambda: shown.append(plan.card().text()))
    monkeypatch.setattr("mytracker_nb.plans.scheduler._LONGEST_REST", 0.05)
    plan.run()
    assert any("retrying in 1 s" in text and "HTTP 429" in text for text in shown)
    assert "retrying" not in shown[-1]


def test_faults_during_a_run_are_retried(start: Callable[..., SandboxUser]) -> None:
    user = start(seconds=0.5)
    user.sandbox.faults.add(path="/get.json", every=3, times=None, status=502)
    user.sandbox.faults.add(path=".csv.gz", every=3, times=None, truncate=50)
    user.sandbox.faults.add(path="/create.json", every=2, times=None, status=429)
    plan = user.plan("2d").run()
    assert states(plan) == ["done"] * 4
    assert user.creates == 7
    assert len(user.sandbox.exports) == 4
    assert len(plan.to_pandas()) == sum(user.rows_at_once(**WEEK).values())


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_page_of_a_proxy_is_not_a_response_of_the_service(
    start: Callable[..., SandboxUser], status: int
) -> None:
    user = start(seconds=0.1)
    for path in ("/get.json", "/create.json"):
        user.sandbox.faults.add(path=path, after=1, status=status, body=HTML_PAGE)
    assert states(user.plan("4d").run()) == ["done", "done"]
    assert len(user.sandbox.exports) == 2


def test_an_export_that_the_service_does_not_find_is_reported(
    start: Callable[..., SandboxUser], jumping_clock: JumpingClock
) -> None:
    user = start(seconds=600)
    plan = user.plan("4d")
    with pytest.raises(mt.ExportTimeout):
        plan.run(timeout=0.0)
    user.sandbox.exports.pop(1)
    forgotten = jumping_clock.jump_when(lambda: states(plan) == ["failed", "in progress"])
    with forgotten, pytest.raises(mt.ExportTimeout):
        plan.run(timeout=1000)


def test_expired_files_are_reported_and_fetched_from_a_new_export(
    start: Callable[..., SandboxUser],
) -> None:
    user = start()
    user.sandbox.faults.add(path=".csv.gz", status=404)
    plan = user.plan("4d").run()
    assert sorted(states(plan)) == ["done", "failed"]
    assert states(plan.retry()) == ["done", "done"]
    assert user.creates == 3


def test_a_refused_request_is_reported_at_once(start: Callable[..., SandboxUser]) -> None:
    user = start(permission=False)
    with pytest.raises(mt.BadRequest, match="Export permissions required"):
        user.plan("1d").run()
    assert user.creates == 1


def test_its_code_has_the_name_that_the_notebook_has(
    start: Callable[..., SandboxUser], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = start()
    user.sandbox.exports.outcomes.append("Error occurred")
    plan = user.plan("4d")
    monkeypatch.setattr(sys.modules["__main__"], "week", plan, raising=False)
    assert dict(plan.card().codes) == {
        "run it": "week.run()",
        "load the data": "df = week.to_pandas()",
    }
    with monkeypatch.context() as running:
        running.setattr(plan._scheduler, "is_running", True)
        assert plan.card().is_started
        assert list(dict(plan.card().codes)) == ["load the data"], "as if it had started"
    plan.run()
    assert list(dict(plan.card().codes)) == ["load the data"]
    for text in (plan.card().text(), error_of(plan)):
        assert "week.retry() submits the failed" in text
    with pytest.raises(mt.ExportTimeout, match=r"or week\.run\(\), to resume"):
        plan.retry(timeout=0.0)


def error_of(plan: mt.Plan) -> str:
    with pytest.raises(mt.MyTrackerError) as caught:
        plan.raise_for_failures()
    return str(caught.value)


@pytest.mark.parametrize("every", [None, "auto", "2d", timedelta(days=3)])
def test_its_code_runs_as_it_is_pasted(
    start: Callable[..., SandboxUser], monkeypatch: pytest.MonkeyPatch, every: Any
) -> None:
    user = start()
    monkeypatch.setattr(credentials, "_in_use", user.client.credentials)
    rows = len(user.plan(every).to_pandas())
    creates = user.creates
    (code,) = dict(user.plan(every).card().codes).values()
    names: dict[str, Any] = {}
    exec(code, names)
    assert len(names["df"]) == rows > 0
    assert user.creates == creates, "it reuses the exports of the plan"


def test_cancel_ends_exports_in_progress(start: Callable[..., SandboxUser]) -> None:
    user = start(seconds=600, queue=2)
    plan = user.plan("3d")
    with pytest.raises(mt.ExportTimeout):
        plan.run(timeout=0.0)
    status = plan.cancel()
    assert list(status["status"][:2]) == ["Canceled by user"] * 2
    assert list(status["state"]) == ["failed", "failed", "waiting"]
    assert all(export.canceled for export in user.sandbox.exports.values())


def test_cancel_ends_exports_of_another_kernel(start: Callable[..., SandboxUser]) -> None:
    user = start(seconds=600, queue=2)
    with pytest.raises(mt.ExportTimeout):
        user.plan("3d").run(timeout=0.0)
    status = user.plan("3d").cancel()
    assert list(status["state"]) == ["failed", "failed", "waiting"]
    assert all(export.canceled for export in user.sandbox.exports.values())
    assert user.creates == 3


CELL_OF_A_SCRIPT = """
import sys
import mytracker_nb as mt
from mytracker_nb.service import credentials
from mytracker_nb.service.credentials import Credentials

credentials.use(Credentials(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
mt.plan(event="installs", selectors="idDevice,tsEvent,countryTitle",
        dateFrom="2026-10-05", dateTo="2026-10-11").to_parquet(sys.argv[4])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_a_killed_kernel_s_plan_ends_with_exactly_the_right_rows(
    start: Callable[..., SandboxUser], directory: Path
) -> None:
    user = start(seconds=0.3, queue=2, max_rows=120)
    sandbox = user.sandbox
    # all but creates fail every fifth time; creates are only ever refused
    not_create = {"where": lambda call: not call.path.endswith("/create.json")}
    sandbox.faults.add(**not_create, every=5, times=None, status=500)
    sandbox.faults.add(path="/create.json", every=5, times=None, status=429)
    account = (str(sandbox.api_user_id), sandbox.secret_key, sandbox.base_url)
    command = [sys.executable, "-c", CELL_OF_A_SCRIPT, *account, str(directory)]
    for count in (2, 5):
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        while len(sandbox.exports) < count and process.poll() is None:
            time.sleep(0.02)
        kill_beside_creates(process, sandbox)
    assert subprocess.run(command, check=False, timeout=120).returncode == 0
    queries = [export.query for export in sandbox.exports.values()]
    windows = [(query.ts_from, query.ts_to) for query in queries]
    assert len(set(windows)) == len(windows)
    assert rows_in(directory) == rows_asked(start())


def test_finished_pieces_are_fetched_while_others_run(start: Callable[..., SandboxUser]) -> None:
    user = start(seconds=1, queue=1)
    user.plan("3d").run()
    paths = [call.path.rpartition("/")[2] for call in user.sandbox.requests]
    last_create = max(n for n, path in enumerate(paths) if path == "create.json")
    assert any(path.endswith(".csv.gz") for path in paths[:last_create])


def test_filters_of_more_than_1000_values_are_several_exports(
    start: Callable[..., SandboxUser],
) -> None:
    user = start()
    plan = user.plan("4d", idApp=range(4500, 6000)).run()
    assert list(plan.status["filters"]) == ["idApp 1", "idApp 2"] * 2
    assert user.rows_of(plan) == user.rows_at_once(**WEEK)


def test_plan_uses_the_account_in_use(
    start: Callable[..., SandboxUser], no_account: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = start().sandbox
    credentials.use(Credentials(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url))
    plan = mt.plan(**WEEK, every="4d")
    assert states(plan.run()) == ["done", "done"]
    assert "[SANDBOX]" in plan.card().text()
    with pytest.raises(mt.InvalidRequest, match="selectors: required"):
        mt.plan(event="installs", dateFrom="2026-10-01", dateTo="2026-10-02")


# The magic

CELL = "event=installs selectors=idDevice,tsEvent dateFrom=2026-10-05 dateTo=2026-10-11"


@pytest.fixture
def logged_in_user(start: Callable[..., SandboxUser], shell: InteractiveShell) -> SandboxUser:
    """The shell's account is at this user."""
    user = start(seconds=0.1)
    sandbox = user.sandbox
    credentials.use(Credentials(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url))
    return user


def test_the_magic_runs_a_plan_and_loads_its_rows(
    logged_in_user: SandboxUser, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"%mytracker_export --every 4d --out plan --frame df {CELL}"
    assert shell.run_cell(line).success
    plan, frame = shell.user_ns["plan"], shell.user_ns["df"]
    assert states(plan) == ["done", "done"]
    assert len(frame) == sum(logged_in_user.rows_of(plan).values())
    assert "2 of 2 exports done" in capsys.readouterr().out


def test_the_magic_takes_more_values_than_one_export_can(
    logged_in_user: SandboxUser, shell: InteractiveShell
) -> None:
    shell.user_ns["apps"] = range(4500, 6000)
    cell = f"%mytracker_export {{}} --out plan {CELL} idApp=$apps"
    assert not shell.run_cell(cell.format("")).success
    assert shell.run_cell(cell.format("--every auto")).success
    assert states(shell.user_ns["plan"]) == ["done", "done"]


def test_a_dry_run_of_a_plan_shows_its_calendar(
    logged_in_user: SandboxUser, shell: InteractiveShell
) -> None:
    result = shell.run_cell(f"%mytracker_export --every 1d --dry-run {CELL}").result
    assert "not started, 7 exports" in result.text()
    assert logged_in_user.creates == 0


def test_a_dry_run_of_a_plan_shows_the_request_and_needs_no_account(
    no_account: object, shell: InteractiveShell
) -> None:
    card = shell.run_cell(f"%mytracker_export --every 1d --dry-run {CELL}").result
    for shown in (card.text(), card.html()):
        assert "selectors" in shown
        assert "nothing was sent" in shown
        assert "curl" in shown
        assert "https://tracker.my.com/api" in shown
        assert "dateTo=2026-10-05" in shown  # of the first piece


def test_the_magic_points_at_an_invalid_duration(
    logged_in_user: SandboxUser, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    body = CELL.replace(" ", "\n").replace("event=installs", "")
    assert not shell.run_cell(f"%%mytracker_export --every 6h\n{body}").success
    shown = capsys.readouterr().out
    assert "--every: '6h' is not a number of whole days" in shown
    assert "line 1: %%mytracker_export --every 6h" in shown
    assert "event: required" in shown


def test_a_failed_piece_fails_the_cell(
    logged_in_user: SandboxUser, shell: InteractiveShell
) -> None:
    logged_in_user.sandbox.exports.outcomes.append("Error occurred")
    result = shell.run_cell(f"%mytracker_export --every 4d --out plan {CELL}")
    assert isinstance(result.error_in_exec, mt.ExportFailed)
    assert states(shell.user_ns["plan"]) == ["failed", "done"]


# Incremental


def parts(directory: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((directory / MANIFEST).read_text())["parts"]
    return found


def lines(frame: pd.DataFrame) -> Counter[tuple[str, ...]]:
    return Counter(frame.astype("string").fillna("").itertuples(index=False, name=None))


def rows_in(directory: Path) -> Counter[tuple[str, ...]]:
    return lines(pd.read_parquet(directory))


def rows_asked(user: SandboxUser, **parameters: Any) -> Counter[tuple[str, ...]]:
    export = user.client.create(mt.ExportRequest(**{**WEEK, **parameters}))
    return lines(export.wait().data().to_pandas())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "installs"


def test_an_unknown_partition_column_is_reported_before_anything_is_sent(
    start: Callable[..., SandboxUser], directory: Path
) -> None:
    user = start()
    with pytest.raises(mt.MyTrackerError, match="idDevice, tsEvent, countryTitle"):
        user.plan("1d").to_parquet(directory, partition_by="nope")
    with pytest.raises(mt.MyTrackerError, match=r"needs the columns params\.name"):
        user.plan("1d").to_parquet(directory, params="map")
    assert user.sandbox.requests == []
    assert not directory.exists()


def test_the_manifest_describes_each_file(
    start: Callable[..., SandboxUser], directory: Path
) -> None:
    user = start()
    plan = user.plan("3d")
    assert plan.to_parquet(directory) == directory
    assert rows_in(directory) == rows_asked(user)
    listed = parts(directory)
    files = {path.name for path in directory.glob("*.parquet")}
    assert {part["file"] for part in listed} == files
    assert {part["idRawExport"] for part in listed} == {1, 2, 3}
    assert sum(part["rows"] for part in listed) == len(plan.to_pandas())
    for part in listed:
        content = (directory / part["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == part["sha256"]
        assert part["request"]["event"] == "installs"
    assert (listed[0]["request"]["dateFrom"], listed[0]["request"]["dateTo"]) == (
        "2026-10-05",
        "2026-10-07",
    )


def test_a_longer_window_fetches_only_what_is_missing(
    start: Callable[..., SandboxUser], directory: Path
) -> None:
    user = start()
    user.plan("3d").to_parquet(directory)
    longer = {"dateFrom": "2026-10-04", "dateTo": "2026-10-14"}
    plan = user.plan("3d", **longer)
    plan.to_parquet(directory)
    assert user.exported_days()[3:] == [("2026-10-04", "2026-10-04"), ("2026-10-12", "2026-10-14")]
    assert states(plan) == ["done", "kept", "done"]
    assert rows_in(directory) == rows_asked(user, **longer)


def test_a_second_run_fetches_nothing(start: Callable[..., SandboxUser], directory: Path) -> None:
    user = start()
    user.plan("3d").to_parquet(directory)
    before = len(user.sandbox.requests)
    user.plan().to_parquet(directory)
    assert len(user.sandbox.requests) == before


def test_parts_of_another_request_are_an_error_that_names_it(
    start: Callable[..., SandboxUser], directory: Path
) -> None:
    user = start()
    user.plan("3d").to_parquet(directory)
    creates = user.creates
    with pytest.raises(mt.FileError, match="idCountry is not given there and 188 here"):
        user.plan("3d", idCountry="RU").to_parquet(directory)
    with pytest.raises(mt.FileError, match="event is installs there and sessions here"):
        user.plan(event="sessions").to_parquet(directory)
    with pytest.raises(mt.FileError, match="partition_by is not given there and tsEvent here"):
        user.plan("3d").to_parquet(directory, partition_by="tsEvent")
    with pytest.raises(mt.FileError, match="service is "):
        start().plan("3d").to_parquet(directory)
    assert user.creates == creates


def test_the_order_of_a_filter_s_values_does_not_matter(
    start: Callable[..., SandboxUser], directory: Path
) -> None:
    user = start()
    user.plan(idCountry="RU,KZ", timezone="Europe/Moscow").to_parquet(directory)
    user.plan(idCountry="KZ,RU").to_parquet(directory)
    assert user.creates == 1


def test_files_that_are_not_part_of_the_dataset_are_an_error(
    start: Callable[..., SandboxUser], directory: Path
) -> None:
    user = start()
    directory.mkdir()
    (directory / "other.parquet").write_bytes(b"")
    with pytest.raises(mt.FileError, match=r"other\.parquet"):
        user.plan().to_parquet(directory)
    (directory / "other.parquet").unlink()
    (directory / MANIFEST).write_text("{")
    with pytest.raises(mt.FileError, match=MANIFEST):
        user.plan().to_parquet(directory)
    assert user.sandbox.requests == []


@pytest.mark.parametrize("harm", ["change", "remove"])
def test_a_damaged_part_is_fetched_again(
    start: Callable[..., SandboxUser], directory: Path, harm: str
) -> None:
    user = start()
    user.plan("3d").to_parquet(directory)
    before = rows_in(directory)
    path = directory / parts(directory)[0]["file"]
    if harm == "change":
        path.write_bytes(b"PAR1")
    else:
        path.unlink()
    plan = user.plan("3d")
    plan.to_parquet(directory)
    assert states(plan) == ["done", "kept"]
    assert rows_in(directory) == before
    assert len(parts(directory)) == len(list(directory.glob("*.parquet")))


def test_partitions_can_be_updated(start: Callable[..., SandboxUser], directory: Path) -> None:
    user = start()
    parameters = {"selectors": ["idDevice", "dtEvent"]}
    user.plan("3d", **parameters).to_parquet(directory, partition_by="dtEvent")
    user.plan("3d", **parameters, dateTo="2026-10-12").to_parquet(directory, partition_by="dtEvent")
    assert user.creates == 4
    assert len(list(directory.glob("dtEvent_*"))) == 8
    count = sum(user.rows_at_once(**{**WEEK, **parameters, "dateTo": "2026-10-12"}).values())
    assert len(pd.read_parquet(directory)) == count


def test_a_piece_without_rows_has_no_partitions(
    start: Callable[..., SandboxUser], directory: Path
) -> None:
    user = start()
    parameters = {"selectors": ["idDevice", "dtEvent"], "dateTo": "2026-10-06"}
    empty = "idDevice,dtEvent\n"
    user.sandbox.faults.add(path="/1.", times=None, body=gzip.compress(empty.encode()))
    plan = user.plan("1d", **parameters)
    plan.to_parquet(directory, partition_by="dtEvent")
    assert states(plan) == ["done", "done"]
    assert [path.name for path in directory.glob("dtEvent_*")] == ["dtEvent_2026-10-06"]
    again = user.plan("1d", **parameters)
    again.to_parquet(directory, partition_by="dtEvent")
    assert states(again) == ["kept"]
    assert len(pd.read_parquet(directory)) == sum(part["rows"] for part in parts(directory)) > 0


def test_filters_in_parts_and_the_interval_are_covered_together(
    start: Callable[..., SandboxUser], directory: Path
) -> None:
    user = start()
    user.plan(idApp=range(4500, 6000)).to_parquet(directory)
    user.plan(idApp=range(5999, 4499, -1), dateTo="2026-10-12").to_parquet(directory)
    assert user.creates == 4
    count = sum(user.rows_at_once(**{**WEEK, "dateTo": "2026-10-12"}).values())
    assert len(pd.read_parquet(directory)) == count


# Stopped, and awaited.


def plan_threads() -> int:
    return sum(thread.name.startswith("mytracker-plan") for thread in threading.enumerate())


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_finished_run_leaves_no_thread(
    start: Callable[..., SandboxUser], jumping_clock: JumpingClock
) -> None:
    user = start(files=1)
    user.sandbox.faults.add(path=".csv.gz", status=429, headers={"Retry-After": "3000"}, times=2)
    plan = user.plan("4d")

    def files() -> int:
        return sum(call.path.endswith(".csv.gz") for call in user.sandbox.requests)

    with (
        jumping_clock.jump_when(lambda: files() == 2, seconds=1000),
        pytest.raises(mt.ExportTimeout, match="2 left"),
    ):
        plan.run(timeout=1000)
    until(lambda: plan_threads() == 0)
    assert states(plan) == ["downloading", "downloading"]
    assert states(plan.run()) == ["done", "done"]
    assert files() == 4, "two that were put off, and each file once"


def test_a_file_that_stalls_ends_with_the_run(
    start: Callable[..., SandboxUser], jumping_clock: JumpingClock
) -> None:
    user = start(files=1)
    user.sandbox.faults.add(path=".csv.gz", delay=100, times=1)
    plan = user.plan()

    def stalls() -> bool:
        return any(call.path.endswith(".csv.gz") for call in user.sandbox.requests)

    with jumping_clock.jump_when(stalls), pytest.raises(mt.ExportTimeout):
        plan.run(timeout=1000)
    until(lambda: plan_threads() == 0, 60)
    assert states(plan.run()) == ["done"]


def test_a_plan_can_be_awaited(start: Callable[..., SandboxUser]) -> None:
    plan = start(seconds=0.5).plan("4d")

    async def main() -> int:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await asyncio.sleep(0.01)

        other = asyncio.create_task(beat())
        assert await plan is plan
        other.cancel()
        return beats

    assert asyncio.run(main()) > 5, "other tasks run meanwhile"
    assert states(plan) == ["done", "done"]


def test_awaiting_a_plan_can_be_cancelled_at_any_time(start: Callable[..., SandboxUser]) -> None:
    user = start(seconds=600)
    plan = user.plan("4d")

    async def main() -> None:
        task = asyncio.ensure_future(plan)
        while len(user.sandbox.exports) < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError, match=r"running on the service.*plan's run\(\)"):
        asyncio.run(main())
    user.sandbox.clock.advance(601)
    assert states(plan.run()) == ["done", "done"]
    assert user.creates == 2
