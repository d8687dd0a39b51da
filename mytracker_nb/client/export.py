"""`Export`: the status object.

Source: pages ``export-api/raw/get``, ``cancel`` and ``download`` of the service's documentation.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mytracker_nb import clock
from mytracker_nb.client.export_display import ExportDisplay
from mytracker_nb.client.polling import poll_until_final, state_of
from mytracker_nb.client.recording_in_use import recorder_in_use
from mytracker_nb.display.export_card import Card
from mytracker_nb.display.wait_note import waits_shown
from mytracker_nb.download.http_stream import Fetcher
from mytracker_nb.download.sources import Progress, RemoteFile, download, remote_files
from mytracker_nb.endpoints import is_local
from mytracker_nb.errors import (
    BadRequest,
    ExportCanceled,
    ExportFailed,
    ExportTooLarge,
    MyTrackerError,
    WaitInterrupted,
)
from mytracker_nb.request.availability import is_bounded, since
from mytracker_nb.request.request import ExportRequest
from mytracker_nb.service.api import Api, Link, State
from mytracker_nb.service.retry import OnWait, RetryPolicy, WaitEvent
from mytracker_nb.snippets import attach_code, load_code, name_of
from mytracker_nb.statuses import CANCELED, FAILED, IN_PROGRESS, SUCCESS, TOO_LARGE, is_final
from mytracker_nb.storage import directories
from mytracker_nb.storage.file_cache import FileCache
from mytracker_nb.tables.conversions import Convertible
from mytracker_nb.tables.resumable import resumable

if TYPE_CHECKING:
    from mytracker_nb.download.gzip_csv import Limits
    from mytracker_nb.tables.raw_data import RawData

__all__ = [
    "Export",
    "account_of",
    "display_of",
    "has_files",
    "loaded_size",
    "set_rows",
    "start_clock",
]

_log = logging.getLogger(__name__)

_ERRORS: Mapping[str, type[ExportFailed]] = {
    FAILED: ExportFailed,
    TOO_LARGE: ExportTooLarge,
    CANCELED: ExportCanceled,
}


class Export(Convertible, Mapping[str, Any]):
    """An export of raw events, running or finished.

    As a mapping it holds its facts: ``idRawExport``, ``status``, ``progress``, then the parameters
    of the request, so that ``pandas.Series(export)`` and ``pandas.DataFrame([one, other])`` work.
    Only `refresh`, `wait`, `cancel` and the methods that return rows send requests. Created by
    `Client.create` and `Client.attach`.

    Attributes
    ----------
    id_raw_export : int
        Its id at the service.
    request : ExportRequest or None
        The request; None if it is not known.
    created_at, updated_at : datetime.datetime or None
        When it was created, and when its status was last polled (UTC); None if not known.
    notes : tuple of str
        Notes shown on the card, for example that an earlier export was reused.
    elapsed : float or None
        Seconds from its creation to its end, or to the last poll; None for an export that was
        reused or attached.

    Examples
    --------
    >>> export = mt.export(event="installs", selectors="idDevice, idCountry, tsEvent",
    ...                    dateFrom="today-7d", dateTo="yesterday")
    >>> export.wait().status
    'Success!'
    >>> export["event"], export.progress
    ('installs', 1.0)
    >>> frame = export.to_pandas()
    """

    def __init__(
        self,
        api: Api | None,
        id_raw_export: int,
        request: ExportRequest | None = None,
        *,
        created_at: datetime | None = None,
        notes: tuple[str, ...] = (),
        create: Callable[[ExportRequest], Export] | None = None,
        find_or_create: Callable[..., Export] | None = None,
        on_change: Callable[[Export], None] | None = None,
        on_rows: Callable[[Export, int], None] | None = None,
        limits: Callable[[], Limits | None] | None = None,
    ) -> None:
        self._calls = api
        self._create = create
        self._find_or_create = find_or_create
        self._on_change = on_change
        self._on_rows = on_rows
        self._limits = limits or (lambda: None)
        self._service = api.credentials.base_url if api else ""
        self._account = api.credentials.api_user_id if api else 0
        self._state = State(IN_PROGRESS)
        self._reported_status: str | None = None
        self._display = ExportDisplay(self.card, self.cancel)
        self._began: float | None = None  # by a clock of this process
        self._loaded: tuple[int, int | None] | None = None  # rows, and bytes of the files
        self.elapsed: float | None = None
        self.id_raw_export = id_raw_export
        self.request = request
        self.created_at = created_at
        self.updated_at: datetime | None = None
        self.notes = notes

    @property
    def status(self) -> str:
        """The status in the service's own words, as last polled.

        ``In progress``, ``Success!``, ``Error occurred``, ``User error occurred``,
        ``Canceled by user``, or an undocumented one.
        """
        return self._state.status

    @property
    def progress(self) -> float | None:
        """The progress from 0.0 to 1.0; None if the service did not report it."""
        return 1.0 if self._state.status == SUCCESS else self._state.progress

    @property
    def is_cancellable(self) -> bool | None:
        """Whether it can be cancelled; None if the service did not report it."""
        return self._state.is_cancellable

    @property
    def error_message(self) -> str:
        """The service's error message; ``""`` if there is none."""
        return self._state.error_message

    @property
    def files(self) -> tuple[Link, ...]:
        """Links to the files, once the service has written them."""
        return self._state.links

    @property
    def rows(self) -> int | None:
        """How many rows it has; None before all of them were loaded once."""
        return None if self._loaded is None else self._loaded[0]

    @property
    def is_finished(self) -> bool:
        """Whether the status is final: succeeded, failed or cancelled; an unknown status is not."""
        return is_final(self.status)

    @property
    def waiting_for(self) -> str:
        """What delays the export now, such as a quota; ``""`` if nothing does."""
        return self._display.waiting_for

    @waits_shown()
    def refresh(self, retry_policy: RetryPolicy | None = None) -> Export:
        """Poll the status of the export once.

        Parameters
        ----------
        retry_policy : RetryPolicy, optional
            Instead of the client's.

        Returns
        -------
        Export
            Itself.

        Raises
        ------
        ApiError, ConnectionFailed
            If the service refused the request, or it failed more often than the policy allows.
        """
        try:
            self._poll(retry_policy or self._api.retry_policy)
        finally:
            self._show(None)
        return self

    def wait(self, timeout: float | None = None, *, on_wait: OnWait | None = None) -> Export:
        """Poll the export until its status is final.

        In a notebook a card shows the progress. Temporary errors are retried; a quota is waited
        for. If it is interrupted, the export continues on the service.

        Parameters
        ----------
        timeout : float, optional
            The longest time to wait, in seconds; None sets no limit.
        on_wait : callable, optional
            Called with each `WaitEvent` before the wait begins.

        Returns
        -------
        Export
            Itself; it has succeeded.

        Raises
        ------
        ExportFailed
            If it failed; `ExportTooLarge` or `ExportCanceled` if that is the reason.
        ExportTimeout
            If it was still running after `timeout`.
        WaitInterrupted
            If the user interrupted (a KeyboardInterrupt).
        ApiError, ConnectionFailed
            If the service refused the request, or it failed more often than the policy for long
            waits allows.
        """
        deadline = math.inf if timeout is None else clock.monotonic() + timeout
        with self._waited_for():
            for event in poll_until_final(self, deadline=deadline):
                if on_wait is not None:
                    on_wait(event)
                clock.sleep(event.seconds)
        self._raise_for_status()
        self._record()
        return self

    def __await__(self) -> Generator[Any, None, Export]:
        return self._awaited().__await__()

    async def _awaited(self) -> Export:
        """`wait` for asyncio: other tasks run meanwhile, and it can be cancelled at any time."""
        events = poll_until_final(self)
        with self._waited_for():
            while (event := await asyncio.to_thread(next, events, None)) is not None:
                await clock.sleep_async(event.seconds)
        self._raise_for_status()
        await asyncio.to_thread(self._record)
        return self

    @contextmanager
    def _waited_for(self) -> Iterator[None]:
        """Show the export while it is waited for; an interrupt says how to attach to it again."""
        message = (
            f"the wait was interrupted; export {self.id_raw_export} continues on the service. "
            f"Attach to it with {attach_code(self.id_raw_export)}.wait()"
        )
        try:
            with self._display.waited_for(self.is_finished):
                yield
        except KeyboardInterrupt:
            raise WaitInterrupted(message, export=self) from None
        except asyncio.CancelledError:
            raise asyncio.CancelledError(message) from None

    def _poll(self, retry_policy: RetryPolicy) -> None:
        """Poll the status once, without updating the card."""
        limiter = self._api.rate_limiter
        # before the request, so that other pollers slow down for one that waits for the rate limit
        limiter.register_poller(self._identity)
        was_finished = self.is_finished
        self._state = self._api.get(self.id_raw_export, self._show, retry_policy)
        self.updated_at = clock.now()
        if self._began is not None and not was_finished:
            self.elapsed = clock.monotonic() - self._began
        if self.is_finished:
            limiter.unregister_poller(self._identity)
            recorder = recorder_in_use()
            if recorder is not None and self.status != SUCCESS:
                recorder.record_failure(self)
        if self.status != self._reported_status:
            if self.is_finished:
                facts = self.id_raw_export, self.status, len(self.files)
                _log.info("export %d finished: %s, files: %d", *facts)
            if self._on_change:
                self._on_change(self)
            self._reported_status = self.status

    def _poll_interval(self, wanted: float) -> float:
        return self._api.rate_limiter.poll_interval(wanted)

    def _show(self, event: WaitEvent | None) -> None:
        self._display.show_wait(event)

    def _raise_for_status(self) -> None:
        error = _ERRORS.get(self.status)
        if error is None:
            return
        reason = f"{self.status}: {self.error_message}" if self.error_message else self.status
        retry = self._retry_code()
        step = {
            ExportFailed: f"To submit the request again: {retry}",
            ExportTooLarge: "Too large to complete. Request less data, or split it with "
            "mt.plan(...) or --every auto",
            ExportCanceled: f"To submit it again: {retry}",
        }[error]
        raise error(f"export {self.id_raw_export}: {reason}. {step}", export=self)

    def _retry_code(self) -> str:
        if self.request is None:
            return "mt.export(...)"
        name = name_of(self)
        return f"{name}.retry()" if name else f"{attach_code(self.id_raw_export)}.retry()"

    def _after_interrupt(self) -> WaitInterrupted:
        number = self.id_raw_export
        return WaitInterrupted(
            f"interrupted while loading the data; export {number} is complete, and files that were "
            "downloaded are kept. Run the cell again, or load it with:\n"
            + load_code(number, separator="\n"),
            export=self,
        )

    @waits_shown()
    def cancel(self) -> str:
        """Ask the service to cancel the export.

        Returns
        -------
        str
            The service's answer.

        Raises
        ------
        BadRequest
            If it can't be cancelled; the message is the service's.
        """
        was_canceled = self.status == CANCELED
        try:
            answer = self._api.cancel(self.id_raw_export)
        except BadRequest:
            self._refresh_after_cancel()
            if was_canceled or self.status != CANCELED:
                raise
            # the first response was lost, and the second cancel came too late
            return self.status
        self._refresh_after_cancel()
        return answer

    def _refresh_after_cancel(self) -> None:
        # the answer to the cancel is valid even if this poll fails
        with suppress(MyTrackerError):
            self.refresh()

    def retry(self) -> Export:
        """Submit the same request again, as a new export.

        Returns
        -------
        Export
            The new export, in progress.

        Raises
        ------
        MyTrackerError
            If the request is not known.
        """
        if self.request is None or self._create is None:
            raise self._without_request()
        return self._create(self.request)

    def _without_request(self) -> MyTrackerError:
        return MyTrackerError(
            f"the request of export {self.id_raw_export} is not known here; "
            "submit it again with mt.export(...)"
        )

    def top_up(self) -> Export:
        """Export the rows of the same window that have appeared in the system since.

        Rows can appear at any time after their event. An export that was requested with
        `availabilityTsTo` has exactly the rows that appeared until that second. The new export has
        those from the next second to the last full hour that ended 3 hours ago: no row is in both,
        and none is missing between them. It can be topped up in turn. A second call within the hour
        returns the same export.

        Returns
        -------
        Export
            Running or finished.

        Raises
        ------
        MyTrackerError
            If the request is not known or has no `availabilityTsTo`, or if no later row can be
            exported yet; otherwise as `Client.export`.

        Examples
        --------
        >>> export = mt.export(event="installs", selectors="idDevice, tsEvent",
        ...                    dateFrom="today-7d", dateTo="yesterday",
        ...                    availabilityTsTo="now-2d")
        >>> late = export.top_up().to_pandas()          # the rows of the last two days
        >>> frame = export.data(top_up=True).to_pandas()  # all rows
        >>> len(frame) == len(export.to_pandas()) + len(late)
        True
        """
        late = self._late_request()
        if late is None:
            raise MyTrackerError(
                f"export {self.id_raw_export} has all rows that can be exported by now: the "
                "service releases rows 3 hours after they appeared. Try again in an hour"
            )
        return self._top_up(late)

    def _late_request(self) -> ExportRequest | None:
        """The request of a top-up; None while it can't have rows yet."""
        if self.request is None:
            raise self._without_request()
        if not is_bounded(self.request):
            raise MyTrackerError(
                f"export {self.id_raw_export} has no availabilityTsTo, so it is not known which "
                "rows appeared too late for it: some could be missing or doubled. Request it with "
                'availabilityTsTo="now-4h", or use mt.plan(...).to_parquet(directory), which '
                "keeps a dataset complete"
            )
        return since(self.request, self._now().timestamp())

    def _now(self) -> datetime:
        """The moment until which a top-up includes late rows."""
        return self._api.now()

    def _top_up(self, request: ExportRequest, on_wait: OnWait | None = None) -> Export:
        if self._find_or_create is None:
            raise self._without_keys()
        late = self._find_or_create(request, on_wait=on_wait)
        late.notes = (*late.notes, f"late rows of export {self.id_raw_export}")
        return late

    def data(self, *, top_up: bool = False) -> RawData:
        """The rows of the export, ready to convert; waits until the export is finished.

        Parameters
        ----------
        top_up : bool
            Whether to add the rows that have appeared since the export, from an export of their
            own (`top_up`).

        Returns
        -------
        RawData
            Files are downloaded when rows are first needed, and then stay in the user's cache. In a
            notebook the card shows the progress.

        Raises
        ------
        ExportFailed, WaitInterrupted, ApiError, ConnectionFailed
            As `wait`.
        MyTrackerError
            With `top_up`, if the request has no `availabilityTsTo`.
        """
        request = self._late_request() if top_up else None
        self.wait()
        rows = self._record() or self._fetched_data()
        if request is not None:
            # wait for a full queue, as for the export itself
            late = self._top_up(request, self._show).data()
            rows = type(rows)(
                [*rows.files, *late.files],
                # a recording can lack columns
                rows.selectors,
                limits=self._limits(),
                timezone=request.zone.key,
            )
        rows.owner = self
        return rows

    def _record(self) -> RawData | None:
        """Store the rows in the recording in use and return them; None if there is no recording."""
        recorder = recorder_in_use()
        return None if recorder is None else recorder.record(self, self._fetched_data)

    def _fetched_data(self) -> RawData:
        """The rows from the service's files."""
        from mytracker_nb.tables.raw_data import RawData

        progress = Progress(len(self.files), self._display.show_progress)
        files = self._remote_files(progress)
        if not files and self.request is None:
            raise MyTrackerError(
                f"export {self.id_raw_export} has no files, and its columns are not known here; "
                "submit the request again with mt.export(...)"
            )
        return RawData(
            files,
            self._selectors,
            limits=self._limits(),
            progress=progress,
            timezone=self.request.zone.key if self.request else None,
            on_rows=lambda count: self._record_rows(count, progress.bytes_done),
        )

    def _record_rows(self, count: int, size: int | None) -> None:
        """Record how many rows were loaded, from how many bytes."""
        is_new = self.rows != count
        self._loaded = count, size
        if is_new and self._on_rows:
            self._on_rows(self, count)
        self._display.update()

    @resumable
    def download(self, directory: str | os.PathLike[str]) -> list[Path]:
        """Download the files as the service wrote them; waits until the export is finished.

        Parameters
        ----------
        directory : path
            The target; it is created if missing. Files of the same name are replaced.

        Returns
        -------
        list of Path
            The files, in order; each has been checked.

        Raises
        ------
        LinkExpired, AccessDenied, FileError
            If a file can't be downloaded or written; the others are kept.
        ExportFailed, WaitInterrupted, ApiError, ConnectionFailed
            As `wait`.
        """
        self.wait()
        return download(
            self._remote_files(),
            directory,
            selectors=self._selectors,
            on_progress=self._display.show_progress,
            limits=self._limits(),
        )

    @property
    def _selectors(self) -> Sequence[str] | None:
        """The columns; None if the request is not known."""
        return self.request.parameters["selectors"] if self.request else None

    def _remote_files(self, progress: Progress | None = None) -> list[RemoteFile]:
        api = self._api
        fetcher = Fetcher(
            api.transport,
            api.auth.header,
            api.turn,
            on_wait=self._show,
            service=self._service,
        )
        try:
            cache = FileCache(directories.cache_directory(self._service))
        except OSError:  # the disk can't be written to: no cache
            return remote_files(self.files, fetcher, progress=progress)
        folder = cache.folder(*self._identity)
        return remote_files(self.files, fetcher, cache=cache, folder=folder, progress=progress)

    @property
    def _api(self) -> Api:
        """The API; a pickled copy of an export has none, since keys are never pickled."""
        if self._calls is None:
            raise self._without_keys()
        return self._calls

    def _without_keys(self) -> MyTrackerError:
        return MyTrackerError(
            f"this copy of export {self.id_raw_export} has no keys (they are never pickled); "
            f"{attach_code(self.id_raw_export)} returns an export that can send requests"
        )

    def card(self) -> Card:
        """The export as a card.

        Returns
        -------
        Card
            Its present state; ``.html()`` and ``.text()`` show it. It does not change later.
        """
        return Card(
            request=self.request,
            id_raw_export=self.id_raw_export,
            status=self.status,
            progress=self.progress,
            is_cancellable=self.is_cancellable,
            service=self._service,
            # a recorded notebook is shared, so it must not show the account
            api_user_id=None if recorder_in_use() else self._account,
            is_sandbox=is_local(self._service),
            created_at=self.created_at,
            updated_at=self.updated_at,
            files=tuple((file.name, file.expires, None) for file in self.files),
            error_message=self.error_message,
            notes=(*self.notes, *self._display.notes),
            download=self._display.download,
            row_count=self.rows,
            size=loaded_size(self),
            elapsed=self.elapsed,
        )

    def _facts(self) -> dict[str, Any]:
        parameters = self.request.parameters if self.request else {}
        return {
            "idRawExport": self.id_raw_export,
            "status": self.status,
            "progress": self.progress,
            **{
                name: list(value) if isinstance(value, tuple) else value
                for name, value in parameters.items()
            },
        }

    def __getitem__(self, name: str) -> Any:
        return self._facts()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts())

    def __len__(self) -> int:
        return len(self._facts())

    @property
    def _identity(self) -> tuple[str, int, int]:
        return self._service, self._account, self.id_raw_export

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Export):
            return self._identity == other._identity
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity)

    def __copy__(self) -> Export:
        # a copy within the process keeps the keys, and gets a display of its own
        copied = Export.__new__(Export)
        copied.__setstate__(self.__dict__)
        return copied

    def __deepcopy__(self, memo: object) -> Export:
        return self.__copy__()

    def __getstate__(self) -> dict[str, Any]:
        # keys are never pickled; nor are callbacks and the display, nor times of this process
        return self.__dict__ | dict.fromkeys(
            (
                "_calls",
                "_create",
                "_find_or_create",
                "_on_change",
                "_on_rows",
                "_limits",
                "_display",
                "_began",
            )
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _display=ExportDisplay(self.card, self.cancel))

    def __repr__(self) -> str:
        return f"<Export {self.id_raw_export}: {state_of(self)}>"

    def _repr_html_(self) -> str:
        return self.card().html()

    def _ipython_display_(self) -> None:
        if not self._display.show(as_result=True):
            raise NotImplementedError  # not a notebook: IPython shows the repr
        if not self.is_finished and self._calls is not None:
            self._display.live(poll_until_final(self), lambda: self.is_finished)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self) if cycle else self.card().text())


def has_files(export: Export) -> bool:
    """Whether every file of an export is in the cache or can still be downloaded."""
    now = clock.now()
    return all(
        file.link.expires is None or file.link.expires > now or file.is_cached
        for file in export._remote_files()
    )


def account_of(export: Export) -> tuple[str, int]:
    """The service and the API User ID of an export."""
    return export._service, export._account


def start_clock(export: Export) -> None:
    """Start to measure `Export.elapsed`: the export was created just now."""
    export._began = clock.monotonic()


def set_rows(export: Export, count: int | None) -> None:
    """Set the number of rows, which is known from an earlier load."""
    export._loaded = None if count is None else (count, None)


def loaded_size(export: Export) -> int | None:
    """The bytes of the files from which the rows were loaded; None if not known."""
    return None if export._loaded is None else export._loaded[1]


def display_of(export: Export) -> ExportDisplay:
    """The display of an export."""
    return export._display
