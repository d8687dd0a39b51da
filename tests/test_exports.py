"""The status object: its facts, waiting, cancelling, copies and pickles."""

from __future__ import annotations

import asyncio
import copy
import pickle
import traceback

import pandas as pd
import pytest
from watching import interrupted_when

import mytracker_nb as mt
from mytracker_nb.client.export import display_of
from mytracker_nb.plans.plan import Plan
from mytracker_nb.service.rate_limit import RateLimiter
from mytracker_nb.service.retry import RetryPolicy

REQUEST = mt.ExportRequest(
    event="installs",
    selectors=["idDevice", "tsEvent"],
    dateFrom="2026-01-01",
    dateTo="2026-01-02",
    idCountry=["RU", 200],
)


@pytest.fixture
def client_of():
    """Clients of sandboxes, closed after the test."""

    def make(sandbox):
        client = mt.Client(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)
        client.api.rate_limiter = RateLimiter({1.0: 10_000})
        clients.append(client)
        return client

    clients = []
    yield make
    for client in clients:
        client.api.session.close()


@pytest.fixture
def advancing(fake_clock):
    """Let waiting move a sandbox's clock in place of time; returns the seconds waited."""

    def use(sandbox):
        fake_clock.on_sleep = sandbox.clock.advance
        return fake_clock.slept

    return use


def test_a_request_is_validated_before_it_is_sent(start_sandbox, client_of):
    sandbox = start_sandbox()
    bad = mt.ExportRequest(event="installs", dateFrom="2026-01-01", idCountry="Atlantis")

    with pytest.raises(mt.InvalidRequest) as caught:
        client_of(sandbox).create(bad)

    assert {problem.code for problem in caught.value.problems} == {
        "required",
        "interval_half",
        "not_in_dictionary",
    }
    assert all(problem.parameter in str(caught.value) for problem in caught.value.problems)
    assert sandbox.requests == []


def test_an_export_is_a_mapping_of_its_facts(start_sandbox, client_of):
    client = client_of(start_sandbox(seconds=100))
    export, other = client.create(REQUEST), client.create(REQUEST)

    assert export.status == "In progress"
    assert list(export)[:3] == ["idRawExport", "status", "progress"]
    series = pd.Series(export)
    assert series["idRawExport"] == export.id_raw_export
    assert series["event"] == "installs"
    assert series["idCountry"] == [188, 200]
    frame = pd.DataFrame([export, other])
    assert list(frame["idRawExport"]) == [export.id_raw_export, other.id_raw_export]
    assert list(frame["dateFrom"]) == ["2026-01-01"] * 2
    assert export != other
    assert len({export, other, export}) == 2


def test_refresh_returns_progress_and_files(start_sandbox, client_of):
    sandbox = start_sandbox(seconds=100, now=lambda: 1_795_000_000.0)
    export = client_of(sandbox).create(REQUEST)

    sandbox.clock.advance(50)
    assert export.refresh() is export
    assert export.status == "In progress"
    assert export.progress == 0.5
    assert export.is_cancellable is True
    assert export.files == ()
    sandbox.clock.advance(51)
    export.refresh()
    assert (export.status, export.progress, export.is_finished) == ("Success!", 1.0, True)
    assert len(export.files) >= 1


def test_a_refused_create_lists_the_warnings_about_what_the_service_names(start_sandbox, client_of):
    client = client_of(start_sandbox(unknown_selectors=False))
    columns = ["idDevice", "tsEvent", "revenue"]
    twice = {"selectors": columns, "idApp": [5001, 5001]}
    request = mt.ExportRequest(**{**REQUEST.parameters, **twice})
    assert {problem.parameter for problem in request.problems} == {"selectors", "idApp"}

    with pytest.raises(mt.BadRequest) as refused:
        client.create(request)

    assert [problem.parameter for problem in refused.value.problems] == ["selectors"]
    said, warning = str(refused.value).splitlines()
    assert said.endswith("Argument 'selectors' is invalid")
    assert warning.startswith("  - warning: selectors: 'revenue' is not a known column")


def test_a_refusal_that_names_no_parameter_lists_no_warnings(start_sandbox, client_of):
    client = client_of(start_sandbox(permission=False))
    request = mt.ExportRequest(**{**REQUEST.parameters, "idApp": [5001, 5001]})
    with pytest.raises(mt.BadRequest, match="Export permissions required") as refused:
        client.create(request)
    assert refused.value.problems == ()
    assert len(str(refused.value).splitlines()) == 1


def test_attach_finds_an_export_and_refuses_an_unknown_id(start_sandbox, client_of):
    client = client_of(start_sandbox())
    made = client.create(REQUEST)

    found = client.attach(made.id_raw_export)

    assert found == made
    assert found.status == "Success!"
    with pytest.raises(mt.NotFound):
        client.attach(99)


def test_a_wait_polls_at_once_and_then_less_and_less_often(start_sandbox, client_of, advancing):
    sandbox = start_sandbox(seconds=100)
    export = client_of(sandbox).create(REQUEST)
    slept = advancing(sandbox)

    assert export.wait() is export

    assert export.status == "Success!"
    assert slept[0] == 1.0
    assert slept == sorted(slept)
    assert slept[-1] == 15.0
    looks = len(sandbox.requests)
    export.wait()
    assert len(sandbox.requests) == looks, "a finished export is not asked for again"


def test_a_timeout_names_the_last_status(start_sandbox, client_of, advancing):
    sandbox = start_sandbox(seconds=100)
    export = client_of(sandbox).create(REQUEST)
    slept = advancing(sandbox)

    with pytest.raises(mt.ExportTimeout, match=r"'In progress', \d+%") as caught:
        export.wait(timeout=30)

    assert caught.value.export is export
    assert sum(slept) == pytest.approx(30)
    assert export.wait().status == "Success!", "a second wait goes on where it was"


def test_a_wait_retries_after_faults_and_shows_them(start_sandbox, client_of, advancing):
    sandbox = start_sandbox(seconds=20)
    export = client_of(sandbox).create(REQUEST)
    advancing(sandbox)
    sandbox.faults.add(path="/get.json", every=2, times=None, status=502, body="<html>busy</html>")
    notes = []
    display_of(export).on_update = lambda: notes.extend(export.card().notes)

    assert export.wait().status == "Success!"
    assert any("HTTP 502" in note for note in notes)
    assert not export.card().notes


def test_a_wait_ends_in_time_though_the_service_fails(start_sandbox, client_of, advancing):
    sandbox = start_sandbox(seconds=20)
    export = client_of(sandbox).create(REQUEST)
    slept = advancing(sandbox)
    sandbox.faults.add(path="/get.json", times=None, status=500)

    with pytest.raises(mt.ExportTimeout, match="HTTP 500"):
        export.wait(timeout=10)
    assert sum(slept) == pytest.approx(10)


def test_an_unknown_status_is_shown_and_polled_rarely(start_sandbox, client_of, advancing):
    sandbox = start_sandbox(seconds=1)
    export = client_of(sandbox).create(REQUEST)
    slept = advancing(sandbox)
    sandbox.faults.add(path="/get.json", times=3, data={"status": "Resting", "files": None})

    export.wait()

    assert slept[:3] == [15.0] * 3
    sandbox.faults.add(path="/get.json", data={"status": "Resting"})
    assert export.refresh().status == "Resting"
    assert not export.is_finished


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        ("Error occurred", None, mt.ExportFailed),
        ("User error occurred", "Too many lines in export", mt.ExportTooLarge),
        ("User error occurred", "Too much export data", mt.ExportTooLarge),
        ("Canceled by user", None, mt.ExportCanceled),
    ],
)
def test_a_failed_export_raises_with_itself(sandbox, client_of, status, message, error):
    export = client_of(sandbox).create(REQUEST)
    export._state = type(export._state)(status, error_message=message or "")

    with pytest.raises(error, match=status) as caught:
        export.wait()

    assert type(caught.value) is error
    assert caught.value.export is export
    assert (message or "") in str(caught.value)
    again = export.retry()
    assert again != export
    assert again.request == export.request


def test_too_large_exports_end_and_name_the_plan(start_sandbox, client_of):
    export = client_of(start_sandbox(max_rows=3)).create(REQUEST)
    with pytest.raises(mt.ExportTooLarge, match=r"Too many lines in export.*mt\.plan"):
        export.wait()


def test_cancel_returns_the_answer_of_the_service(start_sandbox, client_of):
    client = client_of(start_sandbox(seconds=100))
    export = client.create(REQUEST)

    assert export.cancel() == "Canceled"
    assert export.status == "Canceled by user"
    with pytest.raises(mt.ExportCanceled):
        export.wait()
    with pytest.raises(mt.BadRequest, match="can not be cancel"):
        export.cancel()


def test_a_cancel_without_a_response_succeeds_if_the_export_is_cancelled(start_sandbox, client_of):
    sandbox = start_sandbox(seconds=100)
    client = client_of(sandbox)
    client.api.retry_policy = RetryPolicy()
    export = client.create(REQUEST)
    sandbox.faults.add(path="/cancel.json", reset="after")
    assert export.cancel() == "Canceled by user"


def test_the_result_of_a_cancel_is_returned_even_if_the_next_poll_fails(start_sandbox, client_of):
    sandbox = start_sandbox(seconds=100)
    client = client_of(sandbox)
    client.api.retry_policy = RetryPolicy(faults=0)
    one, other = client.create(REQUEST), client.create(REQUEST)
    sandbox.faults.add(path="/get.json", status=500, times=None)
    assert one.cancel() == "Canceled"
    sandbox.clock.advance(200)
    with pytest.raises(mt.BadRequest, match="it's completed"):
        other.cancel()


def test_an_interrupted_wait_leaves_the_export_running(start_sandbox, client_of):
    sandbox = start_sandbox(seconds=100)
    export = client_of(sandbox).create(REQUEST)

    def polls():
        return any(call.path.endswith("/get.json") for call in sandbox.requests)

    stopped = pytest.raises(KeyboardInterrupt, match=r"attach\(1\)\.wait\(\)")
    with interrupted_when(polls), stopped as caught:
        export.wait()

    assert isinstance(caught.value, mt.WaitInterrupted)
    assert not any("cancel" in call.path for call in sandbox.requests)
    sandbox.clock.advance(101)
    assert export.wait().status == "Success!"


def test_an_export_can_be_awaited(sandbox, client_of):
    export = client_of(sandbox).create(REQUEST)

    async def wait_for_it():
        return await export

    assert asyncio.run(wait_for_it()).status == "Success!"


def test_awaiting_an_export_can_be_cancelled_at_any_time(start_sandbox, client_of):
    sandbox = start_sandbox(seconds=600)
    export = client_of(sandbox).create(REQUEST)

    async def wait_for_it():
        return await export

    async def give_up():
        return await asyncio.wait_for(wait_for_it(), 0.3)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(give_up())
    assert not sandbox.exports[1].canceled

    async def cancelled():
        task = asyncio.create_task(wait_for_it())
        await asyncio.sleep(0.3)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError, match=r"attach\(1\)\.wait\(\)"):
        asyncio.run(cancelled())


def test_awaiting_retries_after_faults(start_sandbox, client_of, fake_clock):
    sandbox = start_sandbox()
    export = client_of(sandbox).create(REQUEST)
    sandbox.faults.add(path="/get.json", status=503, times=3)

    async def wait_for_it():
        return await export

    assert asyncio.run(wait_for_it()).status == "Success!"
    assert len(fake_clock.slept) == 3
    assert fake_clock.slept[0] < fake_clock.slept[2] < 4


def test_the_size_limit_of_files_is_set_on_the_client(sandbox, client_of, tmp_path):
    client = client_of(sandbox)
    export = client.create(REQUEST).wait()
    client.limits = mt.Limits(size=100)
    for use in (export.to_arrow, lambda: export.download(tmp_path)):
        with pytest.raises(mt.FileError, match=r"100 bytes.*Limits\.size"):
            use()
    plan = Plan(client, REQUEST).run()
    with pytest.raises(mt.ExportFailed, match=r"Limits\.size"):
        plan.to_arrow()

    client.limits = None
    rows = len(export.to_arrow())
    assert len(export.download(tmp_path)) > 0
    assert len(plan.retry().to_arrow()) == rows > 0


def test_a_pickle_has_the_facts_and_not_the_key(sandbox, client_of):
    export = client_of(sandbox).create(REQUEST).wait()

    pickled = pickle.dumps(export)
    copy = pickle.loads(pickled)

    assert sandbox.secret_key.encode() not in pickled
    assert dict(copy) == dict(export)
    assert copy == export
    assert "Success!" in copy._repr_html_()
    with pytest.raises(mt.MyTrackerError, match="attach"):
        copy.refresh()


def test_reprs_hide_the_key_and_send_nothing(start_sandbox, client_of):
    sandbox = start_sandbox(seconds=100)
    client = client_of(sandbox)
    export = client.create(REQUEST)
    asked = len(sandbox.requests)

    shown = [repr(export), str(export), export._repr_html_(), repr(client), repr(client.api.auth)]
    shown += [repr(client.credentials), repr(vars(client.credentials)), repr(vars(client.api.auth))]

    assert len(sandbox.requests) == asked
    assert not any(sandbox.secret_key in text for text in shown)
    assert "SANDBOX" in export._repr_html_()


def test_quotas_are_a_frame(start_sandbox, client_of):
    sandbox = start_sandbox(without_quotas=False)
    frame = client_of(sandbox).quotas()
    assert {"name", "count", "limit", "resetInSecond", "exceeded"} <= set(frame.columns)
    assert (frame["count"] <= frame["limit"]).all()

    sandbox.faults.add(path="/quotas/", data={"quotas": []})
    none = client_of(sandbox).quotas()
    assert none.empty
    assert list(none.columns) == list(frame.columns)


def test_the_default_client_follows_the_credentials_in_use(start_sandbox, monkeypatch):
    from mytracker_nb.client import client
    from mytracker_nb.service import credentials

    sandbox = start_sandbox()
    monkeypatch.setattr(client, "_default", None)
    monkeypatch.setattr(credentials, "_in_use", None)
    monkeypatch.setenv("MYTRACKER_API_USER_ID", str(sandbox.api_user_id))
    monkeypatch.setenv("MYTRACKER_SECRET_KEY", sandbox.secret_key)
    monkeypatch.setenv("MYTRACKER_BASE_URL", sandbox.base_url)

    export = mt.export(**REQUEST.parameters)
    assert export.wait().status == "Success!"
    assert client.default_client() is client.default_client()
    first = client.default_client()
    monkeypatch.setenv("MYTRACKER_API_USER_ID", "5")
    assert client.default_client() is not first
    for each in (first, client.default_client()):
        each.api.session.close()


def test_downloaded_files_stay_and_the_progress_ends(
    start_sandbox, client_of, tmp_path, monkeypatch
):
    sandbox = start_sandbox(files=6)
    export = client_of(sandbox).create(REQUEST).wait()
    reported = []
    monkeypatch.setattr(display_of(export), "show_progress", lambda *facts: reported.append(facts))

    paths = export.download(tmp_path / "files")
    asked = len(sandbox.requests)

    bytes_done, bytes_total, files_done, files_total = reported[-1]
    assert files_done == files_total == len(paths) == len(export.files)
    assert bytes_done == bytes_total == sum(path.stat().st_size for path in paths)
    assert len(export.to_pandas()) > 0
    assert len(sandbox.requests) == asked, "what was downloaded is not fetched twice"


def test_a_failed_poll_leaves_no_wait_on_the_card(start_sandbox, client_of):
    sandbox = start_sandbox()
    export = client_of(sandbox).create(REQUEST)
    export._api.retry_policy = RetryPolicy(faults=1)
    sandbox.faults.add(path="/get.json", times=2, status=503)

    with pytest.raises(mt.ApiError):
        export.refresh()
    assert export.card().notes == ()


@pytest.mark.parametrize("given", [2**70, -1, 0, "abc", None, 1.5])
def test_attach_refuses_what_is_not_an_id(sandbox, client_of, given):
    with pytest.raises(mt.MyTrackerError, match="is not an idRawExport"):
        client_of(sandbox).attach(given)


def test_create_refuses_what_is_not_a_request(sandbox, client_of):
    with pytest.raises(TypeError, match="ExportRequest"):
        client_of(sandbox).create({"event": "installs"})


def test_no_frame_of_a_client_without_keys_shows_one():
    with pytest.raises(mt.MyTrackerError) as caught:
        mt.Client("abc", "the-secret-key")
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "the-secret-key" not in "".join(
        part for part in shown.format() if "test_exports" not in part
    )


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_within_a_process_keeps_the_keys(sandbox, copied):
    client = mt.Client(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)
    request = mt.ExportRequest(
        event="installs", selectors="idDevice", dateFrom="2026-01-01", dateTo="2026-01-02"
    )
    export = client.create(request)
    assert copied(export).wait().status == "Success!"
    assert copied([export])[0] == export
    client.api.session.close()


def test_objects_with_a_key_can_be_copied_and_say_what_can_be_pickled(sandbox, client_of, tmp_path):
    client = client_of(sandbox)
    export = client.create(REQUEST)
    plan = Plan(client, REQUEST).run()
    data = export.data()
    for held, works in [
        (client, ["mt.Client()", "Export"]),
        (plan, ["mt.plan(...)", "plan.status"]),
        (data, ["data.to_pandas()", "mt.open_files(paths)"]),
    ]:
        with pytest.raises(TypeError, match="secret key does not leave its process") as caught:
            pickle.dumps([held])
        assert all(text in str(caught.value) for text in works)
        for copied in (copy.copy(held), copy.deepcopy(held)):
            assert type(copied) is type(held)
    assert copy.deepcopy(client).attach(export.id_raw_export) == export
    assert copy.deepcopy(data).to_pandas().equals(data.to_pandas())
    assert copy.copy(plan) is plan
    # what the texts name
    frame = data.to_pandas()
    paths = export.download(tmp_path)
    for named in (export, export.request, plan.exports, plan.status, frame, paths):
        assert pickle.loads(pickle.dumps(named)) is not None
    assert mt.open_files(pickle.loads(pickle.dumps(paths))).to_pandas().equals(frame)
