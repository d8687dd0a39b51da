"""The sandbox's server: a thread of this process, listening at 127.0.0.1."""

from __future__ import annotations

import secrets
import socket
import weakref
from collections.abc import Iterable, Iterator
from threading import Thread
from types import TracebackType
from typing import Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from mytracker_nb.sandbox.calls import Call
from mytracker_nb.sandbox.clock import Clock
from mytracker_nb.sandbox.config import Config
from mytracker_nb.sandbox.exports import Exports
from mytracker_nb.sandbox.faults import Faults
from mytracker_nb.sandbox.service import application
from mytracker_nb.storage.sandbox_dirs import Directory

__all__ = ["Sandbox"]

_HOST = "127.0.0.1"


class _Body:
    """The body of an answer, closed at the latest when it is let go of.

    Werkzeug leaves it open where the client has gone away in the middle of it.
    """

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks: Iterable[bytes] | None = blocks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._blocks or ())

    def close(self) -> None:
        blocks, self._blocks = self._blocks, None
        if blocks is not None and hasattr(blocks, "close"):
            blocks.close()

    __del__ = close


class _QuietHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - its parent's name
        """Say nothing: a notebook is no place for a server's log."""

    def connection_dropped(
        self, error: BaseException, environ: dict[str, Any] | None = None
    ) -> None:
        """Wait for no further request on a connection that is to be reset."""
        self.close_connection = True


class _Server(ThreadedWSGIServer):
    daemon_threads = True

    def shutdown_request(self, request: Any) -> None:
        # a connection that is to be reset must not be ended politely before
        if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER):
            self.close_request(request)
        else:
            super().shutdown_request(request)


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
        self.config = config
        self.api_user_id = config.api_user_id
        self.secret_key = config.secret_key or secrets.token_urlsafe(18)
        self.clock = Clock(config.now)
        directory = Directory()
        self.directory = directory.path
        self._clean_up = weakref.finalize(self, directory.remove)
        self.exports = Exports(config, self.clock, self.directory)
        app = application(config, self.clock, self.exports, self.secret_key, self._storage)
        self.faults = faults = Faults(app)
        self._server = _Server(
            _HOST,
            config.port,
            lambda environ, start: _Body(faults(environ, start)),
            _QuietHandler,
        )
        directory.announce(self._server.port)
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
        """End it and delete its files; once it has ended this does nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
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
