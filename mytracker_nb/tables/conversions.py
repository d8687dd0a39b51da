"""What hands its rows on to the targets of `RawData`, whatever they come from."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dask.dataframe
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from mytracker_nb.tables.raw_data import RawData

__all__ = ["Convertible"]


class Convertible(ABC):
    """The targets of `data`, a method each; all take the options of the method of `RawData`."""

    @abstractmethod
    def data(self) -> RawData:
        """The rows, to be handed on to whatever the analysis needs."""

    def head(self, n: int = 20) -> pd.DataFrame:
        """The first rows, without fetching the rest: `RawData.head`."""
        return self.data().head(n)

    def to_arrow(self, **options: Any) -> pa.Table:
        """All rows as an Arrow table: `RawData.to_arrow`."""
        return self.data().to_arrow(**options)

    def to_pandas(self, **options: Any) -> pd.DataFrame:
        """All rows as a pandas DataFrame: `RawData.to_pandas`."""
        return self.data().to_pandas(**options)

    def to_polars(self, **options: Any) -> pl.DataFrame:
        """All rows as a polars DataFrame: `RawData.to_polars`."""
        return self.data().to_polars(**options)

    def to_duckdb(self, *connection: Any, **options: Any) -> duckdb.DuckDBPyRelation:
        """All rows as a DuckDB relation: `RawData.to_duckdb`."""
        return self.data().to_duckdb(*connection, **options)

    def to_parquet(
        self,
        directory: str | os.PathLike[str],
        *,
        partition_by: str | None = None,
        params: str | Sequence[str] | None = None,
    ) -> Path:
        """All rows as a Parquet dataset: `RawData.to_parquet`."""
        return self.data().to_parquet(directory, partition_by=partition_by, params=params)

    def to_dask(self, *client: Any, **options: Any) -> dask.dataframe.DataFrame:
        """A Dask DataFrame of a partition a file: `RawData.to_dask`."""
        return self.data().to_dask(*client, **options)
