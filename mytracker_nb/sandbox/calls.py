"""`Call`: a request as the sandbox received it, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl

from werkzeug.wrappers import Request

__all__ = ["Call"]


@dataclass(frozen=True)
class Call:
    """A request that reached the sandbox.

    Attributes
    ----------
    method, path : str
        The HTTP method and the decoded path.
    url : bytes
        The full URL, exactly as it was sent, with the client's scheme and host.
    body : bytes
        The body, exactly as it was sent.
    parameters : tuple of (str, str)
        The fields of the query string and then of the form, in order.
    headers : mapping of str to str
        All headers.
    address : str
        The IP address of the client.
    """

    method: str
    path: str
    url: bytes
    body: bytes
    parameters: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    address: str

    @classmethod
    def of(cls, environ: dict[str, Any]) -> Call:
        """The request of a WSGI environment; its body can still be read by the application."""
        if (known := environ.get("mytracker.call")) is not None:
            assert isinstance(known, cls)
            return known
        request = Request(environ)
        body = request.get_data()
        environ["wsgi.input"] = BytesIO(body)
        # WSGI passes bytes as Latin-1 text
        target = str(environ["REQUEST_URI"]).encode("latin-1")
        form = request.mimetype == "application/x-www-form-urlencoded"
        call = cls(
            method=request.method,
            path=request.path,
            url=f"{request.scheme}://{environ.get('HTTP_HOST', '')}".encode() + target,
            body=body,
            parameters=(*_fields(request.query_string), *(_fields(body) if form else ())),
            headers=dict(request.headers),
            address=request.remote_addr or "",
        )
        environ["mytracker.call"] = call
        return call

    def parameter(self, name: str) -> str:
        """The last value of a parameter; ``""`` if it is not set."""
        return dict(self.parameters).get(name, "")


def _fields(text: bytes) -> list[tuple[str, str]]:
    return parse_qsl(text.decode("utf-8", "replace"), keep_blank_values=True)
