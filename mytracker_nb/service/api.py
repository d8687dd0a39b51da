"""The four calls of the Export API: create, get, cancel, quotas.

Responses become plain facts, errors the exceptions of `mytracker_nb.errors`. Calls that only read
are retried after temporary faults. A create is not idempotent: it is retried only after an HTTP
429, with which the service has certainly not created an export. Source: pages
``export-api/raw/*`` and ``quotas`` of the service's documentation.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import requests

from mytracker_nb import __version__, clock
from mytracker_nb.endpoints import CANCEL_PATH, CREATE_PATH, GET_PATH, QUOTAS_PATH
from mytracker_nb.errors import (
    AccessDenied,
    ApiError,
    BadRequest,
    ConnectionFailed,
    CreateUnconfirmed,
    MyTrackerError,
    NotFound,
    QueueFull,
    QuotaExceeded,
    printable,
)
from mytracker_nb.service.credentials import Credentials
from mytracker_nb.service.rate_limit import RateLimiter, limit_text, shared_limiter
from mytracker_nb.service.retry import (
    OnWait,
    Retries,
    RetryPolicy,
    is_transient,
    response_deadline,
)
from mytracker_nb.service.signing import AuthHMAC
from mytracker_nb.service.transport import NoResponse, Transport, read_body

__all__ = [
    "CHECK_FIRST",
    "Api",
    "Link",
    "State",
    "asked_pause",
    "refusal",
]

USER_AGENT = f"mytracker-nb/{__version__} python/{platform.python_version()}"

# Limits of a response, against one made to fill the memory. One with 20,000 files is shorter.
# Parsed JSON takes up to 12 times its bytes, and much more if lists are nested in lists.
_LONGEST = 4 << 20  # bytes
_MOST_LISTS = 100_000
_CLOCKS_DIFFER = timedelta(seconds=30)  # a difference of clocks that does not matter
_LONGEST_WORDS = 2_000  # characters shown of a text of the service
_FIRST_WORDS = 200  # characters shown of a response that is not JSON

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Link:
    """The link of an export's file.

    Attributes
    ----------
    url : str
        The URL.
    expires : datetime.datetime or None
        When the service deletes the file (UTC); None if it did not say so.
    """

    url: str
    expires: datetime | None

    @property
    def path(self) -> str:
        """The path of the URL, still percent-encoded."""
        try:
            return urlsplit(self.url).path
        except ValueError:  # an invalid URL; fetching it raises an error that says so
            return ""

    @property
    def name(self) -> str:
        """The file's name: the last part of the path, without slashes."""
        return unquote(self.path).rpartition("/")[2]


@dataclass(frozen=True)
class State:
    """The state of an export, from the service's response.

    Attributes
    ----------
    status : str
        The service's own word.
    progress : float or None
        From 0.0 to 1.0; None if the service did not report it.
    is_cancellable : bool or None
        Whether it can be cancelled; None if the service did not report it.
    links : tuple of Link
        The files, once there are any.
    error_message : str
        Why it failed; ``""`` if the service did not report it.
    """

    status: str
    progress: float | None = None
    is_cancellable: bool | None = None
    links: tuple[Link, ...] = ()
    error_message: str = ""


CHECK_FIRST = (
    "Check MyTracker's export list: attach if it is there (mt.attach(its id)), otherwise "
    "use --fresh (fresh=True in Python)"
)
"""The next step after a create without a response."""


class Api:
    """The calls of the Export API, for one account.

    Parameters
    ----------
    credentials : Credentials
        The account and the service.
    session : requests.Session, optional
        A session with your own proxies, certificates and adapters.
    retry_policy : RetryPolicy, optional
        How many faults are retried, and for how long.
    rate_limiter : RateLimiter, optional
        The rate limiter; by default the one that all clients of this account in this process
        share. The attribute `rate_limiter` can be replaced at any time.
    """

    def __init__(
        self,
        credentials: Credentials,
        session: requests.Session | None = None,
        retry_policy: RetryPolicy | None = None,
        rate_limiter: RateLimiter | None = None,
    ) -> None:
        self.credentials = credentials
        self.transport = Transport(session)
        self._service_clock = _ServiceClock()
        self.auth = AuthHMAC(credentials.api_user_id, credentials.secret_key)
        self.retry_policy = retry_policy or RetryPolicy()
        self.rate_limiter = rate_limiter or shared_limiter(
            credentials.base_url, credentials.api_user_id
        )

    @property
    def session(self) -> requests.Session:
        """The session that sends requests."""
        return self.transport.session

    def now(self) -> datetime:
        """The time (UTC): this machine's, or the service's if this machine's clock is ahead."""
        return self._service_clock.now()

    def create(
        self,
        fields: list[tuple[str, str]],
        on_wait: OnWait | None = None,
        retry_policy: RetryPolicy | None = None,
        on_send: Callable[[], None] | None = None,
    ) -> int:
        """Create an export (``create.json``).

        Parameters
        ----------
        fields : list of tuple of str
            The form fields, from `ExportRequest.wire`.
        on_wait : callable, optional
            Called with each `WaitEvent` before the wait begins.
        retry_policy : RetryPolicy, optional
            Replaces that of the `Api` for this call.
        on_send : callable, optional
            Called right before the request is sent; an exception from it prevents that.

        Returns
        -------
        int
            The idRawExport.

        Raises
        ------
        ApiError
            If the service refused the request. An exceeded quota (429) is retried.
        CreateUnconfirmed
            If the request was sent and no response arrived; it is not retried.
        ConnectionFailed
            If the service could not be reached, so nothing was sent.
        """

        def once(retry_policy: RetryPolicy) -> Mapping[str, Any]:
            try:
                return self._call("POST", CREATE_PATH, retry_policy, on_send, data=fields)
            except ConnectionFailed as error:
                if error.was_sent:
                    raise CreateUnconfirmed(_unconfirmed(error.reason)) from error
                raise
            except ApiError as error:
                if not 400 <= error.status < 500 or error.status == HTTPStatus.REQUEST_TIMEOUT:
                    raise CreateUnconfirmed(_unconfirmed(str(error))) from error
                raise

        data = self._with_retries(
            once, lambda error: isinstance(error, QuotaExceeded), on_wait, retry_policy
        )
        id_raw_export = _id(data.get("idRawExport"))
        if id_raw_export is None:
            raise CreateUnconfirmed(
                _unconfirmed(f"the response has no idRawExport: {_shown(data)}")
            )
        return id_raw_export

    def get(
        self,
        id_raw_export: int,
        on_wait: OnWait | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> State:
        """Poll the state of an export (``get.json``).

        Parameters
        ----------
        id_raw_export : int
            The export's idRawExport.
        on_wait, retry_policy : optional
            As for `create`.

        Returns
        -------
        State
            The state; facts that the service did not report are None or empty.

        Raises
        ------
        NotFound
            If the account has no such export.
        ApiError, ConnectionFailed
            If the service refused the request, or faults outlasted the retry policy.
        """
        params = {"idRawExport": id_raw_export}
        data = self._read(GET_PATH, params, on_wait, retry_policy)
        files = data.get("files")
        return State(
            status=_said(data.get("status") or "no status"),
            progress=_share(data.get("progress")),
            is_cancellable=_truth(data.get("isCancellable")),
            links=tuple(map(_link, files)) if isinstance(files, list) else (),
            error_message=_said(data.get("errorMessage") or ""),
        )

    def cancel(self, id_raw_export: int) -> str:
        """Cancel an export (``cancel.json``).

        Returns
        -------
        str
            The service's word (``Canceled``).

        Raises
        ------
        BadRequest
            If it can't be cancelled, with the service's reason.
        NotFound
            If the account has no such export.
        """
        data = self._read(CANCEL_PATH, {"idRawExport": id_raw_export})
        return _said(data.get("info", ""))

    def quotas(self) -> list[dict[str, Any]]:
        """The account's quotas (``quotas/get.json``), as the service lists them."""
        data = self._read(QUOTAS_PATH, {})
        return _quotas(data)

    def turn(self, url: str) -> float:
        """Let the rate limiter allow a request for a file, if it is on the API's own host.

        Parameters
        ----------
        url : str
            The prepared URL of the file.

        Returns
        -------
        float
            0.0 if the request may be sent now; otherwise the seconds until the next try.
        """
        is_ours = urlsplit(url).netloc == urlsplit(self.credentials.base_url).netloc
        return self.rate_limiter.acquire() if is_ours else 0.0

    def _read(
        self,
        path: str,
        params: Mapping[str, Any],
        on_wait: OnWait | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> Mapping[str, Any]:
        call = partial(self._call, "GET", path, params=params)
        return self._with_retries(call, is_transient, on_wait, retry_policy)

    def _with_retries(
        self,
        call: Callable[[RetryPolicy], _Answer],
        again: Callable[[MyTrackerError], bool],
        on_wait: OnWait | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> _Answer:
        """Make a call; retry it after errors for which `again` is true.

        A retry library is not used: the service's response says how long to wait, and a wait for a
        quota does not count as a fault.
        """
        retry_policy = retry_policy or self.retry_policy
        retries = Retries(retry_policy, again)
        while True:
            try:
                self._take_turn()
                return call(retry_policy)
            except MyTrackerError as error:
                event = retries.after(error)
                if event is None:
                    raise
                if on_wait:
                    on_wait(event)
                clock.sleep(event.seconds)

    def _take_turn(self) -> None:
        delay = self.rate_limiter.acquire()
        if delay > 0:
            raise QuotaExceeded(limit_text(delay), retry_after=delay)

    def _call(
        self,
        method: str,
        path: str,
        retry_policy: RetryPolicy,
        on_send: Callable[[], None] | None = None,
        **content: Any,
    ) -> Mapping[str, Any]:
        seconds = retry_policy.answer_seconds
        service = self.credentials.base_url
        try:
            with self.transport.open(
                method,
                service + path,
                self.auth,
                headers={
                    "User-Agent": USER_AGENT,
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                },
                silence=seconds,
                deadline=response_deadline(service, seconds),
                on_send=on_send,
                **content,
            ) as response:
                body = read_body(response, _LONGEST)
        except NoResponse as error:
            raise ConnectionFailed(
                f"the service did not respond ({service}: {error.reason}). {error.hint}",
                was_sent=error.was_sent,
                may_pass=error.may_pass,
                reason=error.reason,
            ) from None
        self._service_clock.update(response.headers.get("Date"))
        try:
            return _data(response, body)
        except QuotaExceeded as error:
            # hold all other requests back, too: the service would refuse them
            self.rate_limiter.block_for(error.retry_after or 0.0)
            raise
        except ApiError:
            self.rate_limiter.record_error()
            raise


def _unconfirmed(reason: str) -> str:
    return (
        f"Sent, but no response arrived ({reason}), so the export may exist. It was not retried. "
        f"{CHECK_FIRST}"
    )


class _ServiceClock:
    """How far this machine's clock is ahead of the service's, by the last response."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def update(self, date: str | None) -> None:
        """Compare the clocks by the ``Date`` header of a response."""
        moment = _http_date(date)
        if moment is not None:
            ahead = clock.now() - moment
            # the header has whole seconds, and the response took some time
            self._ahead = ahead if ahead > _CLOCKS_DIFFER else timedelta()

    def now(self) -> datetime:
        return clock.now() - self._ahead


def _http_date(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, TypeError):
        return None
    # HTTP dates are in GMT, even if the name of the zone is missing
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _data(response: requests.Response, body: bytes) -> Mapping[str, Any]:
    """The data of a successful response.

    Raises
    ------
    ApiError
        If the response is an error.
    """
    payload = _payload(body)
    if payload is None:
        raise _no_json(response, body)
    status = response.status_code
    code = _integer(payload.get("code"))
    if status < 400 and code is not None and code >= 400:
        status = code  # an error in the body of a response with HTTP 200
    data = payload.get("data")
    if status != 200:
        raise _refusal(status, payload, response.headers.get("Retry-After"))
    return data if isinstance(data, dict) else {}


def refusal(response: requests.Response, body: bytes) -> ApiError:
    """The exception for an error response."""
    payload = _payload(body)
    if payload is None:
        return _no_json(response, body)
    return _refusal(response.status_code, payload, response.headers.get("Retry-After"))


def _payload(body: bytes) -> dict[str, Any] | None:
    """The JSON object of a response; None if the body is not one."""
    if body.count(b"[") + body.count(b"{") > _MOST_LISTS:
        return None
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return payload if isinstance(payload, dict) else None


def _no_json(response: requests.Response, body: bytes) -> ApiError:
    """The exception for a response that is not JSON, so not the service's own.

    It has no `payload`, which marks the error as temporary: a proxy's 404 does not mean that the
    export does not exist.
    """
    status = response.status_code
    kind = printable(response.headers.get("Content-Type", "no type"))
    start = body[: 4 * _FIRST_WORDS].decode("utf-8", "replace")
    words = " ".join(printable(start).split())[:_FIRST_WORDS]
    text = (
        f"HTTP {status} {printable(response.reason or '')}: expected JSON from the service, "
        f"got {kind}{f' that starts with {words!r}' if words else ', empty'}. "
        "A proxy or a login page may have answered instead"
    )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        seconds = asked_pause([], response.headers.get("Retry-After"))
        return QuotaExceeded(text, status=status, retry_after=seconds)
    return ApiError(text, status=status)


_CLASSES: Mapping[int, type[ApiError]] = {400: BadRequest, 403: AccessDenied, 404: NotFound}
_NEXT_STEP = {
    403: "Check the API User ID and the secret key (%mytracker_login); "
    "exporting also needs the export permission on the account",
    404: "Ids of exports belong to one account: check the id and the account",
}


def _refusal(status: int, payload: Mapping[str, Any], retry_after: str | None) -> ApiError:
    """The exception for the service's own error, with its words."""
    data = payload.get("data")
    error = data.get("error") if isinstance(data, dict) else None
    error = error if isinstance(error, dict) else {"detail": error} if error else {}
    info = error.get("info")
    info = info if isinstance(info, dict) else {}
    detail = _said(error.get("detail") or "")
    facts: dict[str, Any] = {"status": status, "detail": detail, "payload": payload}
    said = f"HTTP {status} {_said(payload.get('message') or '')}".rstrip()
    text = f"{said}: {detail}" if detail else said

    if status == 429:
        quotas = _quotas(info)
        seconds = asked_pause(quotas, retry_after)
        when = f"in {seconds:.0f} seconds" if seconds is not None else "later"
        over = ", ".join(str(quota.get("name")) for quota in quotas if quota.get("exceeded"))
        text += f". Too many requests{f' ({over})' if over else ''}: try again {when}"
        return QuotaExceeded(text, retry_after=seconds, quotas=quotas, **facts)
    exports = info.get("exports")
    if status == 400 and (isinstance(exports, list) or "simultaneous requests" in detail):
        listed = exports if isinstance(exports, list) else []
        ids = [_id(_dict(export).get("idRawExport")) for export in listed]
        filling = [id_raw_export for id_raw_export in ids if id_raw_export is not None]
        label = "export" if len(filling) == 1 else "exports"
        names = f" (running: {label} {', '.join(map(str, filling))})" if filling else ""
        text += f" The export queue is full{names}. Wait for one, or cancel it"
        return QueueFull(text, exports=filling, **facts)
    if status in _NEXT_STEP:
        text += f". {_NEXT_STEP[status]}"
    return _CLASSES.get(status, ApiError)(text, **facts)


def _quotas(info: Mapping[str, Any]) -> list[dict[str, Any]]:
    quotas = info.get("quotas")
    return [
        {
            _said(name): _said(value) if isinstance(value, str) else value
            for name, value in quota.items()
        }
        for quota in (quotas if isinstance(quotas, list) else [])
        if isinstance(quota, dict)
    ]


def asked_pause(quotas: list[dict[str, Any]], header: str | None) -> float | None:
    """The pause in seconds that a response asks for; None if it asks for none.

    It is the time until the last of the exceeded quotas is reset, or that of ``Retry-After``.
    """
    resets = [_number(quota.get("resetInSecond")) for quota in quotas if quota.get("exceeded")]
    known = [seconds for seconds in resets if seconds is not None]
    if known:
        return max(known)
    moment = _http_date(header)
    if moment is None:
        return _number(header)
    return max(0.0, (moment - clock.now()).total_seconds())


def _number(value: Any) -> float | None:
    """A finite number of seconds, 0 or more; None if `value` is none."""
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _integer(value: Any) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


def _id(value: Any) -> int | None:
    """An idRawExport, if it is a positive integer that SQLite can store."""
    number = _integer(value)
    return number if number is not None and 0 < number < 1 << 63 else None


def _truth(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.lower())
    return None if value is None else bool(value)


def _share(value: Any) -> float | None:
    """``"64%"`` as 0.64."""
    try:
        share = float(str(value).rstrip("% ")) / 100
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None


def _link(value: Any) -> Link:
    facts = _dict(value)
    seconds = _integer(facts.get("timestampExpires"))
    try:
        expires = datetime.fromtimestamp(seconds, timezone.utc) if seconds else None
    except (OverflowError, ValueError, OSError):
        expires = None
    return Link(str(facts.get("link", "")), expires)


def _said(words: Any) -> str:
    """A text of the service, made printable and not too long."""
    text = printable(words)
    return text if len(text) <= _LONGEST_WORDS else f"{text[:_LONGEST_WORDS]}..."


def _shown(value: Any) -> str:
    return printable(repr(value))[:_FIRST_WORDS]
