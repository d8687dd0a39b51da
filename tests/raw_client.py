"""A minimal client of the sandbox, independent of the package: it signs and sends."""

from __future__ import annotations

import base64
import csv
import hashlib
import hmac
import io
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import requests

if TYPE_CHECKING:
    from mytracker_nb.sandbox.server import Sandbox

RAW = "/api/raw/v1/export"
QUOTAS = "/api/open/user/v1/quotas/get.json"
WEEK = {"dateFrom": "2025-11-03", "dateTo": "2025-11-09"}
INSTALLS = {"event": "installs", "selectors": "idDevice,tsEvent", **WEEK}


class Signed(requests.auth.AuthBase):
    def __init__(self, user: int, key: str) -> None:
        self.user, self.key = user, key

    def __call__(self, request: Any) -> Any:
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        parts = [request.method, quote(request.url, safe="~"), quote(body, safe="~")]
        digest = hmac.new(self.key.encode(), "&".join(parts).encode(), hashlib.sha1).digest()
        signature = base64.b64encode(digest).decode()
        request.headers["Authorization"] = f"AuthHMAC {self.user}:{signature}"
        return request


def send(sandbox: Sandbox, method: str, url: str, **more: Any) -> requests.Response:
    """Send a signed request to a path of the sandbox, or to a full URL."""
    auth = Signed(sandbox.api_user_id, sandbox.secret_key)
    url = url if "://" in url else sandbox.base_url + url
    return requests.request(method, url, auth=auth, timeout=20, **more)


def create(sandbox: Sandbox, **parameters: Any) -> requests.Response:
    return send(sandbox, "POST", f"{RAW}/create.json", data={**INSTALLS, **parameters})


def created(sandbox: Sandbox, **parameters: Any) -> int:
    answer = create(sandbox, **parameters)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["data"]["idRawExport"])


def get(sandbox: Sandbox, number: int | str) -> requests.Response:
    return send(sandbox, "GET", f"{RAW}/get.json", params={"idRawExport": number})


def data(sandbox: Sandbox, number: int) -> dict[str, Any]:
    return get(sandbox, number).json()["data"]


def cancel(sandbox: Sandbox, number: int) -> requests.Response:
    return send(sandbox, "GET", f"{RAW}/cancel.json", params={"idRawExport": number})


def links(sandbox: Sandbox, number: int) -> list[str]:
    return [file["link"] for file in data(sandbox, number)["files"]]


def detail(answer: requests.Response) -> str:
    content = answer.json()
    assert answer.status_code == content["code"]
    return content["data"]["error"]["detail"]


def table(sandbox: Sandbox, **parameters: Any) -> list[dict[str, str]]:
    """The rows of an export, made and read without the network."""
    from mytracker_nb.sandbox.query import parse_query

    fields: list[tuple[str, str]] = []
    for name, value in {**INSTALLS, **parameters}.items():
        if isinstance(value, list):
            fields += [(f"{name}[]", each) for each in value]
        elif value is not None:
            fields.append((name, str(value)))
    export = sandbox.exports.create(parse_query(fields, sandbox.clock(), unknown_selectors=True))
    return [
        row for text in export.served() for row in csv.DictReader(io.StringIO(text, newline=""))
    ]
