"""Faults between the service and its client, injected for tests.

::

    sandbox.faults.add(path="/get.json", times=2, status=503)       # twice, then no more
    sandbox.faults.add(every=5, status=500)                         # every fifth request
    sandbox.faults.add(path="/create.json", reset="after")          # created; the response is lost
    sandbox.faults.add(path=".csv.gz", truncate=1000, times=3)      # cut off, three times in a row
    sandbox.faults.add(path="/get.json", data={"status": "Moved"})  # an undocumented status
"""

from __future__ import annotations

import json
import random
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Lock
from typing import Any, NoReturn

from werkzeug.wrappers import Response

from mytracker_nb.sandbox.calls import Call

__all__ = ["HTML_PAGE", "Fault", "Faults"]

HTML_PAGE = "<!DOCTYPE html><html><head><title>502</title></head><body>Bad gateway</body></html>"


@dataclass(eq=False)
class Fault:
    """A fault, and the requests that it affects.

    Attributes
    ----------
    path : str
        A part of the path of the requests it affects; ``""`` for all.
    method : str
        Their method; ``""`` for any.
    where : callable, optional
        Takes a `Call`, returns whether the fault can affect it.
    after : int
        How many of these requests succeed first.
    every : int
        With n, it then affects every n-th of them.
    chance : float
        The share of these that it affects (0.0 to 1.0), at random but the same in each run.
    times : int or None
        How many requests it affects in total; None for no limit.
    delay : float
        Seconds by which the response is delayed.
    reset : str
        ``before``: the connection is reset and the request is not handled; ``after``: the request
        is handled, and the connection is reset instead of a response.
    status : int or None
        The HTTP status of a response that replaces the service's; the request is not handled.
    body : str or bytes or None
        The body of such a response, for example `HTML_PAGE`. Without `status` it has status 200.
    data : mapping
        Changes the ``data`` of a JSON response. None as a value removes the key.
    headers : mapping of str to str
        Headers to add to the response. None as a value removes the header.
    truncate : int or None
        The number of bytes after which the response is cut off and the connection closed.
    corrupt : int or None
        The position of a byte of the response to change; from the end if negative.
    strikes : int
        How many requests it has affected.
    """

    path: str = ""
    method: str = ""
    where: Callable[[Call], bool] | None = None
    after: int = 0
    every: int = 1
    chance: float = 1.0
    times: int | None = 1
    delay: float = 0.0
    reset: str = ""
    status: int | None = None
    body: str | bytes | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str | None] = field(default_factory=dict)
    truncate: int | None = None
    corrupt: int | None = None
    strikes: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.reset not in ("", "before", "after"):
            raise ValueError(f"reset must be 'before' or 'after', not {self.reset!r}")
        self._seen = 0
        self._random = random.Random(f"{self.path} {self.method}")  # noqa: S311 - it is a test

    def strikes_now(self, call: Call) -> bool:
        """Whether it affects this request; call it once for each request, as it counts them."""
        if self.path not in call.path or self.method not in ("", call.method):
            return False
        if self.where is not None and not self.where(call):
            return False
        self._seen += 1
        due = self._seen > self.after and (self._seen - self.after) % self.every == 0
        if not due or self.strikes == self.times or self._random.random() >= self.chance:
            return False
        self.strikes += 1
        return True


class Faults:
    """The faults of a sandbox: a WSGI layer around its application.

    If several faults can affect a request, the first one does.

    Parameters
    ----------
    app : callable
        The WSGI application.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._faults: list[Fault] = []
        self._lock = Lock()
        self.calls: list[Call] = []

    def add(self, **what: Any) -> Fault:
        """Add a fault; the arguments are the attributes of `Fault`."""
        fault = Fault(**what)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Handle a request (WSGI)."""
        call = Call.of(environ)
        with self._lock:
            self.calls.append(call)
            fault = next((each for each in self._faults if each.strikes_now(call)), None)
        if fault is None:
            return self._app(environ, start)
        time.sleep(fault.delay)
        if fault.reset == "before":
            _reset(environ)
        if fault.status is None and fault.body is None:
            answer = Response.from_app(self._app, environ)
        else:
            answer = _instead(fault)
        if fault.reset:
            answer.close()
            _reset(environ)
        return _changed(answer, fault)(environ, start)


def _instead(fault: Fault) -> Response:
    """A response that replaces the service's, as that of a proxy."""
    status = fault.status or HTTPStatus.OK
    body = fault.body
    if body is None:
        message = HTTPStatus(status).phrase
        body = json.dumps({"code": status, "message": message, "data": None})
    page = body.encode() if isinstance(body, str) else body
    kind = "text/html" if page.lstrip().startswith(b"<") else "application/json"
    return Response(page, status, content_type=kind)


def _changed(answer: Response, fault: Fault) -> Response:
    answer.direct_passthrough = False
    body = b"".join(answer.iter_encoded())
    answer.close()  # closes the file that the response would have sent
    if fault.data:
        content = json.loads(body)
        data = {**(content["data"] or {}), **fault.data}
        content["data"] = {name: value for name, value in data.items() if value is not None}
        body = json.dumps(content).encode()
        answer.headers["Content-Length"] = str(len(body))
    if fault.corrupt is not None and body:
        position = fault.corrupt % len(body)
        body = body[:position] + bytes([body[position] ^ 0xFF]) + body[position + 1 :]
    # the headers still have the full length
    answer.headers.setdefault("Content-Length", str(len(body)))
    answer.response = [body[: fault.truncate]]
    # do not add a length again that a fault removes
    answer.automatically_set_content_length = False
    for name, value in fault.headers.items():
        answer.headers.remove(name)
        if value is not None:
            answer.headers[name] = value
    return answer


def _reset(environ: dict[str, Any]) -> NoReturn:
    # with this option, closing the connection sends RST, not FIN
    environ["werkzeug.socket"].setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    raise ConnectionResetError
