"""``_manifest.json``: the files that belong to a dataset, and as of when each is complete.

A dataset is a set of slices. A slice is one export: of a window of event time, and of the rows that
appeared in the system between two seconds (`mytracker_nb.plans.coverage`). The manifest lists the
request and the slices with their files. It is replaced atomically, after the files of a slice have
been moved into the directory, so the listed files are a consistent dataset at any moment. Files of
a killed process are not listed, and the next process that gets the lock removes them.

Format 2::

    {"format": 2,
     "id": "5f0c...",                   part of the name of each file of the dataset
     "source": {"service": ..., "account": ..., "partition_by": null, "params": null},
     "request": {...},                  the parameters that all exports share
     "availableUntil": 1795640399,      the last second of availability of the latest update
     "completeAsOf": "2026-11-26T...",  as of when all windows are complete; null: not complete
     "parts": [{"file": "2026-11-01_...parquet", "rows": 5230, "sha256": "...",
                "idRawExport": 4, "createdAt": "...", "request": {...},
                "availableAfter": null, "availableUntil": 1795640399}, ...]}

A slice without rows has one part, whose file is null.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mytracker_nb.client.export import Export
from mytracker_nb.errors import FileError, WaitInterrupted, printable
from mytracker_nb.plans.coverage import (
    Update,
    complete_windows,
    continues,
    overlap,
    plan_update,
    replaces,
)
from mytracker_nb.plans.splitting import (
    Piece,
    filter_groups,
    full_window,
    split_axis,
    split_request,
)
from mytracker_nb.request.availability import Availability, is_bounded, known_until, of_request
from mytracker_nb.request.request import ExportRequest
from mytracker_nb.storage.atomic import PART, write_atomically
from mytracker_nb.storage.file_lock import locked
from mytracker_nb.storage.journal import cache_key
from mytracker_nb.tables.dataset import FORMAT, MANIFEST, PARTIAL, unwritable
from mytracker_nb.tables.parquet_writer import UNFINISHED, ParquetFiles
from mytracker_nb.tables.schema import kind
from mytracker_nb.tables.text_columns import mixed_columns, rewrite

__all__ = ["STEP", "Manifest", "Part", "locked_directory", "parts_in", "times_in"]

_BLOCK = 1 << 20
STEP = 3600
"""The least number of seconds between two updates. A second run within them uses the same
``availableUntil``: after an interrupt it finds its exports again, otherwise it exports nothing."""


@dataclass(frozen=True)
class Part:
    """One file of a slice, or the only part of a slice without rows.

    Attributes
    ----------
    file : str or None
        Its path in the directory, with forward slashes.
    piece : Piece
        The slice that it belongs to; a slice can have several files.
    id_raw_export : int or None
        The export that the rows come from; None if there are several.
    rows : int
        The number of rows.
    sha256 : str or None
        The file's SHA-256, in hexadecimal digits.
    created_at : datetime.datetime or None
        When the export was created; None if it is not known.
    """

    file: str | None
    piece: Piece
    id_raw_export: int | None
    rows: int
    sha256: str | None
    created_at: datetime | None


class Manifest:
    """The manifest of a dataset; use it only while you hold the lock of the directory.

    Parameters
    ----------
    directory : path
        The directory of the files; it exists.
    request : ExportRequest
        The request of the slices; its interval can differ from theirs.
    source : mapping
        What the slices share besides: the service, the account, the options of their files.

    Attributes
    ----------
    directory : Path
        As above.
    parts : list of Part
        The files of the dataset.
    until : int or None
        The last second of availability (Unix time) to export; None before `begin`.

    Raises
    ------
    FileError
        If the directory holds anything but a dataset of this request.
    """

    def __init__(
        self,
        directory: Path,
        request: ExportRequest,
        source: Mapping[str, str | int | list[str] | None],
    ) -> None:
        self.directory = directory
        self.parts: list[Part] = []
        self.until: int | None = None
        self._id = secrets.token_hex(4)
        self._request = request
        self._common = {"source": dict(source), "request": _common(request)}
        self._version: tuple[int, int] | None = None
        self._lost: set[Piece] = set()
        self._held_back: dict[Piece, tuple[list[Part], Path]] = {}
        self._to_remove: set[str] = set()
        self._text_columns: set[str] = set()
        try:
            self._read()
            self._sweep()
            self._find_lost()
        except OSError as error:
            raise self._unwritable(error) from error

    def begin(self, now: float, *, fresh: bool = False) -> int:
        """Choose the last second of availability for this update, and write it to the file.

        Parameters
        ----------
        now : float
            The current time, in Unix seconds.
        fresh : bool
            Whether to choose the newest possible second, even within `STEP` of the last update.

        Returns
        -------
        int
            ``availabilityTsTo`` of the request, if it has one; otherwise the newest second that can
            be exported, or that of the last update if it is less than an hour older (`STEP`).
        """
        newest = known_until(now)
        if is_bounded(self._request):
            self.until = of_request(self._request).until
        elif self.until is None or fresh or not 0 <= newest - self.until < STEP:
            # This also replaces a second in the future, which the last update chose by a clock
            # that was ahead: the service accepts none that it has not reached. Windows that are
            # complete as of that second stay so.
            self.until = newest
        assert self.until is not None
        try:
            self._write()
        except OSError as error:
            raise self._unwritable(error) from error
        return self.until

    def plan_update(self, every: int | None) -> Update:
        """What to export so that all windows are complete as of `until`."""
        assert self.until is not None
        intact, lost = self._intact_pieces(), sorted(self._lost, key=lambda piece: piece.window)
        return plan_update(self._request, every, intact, lost, self.until)

    def _intact_pieces(self) -> set[Piece]:
        return {part.piece for part in self.parts} - self._lost

    @property
    def notes(self) -> list[str]:
        """Notes on the dataset, for the card."""
        legacy = sum(piece.availability.until is None for piece in self._lost)
        damaged = len(self._lost) - legacy
        notes = []
        if legacy:
            notes.append(
                f"exports of an earlier version of mytracker-nb are fetched again ({legacy}): it "
                "did not record as of when they are complete"
            )
        if damaged:
            notes.append(f"exports are fetched again ({damaged}): a file is missing or damaged")
        return notes

    @property
    def type_notes(self) -> list[str]:
        """Notes on columns that have become text in this update, for the card."""
        return [
            f"{name}: the column is now text in all files, as a new cell does not fit its type"
            # of these only the value is known, not how the service wrote it
            + ("; earlier numbers have no trailing zeros (1.50 is 1.5)" * (kind(name) == "number"))
            for name in sorted(self._text_columns)
        ]

    def staging_dir(self) -> Path:
        """A new directory to write files in, which readers ignore."""
        try:
            return Path(tempfile.mkdtemp(prefix=PARTIAL, dir=self.directory))
        except OSError as error:
            raise self._unwritable(error) from error

    def remove_staging(self) -> None:
        """Remove all directories of `staging_dir`, which no process writes to any more."""
        for path in self.directory.glob(f"{PARTIAL}*"):
            shutil.rmtree(path, ignore_errors=True)

    def add(self, parts: list[Part], staging: Path) -> None:
        """Add a slice; it replaces lost slices that it overlaps.

        A lost slice has to be exported again (a damaged file). It can come back as several smaller
        slices, if it was too large this time. It stays listed until all of them are here, so that
        the dataset never has a row twice and never lacks one that it had::

            lost   [   days 1 to 4   ]    listed, a file is damaged
            add    [ 1 to 2 ]             held back: days 3 and 4 would be missing without it
            add              [ 3 to 4 ]   now both are published, and the lost one is removed

        A slice that the dataset already has is dropped. A process that could not lock the directory
        may have added it.

        Parameters
        ----------
        parts : list of Part
            All parts of the slice.
        staging : Path
            The directory of their files; it is removed.
        """
        try:
            self._add(parts, staging)
        except OSError as error:
            raise self._unwritable(error) from error

    def _add(self, parts: list[Part], staging: Path) -> None:
        piece = parts[0].piece
        self._read()
        self._lost &= {part.piece for part in self.parts}
        if not self._fits(piece):
            shutil.rmtree(staging, ignore_errors=True)
            return
        self._held_back[piece] = parts, staging
        ready = self._ready()
        gone = {old for old in self._lost if any(overlap(one, old) for one in ready)}
        coming = [self._held_back.pop(one) for one in ready]
        staying = [part for part in self.parts if part.piece not in gone]
        self._to_remove |= _files(part for part in self.parts if part.piece in gone)
        self._lost -= gone
        published = []
        columns = self._mixed_columns(staying, coming)
        if columns:
            # Apart from compaction, only this rewrites existing files: a column must have the same
            # type in all files, since readers treat mixed types differently.
            texts_dir = self.staging_dir()
            there = [part for part in staying if part.piece not in self._lost]
            texts = self._as_text(there, self.directory, texts_dir, columns)
            published += self._publish(list(texts.values()), texts_dir)
            staying = [part for part in staying if part not in texts]
            self._to_remove |= _files(texts)
            self._text_columns |= columns
        for slice_, slice_dir in coming:
            texts = self._as_text(slice_, slice_dir, slice_dir, columns)
            published += self._publish([texts.get(part, part) for part in slice_], slice_dir)
        self._replace([*staying, *published])

    def text_columns(self) -> list[str]:
        """The columns that are text in the files; new files must have them as text too."""
        from pyarrow import parquet

        first = self._first_file(part for part in self.parts if part.piece not in self._lost)
        if first is None:
            return []
        return _text_columns(parquet.read_schema(self.directory / first))

    def _mixed_columns(
        self, staying: list[Part], coming: list[tuple[list[Part], Path]]
    ) -> set[str]:
        """The columns that would not have one type in all files."""
        from pyarrow import parquet

        there = [part for part in staying if part.piece not in self._lost]
        # all files of a slice have the same types, and those of a dataset
        firsts = [
            directory / first
            for parts, directory in [(there, self.directory), *coming]
            if (first := self._first_file(parts)) is not None
        ]
        return mixed_columns(parquet.read_schema(path) for path in firsts)

    @staticmethod
    def _first_file(parts: Iterable[Part]) -> str | None:
        return next((part.file for part in parts if part.file is not None), None)

    def _as_text(
        self, parts: list[Part], source: Path, staging: Path, columns: set[str]
    ) -> dict[Part, Part]:
        """Rewrite the files in which some of `columns` are not text, with these as text.

        Parameters
        ----------
        parts : list of Part
            The parts of the files.
        source, staging : Path
            The directory of the files, and that for the new ones.
        columns : set of str
            The columns.

        Returns
        -------
        dict
            The new part for each part whose file was rewritten.
        """
        from pyarrow import parquet

        found = {}
        for number, part in enumerate(parts):
            if part.file is None or not columns:
                continue
            path = source / part.file
            if columns <= {*_text_columns(parquet.read_schema(path))}:
                continue
            name = Path(part.file).with_name(f"part-text-{number:05d}.parquet{UNFINISHED}")
            target = staging / name
            target.parent.mkdir(exist_ok=True)
            rewrite(path, target, columns, self._common["source"]["partition_by"])
            found[part] = replace(part, file=name.as_posix(), sha256=_sha256(target))
        return found

    def _fits(self, piece: Piece) -> bool:
        """Whether a slice repeats no rows, and leaves no gap of availability before it."""
        intact = self._intact_pieces()
        if any(overlap(piece, one) for one in intact):
            return False
        if any(overlap(piece, old) for old in self._lost):
            return True
        return continues(piece, [one for one in (*intact, *self._lost) if one.availability.until])

    def _ready(self) -> list[Piece]:
        """The held-back slices that can be published, since all that they overlap is replaced."""
        new = list(self._held_back)
        staying = [old for old in self._lost if not replaces(new, old)]
        if self._is_hive:
            # no reader accepts files of both layouts, so replace all of them together
            return [] if staying else new
        return [one for one in new if not any(overlap(one, old) for old in staying)]

    @property
    def _is_hive(self) -> bool:
        """Whether an earlier version has written files in directories ``column=value``."""
        files = [part.file.split("/") for part in self.parts if part.file is not None]
        return any(len(names) > 1 and "=" in names[0] for names in files)

    def replace_files(self, old: Iterable[Part], parts: list[Part], staging: Path) -> None:
        """Replace files by others with the same rows.

        Parameters
        ----------
        old : iterable of Part
            The parts to replace.
        parts : list of Part
            The new parts.
        staging : Path
            The directory of the new files; it is removed.
        """
        gone = set(old)
        try:
            coming = self._publish(parts, staging)
            self._to_remove |= _files(gone)
            self._replace([*(part for part in self.parts if part not in gone), *coming])
        except OSError as error:
            raise self._unwritable(error) from error

    def _publish(self, parts: list[Part], staging: Path) -> list[Part]:
        """Move files from staging to the dataset; the manifest does not list them yet."""
        token = secrets.token_hex(3)
        moved = []
        for part in parts:
            if part.file is None:
                moved.append(part)
                continue
            source = staging / part.file
            number = source.name.removeprefix("part-").removesuffix(UNFINISHED)
            name = f"{_stem(part.piece)}_{self._id}-{token}-{number}"
            target = self.directory / Path(part.file).with_name(name)
            target.parent.mkdir(exist_ok=True)
            os.replace(source, target)
            file = target.relative_to(self.directory).as_posix()
            moved.append(replace(part, file=file))
        shutil.rmtree(staging, ignore_errors=True)
        return moved

    def _replace(self, parts: Iterable[Part]) -> None:
        # an empty file is needed only if there is no other: it has the types of the columns
        listed = sorted(parts, key=lambda part: (part.piece.window, part.file or ""))
        has_rows = any(part.rows for part in listed)
        kept_empty = False
        self.parts = []
        for part in listed:
            if part.file is not None and not part.rows:
                if has_rows or kept_empty:
                    self._to_remove.add(part.file)
                    part = Part(None, part.piece, part.id_raw_export, 0, None, part.created_at)
                else:
                    kept_empty = True
            self.parts.append(part)
        self._write()
        self._remove()

    def _remove(self) -> None:
        for name in self._to_remove:
            path = self.directory / name
            path.unlink(missing_ok=True)
            if path.parent != self.directory:
                _remove_if_empty(path.parent)
        self._to_remove = set()

    def _find_lost(self) -> None:
        """Find the slices that have to be exported again."""
        self._lost = {
            part.piece
            for part in self.parts
            if part.piece.availability.until is None or not self._is_intact(part)
        }

    def _is_intact(self, part: Part) -> bool:
        try:
            return part.file is None or _sha256(self.directory / part.file) == part.sha256
        except OSError:
            return False

    def _read(self) -> None:
        """Read the file, unless it has not changed since it was last read or written."""
        try:
            version = self._version_there()
            if version == self._version:
                return
            text = (self.directory / MANIFEST).read_text("utf-8")
        except FileNotFoundError:
            return
        self._version = version
        try:
            content = json.loads(text)
            if content["format"] not in (1, FORMAT):
                raise ValueError(f"its format is {content['format']}, not {FORMAT}")
            there = {name: dict(content[name]) for name in self._common}
            if there == self._common:
                self.parts = [_part(facts, self._request) for facts in content["parts"]]
                if content["format"] == FORMAT:
                    self._id = str(content["id"])
                    self.until = content["availableUntil"]
                else:
                    self._to_remove = {_within(name) for name in content["leftovers"]}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._error(
                f"its {MANIFEST} can't be read ({printable(error)}). Choose another directory"
            ) from None
        if there != self._common:
            raise self._error(
                f"holds rows of another request: {_differences(there, self._common)}. "
                "Choose another directory for this one"
            )

    def _write(self) -> None:
        content = {
            "format": FORMAT,
            "id": self._id,
            **self._common,
            "availableUntil": self.until,
            "completeAsOf": _moment(self.complete_until()),
            "parts": [_facts(part) for part in self.parts],
        }
        text = json.dumps(content, ensure_ascii=False, indent=1)
        write_atomically(self.directory / MANIFEST, text)
        self._version = self._version_there()

    def _version_there(self) -> tuple[int, int]:
        """The version of the file on disk; each `_write` makes a new file, so it changes."""
        facts = (self.directory / MANIFEST).stat()
        return facts.st_ino, facts.st_mtime_ns

    @property
    def complete_as_of(self) -> str:
        """As of when the dataset is complete, as a text."""
        until = self.complete_until()
        if until is None:
            return "not complete"
        as_of = f"{datetime.fromtimestamp(until, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
        if is_bounded(self._request):
            return f"complete as of {as_of} (availabilityTsTo); later rows are not fetched"
        return f"complete as of {as_of}; rows that appear later come with the next to_parquet"

    def regions(self) -> list[tuple[Piece, list[Part]]]:
        """The windows that are complete as of one second, each with the files of its rows."""
        intact = self._intact_pieces()
        found = []
        for filters, window, until in complete_windows(intact):
            whole = Piece(self._request, window, filters, Availability(None, until))
            parts = [part for part in self.parts if overlap(part.piece, whole)]
            # skip it if a slice reaches beyond the window: its files have other rows too
            if all(part.piece in intact and _is_within(part.piece, whole) for part in parts):
                found.append((whole, parts))
        return found

    def complete_until(self) -> int | None:
        """The second as of which all windows are complete; None if one is not.

        These are the windows of the dataset, and that of the request: while a piece of it is
        missing, the dataset is not complete.
        """
        pieces = {part.piece for part in self.parts}
        if not pieces or any(piece.availability.until is None for piece in pieces):
            return None
        if split_request(self._request, covered=pieces):
            return None
        return min(region.until for region in complete_windows(pieces))

    def _sweep(self) -> None:
        """Remove the files of killed processes; raise if there are files of others."""
        self._remove()
        self.remove_staging()
        for pattern in (f"{MANIFEST}.*", f".{MANIFEST}.*{PART}"):
            for path in self.directory.glob(pattern):
                path.unlink()
        listed = _files(self.parts)
        foreign = []
        for path in sorted(self.directory.rglob("*")):
            name = path.relative_to(self.directory).as_posix()
            if path.is_dir() or name.startswith(("_", ".")) or name in listed:
                continue
            if f"_{self._id}-" in path.name:
                path.unlink()
                if path.parent != self.directory:
                    _remove_if_empty(path.parent)
            else:
                foreign.append(name)
        if foreign:
            more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
            raise self._error(
                f"holds {printable(foreign[0])}{more}, which is not part of this dataset. "
                "Choose an empty directory, or that of an earlier to_parquet of this plan"
            )

    def _error(self, what: str) -> FileError:
        return FileError(f"{self.directory}: {what}", file=self.directory)

    def _unwritable(self, error: OSError) -> FileError:
        return unwritable(self.directory, error)


@contextmanager
def locked_directory(directory: Path, on_wait: Callable[[float], None]) -> Iterator[None]:
    """Hold the lock of a dataset's directory, which is created if missing.

    Parameters
    ----------
    directory : Path
        The directory.
    on_wait : callable
        Called while another process or thread holds it, with the seconds until the next try.

    Raises
    ------
    FileError
        If the directory can't be created or written to.
    WaitInterrupted
        If the user interrupted the wait (a KeyboardInterrupt).
    """
    with ExitStack() as stack:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(directory / "_lock", on_wait))
        except OSError as error:
            raise unwritable(directory, error) from error
        except KeyboardInterrupt:
            raise WaitInterrupted(
                f"interrupted while another process wrote to {directory}: nothing was sent. "
                "Run the cell again to resume"
            ) from None
        yield


def _is_within(piece: Piece, whole: Piece) -> bool:
    return whole.window.first <= piece.window.first and piece.window.last <= whole.window.last


def _remove_if_empty(directory: Path) -> None:
    """Remove a directory if it is empty."""
    with suppress(OSError):
        directory.rmdir()


def parts_in(
    files: ParquetFiles,
    piece: Piece,
    report: Callable[[str], None],
    export: Export | None = None,
) -> list[Part]:
    """The Parquet files of a slice, as they were written to a staging directory.

    Parameters
    ----------
    files : ParquetFiles
        What was written.
    piece : Piece
        The slice.
    report : callable
        Called with a message if rows are outside of the bounds of the slice.
    export : Export, optional
        The export that the rows come from; None if there are several.
    """
    from pyarrow import parquet

    parts = []
    seen: list[tuple[datetime, datetime]] = []
    for path in files.files():
        facts = parquet.read_metadata(path)
        seen += times_in(facts, "tsInsert")
        parts.append(
            Part(
                file=path.relative_to(files.directory).as_posix(),
                piece=piece,
                id_raw_export=export.id_raw_export if export else None,
                rows=facts.num_rows,
                sha256=_sha256(path),
                created_at=export.created_at if export else None,
            )
        )
    bounds = of_request(piece.request)
    if seen:
        first = int(min(low for low, _ in seen).timestamp())
        last = int(max(high for _, high in seen).timestamp())
        if bounds.is_outside(first, last):
            report(
                f"export {parts[0].id_raw_export} was bounded by availability from "
                f"{'the start' if bounds.after is None else bounds.after + 1} to {bounds.until}, "
                f"but has rows with tsInsert from {first} to {last}. The service counts "
                "availability in another way than mytracker-nb assumes: rows of this dataset may "
                "be missing or in it twice. Please report it"
            )
    return parts


def times_in(facts: Any, column: str) -> list[tuple[datetime, datetime]]:
    """The first and the last time of a column, for each row group that has any.

    Parameters
    ----------
    facts : pyarrow.parquet.FileMetaData
        The metadata of a file.
    column : str
        The column; the result is empty if the file lacks it or has it as text.
    """
    names = [facts.schema.column(number).name for number in range(facts.num_columns)]
    if column not in names:
        return []
    number = names.index(column)
    found = []
    for group in range(facts.num_row_groups):
        statistics = facts.row_group(group).column(number).statistics
        if statistics is not None and statistics.has_min_max:
            low, high = statistics.min, statistics.max
            if isinstance(low, datetime):
                found.append((low, high))
    return found


def _stem(piece: Piece) -> str:
    """The beginning of the names of a slice's files: its window and availability."""
    words = [*map(str, piece.bounds), *piece.filter_label.replace(",", "").split()]
    until = piece.availability.until
    if until is not None:
        words.append(f"{datetime.fromtimestamp(until, timezone.utc):%Y%m%dT%H%M%SZ}")
    return "_".join(words)


def _text_columns(schema: Any) -> list[str]:
    import pyarrow as pa

    return [field.name for field in schema if field.type == pa.string()]


def _files(parts: Iterable[Part]) -> set[str]:
    """The files of parts."""
    return {part.file for part in parts if part.file is not None}


def _sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _common(request: ExportRequest) -> dict[str, Any]:
    """The parameters that all slices of a request share: all but the interval."""
    names = split_axis(request).interval.names
    parameters = json.loads(cache_key(request))
    rest = {name: value for name, value in parameters.items() if name not in names}
    return {"cut along": list(names), **rest}


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """The differences between the request of a directory and this one."""
    that, this = ({**side["source"], **side["request"]} for side in (there, here))
    return "; ".join(
        f"{name} is {_shown(that.get(name))} there and {_shown(this.get(name))} here"
        for name in {**that, **this}
        if that.get(name) != this.get(name)
    )


def _shown(value: Any) -> str:
    if value is None:
        return "not given"
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return printable(text if len(text) <= 60 else f"{text[:57]}...")


def _moment(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).isoformat()


def _facts(part: Part) -> dict[str, Any]:
    return {
        "file": part.file,
        "request": dict(part.piece.request.parameters),
        "availableAfter": part.piece.availability.after,
        "availableUntil": part.piece.availability.until,
        "idRawExport": part.id_raw_export,
        "rows": part.rows,
        "sha256": part.sha256,
        "createdAt": part.created_at.isoformat() if part.created_at else None,
    }


def _part(facts: Mapping[str, Any], request: ExportRequest) -> Part:
    parameters = facts["request"]
    created_at, number = facts["createdAt"], facts["idRawExport"]
    (filters,) = (
        group
        for group in filter_groups(request)
        if all(list(values) == parameters[name] for name, _, values in group)
    )
    file, sha256 = facts["file"], facts["sha256"]
    # format 1 had no bounds of availability: which late rows it has is not known
    after, until = facts.get("availableAfter"), facts.get("availableUntil")
    return Part(
        file=None if file is None else _within(file),
        piece=Piece(
            request, full_window(ExportRequest(**parameters)), filters, Availability(after, until)
        ),
        id_raw_export=None if number is None else int(number),
        rows=int(facts["rows"]),
        sha256=None if sha256 is None else str(sha256),
        created_at=datetime.fromisoformat(created_at) if created_at else None,
    )


def _within(name: str) -> str:
    """`name`, if it is that of a file within the directory."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"{name} is not a file in the directory")
    return name
