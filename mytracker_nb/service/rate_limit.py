"""`RateLimiter`: keeps the requests of this process under the service's quotas.

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
_BURST = 300.0  # seconds over which the requests reserved for bursts are spread
_LEASE = 60.0  # seconds after which a poller that did not poll again is no longer counted


class _Log:
    """The times of requests, or of errors, and their limits per window."""

    def __init__(self, limits: Mapping[float, int]) -> None:
        self._limits = limits
        self._times: deque[float] = deque(maxlen=max(limits.values()))

    def add(self, now: float) -> None:
        self._times.append(now)

    def count(self, now: float, window: float) -> int:
        """How many there were in the last `window` seconds."""
        return sum(1 for moment in self._times if moment > now - window)

    def delay(self, now: float) -> float:
        """Seconds until the next one is within all limits; 0 or less if it is already."""
        return max(
            self._times[-count] + window - now if len(self._times) >= count else 0.0
            for window, count in self._limits.items()
        )


class RateLimiter:
    """Limits the rate of requests, and divides them among the exports that are polled.

    All clients of an account in one process share a rate limiter. It can be used by any number of
    threads.

    Parameters
    ----------
    limits : mapping of float to int, optional
        The maximum number of requests, by the length of the window in seconds. By default four
        fifths of the quotas of an API user, which are 10 a second, 100 a minute and 1000 an hour
        (page ``quotas`` of the service's documentation).
    errors : mapping of float to int, optional
        The maximum number of error responses. By default two thirds of the quota of 60 a minute.

    Notes
    -----
    If many exports are polled, each is polled less often (`poll_interval`). So the limit of the
    hour is not used up early, after which no request could be sent for the rest of the hour.

    Examples
    --------
    If other programs use the same account, give a client lower limits:

    >>> client = mt.Client()
    >>> client.api.rate_limiter = mt.RateLimiter({1.0: 2, 60.0: 20, 3600.0: 200})
    """

    def __init__(
        self,
        limits: Mapping[float, int] | None = None,
        errors: Mapping[float, int] | None = None,
    ) -> None:
        self.limits = dict(limits or _REQUESTS)
        self._requests = _Log(self.limits)
        self._errors = _Log(dict(errors or _ERRORS))
        self._blocked_until = 0.0
        self._pollers: dict[Hashable, float] = {}  # until when each is counted
        self._lock = fork_safe(threading.Lock())

    def acquire(self) -> float:
        """Count one request, if it is within the limits.

        Returns
        -------
        float
            0.0 if the request may be sent now; otherwise the seconds until the next try.
        """
        with self._lock:
            now = clock.monotonic()
            delay = self._delay(now)
            if delay <= 0:
                self._requests.add(now)
            return delay

    def delay(self) -> float:
        """The wait until a request is within the limits; no request is counted.

        Returns
        -------
        float
            Seconds; 0.0 if a request may be sent now.
        """
        with self._lock:
            return self._delay(clock.monotonic())

    def _delay(self, now: float) -> float:
        blocked = self._blocked_until - now
        return max(0.0, blocked, self._requests.delay(now), self._errors.delay(now))

    def wait(self) -> None:
        """Wait until a request may be sent, and count it."""
        while (delay := self.acquire()) > 0:
            clock.sleep(delay)

    def record_error(self) -> None:
        """Count one error response."""
        with self._lock:
            self._errors.add(clock.monotonic())

    def block_for(self, seconds: float) -> None:
        """Allow no request for some seconds, after the service has refused one for a quota.

        Parameters
        ----------
        seconds : float
            How long; at most the longest window of the limits.
        """
        with self._lock:
            until = clock.monotonic() + min(seconds, max(self.limits))
            self._blocked_until = max(self._blocked_until, until)

    def register_poller(self, who: Hashable) -> None:
        """Count a poller; call it with each poll, since a poller that stops is no longer counted.

        Parameters
        ----------
        who : hashable
            What is polled, such as the id of an export. It is counted for 60 seconds, or for two
            intervals between polls if that is longer.
        """
        lease = max(_LEASE, 2 * self.poll_interval(0.0))
        with self._lock:
            self._pollers[who] = clock.monotonic() + lease

    def unregister_poller(self, who: Hashable) -> None:
        """No longer count a poller.

        Parameters
        ----------
        who : hashable
            As for `register_poller`; an unknown one is ignored.
        """
        with self._lock:
            self._pollers.pop(who, None)

    def poll_interval(self, wanted: float) -> float:
        """Seconds between two polls of one export, so that all pollers stay within the limits.

        Half of the requests of the longest window (an hour) are spread evenly over it. The other
        half is for bursts: most exports end within minutes, so it is spread over `_BURST` seconds
        as long as it lasts. The shorter windows limit the rate, too. By default the rate is at
        first 1.3 a second, the limit of a minute, with which 13 pollers poll every 10 seconds each.
        Once 400 requests were sent in an hour, it is 400 / 3600 = 0.11, and each polls every 2
        minutes.

        Parameters
        ----------
        wanted : float
            The interval in seconds that one poller would use alone.

        Returns
        -------
        float
            `wanted`, or more if there are many pollers.
        """
        window = max(self.limits)
        half = self.limits[window] / 2
        with self._lock:
            now = clock.monotonic()
            self._pollers = {who: until for who, until in self._pollers.items() if until > now}
            spare = max(0.0, half - self._requests.count(now, window))
            rates = [count / length for length, count in self.limits.items() if length != window]
            rate = min([half / window + spare / _BURST, *rates])
            return max(wanted, len(self._pollers) / rate)


def limit_text(seconds: float, what: str = "request") -> str:
    """The text to show while the rate limiter delays a request by `seconds`."""
    return (
        f"rate limit reached (keeps under the service's quota); next {what} in "
        f"{math.ceil(seconds)} s"
    )


_limiters: dict[tuple[str, int], RateLimiter] = {}
_lock = fork_safe(threading.Lock())


def shared_limiter(base_url: str, api_user_id: int) -> RateLimiter:
    """The rate limiter that all clients of an account in this process share."""
    with _lock:
        return _limiters.setdefault((base_url, api_user_id), RateLimiter())
