"""How long to go on after faults: how many are survived, the pauses between tries, when to stop.

Source of what the service asks for: page ``quotas`` of its documentation.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from http import HTTPStatus
from typing import TypeAlias

from mytracker_nb import clock
from mytracker_nb.errors import (
    ApiError,
    ConnectionFailed,
    MyTrackerError,
    QueueFull,
    QuotaExceeded,
)

__all__ = [
    "FILE_RETRY",
    "LONG_RETRY",
    "NO_RETRY",
    "OnWait",
    "Retries",
    "RetryPolicy",
    "WaitEvent",
    "WaitKind",
    "backoff",
    "is_retryable_status",
    "is_transient",
    "log_wait",
]

_log = logging.getLogger(__name__)

# of our own: what we draw in the background must not change the numbers of a seeded notebook
_random = random.Random()  # noqa: S311
if hasattr(os, "register_at_fork"):  # or all processes of a pool would come back at once
    os.register_at_fork(after_in_child=_random.seed)


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
        The longest time that a whole answer may take, from sending the request to its last byte.
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


NO_RETRY = RetryPolicy(faults=0, quota_seconds=1.0)
"""For one call of several: whoever makes them all waits between them, and shows it."""

LONG_RETRY = RetryPolicy(faults=20, seconds=1800.0)
"""For what takes long, such as following an export."""

FILE_RETRY = replace(LONG_RETRY, first_delay=0.2, longest_delay=15.0)
"""For fetching files: a broken connection is resumed soon."""


class WaitKind(str, Enum):
    """What a wait is for."""

    POLL = "poll"
    """The export is in progress: the time until it is looked at again."""
    FAULT = "fault"
    """No response, or an error of the service that may pass."""
    QUOTA = "quota"
    """The service's quota is used up, or our own rate limiter holds a request back."""
    QUEUE = "queue"
    """The service's export queue is full."""
    CREATE = "create"
    """Another kernel or thread is sending the same request."""
    DIRECTORY = "directory"
    """Another process writes to the same directory."""


@dataclass(frozen=True)
class WaitEvent:
    """A wait that begins: what every face shows of it.

    Attributes
    ----------
    kind : WaitKind
        What it is for.
    seconds : float
        How long it takes.
    text : str
        What to show; ``""`` where there is nothing to say, as between two looks at an export.
    error : MyTrackerError or None
        The error that it is for.
    """

    kind: WaitKind
    seconds: float
    text: str = ""
    error: MyTrackerError | None = None

    @classmethod
    def after(cls, error: MyTrackerError, seconds: float) -> WaitEvent:
        """The wait after `error`, until the same is tried again."""
        if isinstance(error, QueueFull):
            kind, text = WaitKind.QUEUE, f"waiting for a place in the queue: {error}"
        else:
            is_quota = isinstance(error, QuotaExceeded)
            kind = WaitKind.QUOTA if is_quota else WaitKind.FAULT
            text = f"retrying in {seconds:.0f} s: {error}"
        return cls(kind, seconds, text, error)


OnWait: TypeAlias = "Callable[[WaitEvent], object]"
"""Called with each wait before it begins; what it raises ends the wait."""


class Retries:
    """The failed tries in a row of one task, and when to stop trying.

    Every loop that tries again counts here, so that all of them stop after the same faults: after
    more than `RetryPolicy.faults` faults in a row, or when the next try would come later than
    `RetryPolicy.seconds` (for a quota `RetryPolicy.quota_seconds`) after the first of the row. To
    be held back by a quota is not a fault.

    Parameters
    ----------
    policy : RetryPolicy
        How much is survived.
    is_retryable : callable, optional
        Whether the same is worth another try after an error; by default `is_transient`.

    Attributes
    ----------
    tries : int
        Failed tries in a row that reached for the service.
    faults : int
        Those of them that were faults.
    """

    def __init__(
        self, policy: RetryPolicy, is_retryable: Callable[[MyTrackerError], bool] | None = None
    ) -> None:
        self._policy = policy
        self._is_retryable = is_retryable or is_transient
        self.reset()

    def reset(self) -> None:
        """Note that a try succeeded."""
        self.tries = self.faults = 0
        self._since: float | None = None

    def after(self, error: MyTrackerError) -> WaitEvent | None:
        """Count one more failed try.

        Returns
        -------
        WaitEvent or None
            The wait before the next try; None if there is to be none: then the error is final.
        """
        if not self._is_retryable(error):
            return None
        is_quota = isinstance(error, QuotaExceeded)
        # what our own rate limiter holds back has not reached for the service; and unlike the
        # service it knows exactly when it ends
        is_ours = is_quota and not getattr(error, "status", 0)
        seconds = self.pause(
            getattr(error, "retry_after", None), is_quota=is_quota, is_ours=is_ours
        )
        if seconds is None:
            return None
        event = WaitEvent.after(error, seconds)
        # the own rate limiter holds every few requests back for a moment: no news
        log_wait(event, logging.DEBUG if is_ours and seconds < 1 else logging.INFO)
        return event

    def pause(
        self, asked: float | None = None, *, is_quota: bool = False, is_ours: bool = False
    ) -> float | None:
        """`after`, for an error that is not one of ours; the seconds alone."""
        now = clock.monotonic()
        self._since = now if self._since is None else self._since
        self.tries += not is_ours
        self.faults += not is_quota
        seconds = self._policy.delay(1 if is_ours else self.tries, asked, is_quota=is_quota)
        longest = self._policy.quota_seconds if is_quota else self._policy.seconds
        if self.faults > self._policy.faults or now + seconds > self._since + longest:
            return None
        return seconds


def log_wait(event: WaitEvent, level: int = logging.INFO) -> None:
    """Log a wait that begins, for a job that nobody watches."""
    _log.log(level, "%s", event.text)


def is_transient(error: MyTrackerError) -> bool:
    """Whether a call that only reads is worth another try after `error`."""
    if isinstance(error, ApiError):
        # an HTML page in place of an answer comes from something between us and the service
        return (
            isinstance(error, QuotaExceeded)
            or error.payload is None
            or is_retryable_status(error.status)
        )
    return isinstance(error, ConnectionFailed) and error.may_pass


def is_retryable_status(status: int) -> bool:
    """Whether an HTTP status says that the same request may succeed a little later."""
    return status >= 500 or status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY)


def backoff(first: float = 1.0, last: float = 15.0, factor: float = 1.5) -> Iterator[float]:
    """Seconds between looks at something that takes long: more and more, up to `last`."""
    pause = first
    while True:
        yield pause
        pause = min(last, pause * factor)
