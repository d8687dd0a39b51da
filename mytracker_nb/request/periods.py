"""Periods and relative days as words: ``last-month``, ``last-7-days``, ``today-7d``.

As ``dateFrom`` a period is its first day, as ``dateTo`` its last day. So
``dateFrom=last-month dateTo=last-month`` is the month.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from mytracker_nb.request.durations import parse_duration

__all__ = ["PERIODS", "Period", "find_period", "relative_day", "why_impossible"]

_LAST_DAYS = re.compile(r"last-(\d{1,4})-?d(?:ays?)?", re.ASCII)
_RELATIVE = re.compile(r"(today|yesterday)(?:\s*([+-])\s*(\d.*))?", re.ASCII)
_ISO_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)


@dataclass(frozen=True)
class Period:
    """Successive days that end today or earlier.

    Attributes
    ----------
    title : str
        Its name for people; in lower case and with hyphens it is the word of the notation.
    days : callable
        Takes the date of today, returns the first and the last day.
    """

    title: str
    days: Callable[[date], tuple[date, date]]

    @property
    def word(self) -> str:
        """The word in a request: ``last-month``."""
        return _as_word(self.title)


def _ending_yesterday(count: int) -> Callable[[date], tuple[date, date]]:
    return lambda today: (today - timedelta(days=count), today - timedelta(days=1))


def _this_week(today: date) -> tuple[date, date]:
    return today - timedelta(days=today.weekday()), today


def _last_week(today: date) -> tuple[date, date]:
    monday = today - timedelta(days=today.weekday() + 7)
    return monday, monday + timedelta(days=6)


def _this_month(today: date) -> tuple[date, date]:
    return today.replace(day=1), today


def _last_month(today: date) -> tuple[date, date]:
    last = today.replace(day=1) - timedelta(days=1)
    return last.replace(day=1), last


PERIODS = (
    Period("Today", lambda today: (today, today)),
    Period("Yesterday", _ending_yesterday(1)),
    Period("Last 7 days", _ending_yesterday(7)),
    Period("Last 28 days", _ending_yesterday(28)),
    Period("This week", _this_week),
    Period("Last week", _last_week),
    Period("This month", _this_month),
    Period("Last month", _last_month),
)
"""The periods. Weeks begin on Monday; ``Last 7 days`` end yesterday."""


def find_period(text: str) -> Period | None:
    """Find a period by name, in any case, with spaces or hyphens; also ``last-<n>-days``."""
    word = _as_word(text)
    for period in PERIODS:
        if period.word == word:
            return period
    last_days = _LAST_DAYS.fullmatch(word)
    if last_days and (count := int(last_days[1])):
        return Period(f"Last {count} days", _ending_yesterday(count))
    return None


def _as_word(text: str) -> str:
    return re.sub(r"[\s_-]+", "-", text.strip().casefold())


def relative_day(text: str, today: date) -> date | None:
    """The day of ``today``, ``yesterday`` or ``today-7d``; None if `text` is none of these."""
    match = _RELATIVE.fullmatch(text.strip().casefold())
    if match is None:
        return None
    day, sign, length = match.groups()
    offset = parse_duration(length, "dw") if length else timedelta(0)
    if offset is None:
        return None
    start = today - timedelta(days=day == "yesterday")
    return start - offset if sign == "-" else start + offset


def why_impossible(text: str) -> str:
    """Why a date ``YYYY-MM-DD`` does not exist; ``""`` if it does, or `text` is not one."""
    match = _ISO_DAY.fullmatch(text.strip())
    if match is None:
        return ""
    year, month, day = map(int, match.groups())
    if not 1 <= month <= 12:
        return f"there is no month {month}"
    if year < 1:
        return "there is no year 0"
    last = calendar.monthrange(year, month)[1]
    if 1 <= day <= last:
        return ""
    name = _MONTHS[month - 1] + (f" {year}" if month == 2 else "")
    return f"{name} has {last} days" if day else "days are counted from 1"


# not calendar.month_name, which depends on the locale
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
