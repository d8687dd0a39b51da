"""The log of unattended jobs: ``logging`` under ``mytracker_nb``."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mytracker_nb as mt
from mytracker_nb.plans.plan import Plan
from mytracker_nb.service import retry

if TYPE_CHECKING:
    from fake_clock import FakeClock

    from mytracker_nb.sandbox import Sandbox

FACTS = {
    "event": "installs",
    "selectors": "idDevice, tsEvent",
    "dateFrom": "2026-09-07",
    "dateTo": "2026-09-13",
    "timezone": "UTC",
}
REQUEST = mt.ExportRequest(**FACTS)
OF_ONE_APP = mt.ExportRequest(**FACTS, SDKKey="31415926535897932384")


@pytest.fixture
def sandbox(start_sandbox: Callable[..., Sandbox]) -> Sandbox:
    return start_sandbox(seconds=0, without_quotas=True)


@pytest.fixture
def client(sandbox: Sandbox) -> mt.Client:
    return mt.Client(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)


def test_an_export_logs_its_outcome(client: mt.Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mytracker_nb")
    rows = len(client.export(REQUEST).to_pandas())
    assert rows > 0
    messages = caplog.messages
    brief = "installs dateFrom=2026-09-07 dateTo=2026-09-13"
    assert messages[0] == f"export 1 created: {brief}"
    assert re.fullmatch(r"export 1 finished: Success!, files: [1-9]\d*", messages[1])
    assert all(re.fullmatch(r"downloaded \S+\.csv\.gz: [\d,]+ bytes", m) for m in messages[2:-1])
    assert len(messages) == 3 + int(messages[1].rpartition(" ")[2])
    assert messages[-1].startswith(f"read {rows} rows, files: ")


def test_an_export_that_is_reused_is_logged_and_read_from_the_cache(
    client: mt.Client, caplog: pytest.LogCaptureFixture
) -> None:
    rows = len(client.export(REQUEST).to_pandas())
    caplog.set_level(logging.INFO, "mytracker_nb")
    assert len(client.export(REQUEST).to_arrow()) == rows
    text = caplog.text
    assert "export 1 reused: installs dateFrom=2026-09-07" in text
    assert re.search(r"read \S+\.csv\.gz from the cache: [\d,]+ bytes", text)
    assert "created:" not in text
    assert "downloaded" not in text


def test_each_wait_for_a_fault_is_logged_once(
    client: mt.Client, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, fake_clock: FakeClock
) -> None:
    caplog.set_level(logging.INFO, "mytracker_nb")
    export = client.export(REQUEST)
    sandbox.faults.add(path="/get.json", times=2, status=503)
    sandbox.faults.add(path=".csv.gz", status=429, headers={"Retry-After": "7"})
    export.to_arrow()
    waits = [m for m in caplog.messages if m.startswith("retrying in")]
    assert len(waits) == 3
    assert sum("503" in wait for wait in waits) == 2
    assert "retrying in 7 s: " in waits[2]


def test_a_response_that_takes_long_is_logged(
    client: mt.Client,
    sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO, "mytracker_nb")
    client.quotas()
    assert caplog.messages == []
    monkeypatch.setattr(retry, "_SLOW", 0.05)
    sandbox.faults.add(path="/quotas/get.json", delay=1)
    client.quotas()
    assert caplog.messages == [f"waiting for a response from {sandbox.base_url}"]


def test_a_wait_for_the_directory_of_a_dataset_is_logged_once(
    client: mt.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mytracker_nb")
    plan = Plan(client, REQUEST)
    for _ in range(3):
        plan._wait_for_directory(0.3)
    assert caplog.messages == ["waiting for another process that writes to the same directory"]


def test_a_dataset_logs_until_when_it_is_complete(
    client: mt.Client, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mytracker_nb")
    Plan(client, REQUEST).to_parquet(tmp_path / "installs")
    assert f"dataset {tmp_path / 'installs'}: complete as of 20" in caplog.messages[-1]


def test_no_level_of_the_log_holds_the_key_a_signature_or_a_filter(
    client: mt.Client, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, fake_clock: FakeClock
) -> None:
    caplog.set_level(logging.DEBUG, "mytracker_nb")
    sandbox.faults.add(path="/create.json", status=429, headers={"Retry-After": "1"})
    sandbox.faults.add(path="/get.json", status=503)
    sandbox.faults.add(path=".csv.gz", reset="before")
    client.export(OF_ONE_APP).to_arrow()
    with pytest.raises(mt.AccessDenied):
        mt.Client(sandbox.api_user_id, "another key, 0123456789", sandbox.base_url).quotas()
    records = "".join(f"{record.getMessage()}{record.args}" for record in caplog.records)
    assert records.count("retrying in") >= 3
    for secret in (sandbox.secret_key, "0123456789", "AuthHMAC", "3141592653"):
        assert secret not in records


def test_nothing_is_printed_where_logging_is_not_set_up(
    client: mt.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    assert len(client.export(REQUEST).to_arrow()) > 0
    assert capfd.readouterr() == ("", "")
