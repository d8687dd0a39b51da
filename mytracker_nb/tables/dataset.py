"""`open_dataset`: reads a Parquet dataset, only the files that belong to it.

`Plan.to_parquet` lists these in a ``_manifest.json``, which it replaces atomically. A directory of
`RawData.to_parquet` appears once it is complete, and all its Parquet files belong to it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mytracker_nb.errors import FileError, printable
from mytracker_nb.tables.duckdb_connection import connection_in_zone
from mytracker_nb.tables.optional_libraries import optional
from mytracker_nb.tables.to_pandas import DtypeBackend, FrameOptions, to_columns, to_frame

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import pyarrow.dataset

__all__ = [
    "FORMAT",
    "MANIFEST",
    "PARTIAL",
    "AvailabilityWarning",
    "ParquetDataset",
    "open_dataset",
    "refuse_content",
    "unwritable",
    "with_coded_lists",
]

MANIFEST = "_manifest.json"
FORMAT = 2
PARTIAL = "_partial-"
"""The prefix of directories in which files are being written."""


class AvailabilityWarning(UserWarning):
    """The service may not have had all rows of an interval yet: the dataset may lack some."""


@dataclass(frozen=True)
class ParquetDataset:
    """The files of a dataset at the time it was opened.

    Attributes
    ----------
    directory : Path
        The directory of the dataset.
    files : tuple of str
        The paths of its files. ``pandas.read_parquet``, ``polars.scan_parquet``,
        ``duckdb.read_parquet`` and ``dask.dataframe.read_parquet`` accept them as a list.
    complete_as_of : datetime.datetime or None
        The dataset has all rows that were available in MyTracker until this time (UTC); None if it
        was not recorded, or not all windows of the last `Plan.to_parquet` have been exported yet.
    rows : int
        How many rows there are.

    Examples
    --------
    >>> export = mt.export(event="installs", selectors="idDevice, tsEvent",
    ...                    dateFrom="today-7d", dateTo="yesterday")
    >>> _ = export.to_parquet("installs")
    >>> dataset = mt.open_dataset("installs")
    >>> list(dataset.to_pandas().columns)
    ['idDevice', 'tsEvent']

    Other libraries take its files: ``polars.scan_parquet(list(dataset.files))``,
    ``duckdb.read_parquet(list(dataset.files))``.
    """

    directory: Path
    files: tuple[str, ...]
    complete_as_of: datetime | None
    rows: int

    def to_pyarrow(self) -> pyarrow.dataset.Dataset:
        """Open the files as a pyarrow dataset, which reads rows when they are needed.

        Returns
        -------
        pyarrow.dataset.Dataset
            All files have the same columns, of the same types.
        """
        from pyarrow import dataset

        return dataset.dataset(list(self.files), format="parquet")

    def to_arrow(self) -> pa.Table:
        """Read all rows to an Arrow table.

        Returns
        -------
        pyarrow.Table
            With the types of `RawData.to_arrow`.
        """
        return self.to_pyarrow().to_table().unify_dictionaries()

    def to_pandas(
        self,
        *,
        dtype_backend: DtypeBackend = "numpy_nullable",
        categories: bool | None = None,
        tz: str = "UTC",
    ) -> pd.DataFrame:
        """Read all rows to a pandas DataFrame, with the types of `RawData.to_pandas`.

        Parameters
        ----------
        dtype_backend, categories, tz
            As for `RawData.to_pandas`; `tz` is the name of a time zone.

        Returns
        -------
        pandas.DataFrame
            ``.attrs`` has a description of each column.

        Raises
        ------
        MyTrackerError
            If `tz` is unknown.
        ValueError
            If `dtype_backend` is unknown.
        """
        options = FrameOptions(dtype_backend, categories, tz)
        table = self.to_arrow()
        if not options.is_arrow:
            table = with_coded_lists(table)
        return to_frame(table.schema, [to_columns(table)] if len(table) else [], options)

    def to_polars(self) -> pl.DataFrame:
        """Read all rows to a polars DataFrame.

        Returns
        -------
        polars.DataFrame
            With the types of `to_arrow`.

        Raises
        ------
        MyTrackerError
            If polars is not installed.
        """
        frame: pl.DataFrame = optional("polars").from_arrow(self.to_arrow(), rechunk=False)
        return frame

    def to_duckdb(
        self, connection: duckdb.DuckDBPyConnection | None = None, *, tz: str = "UTC"
    ) -> duckdb.DuckDBPyRelation:
        """Open the files as a DuckDB relation; a query reads only the rows and columns it needs.

        Parameters
        ----------
        connection : duckdb.DuckDBPyConnection, optional
            The connection; by default DuckDB's own.
        tz : str
            The zone in which the connection counts days and shows times from now on, as for
            `RawData.to_duckdb`; a name.

        Returns
        -------
        duckdb.DuckDBPyRelation
            A relation of all rows.

        Raises
        ------
        MyTrackerError
            If DuckDB is not installed or `tz` is unknown.
        """
        engine = connection_in_zone(connection, tz)
        return engine.from_parquet(list(self.files), union_by_name=True, hive_partitioning=False)

    def __repr__(self) -> str:
        files = "1 file" if len(self.files) == 1 else f"{len(self.files)} files"
        as_of = self.complete_as_of
        known = f", complete as of {as_of:%Y-%m-%d %H:%M:%S} UTC" if as_of else ""
        return f"<ParquetDataset {self.directory}: {self.rows} rows in {files}{known}>"


def open_dataset(directory: str | os.PathLike[str]) -> ParquetDataset:
    """Open a Parquet dataset written by `Plan.to_parquet` or `RawData.to_parquet`.

    Parameters
    ----------
    directory : path
        The directory of the dataset.

    Returns
    -------
    ParquetDataset
        The files of the dataset at this moment, also while another process adds some. They are not
        changed later. Some are deleted only by ``to_parquet(..., compact=True)``, where a damaged
        one is replaced, and where a new cell makes a column text in all files.

    Raises
    ------
    FileError
        If the directory has no dataset, or one that `Plan.to_parquet` must repair first.

    Examples
    --------
    >>> plan = mt.plan(event="installs", selectors="idDevice, tsEvent",
    ...                dateFrom="today-14d", dateTo="yesterday", every="7d")
    >>> _ = plan.to_parquet("installs")
    >>> frame = mt.open_dataset("installs").to_pandas()
    """
    from pyarrow import parquet

    path = Path(directory)
    try:
        content = json.loads((path / MANIFEST).read_text("utf-8"))
    except FileNotFoundError:
        names = [file.relative_to(path).as_posix() for file in _files_in(path)]
        if not names:
            raise _error(path, "has no Parquet dataset") from None
        as_of = None
    except (OSError, ValueError) as error:
        raise _error(path, f"its {MANIFEST} can't be read ({printable(error)})") from None
    else:
        names = [part["file"] for part in content["parts"] if part["file"] is not None]
        as_of = content.get("completeAsOf")
        if not names:
            raise _error(path, "nothing has been fetched yet. Run to_parquet again")
    if any("=" in name.split("/")[0] and "/" in name for name in names):
        raise _error(
            path,
            "its partitions were written by an earlier version of mytracker-nb, with names from "
            "which readers guess values. Run to_parquet again, or choose another directory",
        )
    files = tuple(str(path / name) for name in names)
    try:
        rows = sum(parquet.read_metadata(file).num_rows for file in files)
    except OSError as error:
        raise _error(
            path, f"a file is missing or damaged ({error}). Run to_parquet again"
        ) from error
    return ParquetDataset(path, files, datetime.fromisoformat(as_of) if as_of else None, rows)


def refuse_content(directory: Path) -> None:
    """Raise a `FileError` if a directory has data."""
    names = []
    if directory.is_dir():
        # a manifest alone is the dataset of a plan that has just begun
        names = sorted(
            path.name
            for path in directory.iterdir()
            if path.name[0] not in "_." or path.name == MANIFEST
        )
    if names:
        raise FileError(
            f"{directory}: is not empty ({printable(names[0])}). Choose another directory",
            file=directory,
        )


def unwritable(directory: Path, error: OSError) -> FileError:
    """The error of a directory that can't be written to."""
    reason = os.strerror(error.errno) if error.errno else error  # pyarrow's text names its sources
    return _error(
        directory, f"cannot be written ({reason}). Free space, or choose another directory"
    )


def with_coded_lists(table: pa.Table) -> pa.Table:
    """The table with dictionary-encoded lists, which `to_columns` converts to tuples."""
    import pyarrow as pa

    for index, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            lists = table.column(index).combine_chunks()
            known = lists.is_valid()
            codes = pa.array(range(len(lists)), pa.int32(), mask=~known.to_numpy(False))
            coded = pa.DictionaryArray.from_arrays(codes, lists)
            table = table.set_column(index, field.with_type(coded.type), coded)
    return table


def _files_in(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.rglob("*.parquet")):
        names = path.relative_to(directory).parts
        if not any(name[0] in "_." for name in names):
            yield path


def _error(directory: Path, what: str) -> FileError:
    return FileError(f"{directory}: {what}", file=directory)
