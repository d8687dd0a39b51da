"""Fetching one file over HTTP: signed, and through faults from where it broke.

Source: page ``download`` of the service's documentation.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

import requests

from mytracker_nb import clock
from mytracker_nb.download.gzip_csv import CorruptFile
from mytracker_nb.errors import AccessDenied, FileError, LinkExpired, MyTrackerError, printable
from mytracker_nb.service.api import USER_AGENT, Link, asked_pause, refusal
from mytracker_nb.service.credentials import is_local
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
from mytracker_nb.service.stopping import rest
from mytracker_nb.service.transport import NoResponse, Sign, Transport

__all__ = ["Fetcher", "as_sent", "pause"]

_log = logging.getLogger(__name__)

_BLOCK = 256 << 10
_SILENCE = 60.0  # seconds: for the headers of an answer, and between two pieces of a file
_REDIRECTS = 5
_LONGEST_REFUSAL = 64 << 10  # bytes of what a server says when it refuses
_FIRST_WORDS = 200  # of it that are shown
_PAGES = 6  # refusals in a row by an HTML page, which may be a proxy's, until they are believed
_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_AGAIN = "Run it again; what is complete is kept"


class _Fault(Exception):
    """Something that may pass; told in the words that an error would have.

    Attributes
    ----------
    delay : float or None
        Seconds that the server asks to wait.
    is_quota : bool
        Whether it refuses for now as too much was asked of it, which is no fault.
    verdict : MyTrackerError or None
        What it means if it does not pass soon.
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
    """What to make of a request that got no answer; the link may hold a secret, and is not shown.

    Raises
    ------
    FileError
        Where another try would get none either.
    """
    from urllib3.exceptions import NewConnectionError

    if isinstance(error.error, ValueError):  # those of requests too
        raise _no_address(link, name)
    if not error.may_pass:
        raise FileError(
            f"{name}: could not be fetched ({printable(error.kind)}). {error.hint}. {_AGAIN}",
            file=name,
        )
    cause = error.error.args[0] if error.error and error.error.args else None
    if not (
        isinstance(getattr(cause, "reason", None), NewConnectionError)
        and is_local(as_sent(link.url))
    ):
        return _Fault(error.kind)
    # a sandbox that has stopped does not come back at the same port
    verdict = FileError(
        f"{name}: nothing listens at {_host(link.url)} any more. The exports of a sandbox end with "
        "it: start one and create the export again",
        file=name,
    )
    return _Fault(error.kind, verdict=verdict)


def _no_address(link: Link, name: str) -> FileError:
    return FileError(
        f"{name}: its link is not an address that can be fetched "
        f"({printable(link.url)[:_FIRST_WORDS]!r}). Ask MyTracker's support about it",
        file=name,
    )


def _one_header(sign: Callable[[str], Mapping[str, str]] | None) -> Sign:
    """Send exactly this Authorization, or none: not that of a session or a .netrc file."""

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
        What sends requests.
    sign : callable
        Takes a URL as it will be sent, gives the signed header (`AuthHMAC.header`).
    turn : callable, optional
        Takes a URL as it will be sent, gives the seconds until it may be asked for (`Api.turn`).
    retry_policy : RetryPolicy
        How many faults in a row, without one byte of progress, are survived, and for how long.
    on_wait : callable, optional
        Called with each `WaitEvent` before the wait begins, by the thread that waits.
    service_is_local : bool
        Whether the service that named the links is on this machine. Links of one that is not may
        not point here: a signed request would go to whatever listens.
    """

    transport: Transport
    sign: Callable[[str], Mapping[str, str]] = field(repr=False)
    turn: Callable[[str], float] | None = None
    retry_policy: RetryPolicy = FILE_RETRY
    on_wait: OnWait | None = None
    service_is_local: bool = False

    def stream(
        self, link: Link, name: str, on_bytes: Callable[[int, int | None], None] | None = None
    ) -> Generator[bytes, None, None]:
        """The bytes of a file from the start, through faults.

        After a fault it goes on from where it broke; where the server cannot do that, what was
        had before is passed over.

        Parameters
        ----------
        link : Link
            The file as the service named it.
        name : str
            What it is called in errors.
        on_bytes : callable, optional
            Takes bytes done and bytes in all (None while not known).

        Raises
        ------
        LinkExpired
            If the service has deleted the file.
        AccessDenied
            If it refuses the signature.
        CorruptFile
            If the file changed on the way.
        FileError
            If faults do not pass.
        """
        place = _Position(name)
        retries = Retries(self.retry_policy)
        while True:
            before = place.done
            try:
                with self._answer(link, place) as response:
                    for block in place.blocks(response):
                        if on_bytes:
                            on_bytes(place.done, place.size)
                        yield block
                _log.info("downloaded %s: %s bytes", name, f"{place.done:,}")
                return
            except ValueError:
                raise _no_address(link, name) from None
            except NoResponse as error:
                fault = _failed(error, link, name)
            except _Fault as error:
                fault = error
            if place.done > before:
                retries.reset()
            delay = retries.pause(fault.delay, is_quota=fault.is_quota)
            if fault.verdict and retries.faults >= _PAGES:
                raise fault.verdict
            if delay is None:
                raise FileError(
                    f"{name}: could not be fetched, {retries.tries} tries in a row failed at byte "
                    f"{place.done:,} ({printable(fault)}). {_AGAIN}",
                    file=name,
                )
            kind = WaitKind.QUOTA if fault.is_quota else WaitKind.FAULT
            text = f"retrying in {delay:.0f} s: {name}: {printable(fault)}"
            self._wait(WaitEvent(kind, delay, text))

    def _wait(self, event: WaitEvent) -> None:
        log_wait(event)
        if self.on_wait:
            self.on_wait(event)
        rest(event.seconds)

    @contextmanager
    def _answer(self, link: Link, place: _Position) -> Iterator[requests.Response]:
        """An answer with the bytes from `place` on, or from the start."""
        url = as_sent(link.url)
        origin = _origin(url)
        sign: Callable[[str], Mapping[str, str]] | None = self.sign
        for _ in range(_REDIRECTS + 1):
            self._check_address(url, place.name)
            while self.turn and (delay := self.turn(url)) > 0:
                self._wait(WaitEvent(WaitKind.QUOTA, delay, limit_text(delay, "file")))
            with self.transport.open(
                "GET",
                url,
                _one_header(sign),
                headers={"User-Agent": USER_AGENT, **place.headers()},
                silence=_SILENCE,
                deadline=_SILENCE,
                deadline_of_headers=True,
            ) as response:
                if not response.is_redirect:
                    _check_status(response, link, place.name)
                    yield response
                    return
                url = as_sent(urljoin(url, response.headers["Location"]))
            if _origin(url) != origin:
                # A signature is for the host that the service named, and for none it points to.
                sign = None
        raise FileError(
            f"{place.name}: more than {_REDIRECTS} redirects. {_AGAIN}", file=place.name
        )

    def _check_address(self, url: str, name: str) -> None:
        """Raise if no request may be sent there."""
        if urlsplit(url).scheme != "https" and not is_local(url):
            what = f"is not https ({_host(url)})"
        elif not self.service_is_local and _is_inside(urlsplit(url).hostname or ""):
            what = f"points to this machine or its network ({_host(url)})"
        else:
            return
        raise FileError(
            f"{name}: its link {what}; nothing was sent. Ask MyTracker's support about it",
            file=name,
        )


class _Position:
    """How far a file has come, and what is known of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.done = 0
        self.size: int | None = None
        self._version = ""

    def headers(self) -> dict[str, str]:
        # the bytes as they are: a .gz file packed once more would have another length
        headers = {"Accept-Encoding": "identity"}
        if self.done:
            headers["Range"] = f"bytes={self.done}-"
            if self._version:
                headers["If-Range"] = self._version
        return headers

    def blocks(self, response: requests.Response) -> Generator[bytes, None, None]:
        """What is new in an answer."""
        from urllib3.exceptions import HTTPError

        skip = self._skip(response)
        try:
            # decode_content=False: not unpacked, whatever Content-Encoding says
            for block in response.raw.stream(_BLOCK, decode_content=False):
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
        """How many bytes of an answer are had already."""
        size = _integer(response.headers.get("Content-Length"))
        skip = self.done
        if response.status_code == HTTPStatus.PARTIAL_CONTENT:
            match = re.fullmatch(
                r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip()
            )
            if not match or int(match[1]) > self.done:
                raise _Fault("the server sent another part of the file than was asked for")
            skip = self.done - int(match[1])
            size = _integer(match[2])
        version = response.headers.get("ETag", "")
        if version.startswith("W/"):
            version = response.headers.get("Last-Modified", "")
        if self.done and (
            (self._version and version and version != self._version)
            or (self.size is not None and size is not None and size != self.size)
        ):
            raise CorruptFile(f"{self.name}: the file changed on the way. {_AGAIN}", file=self.name)
        self._version = version or self._version
        self.size = size if size is not None else self.size
        return skip


def _check_status(response: requests.Response, link: Link, name: str) -> None:
    status = response.status_code
    if status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        return
    body = _refusal_of(response)
    words = printable(body[:_FIRST_WORDS].decode("utf-8", "replace"))
    told = f"HTTP {status} {response.reason or ''}".strip() + (f", {words!r}" if words else "")
    is_past = link.expires is not None and link.expires <= clock.now()
    verdict: MyTrackerError | None = None
    if status in _GONE or (status in _REFUSED and is_past):
        when = f" (its link was good until {link.expires:%Y-%m-%d %H:%M} UTC)" if is_past else ""
        verdict = LinkExpired(
            f"{name}: the service has deleted the file{when}; HTTP {status}. "
            "Make the export once more",
            file=name,
        )
    elif status in _REFUSED:
        verdict = AccessDenied(
            f"{name}: the service refuses to hand out the file ({told}). "
            "Check the API User ID, the secret key and the export permission",
            status=status,
            detail=words,
        )
    if verdict:
        is_page = "html" in response.headers.get("Content-Type", "").lower()
        raise _Fault(told, verdict=verdict) if is_page and not is_past else verdict
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        error = refusal(response, body)
        raise _Fault(told, getattr(error, "retry_after", None), is_quota=True)
    if is_retryable_status(status):
        raise _Fault(told, asked_pause([], response.headers.get("Retry-After")))
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise CorruptFile(f"{name}: the file changed on the way. {_AGAIN}", file=name)
    raise FileError(f"{name}: could not be fetched ({told}). {_AGAIN}", file=name)


def _refusal_of(response: requests.Response) -> bytes:
    """What a server says when it refuses."""
    from urllib3.exceptions import HTTPError

    try:
        page: bytes = response.raw.read(_LONGEST_REFUSAL, decode_content=False)
    except (HTTPError, OSError):  # one whose body breaks off is a refusal all the same
        return b""
    return page


def pause(faults: int) -> None:
    """Wait after the `faults`-th fault in a row, longer each time."""
    rest(FILE_RETRY.delay(faults))


def _is_inside(host: str) -> bool:
    """Whether a host's name is that of this machine, or of one that only it can reach."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        try:  # 127.1, 0x7f000001: written in other ways, as the system reads them
            address = ipaddress.ip_address(socket.inet_aton(name))
        except (OSError, ValueError):
            return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_link_local or address.is_unspecified


def _integer(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def as_sent(url: str) -> str:
    """`url` in the form that requests sends it in.

    Only that may be judged: where a backslash stands before an ``@``, requests and `urlsplit` each
    see another host.

    Raises
    ------
    ValueError
        If it is no address that can be fetched.
    """
    return requests.Request("GET", url).prepare().url or url


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _host(url: str) -> str:
    parts = urlsplit(url)
    return printable(f"{parts.scheme}://{parts.hostname}")
