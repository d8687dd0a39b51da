"""`RawData`: the rows of an export in the form that an analysis needs.

One Arrow core reads the files; every target (pandas, polars, DuckDB, Parquet, Dask) hands on what
it gives.
"""

from __future__ import annotations

import os
import queue
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from mytracker_nb.csvgz import PIECE, CorruptFile, Limits, inflate, open_csv
from mytracker_nb.errors import FileError, MyTrackerError, printable
from mytracker_nb.params import with_params
from mytracker_nb.parsing import Parser
from mytracker_nb.schema import descriptions, schema

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["ColumnTypeWarning", "LocalFile", "RawData", "Source", "open_files"]

_T = TypeVar("_T")
_READ = 256 << 10
_HEAD_PIECE = 64 << 10
_MOST_FILES_AT_ONCE = 4

DtypeBackend = Literal["pyarrow", "numpy_nullable"]


class ColumnTypeWarning(UserWarning):
    """A column holds what does not fit its type and is handed out as text."""


class Source(Protocol):
    """Where the bytes of one file come from."""

    @property
    def name(self) -> str:
        """What the file is called in messages."""

    def open(self) -> Generator[bytes, None, None]:
        """The compressed bytes from the start, cut anywhere."""

    def retry(self) -> bool:
        """Whether to open it once more may help, now that its bytes turned out to be damaged."""


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

    def open(self) -> Generator[bytes, None, None]:
        """The file's bytes."""
        try:
            with open(self.path, "rb") as file:
                while chunk := file.read(_READ):
                    yield chunk
        except OSError as error:
            raise FileError(
                f"{self.path}: cannot be read ({error.strerror or error}). Check the path",
                file=self.path,
            ) from error

    def retry(self) -> bool:
        """Never: what is on disk stays as it is."""
        return False


def open_files(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> RawData:
    """Files of an export that someone already has.

    Parameters
    ----------
    paths : path or iterable of paths
        gzip CSV files with the same columns, as the service hands them out, in the order that
        their rows shall have.

    Returns
    -------
    RawData
        The rows; nothing is read before they are asked for.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    files = [LocalFile(Path(path)) for path in paths]
    if not files:
        raise MyTrackerError("open_files got no path. Name at least one .csv.gz file")
    return RawData(files)


class RawData:
    """The rows of an export, read when they are asked for.

    Parameters
    ----------
    files : sequence of Source
        The files, in the order that their rows shall have.
    selectors : sequence of str, optional
        The columns as asked for; every file has to have exactly these. None: those of the first
        file.
    limits : Limits, optional
        How far a file may grow when it is decompressed.
    """

    def __init__(
        self,
        files: Sequence[Source],
        selectors: Sequence[str] | None = None,
        *,
        limits: Limits | None = None,
    ) -> None:
        self.files = tuple(files)
        self._selectors = None if selectors is None else tuple(selectors)
        self._limits = limits or Limits()

    def __repr__(self) -> str:
        files = "1 file" if len(self.files) == 1 else f"{len(self.files)} files"
        columns = f", {len(self._selectors)} columns" if self._selectors else ""
        return f"<RawData: {files}{columns}>"

    @property
    def selectors(self) -> tuple[str, ...]:
        """The columns, in order."""
        if self._selectors is None:
            source = self.files[0]
            with closing(source.open()) as chunks:
                header, _ = open_csv(inflate(chunks, source.name, self._limits), source.name)
            self._selectors = tuple(header)
        return self._selectors

    @property
    def schema(self) -> pa.Schema:
        """The Arrow type of every column, as far as the dictionary says (see `schema.field`)."""
        return schema(self.selectors)

    def to_arrow(self, *, params: str | Sequence[str] | None = None) -> pa.Table:
        """All rows as an Arrow table.

        Parameters
        ----------
        params : {"map"} or sequence of str, optional
            What to make of the columns params.name and params.value (see `with_params`).

        Returns
        -------
        pyarrow.Table
            With the types of `schema`. A column with a cell that does not fit its type is text,
            and a `ColumnTypeWarning` names the cell.

        Raises
        ------
        FileError
            If a file cannot be fetched or read; ``.file`` and ``.line`` say where.
        """
        return self._table(params)

    def to_pandas(
        self,
        *,
        dtype_backend: DtypeBackend = "pyarrow",
        params: str | Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """All rows as a pandas DataFrame.

        Parameters
        ----------
        dtype_backend : {"pyarrow", "numpy_nullable"}
            Arrow-backed columns, or pandas' own nullable numbers, ``string`` and
            ``datetime64``. Titles are categorical in both; lists are always Arrow-backed.
        params : {"map"} or sequence of str, optional
            What to make of the columns params.name and params.value (see `with_params`).

        Returns
        -------
        pandas.DataFrame
            Columns in the order asked for, rows in the order of the files; what the columns hold
            is in ``.attrs``.

        Raises
        ------
        FileError
            If a file cannot be fetched or read.
        """
        return _to_pandas(self._table(params), dtype_backend)

    def head(self, n: int = 20) -> pd.DataFrame:
        """The first rows, without fetching more than they need.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        pandas.DataFrame
            As `to_pandas` gives it; all rows where there are fewer.
        """
        import pyarrow as pa

        parser = Parser(self.selectors)
        while True:
            known = len(parser.misfits)
            parts: list[pa.Table] = []
            rows = 0
            for source in self.files:
                for table in self._tables(source, parser, size=_HEAD_PIECE):
                    parts.append(table)
                    rows += len(table)
                    if rows >= n:
                        break
                if rows >= n:
                    break
            if len(parser.misfits) == known:
                break
        _tell(parser)
        whole = pa.concat_tables([parser.schema.empty_table(), *parts])
        return _to_pandas(whole.unify_dictionaries().slice(0, n), "pyarrow")

    def _table(self, params: str | Sequence[str] | None) -> pa.Table:
        import pyarrow as pa

        parser, tables = self._each(lambda _, tables: list(tables))
        parts = [table for file in tables for table in file]
        whole = pa.concat_tables(parts) if parts else parser.schema.empty_table()
        return with_params(whole.unify_dictionaries(), params)

    def _tables(self, source: Source, parser: Parser, *, size: int = PIECE) -> Iterator[pa.Table]:
        """The rows of one file, a piece at a time."""
        known = len(parser.misfits)
        with closing(source.open()) as chunks:
            text = inflate(chunks, source.name, self._limits)
            header, pieces = open_csv(text, source.name, size)
            self._check_header(header, source.name)
            for piece in pieces:
                table = parser.parse(piece, header, source.name)
                # After a misfit everything is read once more; go on only to find the others.
                if len(parser.misfits) == known:
                    yield table

    def _check_header(self, header: Sequence[str], name: str) -> None:
        if sorted(header) == sorted(self.selectors):
            return
        missing = ", ".join(sorted(set(self.selectors) - set(header)))
        extra = ", ".join(sorted(set(header) - set(self.selectors)))
        twice = ", ".join(sorted({column for column in header if header.count(column) > 1}))
        facts = [
            f"{label}: {printable(columns[:200])}"
            for label, columns in (("missing", missing), ("not asked for", extra), ("twice", twice))
            if columns
        ]
        raise FileError(
            f"{name}, line 1: the header is not that of this export ({'; '.join(facts)}). "
            "Read files of different exports on their own",
            file=name,
            line=1,
        )

    def _each(self, consume: Callable[[int, Iterator[pa.Table]], _T]) -> tuple[Parser, list[_T]]:
        """What `consume` makes of each file's tables, a few files at once.

        All tables of all files have the same types: where a cell does not fit, everything is read
        to the end to find all such columns, and then once more.
        """
        parser = Parser(self.selectors)
        stop = threading.Event()

        def run(number: int, source: Source) -> _T:
            while True:
                try:
                    return consume(number, _until(stop, _ahead(self._tables(source, parser))))
                except CorruptFile:
                    if stop.is_set() or not source.retry():
                        raise

        threads = max(1, min(len(self.files), os.cpu_count() or 1, _MOST_FILES_AT_ONCE))
        while True:
            known = len(parser.misfits)
            with ThreadPoolExecutor(threads, "mytracker-file") as pool:
                try:
                    results = list(pool.map(run, range(len(self.files)), self.files))
                except BaseException:
                    stop.set()
                    pool.shutdown(cancel_futures=True)
                    raise
            if len(parser.misfits) == known:
                _tell(parser)
                return parser, results
            del results


def _tell(parser: Parser) -> None:
    for misfit in parser.misfits.values():
        warnings.warn(str(misfit), ColumnTypeWarning, stacklevel=5)


def _until(stop: threading.Event, items: Generator[_T, None, None]) -> Iterator[_T]:
    """The items until `stop` is set, which ends the thread that wants them."""
    with closing(items):
        for item in items:
            if stop.is_set():
                raise MyTrackerError("stopped, because another file failed")
            yield item


def _ahead(items: Iterator[_T], depth: int = 2) -> Generator[_T, None, None]:
    """The same items, the next ones made on a thread of their own meanwhile."""
    ready: queue.Queue[tuple[bool, Any]] = queue.Queue(depth)
    wanted = True

    def work() -> None:
        try:
            for item in items:
                ready.put((True, item))
                if not wanted:
                    return
            ready.put((False, None))
        except BaseException as error:
            ready.put((False, error))

    thread = threading.Thread(target=work, name="mytracker-ahead", daemon=True)
    thread.start()
    try:
        while True:
            good, item = ready.get()
            if good:
                yield item
            elif item is None:
                return
            else:
                raise item
    finally:
        wanted = False
        while thread.is_alive():
            # It may be waiting for a place in the queue.
            try:
                ready.get(timeout=0.01)
            except queue.Empty:
                continue


def _to_pandas(table: pa.Table, dtype_backend: DtypeBackend) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    numpy = {
        pa.int64(): pd.Int64Dtype(),
        pa.float64(): pd.Float64Dtype(),
        pa.string(): pd.StringDtype("pyarrow"),
    }

    def dtype(arrow: pa.DataType) -> Any:
        if pa.types.is_dictionary(arrow):
            return None  # categorical
        if dtype_backend == "pyarrow" or pa.types.is_nested(arrow):
            return pd.ArrowDtype(arrow)
        return numpy.get(arrow)

    if dtype_backend not in ("pyarrow", "numpy_nullable"):
        raise ValueError(
            f"dtype_backend is {dtype_backend!r}; it can be 'pyarrow' or 'numpy_nullable'"
        )
    frame: pd.DataFrame = table.to_pandas(
        types_mapper=dtype, date_as_object=False, split_blocks=True
    )
    frame.attrs.update(descriptions(table.column_names))
    return frame
