"""The known columns as a DataFrame that shows itself as a compact table."""

from __future__ import annotations

import gzip
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mytracker_nb.display.column_table import ColumnRow, ColumnTable
from mytracker_nb.request.dictionaries import dictionary, selectors
from mytracker_nb.request.known_columns import columns_seen_with, what_is_known
from mytracker_nb.request.suggestions import closest, did_you_mean
from mytracker_nb.tables.frame_view import frame_with_view
from mytracker_nb.tables.raw_data import open_files

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["columns"]


def columns(event: str | None = None) -> pd.DataFrame:
    """List the known columns, with their meanings and types.

    Parameters
    ----------
    event : str, optional
        The event of the request; its columns come first. None lists the columns by name.

    Returns
    -------
    pandas.DataFrame
        A row for each column: ``column``, ``meaning``, ``kind`` (the kind of its values),
        ``dtype`` (its type in pandas), ``group``, ``seen_with`` (events with which public requests
        used it), ``slow`` (when the service warns that it slows the export) and ``seen`` (whether
        it was seen with `event`). In a notebook it is shown as a table with a search field.

    Raises
    ------
    ValueError
        If the event is unknown.

    Notes
    -----
    The list is complete for ``customEvents`` only (page ``export-api/raw/create`` of the service's
    documentation); a name that is not in it is sent with a warning.

    Examples
    --------
    >>> known = mt.columns("installs")
    >>> known.loc[known["column"] == "idCountry", ["kind", "meaning"]].values.tolist()
    [['id', 'Country id']]
    """
    events = dictionary("event")
    if event is not None and event not in events:
        hint = did_you_mean(closest(event, events)) or events.accepted()
        raise ValueError(f"unknown event {event!r}; {hint}")
    seen = {column.value for column in columns_seen_with(event)} if event else set()
    known = sorted(selectors().values(), key=lambda column: column.value not in seen)
    types = _dtypes()
    return frame_with_view(
        {
            "column": [column.value for column in known],
            "meaning": [column.title for column in known],
            "kind": [column.kind for column in known],
            "dtype": [types[column.value] for column in known],
            "group": [column.group for column in known],
            "seen_with": [", ".join(sorted(column.seen_with)) for column in known],
            "slow": [column.slows_export for column in known],
            "seen": [column.value in seen for column in known],
        },
        partial(_view, event=event),
    )


@cache
def _dtypes() -> dict[str, str]:
    """The pandas type of each column, read from an export without rows.

    So they are those of the conversion itself.
    """
    with TemporaryDirectory() as directory:
        file = Path(directory) / "columns.csv.gz"
        file.write_bytes(gzip.compress(",".join(selectors()).encode() + b"\n"))
        frame = open_files(file).to_pandas()
    return {str(name): str(dtype).replace("item: ", "") for name, dtype in frame.dtypes.items()}


def _view(frame: pd.DataFrame, event: str | None) -> ColumnTable:
    rows = [ColumnRow(*row) for row in frame.itertuples(index=False, name=None)]
    return ColumnTable(rows, event, what_is_known(event))
