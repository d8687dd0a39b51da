"""Retries: after which faults, how often, with which pauses, and when to stop.

Source of the pauses that the service asks for: page ``quotas`` of its documentation.
"""

from __future__ import annotations

import contextvars
import logging
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
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
from mytracker_nb.service.deadline import Deadline

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
    "response_deadline",
    "waits_reported",
]

_log = logging.getLogger(__name__)

# a generator of our own: drawing from the global one would change the numbers of a seeded notebook
_random = random.Random()  # noqa: S311
if hasattr(os, "register_at_fork"):  # or all processes of a pool would come back at once
    os.register_at_fork(after_in_child=_random.seed)


_SLOW = 3.0  # seconds after which it is said that a response takes long


@dataclass(frozen=True)
class RetryPolicy:
    """How many faults in a row are retried, for how long, and the pauses between tries.

    Attributes
    ----------
    faults : int
        The number of retries before the error is raised; a wait for a quota does not count.
    seconds : float
        The longest time between the first of the faults and the last retry.
    quota_seconds : float
        The longest time to wait for a quota. By default a little longer than the longest interval
        of a quota.
    answer_seconds : float
        The longest time that a response may take, from sending the request to its last byte.
    first_delay, longest_delay : float
        The pauses start at `first_delay` seconds and double up to `longest_delay`.
    longest_asked_delay : float
        The longest pause in seconds that is granted if the service asks for one after a fault. For
        a quota `quota_seconds` is the limit.
    """

    faults: int = 5
    seconds: float = 900.0
    quota_seconds: float = 3700.0
    answer_seconds: float = 60.0
    first_delay: float = 1.0
    longest_delay: float = 60.0
    longest_asked_delay: float = 120.0

    def within(self, seconds: float) -> RetryPolicy:
        """The same policy with all times limited to `seconds`."""
        return replace(
            self,
            seconds=min(self.seconds, seconds),
            quota_seconds=min(self.quota_seconds, seconds),
            answer_seconds=min(self.answer_seconds, max(1.0, seconds)),
        )

    def delay(self, tries: int, asked: float | None = None, *, is_quota: bool = False) -> float:
        """Seconds to wait after a failed try.

        The delay grows exponentially, with jitter, so that clients do not retry all at the same
        moment. It is at least as long as the service asks for.

        Parameters
        ----------
        tries : int
            Failed tries in a row, this one included.
        asked : float, optional
            The pause in seconds that the service, or our own rate limiter, asks for.
        is_quota : bool
            Whether a quota was exceeded.
        """
        backoff: float = min(self.longest_delay, self.first_delay * 2.0 ** (tries - 1))
        backoff *= _random.uniform(0.5, 1.0)
        if asked is None:
            return backoff
        if is_quota:
            # a little longer than asked, since the service counts in whole seconds. If a quota is
            # exceeded again after the wait, the service had asked for too short a pause
            asked += _random.uniform(0.1, 0.5)
            return max(asked, backoff) if tries > 1 else asked
        return max(backoff, min(self.longest_asked_delay, asked))


NO_RETRY = RetryPolicy(faults=0, quota_seconds=1.0)
"""For a single call of a loop that retries, and shows its waits, itself."""

LONG_RETRY = RetryPolicy(faults=20, seconds=1800.0)
"""For long tasks, such as following an export."""

FILE_RETRY = replace(LONG_RETRY, first_delay=0.2, longest_delay=15.0)
"""For fetching files: a broken connection is resumed soon."""


class WaitKind(str, Enum):
    """The reason for a wait."""

    POLL = "poll"
    """The export is in progress: the time until the next poll."""
    FAULT = "fault"
    """No response, or a temporary error of the service."""
    QUOTA = "quota"
    """The service's quota is exceeded, or our own rate limiter holds a request back."""
    QUEUE = "queue"
    """The service's export queue is full."""
    CREATE = "create"
    """Another kernel or thread is sending the same request."""
    RESPONSE = "response"
    """The service was sent a request, and takes long to respond."""
    DIRECTORY = "directory"
    """Another process writes to the same directory."""


@dataclass(frozen=True)
class WaitEvent:
    """A wait that begins, as cards, cells, the form and plans show it.

    Attributes
    ----------
    kind : WaitKind
        The reason for the wait.
    seconds : float
        How long it takes.
    text : str
        The text to show; ``""`` if there is nothing to report, as between two polls.
    error : MyTrackerError or None
        The error that caused it.
    """

    kind: WaitKind
    seconds: float
    text: str = ""
    error: MyTrackerError | None = None

    @classmethod
    def after(cls, error: MyTrackerError, seconds: float) -> WaitEvent:
        """The wait after `error`, before a retry."""
        if isinstance(error, QueueFull):
            kind, text = WaitKind.QUEUE, f"waiting for space in the queue: {error}"
        else:
            is_quota = isinstance(error, QuotaExceeded)
            kind = WaitKind.QUOTA if is_quota else WaitKind.FAULT
            text = f"retrying in {seconds:.0f} s: {error}"
        return cls(kind, seconds, text, error)


OnWait: TypeAlias = "Callable[[WaitEvent], object]"
"""Called with each wait before it begins; an exception from it ends the wait."""


class Retries:
    """Counts the failed tries of one task, and decides when to stop.

    Every loop that retries uses it, so that all of them stop after the same faults: after more than
    `RetryPolicy.faults` faults in a row, or if the next try would be later than
    `RetryPolicy.seconds` (for a quota `RetryPolicy.quota_seconds`) after the first failed one. A
    wait for a quota is not a fault.

    Parameters
    ----------
    policy : RetryPolicy
        The limits and the pauses.
    is_retryable : callable, optional
        Takes an error, returns whether to retry after it; by default `is_transient`.

    Attributes
    ----------
    tries : int
        Failed tries in a row for which a request was sent.
    faults : int
        How many of them were faults.
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
        """Count one failed try.

        Returns
        -------
        WaitEvent or None
            The wait before the next try; None if the error is final.
        """
        if not self._is_retryable(error):
            return None
        is_quota = isinstance(error, QuotaExceeded)
        # our own rate limiter has sent no request, and unlike the service it knows exactly how
        # long to wait, so neither a try is counted nor the delay increased
        is_ours = is_quota and not getattr(error, "status", 0)
        seconds = self.pause(
            getattr(error, "retry_after", None), is_quota=is_quota, is_ours=is_ours
        )
        if seconds is None:
            return None
        event = WaitEvent.after(error, seconds)
        # short waits for our own rate limiter are frequent, so they are not logged by default
        log_wait(event, logging.DEBUG if is_ours and seconds < 1 else logging.INFO)
        return event

    def pause(
        self, asked: float | None = None, *, is_quota: bool = False, is_ours: bool = False
    ) -> float | None:
        """Count one failed try, as `after`; return the seconds to wait, None to stop.

        Parameters
        ----------
        asked : float, optional
            The pause in seconds that the service, or our own rate limiter, asks for.
        is_quota : bool
            Whether a quota was exceeded.
        is_ours : bool
            Whether our own rate limiter held the request back.
        """
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
    """Log a wait that begins, and report it to whoever shows waits (`waits_reported`)."""
    _log.log(level, "%s", event.text)
    if on_wait := _on_wait.get():
        on_wait(event)


_on_wait: contextvars.ContextVar[OnWait | None] = contextvars.ContextVar("on_wait", default=None)


@contextmanager
def waits_reported(on_wait: OnWait) -> Iterator[None]:
    """Report each wait of a ``with`` block, for calls that take no `on_wait`.

    Inside of another such block the outer one has the reports.

    Parameters
    ----------
    on_wait : callable
        Called with each `WaitEvent`; for a slow response on another thread, with its text alone.
    """
    if _on_wait.get():
        yield
        return
    token = _on_wait.set(on_wait)
    try:
        yield
    finally:
        _on_wait.reset(token)


def response_deadline(service: str, longest: float) -> Deadline:
    """The deadline of a request; it is logged and reported if that takes more than a few seconds.

    Parameters
    ----------
    service : str
        Its address.
    longest : float
        The seconds that the request can take.
    """
    event = WaitEvent(WaitKind.RESPONSE, longest - _SLOW, f"waiting for a response from {service}")
    run = contextvars.copy_context().run
    return Deadline(longest, slow_after=_SLOW, on_slow=partial(run, log_wait, event))


def is_transient(error: MyTrackerError) -> bool:
    """Whether a call that only reads may succeed if it is retried after `error`."""
    if isinstance(error, ApiError):
        # no payload: a page of a proxy between us and the service, not the service's own response
        return (
            isinstance(error, QuotaExceeded)
            or error.payload is None
            or is_retryable_status(error.status)
        )
    return isinstance(error, ConnectionFailed) and error.may_pass


def is_retryable_status(status: int) -> bool:
    """Whether the same request may succeed after a response with this HTTP status."""
    return status >= 500 or status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY)


def backoff(first: float = 1.0, last: float = 15.0, factor: float = 1.5) -> Iterator[float]:
    """The seconds between polls of a long task: they grow by `factor` from `first` to `last`."""
    pause = first
    while True:
        yield pause
        pause = min(last, pause * factor)
