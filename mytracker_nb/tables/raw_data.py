"""`RawData`: the rows of an export in the form that an analysis needs.

One Arrow core reads the files; every target (pandas, polars, DuckDB, Parquet, Dask) hands on what
it gives.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from mytracker_nb.download.gzip_csv import (
    PIECE,
    CorruptFile,
    Limits,
    inflate,
    match_header,
    open_csv,
    read_through,
)
from mytracker_nb.download.sources import FileReader, LocalFile, Progress, source_of
from mytracker_nb.download.workers import ahead, run_all, until
from mytracker_nb.errors import FileError, MyTrackerError
from mytracker_nb.service.stopping import Stop
from mytracker_nb.storage.staging import staged_directory
from mytracker_nb.tables.arrow_memory import CHUNK, copy_to_pool, rechunk
from mytracker_nb.tables.csv_parser import CellTypeError, Parser
from mytracker_nb.tables.dataset import refuse_content, unwritable
from mytracker_nb.tables.event_params import (
    ParamsOption,
    check_params,
    is_replaced,
    with_params,
)
from mytracker_nb.tables.optional import optional
from mytracker_nb.tables.parquet_source import ParquetSource
from mytracker_nb.tables.parquet_writer import ParquetFiles, check_partition
from mytracker_nb.tables.schema import schema
from mytracker_nb.tables.to_pandas import (
    DtypeBackend,
    FrameOptions,
    check_zone,
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
_HEAD_PIECE = 64 << 10
# Smaller than is fast, for when little memory is left.
_LATE_PIECE = 2 << 20
_MOST_FILES_AT_ONCE = 4


class ColumnTypeWarning(UserWarning):
    """A column holds what does not fit its type and is handed out as text."""


class Source(Protocol):
    """Where the bytes of one file come from."""

    @property
    def name(self) -> str:
        """What the file is called in messages."""

    def open(self) -> FileReader:
        """The compressed bytes from the start; told when they were found sound."""

    def retry(self) -> bool:
        """Told when they turned out to be damaged; whether to open it once more."""

    def ticket(self) -> dict[str, str]:
        """What another process needs to read it, without any key."""


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
    as_text : sequence of str
        Columns to take as text, whatever the dictionary says.
    limits : Limits, optional
        How far a file may grow when it is decompressed.
    progress : Progress, optional
        Hears of every byte of `files`; told on the thread that asks for the rows.
    timezone : str, optional
        The zone of the request, for ``tz="request"``.
    on_rows : callable, optional
        Called with the number of rows each time that all of them were read.

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
        # files of an export with a cell that did not fit, and of one without, are read alike
        self._as_text = frozenset(as_text).union(*(file.as_text for file in parsed))
        self._limits = limits or Limits()
        self._progress = progress or Progress(len(self.files))
        self._timezone = timezone
        self._on_rows = on_rows

    def __repr__(self) -> str:
        files = "1 file" if len(self.files) == 1 else f"{len(self.files)} files"
        columns = f", {len(self._selectors)} columns" if self._selectors else ""
        return f"<RawData: {files}{columns}>"

    @property
    def bytes_read(self) -> int:
        """How many bytes of the files were read so far, as they are compressed."""
        return self._progress.bytes_done

    @property
    def selectors(self) -> tuple[str, ...]:
        """The columns, in order."""
        if self._selectors is None:
            source = self.files[0]
            self._selectors = _patiently(source, partial(self._header, source))
        return self._selectors

    def _header(self, source: Source | ParquetSource) -> tuple[str, ...]:
        if isinstance(source, ParquetSource):
            return source.columns()
        with source.open() as reading:
            header, _ = open_csv(inflate(reading, source.name, self._limits), source.name)
        return tuple(header)

    @property
    def schema(self) -> pa.Schema:
        """The Arrow type of every column, as far as the dictionary says (see `schema.field`)."""
        return schema(self.selectors, as_text=self._as_text)

    def to_arrow(self, *, params: ParamsOption = None) -> pa.Table:
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
        dtype_backend: DtypeBackend = "numpy_nullable",
        categories: bool | None = None,
        tz: str = "UTC",
        params: ParamsOption = None,
    ) -> pd.DataFrame:
        """All rows as a pandas DataFrame.

        Parameters
        ----------
        dtype_backend : {"numpy_nullable", "pyarrow"}
            ``"numpy_nullable"``: pandas' own types. Times are ``datetime64[us, UTC]``, dates
            ``datetime64[us]``, ids and whole numbers ``Int64``, other numbers ``Float64``; text,
            keys and titles are ``str`` (``string`` before pandas 3), arrays tuples. ``"pyarrow"``:
            the types of `schema`, which take less memory.
        categories : bool, optional
            Whether titles are categories; by default only with ``dtype_backend="pyarrow"``.
        tz : str
            The zone of the times: a name such as ``"Europe/Moscow"``, or ``"request"`` for that of
            the request, in which the service counts days.
        params : {"map"} or sequence of str, optional
            What to make of the columns params.name and params.value (see `with_params`). A map is
            a dict that cannot be changed (`EventParams`).

        Returns
        -------
        pandas.DataFrame
            Columns in the order asked for, rows in the order of the files; what the columns hold
            is in ``.attrs``.

        Raises
        ------
        FileError
            If a file cannot be fetched or read.
        MyTrackerError
            If an option has a value that it does not take.
        """
        options = FrameOptions(dtype_backend, categories, self._zone(tz))
        parser, frame = self._frame(options, params)
        _warn_of_misfits(parser, params)
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

    def to_polars(self, *, params: ParamsOption = None) -> pl.DataFrame:
        """All rows as a polars DataFrame; memory is shared with Arrow where polars can.

        Parameters
        ----------
        params : {"map"} or sequence of str, optional
            What to make of the columns params.name and params.value (see `with_params`).

        Raises
        ------
        FileError
            If a file cannot be fetched or read.
        MyTrackerError
            If polars is not installed.
        """
        polars = optional("polars")
        frame: pl.DataFrame = polars.from_arrow(self._table(params), rechunk=False)
        return frame

    def to_duckdb(
        self,
        connection: duckdb.DuckDBPyConnection | None = None,
        *,
        tz: str = "UTC",
        params: ParamsOption = None,
    ) -> duckdb.DuckDBPyRelation:
        """All rows as a DuckDB relation over the Arrow table, which is not copied.

        Parameters
        ----------
        connection : duckdb.DuckDBPyConnection, optional
            Where to; DuckDB's default connection by default.
        tz : str
            The zone in which the connection counts days and shows times from now on: its setting
            ``TimeZone``, which otherwise is the zone of the machine. A name, or ``"request"`` for
            the zone of the request.
        params : {"map"} or sequence of str, optional
            What to make of the columns params.name and params.value (see `with_params`).

        Raises
        ------
        FileError
            If a file cannot be fetched or read.
        MyTrackerError
            If DuckDB is not installed.
        """
        engine = connection or optional("duckdb")  # the module has a connection of its own
        zone = self._zone(tz)
        check_zone(zone)
        table = self._table(params)
        engine.execute(f"SET TimeZone = '{zone}'")
        return engine.from_arrow(table)

    def to_parquet(
        self,
        directory: str | os.PathLike[str],
        *,
        partition_by: str | None = None,
        params: ParamsOption = None,
    ) -> Path:
        """All rows as a Parquet dataset, in bounded memory whatever their number.

        The directory appears when all files in it are complete. `open_dataset` and every reader of
        Parquet read it.

        Parameters
        ----------
        directory : path
            Where to; it is made, or has to be empty but for names that start with ``_`` or ``.``.
        partition_by : str, optional
            A column, best a date: the rows of each of its values get files in a directory of their
            own (``dtEvent_2026-11-01/``). The column stays in the files, with its type.
        params : {"map"} or sequence of str, optional
            What to make of the columns params.name and params.value (see `with_params`).

        Returns
        -------
        Path
            The directory.

        Raises
        ------
        FileError
            If a file cannot be fetched, read or written, or the directory has other content;
            nothing is left in it then.
        MyTrackerError
            If there is no column `partition_by`.
        """
        check_params(params, self.selectors)
        check_partition(partition_by, with_params(self.schema.empty_table(), params).schema)
        target = Path(directory)
        try:
            refuse_content(target)
            with staged_directory(target) as staging:
                self.write_parquet(staging, partition_by=partition_by, params=params).finish()
        except OSError as error:
            # another process may have been faster
            refuse_content(target)
            raise unwritable(target, error) from error
        return target

    def write_parquet(
        self,
        directory: Path,
        *,
        partition_by: str | None = None,
        params: ParamsOption = None,
    ) -> ParquetFiles:
        """Write all rows to a directory, under names that no reader takes for a Parquet file.

        Parameters
        ----------
        directory : Path
            Where to; it exists, and nothing else is written to it.
        partition_by, params
            As for `to_parquet`, which checks them.
        """
        files = ParquetFiles(directory, partition_by)
        parser, _ = self._each(files.write, params)
        _warn_of_misfits(parser, params)
        files.collect()
        if not files.files():
            files.write(0, iter([with_params(parser.schema.empty_table(), params)]))
            files.collect()
        return files

    def to_dask(
        self,
        client: distributed.Client | None = None,
        *,
        params: ParamsOption = None,
        as_text: Sequence[str] = (),
    ) -> dask.dataframe.DataFrame:
        """A Dask DataFrame of one partition a file, each loaded by the worker that needs it.

        A worker gets the link with its signed header, never the secret key. Columns have the types
        of `to_pandas`, but text is Dask's ``string``; arrays are tuples. On a cluster Dask shuffles
        rows through Arrow by default, which makes numpy arrays of tuples, and adds names to a map.
        ``dask.config.set({"dataframe.shuffle.method": "tasks"})`` keeps both. Text columns, such as
        those of ``params=["level"]``, always stay as they are.

        Parameters
        ----------
        client : distributed.Client, optional
            A cluster that shall load all partitions now and hold them. None: they are loaded when
            something is computed, by whatever computes it, while the links are good.
        params : {"map"} or sequence of str, optional
            What to make of the columns params.name and params.value (see `with_params`).
        as_text : sequence of str
            Columns to take as text. No partition knows of the others, so a cell that does not fit
            its type is an error here.

        Raises
        ------
        MyTrackerError
            If Dask is not installed.
        """
        frames = optional("dask.dataframe", "dask")
        selectors = self.selectors
        check_params(params, selectors)
        as_text = sorted(self._as_text.union(as_text))
        # as the parser of a partition has it
        typed = Parser(selectors, as_text, encode_lists=params is None).schema
        table = with_params(typed.empty_table(), params)
        empty = _partition(to_frame(table.schema, [], FrameOptions()))
        # Dask would make text of every column of objects, tuples too
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

        parser = Parser(self.selectors, self._as_text, encode_lists=True)
        while True:
            known = len(parser.misfits)
            parts = [parser.schema.empty_table()]
            for source in self.files:
                wanted = n - sum(map(len, parts))
                if wanted > 0:
                    parts += _patiently(source, partial(self._first, source, parser, wanted))
            if len(parser.misfits) == known:
                break
        _warn_of_misfits(parser, None)
        (rows,) = rechunk([pa.concat_tables(parts).slice(0, n)], max(n, 1)) if n else [parts[0]]
        return to_frame(rows.schema, [to_columns(rows)], FrameOptions())

    def fetch(self) -> None:
        """Fetch the files one after the other and keep them for later, without reading the rows.

        Raises
        ------
        FileError
            If one cannot be fetched or is damaged.
        """
        for source in self.files:
            _patiently(source, partial(self._read_through, source))

    def _read_through(self, source: Source | ParquetSource) -> None:
        if isinstance(source, ParquetSource):
            return
        with source.open() as reading:
            text = inflate(reading, source.name, self._limits)
            read_through(text, source.name, self._selectors)
            reading.commit()

    def _first(self, source: Source | ParquetSource, parser: Parser, rows: int) -> list[pa.Table]:
        """Tables of at least so many rows of a file, if it has them."""
        parts: list[pa.Table] = []
        with closing(self._tables(source, parser, size=_HEAD_PIECE)) as tables:
            for table in tables:
                parts.append(table)
                if sum(map(len, parts)) >= rows:
                    break
        return parts

    def _frame(self, options: FrameOptions, params: ParamsOption) -> tuple[Parser, pd.DataFrame]:
        # takes half a second the first time, in which files are read
        threading.Thread(target=import_module, args=("pandas",)).start()
        parser, parts = self._each(
            lambda number, tables: [
                to_columns(table, release_memory=self._is_late(number))
                for table in rechunk(tables, CHUNK)
            ],
            params,
            stay=True,
            encode_lists=not options.is_arrow,
        )
        empty = with_params(parser.schema.empty_table(), params)
        return parser, to_frame(empty.schema, list(itertools.chain.from_iterable(parts)), options)

    def _table(self, params: ParamsOption) -> pa.Table:
        parser, table = self._rows(params)
        _warn_of_misfits(parser, params)
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
            stay=True,
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
        """The rows of one file, a piece at a time; if `eager`, fetched ahead of the parser."""
        if isinstance(source, ParquetSource):
            yield from until(stop or Stop(), source.tables(parser.schema))
            return
        known = len(parser.misfits)
        found: dict[str, CellTypeError] = {}
        with source.open() as reading:
            text = until(stop or Stop(), inflate(reading, source.name, self._limits))
            with _read_on(text):
                header, pieces = open_csv(text, source.name, size)
                header = match_header(header, self.selectors, source.name)
                with closing(ahead(pieces) if eager else pieces) as ready:
                    for piece in ready:
                        table = parser.parse(piece, header, source.name, found)
                        # After a misfit everything is read once more; go on to find the others.
                        if not found and len(parser.misfits) == known:
                            yield table
            reading.commit()
        # What does not fit in a damaged file tells nothing.
        for name, misfit in found.items():
            parser.misfits.setdefault(name, misfit)

    def _is_late(self, number: int) -> bool:
        """Whether a file is one of the last, when most rows are there and memory is at its most."""
        return number >= len(self.files) - _threads()

    def _each(
        self,
        consume: Callable[[int, Iterator[pa.Table]], _T],
        params: ParamsOption,
        *,
        stay: bool = False,
        encode_lists: bool = False,
    ) -> tuple[Parser, list[_T]]:
        """What `consume` makes of each file's tables, a few files at once; whether the rows stay.

        All tables of all files have the same types: where a cell does not fit, everything is read
        to the end to find all such columns, and then once more.
        """
        check_params(params, self.selectors)
        # parameters are made of plain lists
        encode_lists = encode_lists and params is None
        parser = Parser(self.selectors, self._as_text, encode_lists=encode_lists)
        stop = Stop()
        counts = [0] * len(self.files)
        threads = _threads()
        # With a file for each, all are busy; else the steps of one file share them.
        eager = len(self.files) < threads

        def run(number: int) -> _T:
            source = self.files[number]

            def read() -> _T:
                size = _LATE_PIECE if stay and self._is_late(number) else PIECE
                tables = self._tables(source, parser, size=size, eager=eager, stop=stop)
                counted = _counted(until(stop, tables), counts, number)
                ready = (with_params(table, params) for table in counted)
                with closing(ahead(ready) if eager else ready) as ready:
                    return consume(number, ready)

            return _patiently(source, read)

        while True:
            known = len(parser.misfits)
            results = run_all(
                run,
                len(self.files),
                threads=threads,
                stop=stop,
                tick=self._progress.tell,
                # what is kept need not be fetched again when the others can be had
                go_on=any(getattr(file, "kept", None) for file in self.files),
            )
            if len(parser.misfits) == known:
                _log.info("read %d rows, files: %d", sum(counts), len(self.files))
                if self._on_rows:
                    self._on_rows(sum(counts))
                return parser, results
            del results


def _counted(tables: Iterable[pa.Table], counts: list[int], number: int) -> Iterator[pa.Table]:
    """The tables of a file; its rows are counted from the start, as it may be read again."""
    counts[number] = 0
    for table in tables:
        counts[number] += len(table)
        yield table


@contextmanager
def _read_on(text: Iterable[bytes]) -> Iterator[None]:
    """Where rows cannot be read, read the rest: damage may show in them before the checksum does.

    Raises
    ------
    CorruptFile
        In place of any other `FileError`, if the text turns out to be damaged.
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
    """The rows of one file, on a worker (see `RawData.to_dask`)."""
    source = ParquetSource.of_ticket(ticket) if "parquet" in ticket else source_of(ticket)
    data = RawData([source], selectors, as_text=as_text)
    parser, frame = data._frame(FrameOptions(), params)
    for misfit in parser.misfits.values():
        raise FileError(
            f"{misfit}. Name such columns in to_dask(as_text=[...])",
            file=misfit.file,
            line=misfit.line,
        )
    return _partition(frame)


def _partition(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with text of the type that Dask makes of text in other frames.

    Else it warns where two of them are merged.
    """
    import pandas as pd

    text = pd.StringDtype("pyarrow")
    return frame.astype(
        {name: text for name, old in frame.dtypes.items() if isinstance(old, pd.StringDtype)}
    )


def _patiently(source: Source | ParquetSource, read: Callable[[], _T]) -> _T:
    """What `read` gives; where the file is damaged and a new one may be had, what it then gives."""
    while True:
        try:
            return read()
        except CorruptFile:
            if not source.retry():
                raise


def _warn_of_misfits(parser: Parser, params: ParamsOption) -> None:
    for misfit in parser.misfits.values():
        outcome = (
            "the row counts as one without parameters"
            if is_replaced(misfit.selector, params)
            else "the column was loaded as text"
        )
        warnings.warn(f"{misfit}; {outcome}", ColumnTypeWarning, stacklevel=4)
