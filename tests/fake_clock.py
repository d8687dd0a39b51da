"""A clock for tests: waiting takes no time, and moves the clocks that follow it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

from watching import acting_when

from mytracker_nb.clock import Clock


class FakeClock(Clock):
    """A clock that waiting moves, at once, and nothing else; its date is that of the machine.

    Parameters
    ----------
    on_sleep : callable, optional
        Called with the seconds of each wait, such as `sandbox.clock.advance`; what it raises ends
        the wait.

    Attributes
    ----------
    slept : list of float
        The seconds of each wait.
    """

    def __init__(self, on_sleep: Callable[[float], object] | None = None) -> None:
        self.on_sleep = on_sleep
        self.slept: list[float] = []
        self._moved = 0.0
        self._lock = threading.Lock()
        # threads that an earlier test has left must not move the time of this one
        self._strangers = {*threading.enumerate()} - {threading.current_thread()}

    def now(self) -> datetime:
        return datetime.now(timezone.utc) + timedelta(seconds=self._moved)

    def monotonic(self) -> float:
        return 1000.0 + self._moved

    def move(self, seconds: float) -> None:
        """Let time pass that nobody has waited for."""
        with self._lock:
            self._moved += seconds

    def sleep(self, seconds: float) -> None:
        if threading.current_thread() in self._strangers:
            time.sleep(min(seconds, 0.02))
            return
        self.slept.append(seconds)
        self.move(seconds)
        if self.on_sleep:
            self.on_sleep(seconds)

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)

    def wait(self, signal: Any, seconds: float) -> bool:
        # a moment of real time, in which other threads do what is waited for
        if signal.wait(min(seconds, 0.01)):
            return True
        self.sleep(seconds)
        return False


class HurriedClock(Clock):
    """The real clock, on which no wait is longer than a moment."""

    def __init__(self, longest: float = 0.02) -> None:
        self.longest = longest

    def sleep(self, seconds: float) -> None:
        super().sleep(min(seconds, self.longest))

    async def sleep_async(self, seconds: float) -> None:
        await super().sleep_async(min(seconds, self.longest))

    def wait(self, signal: Any, seconds: float) -> bool:
        return super().wait(signal, min(seconds, self.longest))


class JumpingClock(Clock):
    """The real clock, which jumps ahead once something has happened.

    A test of a timeout then waits for what it wants to see, however long a busy machine takes for
    it, and the time is over right after.
    """

    def __init__(self) -> None:
        self._ahead = 0.0
        self._jumped = threading.Event()

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self._ahead)

    def monotonic(self) -> float:
        return super().monotonic() + self._ahead

    def sleep(self, seconds: float) -> None:
        self._jumped.wait(seconds)

    def wait(self, signal: Any, seconds: float) -> bool:
        end = self.monotonic() + seconds
        while (left := end - self.monotonic()) > 0:
            if signal.wait(min(left, 0.05)):
                return True
        return False

    @contextmanager
    def jump_when(self, happens: Callable[[], bool], seconds: float = 10_000) -> Iterator[None]:
        """Jump by `seconds` once something happens within the block."""

        def jump() -> None:
            self._ahead += seconds
            self._jumped.set()

        try:
            with acting_when(happens, jump):
                yield
        finally:
            self._jumped.clear()
