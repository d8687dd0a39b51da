"""`mt.exports` and ``%mytracker_exports``: the list of earlier exports."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from IPython.core.error import UsageError

import mytracker_nb as mt
from mytracker_nb.client.client import client_for, default_client
from mytracker_nb.service import credentials
from mytracker_nb.service.credentials import Credentials
from mytracker_nb.service.rate_limit import RateLimiter
from mytracker_nb.storage.journal import Journal

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from mytracker_nb.sandbox.server import Sandbox

WEEK = {"dateFrom": "2025-11-03", "dateTo": "2025-11-09"}
INSTALLS: dict[str, Any] = {"event": "installs", "selectors": "idDevice,tsEvent", **WEEK}


@pytest.fixture
def account(no_account: object, start_sandbox: Callable[..., Sandbox]) -> Sandbox:
    """A sandbox of one's own, whose account is in use."""
    sandbox = start_sandbox()
    credentials.use(Credentials(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url))
    return sandbox


def html(found: mt.Exports) -> str:
    return found._repr_mimebundle_()["text/html"]


def test_exports_can_be_distinguished(account: Sandbox) -> None:
    def create(**other: Any) -> None:
        mt.Client().create(mt.ExportRequest(**{**INSTALLS, **other}))

    create()
    create(idCountry=["RU", "DE", "KZ", "US"])
    create(dateTo="2025-11-10")
    create(timezone="UTC")
    create(selectors="idDevice,tsEvent,idApp")
    create(selectors="tsEvent,idDevice")
    create(event="sessions")
    found = mt.exports()
    table = found.table()
    assert list(found) == [7, 6, 5, 4, 3, 2, 1]
    rows = {(row.event, row.window, row.filters, table.columns(row)) for row in table.exports}
    assert len(rows) == 7
    text, page = str(found), html(found)
    for words in (
        "2025-11-03 to 2025-11-09 UTC",
        "Countries: Russia, Germany, Kazakhstan and 1 more",
        "with idApp",
        "SANDBOX",
    ):
        assert words in text
        assert words in page


def test_statuses_are_refreshed_when_it_is_shown(start_sandbox: Any, no_account: object) -> None:
    sandbox = start_sandbox(seconds=0.5)
    credentials.use(Credentials(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url))
    for day in ("2025-11-03", "2025-11-04"):
        mt.Client().create(mt.ExportRequest(**{**INSTALLS, "dateFrom": day}))
    before = len(sandbox.requests)
    assert "In progress" in str(mt.exports(offline=True))
    assert len(sandbox.requests) == before
    mt.attach(1).wait()
    mt.attach(2).wait()
    before = len(sandbox.requests)
    found = mt.exports()
    assert found.frame["status"].tolist() == ["Success!", "Success!"]
    assert str(found).count("Success!") == 2
    assert len(sandbox.requests) == before, "final ones are not asked for"


def test_each_running_export_is_polled_once(account: Sandbox) -> None:
    for day in range(3, 6):
        mt.Client().create(mt.ExportRequest(**{**INSTALLS, "dateFrom": f"2025-11-0{day}"}))
    before = len(account.requests)
    page = html(mt.exports())
    assert len(account.requests) == before + 3
    assert page.count("Success!") >= 3
    row = mt.exports(offline=True).frame.iloc[0]
    assert (row["status"], row["files"] > 0, row["sandbox"]) == ("Success!", True, True)
    assert row["filesUntil"] > pd.Timestamp.now("UTC")


def test_the_rate_limit_ends_the_refresh(account: Sandbox) -> None:
    for day in range(3, 6):
        mt.Client().create(mt.ExportRequest(**{**INSTALLS, "dateFrom": f"2025-11-0{day}"}))
    default_client().api.rate_limiter = RateLimiter({60.0: 1})
    before = len(account.requests)
    text = str(mt.exports())
    assert len(account.requests) == before + 1
    assert "statuses are as last known: rate limit reached" in text
    assert text.count("In progress") == 2


def test_without_a_response_statuses_are_as_last_known(account: Sandbox) -> None:
    mt.Client().create(mt.ExportRequest(**INSTALLS))
    account.faults.add(path="/get.json", times=1, status=503)
    text = str(mt.exports())
    assert "In progress" in text
    assert "as last known" in text
    assert "Success!" in str(mt.exports())


def test_an_export_that_the_service_does_not_find_is_marked(account: Sandbox) -> None:
    client = mt.Client()
    with client.journal.record_create(mt.ExportRequest(**INSTALLS)) as create:
        create.answer(77)
    assert "Not found" in str(mt.exports())
    assert mt.exports(offline=True).frame["status"].tolist() == ["Not found"]


def test_the_rows_are_known_once_they_were_loaded(account: Sandbox) -> None:
    export = mt.export(**INSTALLS)
    assert export.rows is None
    frame = export.to_pandas()
    assert export.rows == len(frame) > 10
    assert f"{len(frame):,} rows" in str(mt.exports())
    assert mt.exports()[1].rows == len(frame)
    assert mt.exports().frame["rows"].tolist() == [len(frame)]


def test_an_id_attaches(account: Sandbox) -> None:
    made = mt.export(**INSTALLS)
    found = mt.exports()
    assert found[made.id_raw_export] == made
    assert made.id_raw_export in found
    with pytest.raises(KeyError, match="no export 99"):
        found[99]


def test_another_account_is_named(account: Sandbox) -> None:
    other = Journal(Credentials(account.api_user_id + 1, "its-own-key", account.base_url))
    with other.record_create(mt.ExportRequest(**INSTALLS)) as create:
        create.answer(5)
    mt.export(**INSTALLS)
    found = mt.exports()
    assert f"account {account.api_user_id + 1}" in str(found)
    assert "is not in use" in str(found)
    with pytest.raises(mt.MyTrackerError, match=f"mytracker_login {account.api_user_id + 1}"):
        found[5]
    assert list(mt.exports(account=account.api_user_id)) == [1]


def test_it_can_be_filtered(account: Sandbox) -> None:
    for event in ("installs", "sessions", "installs"):
        mt.Client().create(mt.ExportRequest(**{**INSTALLS, "event": event}))
    assert list(mt.exports("installs")) == [3, 1]
    assert list(mt.exports(last=2)) == [3, 2]
    with pytest.raises(ValueError, match="did you mean installs"):
        mt.exports("instals")
    with pytest.raises(ValueError, match="from 1"):
        mt.exports(last=0)


def test_a_long_list_is_shortened(account: Sandbox) -> None:
    client = client_for(credentials.find())
    for number in range(1, 26):
        with client.journal.record_create(mt.ExportRequest(**INSTALLS)) as create:
            create.answer(number)
        client.journal.update_status(number, "Success!")
    assert "20 of 25 exports" in str(mt.exports())
    assert "--last 25" in str(mt.exports())
    assert "25 exports, newest first" in str(mt.exports(last=25))
    assert len(mt.exports().frame) == 25


def test_the_list_is_empty_before_the_first_export(
    no_account: object, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("MYTRACKER_NB_DATA_DIR", str(tmp_path))
    found = mt.exports()
    assert len(found) == 0
    assert "0 exports" in str(found)
    assert "No export" in html(found)
    assert list(found.frame.columns)[:2] == ["idRawExport", "event"]


def test_a_create_without_an_id_says_why(account: Sandbox) -> None:
    account.faults.add(path="/create.json", reset="after")
    with pytest.raises(mt.CreateUnconfirmed):
        mt.export(**INSTALLS)
    text = str(mt.exports())
    assert "Unconfirmed" in text
    assert "no response" in text


def test_the_code_below_the_table_runs(account: Sandbox) -> None:
    made = mt.export(**INSTALLS).wait()
    (code,) = re.findall(r"To attach to one: (.+)", str(mt.exports()))
    names: dict[str, Any] = {}
    module = ast.parse(code)
    *before, last = module.body
    assert isinstance(last, ast.Expr)
    exec(compile(ast.Module(before, []), "pasted", "exec"), names)
    frame = eval(compile(ast.Expression(last.value), "pasted", "eval"), names)
    pd.testing.assert_frame_equal(frame, made.to_pandas())


def test_what_is_shown_is_escaped(account: Sandbox) -> None:
    attack = "<img src=x onerror=alert(1)>\x1b[31m"
    request = mt.ExportRequest(
        event="customEvents", selectors="idDevice", eventName=[attack], **WEEK
    )
    mt.Client().create(request)
    assert "<img" not in html(mt.exports())
    assert "\x1b" not in str(mt.exports())


def test_the_magic(account: Sandbox, shell: InteractiveShell) -> None:
    credentials.use(Credentials(account.api_user_id, account.secret_key, account.base_url))
    for event in ("installs", "sessions"):
        mt.Client().create(mt.ExportRequest(**{**INSTALLS, "event": event}))
    found = shell.run_line_magic("mytracker_exports", "--event sessions --last 1 --offline")
    assert list(found) == [2]
    assert "In progress" in str(found)
    found = shell.run_line_magic("mytracker_exports", f"--account {account.api_user_id}")
    assert list(found) == [2, 1]
    with pytest.raises(UsageError, match="did you mean"):
        shell.run_line_magic("mytracker_exports", "--event instals")
