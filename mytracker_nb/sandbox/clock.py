"""The clock of the sandbox."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Clock"]


class Clock:
    """A clock that can be advanced, so that tests need not wait for hours.

    Parameters
    ----------
    now : callable, optional
        Returns the time in Unix seconds; the system's clock by default.
    """

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self._now = now or time.time
        self.offset = 0.0

    def __call__(self) -> float:
        """The time in Unix seconds."""
        return self._now() + self.offset

    def advance(self, seconds: float) -> None:
        """Advance the time by `seconds`: exports end, links expire, quotas are reset."""
        self.offset += seconds
