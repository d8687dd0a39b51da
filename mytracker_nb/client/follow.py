"""Following an export until the service is done with it: the one loop behind every face.

`Export.wait` drives it with a sleep, ``await export`` with one that lets other tasks run, a card
and the form from a thread of theirs, a plan from its scheduler. So after the same faults they all
come to the same verdict; `RULE` says which.
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
from mytracker_nb.statuses import IN_PROGRESS

__all__ = ["RULE", "Followed", "attach_code", "follow", "state_of"]

RULE = f"""\
- A refusal that cannot pass ends it at once: an export that the service does not know, a signature
  that it does not accept.
- A fault (no response, HTTP 5xx, a page that is not the service's) is retried after a pause, which
  grows up to {LONG_RETRY.longest_delay:.0f} seconds. More than {LONG_RETRY.faults} faults in a row,
  or {LONG_RETRY.seconds / 60:.0f} minutes of them, end it with the last error.
- A quota is not a fault. It is waited for as long as the service says, for up to
  {LONG_RETRY.quota_seconds / 60:.0f} minutes. So is the package's own rate limit.
- One look that succeeds sets all counts back to zero.
- A timeout ends it with `ExportTimeout`, which names the last fault, if there was one.
- Whatever ends it, the export continues on the service: `mt.Client().attach(id)` finds
  it again."""
"""When following an export ends, other than by the end of the export: for every face."""

_UNKNOWN_STATUS = 15.0  # seconds, at least, between two looks at an export in an unknown status


class Followed(Protocol):
    """What `follow` needs of an export."""

    id_raw_export: int

    @property
    def status(self) -> str:
        """The service's own word."""

    @property
    def progress(self) -> float | None:
        """How much is done, from 0.0 to 1.0."""

    @property
    def is_finished(self) -> bool:
        """Whether the service is done with it."""

    def _look(self, retry_policy: RetryPolicy) -> None:
        """Ask the service once how the export stands."""

    def _poll_interval(self, wanted: float) -> float:
        """`wanted` seconds, or more where many exports are followed."""

    def _show(self, event: WaitEvent | None) -> None:
        """Show what is waited for."""


def follow(
    export: Followed, retries: Retries | None = None, *, deadline: float = math.inf
) -> Iterator[WaitEvent]:
    """Look at an export until the service is done with it.

    Parameters
    ----------
    export : Export
        The export; what is waited for is shown on its card too.
    retries : Retries, optional
        Counts the faults; handed over where several exports at the same service share the count.
    deadline : float, optional
        When to stop, by `clock.monotonic`.

    Yields
    ------
    WaitEvent
        The wait after each look; the caller waits, and then asks for the next.

    Raises
    ------
    ExportTimeout
        If the deadline came first.
    ApiError, ConnectionFailed
        If the service refused, or faults did not pass.

    Examples
    --------
    >>> for event in follow(export):
    ...     clock.sleep(event.seconds)
    """
    retries = Retries(LONG_RETRY) if retries is None else retries
    pauses = backoff()
    while not export.is_finished:
        event = _look(export, retries, pauses, deadline)
        export._show(event)
        if event is None:
            return
        yield event


def _look(
    export: Followed, retries: Retries, pauses: Iterator[float], deadline: float
) -> WaitEvent | None:
    """Look once; the wait until the next look, None if the service is done with the export."""
    left = max(0.0, deadline - clock.monotonic())
    fault: MyTrackerError | None = None
    try:
        export._look(NO_RETRY.within(left))
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
    # at the deadline it is looked at once more, whatever the pause
    return replace(event, seconds=min(left, event.seconds))


def _pause(export: Followed, pauses: Iterator[float]) -> float:
    wanted = next(pauses)
    if export.status != IN_PROGRESS:
        wanted = max(wanted, _UNKNOWN_STATUS)  # it may mean anything, that it will never end too
    return export._poll_interval(wanted)


def _still_running(export: Followed, fault: MyTrackerError | None) -> str:
    more = f"; the last try failed: {fault}" if fault else ""
    return (
        f"export {export.id_raw_export} is still {state_of(export)}{more}. "
        f"It continues on the service: wait again, or attach to it with {attach_code(export)}"
    )


def state_of(export: Followed) -> str:
    """The status and the progress in a few words."""
    share = "" if export.progress is None else f", {export.progress:.0%}"
    return f"{export.status!r}{share}"


def attach_code(export: Followed) -> str:
    """The code that finds the export again, in any notebook."""
    return f"mt.Client().attach({export.id_raw_export})"
