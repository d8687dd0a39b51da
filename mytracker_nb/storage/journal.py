"""The journal: a record of all creates, which survives the kernel.

It is a SQLite database in the directory of the service (`mytracker_nb.storage.directories`), shared
by all kernels and threads of a user. It stores no key and no links to files. An export never fails
because of the journal: if it can't be used, there is one warning, and exports work without it.

Two kernels that submit the same request at the same moment must not create two exports. A create is
therefore claimed before it is sent (`Journal.claim_create`), here by kernels A and B:

1. Both call `find_same`, and get nothing newer than row 7.
2. A calls ``claim_create(request, after=7)``. In one transaction this finds no newer row of the
   request and adds row 8, *Asked*.
3. B calls ``claim_create(request, after=7)``, finds row 8, and gets None. It searches again and
   sees A's row: it waits.
4. A calls `PendingCreate.send`: row 8 becomes *Sent*, if it is still *Asked*. Then A sends the
   request.
5. The service answers, row 8 becomes *Created* with the id, and B reuses that export.

If A is killed after step 2, nothing was sent: B sees that A's process has ended (or its lease is
over), removes row 8 and claims the create itself. If A was only slow and calls `send` after that,
it finds no row, and raises `Superseded` instead of sending. If A is killed after step 4, the row
becomes *Unconfirmed*: the export may exist, so nobody retries it.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sqlite3
import sys
import threading
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
from mytracker_nb.locks import holding_back_forks
from mytracker_nb.request.parameters import DEFAULT_TIMEZONE, PARAMETERS
from mytracker_nb.request.request import ExportRequest
from mytracker_nb.request.reuse import closes_at
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
    """The state of a create, as this machine knows it; the export has a status of the service."""

    ASKED = "Asked"
    """It will be sent; no byte has been sent yet."""
    SENT = "Sent"
    """It was sent, and the response has not arrived yet."""
    CREATED = "Created"
    """The service has answered with an id."""
    UNCONFIRMED = "Unconfirmed"
    """It was sent, and no response arrived."""
    REFUSED = "Refused"
    NOT_SENT = "Not sent"
    NOT_FOUND = "Not found"
    """The service no longer knows the id."""


_FILE = "journal.sqlite3"
_VERSION = 3
_SCHEMA = (
    # AUTOINCREMENT: numbers are never reused, so a higher one is always newer
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
# The statements from each version to the next; a new file runs all of them.
_MIGRATIONS = {
    # Version 1 had our state and the service's status in one column, where equal words were mixed
    # up. The time of day can jump, so leases get a monotonic clock too.
    1: (
        "ALTER TABLE creates ADD COLUMN state TEXT NOT NULL DEFAULT 'Created'",
        "ALTER TABLE creates ADD COLUMN asked_clock REAL NOT NULL DEFAULT 0",
        "ALTER TABLE creates ADD COLUMN lease_clock REAL NOT NULL DEFAULT 0",
        """UPDATE creates SET status = '',
            state = CASE status WHEN 'Asked' THEN 'Sent' ELSE status END
            WHERE id_raw_export IS NULL OR status = 'Not found'""",
    ),
    # Facts for the list of exports that the service does not report later.
    2: (
        "ALTER TABLE creates ADD COLUMN row_count INTEGER",
        "ALTER TABLE creates ADD COLUMN file_count INTEGER",
        "ALTER TABLE creates ADD COLUMN files_until REAL",
    ),
}
_UNWRITTEN = 0  # the number if there is no row
_LEASE = 90.0  # seconds after which a create without a response is unconfirmed
_LONGEST_LEASE = 2 * 3700.0  # seconds; a wait for a quota extends the lease
_CLAIM = 2.0  # seconds between the row of a create and its call, in this process
_CLOCKS_DIFFER = 30.0  # seconds by which the clocks of two machines may differ

_Answer = TypeVar("_Answer")
_Row = TypeVar("_Row")


def cache_key(request: ExportRequest) -> str:
    """A text that is equal for requests of the same rows and columns.

    The order of columns matters, the order of values in a filter does not. A missing timezone is
    the same as the service's default.
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
    """An entry of the journal: a create.

    Attributes
    ----------
    number : int
        Its row; a later create has a higher number.
    id_raw_export : int or None
        The id of the export; None if the service has not answered with one.
    state : CreateState
        The state of the create, as this machine knows it.
    status : str
        The last status that the service reported; ``""`` if none.
    request : ExportRequest
        The request.
    asked_at, updated_at : datetime.datetime
        When it was submitted, and last changed (UTC).
    age : datetime.timedelta
        The time since it was submitted, by the monotonic clock if possible.
    service : str
        The address of the service.
    account : int
        The API User ID.
    detail : str
        Why it was refused, or is unconfirmed.
    row_count, file_count : int or None
        The number of rows that were loaded, and of files; None if not known.
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
    """Another kernel or thread has claimed a create that was not sent yet."""


# The creates of this process that are inside their ``with`` block, by service and number. A row of
# this process that is not here was interrupted.
_in_progress: set[tuple[str, int]] = set()


class PendingCreate:
    """A create in progress, as a ``with`` block around the call; it writes the outcome.

    There are two steps, so that the journal knows at each moment, however the process ends, whether
    the request was sent. From the claim on the row is *Asked*: nobody else sends the same request
    while the owner is alive. Right before the first byte `send` changes it to *Sent*, if the row
    still exists: another kernel may have claimed it if the owner seemed to be dead. If the block
    ends without an id, its exception decides between *Refused*, *Not sent* and *Unconfirmed*.

    Parameters
    ----------
    journal : Journal
        The journal.
    number : int
        The number of its row.
    rewrite : callable, optional
        Writes the row again if it was removed, for a request that is sent in any case.
    """

    def __init__(
        self, journal: Journal, number: int, rewrite: Callable[[], int | None] | None = None
    ) -> None:
        self._journal = journal
        self._number = number
        self._rewrite = rewrite
        self._answer: dict[str, object] = {}
        self.was_sent = False
        """Whether it may have reached the service, and was not refused."""

    def wait(self, seconds: float) -> None:
        """Record that it will be sent after `seconds`: a rate limit, or a temporary refusal."""
        self.was_sent = False
        state = CreateState.ASKED
        self._journal._change(self._number, state=state.value, **_lease(seconds + _LEASE))

    def send(self) -> None:
        """Record that it is sent now.

        Raises
        ------
        Superseded
            If another kernel or thread has claimed it.
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
        """Record the id that the service answered with, and when, by the clock of the service."""
        self._answer = {
            "id_raw_export": id_raw_export,
            "state": CreateState.CREATED.value,
            "status": IN_PROGRESS,
        }
        self._journal._change(self._number, **self._answer)
        if service_time is not None:
            self._journal._correct(self._number, service_time.timestamp())

    def __enter__(self) -> PendingCreate:
        _in_progress.add((self._journal._service, self._number))
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
            _in_progress.discard((self._journal._service, self._number))

    def _end(self, error: BaseException) -> None:
        if self._answer:  # an interrupt came while it was written
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
    """The creates of one account at one service; threads can share it.

    Parameters
    ----------
    credentials : Credentials
        The account and the service; the key is not stored.
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
        """Record a create that will be sent.

        Parameters
        ----------
        request : ExportRequest
            A valid request.
        asked_at : datetime.datetime, optional
            The time now by the service's clock; by default, by this machine's.

        Returns
        -------
        PendingCreate
            Records the outcome.
        """

        def write() -> int | None:
            return self._insert(request, asked_at=asked_at)

        return PendingCreate(self, write() or _UNWRITTEN, write)

    def claim_create(
        self, request: ExportRequest, after: int, asked_at: datetime | None = None
    ) -> PendingCreate | None:
        """Record a create, unless another kernel or thread has done so meanwhile.

        Parameters
        ----------
        request : ExportRequest
            A valid request.
        after : int
            The highest number that `find_same` returned for the request; 0 if it returned none.
        asked_at : datetime.datetime, optional
            As for `record_create`.

        Returns
        -------
        PendingCreate or None
            As `record_create`; None if there is a newer row of the same request.
        """
        number = self._insert(request, after, asked_at)
        return None if number is None else PendingCreate(self, number)

    def _insert(
        self,
        request: ExportRequest,
        after: int = sys.maxsize,
        asked_at: datetime | None = None,
    ) -> int | None:
        """Add the row of a create, unless there is a newer one of the same request; its number.

        It reads and writes in one transaction: if two kernels find nothing to reuse at the same
        moment, one adds its row, and the other finds that row.
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
            # remove creates that were not sent or were refused: this one replaces them
            rows = connection.execute(f"SELECT * FROM creates WHERE {where}", same)  # noqa: S608
            void = [row["number"] for row in rows if _is_void(row)]
            connection.executemany("DELETE FROM creates WHERE number = ?", [(one,) for one in void])
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
        """Change a row from *Asked* to *Sent*; return whether it was still *Asked*."""

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
        """Use the service's time for a create if the clock of this machine is ahead of it."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE creates SET asked_at = ? WHERE number = ? AND asked_at > ?",
                (service_time, number, service_time + _CLOCKS_DIFFER),
            )

        if number != _UNWRITTEN:
            _use(self._service, write, None, self._lock_timeout)

    def mark_not_found(self, id_raw_export: int) -> None:
        """Record that the service no longer knows an export."""
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
        """Record the status of an export.

        Parameters
        ----------
        id_raw_export : int
            The id of the export.
        status : str
            Its status at the service.
        request : ExportRequest, optional
            Its request. With this and `created_at` an unknown export is added: the journal could
            not be used when it was created.
        created_at : datetime.datetime, optional
            When it was created.
        file_count : int, optional
            How many files it has, once the service has made them.
        files_until : datetime.datetime, optional
            When the service deletes the first of them.
        """
        facts: dict[str, object] = {
            "status": status,
            "file_count": file_count,
            "files_until": files_until.timestamp() if files_until else None,
        }

        def write(connection: sqlite3.Connection) -> None:
            state = CreateState.CREATED.value
            known = self._set(connection, "id_raw_export", id_raw_export, state=state, **facts)
            if not known and request is not None and created_at is not None:
                asked_at = created_at.timestamp()
                self._add(
                    connection,
                    request,
                    id_raw_export=id_raw_export,
                    asked_at=asked_at,
                    **facts,
                )

        _use(self._service, write, None, self._lock_timeout)

    def record_rows(self, id_raw_export: int, count: int) -> None:
        """Record how many rows of an export were loaded, which the service does not report."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE creates SET row_count = ?"
                " WHERE service = ? AND account = ? AND id_raw_export = ?",
                (count, *self._key, id_raw_export),
            )

        _use(self._service, write, None, self._lock_timeout)

    def find(self, id_raw_export: int) -> JournalEntry | None:
        """The entry of an export; None if it was not created on this machine."""
        entries = self._read("id_raw_export = ?", id_raw_export)
        return entries[0] if entries else None

    def find_same(self, request: ExportRequest) -> list[JournalEntry]:
        """The creates of the same request, the newest first.

        If one is `ASKED` or `SENT`, another kernel or thread is sending it at this moment.
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
        """Change a row; return whether there is one. An older row of the same id is replaced."""
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
        """Add a row, unless there is one of the same id; return its number."""
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
        return credentials.service_in_use()
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
    """The exports that were created on this machine, with their status.

    It lists those of the service in use. A sandbox has a journal of its own, deleted with it.

    Returns
    -------
    pandas.DataFrame
        One row per create, the newest first: ``idRawExport`` (missing if the service did not answer
        with one), ``request`` (as a line magic), ``status`` (the last status that the service
        reported, otherwise `state`), ``state`` (``Created``, ``Asked``, ``Sent``, ``Unconfirmed``,
        ``Refused``, ``Not sent``, or ``Not found`` if the service no longer knows it), ``detail``
        (the reason), ``created`` and ``updated`` (UTC), ``files`` (names of the cached files),
        ``service``, ``account``.

    Examples
    --------
    >>> export = mt.export(event="installs", selectors="idDevice, tsEvent",
    ...                    dateFrom="today-7d", dateTo="yesterday").wait()
    >>> mt.journal().loc[0, "status"]
    'Success!'
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
    # set each type from the start: large ids would lose digits as floats
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
    """The result of `read` for each row; damaged rows are skipped."""
    for row in rows:
        try:
            yield read(row)
        except Exception as error:  # a damaged row can have any content
            _warn(
                "entry",
                f"an entry of the journal can't be read and was skipped ({printable(error)}). "
                "Its export is not lost: attach to it with mt.attach(id)",
            )


def _entry(row: sqlite3.Row) -> JournalEntry:
    number = row["id_raw_export"]
    request = ExportRequest(**json.loads(row["request"]))
    closes_at(request)  # raises if the request is not a valid one
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
    """The state of a create, also of one whose process has ended."""
    state = CreateState(row["state"])
    if state in (CreateState.ASKED, CreateState.SENT) and not _is_in_progress(row):
        return CreateState.NOT_SENT if state is CreateState.ASKED else CreateState.UNCONFIRMED
    return state


def _is_void(row: sqlite3.Row) -> bool:
    """Whether a create was not sent, or was refused."""
    try:
        return _state(row) in (CreateState.NOT_SENT, CreateState.REFUSED)
    except (ValueError, TypeError):  # a damaged row
        return False


_RUN = uuid.uuid4().hex


@cache
def _host() -> str:
    """The machine and its boot: process ids and the monotonic clock start again at each boot."""
    boot = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{socket.gethostname()}/{boot}"


def _owner() -> str:
    """The process; the random part distinguishes it from a later one with the same id."""
    return f"{_host()} {os.getpid()} {_RUN}"


def _lease(seconds: float) -> dict[str, float]:
    """When the lease of a create ends, by the time of day and by the monotonic clock."""
    return {
        "lease_until": clock.now().timestamp() + seconds,
        "lease_clock": clock.monotonic() + seconds,
    }


def _is_in_progress(row: sqlite3.Row) -> bool:
    """Whether a create may still be sent or answered by its owner.

    A wrong answer never sends a request twice: an owner that is alive after all has lost its claim,
    which `PendingCreate.send` notices.
    """
    host, process, _ = row["owner"].rsplit(" ", 2)
    if row["owner"] == _owner():
        if (row["service"], row["number"]) in _in_progress:
            return True
        # outside of its block: about to enter it, or interrupted before
        since = clock.monotonic() - float(row["asked_clock"])
        return 0 <= since < _CLAIM and row["state"] == CreateState.ASKED.value
    if host != _host():
        # another machine: by the time of day, unless its clock is far ahead of ours
        now = clock.now().timestamp()
        return bool(row["updated_at"] < now + _CLOCKS_DIFFER and now < row["lease_until"])
    left = float(row["lease_clock"]) - clock.monotonic()
    if not 0 < left < _LONGEST_LEASE:
        return False
    return sys.platform == "win32" or _is_alive(int(process))


def _is_alive(process: int) -> bool:
    if process == os.getpid():
        return False  # an earlier process with the same id
    try:
        os.kill(process, 0)  # only checks whether it exists
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _age(row: sqlite3.Row) -> timedelta:
    if row["owner"].rsplit(" ", 2)[0] == _host() and row["asked_clock"]:
        return timedelta(seconds=max(0.0, clock.monotonic() - row["asked_clock"]))
    return max(timedelta(), clock.now() - _utc(row["asked_at"]))


# SQLite keeps the locks of a file in the memory of the process. A child that is forked while a
# thread has the file open inherits the locks of that thread, and finds it locked for ever.
_open_here = holding_back_forks(threading.Lock())


def _use(
    service: str,
    work: Callable[[sqlite3.Connection], _Answer],
    default: _Answer,
    lock_timeout: float = 5.0,
) -> _Answer:
    """Run `work` on the journal of a service; return `default` if the journal can't be used.

    A corrupt journal is renamed, and a new one is created.
    """
    path = Path(_FILE)
    for _ in range(2):
        identity = None
        try:
            path = directories.data_directory(service) / _FILE
            identity = _create(path)
            with _open_here, closing(_open(path, lock_timeout)) as connection:
                return work(connection)
        except (
            *(sqlite3.Error, OSError),
            *(ValueError, TypeError, LookupError, ArithmeticError),  # damaged rows
        ) as error:
            # subclasses of DatabaseError mean a file that is locked, full or read-only
            if type(error) is sqlite3.DatabaseError and _set_aside(path, identity):
                continue
            _warn(
                "unusable",
                f"the journal {path} can't be used ({error}). Exports work without it: "
                "note their idRawExport, to attach to them with mt.attach(id)",
            )
            break
    return default


def _create(path: Path) -> int:
    """Create the file if missing, readable only for its user; return its inode."""
    if not path.exists():
        # never open an existing file: closing it would release SQLite's locks of this process
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    return path.stat().st_ino


def _open(path: Path, lock_timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=lock_timeout, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        # invalid UTF-8 must damage only its own row
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
    """Create the tables, or migrate those of an earlier version, unless another kernel has."""
    # the mode is stored in the file; if two set it at once, one finds the file locked
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
    """Rename a corrupt journal, unless another kernel has; return whether to create a new one."""
    aside = path.with_name(f"{path.name}.corrupt-{datetime.now(timezone.utc):%Y%m%dT%H%M%S%f}")
    try:
        if path.stat().st_ino != identity:
            return True
        # the database last: a new one must not find the -wal file of the old one
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    except OSError:
        return False
    _warn(
        "corrupt",
        f"the journal {path} was corrupt; it was renamed to {aside.name}, and a new one was "
        "created. Attach to earlier exports with mt.attach(id)",
    )
    return True


_warned: set[str] = set()


def _warn(kind: str, text: str) -> None:
    """Warn once per process for each kind of problem."""
    if kind not in _warned:
        _warned.add(kind)
        # if warnings are errors, they must not end an export
        with suppress(RuntimeWarning):
            warnings.warn(text, RuntimeWarning, stacklevel=2)
