"""``_manifest.json``: which files of a directory count, and until when each of them is known.

A dataset is a set of slices: one export each, of a window and of the rows that appeared in the
system between two seconds (`mytracker_nb.plans.coverage`). The manifest names the request and the
slices with their files; it is replaced at once, after the files of a slice are at their place. So
whoever reads the files that it lists reads a whole state at any moment, and what a process that was
killed has left is in no list: the next one that has the lock removes it.

Format 2::

    {"format": 2,
     "id": "5f0c...",                   part of the name of each file of the dataset
     "source": {"service": ..., "account": ..., "partition_by": null, "params": null},
     "request": {...},                  what all exports have in common
     "availableUntil": 1795640399,      the second that is aimed at, or was last
     "completeAsOf": "2026-11-26T...",  the same in words; null while something is missing
     "parts": [{"file": "2026-11-01_...parquet", "rows": 5230, "sha256": "...",
                "idRawExport": 4, "createdAt": "...", "request": {...},
                "availableAfter": null, "availableUntil": 1795640399}, ...]}

A slice without rows has a part without a file.
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
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mytracker_nb.client.export import Export
from mytracker_nb.errors import FileError, WaitInterrupted, printable
from mytracker_nb.plans.coverage import Work, continues, known, overlap, replaces, work
from mytracker_nb.plans.splitting import Piece, filter_groups, full_window, split_axis
from mytracker_nb.request.availability import Availability, is_bounded, known_until, of_request
from mytracker_nb.request.request import ExportRequest
from mytracker_nb.storage.atomic import PART, write_at_once
from mytracker_nb.storage.journal import cache_key
from mytracker_nb.storage.staging import locked
from mytracker_nb.tables.dataset import FORMAT, MANIFEST, PARTIAL, unwritable
from mytracker_nb.tables.parquet_writer import UNFINISHED, ParquetFiles

__all__ = ["STEP", "Manifest", "Part", "locked_directory", "parts_in"]

_BLOCK = 1 << 20
STEP = 3600
"""Seconds by which what is known grows at least. Within them the same second is aimed at: a run
that was interrupted finds its exports again, and the same cell run twice asks for nothing."""


@dataclass(frozen=True)
class Part:
    """One file, or that a slice without rows has none.

    Attributes
    ----------
    file : str or None
        Its path in the directory, with forward slashes.
    piece : Piece
        The slice that it belongs to; a slice can have several files.
    id_raw_export : int or None
        The export that the rows come from; None for those of several.
    rows : int
        How many there are.
    sha256 : str or None
        The file's SHA-256, in hexadecimal digits.
    created_at : datetime.datetime or None
        When the export was created; None where that is not known.
    """

    file: str | None
    piece: Piece
    id_raw_export: int | None
    rows: int
    sha256: str | None
    created_at: datetime | None


class Manifest:
    """The slices in a directory; whoever has one holds the lock of the directory.

    Parameters
    ----------
    directory : path
        Where the files are; it exists.
    request : ExportRequest
        What the slices are of, whatever its interval.
    source : mapping
        What else they have in common: the service, the account, how they are written.

    Attributes
    ----------
    directory : Path
        As above.
    parts : list of Part
        The files that count.
    until : int or None
        The second (Unix time) until which rows are fetched; None before `begin`.

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
        try:
            self._read()
            self._sweep()
            self._find_lost()
        except OSError as error:
            raise self._unwritable(error) from error

    def begin(self, now: float, *, fresh: bool = False) -> int:
        """Choose the second until which rows shall be known, and write it down.

        Parameters
        ----------
        now : float
            The present moment, in Unix seconds.
        fresh : bool
            Whether it is the newest one, however near the last one is.

        Returns
        -------
        int
            What the request says, or else the newest second whose rows are all known; the last
            one while it is less than an hour ago (`STEP`).
        """
        newest = known_until(now)
        if is_bounded(self._request):
            self.until = of_request(self._request).until
        elif self.until is None or fresh or newest - self.until >= STEP:
            self.until = max(newest, self.until or 0)
        assert self.until is not None
        try:
            self._write()
        except OSError as error:
            raise self._unwritable(error) from error
        return self.until

    def work(self, every: int | None) -> Work:
        """What to export so that everything is known until the second that was chosen."""
        assert self.until is not None
        sound, lost = self._sound(), sorted(self._lost, key=lambda piece: piece.window)
        return work(self._request, every, sound, lost, self.until)

    def _sound(self) -> set[Piece]:
        return {part.piece for part in self.parts} - self._lost

    @property
    def notes(self) -> list[str]:
        """What is to be said of the dataset."""
        legacy = sum(piece.availability.until is None for piece in self._lost)
        damaged = len(self._lost) - legacy
        notes = []
        if legacy:
            notes.append(
                f"exports of an earlier version of mytracker-nb are fetched again ({legacy}): it "
                "did not record until when they are complete"
            )
        if damaged:
            notes.append(f"exports are fetched again ({damaged}): a file is missing or damaged")
        return notes

    def staging_dir(self) -> Path:
        """A new directory in which files can be written, passed over by all who read."""
        try:
            return Path(tempfile.mkdtemp(prefix=PARTIAL, dir=self.directory))
        except OSError as error:
            raise self._unwritable(error) from error

    def add(self, parts: list[Part], staging: Path) -> None:
        """Add a slice, in place of lost ones that it overlaps.

        A lost slice that several smaller ones replace counts until the last of these is there. A
        slice that the dataset already has, as another process without a lock may have added it, is
        dropped.

        Parameters
        ----------
        parts : list of Part
            All of the slice.
        staging : Path
            Where their files are; the directory is removed.
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
        coming: list[Part] = []
        for one in ready:
            coming += self._publish(*self._held_back.pop(one))
        self._to_remove |= _files(part for part in self.parts if part.piece in gone)
        self._lost -= gone
        self._replace([*(part for part in self.parts if part.piece not in gone), *coming])

    def _fits(self, piece: Piece) -> bool:
        """Whether a slice doubles nothing and leaves nothing out below it."""
        sound = self._sound()
        if any(overlap(piece, one) for one in sound):
            return False
        if any(overlap(piece, old) for old in self._lost):
            return True
        return continues(piece, [one for one in (*sound, *self._lost) if one.availability.until])

    def _ready(self) -> list[Piece]:
        """The new slices that can count, as what they replace is replaced as a whole."""
        new = list(self._held_back)
        staying = [old for old in self._lost if not replaces(new, old)]
        if self._is_hive:
            # no reader takes files of both layouts together: they change places at once
            return [] if staying else new
        return [one for one in new if not any(overlap(one, old) for old in staying)]

    @property
    def _is_hive(self) -> bool:
        """Whether the earlier version has put files into directories ``column=value``."""
        files = [part.file.split("/") for part in self.parts if part.file is not None]
        return any(len(names) > 1 and "=" in names[0] for names in files)

    def replace_files(self, old: Iterable[Part], parts: list[Part], staging: Path) -> None:
        """Put files with the same rows in the place of others.

        Parameters
        ----------
        old : iterable of Part
            What is replaced.
        parts : list of Part
            What comes.
        staging : Path
            Where their files are; the directory is removed.
        """
        gone = set(old)
        try:
            coming = self._publish(parts, staging)
            self._to_remove |= _files(gone)
            self._replace([*(part for part in self.parts if part not in gone), *coming])
        except OSError as error:
            raise self._unwritable(error) from error

    def _publish(self, parts: list[Part], staging: Path) -> list[Part]:
        """Move files to their place; no list has them yet."""
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
            moved.append(Part(file, part.piece, *_rest(part)))
        shutil.rmtree(staging, ignore_errors=True)
        return moved

    def _replace(self, parts: Iterable[Part]) -> None:
        # an empty file is of use where there is no other: it has the types of the columns
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
        """Find the slices that have to be fetched once more."""
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
        """Read what was written, unless it is what was read or written last."""
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
        write_at_once(self.directory / MANIFEST, text)
        self._version = self._version_there()

    def _version_there(self) -> tuple[int, int]:
        """What differs between any two states of the file, as each is a file of its own."""
        facts = (self.directory / MANIFEST).stat()
        return facts.st_ino, facts.st_mtime_ns

    @property
    def complete_as_of(self) -> str:
        """Until when the dataset is complete, in words."""
        until = self.complete_until()
        if until is None:
            return "not complete"
        as_of = f"{datetime.fromtimestamp(until, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
        if is_bounded(self._request):
            return f"complete as of {as_of} (availabilityTsTo); later rows are not fetched"
        return f"complete as of {as_of}; rows that appear later come with the next to_parquet"

    def regions(self) -> list[tuple[Piece, list[Part]]]:
        """The windows that are known until one second, each with the files of its rows."""
        sound = self._sound()
        found = []
        for filters, window, until in known(sound):
            whole = Piece(self._request, window, filters, Availability(None, until))
            parts = [part for part in self.parts if overlap(part.piece, whole)]
            # while slices reach beyond the window, its rows are not in files of their own
            if all(part.piece in sound and _is_within(part.piece, whole) for part in parts):
                found.append((whole, parts))
        return found

    def complete_until(self) -> int | None:
        """The second until which all windows of the dataset are known; None if one is not."""
        pieces = {part.piece for part in self.parts}
        if not pieces or any(piece.availability.until is None for piece in pieces):
            return None
        return min(region.until for region in known(pieces))

    def _sweep(self) -> None:
        """Remove what ended processes left; refuse what is not ours."""
        self._remove()
        for path in self.directory.glob(f"{PARTIAL}*"):
            shutil.rmtree(path, ignore_errors=True)
        for pattern in (f"{MANIFEST}.*", f".{MANIFEST}.*{PART}"):
            for path in self.directory.glob(pattern):
                path.unlink()
        listed = _files(self.parts)
        strangers = []
        for path in sorted(self.directory.rglob("*")):
            name = path.relative_to(self.directory).as_posix()
            if path.is_dir() or name.startswith(("_", ".")) or name in listed:
                continue
            if f"_{self._id}-" in path.name:
                path.unlink()
                if path.parent != self.directory:
                    _remove_if_empty(path.parent)
            else:
                strangers.append(name)
        if strangers:
            more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
            raise self._error(
                f"holds {printable(strangers[0])}{more}, which is not part of this dataset. "
                "Choose an empty directory, or that of an earlier to_parquet of this plan"
            )

    def _error(self, what: str) -> FileError:
        return FileError(f"{self.directory}: {what}", file=self.directory)

    def _unwritable(self, error: OSError) -> FileError:
        return unwritable(self.directory, error)


@contextmanager
def locked_directory(directory: Path, on_wait: Callable[[float], None]) -> Iterator[None]:
    """Hold the lock of a dataset's directory, which is made where there is none.

    Parameters
    ----------
    directory : Path
        The directory.
    on_wait : callable
        Called while another process or thread holds it, with the seconds until the next look.

    Raises
    ------
    FileError
        If the directory can't be made or written to.
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
        Gets a text where rows are not those that the slice may have.
    export : Export, optional
        Where the rows come from; None for those of several.
    """
    from pyarrow import parquet

    parts = []
    seen: list[tuple[int, int]] = []
    for path in files.files():
        facts = parquet.read_metadata(path)
        seen += _appeared(facts)
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
        first, last = min(low for low, _ in seen), max(high for _, high in seen)
        if bounds.is_outside(first, last):
            report(
                f"export {parts[0].id_raw_export} was bounded by availability from "
                f"{'the start' if bounds.after is None else bounds.after + 1} to {bounds.until}, "
                f"but has rows with tsInsert from {first} to {last}. The service counts "
                "availability in another way than mytracker-nb assumes: rows of this dataset may "
                "be missing or doubled. Please report it"
            )
    return parts


def _appeared(facts: Any) -> list[tuple[int, int]]:
    """The first and the last ``tsInsert`` (Unix seconds) of each row group that has any."""
    names = [facts.schema.column(number).name for number in range(facts.num_columns)]
    if "tsInsert" not in names:
        return []
    number = names.index("tsInsert")
    found = []
    for group in range(facts.num_row_groups):
        statistics = facts.row_group(group).column(number).statistics
        # as text, where a cell was no time, it has none
        if statistics is not None and statistics.has_min_max:
            low, high = statistics.min, statistics.max
            if isinstance(low, datetime):
                found.append((int(low.timestamp()), int(high.timestamp())))
    return found


def _stem(piece: Piece) -> str:
    """The name of a slice's files, as far as it says what they hold."""
    words = [*map(str, piece.bounds), *piece.filter_label.replace(",", "").split()]
    until = piece.availability.until
    if until is not None:
        words.append(f"{datetime.fromtimestamp(until, timezone.utc):%Y%m%dT%H%M%SZ}")
    return "_".join(words)


def _rest(part: Part) -> tuple[int | None, int, str | None, datetime | None]:
    return part.id_raw_export, part.rows, part.sha256, part.created_at


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
    """What all slices of a request have in common: all but what it is split along."""
    names = split_axis(request).interval.names
    parameters = json.loads(cache_key(request))
    rest = {name: value for name, value in parameters.items() if name not in names}
    return {"cut along": list(names), **rest}


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """What a directory's request and this one differ in."""
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
    # format 1 had no bounds: nobody knows which of the late rows are there
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
