"""Tab completion in the magics."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.completer import provisionalcompleter

from mytracker_nb.magics.completion import Completions, Syntax, complete
from mytracker_nb.request.dictionaries import dictionary
from mytracker_nb.request.parameters import PARAMETERS
from mytracker_nb.request.request import ExportRequest

SYNTAX = {
    "mytracker_export": Syntax({"--wait": "", "--out": "", "--dry-run": ""}, parameters=True),
    "mytracker_sandbox": Syntax({"--keep": "", "--stop": ""}),
}


def completed(code: str) -> Completions | None:
    """The completions at the ``|`` in `code`."""
    return complete(code.replace("|", ""), code.index("|"), SYNTAX, lambda: ["apps", "_", "df"])


def texts(code: str) -> list[str]:
    found = completed(code)
    return [candidate.text for candidate in found.candidates] if found else []


def test_an_empty_line_offers_all_parameters_in_their_order() -> None:
    assert texts("%mytracker_export |") == [f"{name}=" for name in PARAMETERS]


def test_a_cell_writes_them_with_space() -> None:
    assert texts("%%mytracker_export\n|") == [f"{name} = " for name in PARAMETERS]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("%mytracker_export da|", ["dateFrom=", "dateTo="]),
        ("%mytracker_export DATE|", ["dateFrom=", "dateTo="]),
        ("%mytracker_export dateFrom=today da|", ["dateTo="]),
        ("%mytracker_export da| dateTo=today", ["dateFrom="]),
        ("%mytracker_export idApp[]=1 idAp|", []),
        ("x = %mytracker_export ev|", ["event=", "eventName=", "eventNameInvert="]),
        ("a = 1\n%mytracker_export da|\nb = 2", ["dateFrom=", "dateTo="]),
        ("%mytracker_export event=installs \\\n    sel|", ["selectors="]),
        ("%%mytracker_export --wait da|\nevent = installs", ["dateFrom=", "dateTo="]),
        ("%%mytracker_export\nda|\ndateTo = today", ["dateFrom = "]),
        ("%%mytracker_export\nda| = 2026-11-01", ["dateFrom", "dateTo"]),
        ("\n\n%%mytracker_export\n  sel|", ["selectors = "]),
    ],
)
def test_names_of_parameters(code: str, expected: list[str]) -> None:
    assert texts(code) == expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("customEvents", ["eventName = ", "eventNameInvert = "]),
        ("installs", []),
        ("mistyped", ["eventName = ", "eventNameInvert = "]),
    ],
)
def test_parameters_suit_the_event(event: str, expected: list[str]) -> None:
    assert texts(f"%%mytracker_export\neventN|\nevent = {event}") == expected


@pytest.mark.parametrize(
    ("code", "fragment", "expected"),
    [
        ("%mytracker_export event=inst|", "inst", ["installs"]),
        ("%mytracker_export timezone=Europe/Mo|", "Europe/Mo", ["Europe/Moscow"]),
        ("%mytracker_export rooted=|", "", ["0", "1", "2"]),
        ("%mytracker_export rooted=N|", "N", ['"Not rooted"']),
        ("%mytracker_export idCountry=ru|", "ru", ["RU"]),
        ("%mytracker_export idCountry=KZ,188|", "188", ["188"]),
        ("%mytracker_export idCountry='Cost|", "'Cost", ["'Costa Rica'"]),
        ("%%mytracker_export\nidCountry = RU, Costa R|", "Costa R", ['"Costa Rica"']),
        ("%mytracker_export dateFrom=tod|", "tod", ["today", "today-7d", "today-30d"]),
        ("%mytracker_export dateTo=this|", "this", ["this-week", "this-month"]),
        ("%mytracker_export idApp=$a|", "$a", ["$apps"]),
        ("%mytracker_export idApp=1,$|", "$", ["$apps", "$df"]),
        ("%%mytracker_export\nevent =\n    inst|", "inst", ["installs"]),
    ],
)
def test_values(code: str, fragment: str, expected: list[str]) -> None:
    found = completed(code)
    assert found is not None
    assert found.fragment == fragment
    assert [candidate.text for candidate in found.candidates] == expected


@pytest.mark.parametrize(
    "code",
    [
        "%mytracker_export selectors=idDevice,tsE|",
        "%mytracker_export selectors=idDevice, tsE|",
        "%mytracker_export selectors=idDevice ,tsE|,dtEvent dateFrom=today",
        "%%mytracker_export\nselectors = idDevice, tsE|",
        "%%mytracker_export\nselectors = idDevice,\n            tsE|\nevent = installs",
        "%%mytracker_export\nselectors = idDevice,   # the device, of course\n   tsE|",
    ],
)
def test_columns_within_a_list(code: str) -> None:
    found = completed(code)
    assert found is not None
    assert found.fragment == "tsE"
    assert [candidate.text for candidate in found.candidates] == ["tsEvent"]


def test_a_list_offers_no_value_twice() -> None:
    everything = texts("%mytracker_export selectors=|")
    rest = texts("%mytracker_export selectors=idDevice, tsEvent, |")
    assert set(everything) - set(rest) == {"idDevice", "tsEvent"}
    assert "RU" not in texts("%mytracker_export idCountry=188,|")


def test_columns_that_the_event_is_known_to_have_come_first() -> None:
    offered = texts("%mytracker_export event=installs selectors=|")
    known = [e for e in dictionary("selector").values() if "installs" in e.seen_with]  # type: ignore[attr-defined]
    assert {entry.value for entry in known} == set(offered[: len(known)])
    assert len(offered) == len(dictionary("selector"))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("%mytracker_export --|", ["--wait", "--out", "--dry-run"]),
        ("%mytracker_export --wait --|", ["--out", "--dry-run"]),
        ("%mytracker_export event=installs --w|", ["--wait"]),
        ("%%mytracker_export --o|\nevent = installs", ["--out"]),
        ("%%mytracker_export\n--o|", []),
        ("%mytracker_sandbox --|", ["--keep", "--stop"]),
        ("%mytracker_sandbox |", []),
    ],
)
def test_options(code: str, expected: list[str]) -> None:
    assert texts(code) == expected


@pytest.mark.parametrize(
    "code",
    [
        "print(|",
        "%mytracker_exp|",
        "%%mytracker_export|",
        "a = b %mytracker_export |",
        "%%time\nx = 1|",
        "%mytracker_export\n|",
        "%mytracker_export idApp={ap|",
        "%mytracker_export event=installs,|",
        "%mytracker_export unheard=|",
        "%%mytracker_export\nevent = installs |",
        "%%mytracker_export\n# ev|",
        "%%mytracker_export\nevent = installs # ev|",
    ],
)
def test_elsewhere_nothing_is_offered(code: str) -> None:
    assert completed(code) is None


PIECES = ["event", "=", "installs", ",", " ", "\n", "idCountry", "'", '"', "$", "{", "}", "#", "--"]


@given(
    st.sampled_from(["%mytracker_export ", "%%mytracker_export\n", "x = %mytracker_export ", ""]),
    st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join),
    st.data(),
)
def test_any_text_is_survived_and_the_fragment_ends_at_the_cursor(
    magic: str, body: str, data: st.DataObject
) -> None:
    code = magic + body
    position = data.draw(st.integers(0, len(code)))
    found = complete(code, position, SYNTAX, list)
    if found is not None:
        assert found.candidates
        assert code[:position].endswith(found.fragment)


@given(st.sampled_from([p for p in PARAMETERS.values() if p.dictionary]), st.data())
def test_what_is_offered_is_understood(parameter: Any, data: st.DataObject) -> None:
    start = f"%mytracker_export {parameter.name}="
    typed = data.draw(st.sampled_from([entry.value[:2] for entry in parameter.dictionary.values()]))
    for text in texts(f"{start}{typed}|"):
        problems = ExportRequest.from_magic(start + text).problems
        about = [p.code for p in problems if p.parameter == parameter.name]
        assert set(about) <= {"slow_selector", "not_for_event", "no_effect"}


def test_the_shell_offers_the_same(shell: Any) -> None:
    code = "%mytracker_export event=installs selectors=idDevice,tsE"
    with provisionalcompleter():
        offered = list(shell.Completer.completions(code, len(code)))
    assert [(item.text, item.start, item.end) for item in offered] == [("tsEvent", 52, 55)]


@pytest.mark.parametrize(
    ("code", "replaced", "offered"),
    [
        ("%mytracker_export event=installs selectors=idDevice,tsE|", "tsE", ["tsEvent"]),
        ("%mytracker_export timezone=Europe/Mo|", "Europe/Mo", ["Europe/Moscow"]),
        ("export = %mytracker_export --dr|\nexport", "--dr", ["--dry-run"]),
        ("%%mytracker_export\nselectors = idDevice,\n    tsE|\n", "tsE", ["tsEvent"]),
        ("# \U0001f600\n%mytracker_export sel|", "sel", ["selectors="]),
        ("%mytracker_exp|", "%mytracker_exp", None),
    ],
)
def test_a_notebooks_kernel_replaces_what_is_typed(
    kernel: Any, code: str, replaced: str, offered: list[str] | None
) -> None:
    position = code.index("|")
    code = code.replace("|", "")
    reply = kernel.complete(code, position, reply=True, timeout=60)["content"]
    assert code[reply["cursor_start"] : reply["cursor_end"]] == replaced
    if offered is not None:
        assert reply["matches"] == offered
    else:
        assert "%mytracker_export" in reply["matches"]
