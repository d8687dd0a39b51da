"""One HTTP request: what was sent before a failure, timeouts, and connections."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta, timezone
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import Any

import pytest
import requests
from forking import forks, in_child

import mytracker_nb as mt
from mytracker_nb import locks
from mytracker_nb.download import http_stream
from mytracker_nb.download.http_stream import Fetcher
from mytracker_nb.download.workers import prefetch, run_all
from mytracker_nb.service import retry, transport
from mytracker_nb.service.api import Api, Link
from mytracker_nb.service.credentials import Credentials
from mytracker_nb.service.deadline import Deadline
from mytracker_nb.service.rate_limit import RateLimiter, shared_limiter
from mytracker_nb.service.retry import NO_RETRY, RetryPolicy
from mytracker_nb.service.signing import AuthHMAC
from mytracker_nb.service.stopping import Stop, Stopped
from mytracker_nb.service.transport import Transport

REQUEST = mt.ExportRequest(
    event="installs", selectors="idDevice", dateFrom="2026-01-01", dateTo="2026-01-02"
)
FIELDS = REQUEST.wire()
LATE = RetryPolicy(faults=0, answer_seconds=0.3)


def api_at(url: str, session: requests.Session | None = None, **facts: Any) -> Api:
    limiter = RateLimiter({1.0: 10_000})
    policy = facts.pop("policy", NO_RETRY)
    return Api(Credentials(7, "a key", url), session, policy, limiter)


@pytest.fixture
def api_of(sandbox):
    """The calls to the sandbox, with a session of the test's own."""

    def make(session: requests.Session | None = None) -> Api:
        credentials = Credentials(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)
        opened.append(Api(credentials, session, NO_RETRY, RateLimiter({1.0: 10_000})))
        return opened[-1]

    opened: list[Api] = []
    yield make
    for api in opened:
        api.session.close()


class Raw:
    """A server that does to each connection what a test wants, until that goes away."""

    def __init__(
        self,
        act: Callable[[socket.socket, threading.Event], None],
        heard: list[bytes] | None = None,
    ) -> None:
        self._heard = [] if heard is None else heard
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.ended = threading.Event()
        self.gone = threading.Event()
        self._act = act
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._one, args=[connection], daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self._heard.append(connection.recv(65536))
            self._act(connection, self.ended)
        self.gone.set()

    def close(self) -> None:
        self.ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def raw() -> Iterator[Callable[..., Raw]]:
    servers: list[Raw] = []

    def make(*given: Any) -> Raw:
        servers.append(Raw(*given))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def dripping(start: bytes, piece: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Send `start`, then `piece` for ever, never silent for long."""

    def act(connection: socket.socket, ended: threading.Event) -> None:
        connection.sendall(start)
        connection.settimeout(0.02)
        while not ended.is_set():
            connection.sendall(piece)
            with suppress(TimeoutError):
                if not connection.recv(1):
                    return

    return act


OK = b"HTTP/1.1 200 OK\r\n"
DRIPS = {
    "body": dripping(OK + b"Content-Length: 100000\r\n\r\n", b" "),
    "header": dripping(OK + b"X-Long: ", b"x"),
    "status line": dripping(b"HTTP/1.1 200 ", b"O"),
    "100 Continue": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "silence": dripping(b"", b""),
}


# -- deadlines ------------------------------------------------------------------------------------


@pytest.mark.parametrize("drip", DRIPS)
def test_a_response_that_never_ends_times_out(raw, drip):
    server = raw(DRIPS[drip])
    api = api_at(server.url, policy=LATE)
    with pytest.raises(mt.ConnectionFailed, match=r"did not respond.*within 0 s|timed out"):
        api.get(1)
    assert server.gone.wait(10), "the connection is closed"


@pytest.mark.parametrize("drip", DRIPS)
def test_a_create_whose_response_never_ends_is_unconfirmed(raw, drip):
    with pytest.raises(mt.CreateUnconfirmed, match="so the export may exist"):
        api_at(raw(DRIPS[drip]).url, policy=LATE).create(FIELDS)


def test_a_truncated_body_without_a_length_is_not_a_response(raw):
    full = json.dumps({"code": 200, "data": {"status": "Success!"}}).encode()
    server = raw(dripping(OK + b"Connection: close\r\n\r\n" + full, b" "))
    with pytest.raises(mt.ConnectionFailed, match="no complete response"):
        api_at(server.url, policy=LATE).get(1)


def test_deeply_nested_lists_are_not_a_response(raw):
    body = b'{"data": [' + b"[],".join([b""] * 500_000) + b"[]]}"
    head = OK + f"Content-Length: {len(body)}\r\n\r\n".encode()
    with pytest.raises(mt.ApiError, match="expected JSON"):
        api_at(raw(dripping(head + body, b"")).url).get(1)


def test_the_thread_that_reports_a_slow_request_ends_it_and_ends_with_it(raw, monkeypatch):
    monkeypatch.setattr(retry, "_SLOW", 0.1)
    seen: list[tuple[str, threading.Thread]] = []
    api = api_at(raw(DRIPS["body"]).url, policy=LATE)
    with (
        retry.waits_reported(lambda event: seen.append((event.text, threading.current_thread()))),
        pytest.raises(mt.ConnectionFailed, match="within 0 s"),
    ):
        api.get(1)
    ((text, thread),) = seen
    assert text == f"waiting for a response from {api.credentials.base_url}"
    assert thread.name == "mytracker-deadline"
    assert not thread.is_alive()


def test_a_report_that_fails_does_not_keep_a_request_from_ending(raw, monkeypatch):
    monkeypatch.setattr(retry, "_SLOW", 0.1)
    monkeypatch.setattr(threading, "excepthook", lambda *args: None)

    def fail(event: Any) -> None:
        raise LookupError("a card that is gone")

    api = api_at(raw(DRIPS["body"]).url, policy=LATE)
    with retry.waits_reported(fail), pytest.raises(mt.ConnectionFailed, match="within 0 s"):
        api.get(1)


class Names:
    """Finds 127.0.0.1 for every host: at once, or not before it is released."""

    def __init__(self, *, hangs: bool) -> None:
        self._find = socket.getaddrinfo
        self.searched, self.released = threading.Event(), threading.Event()
        if not hangs:
            self.released.set()

    def __call__(self, host: str, *args: Any, **options: Any) -> Any:
        self.searched.set()
        assert self.released.wait(60)
        return self._find("127.0.0.1", *args, **options)


@pytest.fixture
def names(monkeypatch) -> Iterator[Callable[..., Names]]:
    """Replaces what finds the addresses of hosts."""
    made: list[Names] = []

    def make(**facts: bool) -> Names:
        made.append(Names(**facts))
        monkeypatch.setattr(socket, "getaddrinfo", made[-1])
        return made[-1]

    yield make
    for each in made:
        each.released.set()


def test_a_host_without_an_address_times_out_and_nothing_was_sent(names):
    search = names(hangs=True)
    api = api_at("https://slow.test", policy=LATE)
    for call in (lambda: api.get(1), lambda: api.create(FIELDS)):
        with pytest.raises(mt.ConnectionFailed, match="within 0 s") as caught:
            call()
        assert not caught.value.was_sent
    assert search.searched.is_set()
    assert not search.released.is_set()


def test_an_interrupt_does_not_wait_for_the_address_of_a_host(names):
    search = names(hangs=True)

    def interrupt() -> None:
        search.searched.wait(30)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        api_at("https://slow.test").get(1)
    thread.join()
    assert not search.released.is_set()


def test_a_connection_that_is_made_too_late_is_closed(names, raw):
    search, server = names(hangs=True), raw(DRIPS["silence"])
    with pytest.raises(mt.ConnectionFailed):
        api_at(server.url.replace("127.0.0.1", "localhost"), policy=LATE).get(1)
    assert not server.gone.is_set()
    search.released.set()
    assert server.gone.wait(30)


# -- stopping -------------------------------------------------------------------------------------


def fetcher(**facts: Any) -> Fetcher:
    sign = AuthHMAC(7, "a key").header
    return Fetcher(Transport(), sign, **{"service": "http://127.0.0.1", **facts})


@pytest.mark.parametrize("drip", DRIPS)
def test_stopping_ends_a_fetch_on_another_thread(raw, drip):
    server, stop = raw(DRIPS[drip]), Stop()
    link = Link(f"{server.url}/a.csv.gz", None)
    began = threading.Event()

    def work(number: int) -> None:
        began.set()
        for _ in fetcher().stream(link, "a.csv.gz"):
            pass

    def tick() -> None:
        if began.is_set():
            raise KeyboardInterrupt

    before = set(threading.enumerate())  # other tests' forms may still be followed
    with pytest.raises(KeyboardInterrupt):
        run_all(work, 2, threads=2, stop=stop, tick=tick)
    assert server.gone.wait(60), "the connection is closed"
    own = {each for each in threading.enumerate() if each.name.startswith("mytracker-")} - before
    for thread in own:
        thread.join(30)
        assert not thread.is_alive(), thread.name


def test_prefetching_does_not_wait_for_a_file_that_never_arrives(raw):
    server = raw(dripping(OK + b"Content-Length: 100000\r\n\r\n", b"x"))
    blocks = prefetch(fetcher().stream(Link(f"{server.url}/a.csv.gz", None), "a.csv.gz"))
    stop = Stop()
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    with stop.governing(), pytest.raises(Stopped):
        list(blocks)
    assert server.gone.wait(10)


CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n"
SLOW_FILES = {
    "a block": (OK + b"Content-Length: 100000\r\n\r\n", b"x"),
    "without a length": (OK + b"\r\n", b"x"),
    "a chunk": (CHUNKS + b"FFFF\r\n", b"x"),
}


@pytest.mark.parametrize("kind", SLOW_FILES)
def test_a_file_that_drips_is_fetched_again_and_then_given_up(raw, monkeypatch, fake_clock, kind):
    monkeypatch.setattr(http_stream, "_PERIOD", 0.2)
    heard: list[bytes] = []
    server = raw(dripping(*SLOW_FILES[kind]), heard)
    policy = RetryPolicy(faults=2)
    blocks = fetcher(retry_policy=policy).stream(Link(f"{server.url}/a.csv.gz", None), "a.csv.gz")
    arrived: list[bytes] = []
    with pytest.raises(mt.FileError, match=r"3 tries in a row.*fewer than 262,144 bytes arrived"):
        arrived.extend(blocks)
    first, *again = [request.decode() for request in heard]
    assert "Range:" not in first
    assert len(again) == len(fake_clock.slept) == 2
    # what has arrived is kept, but for a part of a chunk, which http.client drops
    is_kept = kind != "a chunk"
    assert bool(arrived) == is_kept
    assert all(("Range: bytes=" in request) == is_kept for request in again)


def test_small_parts_of_a_file_are_too_slow_by_the_time_spent_waiting_for_them(fake_clock):
    def arriving(seconds: float) -> Iterator[bytes]:
        for _ in range(100):
            fake_clock.move(seconds)
            yield b"x" * 10_000

    for _ in http_stream._with_progress(arriving(10), Deadline(60)):
        fake_clock.move(1_000)  # what takes the parts may take its time
    arrived: list[bytes] = []
    with pytest.raises(Exception, match="fewer than 262,144 bytes arrived in 300 s"):
        arrived.extend(http_stream._with_progress(arriving(20), Deadline(60)))
    assert len(arrived) == 300 / 20, "the last one, too"


def test_a_stopped_request_is_not_sent(raw):
    stop = Stop()
    stop.set()
    with stop.governing(), pytest.raises(Stopped):
        api_at(raw(DRIPS["body"]).url).get(1)


@pytest.mark.parametrize("continue_on_error", [False, True])
def test_work_that_is_stopped_before_it_begins_ends(continue_on_error):
    outer, done = Stop(), []
    outer.set()
    ended = threading.Event()

    def fetch() -> None:
        with outer.governing(), pytest.raises(Stopped):
            run_all(done.append, 3, threads=2, stop=Stop(), continue_on_error=continue_on_error)
        ended.set()

    threading.Thread(target=fetch, daemon=True).start()
    assert ended.wait(30)
    assert done == []


# -- interrupts -----------------------------------------------------------------------------------


class Interrupt:
    """Interrupts a ``with`` block at one of the moments when Python handles a signal in a file.

    They are the start of a function, and the return from a function in C.
    """

    def __init__(self, number: int, file: str) -> None:
        self._left, self._file = number, file
        self.came = False

    def __enter__(self) -> Interrupt:
        gc.disable()  # or it could interrupt what closes the connections of an earlier test
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        gc.enable()

    def _profile(self, frame: FrameType, event: str, function: Any) -> None:
        if frame.f_code.co_filename != self._file or event not in ("call", "c_return"):
            return
        # no signal comes between the entry of a lock and the block that leaves it
        if event == "call" or function.__name__ != "__enter__":
            self._left -= 1
            if not self._left:
                self.came = True
                raise KeyboardInterrupt


@pytest.fixture
def client_sockets(monkeypatch) -> list[socket.socket]:
    """Each socket that is made from now on, apart from those of the server."""
    made: list[socket.socket] = []

    class Noted(socket.socket):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            if threading.current_thread().name in ("MainThread", "mytracker-connect"):
                made.append(self)

    monkeypatch.setattr(socket, "socket", Noted)
    return made


def answering(head: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Answer each request of a connection, or only the first if the head says so."""
    body = json.dumps({"code": 200, "data": {"status": "Success!"}}).encode()

    def act(connection: socket.socket, ended: threading.Event) -> None:
        while True:
            length = f"Content-Length: {len(body)}\r\n".encode()
            connection.sendall(OK + (head or length) + b"\r\n" + body)
            if head or not connection.recv(65536):
                return

    return act


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "second"])
@pytest.mark.parametrize("head", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
@pytest.mark.parametrize("what", ["state", "file"])
def test_an_interrupt_at_any_moment_leaves_no_socket_open(
    raw, client_sockets, what, head, is_first
):
    server = raw(answering(head))
    client_sockets.clear()
    interrupted = 0
    while True:
        api = api_at(server.url)
        fetch = Fetcher(api.transport, api.auth.header, service=server.url)
        if not is_first:
            api.get(1)
        caught = None
        with Interrupt(interrupted + 1, transport.__file__) as interrupt:
            try:
                if what == "state":
                    api.get(1)
                else:
                    b"".join(fetch.stream(Link(f"{server.url}/a.csv.gz", None), "a.csv.gz"))
            except KeyboardInterrupt as error:
                caught = error  # it has all frames, so nothing is closed by collecting garbage
        assert (caught is not None) == interrupt.came
        assert api.get(1).status == "Success!"
        left = [each for each in client_sockets if each.fileno() != -1]
        assert len(left) == (0 if head else 2), "the connection that is kept has two handles"
        for each in left:
            each.close()
        client_sockets.clear()
        if caught is None:
            break
        interrupted += 1
    assert interrupted > 20


# -- what was sent --------------------------------------------------------------------------------


def fail_for_status(response: requests.Response, **options: Any) -> None:
    response.raise_for_status()


def odd_hook(response: requests.Response, **options: Any) -> None:
    raise LookupError("a hook of the user's")


@pytest.mark.parametrize("hook", [fail_for_status, odd_hook])
def test_a_response_is_used_unchanged_by_hooks(api_of, sandbox, hook):
    session = requests.Session()
    session.hooks["response"].append(hook)
    api = api_of(session)
    assert api.create(FIELDS) > 0
    with pytest.raises(mt.NotFound):
        api.get(10**9)
    with pytest.raises(mt.BadRequest, match="Argument 'event'"):
        api.create([("event", "nothing")])


def test_without_the_given_certificates_nothing_is_sent(monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file.pem")
    api = api_at("https://example.test")
    with pytest.raises(mt.ConnectionFailed, match="REQUESTS_CA_BUNDLE") as caught:
        api.create(FIELDS)
    assert not caught.value.was_sent
    assert not caught.value.may_pass


class Failing(requests.adapters.HTTPAdapter):
    """Fails before or after it sends."""

    def __init__(self, *, after: bool) -> None:
        super().__init__()
        self.after = after

    def send(self, request: Any, **options: Any) -> Any:
        if self.after:
            super().send(request, **options).close()
        raise RuntimeError("an adapter of the user's")


@pytest.mark.parametrize(
    ("after", "error"), [(False, mt.ConnectionFailed), (True, mt.CreateUnconfirmed)]
)
def test_an_adapter_that_fails_before_it_sends_has_not_sent(api_of, sandbox, after, error):
    session = requests.Session()
    session.mount("http://", Failing(after=after))
    seen = len(sandbox.requests)
    with pytest.raises(error, match="an adapter of the user's"):
        api_of(session).create(FIELDS)
    assert len(sandbox.requests) - seen == int(after)


class Mock(requests.adapters.BaseAdapter):
    """Matches nothing, as a mock in a test of the user's does."""

    def send(self, request: Any, **options: Any) -> Any:
        raise requests.ConnectionError(f"No mock address: {request.method} {request.url}")

    def close(self) -> None:
        pass


def test_a_mock_that_matches_nothing_has_not_sent(api_of):
    session = requests.Session()
    session.mount("http://", Mock())
    with pytest.raises(mt.ConnectionFailed, match="No mock address") as caught:
        api_of(session).create(FIELDS)
    assert not caught.value.was_sent


def test_a_refused_connection_has_not_sent_and_a_reset_one_may_have(raw):
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(mt.ConnectionFailed):
        api_at(url).create(FIELDS)
    with pytest.raises(mt.CreateUnconfirmed):
        api_at(raw(lambda connection, ended: None).url).create(FIELDS)


def test_the_callback_before_sending_can_prevent_it(api_of, sandbox):
    class Changed(mt.MyTrackerError):
        pass

    def prevent() -> None:
        raise Changed("do not")

    seen = len(sandbox.requests)
    with pytest.raises(Changed):
        api_of().create(FIELDS, on_send=prevent)
    assert len(sandbox.requests) == seen


# -- proxies and certificates ---------------------------------------------------------------------


def test_no_proxy_is_used_for_this_machine(api_of, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    session = requests.Session()
    session.proxies = {"http": "http://127.0.0.1:9", "all": "http://127.0.0.1:9"}
    assert api_of(session).create(FIELDS) > 0


class Noting(requests.adapters.HTTPAdapter):
    def send(self, request: Any, **options: Any) -> Any:
        self.options = options
        raise requests.ConnectionError("noted")


@pytest.mark.parametrize(
    ("given", "used"), [(True, "/of/the/environment"), (False, False), ("/of/the/session",) * 2]
)
def test_the_certificates_of_the_session_come_first(monkeypatch, given, used):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/of/the/environment")
    session, adapter = requests.Session(), Noting()
    session.verify = given
    session.mount("https://", adapter)
    with pytest.raises(mt.ConnectionFailed):
        api_at("https://example.test", session).get(1)
    assert adapter.options["verify"] == used


@pytest.fixture
def untrusted(tmp_path, monkeypatch) -> Iterator[str]:
    """The address of a TLS server whose certificate nobody trusts."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    (tmp_path / "all.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "all.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    context.wrap_socket(connection, server_side=True).close()

    threading.Thread(target=serve, daemon=True).start()
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_a_certificate_that_is_not_trusted_is_an_error_at_once(untrusted, fake_clock):
    api = api_at(untrusted, policy=RetryPolicy())
    for call in (lambda: api.get(1), lambda: api.create(FIELDS)):
        with pytest.raises(mt.ConnectionFailed, match="certificate is not trusted") as caught:
            call()
        assert "proxy" not in str(caught.value).lower()
        assert not caught.value.was_sent
    with pytest.raises(mt.FileError, match="certificate is not trusted"):
        list(fetcher().stream(Link(f"{untrusted}/a.csv.gz", None), "a.csv.gz"))
    assert fake_clock.slept == [], "nothing was tried again"


# -- caches ---------------------------------------------------------------------------------------


class Caching(requests.Session):
    """Keeps answers, and minds what a request says of that, as `requests_cache` does."""

    def __init__(self, *, obedient: bool) -> None:
        super().__init__()
        self.obedient, self.cached = obedient, {}

    def request(self, *args: Any, headers: dict[str, str], **options: Any) -> Any:
        # it takes the list of directives apart, and joins the parts as they are
        directives = ",".join(sorted(headers["Cache-Control"].split(",")))
        headers = {**headers, "Cache-Control": directives}
        return super().request(*args, headers=headers, **options)

    def send(self, request: Any, **options: Any) -> Any:
        directive = request.headers.get("Cache-Control", "")
        if self.obedient and "no-store" in directive:
            return super().send(request, **options)
        if request.url in self.cached:
            return self.cached[request.url]
        response = super().send(request, **options)
        response.content  # noqa: B018 - it is cached
        self.cached[request.url] = response
        response.from_cache = True
        return response


def of_requests_cache() -> requests.Session:
    library = pytest.importorskip("requests_cache")
    return library.CachedSession(backend="memory", allowable_methods=["GET", "POST"])


@pytest.mark.parametrize("session", [partial(Caching, obedient=True), of_requests_cache])
def test_a_session_that_caches_sees_an_export_end(start_sandbox, session):
    sandbox = start_sandbox(seconds=100)
    credentials = Credentials(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)
    api = Api(credentials, session(), NO_RETRY, RateLimiter({1.0: 10_000}))
    number = api.create(FIELDS)
    assert api.create(FIELDS) != number
    assert api.get(number).status == "In progress"
    sandbox.clock.advance(101)
    assert api.get(number).status == "Success!"
    api.session.close()


def test_a_cached_status_is_refused(api_of):
    api = api_of(Caching(obedient=False))
    with pytest.raises(mt.ConnectionFailed, match="returned a cached response"):
        api.get(1)


# -- processes ------------------------------------------------------------------------------------


class _Ports(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"code": 200, "data": {"status": str(self.client_address[1])}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *what: object) -> None:
        pass


@forks
@pytest.mark.parametrize("given", [None, requests.Session])
def test_a_forked_process_has_connections_of_its_own(given):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Ports)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    api = api_at(f"http://127.0.0.1:{server.server_port}", given and given())
    port = api.get(1).status
    assert api.get(1).status == port, "the connection is reused"
    ports = []
    for _ in range(3):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                first = api.get(1).status
                os.write(writing, f"{first} {api.get(1).status}".encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            ports.append(answer.read().decode().split())
        os.waitpid(child, 0)
    assert all(first == second for first, second in ports), "a child keeps its own"
    assert len({port, *(first for first, _ in ports)}) == 4
    assert api.get(1).status == port
    api.session.close()
    server.shutdown()
    server.server_close()


@forks
def test_no_lock_of_another_thread_is_held_in_a_forked_process(sandbox, api_of):
    api, stop = api_of(), Stop()
    limiter = shared_limiter(sandbox.base_url, sandbox.api_user_id)
    holds, ended = threading.Event(), threading.Event()

    def hold() -> None:
        with ExitStack() as stack:
            for lock in [*locks._all]:
                stack.enter_context(lock)
            stack.enter_context(api.session.cookies._cookies_lock)
            holds.set()
            ended.wait(60)

    def work() -> None:
        with stop.governing():
            api.quotas()
        api.rate_limiter.poll_interval(1.0)
        assert shared_limiter(sandbox.base_url, sandbox.api_user_id) is limiter
        assert limiter.acquire() == 0

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert holds.wait(10)
        assert in_child(work) == 0
    finally:
        ended.set()
        thread.join()
    api.quotas()


@forks
def test_forked_processes_do_not_retry_at_the_same_moment():
    reading, writing = os.pipe()
    for _ in range(4):
        assert in_child(lambda: os.write(writing, f"{RetryPolicy().delay(6)} ".encode())) == 0
    os.close(writing)
    with os.fdopen(reading) as pauses:
        assert len(set(pauses.read().split())) == 4


# -- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where",
    [
        "http://127.0.0.1:8000",
        "http://localhost:8000",
        "http://[::1]:8000",
        "https://127.0.0.1",
        "https://127.1",
        "https://localhost.",
        "https://app.localhost",
        "https://169.254.169.254",
        "https://0.0.0.0",
        "https://[::ffff:127.0.0.1]",
    ],
)
def test_a_link_of_a_service_elsewhere_does_not_point_here(where):
    away = fetcher(service="https://tracker.my.com")
    with pytest.raises(mt.FileError, match=r"points to this machine.*nothing was sent"):
        next(away.stream(Link(f"{where}/a.csv.gz", None), "a.csv.gz"))


def fetch_error(service: str, url: str) -> str:
    fetch = fetcher(service=service, retry_policy=NO_RETRY)
    with pytest.raises(mt.FileError) as caught:
        next(fetch.stream(Link(f"{url}/a.csv.gz", None), "a.csv.gz"))
    return str(caught.value)


def test_a_name_that_resolves_to_this_machine_gets_no_request(names, untrusted):
    names(hangs=False)
    url = untrusted.replace("127.0.0.1", "files.test")
    away = fetch_error("https://tracker.my.com", url)
    assert "its address is that of this machine" in away
    assert "Nothing was sent" in away
    # a tunnel to the service itself: the connection is made, and its certificate looked at
    assert "certificate" in fetch_error(url, url)


def test_a_proxy_may_be_on_this_machine(raw, monkeypatch):
    heard: list[bytes] = []
    proxy = raw(lambda connection, ended: None, heard)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    fetch_error("https://tracker.my.com", "https://files.test")
    assert heard[0].startswith(b"CONNECT files.test:443 ")


# -- clocks ---------------------------------------------------------------------------------------


def test_the_time_is_the_services_if_this_machine_is_ahead(sandbox, api_of, fake_clock):
    api = api_of()
    fake_clock.move(86_400)
    api.quotas()
    ahead_by = abs((api.now() - datetime.now(timezone.utc)).total_seconds())
    assert ahead_by < 60
    fake_clock.move(-86_900)
    api.rate_limiter = RateLimiter()
    api.quotas()
    behind = (datetime.now(timezone.utc) - api.now()).total_seconds()
    assert behind > 400, "a clock that is behind makes nothing final too early"
