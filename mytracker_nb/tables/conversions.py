"""`Convertible`: the conversions of `RawData` as methods of `Export` and `Plan`."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mytracker_nb.tables.resumable import Resumable, resumable

if TYPE_CHECKING:
    import dask.dataframe
    import distributed
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from mytracker_nb.tables.event_params import ParamsOption
    from mytracker_nb.tables.raw_data import RawData
    from mytracker_nb.tables.to_pandas import DtypeBackend

__all__ = ["Convertible"]


class Convertible(Resumable, ABC):
    """An object with rows (`data`); it has the conversions of `RawData` as methods."""

    @abstractmethod
    def data(self) -> RawData:
        """The rows, ready to convert.

        Returns
        -------
        RawData
            All rows.
        """

    @resumable
    def head(self, n: int = 20) -> pd.DataFrame:
        """Load the first rows, without fetching the others.

        Parameters
        ----------
        n : int
            How many rows.

        Returns
        -------
        pandas.DataFrame
            As from `RawData.head`.

        Raises
        ------
        MyTrackerError
            As `data` and `RawData.head`.
        """
        return self.data().head(n)

    @resumable
    def to_arrow(self, *, params: ParamsOption = None) -> pa.Table:
        """Convert all rows to an Arrow table.

        Parameters
        ----------
        params
            As for `RawData.to_arrow`.

        Returns
        -------
        pyarrow.Table
            As from `RawData.to_arrow`.

        Raises
        ------
        MyTrackerError
            As `data` and `RawData.to_arrow`.
        """
        return self.data().to_arrow(params=params)

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
        dtype_backend, categories, tz, params
            As for `RawData.to_pandas`.

        Returns
        -------
        pandas.DataFrame
            As from `RawData.to_pandas`.

        Raises
        ------
        MyTrackerError
            As `data` and `RawData.to_pandas`.
        """
        return self.data().to_pandas(
            dtype_backend=dtype_backend, categories=categories, tz=tz, params=params
        )

    @resumable
    def to_polars(self, *, params: ParamsOption = None) -> pl.DataFrame:
        """Convert all rows to a polars DataFrame.

        Parameters
        ----------
        params
            As for `RawData.to_polars`.

        Returns
        -------
        polars.DataFrame
            As from `RawData.to_polars`.

        Raises
        ------
        MyTrackerError
            As `data` and `RawData.to_polars`.
        """
        return self.data().to_polars(params=params)

    @resumable
    def to_duckdb(
        self,
        connection: duckdb.DuckDBPyConnection | None = None,
        *,
        tz: str = "UTC",
        params: ParamsOption = None,
    ) -> duckdb.DuckDBPyRelation:
        """Convert all rows to a DuckDB relation.

        Parameters
        ----------
        connection, tz, params
            As for `RawData.to_duckdb`.

        Returns
        -------
        duckdb.DuckDBPyRelation
            As from `RawData.to_duckdb`.

        Raises
        ------
        MyTrackerError
            As `data` and `RawData.to_duckdb`.
        """
        return self.data().to_duckdb(connection, tz=tz, params=params)

    @resumable
    def to_parquet(
        self,
        directory: str | os.PathLike[str],
        *,
        partition_by: str | None = None,
        params: ParamsOption = None,
    ) -> Path:
        """Write all rows as a Parquet dataset.

        Parameters
        ----------
        directory, partition_by, params
            As for `RawData.to_parquet`.

        Returns
        -------
        Path
            The directory.

        Raises
        ------
        MyTrackerError
            As `data` and `RawData.to_parquet`.
        """
        return self.data().to_parquet(directory, partition_by=partition_by, params=params)

    @resumable
    def to_dask(
        self,
        client: distributed.Client | None = None,
        *,
        params: ParamsOption = None,
        as_text: Sequence[str] = (),
    ) -> dask.dataframe.DataFrame:
        """Convert the rows to a Dask DataFrame, one partition a file.

        Parameters
        ----------
        client, params, as_text
            As for `RawData.to_dask`.

        Returns
        -------
        dask.dataframe.DataFrame
            With one partition a file.

        Raises
        ------
        MyTrackerError
            As `data` and `RawData.to_dask`.
        """
        return self.data().to_dask(client, params=params, as_text=as_text)
