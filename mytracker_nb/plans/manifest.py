"""``_manifest.json``: what a directory of a plan's Parquet files holds.

It names the request and, of each file, the piece, the export, the rows and the SHA-256, so that a
later plan fetches only what is missing, and files of different requests never mix.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mytracker_nb.client.export import Export
from mytracker_nb.errors import FileError, printable
from mytracker_nb.plans.splitting import Piece, filter_groups, full_window, split_axis, uncovered
from mytracker_nb.request.request import ExportRequest
from mytracker_nb.storage.journal import cache_key, complete_after

__all__ = ["FILE", "Manifest", "Part", "parts_in"]

FILE = "_manifest.json"
_FORMAT = 1
_PARTIAL = "_partial-"
# What nobody has written to for so long was left by a process that ended.
_STALE = 86_400.0
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Part:
    """One file, or that a piece without rows has none.

    Attributes
    ----------
    file : str or None
        Its path in the directory, with forward slashes.
    piece : Piece
        What of the request it is of; a piece can have several files.
    id_raw_export : int
        The export that the rows come from.
    rows : int
        How many there are.
    sha256 : str or None
        The file's SHA-256, in hexadecimal digits.
    created_at : datetime.datetime or None
        When the export was made; None where that is not known.
    """

    file: str | None
    piece: Piece
    id_raw_export: int
    rows: int
    sha256: str | None
    created_at: datetime | None

    @property
    def is_final(self) -> bool:
        """Whether no row can have come since the export was made."""
        return self.created_at is not None and self.created_at >= complete_after(self.piece.request)


class Manifest:
    """The parts in a directory; it is written with the first of them.

    Parameters
    ----------
    directory : path
        Where the files are; it is made if there is none.
    request : ExportRequest
        What the parts are pieces of, whatever its interval.
    source : mapping
        What else they have to have in common: the service, the account, how they are written.

    Raises
    ------
    FileError
        If the directory holds anything but parts of this request.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        request: ExportRequest,
        source: Mapping[str, str | int | list[str] | None],
    ) -> None:
        self.directory = Path(directory)
        self.parts: list[Part] = []
        self._request = request
        self._common = {"source": dict(source), "request": _common(request)}
        self._leftovers: set[str] = set()
        self._held_back: dict[Piece, tuple[list[Part], Path]] = {}
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._read()
            self._refuse_strangers()
            self._clean()
        except OSError as error:
            raise self._unwritable(error) from error

    def valid_parts(self) -> dict[Piece, list[Part]]:
        """The parts by their piece; a piece of which a file is missing or damaged is forgotten."""
        damaged = {part.piece for part in self.parts if not self._is_intact(part)}
        self._leftovers |= _files(part for part in self.parts if part.piece in damaged)
        self.parts = [part for part in self.parts if part.piece not in damaged]
        pieces: dict[Piece, list[Part]] = {}
        for part in self.parts:
            pieces.setdefault(part.piece, []).append(part)
        return pieces

    def staging_dir(self) -> Path:
        """A new directory in which files can be written, passed over by all who read."""
        try:
            return Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self.directory))
        except OSError as error:
            raise self._unwritable(error) from error

    def add(self, parts: list[Part], workplace: Path) -> None:
        """Take in the parts of one piece, in place of those that it overlaps.

        A piece that is replaced by several smaller ones stays until the last of these is here.

        Parameters
        ----------
        parts : list of Part
            All of the piece.
        workplace : Path
            Where their files are, under the same names; it ends here.
        """
        self._held_back[parts[0].piece] = parts, workplace
        new = list(self._held_back)
        old = {part.piece for part in self.parts if any(_overlap(part.piece, one) for one in new)}
        staying = {piece for piece in old if not _is_covered(piece, new)}
        ready = {
            piece: self._held_back.pop(piece)
            for piece in new
            if not any(_overlap(piece, other) for other in staying)
        }
        gone = {piece for piece in old if any(_overlap(piece, one) for one in ready)}
        try:
            self._replace(gone, ready)
        except OSError as error:
            raise self._unwritable(error) from error

    def _replace(self, gone: set[Piece], ready: Mapping[Piece, tuple[list[Part], Path]]) -> None:
        coming = [part for parts, _ in ready.values() for part in parts]
        self._leftovers |= _files(part for part in self.parts if part.piece in gone)
        self._leftovers -= _files(coming)
        staying = [part for part in self.parts if part.piece not in gone]
        self.parts = sorted(
            [*staying, *coming], key=lambda part: (part.piece.window, part.file or "")
        )
        # First the list: a part whose file is not here yet is fetched again, but a file that is
        # in no list could not be told from a stranger's.
        self._write()
        for parts, workplace in ready.values():
            for file in _files(parts):
                target = self.directory / file
                target.parent.mkdir(exist_ok=True)
                os.replace(workplace / file, target)
            shutil.rmtree(workplace, ignore_errors=True)
        self._clean()

    def _is_intact(self, part: Part) -> bool:
        try:
            return part.file is None or _sha256(self.directory / part.file) == part.sha256
        except OSError:
            return False

    def _read(self) -> None:
        try:
            text = (self.directory / FILE).read_text("utf-8")
        except FileNotFoundError:
            return
        try:
            content = json.loads(text)
            if content["format"] != _FORMAT:
                raise ValueError(f"its format is {content['format']}, not {_FORMAT}")
            there = {name: dict(content[name]) for name in self._common}
            if there == self._common:
                self.parts = [_part(facts, self._request) for facts in content["parts"]]
                self._leftovers = {_within(name) for name in content["leftovers"]}
        except (ValueError, KeyError, TypeError) as error:
            raise self._error(
                f"its {FILE} can't be read ({printable(error)}). Choose another directory"
            ) from None
        if there != self._common:
            raise self._error(
                f"holds parts of another request: {_differences(there, self._common)}. "
                "Choose another directory for this one"
            )

    def _write(self) -> None:
        content = {
            "format": _FORMAT,
            **self._common,
            "parts": [_facts(part) for part in self.parts],
            "leftovers": sorted(self._leftovers),
        }
        temporary = self.directory / f"{FILE}.{os.getpid()}"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.directory / FILE)

    def _clean(self) -> None:
        """Remove the files of parts that were replaced, and what ended processes left."""
        for name in self._leftovers:
            (self.directory / name).unlink(missing_ok=True)
        if self._leftovers:
            self._leftovers = set()
            self._write()
        for path in self.directory.glob(f"{_PARTIAL}*"):
            if time.time() - path.stat().st_mtime > _STALE:
                shutil.rmtree(path, ignore_errors=True)

    def _refuse_strangers(self) -> None:
        known = _files(self.parts) | self._leftovers
        strangers = sorted(
            name
            for path in self.directory.rglob("*")
            if path.is_file()
            and not (name := path.relative_to(self.directory).as_posix()).startswith(("_", "."))
            and name not in known
        )
        if strangers:
            more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
            raise self._error(
                f"holds {printable(strangers[0])}{more}, which is no part of this request. "
                "Choose an empty directory, or that of an earlier to_parquet of this plan"
            )

    def _error(self, what: str) -> FileError:
        return FileError(f"{self.directory}: {what}", file=self.directory)

    def _unwritable(self, error: OSError) -> FileError:
        reason = error.strerror or error
        return self._error(f"cannot be written ({reason}). Make room, or choose another directory")


def parts_in(workplace: Path, piece: Piece, export: Export) -> list[Part]:
    """Name the Parquet files of a piece in a workplace as they shall be called in the end.

    Parameters
    ----------
    workplace : Path
        Where the files are, and nothing else.
    piece : Piece
        What of the request they hold.
    export : Export
        Where the rows come from.
    """
    from pyarrow import parquet

    words = [*map(str, piece.bounds), *piece.filter_label.replace(",", "").split()]
    parts = []
    for path in sorted(workplace.rglob("*.parquet")):
        rows = parquet.read_metadata(path).num_rows
        if not rows and path.parent != workplace:
            # the partition of no value, there for its types alone: pandas takes none beside others
            continue
        named = path.rename(path.with_name("_".join([*words, path.name.removeprefix("part-")])))
        parts.append(
            Part(
                file=named.relative_to(workplace).as_posix(),
                piece=piece,
                id_raw_export=export.id_raw_export,
                rows=rows,
                sha256=_sha256(named),
                created_at=export.created_at,
            )
        )
    # what is parted by a column and has no rows has no file either: it is here all the same
    return parts or [Part(None, piece, export.id_raw_export, 0, None, export.created_at)]


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


def _overlap(one: Piece, other: Piece) -> bool:
    return one.filters == other.filters and one.window.overlaps(other.window)


def _is_covered(piece: Piece, others: Iterable[Piece]) -> bool:
    return not uncovered(
        piece.window, [other.window for other in others if other.filters == piece.filters]
    )


def _common(request: ExportRequest) -> dict[str, Any]:
    """What all pieces of a request have in common: all but what it is cut along."""
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


def _facts(part: Part) -> dict[str, Any]:
    return {
        "file": part.file,
        "request": dict(part.piece.request.parameters),
        "idRawExport": part.id_raw_export,
        "rows": part.rows,
        "sha256": part.sha256,
        "createdAt": part.created_at.isoformat() if part.created_at else None,
    }


def _part(facts: Mapping[str, Any], request: ExportRequest) -> Part:
    parameters = facts["request"]
    created_at = facts["createdAt"]
    (filters,) = (
        group
        for group in filter_groups(request)
        if all(list(values) == parameters[name] for name, _, values in group)
    )
    file, sha256 = facts["file"], facts["sha256"]
    return Part(
        file=None if file is None else _within(file),
        piece=Piece(request, full_window(ExportRequest(**parameters)), filters),
        id_raw_export=int(facts["idRawExport"]),
        rows=int(facts["rows"]),
        sha256=None if sha256 is None else str(sha256),
        created_at=datetime.fromisoformat(created_at) if created_at else None,
    )


def _within(name: str) -> str:
    """`name`, if it is that of a file within the directory."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"{name} is no file in the directory")
    return name
