"""The same request again: when an earlier export is reused, and when a new one is created."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

import mytracker_nb as mt
from mytracker_nb.client.client import find_reusable
from mytracker_nb.sandbox.faults import HTML_PAGE
from mytracker_nb.sandbox.server import Sandbox
from mytracker_nb.service import credentials
from mytracker_nb.storage import directories
from mytracker_nb.storage.journal import Journal

CLOSED = {
    "event": "installs",
    "selectors": ["idDevice", "tsEvent"],
    "dateFrom": "2026-11-01",
    "dateTo": "2026-11-02",
}
OPEN = {**CLOSED, "dateFrom": "today-1d", "dateTo": "today"}


class SandboxUser:
    """A sandbox and one who asks it, as after a restart of the kernel each time."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def client(self) -> mt.Client:
        return mt.Client(self.sandbox.api_user_id, self.sandbox.secret_key, self.sandbox.base_url)

    def export(self, fresh: bool = False, **parameters: Any) -> mt.Export:
        request = mt.ExportRequest(**(parameters or CLOSED))
        return self.client().export(request, fresh=fresh)

    @property
    def creates(self) -> int:
        paths = [call.path for call in self.sandbox.requests]
        return sum(path.endswith("/create.json") for path in paths)

    def age(self, seconds: float) -> None:
        """Let all that was asked for have been asked for earlier."""
        path = directories.data_directory(self.sandbox.base_url) / "journal.sqlite3"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(
                "UPDATE creates SET asked_at = asked_at - ?, asked_clock = asked_clock - ?",
                (seconds,) * 2,
            )
            connection.commit()


@pytest.fixture
def user(start_sandbox: Callable[..., Sandbox]) -> SandboxUser:
    return SandboxUser(start_sandbox())


@pytest.fixture
def slow_user(start_sandbox: Callable[..., Sandbox]) -> SandboxUser:
    """One whose exports stay in progress."""
    return SandboxUser(start_sandbox(seconds=600))


# where it is right


def test_an_export_in_progress_is_reused(slow_user: SandboxUser) -> None:
    made = slow_user.export()
    adopted = slow_user.export()
    assert (adopted, adopted.request) == (made, made.request)
    assert adopted.status == "In progress"
    assert slow_user.creates == 1
    assert made.notes == ()


def test_an_export_in_progress_is_reused_while_its_window_is_open(
    slow_user: SandboxUser,
) -> None:
    assert slow_user.export(**OPEN) == slow_user.export(**OPEN)
    assert slow_user.creates == 1


def test_a_finished_export_is_reused_with_its_rows(user: SandboxUser) -> None:
    made = user.export().wait()
    adopted = user.export(**{**CLOSED, "timezone": "Europe/Moscow"})
    assert adopted == made
    assert adopted.status == "Success!"
    assert "rows that arrived since are not in it (--fresh exports them too)" in adopted.notes[0]
    assert [file.name for file in adopted.files] == [file.name for file in made.files]


def test_the_card_says_that_an_export_was_reused(slow_user: SandboxUser) -> None:
    slow_user.export()
    slow_user.age(12 * 60 + 5)
    card = slow_user.export().card()
    note = "reused export from 12 minutes ago; --fresh creates a new one"
    assert note in card.text()
    assert note in card.html()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(60, "a minute"), (3600, "an hour"), (2 * 86_400 + 5, "2 days")],
)
def test_the_note_says_how_old_the_export_is(
    slow_user: SandboxUser, seconds: float, words: str
) -> None:
    slow_user.export()
    slow_user.age(seconds + 0.2)
    assert f"from {words} ago" in slow_user.export().notes[0]


def test_the_values_of_a_filter_can_be_in_another_order(slow_user: SandboxUser) -> None:
    made = slow_user.export(**CLOSED, idCountry=["RU", "KZ"])
    assert slow_user.export(**CLOSED, idCountry="KZ, RU") == made


def test_interrupting_the_poll_of_an_earlier_export_shows_how_to_attach(
    slow_user: SandboxUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_user.export()

    def interrupt(*what: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mt.Export, "refresh", interrupt)
    with pytest.raises(mt.WaitInterrupted, match=r"attach\(1\)") as caught:
        slow_user.export()
    assert caught.value.export is not None


def test_interrupting_while_the_answer_is_recorded_loses_no_id(
    slow_user: SandboxUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, interrupts = Journal._change, [KeyboardInterrupt]

    def interrupted(self: Journal, *what: Any, **columns: Any) -> None:
        if "id_raw_export" in columns and interrupts:
            raise interrupts.pop()
        change(self, *what, **columns)

    monkeypatch.setattr(Journal, "_change", interrupted)
    with pytest.raises(mt.WaitInterrupted, match=r"attach\(1\)"):
        slow_user.export()
    assert slow_user.export().id_raw_export == 1
    assert slow_user.creates == 1


# where it is not


def test_an_export_of_an_open_window_is_not_reused(user: SandboxUser) -> None:
    assert user.export(**OPEN).wait() != user.export(**OPEN).wait()


@pytest.mark.parametrize(("hours", "creates"), [(2, 2), (4, 1)])
def test_the_window_must_have_closed_three_hours_before(
    user: SandboxUser, hours: int, creates: int
) -> None:
    end = int(time.time()) - hours * 3600
    parameters = {"event": "installs", "selectors": "idDevice", "tsFrom": end - 60, "tsTo": end}
    user.export(**parameters).wait()
    user.export(**parameters)
    assert user.creates == creates


def test_other_columns_are_another_export(slow_user: SandboxUser) -> None:
    made = slow_user.export()
    assert slow_user.export(**{**CLOSED, "selectors": "tsEvent, idDevice"}) != made


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        ("Error occurred", mt.ExportFailed),
        ("Too many lines in export", mt.ExportTooLarge),
    ],
)
@pytest.mark.parametrize("heard", [True, False])
def test_a_failed_export_is_not_reused(
    user: SandboxUser, outcome: str, error: type[mt.ExportFailed], heard: bool
) -> None:
    user.sandbox.exports.outcomes.append(outcome)
    failed = user.export()
    if heard:
        with pytest.raises(error):
            failed.wait()
    again = user.export()
    assert again != failed
    assert again.wait().status == "Success!"


def test_a_cancelled_export_is_not_reused(slow_user: SandboxUser) -> None:
    canceled = slow_user.export()
    canceled.cancel()
    assert slow_user.export() != canceled


def test_an_export_that_is_too_large_is_found_on_request(user: SandboxUser) -> None:
    user.sandbox.exports.outcomes.append("Too many lines in export")
    refused = user.export().refresh()
    request = mt.ExportRequest(**CLOSED)
    assert find_reusable(user.client(), request) is None
    assert find_reusable(user.client(), request, too_large=True) == refused
    assert user.creates == 1


def test_an_export_with_expired_files_is_not_reused(start_sandbox: Callable[..., Sandbox]) -> None:
    user = SandboxUser(start_sandbox(link_seconds=-1))
    assert user.export().wait() != user.export()


def test_an_expired_export_is_reused_if_its_files_are_cached(
    user: SandboxUser, no_account: object
) -> None:
    user.sandbox.clock.advance(-200_000)  # so that links have expired by our clock, not by its own
    made = user.export().wait()
    made.to_arrow()
    assert user.export() == made
    account = made._api.credentials
    credentials.use(account)
    cached = mt.journal()["files"][0]
    assert len(cached) == len(made.files) > 0
    mt.cache().clear()
    assert user.export() != made


def test_an_export_that_the_service_does_not_find_is_created_again(user: SandboxUser) -> None:
    forgotten = user.export().wait()
    other = user.export(**OPEN)
    del user.sandbox.exports[forgotten.id_raw_export]
    # so that the number is not given again
    user.sandbox.exports[other.id_raw_export + 1] = user.sandbox.exports[other.id_raw_export]
    made = user.export()
    assert made.id_raw_export == 3
    assert user.client().journal.find(1).state.value == "Not found"  # type: ignore[union-attr]
    looks = len(user.sandbox.requests)
    assert user.export() == made
    assert len(user.sandbox.requests) == looks + 1  # what is gone is not asked for again


def test_an_error_page_of_a_proxy_does_not_create_a_second_export(slow_user: SandboxUser) -> None:
    made = slow_user.export()
    slow_user.sandbox.faults.add(path="/get.json", status=404, body=HTML_PAGE)
    assert slow_user.export() == made
    assert slow_user.creates == 1


def test_a_reused_id_belongs_to_the_later_export(user: SandboxUser) -> None:
    user.export().wait()
    user.sandbox.exports.clear()
    later = user.export(**OPEN)
    assert later.id_raw_export == 1
    assert user.client().attach(1).request == mt.ExportRequest(**OPEN)
    assert user.export().id_raw_export == 2


def test_fresh_creates_a_new_export(slow_user: SandboxUser) -> None:
    first = slow_user.export()
    second = slow_user.export(fresh=True)
    assert second != first
    assert second.notes == ()
    assert slow_user.export() == second


def test_create_creates_a_new_export(slow_user: SandboxUser) -> None:
    request = mt.ExportRequest(**CLOSED)
    assert slow_user.client().create(request) != slow_user.client().create(request)


def test_an_export_of_client_create_is_reused(slow_user: SandboxUser) -> None:
    made = slow_user.client().create(mt.ExportRequest(**CLOSED))
    assert slow_user.export() == made


def test_an_invalid_request_is_refused_before_an_earlier_export_is_searched(
    user: SandboxUser,
) -> None:
    with pytest.raises(mt.InvalidRequest):
        user.export(event="installs")
    assert user.sandbox.requests == []


def test_the_function_reuses_exports_of_the_account_in_use(
    slow_user: SandboxUser, no_account: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYTRACKER_BASE_URL", slow_user.sandbox.base_url)
    monkeypatch.setenv("MYTRACKER_API_USER_ID", str(slow_user.sandbox.api_user_id))
    monkeypatch.setenv("MYTRACKER_SECRET_KEY", slow_user.sandbox.secret_key)
    made = mt.export(**CLOSED)
    assert mt.export(**CLOSED) == made
    assert mt.export(fresh=True, **CLOSED) != made
    assert list(mt.journal()["idRawExport"]) == [2, 1]


# answers that are lost


def test_a_create_without_a_response_is_not_retried(user: SandboxUser) -> None:
    user.sandbox.faults.add(path="/create.json", reset="after")
    with pytest.raises(mt.CreateUnconfirmed) as lost:
        user.export()
    with pytest.raises(mt.CreateUnconfirmed) as held:
        user.export()
    assert user.creates == 1
    for caught in (lost, held):
        assert caught.value.request == mt.ExportRequest(**CLOSED)
        assert "mt.attach(its id)" in str(caught.value)
        assert "--fresh (fresh=True in Python)" in str(caught.value)
    assert user.export(**OPEN).id_raw_export == 2  # another request is not held
    # it is there after all
    assert user.client().attach(1).wait().is_finished


def test_fresh_sends_an_unconfirmed_request_again(user: SandboxUser) -> None:
    user.sandbox.faults.add(path="/create.json", reset="before")
    with pytest.raises(mt.CreateUnconfirmed):
        user.export()
    made = user.export(fresh=True).wait()
    assert user.export() == made


def test_an_unconfirmed_request_is_sent_again_once_its_export_would_have_left_the_queue(
    user: SandboxUser,
) -> None:
    user.sandbox.faults.add(path="/create.json", status=502)
    with pytest.raises(mt.CreateUnconfirmed):
        user.export()
    user.age(3500)
    with pytest.raises(mt.CreateUnconfirmed, match="58 minutes ago"):
        user.export()
    user.age(200)
    made = user.export().wait()
    assert made.status == "Success!"
    assert "without a response: MyTracker's export list may show two" in made.notes[0]


def test_an_earlier_export_is_reused_despite_an_unconfirmed_create(user: SandboxUser) -> None:
    made = user.export().wait()
    user.sandbox.faults.add(path="/create.json", reset="after")
    with pytest.raises(mt.CreateUnconfirmed):
        user.export(fresh=True)
    assert user.export() == made


def test_a_refused_create_is_sent_again(start_sandbox: Callable[..., Sandbox]) -> None:
    user = SandboxUser(start_sandbox(seconds=600, queue=1))
    filling = user.export(**OPEN)
    for _ in range(3):
        with pytest.raises(mt.QueueFull):
            user.export()
    (entry,) = user.client().journal.find_same(mt.ExportRequest(**CLOSED))
    assert entry.state.value == "Refused"
    filling.cancel()
    assert user.export().status == "In progress"


# what is known of an export after a restart


def test_attach_knows_the_request(user: SandboxUser) -> None:
    made = user.export()
    attached = user.client().attach(made.id_raw_export)
    assert attached.request == made.request
    assert attached.created_at is not None
    assert made.created_at is not None
    assert abs((attached.created_at - made.created_at).total_seconds()) < 60
    assert user.client().journal.find(made.id_raw_export).status == "Success!"  # type: ignore[union-attr]


def test_attach_finds_an_export_that_was_created_elsewhere(user: SandboxUser) -> None:
    made = user.export()
    (directories.data_directory(user.sandbox.base_url) / "journal.sqlite3").unlink()
    attached = user.client().attach(made.id_raw_export)
    assert (attached.request, attached.status) == (None, "Success!")
