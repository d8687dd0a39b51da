"""`RawData`: the rows of an export, converted to what an analysis needs.

Files are parsed to Arrow tables once; pandas, polars, DuckDB, Parquet and Dask convert these.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import warnings
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from copy import copy
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from mytracker_nb.download.gzip_csv import (
    BLOCK_SIZE,
    CorruptFile,
    Limits,
    inflate,
    match_header,
    open_csv,
    verify,
)
from mytracker_nb.download.sources import FileReader, LocalFile, Progress, source_of
from mytracker_nb.download.workers import prefetch, run_all, until_stopped
from mytracker_nb.errors import FileError, MyTrackerError, WaitInterrupted
from mytracker_nb.service.stopping import Stop
from mytracker_nb.storage.staging import staged_directory
from mytracker_nb.tables.arrow_memory import CHUNK, copy_to_pool, pool, rechunk
from mytracker_nb.tables.csv_parser import CellTypeError, Parser
from mytracker_nb.tables.dataset import refuse_content, unwritable
from mytracker_nb.tables.duckdb_connection import connection_in_zone
from mytracker_nb.tables.event_params import (
    ParamsOption,
    check_params,
    is_replaced,
    with_params,
)
from mytracker_nb.tables.optional_libraries import optional
from mytracker_nb.tables.parquet_source import ParquetSource
from mytracker_nb.tables.parquet_writer import ParquetFiles, check_partition
from mytracker_nb.tables.resumable import Resumable, resumable
from mytracker_nb.tables.schema import schema
from mytracker_nb.tables.to_pandas import (
    DtypeBackend,
    FrameOptions,
    to_columns,
    to_frame,
)

if TYPE_CHECKING:
    import dask.dataframe
    import distributed
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["ColumnTypeWarning", "RawData", "Source", "load_partition", "open_files"]

_log = logging.getLogger(__name__)

_T = TypeVar("_T")
_HEAD_BLOCK = 64 << 10
# Smaller than is fast: for the last files, when most rows are in memory.
_LATE_BLOCK = 1 << 20
_MOST_FILES_AT_ONCE = 4


class ColumnTypeWarning(UserWarning):
    """A cell does not fit the type of its column, so the column was loaded as text."""


class Source(Protocol):
    """A file, on disk or on the service."""

    @property
    def name(self) -> str:
        """The file's name in messages."""

    def open(self) -> FileReader:
        """The compressed bytes from the start; call `FileReader.commit` once they are verified."""

    def retry(self) -> bool:
        """Note that the bytes are damaged; return whether to open the file again."""

    def ticket(self) -> dict[str, str]:
        """The facts from which another process opens the file, without any key."""


def open_files(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> RawData:
    """Open files of an export that are already on disk.

    Parameters
    ----------
    paths : path or iterable of paths
        gzip CSV files of the service with the same columns, in the order of their rows.

    Returns
    -------
    RawData
        The rows; a file is read when they are converted.

    Raises
    ------
    MyTrackerError
        If there is no path.

    Examples
    --------
    >>> export = mt.export(event="installs", selectors="idDevice, tsEvent",
    ...                    dateFrom="today-7d", dateTo="yesterday")
    >>> paths = export.download("files")
    >>> mt.open_files(paths).to_arrow().column_names
    ['idDevice', 'tsEvent']
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    files = [LocalFile(Path(path)) for path in paths]
    if not files:
        raise MyTrackerError("open_files needs the path of at least one .csv.gz file")
    return RawData(files)


class RawData(Resumable):
    """The rows of an export; the files are read when the rows are converted.

    Parameters
    ----------
    files : sequence of Source
        The files, in the order of their rows.
    selectors : sequence of str, optional
        The requested columns; each file must have them. None: the columns of the first file.
    as_text : sequence of str
        Columns to load as text, whatever their type in the dictionary.
    limits : Limits, optional
        How far a file may grow when it is decompressed.
    progress : Progress, optional
        The progress of `files`, reported on the thread that converts the rows.
    timezone : str, optional
        The time zone of the request, for ``tz="request"``.
    on_rows : callable, optional
        Called with the number of rows each time that all of them were read.

    Attributes
    ----------
    owner : Resumable or None
        The export of the rows, which says after an interrupt how to resume; None for those of a
        plan or of files.

    Examples
    --------
    >>> data = mt.export(event="installs", selectors="idDevice, tsEvent",
    ...                  dateFrom="today-7d", dateTo="yesterday").data()
    >>> data.to_arrow().column_names
    ['idDevice', 'tsEvent']
    >>> frame = data.to_pandas()
    """

    def __init__(
        self,
        files: Sequence[Source | ParquetSource],
        selectors: Sequence[str] | None = None,
        *,
        as_text: Sequence[str] = (),
        limits: Limits | None = None,
        progress: Progress | None = None,
        timezone: str | None = None,
        on_rows: Callable[[int], object] | None = None,
    ) -> None:
        self.files = tuple(files)
        self._selectors = None if selectors is None else tuple(selectors)
        parsed = [file for file in self.files if isinstance(file, ParquetSource)]
        # a column that is text in one recorded file is text in all of them
        self._as_text = frozenset(as_text).union(*(file.as_text for file in parsed))
        self._limits = limits or Limits()
        self._progress = progress or Progress(len(self.files))
        self._timezone = timezone
        self._on_rows = on_rows
        self.owner: Resumable | None = None

    def __repr__(self) -> str:
        files = "1 file" if len(self.files) == 1 else f"{len(self.files)} files"
        columns = f", {len(self._selectors)} columns" if self._selectors else ""
        return f"<RawData: {files}{columns}>"

    def _after_interrupt(self) -> WaitInterrupted:
        if self.owner is None:
            return super()._after_interrupt()
        return self.owner._after_interrupt()

    @property
    def bytes_read(self) -> int:
        """How many compressed bytes of the files were read so far."""
        return self._progress.bytes_done

    @property
    def selectors(self) -> tuple[str, ...]:
        """The columns, in order."""
        if self._selectors is None:
            source = self.files[0]
            self._selectors = _with_refetch(source, partial(self._header, source))
        return self._selectors

    def _header(self, source: Source | ParquetSource) -> tuple[str, ...]:
        if isinstance(source, ParquetSource):
            return source.columns()
        with source.open() as reading:
            header, _ = open_csv(inflate(reading, source.name, self._limits), source.name)
        return tuple(header)

    @property
    def schema(self) -> pa.Schema:
        """The names and Arrow types of the columns, by the dictionary (see `schema.field`)."""
        return schema(self.selectors, as_text=self._as_text)

    @resumable
    def to_arrow(self, *, params: ParamsOption = None) -> pa.Table:
        """Convert all rows to an Arrow table.

        Parameters
        ----------
        params : {"map"} or sequence of str, optional
            How to convert the columns params.name and params.value (see `with_params`).

        Returns
        -------
        pyarrow.Table
            With the types of `schema`. If a cell does not fit the type of its column, the column
            is text, and a `ColumnTypeWarning` names the cell.

        Raises
        ------
        FileError
            If a file can't be fetched or read; ``.file`` and ``.line`` say where.
        MyTrackerError
            If `params` is invalid.
        """
        return self._table(params)

    @resumable
    def to_pandas(
        self,
        *,
        dtype_backend: DtypeBackend = "numpy_nullable",
        categories: bool | None = None,
        tz: str = "UTC",
        params: ParamsOption = None,
    ) -> pd.DataFrame:
        """Convert all rows to a pandas DataFrame.

        Parameters
        ----------
        dtype_backend : {"numpy_nullable", "pyarrow"}
            ``"numpy_nullable"``: pandas' own types. Times are ``datetime64[us, UTC]``, dates
            ``datetime64[us]``, ids and whole numbers ``Int64``, other numbers ``Float64``; text,
            keys and titles are ``str`` (``string`` before pandas 3), arrays are tuples.
            ``"pyarrow"``: the types of `schema`, which take less memory.
        categories : bool, optional
            Whether titles are categories; by default only with ``dtype_backend="pyarrow"``.
        tz : str
            The time zone of the times: a name such as ``"Europe/Moscow"``, or ``"request"`` for
            that of the request, in which the service counts days.
        params : {"map"} or sequence of str, optional
            How to convert the columns params.name and params.value (see `with_params`). A map is
            an immutable dict (`EventParams`).

        Returns
        -------
        pandas.DataFrame
            Columns in the order of the request, rows in the order of the files; ``.attrs`` has a
            description of each column.

        Raises
        ------
        FileError
            If a file can't be fetched or read.
        MyTrackerError
            If `tz` or `params` is invalid.
        ValueError
            If `dtype_backend` is unknown.
        """
        options = FrameOptions(dtype_backend, categories, self._zone(tz))
        parser, frame = self._frame(options, params)
        _warn_of_type_errors(parser, params)
        return frame

    def _zone(self, tz: str) -> str:
        if tz != "request":
            return tz
        if self._timezone is None:
            raise MyTrackerError(
                "tz='request': the request of these rows is not known here. "
                "Name the zone, such as tz='Europe/Moscow'"
            )
        return self._timezone

    @resumable
    def to_polars(self, *, params: ParamsOption = None) -> pl.DataFrame:
        """Convert all rows to a polars DataFrame; polars shares memory with Arrow where it can.

        Parameters
        ----------
        params : {"map"} or sequence of str, optional
            How to convert the columns params.name and params.value (see `with_params`).

        Returns
        -------
        polars.DataFrame
            With the types of `schema`.

        Raises
        ------
        FileError
            If a file can't be fetched or read.
        MyTrackerError
            If polars is not installed.
        """
        polars = optional("polars")
        frame: pl.DataFrame = polars.from_arrow(self._table(params), rechunk=False)
        return frame

    @resumable
    def to_duckdb(
        self,
        connection: duckdb.DuckDBPyConnection | None = None,
        *,
        tz: str = "UTC",
        params: ParamsOption = None,
    ) -> duckdb.DuckDBPyRelation:
        """Convert all rows to a DuckDB relation over the Arrow table, which is not copied.

        Parameters
        ----------
        connection : duckdb.DuckDBPyConnection, optional
            The connection; by default DuckDB's own.
        tz : str
            The time zone in which the connection counts days and shows times from now on, its
            setting ``TimeZone``; DuckDB's default is that of the machine. A name, or ``"request"``
            for the zone of the request.
        params : {"map"} or sequence of str, optional
            How to convert the columns params.name and params.value (see `with_params`).

        Returns
        -------
        duckdb.DuckDBPyRelation
            A relation of the rows.

        Raises
        ------
        FileError
            If a file can't be fetched or read.
        MyTrackerError
            If DuckDB is not installed.
        """
        # before the rows are read: what is wrong with an option shows at once
        engine = connection_in_zone(connection, self._zone(tz))
        return engine.from_arrow(self._table(params))

    @resumable
    def to_parquet(
        self,
        directory: str | os.PathLike[str],
        *,
        partition_by: str | None = None,
        params: ParamsOption = None,
    ) -> Path:
        """Write all rows as a Parquet dataset, in bounded memory whatever their number.

        The directory appears once all files in it are complete. `open_dataset` and any Parquet
        reader can read it.

        Parameters
        ----------
        directory : path
            The directory; it is created, or must be empty but for names that start with ``_`` or
            ``.``.
        partition_by : str, optional
            A column, best a date: the rows of each of its values are written to a directory of
            their own (``dtEvent_2026-11-01/``). The column stays in the files, with its type.
        params : {"map"} or sequence of str, optional
            How to convert the columns params.name and params.value (see `with_params`).

        Returns
        -------
        Path
            The directory.

        Raises
        ------
        FileError
            If a file can't be fetched, read or written, or the directory has other content. The
            directory is then unchanged.
        MyTrackerError
            If the column `partition_by` does not exist.
        """
        check_params(params, self.selectors)
        check_partition(partition_by, with_params(self.schema.empty_table(), params).schema)
        target = Path(directory)
        try:
            refuse_content(target)
            with staged_directory(target) as staging:
                self.write_parquet(staging, partition_by=partition_by, params=params).finish()
                refuse_content(target)
        except OSError as error:
            # another process may have written to it meanwhile
            refuse_content(target)
            raise unwritable(target, error) from error
        return target

    def write_parquet(
        self,
        directory: Path,
        *,
        partition_by: str | None = None,
        params: ParamsOption = None,
        as_text: Collection[str] = (),
    ) -> ParquetFiles:
        """Write all rows as Parquet files with temporary names, which no reader opens.

        Parameters
        ----------
        directory : Path
            An existing directory, to which nothing else is written.
        partition_by, params
            As for `to_parquet`, which validates them.
        as_text : collection of str
            Columns to write as text, whatever the dictionary says.

        Returns
        -------
        ParquetFiles
            The files; `ParquetFiles.finish` gives them their final names.
        """
        files = ParquetFiles(directory, partition_by)
        rows = copy(self)
        rows._as_text = self._as_text.union(as_text)
        parser, _ = rows._each(files.write, params)
        _warn_of_type_errors(parser, params)
        files.collect()
        if not files.files():
            files.write(0, iter([with_params(parser.schema.empty_table(), params)]))
            files.collect()
        return files

    @resumable
    def to_dask(
        self,
        client: distributed.Client | None = None,
        *,
        params: ParamsOption = None,
        as_text: Sequence[str] = (),
    ) -> dask.dataframe.DataFrame:
        """Convert the rows to a Dask DataFrame: one partition a file, loaded by a worker.

        A worker gets the link with its signed header, never the secret key. Columns have the types
        of `to_pandas`, but text is Dask's ``string``; arrays are tuples. On a cluster Dask shuffles
        rows through Arrow by default, which makes numpy arrays of tuples, and adds names to a map.
        ``dask.config.set({"dataframe.shuffle.method": "tasks"})`` keeps both. Text columns, such as
        those of ``params=["level"]``, always stay as they are.

        Parameters
        ----------
        client : distributed.Client, optional
            A cluster that loads all partitions now and keeps them in memory. None: they are loaded
            each time something is computed, as long as the service keeps the files.
        params : {"map"} or sequence of str, optional
            How to convert the columns params.name and params.value (see `with_params`).
        as_text : sequence of str
            Columns to load as text. Partitions are loaded independently, so a cell that does not
            fit the type of its column is an error here.

        Returns
        -------
        dask.dataframe.DataFrame
            With one partition a file.

        Raises
        ------
        MyTrackerError
            If Dask is not installed.
        """
        frames = optional("dask.dataframe", "dask")
        selectors = self.selectors
        check_params(params, selectors)
        as_text = sorted(self._as_text.union(as_text))
        # the types that the parser of a partition produces
        typed = Parser(selectors, as_text, encode_lists=params is None).schema
        table = with_params(typed.empty_table(), params)
        empty = _partition(to_frame(table.schema, [], FrameOptions()))
        # otherwise Dask converts all columns of objects to text, tuples too
        with optional("dask.config", "dask").set({"dataframe.convert-string": False}):
            if not self.files:
                return frames.from_pandas(empty, npartitions=1)  # type: ignore[no-any-return]
            frame: dask.dataframe.DataFrame = frames.from_map(
                load_partition,
                [file.ticket() for file in self.files],
                selectors=selectors,
                params=params,
                as_text=tuple(as_text),
                meta=empty,
            )
        return client.persist(frame) if client else frame  # type: ignore[no-untyped-call]

    @resumable
    def head(self, n: int = 20) -> pd.DataFrame:
        """Load the first rows; files are fetched only as far as these need.

        Parameters
        ----------
        n : int
            How many rows.

        Returns
        -------
        pandas.DataFrame
            With the types of `to_pandas`; all rows if there are fewer than `n`.

        Raises
        ------
        FileError
            If a file can't be fetched or read.
        """
        import pyarrow as pa

        parser = Parser(self.selectors, self._as_text, encode_lists=True)
        while True:
            known = len(parser.type_errors)
            parts = [parser.schema.empty_table()]
            for source in self.files:
                wanted = n - sum(map(len, parts))
                if wanted > 0:
                    parts += _with_refetch(source, partial(self._first, source, parser, wanted))
            if len(parser.type_errors) == known:
                break
        _warn_of_type_errors(parser, None)
        (rows,) = rechunk([pa.concat_tables(parts).slice(0, n)], max(n, 1)) if n else [parts[0]]
        return to_frame(rows.schema, [to_columns(rows)], FrameOptions())

    def fetch(self) -> None:
        """Fetch the files to the cache one after the other, without parsing the rows.

        Raises
        ------
        FileError
            If a file can't be fetched or is damaged.
        """
        for source in self.files:
            _with_refetch(source, partial(self._read_through, source))

    def _read_through(self, source: Source | ParquetSource) -> None:
        if isinstance(source, ParquetSource):
            return
        with source.open() as reading:
            text = inflate(reading, source.name, self._limits)
            verify(text, source.name, self._selectors)
            reading.commit()

    def _first(self, source: Source | ParquetSource, parser: Parser, rows: int) -> list[pa.Table]:
        """Tables with the first `rows` rows of a file or a few more; all rows if it has fewer."""
        parts: list[pa.Table] = []
        with closing(self._tables(source, parser, size=_HEAD_BLOCK)) as tables:
            for table in tables:
                parts.append(table)
                if sum(map(len, parts)) >= rows:
                    break
        return parts

    def _frame(self, options: FrameOptions, params: ParamsOption) -> tuple[Parser, pd.DataFrame]:
        # the first import of pandas takes half a second, so it runs beside the reading of files
        threading.Thread(target=import_module, args=("pandas",)).start()
        parser, parts = self._each(
            lambda number, tables: [
                to_columns(table, release_memory=options.is_arrow and self._is_late(number))
                for table in rechunk(tables, CHUNK)
            ],
            params,
            # columns that are not Arrow's take more later, when all have been converted
            spare_memory=options.is_arrow,
            encode_lists=not options.is_arrow,
        )
        empty = with_params(parser.schema.empty_table(), params)
        return parser, to_frame(empty.schema, list(itertools.chain.from_iterable(parts)), options)

    def _table(self, params: ParamsOption) -> pa.Table:
        parser, table = self._rows(params)
        _warn_of_type_errors(parser, params)
        return table

    def _rows(self, params: ParamsOption) -> tuple[Parser, pa.Table]:
        import pyarrow as pa

        parser, tables = self._each(
            lambda number, tables: [
                pa.table(
                    copy_to_pool(table, release_memory=self._is_late(number)), schema=table.schema
                )
                for table in rechunk(tables, CHUNK)
            ],
            params,
            spare_memory=True,
        )
        empty = with_params(parser.schema.empty_table(), params)
        parts = [empty, *itertools.chain.from_iterable(tables)]
        return parser, pa.concat_tables(parts).unify_dictionaries()

    def _tables(
        self,
        source: Source | ParquetSource,
        parser: Parser,
        *,
        size: int,
        eager: bool = False,
        stop: Stop | None = None,
    ) -> Generator[pa.Table, None, None]:
        """The rows of one file, a block at a time; if `eager`, the next block is fetched ahead."""
        if isinstance(source, ParquetSource):
            yield from until_stopped(stop or Stop(), source.tables(parser.schema))
            return
        known = len(parser.type_errors)
        found: dict[str, CellTypeError] = {}
        with source.open() as reading:
            text = until_stopped(stop or Stop(), inflate(reading, source.name, self._limits))
            with _read_on(text):
                header, blocks = open_csv(text, source.name, size)
                header = match_header(header, self.selectors, source.name)
                with closing(prefetch(blocks) if eager else blocks) as ready:
                    for block in ready:
                        table = parser.parse(block, header, source.name, found)
                        # after a type error all files are read again, so read on only to find
                        # further ones
                        if not found and len(parser.type_errors) == known:
                            yield table
            reading.commit()
        # only now is the file verified: type errors of a damaged file mean nothing
        for name, type_error in found.items():
            parser.type_errors.setdefault(name, type_error)

    def _is_late(self, number: int) -> bool:
        """Whether a file is one of the last, when most rows are in memory."""
        return number >= len(self.files) - _threads()

    def _each(
        self,
        consume: Callable[[int, Iterator[pa.Table]], _T],
        params: ParamsOption,
        *,
        spare_memory: bool = False,
        encode_lists: bool = False,
    ) -> tuple[Parser, list[_T]]:
        """Pass the tables of each file to `consume`, a few files at the same time.

        All tables have the same types. If a cell does not fit the type of its column, all files are
        read to the end, to find all such columns, and then again with these as text.

        Parameters
        ----------
        consume : callable
            Takes the number of a file and its tables; its results are returned in order.
        params : {"map"} or sequence of str or None
            As for `to_arrow`.
        spare_memory : bool
            Whether to read the last files in small blocks, which is slower: memory is at its most
            when they are read, as all rows before are in it.
        encode_lists : bool
            As for `Parser`.
        """
        check_params(params, self.selectors)
        pool()  # before the threads that fill it
        # `with_params` takes lists that are not encoded
        encode_lists = encode_lists and params is None
        parser = Parser(self.selectors, self._as_text, encode_lists=encode_lists)
        stop = Stop()
        counts = [0] * len(self.files)
        threads = _threads()
        # with fewer files than threads, fetching, parsing and consuming one file run side by side
        eager = len(self.files) < threads

        def run(number: int) -> _T:
            source = self.files[number]

            def read() -> _T:
                size = _LATE_BLOCK if spare_memory and self._is_late(number) else BLOCK_SIZE
                tables = self._tables(source, parser, size=size, eager=eager, stop=stop)
                counted = _counted(until_stopped(stop, tables), counts, number)
                ready = (with_params(table, params) for table in counted)
                with closing(prefetch(ready) if eager else ready) as ready:
                    return consume(number, ready)

            return _with_refetch(source, read)

        while True:
            known = len(parser.type_errors)
            results = run_all(
                run,
                len(self.files),
                threads=threads,
                stop=stop,
                tick=self._progress.report,
                # files that reach the cache now need not be fetched by the next try
                continue_on_error=any(getattr(file, "cached", None) for file in self.files),
            )
            if len(parser.type_errors) == known:
                _log.info("read %d rows, files: %d", sum(counts), len(self.files))
                if self._on_rows:
                    self._on_rows(sum(counts))
                return parser, results
            del results


def _counted(tables: Iterable[pa.Table], counts: list[int], number: int) -> Iterator[pa.Table]:
    """The tables of a file, counting its rows; from 0, since a damaged file is read again."""
    counts[number] = 0
    for table in tables:
        counts[number] += len(table)
        yield table


@contextmanager
def _read_on(text: Iterable[bytes]) -> Iterator[None]:
    """If rows can't be parsed, read the file to its end before raising the error.

    The cause may be damage, which the checksum at the end shows; then the file is fetched again.

    Raises
    ------
    CorruptFile
        Instead of another `FileError`, if the file is damaged.
    """
    try:
        yield
    except CorruptFile:
        raise
    except FileError:
        for _ in text:
            pass
        raise


def _threads() -> int:
    return min(os.cpu_count() or 1, _MOST_FILES_AT_ONCE)


def load_partition(
    ticket: dict[str, str],
    selectors: Sequence[str],
    params: ParamsOption,
    as_text: Sequence[str],
) -> pd.DataFrame:
    """Load the rows of one file on a Dask worker (see `RawData.to_dask`)."""
    source = ParquetSource.of_ticket(ticket) if "parquet" in ticket else source_of(ticket)
    data = RawData([source], selectors, as_text=as_text)
    parser, frame = data._frame(FrameOptions(), params)
    for type_error in parser.type_errors.values():
        raise FileError(
            f"{type_error}. Name such columns in to_dask(as_text=[...])",
            file=type_error.file,
            line=type_error.line,
        )
    return _partition(frame)


def _partition(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert text to the type that Dask uses; it warns if frames of two text types are merged."""
    import pandas as pd

    text = pd.StringDtype("pyarrow")
    return frame.astype(
        {name: text for name, old in frame.dtypes.items() if isinstance(old, pd.StringDtype)}
    )


def _with_refetch(source: Source | ParquetSource, read: Callable[[], _T]) -> _T:
    """Call `read`; if the file is damaged and can be fetched again, call it again."""
    while True:
        try:
            return read()
        except CorruptFile:
            if not source.retry():
                raise


def _warn_of_type_errors(parser: Parser, params: ParamsOption) -> None:
    for type_error in parser.type_errors.values():
        outcome = (
            "the row is treated as one without parameters"
            if is_replaced(type_error.selector, params)
            else "the column was loaded as text"
        )
        warnings.warn(f"{type_error}; {outcome}", ColumnTypeWarning, stacklevel=4)
