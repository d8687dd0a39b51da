"""A gzip CSV file as a stream of pieces: whole rows, a few megabytes at a time.

Memory stays bounded whatever the size of the file. A piece ends at a line break outside of quotes,
so that each can be parsed on its own: Arrow's own streaming reader loses the line feed of a CRLF
inside a cell where two of its blocks meet.
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
    "read_through",
]

PIECE = 4 << 20
_BLOCK = 1 << 20
_CACHED = 64 << 10
_LONGEST_ROW = 256 << 20
_GZIP = b"\x1f\x8b"
# Compressed bytes that may follow each other without a byte of text: padding after the end, empty
# members, a name in a header. Gzip itself needs a few, a server that never ends sends all of these.
_LONGEST_WITHOUT_TEXT = 1 << 20
_FLOOR = 16 << 20  # compressed bytes from which on a file has to hold about as much text
BOM = b"\xef\xbb\xbf"


# A column's name and what follows it, at the start of a file that was unpacked on its way.
_CSV_START = re.compile(rb'(?:\xef\xbb\xbf)?"?[A-Za-z][\w.]*"?(?:,|\r?\n|$)')
_PAGE_STARTS = ("<", "{", "[")


class FileFormatWarning(UserWarning):
    """A file is not quite what the service hands out, and was read nevertheless."""


def _warn(name: str, what: str) -> None:
    warnings.warn(f"{name}: {what}", FileFormatWarning, stacklevel=2)


class CorruptFile(FileError):
    """A file's bytes are not those of a whole gzip file; to fetch it again may help."""


@dataclass(frozen=True)
class Limits:
    """How far a file may grow when it is decompressed, against files made to fill a machine.

    Attributes
    ----------
    size : int
        The most bytes that one file may hold.
    ratio : int
        The most bytes that one compressed byte may stand for, once `floor` is passed. Gzip itself
        reaches 1032; exports are seen at 4 to 30.
    floor : int
        Bytes up to which every ratio is fine: a column of one value compresses very well.
    """

    size: int = 256 << 30
    ratio: int = 300
    floor: int = 256 << 20


@dataclass(frozen=True)
class CsvBlock:
    """Whole rows of a file.

    Attributes
    ----------
    text : bytes
        The rows, the last one with its line break.
    line : int
        The line of the decompressed text that the first row starts in, counted from 1.
    quotes : int
        How many double quotes the text holds.
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
        f"{name}: it is no gzip file; it starts with {text[:30]!r}. Fetch it again", file=name
    )


def _a_page(text: str, name: str) -> CorruptFile:
    return CorruptFile(
        f"{name}: an HTML or XML page or a JSON answer was sent in its place: {text[:60]!r}. "
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
        The compressed bytes in order, cut anywhere.
    name : str
        What the file is called in errors.
    limits : Limits, optional
        How far it may grow.

    Yields
    ------
    bytes
        Up to 1 MiB of text at a time.

    Raises
    ------
    CorruptFile
        If the stream is empty, no gzip, damaged or ends too early; after what is sound of it.
    FileError
        If it passes a limit.
    """
    limits = limits or Limits()
    text = _inflate_once(chunks, name, limits)
    start = b""
    for part in text:
        start += part
        if len(start) >= len(_GZIP):
            break
    whole: Iterator[bytes] = itertools.chain([start] if start else [], text)
    if start.startswith(_GZIP):
        _warn(name, "it was packed with gzip twice; both were undone")
        whole = _inflate_once(whole, name, limits)
    yield from whole


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
                # Zeros after the last member are padding.
                rest = rest if inner is None else rest.lstrip(b"\0")
                if not rest:
                    break
                if not _GZIP.startswith(rest[:2]):
                    if inner:
                        # The checksum of what came before was right.
                        _warn(name, "bytes after the end of the gzip stream were left out")
                        return
                    if not _CSV_START.match(rest):
                        raise _not_gzip(rest, name)
                    _warn(name, "it is not packed with gzip; it was read as plain CSV")
                    for plain in itertools.chain([rest], chunks):
                        given += len(plain)
                        _check_growth(name, given, given, limits)
                        yield plain
                    return
                if inner:
                    yield from headers.next_member()
                inner = _decompressor()
            try:
                text = inner.decompress(rest, _BLOCK)
            except Exception as error:
                # zlib and isal each have an error class of their own
                raise _damaged(name, given, printable(error)) from error
            given += len(text)
            _check_growth(name, taken, given, limits)
            if taken > _FLOOR + 4 * given:
                raise _damaged(name, given, f"{taken:,} bytes hold no more text than that")
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
            f"{name}: the file is cut short after {taken:,} bytes "
            f"({given:,} decompressed). Fetch it again",
            file=name,
        )


class _LaterHeaders:
    """Drops the header of a member that is not the first, as ``cat a.csv.gz b.csv.gz`` leaves it.

    Only the start of a member is looked at, so a row like the header anywhere else is kept.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._header = b""
        self._has_header = False
        self._start: bytes | None = None
        self._last = b""

    def drop(self, text: bytes) -> bytes:
        """The next text, less the header at the start of a member; b"" while that is unclear."""
        if not self._has_header:
            line, end, _ = text.partition(b"\n")
            self._header += line + end
            self._has_header = bool(end) or len(self._header) > _BLOCK
        if self._start is not None:
            text = self._start + text
            if len(text) < len(self._header) and self._header.startswith(text):
                self._start = text
                return b""
            self._start = None
            if text.startswith(self._header):
                _warn(self._name, "several files are joined in it; the later headers were left out")
                text = text[len(self._header) :]
        self._last = text[-1:] or self._last
        return text

    def next_member(self) -> Iterator[bytes]:
        """A member ends here; the text of it that was held back."""
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
            f"{name}: more than {limits.size:,} bytes when decompressed, which is the limit. "
            "Raise Limits.size in client.limits if the file is to be trusted",
            file=name,
        )
    if given > limits.floor and given > taken * limits.ratio:
        raise FileError(
            f"{name}: {taken:,} bytes grew to more than {given:,}, more than {limits.ratio} times "
            "as many. Raise Limits.ratio in client.limits if the file is to be trusted",
            file=name,
        )


def open_csv(
    blocks: Iterable[bytes], name: str, size: int = PIECE
) -> tuple[list[str], Generator[CsvBlock, None, None]]:
    """The header of a CSV text, and its rows in pieces.

    Parameters
    ----------
    blocks : iterable of bytes
        The text in order, cut anywhere.
    name : str
        What the file is called in errors.
    size : int
        About how many bytes a piece shall have.

    Returns
    -------
    header : list of str
        The names in the first row.
    pieces : iterator of CsvBlock
        The other rows.

    Raises
    ------
    FileError
        If there is no header, it is no UTF-8 text or a page's; while iterating, if a quoted cell
        never ends.
    """
    blocks = iter(blocks)
    start = b""
    end = 0
    for block in blocks:
        start += block
        end = start.find(b"\n") + 1
        if end or len(start) > _BLOCK:
            break
    if not start.strip():
        raise CorruptFile(
            f"{name}: the file holds nothing, not even a header. Fetch it again", file=name
        )
    line = (start[:end] if end else start).removeprefix(BOM)
    try:
        header = next(csv.reader([line.decode().rstrip("\r\n")]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileError(
            f"{name}, line 1: the header is no UTF-8 CSV text ({error}). "
            "Fetch the file again; if it stays so, ask for a new export",
            file=name,
            line=1,
        ) from error
    if header and header[0].lstrip().startswith(_PAGE_STARTS):
        raise _a_page(line[:80].decode("utf-8", "replace").strip(), name)
    rest = start[end:] if end else b""
    pieces = _pieces(itertools.chain([rest], blocks), name, size, one_column=len(header) == 1)
    return header, pieces


def match_header(header: Sequence[str], selectors: Sequence[str], name: str) -> list[str]:
    """The columns of a file, by the names that were asked for.

    They can stand in any order, have letters of another case, and be more than were asked for.

    Parameters
    ----------
    header : sequence of str
        The names in the file.
    selectors : sequence of str
        The names asked for.
    name : str
        What the file is called in errors.

    Returns
    -------
    list of str
        A name for each column of the file; those that were not asked for keep their own.

    Raises
    ------
    CorruptFile
        If one is missing, or there twice: it is another file, or a damaged one.
    """
    known = {selector.lower(): selector for selector in selectors}
    if len(known) < len(set(selectors)):
        known = {}  # two differ in the case of letters only
    names = [
        column if column in selectors else known.get(column.strip().lower(), column)
        for column in header
    ]
    unasked = [column for column in names if column not in selectors]
    if set(selectors) <= set(names) and len(set(names)) == len(names):
        if unasked:
            columns = printable(", ".join(unasked)[:200])
            _warn(name, f"it has columns that were not asked for; left out: {columns}")
        if any(new != old for new, old in zip(names, header, strict=True)):
            _warn(name, "its header writes names of columns otherwise than the request")
        return names
    missing = ", ".join(sorted(set(selectors) - set(names)))
    extra = ", ".join(sorted(set(names) - set(selectors)))
    twice = ", ".join(sorted({column for column in names if names.count(column) > 1}))
    facts = [
        f"{label}: {printable(columns[:200])}"
        for label, columns in (("missing", missing), ("not asked for", extra), ("twice", twice))
        if columns
    ]
    raise CorruptFile(
        f"{name}, line 1: the header is not that of this export ({'; '.join(facts)}). "
        "Read files of different exports on their own",
        file=name,
        line=1,
    )


def read_through(text: Iterable[bytes], name: str, selectors: Sequence[str] | None) -> None:
    """Read a file to its end, for nothing but to see whether it is sound.

    Parameters
    ----------
    text : iterable of bytes
        As `inflate` gives it.
    name : str
        What the file is called in errors.
    selectors : sequence of str, optional
        The columns that it has to have; not looked at by default.

    Raises
    ------
    CorruptFile
        If it is damaged or another file.
    """
    if selectors is not None:
        header, _ = open_csv(text, name)
        match_header(header, selectors, name)
    for _ in text:
        pass


def _pieces(
    blocks: Iterator[bytes], name: str, size: int, *, one_column: bool
) -> Generator[CsvBlock, None, None]:
    line = 2
    waiting: list[bytes | memoryview] = []
    length = quotes = 0
    try:
        for block in blocks:
            end = 0
            if length + len(block) >= size:
                end, before = _last_row(block, quotes)
            rest = memoryview(block)[end:]
            if end:
                text = b"".join([*waiting, memoryview(block)[:end]])
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
        # In one column an empty line is a row with an empty cell.
        text = text.rstrip(b"\r\n")
    if quotes % 2:
        raise _open_quote(name, line)
    if text:
        yield CsvBlock(text if text.endswith(b"\n") else text + b"\n", line, quotes)


def _lines(blocks: Iterable[bytes | memoryview]) -> int:
    return sum(_count(block, b"\n") for block in blocks)


def _open_quote(name: str, line: int) -> FileError:
    return FileError(
        f"{name}: a quoted cell in or after line {line:,} never ends. "
        "Fetch the file again; if it stays so, ask for a new export",
        file=name,
        line=line,
    )


def _count(text: bytes | memoryview, byte: bytes) -> int:
    import numpy as np

    # Three times as fast as bytes.count, as other threads go on meanwhile and what is compared
    # stays in the processor's cache.
    octets = np.frombuffer(text, np.uint8)
    equal = np.empty(min(len(octets), _CACHED), bool)
    count = 0
    for start in range(0, len(octets), _CACHED):
        part = octets[start : start + _CACHED]
        count += int(np.count_nonzero(np.equal(part, byte[0], out=equal[: len(part)])))
    return count


def _last_row(block: bytes, quotes: int) -> tuple[int, int]:
    """Where in a block the last row ends (0: nowhere), and the quotes before that place.

    `quotes` are those since the last piece and before the block.
    """
    end = block.rfind(b"\n") + 1
    before = quotes + _count(memoryview(block)[:end], b'"')
    while end and before % 2:
        # The last quote before `end` opens a cell that goes on: look before it.
        earlier = block.rfind(b"\n", 0, max(0, block.rfind(b'"', 0, end))) + 1
        before -= block.count(b'"', earlier, end)
        end = earlier
    return end, before
