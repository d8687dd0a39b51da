"""How a person reads times and sizes: ``3 minutes ago``, ``5 s``, ``1.2 MB``."""

from __future__ import annotations

from datetime import datetime, timedelta

from mytracker_nb import clock

__all__ = ["ago", "count", "duration", "result", "rough_duration", "size"]

_UNITS = (("day", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def ago(moment: datetime, now: datetime | None = None) -> str:
    """How long ago something happened.

    Parameters
    ----------
    moment : datetime.datetime
        When it happened, with its zone.
    now : datetime.datetime, optional
        The present; None is that of the machine's clock.

    Returns
    -------
    str
        ``3 minutes ago``. A moment that is still to come counts as ``now``: the clocks of two
        machines differ.
    """
    from humanize import naturaltime

    passed = (now or clock.now()) - moment
    return naturaltime(max(passed, timedelta(0)))


def duration(seconds: float) -> str:
    """A length of time, in its two largest units: ``5 s``, ``1 min 20 s``, ``2 days 3 h``."""
    if seconds < 1:
        return f"{max(0.0, round(seconds, 1)):g} s"
    left, parts = round(seconds), []
    for unit, length in _UNITS:
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}{'s' * (unit == 'day' and count > 1)}")
    return " ".join(parts[:2])


def rough_duration(seconds: float) -> str:
    """An estimated length of time, in one unit: ``4 minutes``, ``an hour``."""
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
    """What an export gave, as far as it is known.

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
