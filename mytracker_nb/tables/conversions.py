"""`Convertible`: the conversions of `RawData` as methods of `Export` and `Plan`."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mytracker_nb.errors import WaitInterrupted

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


class Convertible(ABC):
    """An object with rows (`data`), which its methods convert as those of `RawData` do."""

    @abstractmethod
    def data(self) -> RawData:
        """The rows, ready to convert."""

    def _after_interrupt(self) -> WaitInterrupted:
        """The error for an interrupt while rows are loaded; it says how to go on."""
        return WaitInterrupted("interrupted while loading the data; run the cell again to resume")

    @contextmanager
    def _resumable(self) -> Iterator[None]:
        """Say how to go on after an interrupt, where nothing else has said it."""
        try:
            yield
        except WaitInterrupted:
            raise
        except KeyboardInterrupt:
            raise self._after_interrupt() from None

    def head(self, n: int = 20) -> pd.DataFrame:
        """Load the first rows, without fetching the others: see `RawData.head`."""
        with self._resumable():
            return self.data().head(n)

    def to_arrow(self, *, params: ParamsOption = None) -> pa.Table:
        """Convert all rows to an Arrow table: see `RawData.to_arrow`."""
        with self._resumable():
            return self.data().to_arrow(params=params)

    def to_pandas(
        self,
        *,
        dtype_backend: DtypeBackend = "numpy_nullable",
        categories: bool | None = None,
        tz: str = "UTC",
        params: ParamsOption = None,
    ) -> pd.DataFrame:
        """Convert all rows to a pandas DataFrame: see `RawData.to_pandas`."""
        with self._resumable():
            return self.data().to_pandas(
                dtype_backend=dtype_backend, categories=categories, tz=tz, params=params
            )

    def to_polars(self, *, params: ParamsOption = None) -> pl.DataFrame:
        """Convert all rows to a polars DataFrame: see `RawData.to_polars`."""
        with self._resumable():
            return self.data().to_polars(params=params)

    def to_duckdb(
        self,
        connection: duckdb.DuckDBPyConnection | None = None,
        *,
        tz: str = "UTC",
        params: ParamsOption = None,
    ) -> duckdb.DuckDBPyRelation:
        """Convert all rows to a DuckDB relation: see `RawData.to_duckdb`."""
        with self._resumable():
            return self.data().to_duckdb(connection, tz=tz, params=params)

    def to_parquet(
        self,
        directory: str | os.PathLike[str],
        *,
        partition_by: str | None = None,
        params: ParamsOption = None,
    ) -> Path:
        """Write all rows as a Parquet dataset: see `RawData.to_parquet`."""
        with self._resumable():
            return self.data().to_parquet(directory, partition_by=partition_by, params=params)

    def to_dask(
        self,
        client: distributed.Client | None = None,
        *,
        params: ParamsOption = None,
        as_text: Sequence[str] = (),
    ) -> dask.dataframe.DataFrame:
        """Convert the rows to a Dask DataFrame, one partition a file: see `RawData.to_dask`."""
        with self._resumable():
            return self.data().to_dask(client, params=params, as_text=as_text)
