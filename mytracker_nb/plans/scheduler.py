"""The scheduler: submits, polls and fetches the pieces of a plan side by side.

It is one loop on the caller's thread. Only that thread changes the state of a piece
(`mytracker_nb.plans.pieces.TRANSITIONS`). A small pool of threads downloads the files; a download
returns a function that the loop then calls on its own thread.

Each turn of the loop collects finished downloads, submits while the queue has a free place, polls
the exports that are due, and starts downloads. Between turns the caller sleeps as long as the turn
says, or until a download ends. A plan of the days 1 to 4, while the queue has 2 places::

    turn  what happens                                            RUNNING  FETCHING  DONE
    1     1 and 2 are accepted, 3 is rejected, 4 is not tried     1, 2
    2     the poll of 1 says Success!: its download starts        2        1
    3     3 is accepted; 2 is too large: 2a and 2b replace it     3        1
    4     1 is downloaded; 2a is accepted, 2b is rejected         3, 2a              1
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for_futures
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeAlias

from mytracker_nb import clock
from mytracker_nb.client.client import (
    Client,
    CreateInProgress,
    export_for_plan,
    find_reusable,
)
from mytracker_nb.client.export import Export, display_of
from mytracker_nb.client.polling import poll_until_final
from mytracker_nb.display.plan_card import PieceState
from mytracker_nb.errors import (
    AccessDenied,
    ApiError,
    BadRequest,
    ConnectionFailed,
    CreateUnconfirmed,
    ExportFailed,
    ExportTimeout,
    ExportTooLarge,
    MyTrackerError,
    NotFound,
    QueueFull,
)
from mytracker_nb.plans.pieces import PieceEvent, Task
from mytracker_nb.plans.queue_estimate import QueueEstimate
from mytracker_nb.service.rate_limit import limit_text
from mytracker_nb.service.retry import (
    LONG_RETRY,
    NO_RETRY,
    OnWait,
    Retries,
    WaitEvent,
    WaitKind,
    backoff,
)
from mytracker_nb.service.stopping import Stop, Stopped
from mytracker_nb.statuses import CANCELED, FAILED, SUCCESS, TOO_LARGE

__all__ = ["EndsRun", "Fetch", "Scheduler"]

_DOWNLOADS = 2  # pieces whose files are downloaded at the same time
_LONGEST_REST = 15.0  # seconds after which the card is updated in any case
_TICK = 0.1  # seconds between two checks of running downloads

Fetch: TypeAlias = "Callable[[Task], Callable[[], None] | None]"
"""Downloads the files of a piece on a thread of the pool; returns a function for the loop to call.

If either raises a `MyTrackerError`, the piece fails with it; `EndsRun` ends the run."""


class EndsRun(Exception):
    """Raised by a download if the other pieces would fail too, such as when the disk is full.

    Attributes
    ----------
    error : MyTrackerError
        What the run raises. The piece does not fail: the next run downloads it.
    """

    def __init__(self, error: MyTrackerError) -> None:
        super().__init__(error)
        self.error = error


@dataclass(frozen=True)
class _FirstEnds:
    """The end of any of several downloads, as a signal for `clock.wait`."""

    downloads: Iterable[Future[Callable[[], None] | None]]

    def wait(self, timeout: float | None = None) -> bool:
        """Wait; whether one of them ended within `timeout` seconds."""
        return bool(wait_for_futures(self.downloads, timeout, FIRST_COMPLETED).done)


@dataclass
class _Schedule:
    """When a piece is next submitted or polled, during one run.

    Attributes
    ----------
    due : float
        The moment, by `clock.monotonic`.
    pauses : iterator of float
        Seconds between two checks while another kernel is submitting the same piece.
    steps : iterator of WaitEvent or None
        Polls the export, once there is one (`poll_until_final`).
    """

    due: float = 0.0
    pauses: Iterator[float] = field(default_factory=backoff)
    steps: Iterator[WaitEvent] | None = None


class Scheduler:
    """Runs the pieces of a plan until each is done, failed or unconfirmed.

    Parameters
    ----------
    client : Client
        The account.
    tasks : callable
        Returns the pieces in order; after a split, the halves in place of the piece.
    split : callable
        Replaces a piece that is too large by smaller ones; returns whether it could.
    fresh : bool
        Whether to create new exports even if earlier ones could be reused.
    settle : datetime.timedelta, optional
        As for `Client.export`.
    on_wait : callable, optional
        Called with each current wait, in every turn.
    on_change : callable
        Called in every turn.
    """

    def __init__(
        self,
        client: Client,
        tasks: Callable[[], Iterable[Task]],
        split: Callable[[Task], bool],
        *,
        fresh: bool = False,
        settle: timedelta | None = None,
        on_wait: OnWait | None = None,
        on_change: Callable[[], None],
    ) -> None:
        self._client = client
        self._tasks = tasks
        self._split = split
        self._fresh = fresh
        self._settle = settle
        self._on_wait = on_wait
        self._on_change = on_change
        self._queue = QueueEstimate()
        self._downloads: dict[Future[Callable[[], None] | None], Task] = {}
        self._ending: dict[Task, Future[Callable[[], None] | None]] = {}
        self._begin()

    def _begin(self) -> None:
        """Reset the state of the last run."""
        self.is_running = False
        # One count of errors and one pause for all pieces: if the service is down for one, it is
        # down for all, and the next piece would fail as well.
        self._retries = Retries(LONG_RETRY)
        self._pause_until = 0.0
        self._service_wait: WaitEvent | None = None
        self._queue_wait: WaitEvent | None = None
        self._schedules: defaultdict[Task, _Schedule] = defaultdict(_Schedule)
        for task in self.in_state(PieceState.WAITING):
            task.error = None

    def in_state(self, state: PieceState) -> list[Task]:
        """The pieces in a state."""
        return [task for task in self._tasks() if task.state is state]

    @property
    def is_finished(self) -> bool:
        """Whether all pieces are done, failed or unconfirmed."""
        return all(task.state.is_done or task.state.needs_attention for task in self._tasks())

    def turns(self, fetch: Fetch, deadline: float = math.inf) -> Iterator[float]:
        """Run one turn of the loop at a time, until the plan is finished or the deadline.

        Afterwards `waits` still returns the last waits, until `end` is called.

        Parameters
        ----------
        fetch : callable
            Downloads the files of a piece.
        deadline : float
            When to stop, by `clock.monotonic`.

        Yields
        ------
        float
            The seconds to `sleep` before the next turn.
        """
        self._begin()
        self.is_running = True
        stop = Stop()
        pool = ThreadPoolExecutor(_DOWNLOADS, "mytracker-plan")

        def fetch_until_stopped(task: Task) -> Callable[[], None] | None:
            with stop.governing():
                return fetch(task)

        try:
            while True:
                self._collect()
                self._submit()
                self._poll(deadline)
                for task in self.in_state(PieceState.FETCHING):
                    if task not in self._downloads.values() and not self._is_ending(task):
                        self._downloads[pool.submit(fetch_until_stopped, task)] = task
                self._on_change()
                for event in self.waits():
                    if self._on_wait:
                        self._on_wait(event)
                if self.is_finished or clock.monotonic() >= deadline:
                    return
                yield self._pause_length(deadline)
        finally:
            # Stop the downloads: none may continue in the background after an interrupt, and the
            # next run must not download the same files beside them. Complete files are kept.
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            try:
                self._collect()
            finally:
                self._ending |= {task: future for future, task in self._downloads.items()}
                self._downloads.clear()

    def join(self, seconds: float) -> None:
        """Wait for the downloads of a run that has ended, which stop soon."""
        wait_for_futures(self._ending.values(), seconds)

    def _is_ending(self, task: Task) -> bool:
        """Whether a thread of an earlier run still downloads the files of a piece."""
        future = self._ending.get(task)
        if future is None or future.done():
            self._ending.pop(task, None)
            return False
        return True

    def sleep(self, seconds: float) -> None:
        """Sleep, but no longer than until a download ends."""
        if self._downloads:
            clock.wait(_FirstEnds(self._downloads), seconds)
        else:
            clock.sleep(seconds)

    async def sleep_async(self, seconds: float) -> None:
        """`sleep` for asyncio: other tasks run meanwhile."""
        end = clock.monotonic() + seconds
        while self._downloads and not any(future.done() for future in self._downloads):
            left = end - clock.monotonic()
            if left <= 0:
                return
            await clock.sleep_async(min(left, _TICK))
        if not self._downloads:
            await clock.sleep_async(seconds)

    def end(self) -> None:
        """Clear the waits of the run that has ended."""
        self._begin()

    def waits(self) -> list[WaitEvent]:
        """The current waits of a running plan."""
        if not self.is_running:
            return []
        # a piece whose create another kernel is sending
        claimed = next((task for task in self.in_state(PieceState.WAITING) if task.error), None)
        create_wait = None
        if claimed is not None and isinstance(claimed.error, MyTrackerError):
            seconds = max(0.0, self._schedules[claimed].due - clock.monotonic())
            text = f"{claimed.piece.label}: {claimed.error}"
            create_wait = WaitEvent(WaitKind.CREATE, seconds, text, claimed.error)
        service = self._service_wait or self._rate_limit_wait() or self._download_wait()
        return [event for event in (self._queue_wait, create_wait, service) if event is not None]

    def _rate_limit_wait(self) -> WaitEvent | None:
        """The wait for our rate limiter, if it delays downloads (from the service's own host).

        API calls that it delays report the wait themselves.
        """
        if not self.in_state(PieceState.FETCHING):
            return None
        seconds = self._client.api.rate_limiter.delay()
        if seconds <= NO_RETRY.quota_seconds:
            return None
        return WaitEvent(WaitKind.QUOTA, seconds, limit_text(seconds))

    def _download_wait(self) -> WaitEvent | None:
        """The first wait of the downloads, if there is one."""
        exports = (task.export for task in self.in_state(PieceState.FETCHING) if task.export)
        return next(filter(None, (display_of(export).waiting for export in exports)), None)

    def _collect(self) -> None:
        """Apply the results of finished downloads."""
        for future in [future for future in self._downloads if future.done()]:
            task = self._downloads.pop(future)
            if future.cancelled():
                continue
            try:
                finish = future.result()
                if finish:
                    finish()
            except Stopped:
                continue  # this run has ended; the next one downloads it
            except EndsRun as end:
                raise end.error from end
            except MyTrackerError as error:
                task.apply(PieceEvent.FAILED, error)
            else:
                task.apply(PieceEvent.FETCHED)

    def _pause_length(self, deadline: float) -> float:
        """Seconds until the next submit or poll is due."""
        now = clock.monotonic()
        running = self.in_state(PieceState.RUNNING)
        dues = [max(self._schedules[task].due, self._pause_until) for task in running]
        waiting = self.in_state(PieceState.WAITING)
        if waiting:
            place = now if self._queue.has_place(len(running)) else self._queue.retry_at
            first = min(self._schedules[task].due for task in waiting)
            dues.append(max(place, self._pause_until, first))
        if any(self._is_ending(task) for task in self.in_state(PieceState.FETCHING)):
            dues.append(now + _TICK)
        return max(0.0, min([*dues, deadline, now + _LONGEST_REST]) - now)

    def _submit(self) -> None:
        """Reuse earlier exports, and create the others while the queue has a place."""
        # first the reused ones, which need no place in the queue
        if not self.find_earlier():
            return
        for task in self.in_state(PieceState.WAITING):
            if not self._queue.has_place(len(self.in_state(PieceState.RUNNING))):
                return
            is_due = self._schedules[task].due <= clock.monotonic()
            if is_due and not self._obtain(task, self._create):
                return

    def find_earlier(self) -> bool:
        """Search for earlier exports of the pieces; return whether the search is complete."""
        # a loop: an earlier export that was too large splits its piece, which adds halves to search
        while unchecked := [
            task for task in self.in_state(PieceState.WAITING) if not task.adoption_checked
        ]:
            if not all(self._obtain(task, self._reuse) for task in unchecked):
                return False
        return True

    def _obtain(self, task: Task, how: Callable[[Task], Export | None]) -> bool:
        """Get the export of a piece by `how`; return whether to continue with the next piece."""
        if clock.monotonic() < self._pause_until:
            return False
        try:
            export = how(task)
        except CreateInProgress as error:
            # another kernel can take long for it; continue with the other pieces meanwhile
            task.error, task.adoption_checked = error, False
            schedule = self._schedules[task]
            schedule.due = clock.monotonic() + next(schedule.pauses)
            return True
        except QueueFull as error:
            running = self.in_state(PieceState.RUNNING)
            numbers = [other.export.id_raw_export for other in running if other.export]
            self._queue.on_rejected(numbers, error.exports)
            seconds = min(_LONGEST_REST, self._queue.retry_at - clock.monotonic())
            self._queue_wait = WaitEvent.after(error, seconds)
            return False
        except CreateUnconfirmed as error:
            task.apply(PieceEvent.UNCONFIRMED, error)
            return True
        except (AccessDenied, NotFound):
            raise
        except BadRequest as error:
            # if the first piece is refused, the whole request is wrong; later, only this piece
            if not any(other.export for other in self._tasks()):
                raise
            task.apply(PieceEvent.FAILED, error)
            return True
        except (ApiError, ConnectionFailed) as error:
            event = self._retries.after(error)
            if event is None:
                raise
            self._pause(event)
            return False
        if export is not None:
            self._recover()
            task.export = export
            self.apply_status(task)
        return True

    def _reuse(self, task: Task) -> Export | None:
        earlier = None
        if not (task.force_new or self._fresh):
            earlier = find_reusable(
                self._client,
                task.piece.request,
                too_large=True,
                retry_policy=NO_RETRY,
                settle=self._settle,
            )
        task.is_reused, task.adoption_checked = earlier is not None, True
        return earlier

    def _create(self, task: Task) -> Export:
        fresh = task.force_new or self._fresh
        request = task.piece.request
        export = export_for_plan(self._client, request, fresh=fresh, settle=self._settle)
        self._queue_wait = None
        # including this one
        running = len(self.in_state(PieceState.RUNNING)) + (not export.is_finished)
        self._queue.on_accepted(running)
        return export

    def _poll(self, deadline: float) -> None:
        """Poll the exports in progress that are due."""
        for task in self.in_state(PieceState.RUNNING):
            schedule = self._schedules[task]
            if task.export is None or clock.monotonic() < max(schedule.due, self._pause_until):
                continue
            if schedule.steps is None:
                schedule.steps = poll_until_final(task.export, self._retries, deadline=deadline)
            try:
                event = next(schedule.steps, None)
            except ExportTimeout:
                return  # the deadline is the plan's own
            except NotFound as error:
                task.apply(PieceEvent.FAILED, error)
                continue
            if event is not None and event.kind is not WaitKind.POLL:
                self._pause(event)
                return
            self._recover()
            if event is None:
                self.apply_status(task)
            else:
                schedule.due = clock.monotonic() + event.seconds

    def _pause(self, event: WaitEvent) -> None:
        """Make the whole plan wait."""
        self._service_wait = event
        self._pause_until = clock.monotonic() + event.seconds

    def _recover(self) -> None:
        """Reset the count of errors, as the service has answered."""
        self._retries.reset()
        self._service_wait = None

    def apply_status(self, task: Task) -> None:
        """Apply the status of a piece's export to the piece."""
        export = task.export
        assert export is not None
        reason = f"export {export.id_raw_export}: {export.status}"
        reason += f": {export.error_message}" if export.error_message else ""
        if export.status == SUCCESS:
            task.apply(PieceEvent.COMPLETED)
        elif export.status == TOO_LARGE:
            if not self._split(task):
                step = "It can't be split further: request fewer columns, or set a filter"
                error = ExportTooLarge(f"{reason}. {step}", export=export)
                task.apply(PieceEvent.FAILED, error)
        elif export.status in (FAILED, CANCELED):
            task.apply(PieceEvent.FAILED, ExportFailed(reason, export=export))
        else:
            task.apply(PieceEvent.IN_PROGRESS)
