"""The time in the sandbox."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Clock"]


class Clock:
    """A clock that can be moved, so that what takes hours need not be waited for.

    Parameters
    ----------
    now : callable, optional
        Gives the time in Unix seconds; the system's clock by default.
    """

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self._now = now or time.time
        self.offset = 0.0

    def __call__(self) -> float:
        """The time in Unix seconds."""
        return self._now() + self.offset

    def advance(self, seconds: float) -> None:
        """Move the time on by `seconds`: exports end, links expire, quotas start anew."""
        self.offset += seconds
