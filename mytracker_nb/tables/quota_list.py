"""The quotas of an account as a DataFrame that shows itself as a compact table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import MAXYEAR, MINYEAR, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from mytracker_nb.display.quota_table import QuotaRow, QuotaTable
from mytracker_nb.tables.frame_view import frame_with_view

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["quota_frame"]

_RESET = "resetTime"
_COLUMNS = ("name", "count", "limit", _RESET, "resetInSecond", "exceeded")


def quota_frame(
    quotas: Sequence[Mapping[str, Any]], asked_at: datetime, service: str, **account: Any
) -> pd.DataFrame:
    """The quotas as a table, one row each.

    Parameters
    ----------
    quotas : sequence of mapping
        As the service lists them; they are not validated.
    asked_at : datetime.datetime
        When the service was asked, with a time zone.
    service : str
        The address of the service.
    **account
        ``api_user_id`` and ``is_sandbox`` of the `QuotaTable`.

    Returns
    -------
    pandas.DataFrame
        As `mytracker_nb.Client.quotas` describes it.
    """
    import pandas as pd

    plain = pd.DataFrame(quotas, columns=None if quotas else list(_COLUMNS))
    columns = {str(name): plain[name] for name in plain}
    if _RESET in columns:
        columns[_RESET] = _moments(columns[_RESET])
    view = partial(_view, asked_at=asked_at, service=service, **account)
    return frame_with_view(columns, view)


def _moments(column: pd.Series[Any]) -> pd.Series[Any]:
    """Convert Unix seconds to times (UTC); the column is unchanged if one is not a time."""
    import pandas as pd

    try:
        moments = pd.to_datetime(column, unit="s", utc=True).astype("datetime64[us, UTC]")
    except (TypeError, ValueError, OverflowError):
        return column
    # pandas has times that Python's datetime does not have, and does not format them
    is_usual = moments.dropna().dt.year.between(MINYEAR, MAXYEAR).all()
    return moments if is_usual else column


def _view(frame: pd.DataFrame, **facts: Any) -> QuotaTable:
    return QuotaTable(tuple(map(_row, frame.to_dict("records"))), **facts)


def _row(quota: Mapping[Any, Any]) -> QuotaRow:
    """A quota for the view; undocumented values are shown unchanged."""
    facts: dict[str, Any] = {}
    more = []
    for name, value in quota.items():
        number = _number(value)
        if _is_missing(value):
            continue
        if name == "name":
            facts["name"] = str(value)
        elif name == "exceeded" and isinstance(value, bool):
            facts["exceeded"] = value
        elif name in _NUMBERS and number is not None:
            facts[_NUMBERS[name]] = number
        elif name == _RESET and isinstance(value, datetime):
            facts["resets_at"] = value
        else:
            more.append((str(name), str(value)))
    return QuotaRow(**{"name": "?", **facts}, more=tuple(more))


_NUMBERS = {"count": "used", "limit": "limit", "resetInSecond": "resets_in"}


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def _is_missing(value: Any) -> bool:
    # pandas has NaN and NaT for missing values, which are not equal to themselves
    return value is None or (isinstance(value, (float, datetime)) and value != value)
