"""A gzip CSV file as a stream of blocks of complete rows, a few megabytes each.

Memory stays bounded whatever the size of the file. A block ends at a line break outside of quotes,
so that each block can be parsed on its own. Arrow's own streaming reader is not used: it loses the
line feed of a CRLF inside a cell if two of its blocks meet there.
"""

from __future__ import annotations

import csv
import itertools
import re
import warnings
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mytracker_nb.errors import FileError, printable

__all__ = [
    "BOM",
    "CorruptFile",
    "CsvBlock",
    "FileFormatWarning",
    "Limits",
    "inflate",
    "match_header",
    "open_csv",
    "verify",
]

BLOCK_SIZE = 4 << 20
_INFLATED = 1 << 20  # bytes of text that one call of the decompressor returns at most
_CACHED = 64 << 10  # bytes that fit the processor's cache
_LONGEST_ROW = 256 << 20
_GZIP = b"\x1f\x8b"
# The most compressed bytes in a row that yield no text: padding after the end, empty members, a
# name in a header. Gzip itself needs a few of them; a hostile server can send them without end.
_LONGEST_WITHOUT_TEXT = 1 << 20
_FLOOR = 16 << 20  # compressed bytes after which a file must have yielded about as much text
BOM = b"\xef\xbb\xbf"


# The first column's name and what follows it, in a file that a proxy has already decompressed.
_CSV_START = re.compile(rb'(?:\xef\xbb\xbf)?"?[A-Za-z][\w.]*"?(?:,|\r?\n|$)')
_PAGE_STARTS = ("<", "{", "[")


class FileFormatWarning(UserWarning):
    """A file deviates from the service's format, but could be read."""


def _warn(name: str, what: str) -> None:
    warnings.warn(f"{name}: {what}", FileFormatWarning, stacklevel=2)


class CorruptFile(FileError):
    """A file is not a complete gzip file; fetching it again may help."""


@dataclass(frozen=True)
class Limits:
    """The largest size to which a file may grow when it is decompressed.

    It protects the machine from a file made to fill its memory or disk. Set it as `Client.limits`.

    Attributes
    ----------
    size : int
        The largest decompressed size of one file, in bytes; 256 GiB by default.
    ratio : int
        The largest ratio of decompressed to compressed bytes, checked above `floor`; 300 by
        default. Gzip itself reaches 1032; exports have 4 to 30.
    floor : int
        The decompressed size in bytes up to which any ratio is accepted, since a column of one
        value compresses very well; 256 MiB by default.

    Examples
    --------
    >>> client = mt.Client()
    >>> client.limits = mt.Limits(size=10 << 30)  # 10 GiB a file
    """

    size: int = 256 << 30
    ratio: int = 300
    floor: int = 256 << 20


@dataclass(frozen=True)
class CsvBlock:
    """Complete rows of a file.

    Attributes
    ----------
    text : bytes
        The rows, each with its line break.
    line : int
        The line of the decompressed text in which the first row starts, counted from 1.
    quotes : int
        How many double quotes the text has.
    """

    text: bytes
    line: int
    quotes: int


def _decompressor() -> Any:
    # 31: a gzip wrapper, whose checksum and length are verified at its end
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.decompressobj(31)
    return isal_zlib.decompressobj(31)


def _not_gzip(start: bytes, name: str) -> CorruptFile:
    text = start[:80].decode("utf-8", "replace").strip()
    if text.startswith(_PAGE_STARTS):
        return _a_page(text, name)
    return CorruptFile(
        f"{name}: not a gzip file; it starts with {text[:30]!r}. Fetch it again", file=name
    )


def _a_page(text: str, name: str) -> CorruptFile:
    return CorruptFile(
        f"{name}: the server sent an HTML or XML page or JSON instead of the file: {text[:60]!r}. "
        "Fetch it again",
        file=name,
    )


def inflate(
    chunks: Iterable[bytes], name: str, limits: Limits | None = None
) -> Generator[bytes, None, None]:
    """Decompress a gzip stream, of one member or several.

    Parameters
    ----------
    chunks : iterable of bytes
        The compressed bytes in order, in chunks of any size.
    name : str
        The file's name in errors.
    limits : Limits, optional
        How far it may grow.

    Yields
    ------
    bytes
        Up to 1 MiB of text at a time.

    Raises
    ------
    CorruptFile
        If the stream is empty, not gzip, damaged or incomplete; the text before the damage is
        yielded first.
    FileError
        If it exceeds a limit.
    """
    limits = limits or Limits()
    text = _inflate_once(chunks, name, limits)
    start = b""
    for part in text:
        start += part
        if len(start) >= len(_GZIP):
            break
    inflated: Iterator[bytes] = itertools.chain([start] if start else [], text)
    if start.startswith(_GZIP):
        _warn(name, "it was compressed with gzip twice; both were undone")
        inflated = _inflate_once(inflated, name, limits)
    yield from inflated


def _inflate_once(
    chunks: Iterable[bytes], name: str, limits: Limits
) -> Generator[bytes, None, None]:
    chunks = iter(chunks)
    taken = given = 0
    last = 0  # compressed bytes at the last text
    inner: Any = None
    headers = _LaterHeaders(name)
    for chunk in chunks:
        if taken - last > _LONGEST_WITHOUT_TEXT:
            raise _damaged(name, given, f"{taken - last:,} bytes without text follow")
        taken += len(chunk)
        rest = chunk
        while rest:
            if inner is None or inner.eof:
                # zeros after the last member are padding
                rest = rest if inner is None else rest.lstrip(b"\0")
                if not rest:
                    break
                if not _GZIP.startswith(rest[:2]):
                    if inner:
                        # the checksum of the data before them was right
                        _warn(name, "bytes after the end of the gzip stream were ignored")
                        return
                    if not _CSV_START.match(rest):
                        raise _not_gzip(rest, name)
                    _warn(name, "it is not compressed with gzip; it was read as plain CSV")
                    for plain in itertools.chain([rest], chunks):
                        given += len(plain)
                        _check_growth(name, given, given, limits)
                        yield plain
                    return
                if inner:
                    yield from headers.next_member()
                inner = _decompressor()
            try:
                text = inner.decompress(rest, _INFLATED)
            except Exception as error:
                # zlib and isal have different error classes
                raise _damaged(name, given, printable(error)) from error
            given += len(text)
            _check_growth(name, taken, given, limits)
            if taken > _FLOOR + 4 * given:
                raise _damaged(name, given, f"{taken:,} compressed bytes have no more text")
            last = taken if text else last
            text = headers.drop(text)
            if text:
                yield text
            rest = inner.unused_data if inner.eof else inner.unconsumed_tail
    if inner is None:
        raise CorruptFile(f"{name}: the file is empty (0 bytes). Fetch it again", file=name)
    if not inner.eof:
        text = headers.drop(inner.flush())
        if text:
            yield text
    yield from headers.next_member()
    if not inner.eof:
        raise CorruptFile(
            f"{name}: the file is incomplete: it ends after {taken:,} bytes "
            f"({given:,} decompressed). Fetch it again",
            file=name,
        )


class _LaterHeaders:
    """Drops the CSV header of each gzip member but the first, as in ``cat a.csv.gz b.csv.gz``.

    Only the start of a member is compared, so a row equal to the header elsewhere stays.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._header = b""
        self._has_header = False
        self._start: bytes | None = None
        self._last = b""

    def drop(self, text: bytes) -> bytes:
        """The next text without a repeated header; b"" until enough text came to compare."""
        if not self._has_header:
            line, end, _ = text.partition(b"\n")
            self._header += line + end
            self._has_header = bool(end) or len(self._header) > _INFLATED
        if self._start is not None:
            text = self._start + text
            if len(text) < len(self._header) and self._header.startswith(text):
                self._start = text
                return b""
            self._start = None
            if text.startswith(self._header):
                _warn(self._name, "it consists of several files; the repeated headers were ignored")
                text = text[len(self._header) :]
        self._last = text[-1:] or self._last
        return text

    def next_member(self) -> Iterator[bytes]:
        """Note that a member ends; return the text that `drop` held back."""
        if self._start:
            yield self._start
            self._last = self._start[-1:]
        is_row_start = self._has_header and self._last == b"\n"
        self._start = b"" if is_row_start else None


def _damaged(name: str, given: int, what: str) -> CorruptFile:
    return CorruptFile(
        f"{name}: the file is damaged about {given:,} decompressed bytes in ({what}). "
        "Fetch it again",
        file=name,
    )


def _check_growth(name: str, taken: int, given: int, limits: Limits) -> None:
    if given > limits.size:
        raise FileError(
            f"{name}: larger than the limit of {limits.size:,} bytes when decompressed. "
            "Raise Limits.size in client.limits if you trust the file",
            file=name,
        )
    if given > limits.floor and given > taken * limits.ratio:
        raise FileError(
            f"{name}: {taken:,} compressed bytes grew to {given:,}, more than {limits.ratio} times "
            "as many. Raise Limits.ratio in client.limits if you trust the file",
            file=name,
        )


def open_csv(
    chunks: Iterable[bytes], name: str, size: int = BLOCK_SIZE
) -> tuple[list[str], Generator[CsvBlock, None, None]]:
    """Read the header of a CSV text, and divide its rows into blocks.

    Parameters
    ----------
    chunks : iterable of bytes
        The text in order, in chunks of any size.
    name : str
        The file's name in errors.
    size : int
        The approximate size of a block, in bytes.

    Returns
    -------
    header : list of str
        The names in the first row.
    blocks : iterator of CsvBlock
        The other rows.

    Raises
    ------
    FileError
        If the header is missing, is not UTF-8 or is the start of an HTML page; while iterating, if
        a quoted cell never ends.
    """
    chunks = iter(chunks)
    start = b""
    end = 0
    for chunk in chunks:
        start += chunk
        end = start.find(b"\n") + 1
        if end or len(start) > _INFLATED:
            break
    if not start.strip():
        raise CorruptFile(
            f"{name}: the file is empty, without even a header. Fetch it again", file=name
        )
    line = (start[:end] if end else start).removeprefix(BOM)
    try:
        header = next(csv.reader([line.decode().rstrip("\r\n")]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileError(
            f"{name}, line 1: the header is not valid UTF-8 CSV ({error}). "
            "Fetch the file again; if the error persists, create a new export",
            file=name,
            line=1,
        ) from error
    if header and header[0].lstrip().startswith(_PAGE_STARTS):
        raise _a_page(line[:80].decode("utf-8", "replace").strip(), name)
    rest = start[end:] if end else b""
    blocks = _row_blocks(itertools.chain([rest], chunks), name, size, one_column=len(header) == 1)
    return header, blocks


def match_header(header: Sequence[str], selectors: Sequence[str], name: str) -> list[str]:
    """Match the columns of a file with the selectors of the request.

    The file may have them in another order, in another letter case, and with further columns.

    Parameters
    ----------
    header : sequence of str
        The names in the file.
    selectors : sequence of str
        The requested names.
    name : str
        The file's name in errors.

    Returns
    -------
    list of str
        The selector for each column of the file; a column without a selector keeps its name.

    Raises
    ------
    CorruptFile
        If a selector is missing or repeated: it is another file, or a damaged one.
    """
    known = {selector.lower(): selector for selector in selectors}
    if len(known) < len(set(selectors)):
        known = {}  # two selectors differ in letter case only, so case can't be ignored
    names = [
        column if column in selectors else known.get(column.strip().lower(), column)
        for column in header
    ]
    unrequested = [column for column in names if column not in selectors]
    if set(selectors) <= set(names) and len(set(names)) == len(names):
        if unrequested:
            columns = printable(", ".join(unrequested)[:200])
            _warn(name, f"ignored columns that were not requested: {columns}")
        if any(new != old for new, old in zip(names, header, strict=True)):
            _warn(name, "its header spells column names differently from the request")
        return names
    missing = ", ".join(sorted(set(selectors) - set(names)))
    extra = ", ".join(sorted(set(names) - set(selectors)))
    twice = ", ".join(sorted({column for column in names if names.count(column) > 1}))
    facts = [
        f"{label}: {printable(columns[:200])}"
        for label, columns in (("missing", missing), ("not requested", extra), ("twice", twice))
        if columns
    ]
    raise CorruptFile(
        f"{name}, line 1: the header does not match the export ({'; '.join(facts)}). "
        "Read files of different exports separately",
        file=name,
        line=1,
    )


def verify(text: Iterable[bytes], name: str, selectors: Sequence[str] | None) -> None:
    """Read a file to its end to verify that it is complete and undamaged.

    Parameters
    ----------
    text : iterable of bytes
        The text from `inflate`, which checks the gzip checksum.
    name : str
        The file's name in errors.
    selectors : sequence of str, optional
        The columns that it must have; not checked by default.

    Raises
    ------
    CorruptFile
        If it is damaged, or the file of another export.
    """
    if selectors is not None:
        header, _ = open_csv(text, name)
        match_header(header, selectors, name)
    for _ in text:
        pass


def _row_blocks(
    chunks: Iterator[bytes], name: str, size: int, *, one_column: bool
) -> Generator[CsvBlock, None, None]:
    r"""Divide CSV text, in chunks of any size, into blocks of complete rows.

    Chunks are collected until they exceed `size`. Then `_last_row` finds the last line break of
    the newest chunk that ends a row: one with an even number of quotes before it. The text up to
    it is a block; the remainder starts the next. So ``a,"x\ny"\nb,"z`` gives the block
    ``a,"x\ny"\n``: its inner line break follows one quote, so it belongs to the cell.
    """
    line = 2
    # the text since the last block: its chunks, their length, and how many quotes they have
    waiting: list[bytes | memoryview] = []
    length = quotes = 0
    try:
        for chunk in chunks:
            end = 0
            if length + len(chunk) >= size:
                end, before = _last_row(chunk, quotes)
            rest = memoryview(chunk)[end:]
            if end:
                text = b"".join([*waiting, memoryview(chunk)[:end]])
                waiting, length, quotes = [], 0, 0
                yield CsvBlock(text, line, before)
                line += _lines([text])
            waiting.append(rest)
            length += len(rest)
            quotes += _count(rest, b'"')
            if length > _LONGEST_ROW:
                raise _open_quote(name, line)
    except CorruptFile as error:
        error.line = line + _lines(waiting)
        raise
    text = b"".join(waiting)
    if not one_column:
        # an empty line at the end is no row, except in one column: there it is an empty cell
        text = text.rstrip(b"\r\n")
    if quotes % 2:
        raise _open_quote(name, line)
    if text:
        yield CsvBlock(text if text.endswith(b"\n") else text + b"\n", line, quotes)


def _lines(chunks: Iterable[bytes | memoryview]) -> int:
    return sum(_count(chunk, b"\n") for chunk in chunks)


def _open_quote(name: str, line: int) -> FileError:
    return FileError(
        f"{name}: a quoted cell in or after line {line:,} never ends. "
        "Fetch the file again; if the error persists, create a new export",
        file=name,
        line=line,
    )


def _count(text: bytes | memoryview, byte: bytes) -> int:
    import numpy as np

    # three times as fast as bytes.count: numpy lets other threads run, and each part of the
    # comparison fits the processor's cache
    octets = np.frombuffer(text, np.uint8)
    equal = np.empty(min(len(octets), _CACHED), bool)
    count = 0
    for start in range(0, len(octets), _CACHED):
        part = octets[start : start + _CACHED]
        count += int(np.count_nonzero(np.equal(part, byte[0], out=equal[: len(part)])))
    return count


def _last_row(chunk: bytes, quotes: int) -> tuple[int, int]:
    """Find where the last complete row of a chunk ends.

    Parameters
    ----------
    chunk : bytes
        Text that follows the chunks collected since the last block.
    quotes : int
        How many quotes those have.

    Returns
    -------
    end : int
        The position after the row's line break; 0 if no row ends in the chunk.
    before : int
        How many quotes there are since the last block and before `end`.
    """
    end = chunk.rfind(b"\n") + 1
    before = quotes + _count(memoryview(chunk)[:end], b'"')
    while end and before % 2:
        # an odd number: the line break is inside a cell, which the last quote before it opened.
        # Continue with the last line break before that quote
        earlier = chunk.rfind(b"\n", 0, max(0, chunk.rfind(b'"', 0, end))) + 1
        before -= chunk.count(b'"', earlier, end)
        end = earlier
    return end, before
