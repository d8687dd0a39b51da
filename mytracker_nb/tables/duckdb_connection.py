"""The DuckDB connection that rows are given to, and the zone in which it counts days."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mytracker_nb.tables.optional_libraries import optional
from mytracker_nb.tables.to_pandas import check_zone

if TYPE_CHECKING:
    import duckdb

__all__ = ["connection_in_zone"]


def connection_in_zone(
    connection: duckdb.DuckDBPyConnection | None, tz: str
) -> duckdb.DuckDBPyConnection:
    """Set the time zone of a connection.

    DuckDB takes the zone of the machine otherwise, so that ``tsEvent::date`` would be another day
    on another machine.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection, optional
        The connection; by default DuckDB's own.
    tz : str
        The name of a time zone.

    Returns
    -------
    duckdb.DuckDBPyConnection
        The connection, or the module: its functions use the default one.

    Raises
    ------
    MyTrackerError
        If DuckDB is not installed or `tz` is unknown.
    """
    engine: duckdb.DuckDBPyConnection = connection or optional("duckdb")
    check_zone(tz)
    engine.execute(f"SET TimeZone = '{tz}'")
    return engine
