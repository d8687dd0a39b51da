"""`Transport`: sends one HTTP request, and knows whether it was sent and answered.

`requests` sends it, with the user's session or one of our own. A create and a long download need
more than `requests` has:

- whether a request was sent and a response arrived, even if a hook, an adapter or a mock of the
  user's session raises;
- a deadline for the complete response, not only for the time between two bytes, and the end of a
  waiting request when its work is stopped;
- connections that belong to one process: after a fork, two processes would read each other's
  responses;
- no proxy for requests to this machine, no cached responses, and, if requested, no connection to
  this machine by the name of another host.

How a request is aborted. `_Call` goes through `requests` as its ``auth``, so it learns when the
signed header is written (`_Watched`). Connections of urllib3 get a second handle of their socket
(`_Endable`); another thread shuts it down, which ends any wait on the connection.
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

from mytracker_nb.endpoints import is_local
from mytracker_nb.errors import MyTrackerError, printable
from mytracker_nb.locks import fork_safe
from mytracker_nb.service import stopping
from mytracker_nb.service.deadline import Deadline

__all__ = ["NoResponse", "Sign", "Transport", "is_inside", "read_body"]

_CONNECT = 10.0  # seconds
_CHECK = 1.0  # seconds between two checks whether a connection is made
_BLOCK = 1 << 16
_LONGEST_REASON = 200  # characters
# without a space: `requests_cache` splits it at the comma and does not strip the parts
_NO_CACHE = {"Cache-Control": "no-cache,no-store"}

Sign = Callable[[requests.PreparedRequest], requests.PreparedRequest]


class NoResponse(Exception):
    """A request without a response.

    Attributes
    ----------
    reason : str
        The reason; if `error` is an unusual one, the text can contain the URL.
    kind : str
        The reason in one word, without the URL.
    was_sent : bool
        Whether the request may have reached the service.
    may_pass : bool
        Whether a retry can succeed.
    error : Exception or None
        The exception.
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
    """Sends requests with one session; any number of threads and forked processes can use it.

    Parameters
    ----------
    session : requests.Session, optional
        The user's session, with proxies, certificates and adapters.
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
        deadline: Deadline,
        only_outside: bool = False,
        on_send: Callable[[], None] | None = None,
        **content: Any,
    ) -> Iterator[requests.Response]:
        """Send a request; a context manager that yields the response, with its body unread.

        Redirects are not followed, since a signature is for one URL.

        Parameters
        ----------
        method, url : str
            The HTTP method and the URL.
        sign : callable
            Signs the prepared request, or removes the ``Authorization`` header of a session.
        headers : dict
            Further headers.
        silence : float
            The longest time in seconds between two reads of the response.
        deadline : Deadline
            When the ``with`` block has to end.
        only_outside : bool
            Whether to refuse connections to this machine (`is_inside`), to whatever address the
            host's name resolves. A proxy on this machine is allowed.
        on_send : callable, optional
            Called right before the first byte is sent; an exception from it prevents that.
        **content
            ``params`` and ``data``, as for `requests.request`.

        Yields
        ------
        requests.Response
            The response.

        Raises
        ------
        NoResponse
            If no response arrived, or it broke off or was too late while the block read it.
        Stopped
            If the thread's current `Stop` is set.
        """
        call = _Call(sign, on_send, only_outside=only_outside)
        try:
            with call.watched(deadline):
                response = self._send(call, method, url, headers, silence, content)
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
        except BaseException:
            # again: it may be the end of the request that was interrupted
            call.release(close=True)
            raise
        if call.end:
            # a body of unknown length looks complete if the connection was shut down
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
        # pass the session's setting, over which requests would prefer REQUESTS_CA_BUNDLE
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
            # if a response arrived, use it, even if a hook of the session has raised
            answered = getattr(error, "response", None) if call.response is None else call.response
            if not isinstance(answered, requests.Response):
                raise _no_response(error, call) from None
            response = answered
        if getattr(response, "from_cache", False):
            response.close()
            raise NoResponse(
                "the session returned a cached response",
                was_sent=False,
                may_pass=False,
                hint="Give the client a session that does not cache",
            )
        return response


class _Call(AuthBase):
    """One request: signs it, knows whether it was sent, and can abort it at any time.

    Attributes
    ----------
    sends : int
        How often it may have been sent: more than once if the session's adapter retries.
    response : requests.Response or None
        The response, before the hooks of the session get it.
    end : str
        The reason why it was aborted; ``""`` if it was not.
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
        # requests calls this before it adds the session's hooks, so this hook is the first
        register: Any = request.register_hook
        register("response", self._answered)
        return request

    def _answered(self, response: requests.Response, **options: Any) -> None:
        self.response = response

    def about_to_send(self) -> None:
        """Note that the signed header is being written to the connection."""
        if not self.sends and self._on_send:
            self._on_send()
        self.sends += 1

    @contextmanager
    def watched(self, deadline: Deadline) -> Iterator[None]:
        """Abort it at the deadline, or when the thread's current `Stop` is set."""
        stop = stopping.current()
        with ExitStack() as stack:
            if stop is not None:
                stack.enter_context(stop.calling(partial(self.abort, "stopped")))
            stack.enter_context(deadline.watching(self.abort))
            stack.push(self._release_after)
            yield

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Make this the request of the connections that this thread uses."""
        _local.call = self
        try:
            yield
        finally:
            _local.call = None

    def connected(self, connection: Any, connect: Callable[[], Any]) -> Any:
        """Call `connect` on another thread, and return its socket.

        Neither a deadline nor an interrupt can end a look-up of a host's address or an attempt to
        connect. So another thread waits for them; a socket that is connected too late is closed.
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
                with suppress(FutureTimeout):  # in steps, as Windows can't interrupt a long wait
                    future.exception(_CHECK)
            return future.result()
        except CancelledError:
            raise NewConnectionError(connection, self.end) from None
        except BaseException:  # an interrupt: nobody will use the socket
            if not future.cancel() and future.exception() is None:
                future.result().close()
            raise

    def attach(self, connection: Any) -> None:
        """Note that the request uses this connection.

        Raises
        ------
        NoResponse
            If it may not be sent there, since the connection is to this machine.
        """
        if self._only_outside and connection.is_inside:
            raise NoResponse(
                "its address is that of this machine or its network",
                was_sent=False,
                may_pass=False,
                hint="Nothing was sent. Contact MyTracker's support",
            )
        with _lock:
            self._connection, connection.carries = connection, self
            if self.end:
                connection.cut()

    def abort(self, why: str) -> None:
        """Abort it, whatever it waits for."""
        with _lock:
            self.end = self.end or why
            if self._connecting is not None:
                self._connecting.cancel()
            if self._connection is not None and self._connection.carries is self:
                self._connection.cut()

    def _release_after(self, kind: type[BaseException] | None, *_: object) -> None:
        self.release(close=kind is not None and not issubclass(kind, Exception))

    def release(self, *, close: bool = False) -> None:
        """Note that it no longer uses its connection; it may be called more than once.

        Parameters
        ----------
        close : bool
            Whether to close the connection: after an interrupt urllib3 can leave it open, and
            nobody would use it.
        """
        with _lock:
            connection = self._connection
            if connection is not None and connection.carries is self:
                if close:
                    connection.close_all()
                connection.drop_if_closed()
                connection.carries = None
            self._connection = None

    def ended(self, error: Exception | None) -> Exception:
        """The exception for an aborted request."""
        if self.end == "stopped":
            return stopping.Stopped("stopped")
        return NoResponse(self.end, was_sent=self.may_be_sent(error), error=error)

    def may_be_sent(self, error: Exception | None) -> bool:
        """Whether it may have reached the service.

        A request without its signed header has no effect, and the header is sent only after it was
        read (`sends`). With plain HTTP the header is read before the connection is made; then an
        error of connecting shows that nothing was sent.
        """
        if sys.platform == "emscripten":  # there the browser reads the header
            return True
        return self.sends > 1 or (self.sends == 1 and not _never_connected(error))


class _Watched(str):
    """The text of a header that reports when it is read, which is necessary to send it."""

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


# One lock for all calls, held briefly: it guards which request uses which connection.
_lock = fork_safe(threading.Lock())
_local = threading.local()
_sessions: weakref.WeakSet[requests.Session] = weakref.WeakSet()
_left_behind: list[Any] = []


class _Endable:
    """A mixin for connections of urllib3, which lets another thread end them.

    It has a second handle of the socket. That of urllib3 changes with TLS and with proxies, and the
    waiting thread is using it.
    """

    carries: _Call | None = None
    is_inside = False
    _handle: socket.socket | None = None
    _answer: Any = None  # of http.client; one without a length has the socket for itself

    def _new_conn(self) -> Any:
        connect: Callable[[], Any] = super()._new_conn  # type: ignore[misc]
        call: _Call | None = getattr(_local, "call", None)
        made = connect() if call is None else call.connected(self, connect)
        try:
            self._drop()
            with suppress(OSError):
                self._handle = socket.fromfd(made.fileno(), made.family, made.type)
                self.is_inside = not self._has_proxy and is_inside(made.getpeername()[0])
            self._attach()
        except BaseException:
            made.close()
            self._drop()
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
        """Shut the connection down, which ends any wait on it."""
        if self._handle is not None:
            with suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        super().close()  # type: ignore[misc]
        # http.client closes the connection before the body is read if the server announces that it
        # will close it, so the handle is still needed
        if self.carries is None:
            self._drop()

    def response_class(self, *args: Any, **options: Any) -> Any:
        self._answer = super().response_class(*args, **options)  # type: ignore[misc]
        return self._answer

    def close_all(self) -> None:
        """Close the connection, and the response that keeps its socket open."""
        self.close()
        if self._answer is not None:
            self._answer.close()
        self._drop()

    def drop_if_closed(self) -> None:
        """Close the handle, if urllib3 has closed its socket."""
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
    """Let the session use `_Endable` connections for `url`, if its adapter is that of requests."""
    adapter = session.get_adapter(url)
    if not isinstance(adapter, HTTPAdapter):
        return
    utils: Any = requests.utils
    settings = session.merge_environment_settings(url, dict(proxies), None, None, None)
    proxy = utils.select_proxy(url, settings["proxies"])
    manager: Any = adapter.poolmanager
    if proxy:
        with suppress(Exception):  # using an invalid proxy raises an error that says so
            manager = adapter.proxy_manager_for(utils.prepend_scheme_if_needed(proxy, "http"))
    with _lock:
        now = manager.pool_classes_by_scheme
        endable = {scheme: _endable_pool(pool) for scheme, pool in now.items()}
        if endable != now:
            manager.pool_classes_by_scheme = endable
            manager.clear()


def is_inside(address: str) -> bool:
    """Whether an IP address is of this machine, or of one that only this machine can reach."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])  # without the zone of an IPv6 address
    except ValueError:
        return False
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip.is_loopback or ip.is_link_local or ip.is_unspecified


def _no_proxy(url: str) -> dict[str, None]:
    """The proxies setting for a URL of this machine: none, overriding session and environment."""
    parts = urlsplit(url)
    names = (parts.scheme, "all")
    return dict.fromkeys([*names, *(f"{name}://{parts.hostname}" for name in names)])


def _after_fork() -> None:
    """Give a forked process its own connections.

    Those of its parent are neither used nor closed: at the fork, a thread that the child does not
    have may have held one of their locks.
    """
    global _local
    _local = threading.local()
    for session in list(_sessions):
        with suppress(Exception):  # the user's own cookie jar may not support it
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
    """Whether an error shows that no connection was made."""
    from urllib3.exceptions import MaxRetryError, NewConnectionError

    if isinstance(error, requests.ConnectTimeout):
        return True
    cause: Any = error.args[0] if error is not None and error.args else None
    if isinstance(cause, MaxRetryError):
        cause = cause.reason
    return isinstance(cause, NewConnectionError)


def _no_response(error: Exception, call: _Call) -> NoResponse:
    """The `NoResponse` for an exception of requests, urllib3 or the user's session."""
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
            hint="Behind a company's firewall, set REQUESTS_CA_BUNDLE or session.verify to the "
            "file of its certificate authority",
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
    """An exception and its causes."""
    while isinstance(error, BaseException):
        yield error
        error = (
            error.__cause__
            or getattr(error, "reason", None)
            or next((each for each in error.args if isinstance(each, BaseException)), None)
        )


def read_body(response: requests.Response, longest: int) -> bytes:
    """Read and decompress the body of a response, up to a limit.

    Parameters
    ----------
    response : requests.Response
        The response; its body was not read yet, unless by a hook of the session.
    longest : int
        The limit in bytes, compressed and decompressed; of a longer body the rest is not read.
    """
    held = getattr(response, "_content", None)
    if isinstance(held, bytes):
        return held
    blocks = _bounded(_raw(response), longest)
    if "Content-Encoding" in response.headers:
        # not by requests, which decompresses without a limit
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
    with suppress(zlib.error):  # a body in another encoding is not the service's
        for block in blocks:
            yield inner.decompress(block, longest)
            if inner.unconsumed_tail:
                return
