"""Times, durations and sizes as text: ``3 minutes ago``, ``5 s``, ``1.2 MB``."""

from __future__ import annotations

from datetime import datetime, timedelta

from mytracker_nb import clock

__all__ = ["ago", "count", "duration", "result", "rough_duration", "size"]

_UNITS = (("day", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def ago(moment: datetime, now: datetime | None = None) -> str:
    """How long ago a moment was.

    Parameters
    ----------
    moment : datetime.datetime
        The moment, with its zone.
    now : datetime.datetime, optional
        The present moment; by default that of the machine's clock.

    Returns
    -------
    str
        For example ``3 minutes ago``. A future moment is ``now``, as clocks of machines differ.
    """
    from humanize import naturaltime

    passed = (now or clock.now()) - moment
    return naturaltime(max(passed, timedelta(0)))


def duration(seconds: float) -> str:
    """A duration in its two largest units: ``5 s``, ``1 min 20 s``, ``2 days 3 h``."""
    if seconds < 1:
        return f"{max(0.0, round(seconds, 1)):g} s"
    left, parts = round(seconds), []
    for unit, length in _UNITS:
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}{'s' * (unit == 'day' and count > 1)}")
    return " ".join(parts[:2])


def rough_duration(seconds: float) -> str:
    """An estimated duration in one unit: ``4 minutes``, ``an hour``."""
    from humanize import naturaldelta

    return naturaldelta(max(1.0, seconds))


def count(number: int, noun: str) -> str:
    """A number with its noun: ``1 file``, ``1,200 rows``."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def result(
    *,
    rows: int | None = None,
    columns: int | None = None,
    exports: int | None = None,
    files: int | None = None,
    size_of_files: int | None = None,
    seconds: float | None = None,
) -> str:
    """The size of an export as text, with the facts that are known.

    Examples
    --------
    >>> result(rows=822, columns=4, files=2, size_of_files=1_200_000, seconds=5)
    '822 rows x 4 columns, 2 files, 1.2 MB, 5 s'
    """
    table = "" if rows is None else count(rows, "row")
    if table and columns is not None:
        table += f" x {count(columns, 'column')}"
    facts = [
        table,
        "" if exports is None else count(exports, "export"),
        "" if files is None else count(files, "file"),
        size(size_of_files) if size_of_files else "",
        "" if seconds is None else duration(seconds),
    ]
    return ", ".join(filter(None, facts))


def size(count: float) -> str:
    """A number of bytes, in powers of 1000: ``1.2 MB``."""
    from humanize import naturalsize

    return naturalsize(count)
