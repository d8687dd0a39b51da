"""The scheduler: submits, polls and fetches the pieces of a plan side by side.

It is one loop on the caller's own thread. Only that thread changes the state of a piece
(`mytracker_nb.plans.pieces.TRANSITIONS`); files are fetched by a few threads of a pool, which read
the export of a piece, and hand back what is then to be done on the loop's thread.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from mytracker_nb.client.follow import follow
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

__all__ = ["Fetch", "QueueEstimate", "Scheduler"]

_AT_ONCE = 2  # pieces whose files are fetched at the same time
_LONGEST_REST = 15.0  # seconds in which nothing new is shown
_TICK = 0.1  # seconds between two looks at files that are fetched

Fetch: TypeAlias = "Callable[[Task], Callable[[], None] | None]"
"""Fetches the files of a piece, on a thread of the pool; gives what the loop is to do then."""


@dataclass
class QueueEstimate:
    """What is known of the service's export queue, whose length it does not say.

    Attributes
    ----------
    places : int or None
        How many exports of the plan may be in progress; None while nothing is known against more.
    retry_at : float
        When to try beyond `places` (of the monotonic clock), where exports of others are in the
        queue: these end unseen.
    pauses : iterator of float
        Seconds between two such tries.

    Examples
    --------
    A plan has 3 exports in progress and its 4th create is rejected with "7, 8, 9 fill the queue".
    If these are its own three, a place comes free only when one of them ends: ``places`` is 3 and
    ``retry_at`` infinite. If one of them is somebody else's, it may end at any moment: ``places``
    is 3, but after a pause a 4th is tried all the same.
    """

    places: int | None = None
    retry_at: float = math.inf
    pauses: Iterator[float] = field(default_factory=backoff)

    def has_place(self, running: int) -> bool:
        """Whether to submit one more beside `running` of the plan's own."""
        return self.places is None or running < self.places or clock.monotonic() >= self.retry_at

    def on_accepted(self, running: int) -> None:
        """One more was accepted, with which `running` are in progress."""
        if self.places is not None and running > self.places:
            self.places, self.retry_at = None, math.inf
        self.pauses = backoff()

    def on_rejected(self, running: Sequence[int], filling: Sequence[int]) -> None:
        """There was no place beside `running`; the service says that `filling` fill the queue."""
        self.places = len(running)
        # where the service does not say who fills it, it may be anyone
        by_others = not running or not set(running).issuperset(filling) or not filling
        self.retry_at = clock.monotonic() + next(self.pauses) if by_others else math.inf


@dataclass
class _Turn:
    """When a piece is next submitted or polled, during one run.

    Attributes
    ----------
    due : float
        The moment, by `clock.monotonic`.
    pauses : iterator of float
        Seconds between two tries to submit what another kernel is submitting.
    steps : iterator of WaitEvent or None
        Follows the export, once there is one.
    """

    due: float = 0.0
    pauses: Iterator[float] = field(default_factory=backoff)
    steps: Iterator[WaitEvent] | None = None


class Scheduler:
    """Brings every piece of a plan as far as it goes.

    Parameters
    ----------
    client : Client
        The account.
    tasks : callable
        Gives the pieces in their order; more of them once one is split.
    split : callable
        Replaces a piece that is too large by smaller ones; whether it could.
    fresh : bool
        Whether to make new exports in any case.
    settle : datetime.timedelta, optional
        As for `Client.export`.
    on_wait : callable, optional
        Called with what is waited for, again and again while it is.
    on_change : callable
        Called in each turn of the loop.
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
        """Forget what held only for the last run."""
        self.is_running = False
        # One count for all calls, as a service that is down is down for all pieces. So is a pause:
        # a plan that went on with the next piece would meet the same fault there.
        self._retries = Retries(LONG_RETRY)
        self._pause_until = 0.0
        self._trouble: WaitEvent | None = None
        self._queue_wait: WaitEvent | None = None
        self._turns: defaultdict[Task, _Turn] = defaultdict(_Turn)
        for task in self.in_state(PieceState.WAITING):
            task.error = None

    def in_state(self, state: PieceState) -> list[Task]:
        """The pieces in a state."""
        return [task for task in self._tasks() if task.state is state]

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do but what failed or is unconfirmed."""
        return all(task.state.is_done or task.state.is_held for task in self._tasks())

    def turns(self, fetch: Fetch, deadline: float = math.inf) -> Iterator[float]:
        """Take one turn of the loop at a time, until nothing is left to do or the deadline.

        Afterwards `waits` still has what was waited for in the end, until `end`.

        Parameters
        ----------
        fetch : callable
            Fetches the files of a piece.
        deadline : float
            When to stop, by `clock.monotonic`.

        Yields
        ------
        float
            The seconds to `rest` before the next turn.
        """
        self._begin()
        self.is_running = True
        stop = Stop()
        pool = ThreadPoolExecutor(_AT_ONCE, "mytracker-plan")

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
            # What is being fetched ends now, and what is whole is kept: nothing goes on behind the
            # back of whoever has stopped waiting, and no later run fetches the same beside it.
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            self._collect()
            self._ending |= {task: future for future, task in self._downloads.items()}
            self._downloads.clear()

    def _is_ending(self, task: Task) -> bool:
        """Whether a thread of an earlier run is still at the files of a piece."""
        future = self._ending.get(task)
        if future is None or future.done():
            self._ending.pop(task, None)
            return False
        return True

    def rest(self, seconds: float) -> None:
        """Wait until there may be something to do."""
        if self._downloads:
            wait_for_futures(self._downloads, seconds, FIRST_COMPLETED)
        else:
            clock.sleep(seconds)

    async def rest_async(self, seconds: float) -> None:
        """`rest`, while other tasks run."""
        end = clock.monotonic() + seconds
        while self._downloads and not any(future.done() for future in self._downloads):
            left = end - clock.monotonic()
            if left <= 0:
                return
            await clock.sleep_async(min(left, _TICK))
        if not self._downloads:
            await clock.sleep_async(seconds)

    def end(self) -> None:
        """Forget what was waited for."""
        self._begin()

    def waits(self) -> list[WaitEvent]:
        """What a running plan waits for."""
        if not self.is_running:
            return []
        sent = next((task for task in self.in_state(PieceState.WAITING) if task.error), None)
        other = None
        if sent is not None and isinstance(sent.error, MyTrackerError):
            seconds = max(0.0, self._turns[sent].due - clock.monotonic())
            text = f"{sent.piece.label}: {sent.error}"
            other = WaitEvent(WaitKind.CREATE, seconds, text, sent.error)
        service = self._trouble or self._rate_limit() or self._files()
        return [event for event in (self._queue_wait, other, service) if event is not None]

    def _rate_limit(self) -> WaitEvent | None:
        """Our own rate limiter, where it holds files back: at a service that hands them out itself.

        Calls that it holds back say so themselves.
        """
        if not self.in_state(PieceState.FETCHING):
            return None
        seconds = self._client.api.rate_limiter.delay()
        if seconds <= NO_RETRY.quota_seconds:
            return None
        return WaitEvent(WaitKind.QUOTA, seconds, limit_text(seconds))

    def _files(self) -> WaitEvent | None:
        """What the files that are fetched wait for."""
        exports = (task.export for task in self.in_state(PieceState.FETCHING) if task.export)
        return next(filter(None, (display_of(export).waiting for export in exports)), None)

    def _collect(self) -> None:
        """Take in what was fetched."""
        for future in [future for future in self._downloads if future.done()]:
            task = self._downloads.pop(future)
            if future.cancelled():
                continue
            try:
                finish = future.result()
                if finish:
                    finish()
            except Stopped:
                continue  # by the end of this run: the next one fetches it
            except MyTrackerError as error:
                task.apply(PieceEvent.FAILED, error)
            else:
                task.apply(PieceEvent.FETCHED)

    def _pause_length(self, deadline: float) -> float:
        """Seconds until there may be something to do, if no file is fetched before."""
        now = clock.monotonic()
        running = self.in_state(PieceState.RUNNING)
        dues = [max(self._turns[task].due, self._pause_until) for task in running]
        waiting = self.in_state(PieceState.WAITING)
        if waiting:
            place = now if self._queue.has_place(len(running)) else self._queue.retry_at
            first = min(self._turns[task].due for task in waiting)
            dues.append(max(place, self._pause_until, first))
        if any(self._is_ending(task) for task in self.in_state(PieceState.FETCHING)):
            dues.append(now + _TICK)
        return max(0.0, min([*dues, deadline, now + _LONGEST_REST]) - now)

    def _submit(self) -> None:
        """Reuse earlier exports, and create those that are missing while the queue has a place."""
        # first what needs no place in the queue
        if not self.find_earlier():
            return
        for task in self.in_state(PieceState.WAITING):
            if not self._queue.has_place(len(self.in_state(PieceState.RUNNING))):
                return
            is_due = self._turns[task].due <= clock.monotonic()
            if is_due and not self._obtain(task, self._create):
                return

    def find_earlier(self) -> bool:
        """Look for earlier exports of the pieces, to be reused; whether all were looked for."""
        # a loop, as one that is known to be too large is split, and its halves are looked for too
        while unchecked := [
            task for task in self.in_state(PieceState.WAITING) if not task.adoption_checked
        ]:
            if not all(self._obtain(task, self._reuse) for task in unchecked):
                return False
        return True

    def _obtain(self, task: Task, how: Callable[[Task], Export | None]) -> bool:
        """Get the export of a piece, if there is one; whether to go on with the next piece."""
        if clock.monotonic() < self._pause_until:
            return False
        try:
            export = how(task)
        except CreateInProgress as error:
            # it may be another kernel's for long; meanwhile the other pieces go on
            task.error, task.adoption_checked = error, False
            turn = self._turns[task]
            turn.due = clock.monotonic() + next(turn.pauses)
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
            # what is refused from the start is the request; later it is this piece
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
            self.judge(task)
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
        task.is_adopted, task.adoption_checked = earlier is not None, True
        return earlier

    def _create(self, task: Task) -> Export:
        fresh = task.force_new or self._fresh
        request = task.piece.request
        export = export_for_plan(self._client, request, fresh=fresh, settle=self._settle)
        self._queue_wait = None
        # with it this many are in progress
        running = len(self.in_state(PieceState.RUNNING)) + (not export.is_finished)
        self._queue.on_accepted(running)
        return export

    def _poll(self, deadline: float) -> None:
        """Look at the exports in progress whose time has come."""
        for task in self.in_state(PieceState.RUNNING):
            turn = self._turns[task]
            if task.export is None or clock.monotonic() < max(turn.due, self._pause_until):
                continue
            if turn.steps is None:
                turn.steps = follow(task.export, self._retries, deadline=deadline)
            try:
                event = next(turn.steps, None)
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
                self.judge(task)
            else:
                turn.due = clock.monotonic() + event.seconds

    def _pause(self, event: WaitEvent) -> None:
        """Let the whole plan wait."""
        self._trouble = event
        self._pause_until = clock.monotonic() + event.seconds

    def _recover(self) -> None:
        """Note that the service answers."""
        self._retries.reset()
        self._trouble = None

    def judge(self, task: Task) -> None:
        """Apply what the service says of a piece's export."""
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
