"""The key is never shown, and texts of a hostile service are escaped."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
import pytest
from nbclient import NotebookClient

import mytracker_nb as mt
from mytracker_nb.client.export import display_of
from mytracker_nb.client.polling import poll_until_final
from mytracker_nb.service.rate_limit import RateLimiter
from mytracker_nb.service.retry import RetryPolicy

EVIL = (
    "<img src=x onerror=alert(1)><script>alert(2)</script>"
    "</style></pre><a href='javascript:alert(3)'>"
    "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202e\x00{{ 7777*7777 }}"
)
REQUEST = {
    "event": "installs",
    "selectors": ["idDevice", "tsEvent"],
    "dateFrom": "2026-01-01",
    "dateTo": "2026-01-02",
}
LINE = "event=installs selectors=idDevice,tsEvent dateFrom=2026-01-01 dateTo=2026-01-02"

CELLS = [
    """\
import logging, http.client
logging.basicConfig(filename="everything.log", level=logging.DEBUG)
http.client.HTTPConnection.debuglevel = 2
%load_ext mytracker_nb
%xmode Verbose
import mytracker_nb as mt
from mytracker_nb.client.export import display_of
from mytracker_nb.client.polling import poll_until_final
from mytracker_nb.client.client import default_client
from mytracker_nb.service.retry import RetryPolicy
default_client().api.retry_policy = RetryPolicy(faults=0)""",
    f"%mytracker_export {LINE} --wait --out export --frame frame",
    "%mytracker_exports",
    "%mytracker_quotas",
    f"%mytracker_export {LINE} --dry-run",
    "%mytracker_export event=nothing dateFrom=tomorrow",
    "%mytracker_builder event=installs",
    "mt.Client(), mt.Client().credentials, vars(mt.Client().credentials), vars(mt.Client().api)",
    "mt.Client().attach(77)",
    # lost, refused and odd answers
    "mt.client.client.default_client().create(export.request)",
    "mt.client.client.default_client().quotas()",
    "mt.client.client.default_client().quotas()",
    # an error that is not ours, below all that holds the key
    """\
def fail(client):
    credentials, api, auth = client.credentials, client.api, client.api.auth
    raise ValueError("the frames above hold the account")
fail(mt.Client())""",
    """\
import hashlib
sha1, hashlib.sha1 = hashlib.sha1, None
try:
    mt.Client().quotas()
finally:
    hashlib.sha1 = sha1""",
    """\
client = mt.Client(); client.api.session.send = None
client.quotas()""",
    """\
import pickle
open("export.pickle", "wb").write(pickle.dumps(export))
pickle.dumps(mt.Client())""",
    "pickle.dumps(mt.Client().credentials)",
    "frame.to_parquet('frame.parquet'); export.download('files'); export.to_parquet('parts')",
]


def written(*places: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for place in places
        for path in place.rglob("*")
        if path.is_file() and path.suffix != ".gz"
    }


def test_the_key_is_in_no_file(start_sandbox, tmp_path):
    key = "s3cret /+=\u044f'\"<key>"
    sandbox = start_sandbox(secret_key=key)
    sandbox.faults.add(path="/create.json", after=1, reset="after")
    sandbox.faults.add(path="/quotas/", after=1, status=403, body=f"<html>{EVIL}</html>")
    sandbox.faults.add(path="/quotas/", after=1, reset="before")
    env = {
        **os.environ,
        "HOME": str(tmp_path),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "MYTRACKER_BASE_URL": sandbox.base_url,
        "MYTRACKER_API_USER_ID": str(sandbox.api_user_id),
        "MYTRACKER_SECRET_KEY": key,
    }
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, CELLS)))
    runner = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=60,
        allow_errors=True,
        resources={"metadata": {"path": str(tmp_path)}},
    )
    runner.execute(env=env)
    nbformat.write(notebook, tmp_path / "notebook.ipynb")

    errors = [
        [output.ename for output in cell.outputs if output.output_type == "error"]
        for cell in notebook.cells
    ]
    assert errors == [
        *[[]] * 5,
        ["InvalidRequest"],
        *[[]] * 2,
        ["NotFound"],
        ["CreateUnconfirmed"],
        ["ApiError"],
        ["ConnectionFailed"],
        ["ValueError"],
        ["ConnectionFailed"],
        ["ConnectionFailed"],
        ["TypeError"],
        ["TypeError"],
        [],
    ]
    files = written(tmp_path, sandbox.directory)
    names = {path.name for path in files}
    assert {"notebook.ipynb", "everything.log", "export.pickle", "frame.parquet"} <= names
    assert any(name.startswith("journal.sqlite3") for name in names)
    assert b"AuthHMAC" in files[tmp_path / "notebook.ipynb"], "the name of the header may be shown"
    forms = {key.encode(), quote(key).encode(), quote(key, safe="~").encode()}
    forms |= {repr(key).encode(), key.encode("unicode_escape"), b"s3cret"}
    for path, content in files.items():
        assert not any(form in content for form in forms), path


CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")


@pytest.fixture
def evil(start_sandbox, fake_clock):
    """A client of a sandbox that says odd things, with one export."""
    sandbox = start_sandbox(seconds=100)
    client = mt.Client(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)
    client.api.rate_limiter = RateLimiter({1.0: 10_000})
    client.api.retry_policy = RetryPolicy(faults=0, quota_seconds=0)
    export = client.create(mt.ExportRequest(**REQUEST))
    yield sandbox, client, export
    client.api.session.close()


def assert_harmless(*shown: Any) -> None:
    for text in map(str, shown):
        assert not CONTROL.search(text)
        assert "60481729" not in text
        if "<div" in text:
            assert "<img" not in text
            assert "<script" not in text
            assert "<a " not in text


def looks(thing: Any) -> list[str]:
    return [repr(thing), str(thing), thing._repr_html_(), thing.card().text()]


@pytest.mark.parametrize(
    "data",
    [
        {"status": EVIL, "progress": EVIL, "isCancellable": EVIL},
        {"status": "User error occurred", "errorMessage": EVIL},
        {"status": "Success!", "files": [{"link": f"https://x/{EVIL}", "timestampExpires": EVIL}]},
    ],
)
def test_a_status_is_escaped(evil, data):
    sandbox, _, export = evil
    sandbox.faults.add(path="/get.json", data=data, times=None)

    export.refresh()

    assert_harmless(*looks(export))
    assert "alert(" in export._repr_html_()
    try:
        export.wait(timeout=0)
        export.to_pandas()
    except mt.MyTrackerError as error:
        assert_harmless(error, *error._render_traceback_())


@pytest.mark.parametrize("status", [400, 403, 404, 418, 429, 500])
@pytest.mark.parametrize("is_json", [True, False])
def test_a_refusal_is_escaped(evil, status, is_json):
    sandbox, client, export = evil
    page = f"<html>{EVIL}</html>".encode()
    if is_json:
        quota = {"name": EVIL, "exceeded": True, EVIL: EVIL, "resetInSecond": EVIL}
        info = {"quotas": [quota], "exports": [{"idRawExport": EVIL}]}
        error = {"detail": EVIL, "info": info}
        page = json.dumps({"code": EVIL, "message": EVIL, "data": {"error": error}}).encode()
    sandbox.faults.add(status=status, body=page, times=None)

    for call in (export.refresh, client.quotas, lambda: client.create(export.request)):
        with pytest.raises(mt.MyTrackerError) as caught:
            call()
        assert_harmless(caught.value, *caught.value._render_traceback_())
        client.api.rate_limiter = RateLimiter({1.0: 10_000})


def test_quotas_and_the_journal_are_escaped(evil, monkeypatch):
    sandbox, client, _ = evil
    sandbox.faults.add(path="/quotas/", data={"quotas": [{"name": EVIL, EVIL: 1}]})
    frame = client.quotas()
    assert not CONTROL.search(frame.to_string())
    assert "<img" not in frame._repr_html_()

    sandbox.faults.add(path="/create.json", status=400, body=f"<html>{EVIL}</html>")
    with pytest.raises(mt.ApiError, match="HTTP 400"):
        client.create(mt.ExportRequest(**REQUEST))
    monkeypatch.setattr("mytracker_nb.service.credentials._in_use", client.credentials)
    assert not CONTROL.search(mt.journal().to_string())
    assert "<img" not in mt.journal()._repr_html_()


def test_a_card_is_no_longer_updated_after_a_refusal(evil):
    sandbox, client, export = evil
    client.api.retry_policy = RetryPolicy()
    refusal = json.dumps({"code": 404, "message": EVIL, "data": {"error": {"detail": EVIL}}})
    sandbox.faults.add(path="/get.json", status=404, body=refusal)
    display = display_of(export)
    display.live(poll_until_final(export), lambda: False)
    assert display._step() is None
    assert_harmless(*looks(export))
    assert "no longer updated" in export.card().text()


def test_a_redirect_gets_no_signature(start_sandbox):
    """The API has none, so whoever answers with one is not trusted with another request."""
    sandbox, elsewhere = start_sandbox(), start_sandbox()
    client = mt.Client(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)
    client.api.retry_policy = RetryPolicy(faults=0)
    for status in (301, 302, 307, 308):
        location = {"Location": f"{elsewhere.base_url}/api/raw/v1/export/get.json?idRawExport=1"}
        sandbox.faults.add(path="/get.json", status=status, body="", headers=location)
        with pytest.raises(mt.ApiError, match=f"HTTP {status}"):
            client.attach(1)
    assert elsewhere.requests == []
    client.api.session.close()
