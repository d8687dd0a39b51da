"""Docstrings of public names: their examples run over the sandbox, and no section is missing."""

from __future__ import annotations

import doctest
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from raw_client import created

import mytracker_nb as mt
from mytracker_nb.request.parameters import PARAMETERS
from mytracker_nb.service import credentials
from mytracker_nb.service.credentials import Credentials

if TYPE_CHECKING:
    from mytracker_nb.sandbox.server import Sandbox

NAMES = [name for name in dir(mt) if name not in ("__version__", "sandbox")]
PUBLIC = [*(getattr(mt, name) for name in NAMES), mt.sandbox.start]
MUST_HAVE = [
    *(mt.export, mt.exports, mt.plan, mt.sandbox.start),
    *(mt.Client, mt.Export, mt.ExportRequest, mt.Exports, mt.Plan, mt.Problem, mt.RawData),
    mt.RequestBuilder,
]
WITH_EXAMPLES = [
    thing for thing in PUBLIC if ">>>" in (inspect.getdoc(thing) or "") and callable(thing)
]


def functions() -> Iterator[Callable[..., object]]:
    """The public functions, and the public methods of public classes that this package defines."""
    for thing in PUBLIC:
        if not inspect.isclass(thing):
            yield thing
            continue
        for owner in thing.__mro__:
            if owner.__module__.startswith("mytracker_nb"):
                for name, member in vars(owner).items():
                    method = getattr(member, "__func__", member)  # of a class or static method
                    if inspect.isfunction(method) and not name.startswith("_"):
                        yield method


def sections(function: Callable[..., object]) -> dict[str, str]:
    """The sections of a docstring in NumPy style, by their titles."""
    text = inspect.getdoc(function) or ""
    _, *parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize(
    "function", dict.fromkeys(functions()), ids=lambda function: function.__qualname__
)
def test_a_docstring_describes_each_parameter_and_the_result(
    function: Callable[..., object],
) -> None:
    found, signature = sections(function), inspect.signature(function)
    described = re.findall(r"^(\S.*?)(?: : .*)?$", found.get("Parameters", ""), re.MULTILINE)
    names = {name.lstrip("*") for line in described for name in line.split(", ")}
    if "parameters" in names:
        names |= PARAMETERS.keys()
    assert {*signature.parameters} - {"self", "cls"} - names == set()
    if signature.return_annotation not in (None, "None"):
        assert "Returns" in found


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


def test_the_main_names_have_examples() -> None:
    assert [thing for thing in MUST_HAVE if thing not in WITH_EXAMPLES] == []


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("thing", WITH_EXAMPLES, ids=lambda thing: thing.__name__)
def test_an_example_prints_what_it_shows(
    thing: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # an example may write files
    text = inspect.getdoc(thing) or ""
    test = doctest.DocTestParser().get_doctest(text, {"mt": mt}, thing.__name__, None, 0)
    shown: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=shown.append)
    assert result.failed == 0, "".join(shown)
    assert result.attempted > 0
