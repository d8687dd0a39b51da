"""What was asked before: the journal of all creates, kept beyond the life of a kernel.

It is a SQLite database in the directory of its service
(`mytracker_nb.storage.directories`), shared by all
kernels and threads of a user. It keeps no key, and no link to a file. An export never fails because
of its journal: where it can't be used that is told once, and the work goes on without it.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sqlite3
import sys
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from mytracker_nb import clock
from mytracker_nb.errors import (
    ApiError,
    ConnectionFailed,
    CreateUnconfirmed,
    CredentialsMissing,
    MyTrackerError,
    printable,
)
from mytracker_nb.request.availability import closes_at
from mytracker_nb.request.parameters import DEFAULT_TIMEZONE, PARAMETERS
from mytracker_nb.request.request import ExportRequest
from mytracker_nb.service import credentials
from mytracker_nb.service.credentials import SERVICE_URL, Credentials
from mytracker_nb.statuses import IN_PROGRESS
from mytracker_nb.storage import directories
from mytracker_nb.storage.file_cache import FileCache

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CreateState",
    "Journal",
    "JournalEntry",
    "PendingCreate",
    "Superseded",
    "cache_key",
    "journal",
    "journal_entries",
]


class CreateState(Enum):
    """What is known of a create here. The service's word on the export is another matter."""

    ASKED = "Asked"
    """It is about to be sent; nothing has left yet."""
    SENT = "Sent"
    """It was sent, and its answer is awaited."""
    CREATED = "Created"
    """The service has answered an id."""
    UNCONFIRMED = "Unconfirmed"
    """It was sent, and no answer will come."""
    REFUSED = "Refused"
    NOT_SENT = "Not sent"
    NOT_FOUND = "Not found"
    """The service knows the id no longer."""


_FILE = "journal.sqlite3"
_VERSION = 3
_SCHEMA = (
    # numbers are never used again: what was seen of a request is known by the last one
    """CREATE TABLE creates (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        service TEXT NOT NULL,
        account INTEGER NOT NULL,
        id_raw_export INTEGER,
        status TEXT NOT NULL,
        detail TEXT NOT NULL DEFAULT '',
        request TEXT NOT NULL,
        digest TEXT NOT NULL,
        asked_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        owner TEXT NOT NULL,
        lease_until REAL NOT NULL
    )""",
    "CREATE INDEX of_request ON creates (service, account, digest)",
    "CREATE UNIQUE INDEX of_export ON creates (service, account, id_raw_export)",
)
# From each version to the next; a new file takes all of them.
_MIGRATIONS = {
    # Our state had been written where the service's word is, and words of the service that were
    # the same as ours were taken for it. Times of day jump, so leases get a steady clock too.
    1: (
        "ALTER TABLE creates ADD COLUMN state TEXT NOT NULL DEFAULT 'Created'",
        "ALTER TABLE creates ADD COLUMN asked_clock REAL NOT NULL DEFAULT 0",
        "ALTER TABLE creates ADD COLUMN lease_clock REAL NOT NULL DEFAULT 0",
        """UPDATE creates SET status = '',
            state = CASE status WHEN 'Asked' THEN 'Sent' ELSE status END
            WHERE id_raw_export IS NULL OR status = 'Not found'""",
    ),
    # What tells exports apart in a list, and can't be asked for once an export is finished.
    2: (
        "ALTER TABLE creates ADD COLUMN row_count INTEGER",
        "ALTER TABLE creates ADD COLUMN file_count INTEGER",
        "ALTER TABLE creates ADD COLUMN files_until REAL",
    ),
}
_UNWRITTEN = 0  # the number of no create
_LEASE = 90.0  # seconds in which a create that was sent is answered, or its answer is lost
_LONGEST_LEASE = 2 * 3700.0  # seconds: it also covers a wait for a quota
_CLAIM = 2.0  # seconds from the row of a create to its call, in this process
_CLOCKS_DIFFER = 30.0  # seconds that the clocks of two machines may differ by

_Answer = TypeVar("_Answer")
_Row = TypeVar("_Row")


def cache_key(request: ExportRequest) -> str:
    """A text that requests for the same rows and columns share.

    The order of the columns counts, that of the values in a filter does not; the zone that the
    service takes where none is given is as good as written.
    """
    parameters = {"timezone": DEFAULT_TIMEZONE, **request.parameters}
    return json.dumps(
        {
            name: sorted(value)
            if PARAMETERS[name].is_filter and PARAMETERS[name].is_list
            else value
            for name, value in parameters.items()
        },
        sort_keys=True,
    )


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


@dataclass(frozen=True)
class JournalEntry:
    """What the journal knows of a create.

    Attributes
    ----------
    number : int
        The later it was asked for, the higher.
    id_raw_export : int or None
        The service's id of the export; None where it did not answer one.
    state : CreateState
        What is known of the create here.
    status : str
        The service's own word as last heard; ``""`` where there is none.
    request : ExportRequest
        What was asked for.
    asked_at, updated_at : datetime.datetime
        When it was asked for, and last heard of (UTC).
    age : datetime.timedelta
        How long ago it was asked for, by a clock that does not jump where there is one.
    service : str
        The address of the service.
    account : int
        The API User ID.
    detail : str
        Why it was refused, or is unconfirmed.
    row_count, file_count : int or None
        How many rows were loaded, and how many files there are; None where it is not known.
    files_until : datetime.datetime or None
        When the service deletes the first of the files (UTC).
    """

    number: int
    id_raw_export: int | None
    state: CreateState
    status: str
    request: ExportRequest
    asked_at: datetime
    updated_at: datetime
    age: timedelta = field(compare=False)
    service: str = ""
    account: int = 0
    detail: str = ""
    row_count: int | None = None
    file_count: int | None = None
    files_until: datetime | None = None


class Superseded(MyTrackerError):
    """Another kernel or thread has taken over a create before it was sent."""


# The creates of this process that are between the beginning and the end of their ``with`` block,
# by service and number. A row of this process that is not among them was left by an interrupt.
_under_way: set[tuple[str, int]] = set()


class PendingCreate:
    """One create on its way, in a ``with`` block around the call: what becomes of it is written.

    It goes in two steps, so that it is known at each moment, and after each kind of end, whether
    anything was sent. Its row is *asked* from the claim on: nobody else sends the same request
    while its owner lives. Right before the first byte `send` turns it into *sent*, if it is still
    there: a claim that seemed to be abandoned may have been taken over. What the block leaves
    without an id is refused, not sent or unconfirmed, as its exception says.

    Parameters
    ----------
    journal : Journal
        Where it is written.
    number : int
        Of its row.
    rewrite : callable, optional
        Writes the row again, where it was taken over and is to be sent all the same.
    """

    def __init__(
        self, journal: Journal, number: int, rewrite: Callable[[], int | None] | None = None
    ) -> None:
        self._journal = journal
        self._number = number
        self._rewrite = rewrite
        self._answer: dict[str, object] = {}
        self.was_sent = False
        """Whether it may have reached the service, and was not refused since."""

    def wait(self, seconds: float) -> None:
        """Take note that it is held back, or was refused for now; it is sent after `seconds`."""
        self.was_sent = False
        state = CreateState.ASKED
        self._journal._change(self._number, state=state.value, **_lease(seconds + _LEASE))

    def send(self) -> None:
        """Take note that it is sent now.

        Raises
        ------
        Superseded
            If another kernel or thread has taken it over.
        """
        if not self._journal._mark_sent(self._number):
            if self._rewrite is None:
                raise Superseded("another kernel or thread is sending the same request")
            self.__exit__(None, None, None)
            self._number = self._rewrite() or _UNWRITTEN
            self.__enter__()
            self._journal._mark_sent(self._number)
        self.was_sent = True

    def answer(self, id_raw_export: int, service_time: datetime | None = None) -> None:
        """Take note of the id that the service has answered, and of when it did, by its clock."""
        self._answer = {
            "id_raw_export": id_raw_export,
            "state": CreateState.CREATED.value,
            "status": IN_PROGRESS,
        }
        self._journal._change(self._number, **self._answer)
        if service_time is not None:
            self._journal._correct(self._number, service_time.timestamp())

    def __enter__(self) -> PendingCreate:
        _under_way.add((self._journal._service, self._number))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is not None:
                self._end(error)
        finally:
            _under_way.discard((self._journal._service, self._number))

    def _end(self, error: BaseException) -> None:
        if self._answer:  # interrupted while that was written
            self._journal._change(self._number, **self._answer)
            return
        if isinstance(error, Superseded):
            return
        if isinstance(error, ApiError):
            state = CreateState.REFUSED
        elif isinstance(error, CreateUnconfirmed):
            state = CreateState.UNCONFIRMED
        elif isinstance(error, ConnectionFailed) or not self.was_sent:
            state = CreateState.NOT_SENT
        else:
            state = CreateState.UNCONFIRMED
        detail = str(error) or type(error).__name__
        self._journal._change(self._number, state=state.value, detail=detail)


class Journal:
    """The creates of one account at one service; to be shared by threads as one likes.

    Parameters
    ----------
    credentials : Credentials
        The account and the service; the key is not kept.
    lock_timeout : float
        Seconds to wait for another kernel that writes.
    """

    def __init__(self, credentials: Credentials, lock_timeout: float = 5.0) -> None:
        self._lock_timeout = lock_timeout
        self._service = credentials.base_url
        self._key = credentials.base_url, credentials.api_user_id

    def record_create(
        self, request: ExportRequest, asked_at: datetime | None = None
    ) -> PendingCreate:
        """Write down a create that is about to be sent.

        Parameters
        ----------
        request : ExportRequest
            One without errors.
        asked_at : datetime.datetime, optional
            When that is, by the service's clock; by default, by this machine's.

        Returns
        -------
        PendingCreate
            Notes what becomes of it.
        """

        def write() -> int | None:
            return self._insert(request, asked_at=asked_at)

        return PendingCreate(self, write() or _UNWRITTEN, write)

    def claim_create(
        self, request: ExportRequest, after: int, asked_at: datetime | None = None
    ) -> PendingCreate | None:
        """Write down a create, unless another kernel or thread was faster.

        Parameters
        ----------
        request : ExportRequest
            One without errors.
        after : int
            The highest number of the `find_same` creates of the same request, 0 without any.
        asked_at : datetime.datetime, optional
            As for `record_create`.

        Returns
        -------
        PendingCreate or None
            As `record_create`; None if the same request was written down since.
        """
        number = self._insert(request, after, asked_at)
        return None if number is None else PendingCreate(self, number)

    def _insert(
        self,
        request: ExportRequest,
        after: int = sys.maxsize,
        asked_at: datetime | None = None,
    ) -> int | None:
        """Write the row of a create, unless a newer one of the same request is there; its number.

        One transaction that looks and writes: of two kernels that find nothing to reuse at the same
        moment one adds its row, and the other sees that row in place of adding its own.
        """

        def write(connection: sqlite3.Connection) -> int | None:
            connection.execute("BEGIN IMMEDIATE")
            same = (*self._key, _digest(request))
            where = "service = ? AND account = ? AND digest = ?"
            newest = f"SELECT max(number) FROM creates WHERE {where}"  # noqa: S608
            (last,) = connection.execute(newest, same).fetchone()
            if (last or 0) > after:
                connection.execute("ROLLBACK")
                return None
            # what was never made is only of interest until it is tried again
            rows = connection.execute(f"SELECT * FROM creates WHERE {where}", same)  # noqa: S608
            over = [row["number"] for row in rows if _is_void(row)]
            connection.executemany("DELETE FROM creates WHERE number = ?", [(one,) for one in over])
            number = self._add(
                connection,
                request,
                state=CreateState.ASKED.value,
                asked_at=(asked_at or clock.now()).timestamp(),
                asked_clock=clock.monotonic(),
                **_lease(_LEASE),
            )
            connection.execute("COMMIT")
            return number

        unwritten: int | None = _UNWRITTEN
        return _use(self._service, write, unwritten, self._lock_timeout)

    def _mark_sent(self, number: int) -> bool:
        """Turn a create that is asked for into one that is sent; whether it was still there."""

        def write(connection: sqlite3.Connection) -> bool:
            lease = _lease(_LEASE)
            cursor = connection.execute(
                "UPDATE creates SET state = ?, lease_until = ?, lease_clock = ?, updated_at = ?"
                " WHERE number = ? AND state = ?",
                (
                    CreateState.SENT.value,
                    lease["lease_until"],
                    lease["lease_clock"],
                    clock.now().timestamp(),
                    number,
                    CreateState.ASKED.value,
                ),
            )
            return cursor.rowcount > 0

        return number == _UNWRITTEN or _use(self._service, write, True, self._lock_timeout)

    def _correct(self, number: int, service_time: float) -> None:
        """Take the service's time for that of a create, where this machine was ahead of it."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE creates SET asked_at = ? WHERE number = ? AND asked_at > ?",
                (service_time, number, service_time + _CLOCKS_DIFFER),
            )

        if number != _UNWRITTEN:
            _use(self._service, write, None, self._lock_timeout)

    def mark_not_found(self, id_raw_export: int) -> None:
        """Take note that the service knows an export no longer."""
        self._update("id_raw_export", id_raw_export, state=CreateState.NOT_FOUND.value)

    def update_status(
        self,
        id_raw_export: int,
        status: str,
        request: ExportRequest | None = None,
        created_at: datetime | None = None,
        *,
        file_count: int | None = None,
        files_until: datetime | None = None,
    ) -> None:
        """Take note of what the service says of an export.

        Parameters
        ----------
        id_raw_export : int
            The service's id of it.
        status : str
            The service's own word.
        request : ExportRequest, optional
            What it asks for. With this and `created_at` an export is written down that is not
            known, as the journal could not be used when it was made.
        created_at : datetime.datetime, optional
            When it was made.
        file_count : int, optional
            How many files it has, once the service has made them.
        files_until : datetime.datetime, optional
            When the service deletes the first of them.
        """
        heard: dict[str, object] = {
            "status": status,
            "file_count": file_count,
            "files_until": files_until.timestamp() if files_until else None,
        }

        def write(connection: sqlite3.Connection) -> None:
            state = CreateState.CREATED.value
            known = self._set(connection, "id_raw_export", id_raw_export, state=state, **heard)
            if not known and request is not None and created_at is not None:
                asked_at = created_at.timestamp()
                self._add(
                    connection,
                    request,
                    id_raw_export=id_raw_export,
                    asked_at=asked_at,
                    **heard,
                )

        _use(self._service, write, None, self._lock_timeout)

    def record_rows(self, id_raw_export: int, count: int) -> None:
        """Record how many rows of an export were loaded; the service was not asked for that."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE creates SET row_count = ?"
                " WHERE service = ? AND account = ? AND id_raw_export = ?",
                (count, *self._key, id_raw_export),
            )

        _use(self._service, write, None, self._lock_timeout)

    def find(self, id_raw_export: int) -> JournalEntry | None:
        """What is known of an export; None if it was not made here."""
        entries = self._read("id_raw_export = ?", id_raw_export)
        return entries[0] if entries else None

    def find_same(self, request: ExportRequest) -> list[JournalEntry]:
        """The creates of the same request, the newest first.

        One that is `ASKED` or `SENT` is on its way in another kernel or thread at this moment.
        """
        return self._read("digest = ?", _digest(request))

    def _read(self, where: str, value: object) -> list[JournalEntry]:
        def read(connection: sqlite3.Connection) -> list[JournalEntry]:
            rows = connection.execute(
                f"SELECT * FROM creates WHERE service = ? AND account = ? AND {where}"  # noqa: S608
                " ORDER BY number DESC",
                (*self._key, value),
            )
            return list(_readable(rows, _entry))

        return _use(self._service, read, [], self._lock_timeout)

    def _change(self, number: int, **columns: object) -> None:
        if number != _UNWRITTEN:
            self._update("number", number, **columns)

    def _update(self, key: str, value: int, **columns: object) -> None:
        def write(connection: sqlite3.Connection) -> None:
            self._set(connection, key, value, **columns)

        _use(self._service, write, None, self._lock_timeout)

    def _set(self, connection: sqlite3.Connection, key: str, value: int, **columns: object) -> bool:
        """Change a row; whether there is one. Whoever had its id before loses the row."""
        columns["updated_at"] = clock.now().timestamp()
        changes = ", ".join(f"{name} = ?" for name in columns)
        cursor = connection.execute(
            f"UPDATE OR REPLACE creates SET {changes}"  # noqa: S608
            f" WHERE service = ? AND account = ? AND {key} = ?",
            (*columns.values(), *self._key, value),
        )
        return cursor.rowcount > 0

    def _add(
        self, connection: sqlite3.Connection, request: ExportRequest, **columns: object
    ) -> int | None:
        """Add a row, unless another kernel has added one of the same id; its number."""
        row = {
            "service": self._key[0],
            "account": self._key[1],
            "request": json.dumps(dict(request.parameters), ensure_ascii=False),
            "digest": _digest(request),
            "updated_at": clock.now().timestamp(),
            "owner": _owner(),
            "lease_until": 0.0,
            "status": "",
            **columns,
        }
        names, places = ", ".join(row), ", ".join("?" * len(row))
        cursor = connection.execute(
            f"INSERT OR IGNORE INTO creates ({names}) VALUES ({places})",  # noqa: S608
            tuple(row.values()),
        )
        return cursor.lastrowid


def _service_in_use() -> str:
    try:
        return credentials.find().base_url
    except CredentialsMissing:
        return SERVICE_URL


def journal_entries() -> list[JournalEntry]:
    """The creates at the service in use, of all its accounts, the newest first."""

    def read(connection: sqlite3.Connection) -> list[JournalEntry]:
        rows = connection.execute("SELECT * FROM creates ORDER BY number DESC")
        return list(_readable(rows, _entry))

    nothing: list[JournalEntry] = []
    return _use(_service_in_use(), read, nothing)


def journal() -> pd.DataFrame:
    """The exports that were made on this machine, and what became of them.

    Those of the service in use: a sandbox has a journal of its own, which ends with it.

    Returns
    -------
    pandas.DataFrame
        A row a create, the newest first: ``idRawExport`` (missing where the service answered
        none), ``request`` (as a line of a notebook), ``status`` (the service's own word as last
        heard, or `state` where it has said none), ``state`` (what is known here: ``Created``,
        ``Asked``, ``Sent``, ``Unconfirmed``, ``Refused``, ``Not sent``, or ``Not found`` where the
        service knows it no longer), ``detail`` (why), ``created`` and
        ``updated`` (UTC), ``files`` (names of those that were fetched and are kept), ``service``,
        ``account``.
    """
    import pandas as pd

    kinds = {
        "idRawExport": "Int64",
        "request": "str",
        "status": "str",
        "state": "str",
        "detail": "str",
        "created": "datetime64[us, UTC]",
        "updated": "datetime64[us, UTC]",
        "files": "object",
        "service": "str",
        "account": "Int64",
    }
    entries = journal_entries()
    try:
        cache = FileCache(directories.cache_directory(_service_in_use()))
    except OSError:
        cache = None
    facts = list(_readable(entries, lambda entry: _facts(entry, cache)))
    # each with its type from the start: large ids would not survive as floats
    columns = {
        name: pd.Series([row[name] for row in facts], dtype=kind) for name, kind in kinds.items()
    }
    return pd.DataFrame(columns)


def _facts(entry: JournalEntry, cache: FileCache | None) -> dict[str, Any]:
    files: list[str] = []
    if cache is not None and entry.id_raw_export is not None:
        files = cache.names(entry.service, entry.account, entry.id_raw_export)
    return {
        "idRawExport": entry.id_raw_export,
        "request": entry.request.to_magic(line=True),
        "status": entry.status or entry.state.value,
        "state": entry.state.value,
        "detail": entry.detail,
        "created": entry.asked_at,
        "updated": entry.updated_at,
        "files": files,
        "service": entry.service,
        "account": entry.account,
    }


def _digest(request: ExportRequest) -> str:
    return hashlib.sha256(cache_key(request).encode()).hexdigest()


def _readable(rows: Iterable[_Row], read: Callable[[_Row], _Answer]) -> Iterator[_Answer]:
    """What `read` makes of each row; one that is damaged is passed over."""
    for row in rows:
        try:
            yield read(row)
        except Exception as error:  # anything may stand there
            _warn(
                "entry",
                f"an entry of the journal can't be read and is passed over ({printable(error)}). "
                "Exports go on: mt.attach(id) finds the one that it was for",
            )


def _entry(row: sqlite3.Row) -> JournalEntry:
    number = row["id_raw_export"]
    request = ExportRequest(**json.loads(row["request"]))
    closes_at(request)  # fails where it can't have been sent
    asked_at = _utc(row["asked_at"])
    return JournalEntry(
        number=row["number"],
        id_raw_export=None if number is None else int(number),
        state=_state(row),
        status=str(row["status"]),
        request=request,
        asked_at=asked_at,
        updated_at=_utc(row["updated_at"]),
        age=_age(row),
        service=str(row["service"]),
        account=int(row["account"]),
        detail=str(row["detail"]),
        row_count=_count(row["row_count"]),
        file_count=_count(row["file_count"]),
        files_until=None if row["files_until"] is None else _utc(row["files_until"]),
    )


def _count(value: int | None) -> int | None:
    return None if value is None else int(value)


def _state(row: sqlite3.Row) -> CreateState:
    """What is known of a create; of one that is not on its way any more, how it ended."""
    state = CreateState(row["state"])
    if state in (CreateState.ASKED, CreateState.SENT) and not _is_under_way(row):
        return CreateState.NOT_SENT if state is CreateState.ASKED else CreateState.UNCONFIRMED
    return state


def _is_void(row: sqlite3.Row) -> bool:
    """Whether a row is of a create that never reached the service, or was refused."""
    try:
        return _state(row) in (CreateState.NOT_SENT, CreateState.REFUSED)
    except (ValueError, TypeError):  # nothing as it was written
        return False


_RUN = uuid.uuid4().hex


@cache
def _host() -> str:
    """The machine, from one start of it to the next: processes and clocks begin again with it."""
    boot = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{socket.gethostname()}/{boot}"


def _owner() -> str:
    """Who writes: this process, known from a later one that is given the same number."""
    return f"{_host()} {os.getpid()} {_RUN}"


def _lease(seconds: float) -> dict[str, float]:
    """Until when a create may be on its way, by the time of day and by this machine's clock."""
    return {
        "lease_until": clock.now().timestamp() + seconds,
        "lease_clock": clock.monotonic() + seconds,
    }


def _is_under_way(row: sqlite3.Row) -> bool:
    """Whether a create that was asked for may still be sent, or answered.

    Whoever is thought to be gone and is not loses its claim (`PendingCreate.send`), so that a wrong
    answer here never sends a request twice.
    """
    host, process, _ = row["owner"].rsplit(" ", 2)
    if row["owner"] == _owner():
        if (row["service"], row["number"]) in _under_way:
            return True
        # not in its block: about to enter it, or interrupted before
        since = clock.monotonic() - float(row["asked_clock"])
        return 0 <= since < _CLAIM and row["state"] == CreateState.ASKED.value
    if host != _host():
        # by the time of day, which may have been wrong there; none of it is in the future
        now = clock.now().timestamp()
        return bool(row["updated_at"] < now + _CLOCKS_DIFFER and now < row["lease_until"])
    left = float(row["lease_clock"]) - clock.monotonic()
    if not 0 < left < _LONGEST_LEASE:
        return False
    return sys.platform == "win32" or _is_alive(int(process))


def _is_alive(process: int) -> bool:
    if process == os.getpid():
        return False  # an earlier process of the same number
    try:
        os.kill(process, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _age(row: sqlite3.Row) -> timedelta:
    if row["owner"].rsplit(" ", 2)[0] == _host() and row["asked_clock"]:
        return timedelta(seconds=max(0.0, clock.monotonic() - row["asked_clock"]))
    return max(timedelta(), clock.now() - _utc(row["asked_at"]))


def _use(
    service: str,
    work: Callable[[sqlite3.Connection], _Answer],
    default: _Answer,
    lock_timeout: float = 5.0,
) -> _Answer:
    """What `work` gives, done to the journal of a service; `default` where that can't be.

    A journal that is no database any more is set aside, and a new one begun.
    """
    path = Path(_FILE)
    for _ in range(2):
        identity = None
        try:
            path = directories.data_directory(service) / _FILE
            identity = _made(path)
            with closing(_open(path, lock_timeout)) as connection:
                return work(connection)
        except (
            *(sqlite3.Error, OSError),
            *(ValueError, TypeError, LookupError, ArithmeticError),  # nothing as it was written
        ) as error:
            # its subclasses tell of a file that is locked, full or can't be written
            if type(error) is sqlite3.DatabaseError and _set_aside(path, identity):
                continue
            _warn(
                "unusable",
                f"the journal {path} can't be used ({error}). Exports go on without it: "
                "note their idRawExport, and mt.attach(id) finds them",
            )
            break
    return default


def _made(path: Path) -> int:
    """Make sure of the file, which only its user may read; tells one file from another."""
    if not path.exists():
        # not opened where it exists: to close it would end SQLite's own locks in this process
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    return path.stat().st_ino


def _open(path: Path, lock_timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=lock_timeout, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        # text that is none shall cost no more than its row
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version < _VERSION:
            _upgrade(connection)
        elif version > _VERSION:
            raise OSError("a later version of mytracker-nb has written it")
    except BaseException:
        connection.close()
        raise
    return connection


def _upgrade(connection: sqlite3.Connection) -> None:
    """Make the tables, or change those of an earlier version, unless another kernel has."""
    # the mode stays with the file; of two that set it at once one finds the file locked
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    statements = list(_SCHEMA) if version == 0 else []
    for earlier in range(max(1, version), _VERSION):
        statements += _MIGRATIONS[earlier]
    for statement in statements:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {_VERSION}")
    connection.execute("COMMIT")


def _set_aside(path: Path, identity: int | None) -> bool:
    """Rename a corrupt journal, unless another kernel has; whether a new one can be begun."""
    aside = path.with_name(f"{path.name}.corrupt-{datetime.now(timezone.utc):%Y%m%dT%H%M%S%f}")
    try:
        if path.stat().st_ino != identity:
            return True
        # the file itself last: nothing of the old one must be taken for a part of the new one
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    except OSError:
        return False
    _warn(
        "corrupt",
        f"the journal {path} was corrupt; it is kept as {aside.name}, and a new one is begun. "
        "Exports made before are not in it: mt.attach(id) finds them",
    )
    return True


_warned: set[str] = set()


def _warn(kind: str, text: str) -> None:
    """Warn once in the life of the process for each kind of trouble."""
    if kind not in _warned:
        _warned.add(kind)
        # one who makes errors of warnings must not lose an export by it
        with suppress(RuntimeWarning):
            warnings.warn(text, RuntimeWarning, stacklevel=2)
