"""The one clock: what time it is, and waiting.

Everything that waits or asks for the time asks here, so that a test replaces time in one place
(`use`). The sandbox has a clock of its own, as the service has.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, Protocol

__all__ = ["Clock", "monotonic", "now", "sleep", "sleep_async", "use", "wait"]


class Signal(Protocol):
    """An object to wait for: a `threading.Event`, or a locked `threading.Condition`."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait; whether the signal came within `timeout` seconds."""


class Clock:
    """The clock of the machine."""

    def now(self) -> datetime:
        """The time of day, in UTC; it jumps when somebody sets the machine's clock."""
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        """Seconds since some moment; never goes backwards. For intervals and deadlines."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for so many seconds; an interrupt ends it."""
        time.sleep(seconds)

    async def sleep_async(self, seconds: float) -> None:
        """Wait for so many seconds, while other tasks run."""
        import asyncio  # whoever waits so has it already; for others it takes a third of the import

        await asyncio.sleep(seconds)

    def wait(self, signal: Signal, seconds: float) -> bool:
        """Wait for a signal, but no longer than `seconds`; whether it came."""
        return signal.wait(seconds)


_current = Clock()


def now() -> datetime:
    """The time of day, in UTC."""
    return _current.now()


def monotonic() -> float:
    """Seconds since some moment, for intervals and deadlines."""
    return _current.monotonic()


def sleep(seconds: float) -> None:
    """Wait for so many seconds."""
    _current.sleep(seconds)


async def sleep_async(seconds: float) -> None:
    """Wait for so many seconds, while other tasks run."""
    await _current.sleep_async(seconds)


def wait(signal: Signal, seconds: float) -> bool:
    """Wait for a signal, but no longer than `seconds`; whether it came."""
    return _current.wait(signal, seconds)


@contextmanager
def use(clock: Clock) -> Iterator[Any]:
    """Use another clock in the whole process during a ``with`` block, for tests.

    Parameters
    ----------
    clock : Clock
        The clock; the ``with`` statement returns it.
    """
    global _current
    before, _current = _current, clock
    try:
        yield clock
    finally:
        _current = before
