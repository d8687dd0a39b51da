"""The sandbox's server: a thread of this process, listening at 127.0.0.1."""

from __future__ import annotations

import secrets
import socket
import weakref
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import replace
from threading import Lock, Thread
from types import TracebackType
from typing import Any

from werkzeug.datastructures import Headers
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.test import run_wsgi_app
from werkzeug.wsgi import ClosingIterator

from mytracker_nb.sandbox.calls import Call
from mytracker_nb.sandbox.clock import Clock
from mytracker_nb.sandbox.config import Config
from mytracker_nb.sandbox.exports import Exports
from mytracker_nb.sandbox.faults import Faults
from mytracker_nb.sandbox.kept import Kept
from mytracker_nb.sandbox.service import application
from mytracker_nb.storage.sandbox_dirs import Directory

__all__ = ["Sandbox"]

_HOST = "127.0.0.1"


class _Handler(WSGIRequestHandler):
    """Answers the requests of a connection, one after the other, as the service does (HTTP/1.1)."""

    # the answer goes out in two parts, headers and body: the second must not wait for the
    # client's delayed acknowledgement of the first
    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"

    def run_wsgi(self) -> None:
        """Answer one request.

        Werkzeug's own way closes the connection after each answer, since it does not know whether
        the request was read to its end. Here it was: `Call.of` reads it before anything else.
        """
        self.environ = self.make_environ()
        try:
            blocks, status, headers = run_wsgi_app(self.server.app, self.environ)
            with closing(ClosingIterator(blocks)) as body:
                self._answer(status, headers, body)
        except (ConnectionError, TimeoutError) as error:
            self.connection_dropped(error)

    def _answer(self, status: str, headers: Headers, body: Iterable[bytes]) -> None:
        code, _, reason = status.partition(" ")
        length = headers.get("Content-Length")
        has_body = self.command != "HEAD" and code not in ("204", "304")
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        if has_body and length is None:  # it ends where the connection does
            self.send_header("Connection", "close")
        self.end_headers()
        sent = 0
        for block in body:
            self.wfile.write(block)
            sent += len(block)
        if has_body and str(sent) != length:
            # a client that waits for the rest is to see that none comes
            self.close_connection = True

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - its parent's name
        """Say nothing: a notebook is no place for a server's log."""

    def connection_dropped(
        self, error: BaseException, environ: dict[str, Any] | None = None
    ) -> None:
        """Wait for no further request on a connection that is to be reset."""
        self.close_connection = True


class _Server(ThreadedWSGIServer):
    daemon_threads = True

    def __init__(self, port: int, app: Callable[..., Iterable[bytes]]) -> None:
        # Werkzeug would end the process where the port is in use
        with socket.create_server((_HOST, port), backlog=self.request_queue_size) as listening:
            super().__init__(_HOST, port, app, _Handler, fd=listening.fileno())
        self._lock = Lock()
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        # a connection that is to be reset must not be ended politely before
        if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER):
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def end_connections(self) -> None:
        """End all open connections, those too whose client may send a further request."""
        # the lock keeps each of them open, so that its number is no other's
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def _clean_up(directory: Directory, kept: Kept | None) -> None:
    directory.remove()
    if kept is not None:
        kept.release()


class Sandbox:
    """A local MyTracker that is running.

    Parameters
    ----------
    config : Config
        Its settings.

    Attributes
    ----------
    base_url : str
        The address to use in place of the service's.
    api_user_id : int
        The API User ID of its account.
    secret_key : str
        The account's secret key.
    clock : Clock
        Its time, which can be moved.
    faults : Faults
        What goes wrong on purpose.
    exports : Exports
        The exports by their idRawExport.
    directory : Path
        Where their files are until it is stopped, and what its clients keep of it.
    """

    def __init__(self, config: Config) -> None:
        self.kept = Kept(config.keep) if config.keep else None
        port, key = config.port, config.secret_key
        if self.kept is not None:
            port, key = port or self.kept.port, key or self.kept.secret_key
        # the names of files are made with the key too
        self.config = config = replace(config, secret_key=key or secrets.token_urlsafe(18))
        self.api_user_id = config.api_user_id
        self.secret_key = config.secret_key
        self.clock = Clock(config.now)
        directory = Directory()
        self.directory = directory.path
        self._clean_up = weakref.finalize(self, _clean_up, directory, self.kept)
        if self.kept is not None:
            self.clock.offset = self.kept.offset
        self.exports = Exports(config, self.clock, self.directory, self.kept)
        app = application(config, self.clock, self.exports, self.secret_key, self._storage)
        self.faults = Faults(app)
        try:
            self._server = _Server(port, self.faults)
        except BaseException:
            self._clean_up()
            raise
        if self.kept is not None:
            self.kept.port, self.kept.secret_key = self._server.port, self.secret_key
            self.exports.save()
        directory.announce(self._server.port, self.kept.clients if self.kept else None)
        self.base_url = f"http://{_HOST}:{self._server.port}"
        # looks twenty times a second whether it is to end
        self._thread = Thread(
            target=self._server.serve_forever, args=[0.05], name="sandbox", daemon=True
        )
        self._thread.start()

    def _storage(self) -> str:
        return f"http://{self.config.storage_host}:{self._server.port}"

    @property
    def requests(self) -> list[Call]:
        """All requests that reached it, in order."""
        return self.faults.calls

    def served(self, id_raw_export: int) -> list[str]:
        """The decompressed text of each file of an export, as it is served."""
        return self.exports[int(id_raw_export)].served()

    def stop(self) -> None:
        """End it, its open connections too, and delete its files; a second call does nothing.

        What it keeps for its next start (`Config.keep`) stays.
        """
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server.end_connections()
            self.exports.save()
        self._clean_up()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "running" if self._thread.is_alive() else "stopped"
        return f"<Sandbox {self.base_url} api_user_id={self.api_user_id} secret_key=*** ({state})>"
