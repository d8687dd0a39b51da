"""`poll_until_final`: polls an export until its status is final; the only loop that does.

`Export.wait` drives it with a blocking sleep, ``await export`` with an asyncio sleep, cards and the
form from their own threads, a plan from its scheduler. So they all react to errors in the same way,
which `RULE` describes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from mytracker_nb import clock
from mytracker_nb.errors import ExportTimeout, MyTrackerError
from mytracker_nb.service.retry import (
    LONG_RETRY,
    NO_RETRY,
    Retries,
    RetryPolicy,
    WaitEvent,
    WaitKind,
    backoff,
)
from mytracker_nb.snippets import attach_code
from mytracker_nb.statuses import IN_PROGRESS

__all__ = ["RULE", "Polled", "poll_until_final", "state_of"]

RULE = f"""\
- A permanent error ends it at once: an export that the service does not know, a signature that it
  does not accept.
- A temporary error (no response, HTTP 5xx, a page that is not the service's) is retried after a
  pause, which grows up to {LONG_RETRY.longest_delay:.0f} seconds. More than {LONG_RETRY.faults}
  errors in a row, or {LONG_RETRY.seconds / 60:.0f} minutes of them, end it with the last error.
- An exceeded quota is not an error. It is waited for as long as the service says, for up to
  {LONG_RETRY.quota_seconds / 60:.0f} minutes. So is the package's own rate limit.
- A successful poll resets all counts.
- A timeout ends it with `ExportTimeout`, which names the last error, if there was one.
- In each case the export continues on the service: `mt.attach(id)` attaches to it
  again."""
"""When polling stops before the export is finished; the same for cells, cards, form and plans."""

_UNKNOWN_STATUS = 15.0  # the least seconds between two polls while the status is unknown


class Polled(Protocol):
    """What `poll_until_final` needs of an export."""

    id_raw_export: int

    @property
    def status(self) -> str:
        """The status in the service's own words."""

    @property
    def progress(self) -> float | None:
        """The progress, from 0.0 to 1.0."""

    @property
    def is_finished(self) -> bool:
        """Whether its status is final."""

    def _poll(self, retry_policy: RetryPolicy) -> None:
        """Poll the status once."""

    def _poll_interval(self, wanted: float) -> float:
        """`wanted` seconds, or more if many exports are polled."""

    def _show(self, event: WaitEvent | None) -> None:
        """Show a wait."""


def poll_until_final(
    export: Polled, retries: Retries | None = None, *, deadline: float = math.inf
) -> Iterator[WaitEvent]:
    """Poll an export until its status is final.

    Parameters
    ----------
    export : Export
        The export; its card shows each wait.
    retries : Retries, optional
        Counts the errors; pass it if several exports share one count.
    deadline : float, optional
        When to stop, by `clock.monotonic`.

    Yields
    ------
    WaitEvent
        The wait after each poll; the caller sleeps, and then asks for the next one.

    Raises
    ------
    ExportTimeout
        If the deadline passed first.
    ApiError, ConnectionFailed
        If the service refused the request, or temporary errors did not end.

    Examples
    --------
    >>> for event in poll_until_final(export):
    ...     clock.sleep(event.seconds)
    """
    retries = Retries(LONG_RETRY) if retries is None else retries
    pauses = backoff()
    while not export.is_finished:
        event = _poll_once(export, retries, pauses, deadline)
        export._show(event)
        if event is None:
            return
        yield event


def _poll_once(
    export: Polled, retries: Retries, pauses: Iterator[float], deadline: float
) -> WaitEvent | None:
    """Poll once; return the wait until the next poll, None if the status is final."""
    left = max(0.0, deadline - clock.monotonic())
    fault: MyTrackerError | None = None
    try:
        export._poll(NO_RETRY.within(left))
    except MyTrackerError as error:
        event = retries.after(error)
        if event is None:
            raise
        fault = error
    else:
        retries.reset()
        if export.is_finished:
            return None
        event = WaitEvent(WaitKind.POLL, _pause(export, pauses))
    left = deadline - clock.monotonic()
    if left <= 0:
        raise ExportTimeout(_still_running(export, fault), export=export) from fault
    # shorten the pause, so that the last poll is at the deadline
    return replace(event, seconds=min(left, event.seconds))


def _pause(export: Polled, pauses: Iterator[float]) -> float:
    wanted = next(pauses)
    if export.status != IN_PROGRESS:
        wanted = max(wanted, _UNKNOWN_STATUS)  # it may be a final status, so poll rarely
    return export._poll_interval(wanted)


def _still_running(export: Polled, fault: MyTrackerError | None) -> str:
    more = f"; the last poll failed: {fault}" if fault else ""
    return (
        f"export {export.id_raw_export} is still {state_of(export)}{more}. "
        f"It continues on the service: wait again, or attach to it with "
        f"{attach_code(export.id_raw_export)}"
    )


def state_of(export: Polled) -> str:
    """The status and the progress as a short text."""
    share = "" if export.progress is None else f", {export.progress:.0%}"
    return f"{export.status!r}{share}"
