"""The files of an export as streams of bytes: on disk, or fetched, checked and kept."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from mytracker_nb.download.gzip_csv import CorruptFile, Limits, inflate, read_through
from mytracker_nb.download.http_stream import Fetcher, as_sent, pause
from mytracker_nb.download.workers import run_all, until
from mytracker_nb.errors import FileError
from mytracker_nb.service.api import Link
from mytracker_nb.service.signing import KeyHolder
from mytracker_nb.service.stopping import Stop
from mytracker_nb.service.transport import Transport
from mytracker_nb.storage.atomic import AtomicFile
from mytracker_nb.storage.file_cache import DIGEST, FileCache

__all__ = [
    "FileReader",
    "LocalFile",
    "OnProgress",
    "PartialFile",
    "Progress",
    "RemoteFile",
    "download",
    "remote_files",
    "source_of",
]

_log = logging.getLogger(__name__)

OnProgress = Callable[[int, "int | None", int, int], None]

_BLOCK = 256 << 10
_AT_ONCE = 3
_DAMAGED = 5  # times that a file which came damaged is fetched once more
_LONGEST_NAME = 120


class Progress:
    """How far several files are; filled by threads, told on the caller's own.

    Parameters
    ----------
    files : int
        How many there are.
    on_progress : callable, optional
        Takes bytes done, bytes in all (None while not known), files done, files in all.
    """

    def __init__(self, files: int, on_progress: OnProgress | None = None) -> None:
        self._files = files
        self._on_progress = on_progress
        self._done: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        self._told: tuple[Any, ...] = ()

    def at(self, file: str, done: int, size: int | None) -> None:
        """`done` bytes of a file are there; all of them where `size` says so."""
        self._done[file] = done
        if size is not None:
            self._sizes[file] = size

    @property
    def bytes_done(self) -> int:
        """The bytes of all files that are there."""
        return sum(dict(self._done).values())

    def tell(self) -> None:
        """Call `on_progress`, if anything is new."""
        if not self._on_progress:
            return
        done, sizes = dict(self._done), dict(self._sizes)
        total = sum(sizes.values()) if len(sizes) == self._files else None
        complete = sum(1 for file, size in sizes.items() if done.get(file) == size)
        now = (sum(done.values()), total, complete, self._files)
        if now != self._told:
            self._told = now
            self._on_progress(*now)


class PartialFile:
    """A file that is written on the way, and kept once it has proved to be whole.

    Parameters
    ----------
    path : Path
        The name it will have.
    cache : FileCache, optional
        What it is for: it is for this user alone, no larger than the cache may be, and to be done
        without where it cannot be written. Without one a failure is an error.
    """

    def __init__(self, path: Path, cache: FileCache | None = None) -> None:
        self._final = path
        self._cache = cache
        self._written = 0
        self._file: AtomicFile | None = None
        with self._failing():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = AtomicFile(path, 0o600 if cache else 0o666)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """What a failure means."""
        try:
            yield
        except OSError as error:
            self.discard()
            if not self._cache:
                raise FileError(
                    f"{self._final}: cannot be written ({error.strerror or error}). "
                    "Make room, or choose another directory",
                    file=self._final,
                ) from error

    def write(self, block: bytes) -> None:
        """Write on, unless that failed before or is beyond the cache."""
        self._written += len(block)
        if self._cache and self._written > self._cache.limit:
            self.discard()
        if self._file:
            with self._failing():
                self._file.write(block)

    def commit(self) -> None:
        """Give it its final name."""
        if self._file:
            with self._failing():
                self._file.commit()
            self._file = None
            if self._cache:
                self._cache.trim()

    def discard(self) -> None:
        """Delete it, unless it has its final name."""
        if self._file:
            self._file.discard()
        self._file = None


class FileReader:
    """A file being read; a context manager.

    Parameters
    ----------
    blocks : generator of bytes
        What is in it, cut anywhere.
    half : PartialFile, optional
        Where it is written on the way.
    """

    def __init__(
        self, blocks: Generator[bytes, None, None], half: PartialFile | None = None
    ) -> None:
        self._blocks = blocks
        self._half = half

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            if self._half:
                self._half.write(block)
            yield block

    def commit(self) -> None:
        """Give what was written its final name; for who has read all of it and found it sound."""
        if self._half:
            self._half.commit()

    def __enter__(self) -> FileReader:
        return self

    def __exit__(self, *error: object) -> None:
        self._blocks.close()
        if self._half:
            self._half.discard()


@dataclass(frozen=True)
class LocalFile:
    """A file on disk.

    Attributes
    ----------
    path : Path
        Where it is.
    """

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def open(self) -> FileReader:
        """The file's bytes."""
        return FileReader(self.blocks())

    def blocks(self) -> Generator[bytes, None, None]:
        """The file's bytes, cut anywhere."""
        try:
            with open(self.path, "rb") as file:
                while block := file.read(_BLOCK):
                    yield block
        except OSError as error:
            raise FileError(
                f"{self.path}: cannot be read ({error.strerror or error}). Check the path",
                file=self.path,
            ) from error

    def retry(self) -> bool:
        """Never: what is on disk stays as it is."""
        return False

    def ticket(self) -> dict[str, str]:
        """What another process needs to read it (see `source_of`)."""
        return {"path": str(self.path.absolute())}


@dataclass
class RemoteFile(KeyHolder):
    """A file at the service.

    Attributes
    ----------
    link : Link
        Where it is.
    name : str
        A safe file name (see `remote_files`).
    fetcher : Fetcher
        What fetches it.
    kept : Path or None
        Where it is kept once it was read to its end and found sound.
    cache : FileCache or None
        What `kept` lies in; larger files than it may hold are not kept.
    into : Path or None
        Where else it is written, in place of `kept`.
    progress : Progress or None
        Hears of every byte.
    """

    link: Link
    name: str
    fetcher: Fetcher
    kept: Path | None = None
    cache: FileCache | None = None
    into: Path | None = None
    progress: Progress | None = None
    _tries: int = field(default=0, init=False, repr=False)

    _is_called = "data() of an export"
    _instead = (
        "Pickle the rows, data.to_arrow() or data.to_pandas(); or the paths of "
        "export.download(directory), which mt.open_files(paths) reads there"
    )

    @property
    def is_kept(self) -> bool:
        """Whether it need not be fetched."""
        return self.kept is not None and self.kept.exists()

    def open(self) -> FileReader:
        """The file's bytes: from where it is kept, or fetched and written down on the way."""
        if self.kept and self.kept.exists():
            blocks = self._kept_blocks(self.kept)
            return FileReader(blocks, PartialFile(self.into) if self.into else None)
        blocks = self.fetcher.stream(self.link, self.name, self._tell)
        if self.into:
            return FileReader(blocks, PartialFile(self.into))
        return FileReader(blocks, PartialFile(self.kept, self.cache) if self.kept else None)

    def _kept_blocks(self, path: Path) -> Generator[bytes, None, None]:
        with suppress(OSError):
            # what is used stays longest
            os.utime(path)
        size = path.stat().st_size
        done = 0
        for block in LocalFile(path).blocks():
            done += len(block)
            self._tell(done, size)
            yield block
        _log.info("read %s from the cache: %s bytes", self.name, f"{done:,}")

    def retry(self) -> bool:
        """Forget what is kept, as it is damaged; whether to fetch it once more."""
        if self.kept:
            self.kept.unlink(missing_ok=True)
        self._tries += 1
        if self._tries > _DAMAGED:
            return False
        pause(self._tries)
        return True

    def ticket(self) -> dict[str, str]:
        """What another process needs to fetch it: the link with its signed header, not the key.

        Where the file is kept is told too, for a process on this machine.
        """
        url = as_sent(self.link.url)
        kept = {"kept": str(self.kept)} if self.is_kept else {}
        local = {"local": "yes"} if self.fetcher.service_is_local else {}
        return {"url": url, "name": self.name, **kept, **local, **self.fetcher.sign(url)}

    def _tell(self, done: int, size: int | None) -> None:
        if self.progress:
            self.progress.at(self.name, done, size)


@dataclass(frozen=True)
class _Ticket:
    """What `RemoteFile.ticket` gave: signs one link, knows no key."""

    url: str
    header: Mapping[str, str] = field(repr=False)

    def __call__(self, url: str) -> Mapping[str, str]:
        return self.header if url == self.url else {}


def source_of(ticket: Mapping[str, str]) -> LocalFile | RemoteFile:
    """The file that a ticket is for, in the process that was given it."""
    if "path" in ticket:
        return LocalFile(Path(ticket["path"]))
    header = {"Authorization": ticket["Authorization"]}
    fetcher = Fetcher(
        Transport(), _Ticket(ticket["url"], header), service_is_local="local" in ticket
    )
    file = RemoteFile(Link(ticket["url"], None), ticket["name"], fetcher)
    kept = Path(ticket.get("kept", ""))
    return replace(file, kept=kept) if kept.is_file() else file


def remote_files(
    links: Sequence[Link],
    fetcher: Fetcher,
    *,
    cache: FileCache | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> list[RemoteFile]:
    """The files of an export, each with a name of its own that is safe as a file name.

    Parameters
    ----------
    links : sequence of Link
        As the service named them.
    fetcher : Fetcher
        What fetches them.
    cache : FileCache, optional
        Where to keep them.
    folder : Path, optional
        The export's place in the cache (`FileCache.folder`); None keeps nothing.
    progress : Progress, optional
        Hears of every byte.
    """
    names = [_safe_name(link.name) for link in links]
    digests = _digests(links)
    return [
        RemoteFile(
            link,
            name,
            fetcher,
            kept=folder / f"{digest}-{name}" if folder else None,
            cache=cache,
            progress=progress,
        )
        for link, name, digest in zip(links, _different(names, links), digests, strict=True)
    ]


def _different(names: Sequence[str], links: Sequence[Link]) -> list[str]:
    """The names, those that stand twice with a digest of their link's path, else with their number.

    The path stays the same when the files are asked for again, in whatever order; what is in a
    query may be new each time.
    """
    digests = [
        hashlib.sha256(link.path.encode("utf-8", "replace")).hexdigest()[:8] for link in links
    ]
    for marks in (digests, range(1, len(names) + 1)):
        times = Counter(name.lower() for name in names)
        names = [
            f"{mark}-{name}" if times[name.lower()] > 1 else name
            for mark, name in zip(marks, names, strict=True)
        ]
    return list(names)


def _digests(links: Sequence[Link]) -> list[str]:
    """A short text for each link that tells it from all others of its export.

    What signs a link is left out, as it changes whenever the service is asked; unless it is all
    that two links differ in.
    """
    unsigned = [_unsigned(link.url) for link in links]
    times = Counter(unsigned)
    texts = [
        link.url if times[text] > 1 else text for link, text in zip(links, unsigned, strict=True)
    ]
    return [hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:DIGEST] for text in texts]


# The parameters of a query that sign it, by the one that says so: Amazon's, Google's and Azure's
# ways, and the older ways of the first. Any other parameter may name the file.
_SIGNING: Mapping[str, str] = {
    "x-amz-signature": r"x-amz-.*",
    "x-goog-signature": r"x-goog-.*",
    "signature": r"signature|expires|awsaccesskeyid|googleaccessid|ossaccesskeyid|key-pair-id"
    r"|policy|security-token|x-amz-security-token",
    "sig": r"sig|sv|sr|se|st|sp|spr|sip|sk[a-z]+",
}


def _unsigned(url: str) -> str:
    """A link without what signs it."""
    try:
        parts = urlsplit(url)
    except ValueError:  # no URL at all: fetching it will tell
        return url
    fields = [(field.partition("=")[0].lower(), field) for field in parts.query.split("&")]
    names = {name for name, _ in fields}
    signing = "|".join(pattern for sign, pattern in _SIGNING.items() if sign in names)
    kept = [field for name, field in fields if not re.fullmatch(signing, name)]
    return urlunsplit(parts._replace(query="&".join(kept), fragment=""))


def _safe_name(name: str) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", name)[-_LONGEST_NAME:].lstrip(".-")
    if not name or re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)", name):
        name = f"file_{name}"
    return name if name.endswith(".gz") else f"{name}.csv.gz"


def _keep(path: Path, half: PartialFile) -> None:
    """Keep a copy of a file that was fetched to another place."""
    with suppress(OSError), open(path, "rb") as file:
        while block := file.read(_BLOCK):
            half.write(block)
        half.commit()
    half.discard()


def download(
    files: Sequence[RemoteFile],
    directory: str | os.PathLike[str],
    *,
    selectors: Sequence[str] | None = None,
    on_progress: OnProgress | None = None,
    limits: Limits | None = None,
) -> list[Path]:
    """Fetch files into a directory, a few at once.

    Parameters
    ----------
    files : sequence of RemoteFile
        What to fetch; what is kept already is copied.
    directory : path
        Where to; it is made if there is none. A file of the same name is replaced.
    selectors : sequence of str, optional
        The columns that every file has to have; not looked at by default.
    on_progress : callable, optional
        Takes bytes done, bytes in all (None while not known), files done, files in all; called on
        this thread.
    limits : Limits, optional
        How far a file may grow when it is decompressed.

    Returns
    -------
    list of Path
        Where each is, in order. Every one was decompressed once to check it.

    Raises
    ------
    LinkExpired, AccessDenied, FileError
        If one cannot be fetched or written; the others are fetched and stay.
    """
    target = Path(directory)
    progress = Progress(len(files), on_progress)
    stop = Stop()

    def fetch(number: int) -> Path:
        file = files[number]
        path = target / file.name
        copy = replace(file, into=path, cache=None, progress=progress)
        while True:
            try:
                with copy.open() as reading, closing(inflate(reading, copy.name, limits)) as text:
                    read_through(until(stop, text), copy.name, selectors)
                    reading.commit()
            except CorruptFile:
                if not copy.retry():
                    raise
            else:
                break
        if file.kept and file.cache and not file.is_kept:
            _keep(path, PartialFile(file.kept, file.cache))
        return path

    return run_all(fetch, len(files), threads=_AT_ONCE, stop=stop, tick=progress.tell, go_on=True)
