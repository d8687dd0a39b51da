"""`Plan`: one large request as many exports.

`mytracker_nb.plans.splitting` splits the request, `mytracker_nb.plans.scheduler` runs the pieces,
`mytracker_nb.plans.manifest` lists the files of its dataset.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import shutil
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mytracker_nb import clock
from mytracker_nb.client.client import Client, default_client
from mytracker_nb.client.export import Export
from mytracker_nb.client.recording_in_use import recorder_in_use
from mytracker_nb.display.live_output import CardDisplay
from mytracker_nb.display.plan_card import CardWindow, PieceState, PlanCard
from mytracker_nb.errors import (
    CreateUnconfirmed,
    ExportFailed,
    ExportTimeout,
    ExportTooLarge,
    FileError,
    InvalidRequest,
    LinkExpired,
    MyTrackerError,
    WaitInterrupted,
)
from mytracker_nb.plans import compaction, splitting
from mytracker_nb.plans.coverage import Update
from mytracker_nb.plans.manifest import Manifest, Part, locked_directory, parts_in
from mytracker_nb.plans.pieces import PieceEvent, Task
from mytracker_nb.plans.scheduler import EndsRun, Fetch, Scheduler
from mytracker_nb.plans.shared_rows import shared_rows
from mytracker_nb.plans.splitting import Piece
from mytracker_nb.request.availability import is_bounded
from mytracker_nb.request.python_signature import ExportParameters, with_parameters
from mytracker_nb.request.request import ExportRequest
from mytracker_nb.request.reuse import read_settle
from mytracker_nb.request.syntax import to_line_call
from mytracker_nb.service.retry import OnWait, WaitEvent, WaitKind
from mytracker_nb.service.signing import KeyHolder
from mytracker_nb.snippets import name_of, runnable
from mytracker_nb.statuses import SUCCESS
from mytracker_nb.tables.conversions import Convertible
from mytracker_nb.tables.dataset import AvailabilityWarning, unwritable
from mytracker_nb.tables.event_params import check_params, with_params
from mytracker_nb.tables.parquet_writer import check_partition
from mytracker_nb.tables.schema import schema

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Unpack

    from mytracker_nb.tables.raw_data import RawData

__all__ = ["Plan", "display_of_plan", "plan", "preview"]

_log = logging.getLogger(__name__)

_GRACE = 1.0  # seconds for downloads that were stopped
_SHOWN = 5  # failures listed in a message
_RETRY = "submits the failed and unconfirmed exports again"


class Plan(KeyHolder, Convertible):
    """One request as several exports; each row is in exactly one of them. Created by `plan`.

    It sends nothing until `run` is called or its data is needed.

    Attributes
    ----------
    request : ExportRequest
        The whole request.

    Examples
    --------
    >>> plan = mt.plan(event="installs", selectors="idDevice, tsEvent",
    ...                dateFrom="2026-10-01", dateTo="2026-10-14", every="7d")
    >>> plan.status["state"].tolist()
    ['waiting', 'waiting']
    >>> plan.run().is_finished
    True
    >>> plan.status["dateTo"].tolist()
    ['2026-10-07', '2026-10-14']
    """

    _is_called = "a plan"
    _instead = (
        "Its exports are found again: mt.plan(...) of the same request reuses them, on this "
        "machine. plan.request, plan.exports, plan.status and plan.to_pandas() can be pickled"
    )

    def __init__(
        self,
        client: Client,
        request: ExportRequest,
        every: object = None,
        *,
        fresh: bool = False,
        settle: str | timedelta | None = None,
        on_wait: OnWait | None = None,
    ) -> None:
        recorder = recorder_in_use()
        if recorder is not None:
            request = recorder.resolve(request)
        problems = splitting.problems(request, clock.now())
        if any(problem.severity == "error" for problem in problems):
            raise InvalidRequest(problems)
        self.request = request
        self._client = client
        self._every = splitting.parse_every(every, request)
        self._parts: list[RawData] = []
        self._known: dict[Piece, Task] = {}
        self._tasks = self._lay_out(splitting.split_request(request, self._every))
        self._fresh = fresh
        self._on_wait = on_wait
        self._reports: list[str] = []  # notes on the dataset, for the card
        self._started: tuple[float, float] | None = None
        self._display = CardDisplay(self.card)
        self._scheduler = Scheduler(
            client,
            lambda: list(self._leaves()),
            self._split,
            fresh=fresh,
            settle=read_settle(settle),
            on_wait=on_wait,
            on_change=lambda: self._display.update(),
        )

    def run(self, timeout: float | None = None) -> Plan:
        """Submit, poll and download the exports, as many at once as the queue allows.

        Earlier exports of the same pieces are reused, after a restart too. A piece that is too
        large is split in half. A piece that fails is skipped and reported (`status`, the card);
        `retry` submits it again. If the run is interrupted, the exports continue on the service.

        Parameters
        ----------
        timeout : float, optional
            The longest time to run, in seconds; None sets no limit.

        Returns
        -------
        Plan
            Itself; all pieces are done, failed or unconfirmed.

        Raises
        ------
        ExportTimeout
            If it was not finished after `timeout`.
        WaitInterrupted
            If the user interrupted (a KeyboardInterrupt).
        InvalidRequest, ApiError, ConnectionFailed
            If the service refuses the first piece or the account, or temporary errors do not end.
        """
        self._run(_fetch, timeout)
        return self

    def __copy__(self) -> Plan:
        # copies would run the same pieces twice
        return self

    def __await__(self) -> Generator[Any, None, Plan]:
        return self._run_async(_fetch).__await__()

    def retry(self, timeout: float | None = None) -> Plan:
        """Submit the failed and unconfirmed pieces again, and `run`.

        Before you retry an unconfirmed piece, check MyTracker's export list: if its export exists,
        a second one only fills the queue.

        Parameters
        ----------
        timeout : float, optional
            Seconds, as for `run`.

        Returns
        -------
        Plan
            The plan itself.
        """
        for task in self._retriable():
            succeeded = task.export is not None and task.export.status == SUCCESS
            if succeeded and not isinstance(task.error, LinkExpired):
                task.apply(PieceEvent.REFETCH)
            else:
                task.start_over()
        return self.run(timeout)

    def _retriable(self) -> list[Task]:
        """The failed and unconfirmed pieces, except those that are too large."""
        return [
            task
            for task in self._leaves()
            if task.state.needs_attention and not isinstance(task.error, ExportTooLarge)
        ]

    def cancel(self) -> pd.DataFrame:
        """Ask the service to cancel the exports that are in progress.

        This includes earlier exports of the same pieces, such as those of another kernel.

        Returns
        -------
        pandas.DataFrame
            As `status`; where an export could not be cancelled, with the service's message.
        """
        self._scheduler.find_earlier()
        for task in self._leaves():
            if task.state is PieceState.RUNNING and task.export is not None:
                try:
                    task.export.cancel()
                except MyTrackerError as error:
                    task.error = error
                else:
                    self._scheduler.apply_status(task)
        self._display.update()
        return self.status

    @property
    def exports(self) -> tuple[Export, ...]:
        """The exports created or reused so far, in the order of their windows."""
        return tuple(task.export for task in self._leaves() if task.export is not None)

    @property
    def loaded_size(self) -> int:
        """The bytes of the files from which the rows were loaded last; 0 before."""
        return sum(part.bytes_read for part in self._parts)

    @property
    def status(self) -> pd.DataFrame:
        """The pieces as a table, one row per piece.

        Returns
        -------
        pandas.DataFrame
            ``idRawExport`` (missing before the export is created), ``state`` (waiting, in progress,
            downloading, done, kept, failed, unconfirmed), ``status`` (in the service's words),
            ``progress``, two columns with the bounds of the window, named as the parameters are
            (``dateFrom``, ``dateTo``), ``filters`` (the part of a split filter), ``message``.
        """
        import pandas as pd

        names = splitting.split_axis(self.request).interval.names
        rows = [
            (
                task.export.id_raw_export if task.export else None,
                task.state.word,
                task.export.status if task.export else None,
                task.export.progress if task.export else None,
                *task.piece.bounds,
                task.piece.filter_label,
                str(task.error or ""),
            )
            for task in self._leaves()
        ]
        columns = ["idRawExport", "state", "status", "progress", *names, "filters", "message"]
        frame = pd.DataFrame(rows, columns=columns)
        return frame.astype({"idRawExport": "Int64", "progress": "float64"})

    @property
    def is_finished(self) -> bool:
        """Whether all pieces are done, failed or unconfirmed."""
        return self._scheduler.is_finished

    def raise_for_failures(self) -> None:
        """Raise if a piece failed or is unconfirmed.

        Raises
        ------
        ExportFailed
            If a piece failed; `ExportTooLarge` if one is too large and can't be split.
        CreateUnconfirmed
            If some creates got no response, and nothing else failed.
        """
        missing = [task for task in self._leaves() if task.state.needs_attention]
        if not missing:
            return
        lines = [_count_text(missing, list(self._leaves()))]
        lines += [f"  - {task.piece.label}: {task.error}" for task in missing[:_SHOWN]]
        lines += [f"  - and {len(missing) - _SHOWN} more (plan.status)"] * (len(missing) > _SHOWN)
        lines += [self._retry_text()] if self._retriable() else []
        text = "\n".join(lines)
        if all(task.state is PieceState.UNCONFIRMED for task in missing):
            raise CreateUnconfirmed(text, request=missing[0].piece.request)
        too_large = any(isinstance(task.error, ExportTooLarge) for task in missing)
        export = next((task.export for task in missing if task.export), None)
        raise (ExportTooLarge if too_large else ExportFailed)(text, export=export)

    def data(self) -> RawData:
        """The rows of all pieces; it calls `run` if needed.

        Returns
        -------
        RawData
            The rows in the order of the pieces' windows.

        Raises
        ------
        ExportFailed, CreateUnconfirmed
            If a piece is missing.
        MyTrackerError
            As `run`.
        """
        from mytracker_nb.tables.raw_data import RawData

        self._tasks = self._lay_out(splitting.split_request(self.request, self._every))
        if not self.is_finished:
            self.run()
        self.raise_for_failures()
        self._parts = parts = [export.data() for export in self.exports]
        return RawData(
            [file for part in parts for file in part.files],
            # a recording can lack columns
            parts[0].selectors if parts else self.request.parameters["selectors"],
            limits=self._client.limits,
            timezone=self.request.zone.key,
        )

    def to_parquet(
        self,
        directory: str | os.PathLike[str],
        *,
        partition_by: str | None = None,
        params: str | Sequence[str] | None = None,
        compact: bool = False,
    ) -> Path:
        """Write the rows to a Parquet dataset, or bring one up to date.

        The directory of an earlier plan for the same request is updated: missing windows are
        exported, and for the others all rows that have appeared in the system since the last
        update, however late.
        Each row is exported exactly once. Rows of the last 3 hours are not included yet; the card
        and ``_manifest.json`` say as of when the dataset is complete. A second call within an hour
        exports nothing, unless the plan has ``fresh=True``. With ``availabilityTsTo`` in the
        request the dataset never changes once it is complete.

        Read it with `open_dataset`: only the files listed in ``_manifest.json`` count. That file is
        replaced atomically, and the files that it lists are never changed.

        If a cell of a new file does not fit the type of its column, such as a word in `xdpi`, the
        column becomes text in all files, and the card says so. The new file has the text as the
        service wrote it. Numbers of earlier files keep their value, but not trailing zeros:
        ``1.50`` becomes ``1.5``.

        Parameters
        ----------
        directory : path
            A new or empty directory, or that of an earlier plan. Processes that write to the same
            directory wait for each other.
        partition_by, params
            As for `RawData.to_parquet`.
        compact : bool
            Whether to merge the many small files of updates into few at the end.

        Returns
        -------
        Path
            The directory.

        Raises
        ------
        FileError
            If the directory holds anything else, or can't be written to.
        ExportFailed, CreateUnconfirmed
            If a piece failed or is unconfirmed; the others are written.
        MyTrackerError
            If there is no column `partition_by` (nothing is sent then); otherwise as `run`.
        """
        self._check_columns(partition_by, params)
        if recorder_in_use() is not None:
            # the recorded rows, without an update
            return self.data().to_parquet(directory, partition_by=partition_by, params=params)
        credentials = self._client.credentials
        source: dict[str, str | int | list[str] | None] = {
            "service": credentials.base_url,
            "account": credentials.api_user_id,
            "partition_by": partition_by,
            "params": params if params is None or isinstance(params, str) else list(params),
        }

        outside: list[str] = []

        def write(task: Task) -> Callable[[], None]:
            assert task.export is not None
            with _ending_run():
                staging = manifest.staging_dir()
            try:
                files = task.export.data().write_parquet(
                    staging, partition_by=partition_by, params=params, as_text=text_columns
                )
                parts = parts_in(files, task.piece, outside.append, task.export)
            except BaseException as error:
                shutil.rmtree(staging, ignore_errors=True)
                if isinstance(error, OSError):  # such as a full disk
                    raise EndsRun(unwritable(manifest.directory, error)) from error
                raise
            return lambda: add(parts, staging)

        def add(parts: list[Part], staging: Path) -> None:
            with _ending_run():
                manifest.add(parts, staging)

        with locked_directory(Path(directory), self._wait_for_directory):
            manifest = Manifest(Path(directory), self.request, source)
            manifest.begin(clock.now().timestamp(), fresh=self._fresh)
            self._reports = manifest.notes
            self._tasks = self._tasks_for(manifest.plan_update(self._every))
            text_columns = manifest.text_columns()
            try:
                self._run(write)
            finally:
                # stopped downloads may still write to the directory, and its lock is released next
                self._scheduler.join(_GRACE)
                manifest.remove_staging()
            outside += shared_rows(manifest.directory, manifest.parts)
            self._reports += [*outside, *manifest.type_notes]
            for text in outside:
                warnings.warn(text, AvailabilityWarning, stacklevel=2)
            self.raise_for_failures()
            if compact:
                compaction.compact(manifest, partition_by)
            self._reports.append(manifest.complete_as_of)
            _log.info("dataset %s: %s", manifest.directory, manifest.complete_as_of)
            self._display.update()
        return manifest.directory

    def _wait_for_directory(self, seconds: float) -> None:
        text = "waiting for another process that writes to the same directory"
        if self._reports != [text]:
            _log.info("%s", text)
        self._reports = [text]
        self._display.show()
        self._display.update()
        if self._on_wait:
            self._on_wait(WaitEvent(WaitKind.DIRECTORY, seconds, text))

    def _check_columns(self, partition_by: str | None, params: str | Sequence[str] | None) -> None:
        """Raise if the rows will lack the columns that these need."""
        selectors = self.request.parameters["selectors"]
        check_params(params, selectors)
        check_partition(partition_by, with_params(schema(selectors).empty_table(), params).schema)

    def _tasks_for(self, update: Update) -> list[Task]:
        """The tasks that update a dataset, and those for what is already up to date."""
        tasks = self._lay_out(update.fetch)
        for task in tasks:
            for leaf in task.leaves():
                if leaf.state is PieceState.DONE:
                    leaf.apply(PieceEvent.REFETCH)
        tasks += [Task(piece, PieceState.KEPT) for piece in update.keep]
        return sorted(tasks, key=lambda task: (task.piece.window, task.piece.filter_label))

    def __repr__(self) -> str:
        return f"<Plan: {self.card().state}>"

    def _repr_html_(self) -> str:
        return self.card().html()

    def _ipython_display_(self) -> None:
        if not self._display.show(as_result=True):
            raise NotImplementedError  # not a notebook: IPython shows the repr

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self) if cycle else self.card().text())

    def card(self) -> PlanCard:
        """The plan as a card.

        Returns
        -------
        PlanCard
            Its present state; ``.html()`` and ``.text()`` show it. It does not change later.
        """
        tasks = list(self._leaves())
        share, left = self._shares()
        alerts = [
            ("error", f"{task.piece.label}: {task.error}")
            for task in tasks
            if task.state.needs_attention
        ]
        del alerts[_SHOWN:]
        if self._retriable():
            alerts.append(("note", self._retry_text()))
        reused = sum(task.is_reused for task in tasks)
        if reused:
            alerts.append(("note", _reuse_note(tasks, reused)))
        alerts += [("note", text) for text in self._reports]
        alerts += [("note", event.text) for event in self._scheduler.waits()]
        seconds_left = None
        if self._started is not None:
            since, share_then = self._started
            if share > share_then:
                seconds_left = (clock.monotonic() - since) * left / (share - share_then)
        credentials = self._client.credentials
        card = PlanCard(
            request=self.request,
            windows=tuple(
                CardWindow(*task.piece.moments, task.state, _label(task.piece, task.export))
                for task in tasks
            ),
            share=share,
            seconds_left=seconds_left,
            service=credentials.base_url,
            api_user_id=None if recorder_in_use() else credentials.api_user_id,
            is_sandbox=credentials.is_sandbox,
            alerts=tuple(alerts),
            recorded_at=self._client.recorded_at,
            is_running=self._scheduler.is_running,
            as_of=clock.now(),
        )
        if self._client.recorded_at:
            return card
        return replace(card, codes=tuple(self._codes(is_started=card.is_started)))

    def _codes(self, *, is_started: bool) -> Iterator[tuple[str, str]]:
        """The code that runs the plan or loads its rows, with its name."""
        if name := name_of(self):
            if not is_started:
                yield "run it", f"{name}.run()"
            yield "load the data", f"df = {name}.to_pandas()"
            return
        parameters = dict(self.request.parameters)
        if self._every is not None:
            parameters["every"] = splitting.every_text(self._every, self.request)
        if parameters.get("every") != "":
            call = to_line_call("mt.plan", parameters)
            yield "load the data", runnable(f"df = {call}.to_pandas()")

    def _retry_text(self) -> str:
        """How the failed and unconfirmed pieces are submitted again."""
        if name := name_of(self):
            return f"{name}.retry() {_RETRY}"
        return (
            f"the plan's retry() {_RETRY}; to have a name for it, add --out plan to the magic and "
            "run the cell again"
        )

    def _lay_out(self, pieces: Iterable[Piece]) -> list[Task]:
        """The tasks for `pieces`; those of an earlier run keep their state."""
        return [self._known.setdefault(piece, Task(piece)) for piece in pieces]

    def _leaves(self) -> Iterator[Task]:
        for task in self._tasks:
            yield from task.leaves()

    def _shares(self) -> tuple[float, float]:
        """The shares of the plan that are done and left to do, by the length of the windows."""
        lengths = [(task.state, max(1, task.piece.window.length)) for task in self._leaves()]
        total = sum(length for _, length in lengths)
        done = sum(length for state, length in lengths if state.is_done)
        stuck = sum(length for state, length in lengths if state.needs_attention)
        return done / total, 1 - (done + stuck) / total

    def _split(self, task: Task) -> bool:
        """Replace a piece that is too large by its halves; return whether it could be split."""
        halves = splitting.bisect(task.piece)
        task.halves = tuple(self._lay_out(halves or ()))
        return bool(halves)

    def _run(self, fetch: Fetch, timeout: float | None = None) -> None:
        """Run the scheduler on the caller's thread; `fetch` downloads the files of a piece."""
        if not self.is_finished:
            self._display.show()
        turns = self._turns(fetch, timeout)
        for seconds in turns:
            try:
                self._scheduler.sleep(seconds)
            except KeyboardInterrupt as error:
                turns.throw(error)

    async def _run_async(self, fetch: Fetch) -> Plan:
        """`run` for asyncio: other tasks run meanwhile, and each turn runs on a worker thread."""
        if not self.is_finished:
            self._display.show()
        turns = self._turns(fetch, None)
        turn: asyncio.Future[float | None] | None = None
        try:
            while True:
                turn = asyncio.ensure_future(asyncio.to_thread(next, turns, None))
                seconds = await asyncio.shield(turn)
                if seconds is None:
                    return self
                await self._scheduler.sleep_async(seconds)
        except asyncio.CancelledError:
            raise asyncio.CancelledError(self._unfinished("the plan was cancelled")) from None
        finally:
            # a request in progress can't be stopped, so close the turns after it
            if turn is not None and not turn.done():
                turn.add_done_callback(lambda turn: _end(turns, turn))
            else:
                turns.close()

    def _turns(self, fetch: Fetch, timeout: float | None) -> Generator[float, None, None]:
        """The turns of one run; each yields the seconds to sleep after it."""
        deadline = math.inf if timeout is None else clock.monotonic() + timeout
        self._started = clock.monotonic(), self._shares()[0]
        try:
            yield from self._scheduler.turns(fetch, deadline)
            if not self.is_finished:
                raise ExportTimeout(self._unfinished("the plan is not finished"))
        except KeyboardInterrupt:
            raise WaitInterrupted(self._unfinished("the plan was interrupted")) from None
        finally:
            self._scheduler.end()
            self._started = None
            self._display.update()

    def _unfinished(self, what: str) -> str:
        running = len(self._scheduler.in_state(PieceState.RUNNING))
        keep = f"{running} exports keep" if running != 1 else "1 export keeps"
        running_text = f" {keep} running on the service." if running else ""
        why = "".join(f" {event.text}." for event in self._scheduler.waits())
        name = name_of(self)
        call = f"{name}.run()" if name else "call the plan's run()"
        return (
            f"{what}: {self.card().state}.{running_text}{why} Run the cell again, or {call}, to "
            "resume"
        )


def _count_text(missing: Sequence[Task], tasks: Sequence[Task]) -> str:
    """How many exports of a plan failed or are unconfirmed, and whether the rest are complete."""
    verb = "is" if len(missing) == 1 else "are"
    text = f"{len(missing)} of {len(tasks)} exports failed or {verb} unconfirmed"
    done = sum(task.state.is_done for task in tasks)
    return f"{text}; the rest are complete" if done and done + len(missing) == len(tasks) else text


def _reuse_note(tasks: Sequence[Task], reused: int) -> str:
    """The card's note on reused exports, and on rows that they may lack."""
    lacks = any(task.is_reused and not is_bounded(task.piece.request) for task in tasks)
    late = "rows that arrived since are not in them" if lacks else "no rows are missing"
    return f"{reused} of {len(tasks)} exports reused; {late} (fresh=True or --fresh: new ones)"


def preview(request: ExportRequest, every: object, *, service: str, **account: Any) -> PlanCard:
    """The card of a plan for a dry run; it needs no account.

    Parameters
    ----------
    request : ExportRequest
        The whole request, without errors.
    every : None, str or datetime.timedelta
        As for `plan`.
    service : str
        The service's address.
    **account
        ``api_user_id`` and ``is_sandbox`` of the `PlanCard`.
    """
    pieces = splitting.split_request(request, splitting.parse_every(every, request))
    found = splitting.problems(request, clock.now())
    alerts = [(problem.severity, str(problem)) for problem in found]
    alerts.append(("note", "dry run: nothing was sent; the curl command is for the first export"))
    return PlanCard(
        request=request,
        windows=tuple(
            CardWindow(*piece.moments, PieceState.WAITING, piece.label) for piece in pieces
        ),
        share=0.0,
        seconds_left=None,
        service=service,
        alerts=tuple(alerts),
        code=pieces[0].request.to_curl(service),
        **account,
    )


@contextmanager
def _ending_run() -> Iterator[None]:
    """Let a `FileError` of the dataset's directory end the run: the other pieces would fail too."""
    try:
        yield
    except FileError as error:
        raise EndsRun(error) from error


def display_of_plan(plan: Plan) -> CardDisplay:
    """The display of a plan."""
    return plan._display


def _label(piece: Piece, export: Export | None) -> str:
    """The label of a piece with the id of its export."""
    return f"{piece.label}, export {export.id_raw_export}" if export else piece.label


def _end(turns: Generator[float, None, None], turn: asyncio.Future[Any]) -> None:
    """Close the turns of a plan once its last turn has ended."""
    if not turn.cancelled():
        turn.exception()  # mark it as seen: nobody awaits this turn
    with suppress(ValueError):  # the event loop ended before the turn did
        turns.close()


def _fetch(task: Task) -> None:
    """Download the files of a piece to the cache."""
    assert task.export is not None
    task.export.data().fetch()


@with_parameters
def plan(
    *,
    every: object = None,
    fresh: bool = False,
    settle: str | timedelta | None = None,
    **parameters: Unpack[ExportParameters],
) -> Plan:
    """Split one large request into several exports, with the account in use.

    Parameters
    ----------
    every : str or datetime.timedelta, optional
        The length of the interval of each export: ``"1d"``, ``"7d"``; with `tsFrom` and `tsTo`
        also ``"6h"``. None and ``"auto"`` start with one export and split only what is too large.
    fresh : bool
        Whether to create new exports even if earlier ones could be reused.
    settle : str or datetime.timedelta, optional
        As for `export`: an earlier export is reused only if it was created at least this long
        after the end of its interval.
    **parameters
        The parameters of the request, as for `ExportRequest`; filters can have more than 1000
        values.

    Returns
    -------
    Plan
        It sends nothing until `run` is called or its data is needed.

    Raises
    ------
    InvalidRequest
        If the request has errors, or if splitting would change the result.
    CredentialsMissing
        If no account is known.

    Examples
    --------
    >>> plan = mt.plan(event="installs", selectors="idDevice, tsEvent",
    ...                dateFrom="2026-10-01", dateTo="2026-10-14", every="7d")
    >>> len(plan.exports)
    0
    >>> len(plan.run().exports)
    2
    >>> frame = plan.to_pandas()
    """
    return Plan(default_client(), ExportRequest(**parameters), every, fresh=fresh, settle=settle)
