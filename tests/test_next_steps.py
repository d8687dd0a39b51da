"""Code in errors runs as it is pasted; calls that need no key do not open the keyring."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mytracker_nb as mt
from mytracker_nb.service import credentials
from mytracker_nb.service.credentials import Credentials
from mytracker_nb.service.signing import SecretKey

if TYPE_CHECKING:
    from mytracker_nb.sandbox.server import Sandbox

INSTALLS: dict[str, Any] = {
    "event": "installs",
    "selectors": "idDevice,tsEvent",
    "dateFrom": "2025-11-03",
    "dateTo": "2025-11-09",
}


@pytest.fixture
def account(no_account: object, start_sandbox: Callable[..., Sandbox]) -> Sandbox:
    """A sandbox of one's own, whose account is in use."""
    sandbox = start_sandbox()
    credentials.use(Credentials(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url))
    return sandbox


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


CALLS = {
    "head": (),
    "to_arrow": (),
    "to_pandas": (),
    "to_polars": (),
    "to_duckdb": (),
    "to_parquet": ("folder",),
    "to_dask": (),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_interrupted_conversion_says_how_to_resume(
    account: Sandbox, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    export = mt.export(**INSTALLS).wait()
    plan = mt.plan(**INSTALLS).run()
    data = export.data()
    with monkeypatch.context() as patched:
        # all conversions ask for the columns
        patched.setattr(mt.RawData, "selectors", property(interrupt))
        with pytest.raises(mt.WaitInterrupted) as caught:
            getattr(data, name)(*CALLS[name])
        with pytest.raises(mt.WaitInterrupted) as caught_by_export:
            getattr(export, name)(*CALLS[name])
        assert str(caught_by_export.value) == str(caught.value)
        if name != "to_parquet":  # that of a plan is its own
            with pytest.raises(mt.WaitInterrupted, match="run the cell again to resume"):
                getattr(plan, name)(*CALLS[name])
    assert caught.value.export is export
    names: dict[str, Any] = {}
    exec(str(caught.value).partition("\n")[2], names)
    assert len(names["df"]) == len(export.to_pandas()) > 0


def test_an_interrupted_conversion_of_files_on_disk_is_a_short_error(
    account: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = mt.open_files(mt.export(**INSTALLS).download(tmp_path))
    monkeypatch.setattr("mytracker_nb.tables.raw_data.to_frame", interrupt)
    with pytest.raises(mt.WaitInterrupted, match="run the cell again to resume"):
        files.to_pandas()


def test_an_interrupted_download_says_how_to_resume(
    account: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    export = mt.export(**INSTALLS).wait()
    monkeypatch.setattr("mytracker_nb.client.export.download", interrupt)
    with pytest.raises(mt.WaitInterrupted, match="export 1 is complete"):
        export.download(tmp_path)


@pytest.mark.parametrize("outcome", ["Error occurred", "Canceled by user"])
def test_an_export_that_failed_says_how_it_is_submitted_again(
    start_sandbox: Callable[..., Sandbox],
    no_account: object,
    monkeypatch: pytest.MonkeyPatch,
    outcome: str,
) -> None:
    sandbox = start_sandbox(seconds=0 if outcome == "Error occurred" else 600)
    credentials.use(Credentials(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url))
    sandbox.exports.outcomes.append("Error occurred")
    export = mt.export(**INSTALLS)
    if outcome == "Canceled by user":
        export.cancel()
    with pytest.raises(mt.ExportFailed) as caught:
        export.wait()
    code = str(caught.value).rpartition("again: ")[2]
    assert code == "import mytracker_nb as mt; mt.attach(1).retry()"
    exec(code, {})
    assert len(sandbox.exports) == 2
    monkeypatch.setattr(sys.modules["__main__"], "week", export, raising=False)
    with pytest.raises(mt.ExportFailed, match=r"again: week\.retry\(\)$"):
        export.wait()


@pytest.mark.parametrize(
    "act",
    [
        lambda: mt.exports(offline=True),
        lambda: repr(mt.cache()),
        mt.journal,
        lambda: mt.RequestBuilder(event="installs"),
        lambda: mt.columns("installs"),
        lambda: mt.ExportRequest(**INSTALLS).to_curl(),
    ],
    ids=["exports", "cache", "journal", "form", "columns", "curl"],
)
def test_calls_that_need_no_key_do_not_open_the_keyring(
    no_account: object, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        credentials, "_from_keyring", lambda url: asked.append(url) or (SecretKey(), SecretKey())
    )
    act()
    assert asked == []
    # a locked one takes seconds, when a key is needed
    with pytest.raises(mt.CredentialsMissing):
        mt.Client()
    assert asked != []
