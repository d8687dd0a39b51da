"""Our own pace: well under the service's quotas, whatever runs at once in this process.

Source of the quotas: page ``quotas`` of the service's documentation.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Hashable, Mapping

from mytracker_nb import clock
from mytracker_nb.locks import fork_safe

__all__ = ["RateLimiter", "limit_text", "shared_limiter"]

_REQUESTS = {1.0: 8, 60.0: 80, 3600.0: 800}
_ERRORS = {60.0: 40}
_BURST = 300.0  # seconds in which most of what may go out at once does
_LEASE = 60.0  # seconds in which one that is followed is looked at again, at the least


class _Log:
    """When something happened of which there may only be so much."""

    def __init__(self, limits: Mapping[float, int]) -> None:
        self._limits = limits
        self._times: deque[float] = deque(maxlen=max(limits.values()))

    def add(self, now: float) -> None:
        self._times.append(now)

    def count(self, now: float, window: float) -> int:
        """How often it happened in the last `window` seconds."""
        return sum(1 for moment in self._times if moment > now - window)

    def delay(self, now: float) -> float:
        """Seconds until it may happen once more."""
        return max(
            self._times[-count] + window - now if len(self._times) >= count else 0.0
            for window, count in self._limits.items()
        )


class RateLimiter:
    """Lets requests through at a bounded rate, and shares them out; for any number of threads.

    ``client.api.rate_limiter = RateLimiter({1.0: 2, 60.0: 20, 3600.0: 200})`` gives a
    client one of its own, where other programs use the same account.

    Parameters
    ----------
    limits : mapping of float to int, optional
        The most requests by the length of their window in seconds. By default four fifths of the
        quotas of an API user: 10 a second, 100 a minute, 1000 an hour.
    errors : mapping of float to int, optional
        The same for answers that are errors. By default two thirds of the quota, 60 a minute.

    Notes
    -----
    Rather than run into the hour's limit and then stand still for the rest of it, those who follow
    exports look less often the more of them there are, and the less is left (`poll_interval`).
    """

    def __init__(
        self,
        limits: Mapping[float, int] | None = None,
        errors: Mapping[float, int] | None = None,
    ) -> None:
        self.limits = dict(limits or _REQUESTS)
        self._requests = _Log(self.limits)
        self._errors = _Log(dict(errors or _ERRORS))
        self._held_until = 0.0
        self._followed: dict[Hashable, float] = {}
        self._lock = fork_safe(threading.Lock())

    def acquire(self) -> float:
        """Take the place of one request, if there is one.

        Returns
        -------
        float
            0.0, or the seconds until there may be a place.
        """
        with self._lock:
            now = clock.monotonic()
            delay = self._delay(now)
            if delay <= 0:
                self._requests.add(now)
            return delay

    def delay(self) -> float:
        """Seconds until there may be a place for one more request, which is not taken."""
        with self._lock:
            return self._delay(clock.monotonic())

    def _delay(self, now: float) -> float:
        held = self._held_until - now
        return max(0.0, held, self._requests.delay(now), self._errors.delay(now))

    def wait(self) -> None:
        """Return when one more request may be sent; its place is taken."""
        while (delay := self.acquire()) > 0:
            clock.sleep(delay)

    def record_error(self) -> None:
        """Count one more answer that is an error."""
        with self._lock:
            self._errors.add(clock.monotonic())

    def block_for(self, seconds: float) -> None:
        """Let nothing out for so long: the service has said that it will not listen."""
        with self._lock:
            until = clock.monotonic() + min(seconds, max(self.limits))
            self._held_until = max(self._held_until, until)

    def register_poller(self, who: Hashable) -> None:
        """Count `who` as followed from now on; one that is not looked at again drops out."""
        lease = max(_LEASE, 2 * self.poll_interval(0.0))
        with self._lock:
            self._followed[who] = clock.monotonic() + lease

    def unregister_poller(self, who: Hashable) -> None:
        """Count `who` as followed no longer."""
        with self._lock:
            self._followed.pop(who, None)

    def poll_interval(self, wanted: float) -> float:
        """Seconds between two looks at one export, so that all that are followed have their turn.

        Half of the longest window's requests go out evenly, for as long as it may take; the other
        half in the first minutes, when most exports end.

        Parameters
        ----------
        wanted : float
            Seconds, if there were no other.
        """
        window = max(self.limits)
        half = self.limits[window] / 2
        with self._lock:
            now = clock.monotonic()
            self._followed = {who: until for who, until in self._followed.items() if until > now}
            spare = max(0.0, half - self._requests.count(now, window))
            rates = [count / length for length, count in self.limits.items() if length != window]
            rate = min([half / window + spare / _BURST, *rates])
            return max(wanted, len(self._followed) / rate)


def limit_text(seconds: float, what: str = "request") -> str:
    """What to say where the rate limiter holds something back for so long."""
    return (
        f"rate limit reached (keeps under the service's quota); next {what} in "
        f"{math.ceil(seconds)} s"
    )


_paces: dict[tuple[str, int], RateLimiter] = {}
_lock = fork_safe(threading.Lock())


def shared_limiter(base_url: str, api_user_id: int) -> RateLimiter:
    """The pace that all requests of this process for an account at a service share."""
    with _lock:
        return _paces.setdefault((base_url, api_user_id), RateLimiter())
