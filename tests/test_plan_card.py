"""The card of a plan: its calendar, its texts, and escaping."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import mytracker_nb as mt
from mytracker_nb.display.plan_card import CardWindow, PieceState, PlanCard

MOSCOW = ZoneInfo("Europe/Moscow")


def days(
    first: str, states: list[PieceState], length: int = 1, zone: ZoneInfo = MOSCOW
) -> Iterator[CardWindow]:
    """Windows of so many days from `first` on."""
    start = datetime.fromisoformat(first).replace(tzinfo=zone)
    for state in states:
        end = start + timedelta(days=length)
        yield CardWindow(start, end, state, f"{start:%m-%d}")
        start = end


def card(windows: Any, zone: ZoneInfo = MOSCOW, **facts: Any) -> PlanCard:
    request = mt.ExportRequest(
        event="installs",
        selectors="idDevice",
        dateFrom="2026-01-01",
        dateTo="2026-01-31",
        timezone=str(zone),
        **facts.pop("parameters", {}),
    )
    default = {
        "share": 0.5,
        "seconds_left": None,
        "service": "http://127.0.0.1:1",
        "api_user_id": 1,
        "is_sandbox": True,
    }
    return PlanCard(request, tuple(windows), **{**default, **facts})


def drawn(shown: PlanCard) -> dict[str, str]:
    """The marks of each line of the calendar."""
    return {
        line.label: "".join(square.state.mark if square else " " for square in line.squares)
        for line in shown.calendar
    }


def test_a_month_is_a_line_of_days() -> None:
    states = [PieceState.DONE] * 3 + [PieceState.RUNNING, PieceState.WAITING]
    lines = drawn(card(days("2026-01-29", states)))
    assert {label: line.rstrip() for label, line in lines.items()} == {
        "2026-01": " " * 28 + "###",
        "2026-02": ">.",
    }
    assert {len(line) for line in lines.values()} == {31}


def test_windows_of_many_days_take_many_squares() -> None:
    states = [PieceState.DONE, PieceState.WAITING]
    assert drawn(card(days("2026-01-01", states, length=7)))["2026-01"].strip() == "#" * 7 + "." * 7


def test_hours_are_squares_where_the_plan_is_short() -> None:
    start = datetime(2026, 1, 1, 22, 30, tzinfo=MOSCOW)
    windows = [
        CardWindow(start, start + timedelta(hours=1), PieceState.DONE, "a"),
        CardWindow(start + timedelta(hours=1), start + timedelta(hours=3), PieceState.WAITING, "b"),
    ]
    assert {label: line.rstrip() for label, line in drawn(card(windows)).items()} == {
        "2026-01-01": " " * 22 + "#.",
        "2026-01-02": "..",
    }


def test_months_are_squares_where_the_plan_is_long() -> None:
    lines = drawn(card(days("2020-11-01", [PieceState.DONE] * 5, length=365)))
    assert lines["2020"] == " " * 10 + "##"
    assert lines["2021"] == "#" * 12
    assert list(lines) == ["2020", "2021", "2022", "2023", "2024", "2025"]


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia"])
def test_each_day_has_one_square_where_clocks_change(name: str) -> None:
    zone = ZoneInfo(name)
    lines = drawn(card(days("2018-10-01", [PieceState.DONE] * 61, zone=zone), zone=zone))
    assert lines == {"2018-10": "#" * 31, "2018-11": "#" * 30 + " "}


def test_an_hour_that_comes_twice_is_one_square() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    (window,) = days("2026-10-25", [PieceState.DONE], zone=berlin)
    assert drawn(card([window], zone=berlin)) == {"2026-10-25": "#" * 24}


def test_the_worst_of_several_pieces_in_a_square_shows() -> None:
    ((one,), (other,)) = (
        list(days("2026-01-05", [state])) for state in (PieceState.DONE, PieceState.FAILED)
    )
    shown = card([one, other, *days("2026-01-06", [PieceState.DONE] * 4)])
    assert drawn(shown)["2026-01"].strip() == "x####"
    (line,) = shown.calendar
    assert line.squares[4] is not None
    assert line.squares[4].title == "01-05: done; 01-05: failed"


def test_the_state_has_done_left_attention_and_time_left() -> None:
    states = [PieceState.DONE, PieceState.KEPT, PieceState.FAILED, PieceState.WAITING]
    assert (
        card(days("2026-01-01", states)).state == "2 of 4 exports done, 1 left, 1 needs attention"
    )
    assert card(days("2026-01-01", states), seconds_left=200).state.endswith(
        "about 3 minutes to go"
    )
    assert card(days("2026-01-01", states[:2]), seconds_left=0.0).state == "2 of 2 exports done"


def test_event_and_window_are_in_its_first_line() -> None:
    shown = card(days("2026-01-01", [PieceState.DONE] * 2))
    first, second, *_ = shown.text().splitlines()
    assert first == "MyTracker plan  installs, 2026-01-01 to 2026-01-31  [SANDBOX]"
    assert second.startswith("  2 of 2 exports done")
    head = shown.html().partition("</header>")[0]
    assert '<strong class="title">installs, 2026-01-01 to 2026-01-31</strong>' in head


@pytest.mark.parametrize("name", ["Europe/Moscow", "UTC", "Asia/Tokyo"])
def test_the_zone_is_named_once(name: str) -> None:
    zone = ZoneInfo(name)
    shown = card(
        days("2026-01-01", [PieceState.RUNNING], zone=zone), zone=zone, as_of=datetime.now(MOSCOW)
    )
    assert shown.text().count(name) == 1
    assert shown.html().partition("<summary>request")[0].count(name) == 1


def test_days_have_numbers() -> None:
    lines = card(days("2026-01-05", [PieceState.DONE] * 6)).text().splitlines()
    (place,) = (number for number, line in enumerate(lines) if "2026-01  " in line)
    ruler, month = lines[place - 1 : place + 1]
    assert ruler.split() == ["1", "5", "10", "15", "20", "25", "30"]
    # each number begins over its own day
    assert month.index("#") == ruler.index("5")
    assert month.rindex("#") == ruler.index("10")
    html = card(days("2026-01-05", [PieceState.DONE] * 6)).html()
    assert re.findall(r'<th scope="col">(\d+)</th>', html) == [str(n) for n in range(1, 32)]


@pytest.mark.parametrize(
    ("start", "length", "numbers"),
    [
        ("2026-01-01", 1, range(24)),
        ("2026-01-01", 30, range(1, 32)),
        ("2020-01-01", 1200, range(1, 13)),
    ],
)
def test_columns_are_numbered_by_what_they_are(start: str, length: int, numbers: range) -> None:
    assert card(days(start, [PieceState.DONE], length=length)).numbers == tuple(numbers)


def test_a_plan_that_was_not_started_says_so() -> None:
    windows = list(days("2026-01-01", [PieceState.WAITING] * 3))
    shown = card(windows, as_of=datetime.now(MOSCOW))
    for face in (shown.text(), shown.html()):
        assert "not started, 3 exports" in face
        assert "3 not started" in face
        assert "waiting" not in face.partition("</style>")[2].replace('class="waiting"', "")
        assert "last known" not in face
    running = card(windows, is_running=True)
    assert running.tone == "running"
    for face in (running.text(), running.html()):
        assert "0 of 3 exports done, 3 left" in face
        assert "3 waiting" in face


@pytest.mark.parametrize(
    ("state", "is_open"),
    [(PieceState.RUNNING, True), (PieceState.FAILED, True), (PieceState.DONE, False)],
)
def test_a_state_that_may_change_is_called_the_last_known_one(
    state: PieceState, is_open: bool
) -> None:
    moment = datetime(2026, 11, 23, 18, 3, 10, tzinfo=MOSCOW)
    shown = card(days("2026-01-01", [PieceState.DONE, state]), as_of=moment)
    for face in (shown.text(), shown.html()):
        assert ("last known state, as of 2026-11-23 18:03:10" in face) is is_open


def test_code_is_folded_in_html_and_short_in_text() -> None:
    shown = card(
        days("2026-01-01", [PieceState.DONE]),
        codes=(("run it", "plan.run()"), ("load the data", f"df = mt.plan(event={'x' * 90!r})")),
    )
    assert "  run it: plan.run()" in shown.text()
    assert f"  load the data: df = mt.plan(event={'x' * 90!r})" in shown.text()
    assert shown.html().count("<details>") == 2  # the longer one, and the request
    assert "<dd><code>plan.run()</code></dd>" in shown.html()
    long = card(days("2026-01-01", [PieceState.DONE]), codes=(("load the data", "x" * 201),))
    assert "load the data" not in long.text()


@pytest.mark.parametrize(
    ("states", "tone"),
    [
        ([PieceState.WAITING], ""),
        ([PieceState.DONE, PieceState.WAITING], "running"),
        ([PieceState.DONE, PieceState.KEPT], "good"),
        ([PieceState.DONE, PieceState.UNCONFIRMED], "bad"),
    ],
)
def test_the_tone_is_that_of_the_pieces(states: list[PieceState], tone: str) -> None:
    shown = card(days("2026-01-01", states))
    assert shown.tone == tone
    assert f'class="mytracker-card mytracker-plan {tone}"' in shown.html()


def test_every_state_has_a_mark_and_a_colour_of_its_own() -> None:
    shown = card(days("2026-01-01", list(PieceState)))
    text, html = shown.text(), shown.html()
    assert len({state.mark for state in PieceState}) == len(PieceState)
    for state in PieceState:
        assert f"{state.mark} 1 {state.word}" in text
        assert f'<td class="{state.name.lower()}"' in html
        assert f".mytracker-plan .{state.name.lower()} {{" in html


def test_texts_of_others_are_escaped() -> None:
    evil = "<img src=x onerror=alert(1)>"
    shown = card(
        days("2026-01-01", [PieceState.FAILED]),
        alerts=(("error", f"{evil}\x1b[2J"),),
        parameters={"idCountry": evil},
    )
    assert "<img" not in shown.html()
    assert "&lt;img src=x onerror=alert(1)&gt;" in shown.html()
    assert "\x1b" not in shown.text() + shown.html()


def test_it_loads_nothing() -> None:
    html = card(days("2026-01-01", [PieceState.DONE])).html()
    assert "<script" not in html
    assert "http://" not in html.replace("http://127.0.0.1:1", "")
    assert "SANDBOX" in html
