"""`Sandbox`: the server, which runs in a thread of this process and listens at 127.0.0.1."""

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
from mytracker_nb.sandbox.saved_state import SavedState
from mytracker_nb.sandbox.service import application
from mytracker_nb.storage.sandbox_dirs import Directory

__all__ = ["Sandbox"]

_HOST = "127.0.0.1"


class _Handler(WSGIRequestHandler):
    """Answers the requests of a connection, one after the other, as the service does (HTTP/1.1)."""

    # headers and body are sent separately: the body must not wait for the client's delayed
    # acknowledgement of the headers
    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"

    def run_wsgi(self) -> None:
        """Handle one request.

        Werkzeug's own method closes the connection after each response, since it does not know
        whether the request was read to its end. Here it was, by `Call.of`.
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
        if has_body and length is None:  # the end of the connection is the end of the body
            self.send_header("Connection", "close")
        self.end_headers()
        sent = 0
        for block in body:
            self.wfile.write(block)
            sent += len(block)
        if has_body and str(sent) != length:
            # closing the connection tells the client that the body is incomplete
            self.close_connection = True

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - its parent's name
        """Log nothing: the log would appear in the notebook."""

    def connection_dropped(
        self, error: BaseException, environ: dict[str, Any] | None = None
    ) -> None:
        """Close a connection that is to be reset, instead of waiting for its next request."""
        self.close_connection = True


class _Server(ThreadedWSGIServer):
    daemon_threads = True

    def __init__(self, port: int, app: Callable[..., Iterable[bytes]]) -> None:
        # open the socket here: Werkzeug exits the process if the port is in use
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
        # a connection that is to be reset must not be shut down first
        if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER):
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def end_connections(self) -> None:
        """Close all open connections, also those on which a client can send another request."""
        # under the lock no connection is closed, so no file descriptor is reused meanwhile
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def _clean_up(directory: Directory, saved: SavedState | None) -> None:
    directory.remove()
    if saved is not None:
        saved.release()


class Sandbox:
    """A running local MyTracker.

    Parameters
    ----------
    config : Config
        Its settings.

    Attributes
    ----------
    base_url : str
        Its address, to use instead of the service's.
    api_user_id : int
        The API User ID of its account.
    secret_key : str
        The account's secret key.
    clock : Clock
        Its clock, which can be advanced.
    faults : Faults
        Faults to inject.
    exports : Exports
        The exports by their idRawExport.
    directory : Path
        The directory of its files and of its clients' journal and cache, until it is stopped.
    """

    def __init__(self, config: Config) -> None:
        self.saved = SavedState(config.keep) if config.keep else None
        port, key = config.port, config.secret_key
        if self.saved is not None:
            port, key = port or self.saved.port, key or self.saved.secret_key
        # the key is also used in the names of files
        self.config = config = replace(config, secret_key=key or secrets.token_urlsafe(18))
        self.api_user_id = config.api_user_id
        self.secret_key = config.secret_key
        self.clock = Clock(config.now)
        directory = Directory()
        self.directory = directory.path
        self._clean_up = weakref.finalize(self, _clean_up, directory, self.saved)
        if self.saved is not None:
            self.clock.offset = self.saved.offset
        self.exports = Exports(config, self.clock, self.directory, self.saved)
        app = application(config, self.clock, self.exports, self.secret_key, self._storage)
        self.faults = Faults(app)
        try:
            self._server = _Server(port, self.faults)
        except BaseException:
            self._clean_up()
            raise
        if self.saved is not None:
            self.saved.port, self.saved.secret_key = self._server.port, self.secret_key
            self.exports.save()
        directory.announce(self._server.port, self.saved.clients if self.saved else None)
        self.base_url = f"http://{_HOST}:{self._server.port}"
        # checks 20 times a second whether to stop
        self._thread = Thread(
            target=self._server.serve_forever, args=[0.05], name="sandbox", daemon=True
        )
        self._thread.start()

    def _storage(self) -> str:
        return f"http://{self.config.storage_host}:{self._server.port}"

    @property
    def requests(self) -> list[Call]:
        """All requests received, in order."""
        return self.faults.calls

    def served(self, id_raw_export: int) -> list[str]:
        """The decompressed text of each file of an export, as it is served."""
        return self.exports[int(id_raw_export)].served()

    def stop(self) -> None:
        """Stop the server and delete its files; a second call does nothing.

        The state saved for its next start (`Config.keep`) is not deleted.
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
