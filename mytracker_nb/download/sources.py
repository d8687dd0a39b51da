"""The files of an export as streams of bytes: read from disk, or fetched, verified and cached."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from mytracker_nb import clock
from mytracker_nb.download.gzip_csv import CorruptFile, Limits, inflate, verify
from mytracker_nb.download.http_stream import Fetcher, pause, prepared_url
from mytracker_nb.download.workers import run_all, until_stopped
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
_AT_ONCE = 3  # files that are downloaded at the same time
_DAMAGED = 5  # how often a file that arrived damaged is fetched again
_LONGEST_NAME = 120
_REPORT_AGAIN = 1.0  # seconds after which a progress that has not changed is reported again


class Progress:
    """The progress of several files: updated by worker threads, reported on the caller's thread.

    Parameters
    ----------
    files : int
        How many files there are.
    on_progress : callable, optional
        Called with the bytes done, the bytes in total (None while not known), the files done and
        the number of files.
    """

    def __init__(self, files: int, on_progress: OnProgress | None = None) -> None:
        self._files = files
        self._on_progress = on_progress
        self._done: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        self._reported: tuple[Any, ...] = ()
        self._reported_at = -math.inf

    def update(self, file: str, done: int, size: int | None) -> None:
        """Note how many bytes of a file are done, and its size if it is known."""
        self._done[file] = done
        if size is not None:
            self._sizes[file] = size

    @property
    def bytes_done(self) -> int:
        """How many bytes of all files are done."""
        return sum(dict(self._done).values())

    def report(self) -> None:
        """Call `on_progress`, if the progress has changed or a second has passed.

        It is also called while the service makes the download wait, so that the wait is shown.
        """
        if not self._on_progress:
            return
        done, sizes = dict(self._done), dict(self._sizes)
        total = sum(sizes.values()) if len(sizes) == self._files else None
        complete = sum(1 for file, size in sizes.items() if done.get(file) == size)
        now = (sum(done.values()), total, complete, self._files)
        moment = clock.monotonic()
        if now != self._reported or moment >= self._reported_at + _REPORT_AGAIN:
            self._reported, self._reported_at = now, moment
            self._on_progress(*now)


class PartialFile:
    """A file that is written during the download, and renamed once it has been verified.

    Parameters
    ----------
    path : Path
        The final path.
    cache : FileCache, optional
        The cache that the file is for. Then only the user can read it, it may not be larger than
        the cache, and if it can't be written, the download continues without it. Without a cache,
        a failure to write is an error.
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
        """Discard the file if it can't be written; raise a `FileError` unless it is for a cache."""
        try:
            yield
        except OSError as error:
            self.discard()
            if not self._cache:
                raise FileError(
                    f"{self._final}: cannot be written ({error.strerror or error}). "
                    "Free space, or choose another directory",
                    file=self._final,
                ) from error

    def write(self, block: bytes) -> None:
        """Append a block, unless writing failed before or the file exceeds the cache."""
        self._written += len(block)
        if self._cache and self._written > self._cache.limit:
            self.discard()
        if self._file:
            with self._failing():
                self._file.write(block)

    def commit(self) -> None:
        """Give the file its final name."""
        if self._file:
            with self._failing():
                self._file.commit()
            self._file = None
            if self._cache:
                self._cache.trim()

    def discard(self) -> None:
        """Delete the file, unless it has its final name."""
        if self._file:
            self._file.discard()
        self._file = None


class FileReader:
    """A file that is being read, and perhaps copied; a context manager.

    Leaving the ``with`` block discards the copy unless `commit` was called, so a file that was not
    read to its end, or turned out damaged, is never cached.

    Parameters
    ----------
    blocks : generator of bytes
        The file's bytes, in blocks of any size.
    partial : PartialFile, optional
        The copy, written as the blocks are read.
    """

    def __init__(
        self, blocks: Generator[bytes, None, None], partial: PartialFile | None = None
    ) -> None:
        self._blocks = blocks
        self._partial = partial

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            if self._partial:
                self._partial.write(block)
            yield block

    def commit(self) -> None:
        """Keep the copy; call it once the file was read to its end and verified."""
        if self._partial:
            self._partial.commit()

    def __enter__(self) -> FileReader:
        return self

    def __exit__(self, *error: object) -> None:
        self._blocks.close()
        if self._partial:
            self._partial.discard()


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
        """The file's bytes, in blocks."""
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
        """Whether to read it again after damage: no, the file on disk does not change."""
        return False

    def ticket(self) -> dict[str, str]:
        """The facts from which another process opens the file (see `source_of`)."""
        return {"path": str(self.path.absolute())}


@dataclass
class RemoteFile(KeyHolder):
    """A file on the service.

    Attributes
    ----------
    link : Link
        The file's link.
    name : str
        A safe file name (see `remote_files`).
    fetcher : Fetcher
        Fetches the file.
    cached : Path or None
        Its path in the cache, where it is stored once it was read to its end and verified.
    cache : FileCache or None
        The cache; a file larger than its limit is not stored.
    copy_to : Path or None
        A path to write the file to, instead of `cached`.
    progress : Progress or None
        Updated with each block.
    """

    link: Link
    name: str
    fetcher: Fetcher
    cached: Path | None = None
    cache: FileCache | None = None
    copy_to: Path | None = None
    progress: Progress | None = None
    _tries: int = field(default=0, init=False, repr=False)

    _is_called = "data() of an export"
    _instead = (
        "Pickle the rows, data.to_arrow() or data.to_pandas(); or the paths of "
        "export.download(directory), which mt.open_files(paths) reads there"
    )

    @property
    def is_cached(self) -> bool:
        """Whether it is in the cache, so that it need not be fetched."""
        return self.cached is not None and self.cached.exists()

    def open(self) -> FileReader:
        """The file's bytes: from the cache, or fetched and copied while they are read."""
        if self.cached and self.cached.exists():
            blocks = self._cached_blocks(self.cached)
            return FileReader(blocks, PartialFile(self.copy_to) if self.copy_to else None)
        blocks = self.fetcher.stream(self.link, self.name, self._report)
        if self.copy_to:
            return FileReader(blocks, PartialFile(self.copy_to))
        return FileReader(blocks, PartialFile(self.cached, self.cache) if self.cached else None)

    def _cached_blocks(self, path: Path) -> Generator[bytes, None, None]:
        with suppress(OSError):
            os.utime(path)  # the cache deletes the files first that were used longest ago
        size = path.stat().st_size
        done = 0
        for block in LocalFile(path).blocks():
            done += len(block)
            self._report(done, size)
            yield block
        _log.info("read %s from the cache: %s bytes", self.name, f"{done:,}")

    def retry(self) -> bool:
        """Delete the cached copy, which is damaged; return whether to fetch the file again."""
        if self.cached:
            self.cached.unlink(missing_ok=True)
        self._tries += 1
        if self._tries > _DAMAGED:
            return False
        pause(self._tries)
        return True

    def ticket(self) -> dict[str, str]:
        """The facts from which another process fetches the file: its link with the signed header.

        The secret key is not among them. The path in the cache is, for a process on this machine.
        """
        url = prepared_url(self.link.url)
        cached = {"cached": str(self.cached)} if self.is_cached else {}
        facts = {"url": url, "name": self.name, "service": self.fetcher.service}
        return {**facts, **cached, **self.fetcher.sign(url)}

    def _report(self, done: int, size: int | None) -> None:
        if self.progress:
            self.progress.update(self.name, done, size)


@dataclass(frozen=True)
class _Ticket:
    """Signs the one link of a `RemoteFile.ticket`; it has the signed header, not the key."""

    url: str
    header: Mapping[str, str] = field(repr=False)

    def __call__(self, url: str) -> Mapping[str, str]:
        return self.header if url == self.url else {}


def source_of(ticket: Mapping[str, str]) -> LocalFile | RemoteFile:
    """Open the file of a ticket in another process.

    Parameters
    ----------
    ticket : mapping of str to str
        From `LocalFile.ticket` or `RemoteFile.ticket`.
    """
    if "path" in ticket:
        return LocalFile(Path(ticket["path"]))
    header = {"Authorization": ticket["Authorization"]}
    signed = _Ticket(ticket["url"], header)
    fetcher = Fetcher(Transport(), signed, service=ticket["service"])
    file = RemoteFile(Link(ticket["url"], None), ticket["name"], fetcher)
    cached = Path(ticket.get("cached", ""))
    return replace(file, cached=cached) if cached.is_file() else file


def remote_files(
    links: Sequence[Link],
    fetcher: Fetcher,
    *,
    cache: FileCache | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> list[RemoteFile]:
    """The files of an export, with unique names that are safe as file names.

    Parameters
    ----------
    links : sequence of Link
        The links of the export's files.
    fetcher : Fetcher
        Fetches the files.
    cache : FileCache, optional
        Stores the files.
    folder : Path, optional
        The export's directory in the cache (`FileCache.folder`); None caches nothing.
    progress : Progress, optional
        Updated with each block.
    """
    names = [_safe_name(link.name) for link in links]
    digests = _digests(links)
    return [
        RemoteFile(
            link,
            name,
            fetcher,
            cached=folder / f"{digest}-{name}" if folder else None,
            cache=cache,
            progress=progress,
        )
        for link, name, digest in zip(links, _unique_names(names, links), digests, strict=True)
    ]


def _unique_names(names: Sequence[str], links: Sequence[Link]) -> list[str]:
    """Make names unique: prefix a repeated one with a digest of its link's path, or its number.

    The path of a link is the same each time the service lists the files, in whatever order; its
    query may change.
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
    """A digest for each link that is unique in its export and stays the same when listed again.

    So the part of a link that signs it is left out, since it changes each time, unless two links
    differ in nothing else.
    """
    unsigned = [_unsigned(link.url) for link in links]
    times = Counter(unsigned)
    texts = [
        link.url if times[text] > 1 else text for link, text in zip(links, unsigned, strict=True)
    ]
    return [hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:DIGEST] for text in texts]


# The query parameters that sign a link, by the parameter that has the signature: of Amazon, Google
# and Azure storage, and of Amazon's older scheme. Any other parameter may name the file.
_SIGNING: Mapping[str, str] = {
    "x-amz-signature": r"x-amz-.*",
    "x-goog-signature": r"x-goog-.*",
    "signature": r"signature|expires|awsaccesskeyid|googleaccessid|ossaccesskeyid|key-pair-id"
    r"|policy|security-token|x-amz-security-token",
    "sig": r"sig|sv|sr|se|st|sp|spr|sip|sk[a-z]+",
}


def _unsigned(url: str) -> str:
    """A link without the parameters that sign it."""
    try:
        parts = urlsplit(url)
    except ValueError:  # an invalid URL; fetching it raises an error that says so
        return url
    fields = [(field.partition("=")[0].lower(), field) for field in parts.query.split("&")]
    names = {name for name, _ in fields}
    signing = "|".join(pattern for sign, pattern in _SIGNING.items() if sign in names)
    fields_left = [field for name, field in fields if not re.fullmatch(signing, name)]
    return urlunsplit(parts._replace(query="&".join(fields_left), fragment=""))


def _safe_name(name: str) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", name)[-_LONGEST_NAME:].lstrip(".-")
    if not name or re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)", name):
        name = f"file_{name}"
    return name if name.endswith(".gz") else f"{name}.csv.gz"


def _keep(path: Path, partial: PartialFile) -> None:
    """Copy a downloaded file to the cache."""
    with suppress(OSError), open(path, "rb") as file:
        while block := file.read(_BLOCK):
            partial.write(block)
        partial.commit()
    partial.discard()


def download(
    files: Sequence[RemoteFile],
    directory: str | os.PathLike[str],
    *,
    selectors: Sequence[str] | None = None,
    on_progress: OnProgress | None = None,
    limits: Limits | None = None,
) -> list[Path]:
    """Download files to a directory, a few at the same time.

    Parameters
    ----------
    files : sequence of RemoteFile
        The files; those in the cache are copied from it.
    directory : path
        The directory; it is created if it does not exist. A file of the same name is replaced.
    selectors : sequence of str, optional
        The columns that each file must have; not checked by default.
    on_progress : callable, optional
        Called on this thread with the bytes done, the bytes in total (None while not known), the
        files done and the number of files.
    limits : Limits, optional
        How far a file may grow when it is decompressed.

    Returns
    -------
    list of Path
        The paths, in order. Each file was decompressed once to verify it.

    Raises
    ------
    LinkExpired, AccessDenied, FileError
        If a file can't be fetched or written; the others are still downloaded, and stay.
    """
    target = Path(directory)
    progress = Progress(len(files), on_progress)
    stop = Stop()

    def fetch(number: int) -> Path:
        file = files[number]
        path = target / file.name
        copy = replace(file, copy_to=path, cache=None, progress=progress)
        while True:
            try:
                with copy.open() as reading, closing(inflate(reading, copy.name, limits)) as text:
                    verify(until_stopped(stop, text), copy.name, selectors)
                    reading.commit()
            except CorruptFile:
                if not copy.retry():
                    raise
            else:
                break
        if file.cached and file.cache and not file.is_cached:
            _keep(path, PartialFile(file.cached, file.cache))
        return path

    return run_all(
        fetch, len(files), threads=_AT_ONCE, stop=stop, tick=progress.report, continue_on_error=True
    )
