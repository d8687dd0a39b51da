"""The counting of quotas. Source: page ``quotas``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Quotas"]

_INTERVALS = {"PerSecond": 1, "PerMinute": 60, "PerHour": 3600}


class Quotas:
    """Counts requests in the current interval, by quota and subject.

    Parameters
    ----------
    limits : mapping of str to int
        The limit of each quota; the end of its name is the interval, such as ``PerMinute``.
    """

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = limits
        self._counts: dict[tuple[str, str], tuple[int, int]] = {}

    def _interval(self, name: str) -> int:
        return next(length for end, length in _INTERVALS.items() if name.endswith(end))

    def _count(self, name: str, subject: str, now: float) -> int:
        interval, count = self._counts.get((name, subject), (0, 0))
        return count if interval == int(now // self._interval(name)) else 0

    def count(self, kind: str, subject: str, now: float) -> None:
        """Count a request of `subject` in all quotas whose names start with `kind`."""
        for name in self._limits:
            if name.startswith(kind):
                interval = int(now // self._interval(name))
                self._counts[name, subject] = (interval, self._count(name, subject, now) + 1)

    def facts(self, subjects: Iterable[tuple[str, str]], now: float) -> list[dict[str, Any]]:
        """The quotas of each (kind, subject), as the service lists them."""
        found = []
        for kind, subject in subjects:
            for name, limit in self._limits.items():
                if not name.startswith(kind):
                    continue
                length = self._interval(name)
                reset = (int(now // length) + 1) * length
                count = self._count(name, subject, now)
                found.append(
                    {
                        "name": name,
                        "count": count,
                        "limit": limit,
                        "resetTime": reset,
                        "resetInSecond": math.ceil(reset - now),
                        "exceeded": count > limit,
                    }
                )
        return found
