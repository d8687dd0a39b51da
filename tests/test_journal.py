"""The journal: creates are recorded before they are sent, and survive faults and kills."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from forking import forks, in_child
from hypothesis import given, settings
from hypothesis import strategies as st

import mytracker_nb as mt
from mytracker_nb import clock
from mytracker_nb.client.client import client_for
from mytracker_nb.request.reuse import closes_at, is_reusable, read_settle
from mytracker_nb.sandbox.server import Sandbox
from mytracker_nb.service import credentials
from mytracker_nb.service.credentials import Credentials
from mytracker_nb.storage import directories, journal
from mytracker_nb.storage import journal as journal_module
from mytracker_nb.storage.journal import (
    CreateState,
    Journal,
    Superseded,
    cache_key,
)

ACCOUNT = Credentials(77658, "a-very-secret-key")


def request(**parameters: Any) -> mt.ExportRequest:
    usual = {"event": "installs", "selectors": "idDevice", "dateFrom": "2026-11-01"}
    return mt.ExportRequest(**{**usual, "dateTo": "2026-11-02", **parameters})


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the journal of the service is in this test."""
    monkeypatch.setenv("MYTRACKER_NB_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def _no_warnings_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_warned", set())


def client_of(sandbox: Sandbox, lock_timeout: float = 5.0) -> mt.Client:
    client = mt.Client(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)
    client.journal = Journal(client.credentials, lock_timeout)
    return client


def run(sandbox: Sandbox, code: str, **options: Any) -> subprocess.Popen[str]:
    """Python code in a process of its own, a client of the sandbox."""
    environment = {
        **os.environ,
        "MYTRACKER_BASE_URL": sandbox.base_url,
        "MYTRACKER_API_USER_ID": str(sandbox.api_user_id),
        "MYTRACKER_SECRET_KEY": sandbox.secret_key,
    }
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def creates(sandbox: Sandbox) -> list[str]:
    return [call.body.decode() for call in sandbox.requests if call.path.endswith("/create.json")]


# the normal form

VALUES = st.lists(st.integers(0, 2**63), min_size=1, max_size=5, unique=True)
NAMES = st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=5, unique=True)


@settings(deadline=None)
@given(VALUES, NAMES, st.randoms())
def test_the_order_of_values_in_a_filter_does_not_matter(
    apps: list[int], names: list[str], chance: random.Random
) -> None:
    one = request(event="customEvents", idApp=apps, eventName=names)
    chance.shuffle(apps)
    chance.shuffle(names)
    other = request(idApp=apps, event="customEvents", eventName=names, timezone="Europe/Moscow")
    assert cache_key(one) == cache_key(other)


@settings(deadline=None)
@given(VALUES, VALUES, NAMES, NAMES)
def test_other_values_are_another_request(
    apps: list[int], others: list[int], names: list[str], other_names: list[str]
) -> None:
    one = request(event="customEvents", idApp=apps, eventName=names)
    other = request(event="customEvents", idApp=others, eventName=other_names)
    same = set(apps) == set(others) and set(names) == set(other_names)
    assert (cache_key(one) == cache_key(other)) is same


def test_another_order_of_columns_is_another_request() -> None:
    one, other = request(selectors="idDevice,tsEvent"), request(selectors="tsEvent,idDevice")
    assert cache_key(one) != cache_key(other)


@settings(deadline=None)
@given(VALUES, NAMES)
def test_a_request_comes_back_from_its_row_as_it_was(apps: list[int], names: list[str]) -> None:
    one = request(event="customEvents", idApp=apps, eventName=names, selectors="tsEvent,idDevice")
    stored = json.loads(json.dumps(dict(one.parameters)))
    assert mt.ExportRequest(**stored) == one


# when an export is reused


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("parameters", "moment"),
    [
        ({}, "2026-11-02T21:00"),  # the third begins in Moscow three hours earlier
        ({"timezone": "UTC"}, "2026-11-03T00:00"),
        ({"timezone": "America/New_York"}, "2026-11-03T05:00"),
        ({"tsFrom": 0, "tsTo": 3599}, "1970-01-01T01:00"),
        ({"availabilityTsFrom": 0, "availabilityTsTo": 3599}, "2026-11-02T21:00"),
        ({"tsFrom": 0, "tsTo": 1_900_000_000}, "2026-11-02T21:00"),
    ],
)
def test_events_happen_until_the_first_interval_is_closed(
    parameters: dict[str, Any], moment: str
) -> None:
    assert closes_at(request(**parameters)) == utc(moment)


@pytest.mark.parametrize(
    ("parameters", "requested_at", "settle", "is_reused"),
    [
        ({}, "2026-11-02T23:59", "3h", False),
        ({}, "2026-11-03T00:00", "3h", True),
        ({}, "2026-11-03T00:00", "2d", False),
        ({}, "2026-11-04T21:00", "2d", True),
        ({}, "2026-11-02T21:00", "0h", True),
        ({}, "2026-11-09T00:00", "3h", False),  # by a clock that was ahead
        # the same rows whenever it is requested
        ({"availabilityTsTo": 3599}, "2026-11-02T12:00", "2d", True),
    ],
)
def test_an_export_is_reused_when_its_window_had_closed_long_enough(
    parameters: dict[str, Any], requested_at: str, settle: str, is_reused: bool
) -> None:
    length = read_settle(settle)
    now = utc("2026-11-08T00:00")
    assert length is not None
    assert is_reusable(request(**parameters), utc(requested_at), now, length) is is_reused


def test_an_invalid_settle_is_refused() -> None:
    for wrong in ("soon", "-1h", 3, ""):
        with pytest.raises(mt.InvalidRequest, match="is not a duration"):
            read_settle(wrong)  # type: ignore[arg-type]


# rows


def test_a_row_is_there_before_the_create_is_sent(directory: Path) -> None:
    journal = Journal(ACCOUNT)
    with journal.record_create(request()) as create:
        (entry,) = journal.find_same(request())
        assert (entry.state, entry.status, entry.id_raw_export) == (CreateState.ASKED, "", None)
        create.send()
        (entry,) = journal.find_same(request())
        assert (entry.state, entry.id_raw_export) == (CreateState.SENT, None)
        create.answer(4)
    (entry,) = journal.find_same(request())
    assert (entry.status, entry.id_raw_export) == ("In progress", 4)
    journal.update_status(4, "Success!")
    (entry,) = journal.find_same(request())
    assert (entry.status, entry.request) == ("Success!", request())
    assert journal.find(4) == entry
    assert journal.find(5) is None


@pytest.mark.parametrize(
    ("error", "sent", "waits", "state"),
    [
        (mt.BadRequest("no"), True, False, CreateState.REFUSED),
        (mt.ConnectionFailed("no"), True, False, CreateState.NOT_SENT),
        (mt.CreateUnconfirmed("lost"), True, False, CreateState.UNCONFIRMED),
        (KeyboardInterrupt(), True, False, CreateState.UNCONFIRMED),
        (KeyboardInterrupt(), False, False, CreateState.NOT_SENT),
        (KeyboardInterrupt(), True, True, CreateState.NOT_SENT),  # while it waited for a quota
        (RuntimeError("odd"), False, False, CreateState.NOT_SENT),
    ],
)
def test_the_outcome_of_a_create_is_recorded(
    directory: Path, error: BaseException, sent: bool, waits: bool, state: CreateState
) -> None:
    journal = Journal(ACCOUNT)
    with pytest.raises(type(error)), journal.record_create(request()) as create:  # noqa: PT012
        if sent:
            create.send()
        if waits:
            create.wait(30.0)
        raise error
    assert [entry.state for entry in journal.find_same(request())] == [state]


@pytest.mark.parametrize("word", [state.value for state in CreateState])
def test_a_status_of_the_service_is_never_mistaken_for_a_state(directory: Path, word: str) -> None:
    journal = Journal(ACCOUNT)
    with journal.record_create(request()) as create:
        create.send()
        create.answer(4)
    journal.update_status(4, word)
    assert journal.claim_create(request(), after=9) is not None
    other, entry = journal.find_same(request())
    assert (other.state, other.id_raw_export) == (CreateState.ASKED, None)
    assert (entry.state, entry.status, entry.id_raw_export) == (CreateState.CREATED, word, 4)


def test_after_an_interrupt_before_the_block_the_claim_lasts_two_seconds(
    directory: Path, fake_clock: Any
) -> None:
    journal = Journal(ACCOUNT)
    left = journal.record_create(request())
    assert [entry.state for entry in journal.find_same(request())] == [CreateState.ASKED]
    fake_clock.move(2.1)
    (entry,) = journal.find_same(request())
    assert entry.state is CreateState.NOT_SENT
    taken_over = journal.claim_create(request(), entry.number)
    assert taken_over is not None
    with taken_over:
        taken_over.send()
        assert len(journal.find_same(request())) == 1
    del left


def test_a_superseded_claim_is_not_sent(directory: Path, fake_clock: Any) -> None:
    journal = Journal(ACCOUNT)
    slow = journal.claim_create(request(), 0)
    assert slow is not None
    fake_clock.move(2.1)
    (entry,) = journal.find_same(request())
    other = journal.claim_create(request(), entry.number)
    assert other is not None
    with pytest.raises(Superseded), slow:
        slow.send()
    with other:
        other.send()
        other.answer(7)
    assert [entry.id_raw_export for entry in journal.find_same(request())] == [7]


def test_the_row_of_a_fresh_create_is_written_again(directory: Path, fake_clock: Any) -> None:
    journal = Journal(ACCOUNT)
    slow = journal.record_create(request())
    fake_clock.move(2.1)
    (entry,) = journal.find_same(request())
    assert journal.claim_create(request(), entry.number) is not None
    with slow:
        slow.send()
        slow.answer(7)
    assert {entry.id_raw_export for entry in journal.find_same(request())} == {7, None}


@pytest.mark.parametrize("ahead", [-86_400, 86_400])
def test_a_create_in_progress_does_not_depend_on_the_time_of_day(
    directory: Path, ahead: int
) -> None:
    journal = Journal(ACCOUNT)
    with journal.record_create(request()) as create:
        create.send()
        with clock.use(Shifted(ahead)):
            (entry,) = journal.find_same(request())
            assert entry.state is CreateState.SENT
            assert entry.age < timedelta(minutes=1)
        create.answer(1)


@pytest.mark.parametrize(
    ("state", "becomes"), [("Asked", CreateState.NOT_SENT), ("Sent", CreateState.UNCONFIRMED)]
)
def test_a_lease_of_another_machine_in_the_future_is_ignored(
    directory: Path, state: str, becomes: CreateState
) -> None:
    journal = Journal(ACCOUNT)
    journal.record_create(request())
    with sql(directory) as connection:
        connection.execute(
            "UPDATE creates SET owner = 'elsewhere 7 x', lease_until = lease_until + 86400,"
            " updated_at = updated_at + 86400, state = ?",
            (state,),
        )
    assert [entry.state for entry in journal.find_same(request())] == [becomes]


def test_what_was_created_in_the_future_is_not_reused(directory: Path) -> None:
    old = request(dateFrom="2026-01-01", dateTo="2026-01-02")
    journal = Journal(ACCOUNT)
    with clock.use(Shifted(86_400)), journal.record_create(old) as create:
        create.send()
        create.answer(1)
    entry = journal.find(1)
    assert entry is not None
    assert not is_reusable(old, entry.asked_at, clock.now(), timedelta(hours=3))
    with journal.record_create(old) as create:
        create.send()
        create.answer(2, clock.now())
    entry = journal.find(2)
    assert entry is not None
    assert is_reusable(old, entry.asked_at, clock.now(), timedelta(hours=3))


def test_the_services_time_corrects_a_clock_that_is_ahead(directory: Path) -> None:
    journal = Journal(ACCOUNT)
    with clock.use(Shifted(86_400)), journal.record_create(request()) as create:
        create.send()
        create.answer(1, datetime.now(timezone.utc))
    entry = journal.find(1)
    assert entry is not None
    assert entry.asked_at <= datetime.now(timezone.utc)


def test_a_journal_of_the_first_version_is_migrated(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    rows = [
        (None, "Asked"), (None, "Unconfirmed"), (None, "Refused"),
        (4, "Success!"), (5, "Not found"), (6, "Unheard of"),
    ]  # fmt: skip
    with sql(directory) as connection:
        for statement in journal_module._SCHEMA:
            connection.execute(statement)
        for number, (id_raw_export, status) in enumerate(rows):
            connection.execute(
                "INSERT INTO creates (service, account, id_raw_export, status, request, digest,"
                " asked_at, updated_at, owner, lease_until) VALUES (?, ?, ?, ?, ?, ?, 1e9, 1e9,"
                " 'here 1 x', 0)",
                (
                    ACCOUNT.base_url, ACCOUNT.api_user_id, id_raw_export, status,
                    json.dumps(dict(request().parameters)), f"digest {number}",
                ),
            )  # fmt: skip
        connection.execute("PRAGMA user_version = 1")
        connection.execute("UPDATE creates SET digest = ?", (journal_module._digest(request()),))
    seen = {
        (entry.id_raw_export, entry.state, entry.status)
        for entry in Journal(ACCOUNT).find_same(request())
    }
    assert seen == {
        (None, CreateState.UNCONFIRMED, ""),
        (None, CreateState.REFUSED, ""),
        (4, CreateState.CREATED, "Success!"),
        (5, CreateState.NOT_FOUND, ""),
        (6, CreateState.CREATED, "Unheard of"),
    }


def test_each_kind_of_problem_is_warned_of_once(directory: Path) -> None:
    for kind in ("entry", "unusable"):
        with pytest.warns(RuntimeWarning, match=f"trouble with {kind}"):
            journal_module._warn(kind, f"trouble with {kind}")
        journal_module._warn(kind, "already warned")


class Shifted(clock.Clock):
    """A time of day that is wrong by so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.seconds)


def test_accounts_and_services_have_separate_entries(directory: Path) -> None:
    with Journal(ACCOUNT).record_create(request()) as create:
        create.answer(1)
    for other in (Credentials(1, "key"), Credentials(77658, "key", "https://example.com")):
        journal = Journal(other)
        assert journal.find_same(request()) == []
        assert journal.find(1) is None
        journal.update_status(1, "Success!")
    entry = Journal(ACCOUNT).find(1)
    assert entry is not None
    assert entry.status == "In progress"


def test_a_create_is_claimed_by_one_kernel_only(directory: Path) -> None:
    journal = Journal(ACCOUNT)
    create = journal.claim_create(request(), after=0)
    assert create is not None
    assert journal.claim_create(request(), after=0) is None
    with pytest.raises(mt.ConnectionFailed), create:
        raise mt.ConnectionFailed("nothing was sent")
    (entry,) = journal.find_same(request())
    # the row of the failed one makes place, and its number is not used again
    assert journal.claim_create(request(), after=entry.number) is not None
    assert journal.claim_create(request(), after=entry.number) is None


def test_a_create_without_an_answer_is_unconfirmed_once_its_time_is_over(directory: Path) -> None:
    journal = Journal(ACCOUNT)
    journal.record_create(request())
    with sql(directory) as connection:
        connection.execute("UPDATE creates SET state = 'Sent', lease_clock = 0")
    states = [entry.state for entry in journal.find_same(request())]
    assert states == [CreateState.UNCONFIRMED]


@contextmanager
def sql(directory: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(directory / "journal.sqlite3")) as connection:
        yield connection
        connection.commit()


@pytest.mark.skipif(sys.platform == "win32", reason="files have no mode")
def test_only_the_user_can_read_it(directory: Path) -> None:
    Journal(ACCOUNT).record_create(request())
    with sql(directory) as connection:
        connection.execute("UPDATE creates SET detail = ''")
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
        assert modes == {f"journal.sqlite3{suffix}": 0o600 for suffix in ("", "-wal", "-shm")}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_it_stores_no_key(directory: Path) -> None:
    with Journal(ACCOUNT).record_create(request()) as create:
        create.answer(1)
    for path in directory.iterdir():
        assert ACCOUNT.secret_key.encode() not in path.read_bytes()


# the table


def test_the_table_shows_the_newest_first(directory: Path, no_account: object) -> None:
    empty = mt.journal()
    assert (len(empty), empty.columns[0]) == (0, "idRawExport")
    journal = Journal(ACCOUNT)
    before = pd.Timestamp.now("UTC")
    with journal.record_create(request()) as create:
        create.answer(2**62)
    with pytest.raises(mt.CreateUnconfirmed), journal.record_create(request(idApp=5)):
        raise mt.CreateUnconfirmed("its answer was lost")
    table = mt.journal()
    assert table.columns[0] == "idRawExport"
    assert table.dtypes.astype(str).to_dict() == empty.dtypes.astype(str).to_dict()
    assert str(table["idRawExport"].dtype) == "Int64"
    assert str(table["created"].dtype) == "datetime64[us, UTC]"
    lost, made = table.to_dict("records")
    assert pd.isna(lost["idRawExport"])
    assert (lost["status"], lost["detail"]) == ("Unconfirmed", "its answer was lost")
    assert (made["idRawExport"], made["status"]) == (2**62, "In progress")
    assert before.floor("us") <= made["created"] <= pd.Timestamp.now("UTC")
    assert (made["service"], made["account"]) == ("https://tracker.my.com", 77658)
    assert mt.ExportRequest.from_magic(lost["request"]) == request(idApp=5)


def test_the_table_is_that_of_the_service_in_use(
    directory: Path, no_account: object, start_sandbox: Callable[..., Sandbox]
) -> None:
    Journal(ACCOUNT).record_create(request())
    client = client_of(start_sandbox())
    client.create(request())
    assert set(mt.journal()["service"]) == {"https://tracker.my.com"}
    credentials.use(client.credentials)
    assert set(mt.journal()["service"]) == {client.credentials.base_url}


# a journal in trouble


def assert_exports_go_on(client: mt.Client, sandbox: Sandbox, message: str) -> None:
    """An export can be made, and there is one warning of the problem."""
    with pytest.warns(RuntimeWarning, match=message) as warned:
        export = client.export(request()).wait()
    assert export.status == "Success!"
    assert len(warned) == 1
    with warnings.catch_warnings(record=True) as more:
        assert client.attach(export.id_raw_export).is_finished
    assert more == []
    assert len(creates(sandbox)) == 1


@pytest.mark.parametrize("content", [b"no database at all" * 1000, b"SQLite format 3\0" * 1000])
def test_a_corrupt_file_is_renamed(start_sandbox: Callable[..., Sandbox], content: bytes) -> None:
    sandbox = start_sandbox()
    path = directories.data_directory(sandbox.base_url) / "journal.sqlite3"
    path.write_bytes(content)
    client = client_of(sandbox)
    assert_exports_go_on(client, sandbox, "was corrupt")
    (aside,) = path.parent.glob("*.corrupt-*")
    assert aside.read_bytes() == content
    assert client.export(request()).id_raw_export == 1  # the new one works


def test_pages_that_are_damaged_later_are_noticed(start_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = start_sandbox()
    client = client_of(sandbox)
    path = directories.data_directory(sandbox.base_url) / "journal.sqlite3"
    for number in range(1, 40):
        client.journal.record_create(request(idApp=list(range(number, number + 900))))
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    assert_exports_go_on(client, sandbox, "was corrupt")


@pytest.mark.parametrize(
    "damage",
    [
        "request = '{broken'",
        "request = '[]'",
        "request = '{}'",
        "request = x'ff'",
        "request = CAST(x'7bff7d' AS TEXT)",
        """request = '{"event": "installs", "tsTo": "soon", "timezone": "Nowhere"}'""",
        "asked_at = 1e300",
        "updated_at = 'a while ago'",
        "id_raw_export = 'four'",
        "state = 'Unheard of'",
        "state = 'Asked', owner = 7",
    ],
)
def test_a_damaged_entry_is_skipped(
    start_sandbox: Callable[..., Sandbox], no_account: object, damage: str
) -> None:
    sandbox = start_sandbox()
    client = client_of(sandbox)
    other = client.export(request(idApp=5))
    client.export(request())
    with sql(directories.data_directory(sandbox.base_url)) as connection:
        connection.execute(f"UPDATE creates SET {damage} WHERE number = 2")

    with pytest.warns(RuntimeWarning, match="was skipped") as warned:
        made = client.export(request()).wait()
    assert len(warned) == 1
    assert client.export(request()) == made
    assert client.export(request(idApp=5)) == other
    assert len(creates(sandbox)) == 3
    credentials.use(client.credentials)
    assert list(mt.journal()["idRawExport"]) == [made.id_raw_export, other.id_raw_export]


def test_a_locked_journal(start_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = start_sandbox()
    client = client_of(sandbox, lock_timeout=0.01)
    client.journal.find_same(request())
    with sql(directories.data_directory(sandbox.base_url)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert_exports_go_on(client, sandbox, "locked")


@forks
def test_a_process_that_is_forked_while_the_journal_is_written_can_use_it(
    start_sandbox: Callable[..., Sandbox],
) -> None:
    sandbox = start_sandbox()
    client = client_of(sandbox, lock_timeout=0.01)
    client.journal.find_same(request())
    writes, written = threading.Event(), []

    def write(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        writes.set()
        time.sleep(0.2)  # the other thread forks
        connection.execute("COMMIT")
        written.append(True)

    def work() -> None:
        assert written, "a fork waits until it is written"
        warnings.simplefilter("error")
        with client.journal.record_create(request()) as create:
            create.answer(7)
        assert client.journal.find(7)

    thread = threading.Thread(target=journal_module._use, args=[sandbox.base_url, write, None])
    thread.start()
    assert writes.wait(10)
    assert in_child(work) == 0
    thread.join()
    assert client.journal.find(7), "the parent sees what the child wrote"


def test_an_export_created_without_a_journal_is_recorded_at_its_next_poll(
    start_sandbox: Callable[..., Sandbox],
) -> None:
    sandbox = start_sandbox()
    client = client_of(sandbox, lock_timeout=0.01)
    client.journal.find_same(request())
    with sql(directories.data_directory(sandbox.base_url)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.warns(RuntimeWarning, match="locked"):
            made = client.export(request())
    made.wait()
    assert client.export(request()) == made


def test_warnings_that_are_errors_do_not_end_a_create(
    start_sandbox: Callable[..., Sandbox],
) -> None:
    sandbox = start_sandbox()
    (directories.data_directory(sandbox.base_url) / "journal.sqlite3").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert client_of(sandbox).export(request()).id_raw_export == 1


def test_a_directory_of_its_name(start_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = start_sandbox()
    (directories.data_directory(sandbox.base_url) / "journal.sqlite3").mkdir()
    assert_exports_go_on(client_of(sandbox), sandbox, "can't be used")


def test_a_later_version(start_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = start_sandbox()
    with sql(directories.data_directory(sandbox.base_url)) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert_exports_go_on(client_of(sandbox), sandbox, "later version")


def test_a_full_disk(start_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = start_sandbox()
    client = client_of(sandbox)
    client.journal.find_same(request())
    resource = pytest.importorskip("resource", reason="no limit can be set")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.warns(RuntimeWarning, match="can't be used"):
            export = client.export(request())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert export.id_raw_export == 1


@pytest.fixture
def foreign_directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data directory in which the journal can be read and not written."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        monkeypatch.setenv("MYTRACKER_NB_DATA_DIR", name)
        with Journal(ACCOUNT).record_create(request()) as create:
            create.answer(1)
        with sql(path) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
        (path / "journal.sqlite3").chmod(0o444)
        path.chmod(0o555)
        # nothing is closed to root
        user = os.geteuid()
        os.seteuid(user or 65534)
        try:
            yield path
        finally:
            os.seteuid(user)
            path.chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="files have no mode")
def test_a_read_only_journal_is_read(foreign_directory: Path) -> None:
    journal = Journal(ACCOUNT)
    assert [entry.id_raw_export for entry in journal.find_same(request())] == [1]
    with (
        pytest.warns(RuntimeWarning, match="can't be used"),
        journal.record_create(request()) as create,
    ):
        create.answer(2)
    assert [entry.id_raw_export for entry in journal.find_same(request())] == [1]


# several kernels, and such as are killed

MANY = """
import sys
import mytracker_nb as mt
print("ready", flush=True)
sys.stdin.readline()
for day in range(1, {days} + 1):
    date = f"2026-10-{{day:02}}"
    try:
        mt.export(event="installs", selectors="idDevice", dateFrom=date, dateTo=date)
    except mt.CreateUnconfirmed:
        print("held", date, flush=True)
print("done", flush=True)
"""


@pytest.mark.slow
def test_two_kernels_create_one_export_of_one_request(
    start_sandbox: Callable[..., Sandbox],
) -> None:
    sandbox = start_sandbox(seconds=1, queue=100)
    sandbox.faults.add(path="/create.json", delay=0.05, times=None)
    kernels = [run(sandbox, MANY.format(days=6), stdin=subprocess.PIPE) for _ in range(2)]
    for kernel in kernels:
        assert kernel.stdout is not None
        assert kernel.stdout.readline() == "ready\n"
    for kernel in kernels:
        out, err = kernel.communicate("go\n", timeout=60)
        assert (out, err) == ("done\n", "")
    assert [count for _, count in Counter(creates(sandbox)).items()] == [1] * 6


def test_threads_create_one_export_of_one_request(start_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = start_sandbox()
    client = client_of(sandbox)
    made: list[int] = []
    threads = [
        threading.Thread(target=lambda: made.append(client.export(request()).id_raw_export))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1] * 8
    assert len(creates(sandbox)) == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a process can't be killed like that")
def test_a_killed_kernel_loses_nothing_and_creates_nothing_twice(
    start_sandbox: Callable[..., Sandbox],
) -> None:
    days = 12
    sandbox = start_sandbox(queue=100)
    sandbox.faults.add(path="/create.json", delay=0.03, times=None)
    chance = random.Random(5)
    for _ in range(5):
        kernel = run(sandbox, MANY.format(days=days), stdin=subprocess.PIPE)
        assert kernel.stdin is not None
        assert kernel.stdout is not None
        assert kernel.stdout.readline() == "ready\n"
        kernel.stdin.write("go\n")
        kernel.stdin.flush()
        time.sleep(chance.uniform(0.0, 0.4))
        kernel.send_signal(signal.SIGKILL)
        kernel.communicate(timeout=30)
    out, err = run(sandbox, MANY.format(days=days), stdin=subprocess.PIPE).communicate("go\n", 60)
    *held, done = out.splitlines()[1:]
    assert (done, err) == ("done", "")
    assert set(Counter(creates(sandbox)).values()) == {1}
    journal = client_of(sandbox).journal
    dates = [f"2026-10-{day:02}" for day in range(1, days + 1)]
    entries = {}
    for date in dates:
        (entries[date],) = journal.find_same(request(dateFrom=date, dateTo=date))
    known = {date: entry.id_raw_export for date, entry in entries.items() if entry.id_raw_export}
    in_doubt = [date for date, entry in entries.items() if entry.state is CreateState.UNCONFIRMED]
    assert held == [f"held {date}" for date in in_doubt]
    assert sorted([*known, *in_doubt]) == dates
    # what the service has made is either known by its id or unconfirmed
    assert set(known.values()) <= set(sandbox.exports)
    assert len(sandbox.exports) - len(known) <= len(in_doubt)


# the directory of a sandbox


COMMAND = [sys.executable, "-m", "mytracker_nb.sandbox", "--seconds", "0", "--secret-key", "k"]


@contextmanager
def sandbox_process(port: str = "0") -> Iterator[tuple[subprocess.Popen[str], Credentials]]:
    process = subprocess.Popen([*COMMAND, "--port", port], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        values = [process.stdout.readline().strip().partition("=")[2] for _ in range(3)]
        yield process, Credentials(int(values[1]), values[2], values[0])
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="a process can't be killed like that")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_directory_of_a_sandbox_is_deleted_with_it(how: signal.Signals) -> None:
    with sandbox_process() as (process, account):
        client_for(account).export(request())
        code = f"""
import mytracker_nb as mt
from mytracker_nb.service.credentials import Credentials
client = mt.Client({account.api_user_id}, "k", {account.base_url!r})
print(*client.export(mt.ExportRequest(**{dict(request().parameters)!r})).notes)
"""
        kernel = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert kernel.stdout.startswith("reused export"), kernel.stderr
        directory = directories.data_directory(account.base_url)
        assert (directory / "journal.sqlite3").exists()
        process.send_signal(how)
        process.wait()
    if how == signal.SIGTERM:
        assert not directory.exists()
    with sandbox_process(account.base_url.rpartition(":")[2]) as (_, again):
        assert again == account
        assert Journal(again).find_same(request()) == []
        export = client_for(again).export(request())
        assert export.notes == ()
        assert directories.data_directory(again.base_url) != directory


def test_leftovers_of_a_killed_sandbox_are_deleted_by_the_next(
    start_sandbox: Callable[..., Sandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    running = start_sandbox()
    left, young, open_to_all = (tmp_path / f"mytracker-sandbox-{name}" for name in "abc")
    for path in (left, young, open_to_all):
        path.mkdir(mode=0o700)
    open_to_all.chmod(0o755)
    for path in (left, open_to_all, running.directory):
        os.utime(path, (0, 0))
    start_sandbox()
    assert not left.exists()
    # it may be about to be held, is not one of ours, is held
    assert all(path.exists() for path in (young, open_to_all, running.directory))


def test_a_sandbox_writes_nothing_to_the_user_s_directories(
    directory: Path, start_sandbox: Callable[..., Sandbox]
) -> None:
    client_of(start_sandbox()).export(request())
    assert not directory.exists()


def test_a_local_service_that_is_not_a_sandbox_has_its_own_directory() -> None:
    import socket

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        directory = directories.data_directory(f"http://127.0.0.1:{port}")
        (directory / "something").touch()
        assert directories.data_directory(f"http://127.0.0.1:{port}") == directory
    with closing(socket.create_server(("127.0.0.1", port))):
        other = directories.data_directory(f"http://127.0.0.1:{port}")
        assert other == directory or not (other / "something").exists()
        assert sys.platform != "linux" or not directory.exists()
