"""Fetching one file over HTTP: signed requests, retries, and resuming after a fault.

Source: page ``download`` of the service's documentation.
"""

from __future__ import annotations

import logging
import math
import re
import socket
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

import requests

from mytracker_nb import clock
from mytracker_nb.download.gzip_csv import CorruptFile
from mytracker_nb.endpoints import is_local
from mytracker_nb.errors import AccessDenied, FileError, LinkExpired, MyTrackerError, printable
from mytracker_nb.service.api import USER_AGENT, Link, asked_pause, refusal
from mytracker_nb.service.deadline import Deadline
from mytracker_nb.service.rate_limit import limit_text
from mytracker_nb.service.retry import (
    FILE_RETRY,
    OnWait,
    Retries,
    RetryPolicy,
    WaitEvent,
    WaitKind,
    is_retryable_status,
    log_wait,
)
from mytracker_nb.service.stopping import pause_or_stop
from mytracker_nb.service.transport import NoResponse, Sign, Transport, is_inside

__all__ = ["Fetcher", "pause", "prepared_url"]

_log = logging.getLogger(__name__)

_BLOCK = 256 << 10
_SILENCE = 60.0  # seconds: for the headers of a response, and between two reads of its body
# The least progress: with less in one period the request is made again, and with less between
# faults these are counted as faults in a row. Else a file that drips would be fetched for ever.
_PERIOD = 300.0  # seconds
_LEAST = _BLOCK  # bytes
_REDIRECTS = 5
_LONGEST_REFUSAL = 64 << 10  # bytes read of an error's body
_SHOWN = 200  # characters of it that are shown
# An HTML page instead of an answer can be a proxy's error. So many in a row are taken as final.
_PAGES = 6
_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_RUN_AGAIN = "Run it again: files that are complete are not fetched again"


class _Fault(Exception):
    """A temporary fault; the text describes it.

    Attributes
    ----------
    delay : float or None
        The pause in seconds that the server asks for.
    is_quota : bool
        Whether a quota was exceeded, which does not count as a fault.
    verdict : MyTrackerError or None
        What to raise if the fault repeats, instead of a general error.
    """

    def __init__(
        self,
        message: str,
        delay: float | None = None,
        *,
        is_quota: bool = False,
        verdict: MyTrackerError | None = None,
    ) -> None:
        super().__init__(message)
        self.delay = delay
        self.is_quota = is_quota
        self.verdict = verdict


def _failed(error: NoResponse, link: Link, name: str) -> _Fault:
    """The fault of a request without a response; its text omits the link, which can be secret.

    Raises
    ------
    FileError
        If a retry can't help.
    """
    from urllib3.exceptions import NewConnectionError

    if isinstance(error.error, ValueError):  # errors of requests about the URL are such, too
        raise _no_address(link, name)
    if not error.may_pass:
        raise FileError(
            f"{name}: could not be fetched ({printable(error.kind)}). {error.hint}. {_RUN_AGAIN}",
            file=name,
        )
    cause = error.error.args[0] if error.error and error.error.args else None
    if not (
        isinstance(getattr(cause, "reason", None), NewConnectionError)
        and is_local(prepared_url(link.url))
    ):
        return _Fault(error.kind)
    # a stopped sandbox does not return at the same port
    verdict = FileError(
        f"{name}: no server at {_host(link.url)}: the sandbox has stopped, and its exports are "
        "gone. Start a sandbox and create the export again",
        file=name,
    )
    return _Fault(error.kind, verdict=verdict)


def _no_address(link: Link, name: str) -> FileError:
    return FileError(
        f"{name}: its link is not a valid URL "
        f"({printable(link.url)[:_SHOWN]!r}). Contact MyTracker's support",
        file=name,
    )


def _one_header(sign: Callable[[str], Mapping[str, str]] | None) -> Sign:
    """Sends exactly this Authorization header, or none: not that of a session or a .netrc file."""

    def set_header(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.pop("Authorization", None)
        if sign:
            request.headers.update(sign(request.url or ""))
        return request

    return set_header


@dataclass
class Fetcher:
    """Fetches files over HTTP.

    Attributes
    ----------
    transport : Transport
        Sends the requests.
    sign : callable
        Takes a prepared URL, returns the signed header (`AuthHMAC.header`).
    turn : callable, optional
        Takes a prepared URL, returns the seconds until it may be requested (`Api.turn`).
    retry_policy : RetryPolicy
        How many faults in a row, without progress, are retried, and for how long.
    on_wait : callable, optional
        Called with each `WaitEvent` before the wait begins, on the thread that waits.
    service : str
        The address of the service that named the links. Unless it is on this machine, they must not
        point to this machine: a signed request would go to whatever listens there.
    """

    transport: Transport
    sign: Callable[[str], Mapping[str, str]] = field(repr=False)
    turn: Callable[[str], float] | None = None
    retry_policy: RetryPolicy = FILE_RETRY
    on_wait: OnWait | None = None
    service: str = ""

    def stream(
        self, link: Link, name: str, on_bytes: Callable[[int, int | None], None] | None = None
    ) -> Generator[bytes, None, None]:
        """Fetch the bytes of a file; after a fault, resume where it broke.

        If the server can't resume, the file is fetched from the start and the bytes that were
        already yielded are skipped.

        Parameters
        ----------
        link : Link
            The file's link.
        name : str
            The file's name in errors.
        on_bytes : callable, optional
            Called with the bytes done and the bytes in total (None while not known).

        Yields
        ------
        bytes
            The file as the service stores it, compressed.

        Raises
        ------
        LinkExpired
            If the service has deleted the file.
        AccessDenied
            If it refuses the signature.
        CorruptFile
            If the file changed between two requests for it.
        FileError
            If the faults continue, or the link may not be requested.
        """
        position = _Position(name)
        retries = Retries(self.retry_policy)
        before = 0
        while True:
            try:
                with self._response(link, position) as (response, deadline):
                    for block in position.blocks(response, deadline):
                        if on_bytes:
                            on_bytes(position.done, position.size)
                        yield block
                _log.info("downloaded %s: %s bytes", name, f"{position.done:,}")
                return
            except ValueError:
                raise _no_address(link, name) from None
            except NoResponse as error:
                fault = _failed(error, link, name)
            except _Fault as error:
                fault = error
            if position.done - before >= _LEAST:
                retries.reset()
                before = position.done
            delay = retries.pause(fault.delay, is_quota=fault.is_quota)
            if fault.verdict and retries.faults >= _PAGES:
                raise fault.verdict
            if delay is None:
                raise FileError(
                    f"{name}: could not be fetched, {retries.tries} tries in a row failed at byte "
                    f"{position.done:,} ({printable(fault)}). {_RUN_AGAIN}",
                    file=name,
                )
            kind = WaitKind.QUOTA if fault.is_quota else WaitKind.FAULT
            text = f"retrying in {delay:.0f} s: {name}: {printable(fault)}"
            self._wait(WaitEvent(kind, delay, text))

    def _wait(self, event: WaitEvent) -> None:
        log_wait(event)
        if self.on_wait:
            self.on_wait(event)
        pause_or_stop(event.seconds)

    @contextmanager
    def _response(
        self, link: Link, position: _Position
    ) -> Iterator[tuple[requests.Response, Deadline]]:
        """A response with the bytes from `position` on, or from the start; when it has to end."""
        url = prepared_url(link.url)
        origin = _origin(url)
        sign: Callable[[str], Mapping[str, str]] | None = self.sign
        for _ in range(_REDIRECTS + 1):
            self._check_address(url, position.name)
            while self.turn and (delay := self.turn(url)) > 0:
                self._wait(WaitEvent(WaitKind.QUOTA, delay, limit_text(delay, "file")))
            deadline = Deadline(_SILENCE)
            with self.transport.open(
                "GET",
                url,
                _one_header(sign),
                headers={"User-Agent": USER_AGENT, **position.headers()},
                silence=_SILENCE,
                deadline=deadline,
                only_outside=self._is_outside(url),
            ) as response:
                if not response.is_redirect:
                    _check_status(response, link, position.name)
                    yield response, deadline
                    return
                url = prepared_url(urljoin(url, response.headers["Location"]))
            if _origin(url) != origin:
                # the signature is for the link's own host, and must not go to another
                sign = None
        raise FileError(
            f"{position.name}: more than {_REDIRECTS} redirects. {_RUN_AGAIN}", file=position.name
        )

    def _is_outside(self, url: str) -> bool:
        """Whether a URL has to lead away from this machine.

        Where the name of the service itself leads here, through a tunnel, its links may.
        """
        is_own = urlsplit(url).hostname == urlsplit(self.service).hostname
        return not (is_local(self.service) or is_own)

    def _check_address(self, url: str, name: str) -> None:
        """Raise a `FileError` if no request may be sent to `url`."""
        if urlsplit(url).scheme != "https" and not is_local(url):
            what = f"is not https ({_host(url)})"
        elif self._is_outside(url) and _names_inside(urlsplit(url).hostname or ""):
            what = f"points to this machine or its network ({_host(url)})"
        else:
            return
        raise FileError(
            f"{name}: its link {what}; nothing was sent. Contact MyTracker's support",
            file=name,
        )


class _Position:
    """How many bytes of a file were received, and what identifies its version."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.done = 0
        self.size: int | None = None
        self._version = ""

    def headers(self) -> dict[str, str]:
        # no further compression, with which lengths and ranges would not be those of the file
        headers = {"Accept-Encoding": "identity"}
        if self.done:
            headers["Range"] = f"bytes={self.done}-"
            if self._version:
                headers["If-Range"] = self._version
        return headers

    def blocks(
        self, response: requests.Response, deadline: Deadline
    ) -> Generator[bytes, None, None]:
        """The bytes of a response that were not received before."""
        from urllib3.exceptions import HTTPError

        skip = self._skip(response)
        try:
            # decode_content=False: the file stays compressed, whatever Content-Encoding says
            stream = response.raw.stream(_BLOCK, decode_content=False)
            for block in _with_progress(stream, deadline):
                new = block[skip:]
                skip = max(0, skip - len(block))
                self.done += len(new)
                if new:
                    yield new
        except (HTTPError, OSError):
            raise self._cut() from None
        if self.size is not None and self.done < self.size:
            raise self._cut()

    def _cut(self) -> _Fault:
        size = f" of {self.size:,}" if self.size is not None else ""
        return _Fault(f"the connection broke after {self.done:,}{size} bytes")

    def _skip(self, response: requests.Response) -> int:
        """How many bytes at the start of a response were already received."""
        size = _integer(response.headers.get("Content-Length"))
        skip = self.done
        if response.status_code == HTTPStatus.PARTIAL_CONTENT:
            match = re.fullmatch(
                r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip()
            )
            if not match or int(match[1]) > self.done:
                raise _Fault("the server sent a different range of the file than requested")
            skip = self.done - int(match[1])
            size = _integer(match[2])
        version = response.headers.get("ETag", "")
        if version.startswith("W/"):
            version = response.headers.get("Last-Modified", "")
        if self.done and (
            (self._version and version and version != self._version)
            or (self.size is not None and size is not None and size != self.size)
        ):
            raise _changed(self.name)
        self._version = version or self._version
        self.size = size if size is not None else self.size
        return skip


def _with_progress(blocks: Iterator[bytes], deadline: Deadline) -> Iterator[bytes]:
    """The blocks, unless too little arrives; the time in which they are used does not count.

    The deadline is for a block that does not become full, the check for many small ones.
    """
    too_slow = f"fewer than {_LEAST:,} bytes arrived in {_PERIOD:.0f} s"
    left, received = _PERIOD, 0
    while True:
        deadline.move(left, too_slow)
        began = clock.monotonic()
        block = next(blocks, b"")
        left -= clock.monotonic() - began
        deadline.move(math.inf)
        if not block:
            return
        yield block
        received += len(block)
        if received >= _LEAST:
            left, received = _PERIOD, 0
        elif left <= 0:
            raise _Fault(too_slow)


def _changed(name: str) -> CorruptFile:
    return CorruptFile(f"{name}: the file changed during the download. {_RUN_AGAIN}", file=name)


def _check_status(response: requests.Response, link: Link, name: str) -> None:
    """Raise the error or the fault that a response's HTTP status means."""
    status = response.status_code
    if status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        return
    body = _refusal_of(response)
    words = printable(body[:_SHOWN].decode("utf-8", "replace"))
    reason = f"HTTP {status} {response.reason or ''}".strip() + (f", {words!r}" if words else "")
    is_past = link.expires is not None and link.expires <= clock.now()
    verdict: MyTrackerError | None = None
    if status in _GONE or (status in _REFUSED and is_past):
        when = f" (its link expired at {link.expires:%Y-%m-%d %H:%M} UTC)" if is_past else ""
        verdict = LinkExpired(
            f"{name}: the service has deleted the file{when}; HTTP {status}. "
            "Create the export again",
            file=name,
        )
    elif status in _REFUSED:
        verdict = AccessDenied(
            f"{name}: the service denies access to the file ({reason}). "
            "Check the API User ID, the secret key and the export permission",
            status=status,
            detail=words,
        )
    if verdict:
        is_page = "html" in response.headers.get("Content-Type", "").lower()
        raise _Fault(reason, verdict=verdict) if is_page and not is_past else verdict
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        error = refusal(response, body)
        raise _Fault(reason, getattr(error, "retry_after", None), is_quota=True)
    if is_retryable_status(status):
        raise _Fault(reason, asked_pause([], response.headers.get("Retry-After")))
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise _changed(name)
    raise FileError(f"{name}: could not be fetched ({reason}). {_RUN_AGAIN}", file=name)


def _refusal_of(response: requests.Response) -> bytes:
    """The body of an error response; b"" if it can't be read."""
    from urllib3.exceptions import HTTPError

    try:
        page: bytes = response.raw.read(_LONGEST_REFUSAL, decode_content=False)
    except (HTTPError, OSError):  # the status is enough
        return b""
    return page


def pause(faults: int) -> None:
    """Wait after the `faults`-th fault in a row; the wait grows with `faults`."""
    pause_or_stop(FILE_RETRY.delay(faults))


def _names_inside(host: str) -> bool:
    """Whether a host's name is one of this machine, or of what only this machine can reach."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    with suppress(OSError, ValueError):
        # other notations that the system accepts, such as 127.1 and 0x7f000001
        name = socket.inet_ntoa(socket.inet_aton(name))
    return is_inside(name)


def _integer(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def prepared_url(url: str) -> str:
    """`url` as requests will send it.

    Checks must use this form: with a backslash before an ``@``, `urlsplit` finds another host in
    the original URL than the one that requests connects to.

    Raises
    ------
    ValueError
        If it is not a valid URL.
    """
    return requests.Request("GET", url).prepare().url or url


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _host(url: str) -> str:
    parts = urlsplit(url)
    return printable(f"{parts.scheme}://{parts.hostname}")
