"""Our own pace: well under the service's quotas, whatever runs at once in this process.

Source of the quotas: page ``quotas`` of the service's documentation.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Pace", "pace_of"]


class Pace:
    """Lets requests through at a bounded rate; shared by threads.

    Parameters
    ----------
    limits : dict of float to int
        The most requests by the length of their window in seconds. By default four fifths of the
        quotas of an API user: 10 a second, 100 a minute, 1000 an hour.

    Notes
    -----
    Rather than run into the hour's limit and then stand still for the rest of it, those who follow
    exports look less often the more of them there are (`interval`).
    """

    def __init__(self, limits: dict[float, int] | None = None) -> None:
        self.limits = limits or {1.0: 8, 60.0: 80, 3600.0: 800}
        self._times: deque[float] = deque(maxlen=max(self.limits.values()))
        self._lock = threading.Lock()
        self._followed = 0

    def wait(self) -> None:
        """Return when one more request may be sent."""
        while (delay := self._take()) > 0:
            time.sleep(delay)

    def _take(self) -> float:
        """Take a place if there is one; else the seconds until there may be one."""
        with self._lock:
            now = time.monotonic()
            delay = 0.0
            for window, count in self.limits.items():
                if len(self._times) >= count:
                    delay = max(delay, self._times[-count] + window - now)
            if delay <= 0:
                self._times.append(now)
            return delay

    @contextmanager
    def following(self) -> Iterator[None]:
        """Count one more export as followed."""
        with self._lock:
            self._followed += 1
        try:
            yield
        finally:
            with self._lock:
                self._followed -= 1

    def interval(self, wanted: float) -> float:
        """Seconds between two looks at one export, so that all that are followed have their turn.

        Half of the longest window's requests are left to creates and downloads.
        """
        window = max(self.limits)
        fair = 2 * self._followed * window / self.limits[window]
        # a few can be looked at as often as wished: they end long before the window does
        return max(wanted, fair) if self._followed > 3 else wanted


_paces: dict[tuple[str, int], Pace] = {}
_lock = threading.Lock()


def pace_of(base_url: str, api_user_id: int) -> Pace:
    """The pace that all requests of this process for an account at a service share."""
    with _lock:
        return _paces.setdefault((base_url, api_user_id), Pace())
