"""Sending one HTTP request, and knowing what became of it.

`requests` does the work, with the session of the user or one of our own. Added here is what a
create and a long download need beyond it:

- whether anything was sent, and whether an answer arrived, whatever a hook, an adapter or a mock
  of the user's raises on the way;
- a deadline for the whole answer and not for the silence between two bytes of it, and an end to a
  request that waits when its work is stopped;
- connections that belong to one process: after a fork two would read each other's answers;
- no proxy between us and this machine, no answer out of a cache, and where it matters no
  connection to this machine under the name of another.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import sys
import threading
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cache, partial
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from mytracker_nb.errors import MyTrackerError, printable
from mytracker_nb.locks import fork_safe
from mytracker_nb.service import stopping
from mytracker_nb.service.credentials import is_local

__all__ = ["NoResponse", "Sign", "Transport", "is_inside", "read_body"]

_CONNECT = 10.0  # seconds
_LOOK = 1.0  # seconds between two looks whether a connection is made
_BLOCK = 1 << 16
_LONGEST_REASON = 200  # characters
# without a space: `requests_cache` takes it apart at the commas, and sends the parts as they are
_NO_CACHE = {"Cache-Control": "no-cache,no-store"}

Sign = Callable[[requests.PreparedRequest], requests.PreparedRequest]


class NoResponse(Exception):
    """A request that no answer came to.

    Attributes
    ----------
    reason : str
        What happened; it may hold the URL where `error` is none of the usual ones.
    kind : str
        What happened, in one word, without the URL.
    was_sent : bool
        Whether the request may have reached the service.
    may_pass : bool
        Whether the same request may get an answer a little later.
    error : Exception or None
        What was raised.
    hint : str
        What to check.
    """

    def __init__(
        self,
        reason: str,
        kind: str = "",
        *,
        was_sent: bool,
        may_pass: bool = True,
        error: Exception | None = None,
        hint: str = "Check the network, or a proxy's settings in the environment (HTTPS_PROXY)",
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind or reason
        self.was_sent = was_sent
        self.may_pass = may_pass
        self.error = error
        self.hint = hint


class Transport:
    """Sends requests with one session; to be used by any number of threads and processes.

    Parameters
    ----------
    session : requests.Session, optional
        The user's own, for proxies, certificates and adapters.
    """

    def __init__(self, session: requests.Session | None = None) -> None:
        self.session = session or requests.Session()
        _sessions.add(self.session)

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        sign: Sign,
        *,
        headers: dict[str, str],
        silence: float,
        deadline: float,
        deadline_of_headers: bool = False,
        only_outside: bool = False,
        on_send: Callable[[], None] | None = None,
        **content: Any,
    ) -> Iterator[requests.Response]:
        """Send a request; a context manager that gives the answer, whose body is yet to be read.

        Redirects are not followed: a signature holds for one URL.

        Parameters
        ----------
        method, url : str
            What to send, and where to.
        sign : callable
            Signs the prepared request, or takes the ``Authorization`` of others away.
        headers : dict
            Further headers.
        silence : float
            The most seconds between two pieces of the answer.
        deadline : float
            The most seconds for all of it, from now to the end of the block.
        deadline_of_headers : bool
            Whether the deadline ends with the headers of the answer.
        only_outside : bool
            Whether to send it nowhere inside of this machine (`is_inside`), whatever address its
            host's name stands for. A proxy may be there.
        on_send : callable, optional
            Called right before the first byte is sent; what it raises keeps it from being sent.
        **content
            ``params`` and ``data``, as `requests.request` has them.

        Raises
        ------
        NoResponse
            If no answer came, or it broke off or was late while the block read it.
        Stopped
            If the work that this belongs to was stopped.
        """
        call = _Call(sign, on_send, only_outside=only_outside)
        try:
            with call.watched(deadline):
                response = self._send(call, method, url, headers, silence, content)
                if deadline_of_headers:
                    call.no_deadline()
                with closing(response):
                    yield response
        except NoResponse:
            raise
        except Exception as error:
            if call.end:
                raise call.ended(error) from None
            if _is_of_the_connection(error):
                raise _no_response(error, call) from None
            raise
        if call.end:
            # where its length was not known a body that was cut off looks whole
            raise call.ended(None)

    def _send(
        self,
        call: _Call,
        method: str,
        url: str,
        headers: dict[str, str],
        silence: float,
        content: dict[str, Any],
    ) -> requests.Response:
        session = self.session
        connect = min(_CONNECT, silence)
        proxies: Any = _no_proxy(url) if is_local(url) else {}
        # what the session says of certificates would be passed over for REQUESTS_CA_BUNDLE
        verify = None if session.verify is True else session.verify
        try:
            _make_endable(session, url, proxies)
            with call.sending():
                response = session.request(
                    method,
                    url,
                    auth=call,
                    headers={**_NO_CACHE, **headers},
                    timeout=(connect, silence),
                    allow_redirects=False,
                    stream=True,
                    proxies=proxies,
                    verify=verify,
                    **content,
                )
        except (MyTrackerError, NoResponse):
            raise
        except Exception as error:
            if call.end:
                raise
            # an answer is an answer, whatever a hook of the session makes of it
            answered = getattr(error, "response", None) if call.response is None else call.response
            if not isinstance(answered, requests.Response):
                raise _no_response(error, call) from None
            response = answered
        if getattr(response, "from_cache", False):
            response.close()
            raise NoResponse(
                "the session answered out of its cache",
                was_sent=False,
                may_pass=False,
                hint="Give the client a session that does not cache",
            )
        return response


class _Call(AuthBase):
    """One request on its way: signed, watched, and to be ended at any time.

    Attributes
    ----------
    sends : int
        How often it may have been sent: more than once where the session's adapter retries.
    response : requests.Response or None
        The answer, from before the session's hooks see it.
    end : str
        Why it was ended; ``""`` if it was not.
    """

    def __init__(
        self, sign: Sign, on_send: Callable[[], None] | None, *, only_outside: bool = False
    ) -> None:
        self._sign = sign
        self._on_send = on_send
        self._only_outside = only_outside
        self._connection: Any = None
        self._connecting: Future[Any] | None = None
        self.sends = 0
        self.response: requests.Response | None = None
        self.end = ""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request = self._sign(request)
        authorization = request.headers.get("Authorization")
        if authorization:
            request.headers["Authorization"] = _Watched(authorization, self)
        # signed before the session's hooks are added, so that this one comes first
        register: Any = request.register_hook
        register("response", self._answered)
        return request

    def _answered(self, response: requests.Response, **options: Any) -> None:
        self.response = response

    def about_to_send(self) -> None:
        """Take note that the signed header is being written out."""
        if not self.sends and self._on_send:
            self._on_send()
        self.sends += 1

    @contextmanager
    def watched(self, deadline: float) -> Iterator[None]:
        """End it at the deadline, or when the work of this thread is stopped."""
        stop = stopping.current()
        with ExitStack() as stack:
            if stop is not None:
                stack.enter_context(stop.calling(partial(self.abort, "stopped")))
            late = f"no complete response within {deadline:.0f} s"
            self._timer = threading.Timer(deadline, self.abort, [late])
            self._timer.daemon = True
            self._timer.start()
            stack.callback(self.no_deadline)
            stack.callback(self._release)
            yield

    def no_deadline(self) -> None:
        """Let it take as long as it does."""
        self._timer.cancel()

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Let the connections that this thread uses know whose request they carry."""
        _local.call = self
        try:
            yield
        finally:
            _local.call = None

    def connected(self, connection: Any, connect: Callable[[], Any]) -> Any:
        """The socket that `connect` makes, on another thread.

        The system does not break off the search for a host's address, nor a connection that is
        being made, for a deadline or an interrupt. So nobody waits for them who can be needed
        elsewhere; what is connected too late is closed.
        """
        from urllib3.exceptions import NewConnectionError

        future: Future[Any] = Future()

        def work() -> None:
            try:
                made = connect()
            except BaseException as error:
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)
            else:
                if future.set_running_or_notify_cancel():
                    future.set_result(made)
                else:
                    made.close()

        with _lock:
            self._connecting = future
        if self.end:
            future.cancel()
        threading.Thread(target=work, name="mytracker-connect", daemon=True).start()
        try:
            while not future.done():
                with suppress(FutureTimeout):  # Windows does not break off a wait, either
                    future.exception(_LOOK)
            return future.result()
        except CancelledError:
            raise NewConnectionError(connection, self.end) from None
        finally:
            future.cancel()  # an interrupt

    def attach(self, connection: Any) -> None:
        """It goes over this connection.

        Raises
        ------
        NoResponse
            If it may not, as that ends inside of this machine.
        """
        if self._only_outside and connection.is_inside:
            raise NoResponse(
                "its address is that of this machine or its network",
                was_sent=False,
                may_pass=False,
                hint="Nothing was sent. Ask MyTracker's support about it",
            )
        with _lock:
            self._connection, connection.carries = connection, self
            if self.end:
                connection.cut()

    def abort(self, why: str) -> None:
        """End it, on whatever it waits."""
        with _lock:
            self.end = self.end or why
            if self._connecting is not None:
                self._connecting.cancel()
            if self._connection is not None and self._connection.carries is self:
                self._connection.cut()

    def _release(self) -> None:
        with _lock:
            if self._connection is not None and self._connection.carries is self:
                self._connection.carries = None
                self._connection.drop_if_closed()
            self._connection = None

    def ended(self, error: Exception | None) -> Exception:
        """The exception for the end that it came to."""
        if self.end == "stopped":
            return stopping.Stopped("stopped")
        return NoResponse(self.end, was_sent=self.may_be_sent(error), error=error)

    def may_be_sent(self, error: Exception | None) -> bool:
        """Whether any of it may have reached the service.

        What carries no signature makes nothing, and nobody can send the signature who has not read
        it. Where the header is written before the connection is made (plain HTTP), an error of
        making it says that nothing was sent.
        """
        if sys.platform == "emscripten":  # it is the browser that reads headers there
            return True
        return self.sends > 1 or (self.sends == 1 and not _never_connected(error))


class _Watched(str):
    """The text of a header that says when it is read, as whoever sends it has to."""

    _call: _Call

    def __new__(cls, text: str, call: _Call) -> _Watched:
        watched = super().__new__(cls, text)
        watched._call = call
        return watched

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        self._call.about_to_send()
        return super().encode(encoding, errors)

    def __str__(self) -> str:
        self._call.about_to_send()
        return super().__str__()

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __add__(self, other: str) -> str:
        return str(self) + other

    def __radd__(self, other: str) -> str:
        return other + str(self)

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        return str, (str(self),)


# One lock for all calls, held for moments: which request a connection carries is known to both.
_lock = fork_safe(threading.Lock())
_local = threading.local()
_sessions: weakref.WeakSet[requests.Session] = weakref.WeakSet()
_left_behind: list[Any] = []


class _Endable:
    """What a connection of urllib3 gets in addition: another thread can cut it.

    It holds a second handle of the socket: what urllib3 has changes with TLS and with proxies, and
    is in use by the thread that waits.
    """

    carries: _Call | None = None
    is_inside = False
    _handle: socket.socket | None = None

    def _new_conn(self) -> Any:
        connect: Callable[[], Any] = super()._new_conn  # type: ignore[misc]
        call: _Call | None = getattr(_local, "call", None)
        made = connect() if call is None else call.connected(self, connect)
        self._drop()
        with suppress(OSError):
            self._handle = socket.fromfd(made.fileno(), made.family, made.type)
            self.is_inside = not self._has_proxy and is_inside(made.getpeername()[0])
        try:
            self._attach()
        except BaseException:
            made.close()
            raise
        return made

    @property
    def _has_proxy(self) -> bool:
        return bool(getattr(self, "proxy", None) or getattr(self, "_socks_options", None))

    def putrequest(self, *args: Any, **options: Any) -> Any:
        self._attach()
        return super().putrequest(*args, **options)  # type: ignore[misc]

    def _attach(self) -> None:
        call: _Call | None = getattr(_local, "call", None)
        if call is not None:
            call.attach(self)

    def cut(self) -> None:
        """End all that anybody waits for on it."""
        if self._handle is not None:
            with suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        super().close()  # type: ignore[misc]
        # http.client closes before the body is read where the server announces that it will
        if self.carries is None:
            self._drop()

    def drop_if_closed(self) -> None:
        """Let go of the socket, if nothing but this handle holds it."""
        if getattr(self, "sock", None) is None:
            self._drop()

    def _drop(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()


@cache
def _endable_pool(pool: type) -> type:
    """A pool class of urllib3 whose connections are `_Endable`."""
    connection: type = pool.ConnectionCls  # type: ignore[attr-defined]
    if issubclass(connection, _Endable):
        return pool
    endable = type(connection.__name__, (_Endable, connection), {})
    return type(pool.__name__, (pool,), {"ConnectionCls": endable})


def _make_endable(session: requests.Session, url: str, proxies: Any) -> None:
    """See to it that the session's connections to `url` can be cut, where urllib3 makes them."""
    adapter = session.get_adapter(url)
    if not isinstance(adapter, HTTPAdapter):
        return
    utils: Any = requests.utils
    settings = session.merge_environment_settings(url, dict(proxies), None, None, None)
    proxy = utils.select_proxy(url, settings["proxies"])
    manager: Any = adapter.poolmanager
    if proxy:
        with suppress(Exception):  # what is wrong with it shows when it is used
            manager = adapter.proxy_manager_for(utils.prepend_scheme_if_needed(proxy, "http"))
    with _lock:
        now = manager.pool_classes_by_scheme
        endable = {scheme: _endable_pool(pool) for scheme, pool in now.items()}
        if endable != now:
            manager.pool_classes_by_scheme = endable
            manager.clear()


def is_inside(address: str) -> bool:
    """Whether an IP address is that of this machine, or of what only it can reach."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])  # without the zone of an IPv6 address
    except ValueError:
        return False
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip.is_loopback or ip.is_link_local or ip.is_unspecified


def _no_proxy(url: str) -> dict[str, None]:
    """Proxies for a URL of this machine: none, whatever session and environment say."""
    parts = urlsplit(url)
    names = (parts.scheme, "all")
    return dict.fromkeys([*names, *(f"{name}://{parts.hostname}" for name in names)])


def _after_fork() -> None:
    """Give a child process connections of its own.

    Those of its parent are left as they are, not closed: a lock of theirs may have been held at
    the moment of the fork, by a thread that the child does not have.
    """
    global _local
    _local = threading.local()
    for session in list(_sessions):
        with suppress(Exception):  # a jar of the user's own, which has other locks
            session.cookies = session.cookies.copy()
        for adapter in session.adapters.values():
            if isinstance(adapter, HTTPAdapter):
                _left_behind.append((adapter.poolmanager, adapter.proxy_manager))
                state: Any = adapter
                state.proxy_manager = {}
                state.init_poolmanager(
                    state._pool_connections, state._pool_maxsize, block=state._pool_block
                )


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _is_of_the_connection(error: Exception) -> bool:
    from urllib3.exceptions import HTTPError

    return isinstance(error, (requests.RequestException, HTTPError))


def _never_connected(error: Exception | None) -> bool:
    """Whether an error says that no connection was made."""
    from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError

    if isinstance(error, requests.ConnectTimeout):
        return True
    cause: Any = error.args[0] if error is not None and error.args else None
    if isinstance(cause, MaxRetryError):
        cause = cause.reason
    return isinstance(cause, (NewConnectionError, NameResolutionError))


def _no_response(error: Exception, call: _Call) -> NoResponse:
    """What an exception says of the request."""
    reason: Any = error.args[0] if error.args else error
    reason = getattr(reason, "reason", reason)
    kind = type(error).__name__
    text = f"{kind}, {printable(reason)[:_LONGEST_REASON]}"
    facts = partial(NoResponse, was_sent=call.may_be_sent(error), error=error)
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in _causes(error)):
        return facts(
            f"its certificate is not trusted: {text}",
            "its certificate is not trusted",
            may_pass=False,
            hint="Behind a company's firewall name its certificate authority in "
            "REQUESTS_CA_BUNDLE, or in session.verify",
        )
    if isinstance(error, requests.RequestException) and not isinstance(error, ValueError):
        return facts(text, kind)
    if isinstance(error, OSError) and not isinstance(error, ValueError) and not call.sends:
        # requests checks the paths of certificates before it connects
        return facts(
            text,
            kind,
            may_pass=False,
            hint="Check the paths in REQUESTS_CA_BUNDLE and session.verify",
        )
    return facts(
        text,
        kind,
        may_pass=_is_of_the_connection(error),
        hint="Check the session that the client was given",
    )


def _causes(error: Any) -> Iterator[BaseException]:
    """An exception, and those that it was made of."""
    while isinstance(error, BaseException):
        yield error
        error = (
            error.__cause__
            or getattr(error, "reason", None)
            or next((each for each in error.args if isinstance(each, BaseException)), None)
        )


def read_body(response: requests.Response, longest: int) -> bytes:
    """The body of an answer, decompressed; of one that is longer no more than a little.

    Parameters
    ----------
    response : requests.Response
        Whose body was not read yet, unless by a hook of the session.
    longest : int
        The most bytes that a body has, compressed or not.
    """
    held = getattr(response, "_content", None)
    if isinstance(held, bytes):
        return held
    blocks = _bounded(_raw(response), longest)
    if "Content-Encoding" in response.headers:
        # requests would decompress a block of any size at once
        blocks = _decompressed(blocks, longest)
    return b"".join(_bounded(blocks, longest))


def _raw(response: requests.Response) -> Iterable[bytes]:
    raw: Any = response.raw
    if hasattr(raw, "stream"):
        blocks: Iterable[bytes] = raw.stream(_BLOCK, decode_content=False)
        return blocks
    return iter(partial(raw.read, _BLOCK), b"")


def _bounded(blocks: Iterable[bytes], longest: int) -> Iterator[bytes]:
    length = 0
    for block in blocks:
        yield block
        length += len(block)
        if length > longest:
            return


def _decompressed(blocks: Iterable[bytes], longest: int) -> Iterator[bytes]:
    inner = zlib.decompressobj(32 + zlib.MAX_WBITS)  # gzip or deflate
    with suppress(zlib.error):  # what is neither is no answer of the service either
        for block in blocks:
            yield inner.decompress(block, longest)
            if inner.unconsumed_tail:
                return
