"""The examples in docstrings run as they are, over the sandbox."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from raw_client import created

import mytracker_nb as mt
from mytracker_nb.service import credentials
from mytracker_nb.service.credentials import Credentials

if TYPE_CHECKING:
    from mytracker_nb.sandbox.server import Sandbox

PUBLIC = [getattr(mt, name) for name in dir(mt) if name not in ("__version__", "sandbox")]
MUST_HAVE = [mt.export, mt.plan, mt.Client, mt.Export, mt.ExportRequest, mt.RawData]
WITH_EXAMPLES = [
    thing for thing in PUBLIC if ">>>" in (inspect.getdoc(thing) or "") and callable(thing)
]


@pytest.fixture
def account(start_sandbox: Callable[..., Sandbox], no_account: object) -> None:
    """An account of its own, whose one known export is what the examples call ``4``."""
    sandbox = start_sandbox()
    for _ in range(3):
        created(sandbox)
    credentials.use(Credentials(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url))
    week = {"dateFrom": "2025-11-03", "dateTo": "2025-11-09"}
    export = mt.export(event="installs", selectors="idDevice, tsEvent", **week)
    assert export.wait().id_raw_export == 4


def test_the_names_that_people_begin_with_have_examples() -> None:
    assert [thing for thing in [*MUST_HAVE, mt.RequestBuilder] if thing not in WITH_EXAMPLES] == []


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("thing", WITH_EXAMPLES, ids=lambda thing: thing.__name__)
def test_an_example_gives_what_it_shows(
    thing: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # an example may write files
    text = inspect.getdoc(thing) or ""
    test = doctest.DocTestParser().get_doctest(text, {"mt": mt}, thing.__name__, None, 0)
    shown: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=shown.append)
    assert result.failed == 0, "".join(shown)
    assert result.attempted > 0
