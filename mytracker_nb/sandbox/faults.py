"""What goes wrong on purpose: faults between the service and its client.

::

    sandbox.faults.add(path="/get.json", times=2, status=503)       # twice, then all is well
    sandbox.faults.add(every=5, status=500)                         # each fifth request
    sandbox.faults.add(path="/create.json", reset="after")          # it is done; its answer is lost
    sandbox.faults.add(path=".csv.gz", truncate=1000, times=3)      # cut off, three times in a row
    sandbox.faults.add(path="/get.json", data={"status": "Moved"})  # a word nobody knows
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
    """Something that goes wrong, and when.

    Attributes
    ----------
    path : str
        A part of the path of the requests it strikes; ``""`` is a part of each.
    method : str
        Their method; ``""`` for any.
    where : callable, optional
        Takes a `Call` and tells whether the fault may strike it.
    after : int
        How many of these requests go well before.
    every : int
        Of the later ones, it strikes each so-and-so-manieth.
    chance : float
        Of these it strikes this share at random (from 0.0 to 1.0), the same ones in each run.
    times : int or None
        How often it strikes; None for ever.
    delay : float
        Seconds that the answer is held back.
    reset : str
        ``before``: the connection is reset and nothing is done; ``after``: what was asked for is
        done, and the connection is reset in place of an answer.
    status : int or None
        The HTTP status, of an answer that does nothing.
    body : str or bytes or None
        The body, of an answer that does nothing; `HTML_PAGE` is one. With no `status` it has 200.
    data : mapping
        Changes the ``data`` of a JSON answer. None as a value takes its key away.
    headers : mapping of str to str
        Headers that are added to the answer; None as a value takes one away.
    truncate : int or None
        The answer is cut off after so many bytes, and the connection closed.
    corrupt : int or None
        The byte at this place of the answer is another one; counted from the end if negative.
    strikes : int
        How often it has struck.
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
            raise ValueError(f"reset is 'before' or 'after', not {self.reset!r}")
        self._seen = 0
        self._random = random.Random(f"{self.path} {self.method}")  # noqa: S311 - it is a test

    def strikes_now(self, call: Call) -> bool:
        """Whether it strikes this request; to be asked once for each."""
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
    """The faults of a sandbox, as a layer around its application.

    Of several that would strike a request the first does.

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
        """Let something go wrong; the arguments are the attributes of `Fault`."""
        fault = Fault(**what)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Let all go well from now on."""
        with self._lock:
            self._faults.clear()

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request, as WSGI wants it."""
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
    """An answer of something that stands before the service."""
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
    answer.close()  # of the file behind it, which the new body takes the place of
    if fault.data:
        content = json.loads(body)
        data = {**(content["data"] or {}), **fault.data}
        content["data"] = {name: value for name, value in data.items() if value is not None}
        body = json.dumps(content).encode()
        answer.headers["Content-Length"] = str(len(body))
    if fault.corrupt is not None and body:
        place = fault.corrupt % len(body)
        body = body[:place] + bytes([body[place] ^ 0xFF]) + body[place + 1 :]
    # the headers still promise all of it
    answer.headers.setdefault("Content-Length", str(len(body)))
    answer.response = [body[: fault.truncate]]
    # a length that a fault takes away is not to be added again
    answer.automatically_set_content_length = False
    for name, value in fault.headers.items():
        answer.headers.remove(name)
        if value is not None:
            answer.headers[name] = value
    return answer


def _reset(environ: dict[str, Any]) -> NoReturn:
    # closed like this a connection ends with RST, not with FIN
    environ["werkzeug.socket"].setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    raise ConnectionResetError
