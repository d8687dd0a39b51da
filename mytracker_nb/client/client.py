"""`Client`: makes exports and finds them again."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import requests

from mytracker_nb import clock, wording
from mytracker_nb.client.export import Export, has_files
from mytracker_nb.client.recorder import recorder_in_use
from mytracker_nb.errors import (
    CreateUnconfirmed,
    InvalidRequest,
    MyTrackerError,
    NotFound,
    QueueFull,
    WaitInterrupted,
)
from mytracker_nb.request.availability import (
    DEFAULT_SETTLE,
    is_bounded,
    is_reusable,
    read_settle,
)
from mytracker_nb.request.request import ExportRequest
from mytracker_nb.request.signature import ExportParameters, with_parameters
from mytracker_nb.service import credentials as sources
from mytracker_nb.service.api import LOOK_FIRST, Api
from mytracker_nb.service.credentials import Credentials
from mytracker_nb.service.retry import (
    NO_RETRY,
    OnWait,
    RetryPolicy,
    WaitEvent,
    WaitKind,
    backoff,
)
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
    "client_for",
    "default_client",
    "export",
    "export_for_plan",
    "find_reusable",
]

_HELD = timedelta(hours=1)
"""How long an unconfirmed create keeps the same request from being sent again, unless it is a piece
of a plan: if the service did make an export of it, that has left the queue by then."""

_ON_ITS_WAY = (CreateState.ASKED, CreateState.SENT)
_NOT_SENT = "interrupted before the request was sent, so no export was created. Run it again"
_MAY_BE_MADE = f"interrupted while the request was sent, so the export may exist. {LOOK_FIRST}"

_QUOTA = ["name", "count", "limit", "resetTime", "resetInSecond", "exceeded"]
# seconds between two looks at a create that another kernel is sending
_FIRST_POLL, _LAST_POLL = 0.2, 2.0


class CreateInProgress(MyTrackerError):
    """Another kernel or thread is sending the same request at this moment."""


class Client:
    """An account at the service.

    Parameters
    ----------
    api_user_id : int, optional
        The *API User ID* of the account's profile.
    secret_key : str, optional
        The *Secret key* beside it.
    base_url : str, optional
        The service's address. What is None comes from a login in this notebook, the environment
        (``MYTRACKER_API_USER_ID``, ``MYTRACKER_SECRET_KEY``, ``MYTRACKER_BASE_URL``) or the
        system's keyring.
    session : requests.Session, optional
        For proxies, certificates and adapters of one's own.

    Attributes
    ----------
    limits : mytracker_nb.Limits or None
        How far a file of its exports may grow when it is decompressed. It may be changed at any
        time.
    settle : datetime.timedelta
        How long after its window had closed an export must have been created to be reused, where
        nothing else is said; 3 hours by default. It may be changed at any time.

    Raises
    ------
    CredentialsMissing
        If no place has the keys.

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
            # no key is needed, and none is kept
            self.__dict__.update(vars(replaying))
            return
        # this frame may be shown with its values
        api_user_id, secret_key = sources.masked(api_user_id), sources.masked(secret_key)
        self._open(sources.find(api_user_id, secret_key, base_url), session)

    def _open(self, credentials: Credentials, session: requests.Session | None) -> None:
        self.credentials = credentials
        self.api = Api(credentials, session)
        self.journal = Journal(credentials)
        self.limits: Limits | None = None
        self.settle = DEFAULT_SETTLE

    recorded_at: datetime | None = None  # of a recording that is replayed

    def create(self, request: ExportRequest) -> Export:
        """Make a new export.

        Parameters
        ----------
        request : ExportRequest
            What to export.

        Returns
        -------
        Export
            As it was made; it has not been looked at since.

        Raises
        ------
        InvalidRequest
            If the request has errors; nothing was sent.
        QueueFull
            If the account has as many exports in progress as the service allows.
        CreateUnconfirmed
            If the answer was lost; nothing is sent again.
        ApiError, ConnectionFailed
            If the service refused, or was not reached.
        """
        if (replaying := _replaying()) is not None:
            return replaying.create(request)
        _judge(request)
        return self._send(request, self._record(request))

    def attach(self, id_raw_export: int) -> Export:
        """Find an export that was made earlier, here or elsewhere.

        Parameters
        ----------
        id_raw_export : int
            The service's id of it.

        Returns
        -------
        Export
            As the service now says it stands.

        Raises
        ------
        NotFound
            If the service knows no such export for this account.
        """
        number = _checked_id(id_raw_export)
        if (replaying := _replaying()) is not None:
            return replaying.attach(number)
        entry = self.journal.find(number)
        if entry is None:
            return self._export(number).refresh()
        return self._export(number, entry.request, entry.asked_at).refresh()

    def export(
        self,
        request: ExportRequest,
        *,
        fresh: bool = False,
        settle: str | timedelta | None = None,
        on_wait: OnWait | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> Export:
        """Make an export, or adopt an earlier one where that is right.

        Parameters
        ----------
        request : ExportRequest
            What to export.
        fresh : bool
            Whether to make a new one in any case.
        settle : str or datetime.timedelta, optional
            An earlier export that succeeded is reused only if it was created so long after its
            window had closed, such as ``"2d"``; by default that of the client. Rows can arrive at
            any time: the longer, the fewer are missing.
        on_wait : callable, optional
            Called with each `WaitEvent` before the wait begins. With it a full queue is waited for
            too, as long as it takes; what it raises ends the wait.
        retry_policy : RetryPolicy, optional
            Of each call, in place of that of the client.

        Returns
        -------
        Export
            Running or finished; its notes say so if it is an earlier one (`adopt`).

        Raises
        ------
        CreateUnconfirmed
            If the answer was lost, now or less than an hour ago; nothing is sent again by itself.
        WaitInterrupted
            If the user interrupted (a KeyboardInterrupt), before an answer came.
        InvalidRequest, QueueFull, ApiError, ConnectionFailed
            As `create`.
        """
        if (replaying := _replaying()) is not None:
            return replaying.export(request)
        _judge(request)
        length = read_settle(settle)
        fresh = fresh or _is_refreshed()
        try:
            for pause in backoff():
                try:
                    if fresh:
                        return self._send(request, self._record(request), on_wait, retry_policy)
                    return self._find_or_make(request, on_wait, retry_policy, settle=length)
                except QueueFull as error:
                    if on_wait is None:
                        raise
                    on_wait(WaitEvent.after(error, pause))
                clock.sleep(pause)
        except WaitInterrupted:
            raise
        except KeyboardInterrupt:  # anywhere but around the call itself, which says more
            raise WaitInterrupted(_NOT_SENT) from None
        raise AssertionError("the pauses have no end")

    def _find_or_make(
        self,
        request: ExportRequest,
        on_wait: OnWait | None,
        retry_policy: RetryPolicy | None,
        *,
        is_piece: bool = False,
        settle: timedelta | None = None,
    ) -> Export:
        seen = -1
        pauses = backoff(_FIRST_POLL, _LAST_POLL)
        while True:
            earlier = self.journal.find_same(request)
            if any(entry.state in _ON_ITS_WAY for entry in earlier):
                error = CreateInProgress("another kernel or thread is sending the same request")
                if is_piece:
                    raise error
                pause = next(pauses)
                if on_wait:
                    text = f"waiting for its answer: {error}"
                    on_wait(WaitEvent(WaitKind.CREATE, pause, text, error))
                clock.sleep(pause)
                continue
            adopted = self._adopt(request, earlier, is_piece, retry_policy, settle)
            if adopted is not None:
                return adopted
            doubt = _in_doubt(earlier)
            if doubt and (is_piece or doubt.age < _HELD):
                raise _held(doubt)
            newest = earlier[0].number if earlier else 0
            create = self.journal.claim_create(request, newest, self.api.now())
            if create is None and newest == seen:
                # what is newer was not written since: it can't be read
                create = self._record(request)
            seen = newest
            if create is not None:
                notes = [_two(doubt)] if doubt else []
                with suppress(Superseded):
                    return self._send(request, create, on_wait, retry_policy, *notes)

    def _adopt(
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
            # the request as it is given now: the journal does not keep its warnings
            export = self._export(entry.id_raw_export, request, entry.asked_at)
            try:
                export.refresh(retry_policy)
            except KeyboardInterrupt:
                raise _interrupted(export) from None
            except NotFound:
                self.journal.mark_not_found(entry.id_raw_export)
                continue
            if _is_reusable(entry, export.status, too_large, settle) and has_files(export):
                export.notes = (_reuse_note(entry, export.status),)
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
                create.answer(number, created_at)
        except CreateUnconfirmed as error:
            error.request = request
            raise
        except KeyboardInterrupt:
            if export is not None:
                raise _interrupted(export) from None
            raise WaitInterrupted(_MAY_BE_MADE if create.was_sent else _NOT_SENT) from None
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
            make=self.create,
            on_change=self._hear,
            limits=lambda: self.limits,
        )

    def _hear(self, export: Export) -> None:
        self.journal.update_status(
            export.id_raw_export, export.status, export.request, export.created_at
        )

    def quotas(self) -> pd.DataFrame:
        """How much of the service's quotas is used.

        Returns
        -------
        pandas.DataFrame
            A row a quota, as the service lists them: ``name``, ``count``, ``limit``,
            ``resetTime`` (Unix seconds), ``resetInSecond``, ``exceeded``.
        """
        import pandas as pd

        if (replaying := _replaying()) is not None:
            return replaying.quotas()
        quotas = self.api.quotas()
        return pd.DataFrame(quotas, columns=None if quotas else _QUOTA)

    def __repr__(self) -> str:
        # a client that found no keys may be shown by the traceback that says so
        found = getattr(self, "credentials", None)
        of = f" of account {found.api_user_id} at {found.base_url}" if found else ""
        return f"<Client{of}>"


def _checked_id(given: int | str) -> int:
    number = int(given) if str(given).isdecimal() else 0
    if not 0 < number < 2**63:
        raise MyTrackerError(
            f"{given!r} is not an idRawExport: that is a whole number such as 4, as its card and "
            "%mytracker_exports show it"
        )
    return number


def _judge(request: ExportRequest) -> None:
    if not isinstance(request, ExportRequest):
        raise TypeError(
            f"create takes an ExportRequest, not {type(request).__name__}: "
            "client.create(mt.ExportRequest(event=...)), or mt.export(event=...)"
        )
    problems = request.check(clock.now())
    if any(problem.severity == "error" for problem in problems):
        raise InvalidRequest(problems)


def _is_reusable(entry: JournalEntry, status: str, too_large: bool, settle: timedelta) -> bool:
    """Whether an export in `status` is reused, as far as the journal can tell."""
    if status == SUCCESS:
        return is_reusable(entry.request, entry.asked_at, clock.now(), settle)
    if status == TOO_LARGE:
        return too_large
    return status not in (FAILED, CANCELED)


def _reuse_note(entry: JournalEntry, status: str) -> str:
    """What the card says of an earlier export, and of what it may lack."""
    note = f"reused export from {wording.ago(entry.asked_at)}"
    if status == SUCCESS and not is_bounded(entry.request):
        return f"{note}; rows that arrived since are not in it (--fresh exports them too)"
    return f"{note}; --fresh creates a new one"


def _interrupted(export: Export) -> WaitInterrupted:
    number = export.id_raw_export
    return WaitInterrupted(
        f"interrupted; export {number} is made and goes on. "
        f"Come back to it with mt.Client().attach({number})",
        export=export,
    )


def _in_doubt(earlier: Iterable[JournalEntry]) -> JournalEntry | None:
    """The last create of a request, if it may have made an export that nobody knows the id of."""
    for entry in earlier:
        if entry.id_raw_export is not None:
            return None
        if entry.state is CreateState.UNCONFIRMED:
            return entry
    return None


def _held(doubt: JournalEntry) -> CreateUnconfirmed:
    return CreateUnconfirmed(
        f"This request was sent {wording.ago(doubt.asked_at)}, but no response arrived, so the "
        f"export may exist. It was not retried. {LOOK_FIRST}",
        request=doubt.request,
    )


def _two(doubt: JournalEntry) -> str:
    return (
        f"the same request was sent {wording.ago(doubt.asked_at)} without a response: "
        "MyTracker's export list may show two"
    )


def client_for(credentials: Credentials) -> Client:
    """A client for credentials that are at hand."""
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
    """Make an export for a plan, or reuse an earlier one: `Client.export`, which never waits.

    Parameters
    ----------
    client : Client
        The account.
    request, fresh, settle
        As for `Client.export`.

    Returns
    -------
    Export
        Running or finished; too large as well, where that is known.

    Raises
    ------
    CreateInProgress
        If another kernel or thread is sending the same request: its export can be reused soon.
    CreateUnconfirmed
        If the answer was lost, now or however long ago; nothing is sent again by itself.
    InvalidRequest, QueueFull, ApiError, ConnectionFailed
        As `Client.create`.
    """
    _judge(request)
    if fresh or _is_refreshed():
        return client._send(request, client._record(request), None, NO_RETRY)
    return client._find_or_make(request, None, NO_RETRY, is_piece=True, settle=settle)


def find_reusable(
    client: Client,
    request: ExportRequest,
    *,
    too_large: bool = False,
    retry_policy: RetryPolicy | None = None,
    settle: timedelta | None = None,
) -> Export | None:
    """Find an earlier export of the same request that is to be reused.

    That is one which is still in progress; or one which succeeded, was submitted `settle` after
    its window had closed, and has its files. Its notes say from when it is.

    Parameters
    ----------
    client : Client
        The account.
    request : ExportRequest
        One without errors.
    too_large : bool
        Whether one counts that the service refused as too large, as it would refuse a new one.
    retry_policy : RetryPolicy, optional
        For each call, in place of that of the client.
    settle : datetime.timedelta, optional
        In place of that of the client.

    Returns
    -------
    Export or None
        In the state that the service reports now.
    """
    if _is_refreshed():
        return None
    earlier = client.journal.find_same(request)
    return client._adopt(request, earlier, too_large, retry_policy, settle)


def _replaying() -> Client | None:
    """The client of the recording that is replayed; it answers for every other one."""
    recorder = recorder_in_use()
    client = None if recorder is None else recorder.client()
    assert client is None or isinstance(client, Client)
    return client


def _is_refreshed() -> bool:
    """Whether a recording is made that reuses nothing."""
    recorder = recorder_in_use()
    return recorder is not None and recorder.refresh


_default: Client | None = None


def default_client() -> Client:
    """The client for the credentials that are in use now, or for a recording that is replayed.

    Raises
    ------
    CredentialsMissing
        If no place has any.
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
        An earlier export that succeeded is reused only if it was created so long after its window
        had closed; 3 hours by default, ``"2d"`` for rows that come late.
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
