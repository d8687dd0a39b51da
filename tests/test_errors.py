"""The exceptions: one tree, pickling, and short messages without control characters."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mytracker_nb as mt
from mytracker_nb import errors
from mytracker_nb.errors import Problem, printable

REQUEST = mt.ExportRequest(event="hits", selectors="idDevice")
PROBLEMS = (
    Problem("event", "required", "error", "is missing", "what to export"),
    Problem("idApp", "duplicate", "warning", "7: given more than once"),
)
FACTS: dict[str, Any] = {"status": 400, "detail": "Argument", "payload": {"code": 400}}
EVERY: list[errors.MyTrackerError | errors.WaitInterrupted] = [
    mt.MyTrackerError("said"),
    mt.InvalidRequest(PROBLEMS),
    mt.CredentialsMissing("said"),
    mt.ConnectionFailed("said"),
    mt.CreateUnconfirmed("said", request=REQUEST),
    mt.ApiError("said", **FACTS),
    mt.BadRequest("said", **FACTS),
    mt.QueueFull("said", exports=[2, 3], **FACTS),
    mt.AccessDenied("said", **FACTS),
    mt.NotFound("said", **FACTS),
    mt.QuotaExceeded("said", retry_after=1.5, quotas=[{"name": "x", "count": 1}], **FACTS),
    mt.ExportFailed("said", export="export"),  # type: ignore[arg-type]
    mt.ExportTooLarge("said", export="export"),  # type: ignore[arg-type]
    mt.ExportCanceled("said", export="export"),  # type: ignore[arg-type]
    mt.ExportTimeout("said", export="export"),  # type: ignore[arg-type]
    errors.WaitInterrupted("said", export="export"),  # type: ignore[arg-type]
    mt.FileError("said", file="a.csv.gz", line=7),
    mt.LinkExpired("said", file="a.csv.gz"),
]
NAMES = [type(error).__name__ for error in EVERY]


def test_every_exception_is_tested_here() -> None:
    others = {"CODES", "Code", "Problem", "printable"}
    assert sorted(NAMES) == sorted(set(errors.__all__) - others)


def test_the_tree_of_the_docstring_is_the_real_one() -> None:
    tree = errors.__doc__ or ""
    for error in EVERY:
        assert type(error).__name__ in tree
    parents: list[tuple[int, str]] = [(0, "MyTrackerError")]
    for row in tree.splitlines():
        branch, dashes, rest = row.partition("── ")
        if dashes:
            name = rest.split()[0]
            while parents[-1][0] >= len(branch):
                parents.pop()
            assert parents[-1][1] in [base.__name__ for base in getattr(errors, name).__mro__[1:]]
            parents.append((len(branch), name))


@pytest.mark.parametrize("error", EVERY, ids=NAMES)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_an_exception_has_all_facts_after_a_pickle(error: Exception, protocol: int) -> None:
    for again in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert again.args == error.args
        assert vars(again) == vars(error)


@pytest.mark.parametrize("error", EVERY, ids=NAMES)
def test_an_exception_can_be_caught_by_its_family(error: BaseException) -> None:
    family = mt.MyTrackerError if isinstance(error, Exception) else KeyboardInterrupt
    assert isinstance(error, family)
    with pytest.raises(family):
        raise error


@pytest.mark.parametrize("kind", [type(error) for error in EVERY], ids=NAMES)
def test_an_exception_needs_no_facts(kind: type[BaseException]) -> None:
    assert isinstance(str(kind()), str)


def test_the_facts_have_the_documented_types() -> None:
    assert mt.QueueFull(exports=[2]).exports == (2,)
    assert mt.QuotaExceeded(quotas=[{"name": "x"}]).quotas == ({"name": "x"},)
    assert mt.QuotaExceeded().retry_after is None
    assert mt.FileError(file=3).file == "3"
    assert mt.InvalidRequest(list(PROBLEMS)).problems == PROBLEMS
    assert (mt.ApiError().status, mt.ApiError().detail, mt.ApiError().payload) == (0, "", None)


def test_a_bad_request_lists_everything() -> None:
    assert str(mt.InvalidRequest(PROBLEMS)) == (
        "the request has 1 error; nothing was sent\n"
        "  - event: is missing (what to export)\n"
        "  - warning: idApp: 7: given more than once"
    )
    assert "2 errors" in str(mt.InvalidRequest(PROBLEMS[:1] * 2))


# ---- on the screen


@pytest.mark.parametrize("error", EVERY, ids=NAMES)
def test_a_notebook_shows_one_short_message(error: Any) -> None:
    assert error._render_traceback_() == [f"{type(error).__name__}: {error}"]


def test_ipython_shows_it_and_the_cell_fails(
    shell: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_line_magic("xmode", "Verbose")
    capsys.readouterr()
    result = shell.run_cell(
        "import mytracker_nb as mt\n"
        "def ask(secret='s3cret'):\n"
        "    return mt.ExportRequest(event='install').wire()\n"
        "ask()"
    )
    assert isinstance(result.error_in_exec, mt.InvalidRequest)
    shown = "".join(capsys.readouterr())
    assert shown.startswith("InvalidRequest: the request has 3 errors; nothing was sent\n")
    assert "did you mean installs or reinstalls?" in shown
    assert "Traceback" not in shown
    assert "s3cret" not in shown


STEERING = [*range(9), *range(11, 32), *range(127, 160), 0x61C, 0x200E, 0x202E, 0x2066, 0xD800]


@pytest.mark.parametrize("code", STEERING, ids=hex)
def test_messages_have_no_control_characters(code: int) -> None:
    evil = f"a{chr(code)}b"
    assert printable(evil) == "a\ufffdb"
    assert chr(code) not in str(Problem(evil, "x", "error", evil, evil))
    assert chr(code) not in mt.ApiError(evil)._render_traceback_()[0]


@given(st.text())
def test_a_message_can_always_be_printed(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert len(shown) == len(text)
    assert printable(shown) == shown


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]) | st.sampled_from("\n\t")))
def test_harmless_characters_are_unchanged(text: str) -> None:
    assert printable(text) == text


def test_typed_control_characters_are_in_no_message() -> None:
    request = mt.ExportRequest(**{"event": "\x1b[2J", "a\x1b]0;x\x07": 1, "idApp": "\u202e1"})
    texts = [str(mt.InvalidRequest(request.problems)), *map(str, request.problems)]
    assert all(printable(text) == text for text in texts)
