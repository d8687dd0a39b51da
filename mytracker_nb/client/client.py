"""`Client`: creates exports, and finds earlier ones."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import requests

from mytracker_nb import clock, wording
from mytracker_nb.client.export import Export, has_files, set_rows, start_clock
from mytracker_nb.client.recording_in_use import recorder_in_use
from mytracker_nb.display.wait_note import waits_shown
from mytracker_nb.errors import (
    BadRequest,
    CreateUnconfirmed,
    InvalidRequest,
    MyTrackerError,
    NotFound,
    QueueFull,
    WaitInterrupted,
)
from mytracker_nb.request.availability import is_bounded
from mytracker_nb.request.parameters import INTERVALS
from mytracker_nb.request.python_signature import ExportParameters, with_parameters
from mytracker_nb.request.request import ExportRequest
from mytracker_nb.request.reuse import DEFAULT_SETTLE, is_reusable, read_settle
from mytracker_nb.service import credentials as sources
from mytracker_nb.service.api import CHECK_FIRST, Api
from mytracker_nb.service.credentials import Credentials
from mytracker_nb.service.retry import (
    NO_RETRY,
    OnWait,
    RetryPolicy,
    WaitEvent,
    WaitKind,
    backoff,
    log_wait,
)
from mytracker_nb.service.signing import KeyHolder
from mytracker_nb.snippets import attach_code
from mytracker_nb.statuses import CANCELED, FAILED, SUCCESS, TOO_LARGE
from mytracker_nb.storage.journal import (
    CreateState,
    Journal,
    JournalEntry,
    PendingCreate,
    Superseded,
)

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Unpack

    from mytracker_nb.download.gzip_csv import Limits

__all__ = [
    "Client",
    "CreateInProgress",
    "attach",
    "client_for",
    "default_client",
    "export",
    "export_for_plan",
    "find_reusable",
]

_log = logging.getLogger(__name__)

_UNCONFIRMED_FOR = timedelta(hours=1)
"""How long an unconfirmed create prevents the same request from being sent again. After an hour an
export that it may have created has left the queue. In a plan there is no such limit."""

_BEING_SENT = (CreateState.ASKED, CreateState.SENT)
_NOT_SENT = "interrupted before the request was sent, so no export was created. Run it again"
_MAY_EXIST = f"interrupted while the request was sent, so the export may exist. {CHECK_FIRST}"

_LISTED = 10.0  # seconds to wait for the status of a listed export
# seconds between two checks of a create that another kernel is sending
_FIRST_POLL, _LAST_POLL = 0.2, 2.0


class CreateInProgress(MyTrackerError):
    """Another kernel or thread is sending the same request at this moment."""


class Client(KeyHolder):
    """An account at the service.

    Parameters
    ----------
    api_user_id : int, optional
        The *API User ID* of the account's profile.
    secret_key : str, optional
        The *Secret key* beside it.
    base_url : str, optional
        The service's address. Values that are None are read from a login in this notebook, the
        environment (``MYTRACKER_API_USER_ID``, ``MYTRACKER_SECRET_KEY``, ``MYTRACKER_BASE_URL``)
        or the system's keyring.
    session : requests.Session, optional
        A session with your own proxies, certificates or adapters.

    Attributes
    ----------
    limits : mytracker_nb.Limits or None
        The largest size to which a file may grow when it is decompressed. It can be changed at any
        time.
    settle : datetime.timedelta
        An export that succeeded is reused only if it was created at least this long after the end
        of its interval; 3 hours by default. It can be changed at any time.

    Raises
    ------
    CredentialsMissing
        If no keys are found.

    Examples
    --------
    >>> client = mt.Client()  # the account of the environment, of a login or of the keyring
    >>> request = mt.ExportRequest(event="installs", selectors="idDevice, tsEvent",
    ...                            dateFrom="last-month", dateTo="last-month")
    >>> export = client.create(request)
    >>> client.attach(export.id_raw_export).wait().status
    'Success!'
    """

    def __init__(
        self,
        api_user_id: int | None = None,
        secret_key: str | None = None,
        base_url: str | None = None,
        session: requests.Session | None = None,
    ) -> None:
        if (replaying := _replaying()) is not None:
            # a replay needs no key, so none is stored
            self.__dict__.update(vars(replaying))
            return
        # a traceback can show the values of this frame
        api_user_id, secret_key = sources.masked(api_user_id), sources.masked(secret_key)
        self._open(sources.find(api_user_id, secret_key, base_url), session)

    def _open(self, credentials: Credentials, session: requests.Session | None) -> None:
        self.credentials = credentials
        self.api = Api(credentials, session)
        self.journal = Journal(credentials)
        self.limits: Limits | None = None
        self.settle = DEFAULT_SETTLE

    _is_called = "a client"
    _instead = (
        "Make one there: mt.Client(), with MYTRACKER_API_USER_ID and MYTRACKER_SECRET_KEY in the "
        "environment. An Export and an ExportRequest can be pickled"
    )

    recorded_at: datetime | None = None  # when the recording was made, while one is replayed

    @waits_shown()
    def create(self, request: ExportRequest) -> Export:
        """Create a new export.

        Parameters
        ----------
        request : ExportRequest
            What to export.

        Returns
        -------
        Export
            In progress; its status has not been polled yet.

        Raises
        ------
        InvalidRequest
            If the request has errors; nothing was sent.
        QueueFull
            If the account has as many exports in progress as the service allows.
        CreateUnconfirmed
            If no response arrived, so the export may exist. It is not retried.
        ApiError, ConnectionFailed
            If the service refused the request, or could not be reached.
        """
        if (replaying := _replaying()) is not None:
            return replaying.create(request)
        _validate(request)
        return self._send(request, self._record(request))

    @waits_shown()
    def attach(self, id_raw_export: int) -> Export:
        """Find an existing export, created here or elsewhere.

        Parameters
        ----------
        id_raw_export : int
            Its id at the service.

        Returns
        -------
        Export
            With the status that the service reports now.

        Raises
        ------
        NotFound
            If the account has no such export.
        """
        number = _checked_id(id_raw_export)
        if (replaying := _replaying()) is not None:
            return replaying.attach(number)
        entry = self.journal.find(number)
        if entry is None:
            return self._export(number).refresh()
        return self._known_export(entry, entry.request).refresh()

    def export(
        self,
        request: ExportRequest,
        *,
        fresh: bool = False,
        settle: str | timedelta | None = None,
        on_wait: OnWait | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> Export:
        """Create an export, or reuse an earlier one of the same request.

        Parameters
        ----------
        request : ExportRequest
            What to export.
        fresh : bool
            Whether to create a new one even if an earlier one could be reused.
        settle : str or datetime.timedelta, optional
            An earlier export that succeeded is reused only if it was created at least this long
            after the end of its interval, such as ``"2d"``; by default the client's `settle`. Rows
            can arrive late: the longer the time, the fewer rows are missing.
        on_wait : callable, optional
            Called with each `WaitEvent` before the wait begins; an exception from it ends the wait.
            If it is given, a full queue is waited for, however long that takes; if not, a full
            queue raises `QueueFull`.
        retry_policy : RetryPolicy, optional
            For each call, instead of the client's.

        Returns
        -------
        Export
            Running or finished. Its `notes` say whether an earlier one was reused.

        Raises
        ------
        CreateUnconfirmed
            If no response arrived, now or less than an hour ago, so the export may exist. It is not
            retried.
        WaitInterrupted
            If the user interrupted (a KeyboardInterrupt) before the service answered.
        InvalidRequest, QueueFull, ApiError, ConnectionFailed
            As `create`.
        """
        if (replaying := _replaying()) is not None:
            return replaying.export(request)
        _validate(request)
        length = read_settle(settle)
        # a caller with `on_wait` shows the waits itself
        with waits_shown() if on_wait is None else nullcontext():
            return self._obtain(request, fresh or _is_refreshed(), length, on_wait, retry_policy)

    def _obtain(
        self,
        request: ExportRequest,
        fresh: bool,
        settle: timedelta | None,
        on_wait: OnWait | None,
        retry_policy: RetryPolicy | None,
    ) -> Export:
        """`export`, for a request that was validated."""
        logged = ""
        try:
            for pause in backoff():
                try:
                    if fresh:
                        return self._send(request, self._record(request), on_wait, retry_policy)
                    return self._reuse_or_create(request, on_wait, retry_policy, settle=settle)
                except QueueFull as error:
                    if on_wait is None:
                        raise
                    event = WaitEvent.after(error, pause)
                    # the wait can take hours, so log only changes
                    if event.text != logged:
                        log_wait(event)
                    logged = event.text
                    on_wait(event)
                clock.sleep(pause)
        except WaitInterrupted:
            raise
        except KeyboardInterrupt:  # not during the call itself: `_send` has a message for that
            raise WaitInterrupted(_NOT_SENT) from None
        raise AssertionError("the pauses have no end")

    def _reuse_or_create(
        self,
        request: ExportRequest,
        on_wait: OnWait | None,
        retry_policy: RetryPolicy | None,
        *,
        is_piece: bool = False,
        settle: timedelta | None = None,
    ) -> Export:
        seen = -1  # the newest entry at the last failed claim
        pauses = backoff(_FIRST_POLL, _LAST_POLL)
        level = logging.INFO
        while True:
            earlier = self.journal.find_same(request)
            if any(entry.state in _BEING_SENT for entry in earlier):
                error = CreateInProgress("another kernel or thread is sending the same request")
                if is_piece:
                    raise error
                pause = next(pauses)
                text = f"waiting for its response: {error}"
                event = WaitEvent(WaitKind.CREATE, pause, text, error)
                # log the first wait only, as all have the same reason
                log_wait(event, level)
                level = logging.DEBUG
                if on_wait:
                    on_wait(event)
                clock.sleep(pause)
                continue
            export = self._reuse(request, earlier, is_piece, retry_policy, settle)
            if export is not None:
                return export
            doubt = _in_doubt(earlier)
            if doubt and (is_piece or doubt.age < _UNCONFIRMED_FOR):
                raise _unconfirmed(doubt)
            newest = earlier[0].number if earlier else 0
            # None if another kernel wrote a newer entry since `find_same`: then look again
            create = self.journal.claim_create(request, newest, self.api.now())
            if create is None and newest == seen:
                # two claims failed, but no newer entry is readable: it is damaged, so ignore it
                create = self._record(request)
            seen = newest
            if create is not None:
                notes = [_may_be_two(doubt)] if doubt else []
                with suppress(Superseded):  # another kernel took over: start again
                    return self._send(request, create, on_wait, retry_policy, *notes)

    def _reuse(
        self,
        request: ExportRequest,
        earlier: Iterable[JournalEntry],
        too_large: bool,
        retry_policy: RetryPolicy | None,
        settle: timedelta | None,
    ) -> Export | None:
        settle = self.settle if settle is None else settle
        for entry in earlier:
            if entry.state is not CreateState.CREATED or entry.id_raw_export is None:
                continue
            if not _is_reusable(entry, entry.status, too_large, settle):
                continue
            # the request as given now: the journal does not store its warnings
            export = self._known_export(entry, request)
            try:
                export.refresh(retry_policy)
            except KeyboardInterrupt:
                raise _interrupted(export) from None
            except NotFound:
                self.journal.mark_not_found(entry.id_raw_export)
                continue
            if _is_reusable(entry, export.status, too_large, settle) and has_files(export):
                export.notes = (_reuse_note(entry, export.status),)
                _log.info(
                    "export %d reused: %s, created %s",
                    *(export.id_raw_export, _in_brief(request), wording.ago(entry.asked_at)),
                )
                return export
        return None

    def _record(self, request: ExportRequest) -> PendingCreate:
        return self.journal.record_create(request, self.api.now())

    def _send(
        self,
        request: ExportRequest,
        create: PendingCreate,
        on_wait: OnWait | None = None,
        retry_policy: RetryPolicy | None = None,
        *notes: str,
    ) -> Export:
        def wait(event: WaitEvent) -> None:
            if event.error is not None:
                create.wait(event.seconds)
            if on_wait:
                on_wait(event)

        export: Export | None = None
        try:
            with create:
                number = self.api.create(request.wire(), wait, retry_policy, create.send)
                created_at = self.api.now()
                export = self._export(number, request, created_at, *notes)
                start_clock(export)
                create.answer(number, created_at)
            _log.info("export %d created: %s", number, _in_brief(request))
        except CreateUnconfirmed as error:
            error.request = request
            raise
        except QueueFull:
            raise
        except BadRequest as error:
            # "Argument 'selectors' is invalid" does not name the column; a warning may
            error.problems = tuple(
                problem
                for problem in request.problems
                if problem.severity == "warning" and problem.parameter in error.detail
            )
            raise
        except KeyboardInterrupt:
            if export is not None:
                raise _interrupted(export) from None
            raise WaitInterrupted(_MAY_EXIST if create.was_sent else _NOT_SENT) from None
        return export

    def _export(
        self,
        id_raw_export: int,
        request: ExportRequest | None = None,
        created_at: datetime | None = None,
        *notes: str,
    ) -> Export:
        return Export(
            self.api,
            id_raw_export,
            request,
            created_at=created_at,
            notes=notes,
            create=self.create,
            find_or_create=self.export,
            on_change=self._update_journal,
            on_rows=self._record_rows,
            limits=lambda: self.limits,
        )

    def _known_export(self, entry: JournalEntry, request: ExportRequest) -> Export:
        """The export of a journal entry, which has an id."""
        assert entry.id_raw_export is not None
        export = self._export(entry.id_raw_export, request, entry.asked_at)
        set_rows(export, entry.row_count)
        return export

    def _update_journal(self, export: Export) -> None:
        ends = [file.expires for file in export.files if file.expires is not None]
        self.journal.update_status(
            export.id_raw_export,
            export.status,
            export.request,
            export.created_at,
            file_count=len(export.files) if export.status == SUCCESS else None,
            files_until=min(ends, default=None),
        )

    def _record_rows(self, export: Export, count: int) -> None:
        self.journal.record_rows(export.id_raw_export, count)

    @waits_shown()
    def quotas(self) -> pd.DataFrame:
        """The service's quotas, and how much of each is used.

        Returns
        -------
        pandas.DataFrame
            One row per quota, as the service lists them: ``name``, ``count``, ``limit``,
            ``resetTime`` (UTC), ``resetInSecond``, ``exceeded``. It shows itself with a bar for
            each quota.

        Examples
        --------
        >>> quotas = mt.Client().quotas()
        >>> quotas.loc[quotas["name"] == "RequestsByUserPerHour", "limit"].item()
        1000
        """
        from mytracker_nb.tables.quota_list import quota_frame

        if (replaying := _replaying()) is not None:
            return replaying.quotas()
        return quota_frame(
            self.api.quotas(),
            clock.now(),
            self.credentials.base_url,
            # a recorded notebook is shared, so it must not show the account
            api_user_id=None if recorder_in_use() else self.credentials.api_user_id,
            is_sandbox=self.credentials.is_sandbox,
        )

    def __repr__(self) -> str:
        # a traceback can show a client whose `__init__` raised CredentialsMissing
        found = getattr(self, "credentials", None)
        account = f" of account {found.api_user_id} at {found.base_url}" if found else ""
        return f"<Client{account}>"


def _checked_id(given: int | str) -> int:
    number = int(given) if str(given).isdecimal() else 0
    if not 0 < number < 2**63:
        raise MyTrackerError(
            f"{given!r} is not an idRawExport: use a whole number such as 4 (the card and "
            "%mytracker_exports show it)"
        )
    return number


def _in_brief(request: ExportRequest) -> str:
    """The event and the window, for the log; filters can hold ids of people."""
    names = [name for interval in INTERVALS for name in interval.names]
    window = [f"{name}={request.parameters[name]}" for name in names if name in request.parameters]
    return " ".join([str(request.parameters["event"]), *window])


def _validate(request: ExportRequest) -> None:
    if not isinstance(request, ExportRequest):
        raise TypeError(
            f"create takes an ExportRequest, not {type(request).__name__}: "
            "client.create(mt.ExportRequest(event=...)), or mt.export(event=...)"
        )
    problems = request.check(clock.now())
    if any(problem.severity == "error" for problem in problems):
        raise InvalidRequest(problems)


def _is_reusable(entry: JournalEntry, status: str, too_large: bool, settle: timedelta) -> bool:
    """Whether an export in `status` can be reused, by what the journal knows."""
    if status == SUCCESS:
        return is_reusable(entry.request, entry.asked_at, clock.now(), settle)
    if status == TOO_LARGE:
        return too_large
    return status not in (FAILED, CANCELED)


def _reuse_note(entry: JournalEntry, status: str) -> str:
    """The card's note on a reused export, and on rows that it may lack."""
    note = f"reused export from {wording.ago(entry.asked_at)}"
    if status == SUCCESS and not is_bounded(entry.request):
        return f"{note}; rows that arrived since are not in it (--fresh exports them too)"
    return f"{note}; --fresh creates a new one"


def _interrupted(export: Export) -> WaitInterrupted:
    number = export.id_raw_export
    return WaitInterrupted(
        f"interrupted; export {number} was created and continues on the service. "
        f"Attach to it with {attach_code(number)}",
        export=export,
    )


def _in_doubt(earlier: Iterable[JournalEntry]) -> JournalEntry | None:
    """The last create of a request, if it got no response, so that its export may exist."""
    for entry in earlier:
        if entry.id_raw_export is not None:
            return None
        if entry.state is CreateState.UNCONFIRMED:
            return entry
    return None


def _unconfirmed(doubt: JournalEntry) -> CreateUnconfirmed:
    return CreateUnconfirmed(
        f"This request was sent {wording.ago(doubt.asked_at)}, but no response arrived, so the "
        f"export may exist. It was not retried. {CHECK_FIRST}",
        request=doubt.request,
    )


def _may_be_two(doubt: JournalEntry) -> str:
    return (
        f"the same request was sent {wording.ago(doubt.asked_at)} without a response: "
        "MyTracker's export list may show two"
    )


def refresh_listed(client: Client, id_raw_export: int) -> Export:
    """Poll an export of the journal once, without retries.

    Raises
    ------
    NotFound
        If the service does not know it; the journal records this.
    ApiError, ConnectionFailed
        If the service refused, or did not respond within a few seconds.
    """
    entry = client.journal.find(id_raw_export)
    export = (
        client._export(id_raw_export)
        if entry is None
        else client._known_export(entry, entry.request)
    )
    try:
        return export.refresh(NO_RETRY.within(_LISTED))
    except NotFound:
        client.journal.mark_not_found(id_raw_export)
        raise


def client_for(credentials: Credentials) -> Client:
    """A client for given credentials."""
    client = Client.__new__(Client)
    client._open(credentials, None)
    return client


def export_for_plan(
    client: Client,
    request: ExportRequest,
    *,
    fresh: bool = False,
    settle: timedelta | None = None,
) -> Export:
    """Create an export for a plan, or reuse an earlier one; like `Client.export`, but never waits.

    Parameters
    ----------
    client : Client
        The account.
    request, fresh, settle
        As for `Client.export`.

    Returns
    -------
    Export
        Running or finished; it can also be an earlier one that was too large.

    Raises
    ------
    CreateInProgress
        If another kernel or thread is sending the same request, whose export can then be reused.
    CreateUnconfirmed
        If no response arrived, now or at any time before. It is not retried.
    InvalidRequest, QueueFull, ApiError, ConnectionFailed
        As `Client.create`.
    """
    _validate(request)
    if fresh or _is_refreshed():
        return client._send(request, client._record(request), None, NO_RETRY)
    return client._reuse_or_create(request, None, NO_RETRY, is_piece=True, settle=settle)


def find_reusable(
    client: Client,
    request: ExportRequest,
    *,
    too_large: bool = False,
    retry_policy: RetryPolicy | None = None,
    settle: timedelta | None = None,
) -> Export | None:
    """Find an earlier export of the same request that can be reused.

    An export in progress can be reused. One that succeeded can be reused if it was created at least
    `settle` after the end of its interval and its files are still available. Its notes say how old
    it is.

    Parameters
    ----------
    client : Client
        The account.
    request : ExportRequest
        A valid request.
    too_large : bool
        Whether to return an export that was too large: a new one would be too large as well.
    retry_policy : RetryPolicy, optional
        For each call, instead of the client's.
    settle : datetime.timedelta, optional
        Instead of the client's.

    Returns
    -------
    Export or None
        With the status that the service reports now.
    """
    if _is_refreshed():
        return None
    earlier = client.journal.find_same(request)
    return client._reuse(request, earlier, too_large, retry_policy, settle)


def _replaying() -> Client | None:
    """The client that answers from a recording, while one is replayed."""
    recorder = recorder_in_use()
    client = None if recorder is None else recorder.client()
    assert client is None or isinstance(client, Client)
    return client


def _is_refreshed() -> bool:
    """Whether a recording is being made that must not reuse earlier exports."""
    recorder = recorder_in_use()
    return recorder is not None and recorder.refresh


def attach(id_raw_export: int) -> Export:
    """Find an existing export, with the account in use.

    Parameters
    ----------
    id_raw_export : int
        Its id at the service; its card and ``%mytracker_exports`` show it.

    Returns
    -------
    Export
        With the status that the service reports now.

    Raises
    ------
    NotFound
        If the account has no such export.

    Examples
    --------
    >>> export = mt.attach(4)
    >>> frame = export.to_pandas()
    """
    return default_client().attach(id_raw_export)


_default: Client | None = None


def default_client() -> Client:
    """The client for the credentials in use, or for the recording that is replayed.

    Raises
    ------
    CredentialsMissing
        If no credentials are found.
    """
    global _default
    if (replaying := _replaying()) is not None:
        return replaying
    found = sources.find()
    if _default is None or _default.credentials != found:
        _default = client_for(found)
    return _default


@with_parameters
def export(
    *,
    fresh: bool = False,
    settle: str | timedelta | None = None,
    **parameters: Unpack[ExportParameters],
) -> Export:
    """Create an export with the account in use, or reuse an earlier one of the same request.

    Parameters
    ----------
    fresh : bool
        Whether to create a new one even if an earlier one could be reused.
    settle : str or datetime.timedelta, optional
        An earlier export that succeeded is reused only if it was created at least this long after
        the end of its interval; 3 hours by default, ``"2d"`` to include rows that come late.
    **parameters
        The parameters of the request, as for `ExportRequest`.

    Returns
    -------
    Export
        Running or finished.

    Raises
    ------
    InvalidRequest
        If the request has errors; nothing was sent.
    MyTrackerError
        As `Client.create`.

    Examples
    --------
    >>> export = mt.export(event="installs", selectors=["idDevice", "tsEvent"],
    ...                    dateFrom="today-7d", dateTo="yesterday")
    >>> frame = export.to_pandas()  # waits until the export is finished
    >>> list(frame.columns)
    ['idDevice', 'tsEvent']
    """
    return default_client().export(ExportRequest(**parameters), fresh=fresh, settle=settle)
