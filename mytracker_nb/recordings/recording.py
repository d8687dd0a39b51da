"""`recording`: records a notebook's exports beside it, and replays them for its readers."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import secrets
import threading
import warnings
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mytracker_nb import __version__, clock
from mytracker_nb.client.export import Export, account_of
from mytracker_nb.client.recording_in_use import recorder_in_use, use_recorder
from mytracker_nb.display.recording_card import RecordingCard
from mytracker_nb.endpoints import SERVICE_URL
from mytracker_nb.errors import CredentialsMissing, FileError, MyTrackerError, NotRecorded
from mytracker_nb.locks import fork_safe
from mytracker_nb.recordings.entry import (
    Entry,
    RecordedRequest,
    file_name,
    find_entry,
    find_top_up,
    not_recorded,
)
from mytracker_nb.recordings.privacy import (
    Pseudonyms,
    key_columns,
    person_column,
    sample,
    scan,
)
from mytracker_nb.recordings.replay import (
    RecordedExport,
    ReplayClient,
    facts_of,
    listed_export,
    rows_of,
    text_of,
)
from mytracker_nb.request.request import ExportRequest
from mytracker_nb.service import credentials
from mytracker_nb.statuses import TOO_LARGE
from mytracker_nb.storage import directories
from mytracker_nb.storage.atomic import AtomicFile, write_atomically
from mytracker_nb.tables.schema import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    import pyarrow as pa

    from mytracker_nb.display.export_table import ListedExport
    from mytracker_nb.tables.raw_data import RawData

__all__ = ["INDEX", "Recording", "RecordingWarning", "key_of", "read_index", "recording"]

INDEX = "recording.json"
"""The file that lists the exports of a recording."""

_FORMAT = 1
_LARGE_FILE, _LARGE_ALL = 20_000_000, 100_000_000  # bytes of a file, of all; git is slow with more
_SMALLER = "record fewer columns or days, or a sample (--sample 5%)"


class RecordingWarning(UserWarning):
    """A recording may have data that should not be shared."""


class _Index:
    """The content of ``recording.json``.

    Attributes
    ----------
    id : str
        The recording's id, by which its key is found.
    entries : dict of str to Entry
        The exports, by `_name_of`.
    plans : list of RecordedRequest
        The requests that were split into several exports.
    """

    def __init__(self, directory: Path) -> None:
        self.id = secrets.token_hex(5)
        self.entries: dict[str, Entry] = {}
        self.plans: list[RecordedRequest] = []
        self.is_new = True
        path = directory / INDEX
        try:
            facts = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise FileError(f"{path}: cannot be read ({error})", file=path) from error
        if not isinstance(facts, dict) or facts.get("format") != _FORMAT:
            raise FileError(f"{path}: not a recording that this version can read", file=path)
        try:
            self.id = re.sub(r"\W", "", str(facts["id"]))  # it is part of a file's name
            entries = [Entry.from_json(one) for one in facts["exports"]]
            self.plans = [RecordedRequest(**one) for one in facts["plans"]]
        except (KeyError, TypeError, ValueError) as error:
            raise FileError(f"{path}: is damaged ({error!r})", file=path) from error
        for entry in entries:
            if entry.file and not re.fullmatch(r"[\w-]+\.parquet", entry.file):
                raise FileError(f"{path}: names a file outside of its directory", file=path)
            self.entries[_name_of(entry)] = entry
        self.is_new = False

    def text(self) -> str:
        """The index as JSON, sorted, so that the same content gives the same text."""
        ordered = sorted(self.entries.values(), key=_name_of)
        facts = {
            "format": _FORMAT,
            "id": self.id,
            "written_by": f"mytracker-nb {__version__}",
            "exports": [entry.to_json() for entry in ordered],
            "plans": [
                {"parameters": one.parameters, "written": one.written, "read_at": one.read_at}
                for one in self.plans
            ],
        }
        return json.dumps(facts, indent=1, ensure_ascii=False) + "\n"


def read_index(directory: Path) -> dict[str, Entry]:
    """The exports of a recording.

    Raises
    ------
    FileError
        If the index can't be read.
    """
    return _Index(directory).entries


def key_of(directory: Path) -> Pseudonyms | None:
    """The pseudonyms of a recording; None if its key is not on this machine."""
    path = _key_path(_Index(directory).id)
    try:
        return Pseudonyms(bytes.fromhex(path.read_text()))
    except (OSError, ValueError):
        return None


def _key_path(recording_id: str) -> Path:
    """The path of a recording's key: in the user's data directory, not in the recording."""
    directory = directories.data_directory(SERVICE_URL) / "recordings"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory / f"{recording_id}.key"


@contextmanager
def _in_data_directory() -> Iterator[None]:
    """Raise an error with the next step if the user's data directory can't be written to."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise MyTrackerError(
            f"the key of the pseudonyms can't be stored ({error}). Set MYTRACKER_NB_DATA_DIR to a "
            "writable directory"
        ) from error


def _name_of(entry: Entry) -> str:
    """The name of an entry in the index: that of its file, also if it has no rows and no file."""
    return entry.file or file_name(entry.request.request)


class Recording:
    """A directory with the exports of a notebook; created by `recording`.

    Attributes
    ----------
    directory : Path
        The directory.
    is_replayed : bool
        Whether exports are read from it, and no requests are sent.
    refresh : bool
        Whether every export is created again while recording, instead of reused.

    Notes
    -----
    Several threads of a plan record at the same time: `_lock` guards the index. Several kernels can
    use the same directory: `_changing` locks a file, reads the index again and writes it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        is_replayed: bool,
        refresh: bool = False,
        keep: Iterable[str] = (),
        plain: bool = False,
        drop: Iterable[str] = (),
        share: float = 1.0,
    ) -> None:
        self.directory = directory
        self.is_replayed = is_replayed
        self.refresh = refresh
        self._keep = frozenset(keep)
        self._is_plain = plain
        self._drop = tuple(drop)
        self._share = share
        # a plan records on several threads
        self._lock = fork_safe(threading.RLock())
        self._used: set[str] = set()
        self._pending: set[int] = set()
        self._index = _Index(directory)
        self._pseudonyms: Pseudonyms | None = None
        if is_replayed and self._index.is_new:
            raise NotRecorded(
                f"{directory}: no recording to replay, and no account to record with. "
                "Log in with %mytracker_login, or check the path"
            )
        if not is_replayed:
            directory.mkdir(parents=True, exist_ok=True)
            with self._changing():  # writes the index, and with it the id by which its key is found
                self._open_key()

    # The interface for exports, `mytracker_nb.client.recording_in_use.Recorder`.

    def client(self) -> ReplayClient | None:
        """The client that reads exports from the recording; None while recording."""
        if not self.is_replayed:
            return None
        entries = self._index.entries.values()
        return ReplayClient(
            self._find,
            self._attach,
            is_sandbox=any(entry.is_sandbox for entry in entries),
            recorded_at=max(map(_recorded_at, entries), default=None),
        )

    def resolve(self, request: ExportRequest) -> ExportRequest:
        """Record the request of a plan; in a replay, return it with its dates as recorded."""
        if not self.is_replayed:
            with self._changing():
                plans = [one for one in self._index.plans if one.match(request) is None]
                self._index.plans = [*plans, RecordedRequest.of(request)]
            return request
        for one in reversed(self._index.plans):
            if (then := one.match(request)) is not None:
                return then
        return request

    def record(self, export: Export, fetch: Callable[[], RawData]) -> RawData:
        """Record the rows of an export, unless they are already recorded.

        Parameters
        ----------
        export : Export
            An export that succeeded.
        fetch : callable
            Returns the rows from the service's files.

        Returns
        -------
        RawData
            The rows as recorded, so that the author sees what readers will see.

        Raises
        ------
        MyTrackerError
            If its request is not known, or has no column that `sample` needs.
        FileError
            If the recording can't be written.
        """
        if self.is_replayed:
            raise NotRecorded(f"the recording has no export {export.id_raw_export}")
        if export.request is None:
            raise MyTrackerError(
                f"export {export.id_raw_export}: its request is not known, so it can't be "
                "recorded. Request it with mt.export(...)"
            )
        entry = self._recorded_entry(export)
        if entry is None:
            table = fetch().to_arrow()  # without the lock, as a plan fetches several at once
            with self._lock:
                entry = self._write(export, export.request, table)
        self._used.add(_name_of(entry))
        return rows_of(self.directory, entry)

    def record_failure(self, export: Export) -> None:
        """Record the error of an export without rows, so that readers see the same."""
        # only an export that is too large: after other failures, the next run may succeed
        if self.is_replayed or export.request is None or export.status != TOO_LARGE:
            return
        entry = Entry(
            RecordedRequest.of(export.request),
            export.id_raw_export,
            _text(export.created_at),
            _text(clock.now()),
            export.status,
            export.error_message,
            is_sandbox=export.card().is_sandbox,
        )
        self._replace(entry, export.request)
        self._used.add(_name_of(entry))

    def exports(self) -> list[ListedExport] | None:
        """The recorded exports, the newest first; None while recording."""
        if not self.is_replayed:
            return None
        entries = sorted(self._index.entries.values(), key=_recorded_at, reverse=True)
        return [listed_export(entry) for entry in entries]

    def journal(self) -> pd.DataFrame | None:
        """The recorded exports as a DataFrame, the newest first; None while recording."""
        if not self.is_replayed:
            return None
        import pandas as pd

        entries = sorted(self._index.entries.values(), key=_recorded_at, reverse=True)
        rows = [
            (
                entry.id_raw_export,
                entry.request.request.to_magic(line=True),
                entry.status,
                text_of(entry),
                pd.Timestamp(entry.created_at) if entry.created_at else pd.NaT,
                pd.Timestamp(entry.recorded_at),
                [entry.file] if entry.file else [],
                entry.rows,
                entry.is_sandbox,
            )
            for entry in entries
        ]
        names = ["idRawExport", "request", "status", "detail", "created", "recorded", "files"]
        return pd.DataFrame(rows, columns=[*names, "rows", "sandbox"])

    # The interface for users.

    @property
    def unused(self) -> tuple[str, ...]:
        """The names of the entries that no cell has used since the recording was opened."""
        return tuple(sorted(set(self._index.entries) - self._used))

    def prune(self) -> tuple[str, ...]:
        """Delete the entries that no cell has used.

        Returns
        -------
        tuple of str
            Their names.

        Raises
        ------
        MyTrackerError
            If no cell has used any entry, so the notebook was not run; or in a replay.
        """
        self._refuse_replay("prune")
        with self._changing():
            unused = self.unused
            if unused and not self._used:
                raise MyTrackerError(
                    "no cell has used the recording yet, so all of it would be deleted. "
                    "Run the notebook first, then prune"
                )
            for name in unused:
                del self._index.entries[name]
        self._sweep()
        return unused

    def stop(self) -> None:
        """Stop recording or replaying."""
        if recorder_in_use() is self:
            use_recorder(None)

    def card(self) -> RecordingCard:
        """The recording as a card."""
        with self._lock:
            entries = list(self._index.entries.values())
            moments = [_recorded_at(entry) for entry in entries]
            return RecordingCard(
                directory=str(self.directory),
                is_replayed=self.is_replayed,
                is_sandbox=any(entry.is_sandbox for entry in entries),
                exports=len(entries),
                rows=sum(entry.rows for entry in entries),
                size=sum(entry.size for entry in entries),
                first=min(moments, default=None),
                last=max(moments, default=None),
                facts=_facts_of_all(entries),
                unused=() if self.is_replayed else self.unused,
                findings=tuple(_findings(entries)),
            )

    def __repr__(self) -> str:
        state = "replayed" if self.is_replayed else "recorded"
        return f"<Recording {self.directory}: {len(self._index.entries)} exports, {state}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return self.card()._repr_mimebundle_(include, exclude)

    # Replaying.

    def _find(self, request: ExportRequest) -> Export:
        found = find_entry(self._index.entries, request)
        if found is None:
            raise not_recorded(self._index.entries, request, f"the recording {self.directory}")
        return self._replayed(*found)

    def _find_late(self, request: ExportRequest, *, on_wait: object = None) -> Export:
        """The recorded export of late rows: it ended at the last full hour of the recording."""
        found = find_top_up(self._index.entries, request)
        if found is None:
            raise not_recorded(self._index.entries, request, f"the recording {self.directory}")
        return self._replayed(found, found.request.request)

    def _attach(self, number: int) -> Export:
        for entry in self._index.entries.values():
            if entry.id_raw_export == number:
                return self._replayed(entry, entry.request.request)
        known = ", ".join(str(entry.id_raw_export) for entry in self._index.entries.values())
        raise NotRecorded(
            f"the recording {self.directory} has no export {number}; it has {known or 'none'}"
        )

    def _replayed(self, entry: Entry, request: ExportRequest) -> Export:
        self._used.add(_name_of(entry))
        now = max(map(_recorded_at, self._index.entries.values()))
        return RecordedExport(self.directory, entry, request, self._find_late, now)

    def _refuse_replay(self, what: str) -> None:
        if self.is_replayed:
            raise MyTrackerError(
                f"{what}: not possible in a replay, which does not change the recording"
            )

    # Recording.

    def _recorded_entry(self, export: Export) -> Entry | None:
        """The entry of this export, if it was recorded with the present options."""
        assert export.request is not None
        for entry in list(self._index.entries.values()):
            if (
                entry.file
                and entry.id_raw_export == export.id_raw_export
                and entry.origin == self._origin(export)
                and entry.request.match(export.request) is not None
                and self._is_current(entry, export.request)
                and (self.directory / entry.file).exists()
            ):
                return entry
        return None

    def _origin(self, export: Export) -> str:
        """A pseudonym of the account of an export, which only the owner of the key can verify."""
        service, account = account_of(export)
        return self._key.of(f"{service} {account}")

    def _is_current(self, entry: Entry, request: ExportRequest) -> bool:
        selectors = request.parameters["selectors"]
        columns, hidden, dropped = self._columns(selectors)
        return (
            (entry.columns, entry.pseudonyms, entry.dropped) == (columns, hidden, dropped)
            and entry.sample == self._share
            and entry.key in ("", self._key.fingerprint)
        )

    def _columns(
        self, selectors: Iterable[str]
    ) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """The columns to record, those of them to replace by pseudonyms, and those to drop."""
        dropped = tuple(name for name in selectors if name in self._drop)
        columns = tuple(name for name in selectors if name not in self._drop)
        plain = columns if self._is_plain else self._keep
        hidden = tuple(name for name in key_columns(columns) if name not in plain)
        return columns, hidden, dropped

    def _write(self, export: Export, request: ExportRequest, table: pa.Table) -> Entry:
        import pyarrow as pa

        columns, hidden, dropped = self._columns(request.parameters["selectors"])
        if not columns:
            raise MyTrackerError(
                f"export {export.id_raw_export}: --drop leaves no column to record. Drop fewer"
            )
        person = person_column(table.column_names) if self._share < 1 else ""
        if person:
            table = sample(table, self._share, self._key)
        table = table.select(list(columns))
        as_text = tuple(
            one.name
            for one in schema(columns)
            if table.schema.field(one.name).type == pa.string() and one.type != pa.string()
        )
        for name in hidden:
            index = table.column_names.index(name)
            table = table.set_column(
                index, table.schema.field(name), self._key.column(table.column(name))
            )
        found = tuple(scan(table, passed=hidden))
        name = file_name(request)
        content = _parquet(table)
        self._write_file(name, content)
        entry = Entry(
            RecordedRequest.of(request),
            export.id_raw_export,
            _text(export.created_at),
            _text(clock.now()),
            export.status,
            is_sandbox=export.card().is_sandbox,
            origin=self._origin(export),
            file=name,
            rows=len(table),
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            columns=columns,
            as_text=as_text,
            pseudonyms=hidden,
            key=self._key.fingerprint if hidden or person else "",
            dropped=dropped,
            sample=self._share,
            person=person,
            found=found,
        )
        self._replace(entry, request)
        self._warn_of(entry)
        note = "; ".join(filter(None, [f"recorded in {self.directory / name}", text_of(entry)]))
        export.notes = (*export.notes, note)
        return entry

    def _write_file(self, name: str, content: bytes) -> None:
        path = self.directory / name
        try:
            file = AtomicFile(path)
            try:
                file.write(content)
                file.commit(durable=True)
            finally:
                file.discard()
        except OSError as error:
            raise _unwritable(path, error) from error

    def _replace(self, entry: Entry, request: ExportRequest) -> None:
        """Add an entry; delete those of the same request, which it replaces."""
        with self._changing():
            for name, other in list(self._index.entries.items()):
                is_same = other.request.match(request) is not None
                # a failure does not replace rows that were recorded before
                if is_same and (entry.has_rows or not other.has_rows or name == _name_of(entry)):
                    del self._index.entries[name]
            self._index.entries[_name_of(entry)] = entry
        self._sweep()

    def _warn_of(self, entry: Entry) -> None:
        plain = [name for name in key_columns(entry.columns) if name not in entry.pseudonyms]
        total = sum(one.size for one in self._index.entries.values())
        texts = []
        if plain:
            texts.append(f"has plain ids: {', '.join(plain)}")
        if entry.size > _LARGE_FILE:
            texts.append(f"has {entry.size / 1e6:.0f} MB, which git handles badly; {_SMALLER}")
        texts += [f"{column}: {count} {what}" for column, what, count in entry.found]
        warned = [f"{self.directory / entry.file}: {text}" for text in texts]
        if total > _LARGE_ALL:
            warned.append(f"{self.directory}: has {total / 1e6:.0f} MB in total; {_SMALLER}")
        for text in warned:
            warnings.warn(text, RecordingWarning, stacklevel=2)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Change the index: lock it, read it again, and write it after the ``with`` block."""
        import filelock

        name = hashlib.sha256(str(self.directory.resolve()).encode()).hexdigest()[:16]
        # always in this order: a thread that has locked the file may need `_lock`, too
        with self._lock:
            with _in_data_directory():
                lock = filelock.FileLock(_key_path(name).with_suffix(".lock")).acquire()
            with lock:
                fresh = _Index(self.directory)
                if not fresh.is_new:
                    self._index = fresh
                before = "" if fresh.is_new else fresh.text()
                yield
                if self._index.text() == before:
                    return
                try:
                    write_atomically(self.directory / INDEX, self._index.text())
                except OSError as error:
                    raise _unwritable(self.directory / INDEX, error) from error

    def _sweep(self) -> None:
        """Delete the files of entries that no longer exist."""
        named = {entry.file for entry in self._index.entries.values()}
        for path in self.directory.glob("*_????????.parquet"):
            if path.name not in named:
                path.unlink(missing_ok=True)

    @property
    def _key(self) -> Pseudonyms:
        assert self._pseudonyms is not None
        return self._pseudonyms

    def _open_key(self) -> None:
        """Read the key, which is stored apart from the recording, or create one."""
        with _in_data_directory():
            path = _key_path(self._index.id)
            try:
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
                with os.fdopen(os.open(path, flags, 0o600), "w") as file:
                    file.write(secrets.token_hex(32))
            except FileExistsError:
                pass
            self._pseudonyms = Pseudonyms(bytes.fromhex(path.read_text()))
        others = {entry.key for entry in self._index.entries.values()} - {"", self._key.fingerprint}
        if others:
            warnings.warn(
                f"{self.directory}: was recorded with a key that is not on this machine. Its ids "
                "can't be joined with those of new exports: run all cells with --refresh, then "
                "--prune",
                RecordingWarning,
                stacklevel=3,
            )


def _parquet(table: pa.Table) -> bytes:
    import io

    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def _facts_of_all(entries: Iterable[Entry]) -> tuple[str, ...]:
    """How the rows of all exports differ from those of the service."""
    facts = [fact for entry in entries for fact in facts_of(entry)]
    values: dict[str, dict[str, None]] = {}
    for fact in facts:
        values.setdefault(fact.what, {}).update(dict.fromkeys(fact.columns))
    return tuple(" ".join(filter(None, [what, ", ".join(names)])) for what, names in values.items())


def _findings(entries: Iterable[Entry]) -> Iterator[str]:
    for entry in entries:
        plain = [name for name in key_columns(entry.columns) if name not in entry.pseudonyms]
        if plain:
            yield f"{entry.file}: plain ids in {', '.join(plain)}"
        for column, what, count in entry.found:
            yield f"{entry.file}: {count} {what} in {column}"


def _recorded_at(entry: Entry) -> datetime:
    return datetime.fromisoformat(entry.recorded_at)


def _text(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""


def _unwritable(path: Path, error: OSError) -> FileError:
    return FileError(f"{path}: cannot be written ({error.strerror or error})", file=path)


def recording(
    directory: str | os.PathLike[str] | None = None,
    *,
    replay: bool | None = None,
    refresh: bool = False,
    keep: str | Iterable[str] = (),
    plain: bool = False,
    drop: str | Iterable[str] = (),
    sample: str | float | None = None,
) -> Recording:
    """Record the exports of a notebook in a directory beside it, or load them from there.

    With an account, each export is recorded from now on when its rows are loaded, and its
    DataFrames are made from the recording, so that the author sees what readers will see. Without
    an account, exports are loaded from the recording, and nothing is sent.

    Parameters
    ----------
    directory : path, optional
        The directory of the recording. None returns the recording in use.
    replay : bool, optional
        Whether to load exports from the recording; by default only without an account.
    refresh : bool
        Whether to create every export again while recording, instead of reusing it.
    keep : str or iterable of str
        Columns of ids to record as they are, without pseudonyms.
    plain : bool
        Whether to record all ids as they are.
    drop : str or iterable of str
        Columns not to record.
    sample : str or float, optional
        The share of devices (or profiles, or users) to record, such as ``"5%"`` or ``0.05``: the
        same ones in all exports.

    Returns
    -------
    Recording
        It is shown as a card; ``.prune()`` deletes exports that no cell has used, ``.stop()`` ends
        it.

    Raises
    ------
    NotRecorded
        If there is no recording to replay.
    MyTrackerError
        If an option is invalid, or no directory is given and no recording is in use.
    FileError
        If the recording can't be read or written.

    Examples
    --------
    >>> recording = mt.recording("data")
    >>> export = mt.export(event="installs", selectors="idDevice, tsEvent",
    ...                    dateFrom="today-7d", dateTo="yesterday")
    >>> frame = export.to_pandas()
    >>> recording.stop()
    """
    if directory is None:
        current = recorder_in_use()
        if not isinstance(current, Recording):
            raise MyTrackerError(
                "no recording is in use. Give its directory: %mytracker_recording data/"
            )
        return current
    if replay is None:
        replay = not _has_account()
    if replay and refresh:
        raise MyTrackerError("--refresh needs an account, and can't be used with --replay")
    opened = Recording(
        Path(directory),
        is_replayed=replay,
        refresh=refresh,
        keep=_names(keep),
        plain=plain,
        drop=_names(drop),
        share=_share(sample),
    )
    use_recorder(opened)
    return opened


def _has_account() -> bool:
    try:
        credentials.find()
    except CredentialsMissing:
        return False
    return True


def _names(given: str | Iterable[str]) -> tuple[str, ...]:
    names = re.split(r"[,\s]+", given) if isinstance(given, str) else given
    return tuple(filter(None, names))


def _share(given: str | float | None) -> float:
    """The share of people, from 0 to 1."""
    if given is None:
        return 1.0
    text = str(given).strip()
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = math.nan
    if not 0 < share <= 1:
        raise MyTrackerError(f"sample: {given!r} is not a share. Use one such as 5% or 0.05")
    return share
