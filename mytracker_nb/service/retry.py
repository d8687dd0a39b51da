"""How long to go on after faults: how many are survived, and the pauses between tries.

Source of what the service asks for: page ``quotas`` of its documentation.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus

from mytracker_nb.errors import ApiError, ConnectionFailed, MyTrackerError, QuotaExceeded

__all__ = [
    "FILE_RETRY",
    "LONG_RETRY",
    "NO_RETRY",
    "RetryPolicy",
    "backoff",
    "is_retryable_status",
    "is_transient",
]

# of our own: what we draw in the background must not change the numbers of a seeded notebook
_random = random.Random()  # noqa: S311


@dataclass(frozen=True)
class RetryPolicy:
    """How many faults in a row are survived, for how long, and how long the pauses are.

    Attributes
    ----------
    faults : int
        Failed tries before the error is raised; waiting for a quota is not a failed try.
    seconds : float
        The longest time that tries may go on failing.
    quota_seconds : float
        The longest time to wait for a quota. By default a little longer than the longest interval
        of a quota.
    answer_seconds : float
        The longest silence of the service within an answer.
    first_delay, longest_delay : float
        The pauses start at `first_delay` seconds, double, and end at `longest_delay`.
    longest_asked_delay : float
        The longest pause that the service may ask for after a fault; for a quota it may ask for
        any, as `quota_seconds` bounds that.
    """

    faults: int = 5
    seconds: float = 900.0
    quota_seconds: float = 3700.0
    answer_seconds: float = 60.0
    first_delay: float = 1.0
    longest_delay: float = 60.0
    longest_asked_delay: float = 120.0

    def within(self, seconds: float) -> RetryPolicy:
        """The same policy, bounded to `seconds`."""
        return replace(
            self,
            seconds=min(self.seconds, seconds),
            quota_seconds=min(self.quota_seconds, seconds),
            answer_seconds=min(self.answer_seconds, max(1.0, seconds)),
        )

    def longest(self, *, is_quota: bool) -> float:
        """The longest time that tries may go on failing, in seconds."""
        return self.quota_seconds if is_quota else self.seconds

    def delay(self, tries: int, asked: float | None = None, *, is_quota: bool = False) -> float:
        """Seconds to wait after a failed try.

        Growing, with jitter, so that not all clients come back at the same moment; and at least
        what the service asks for.

        Parameters
        ----------
        tries : int
            Failed tries in a row, this one included.
        asked : float, optional
            The seconds that the service, or our own rate limiter, asks for.
        is_quota : bool
            Whether a quota was exceeded.
        """
        growing: float = min(self.longest_delay, self.first_delay * 2.0 ** (tries - 1))
        growing *= _random.uniform(0.5, 1.0)
        if asked is None:
            return growing
        if is_quota:
            # A little later than asked, as the service counts whole seconds. Whoever is asked to
            # wait a second time after waiting was asked for too little the first time.
            asked += _random.uniform(0.1, 0.5)
            return max(asked, growing) if tries > 1 else asked
        return max(growing, min(self.longest_asked_delay, asked))

    def delay_after(self, error: MyTrackerError, tries: int) -> float:
        """`delay` after `error`, with what it asks for."""
        if not isinstance(error, QuotaExceeded):
            return self.delay(tries)
        # our own rate limiter, whose refusals have no HTTP status, knows exactly when it ends
        return self.delay(tries if error.status else 1, error.retry_after, is_quota=True)


NO_RETRY = RetryPolicy(faults=0, quota_seconds=1.0)
"""For one call of several: whoever makes them all waits between them, and shows it."""

LONG_RETRY = RetryPolicy(faults=20, seconds=1800.0)
"""For what takes long, such as following an export."""

FILE_RETRY = replace(LONG_RETRY, first_delay=0.2, longest_delay=15.0)
"""For fetching files: a broken connection is resumed soon."""


def is_transient(error: MyTrackerError) -> bool:
    """Whether a call that only reads is worth another try after `error`."""
    if isinstance(error, ApiError):
        # an HTML page in place of an answer comes from something between us and the service
        return (
            isinstance(error, QuotaExceeded)
            or error.payload is None
            or is_retryable_status(error.status)
        )
    return isinstance(error, ConnectionFailed)


def is_retryable_status(status: int) -> bool:
    """Whether an HTTP status says that the same request may succeed a little later."""
    return status >= 500 or status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY)


def backoff(first: float = 1.0, last: float = 15.0, factor: float = 1.5) -> Iterator[float]:
    """Seconds between looks at something that takes long: more and more, up to `last`."""
    pause = first
    while True:
        yield pause
        pause = min(last, pause * factor)
