"""How the facts of an export look, as HTML and as plain text."""

from __future__ import annotations

import ast
import re
import sys
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mytracker_nb
from mytracker_nb.display.export_card import Card, Download
from mytracker_nb.request.request import ExportRequest

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

MOMENT = datetime(2026, 11, 23, 15, 3, 10, tzinfo=timezone.utc)
ATTACK = "<img src=x onerror=alert(1)>"
WEEK = {
    "event": "installs",
    "selectors": "idDevice,tsEvent",
    "dateFrom": "2026-11-01",
    "dateTo": "2026-11-07",
}
ELEMENTS = {
    *("div", "style", "header", "strong", "span", "progress", "p", "ul", "li", "dl", "dt", "dd"),
    *("code", "pre", "details", "summary", "br"),
}


class Page(HTMLParser):
    """The elements of an HTML text and what a reader sees of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.attributes: dict[str, list[str | None]] = {}
        self.words: list[str] = []
        self.folded: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "br":
            self.open.append(tag)
        self.elements.append(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        is_folded = "details" in self.open and "summary" not in self.open
        (self.folded if is_folded else self.words).append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def page(card: Card) -> Page:
    return Page(card.html())


def request(**parameters: Any) -> ExportRequest:
    return ExportRequest(**{**WEEK, **parameters})


def both(card: Card) -> list[str]:
    """What a person reads of the card in a notebook and in a terminal."""
    return [page(card).text, " ".join(card.text().split())]


def seen(card: Card, *texts: str) -> bool:
    return all(text in face for face in both(card) for text in texts)


def test_the_id_and_the_code_to_attach_are_shown() -> None:
    card = Card(request(), 4, "In progress", service="https://tracker.my.com", api_user_id=77658)
    assert seen(card, "idRawExport 4", "import mytracker_nb as mt; mt.attach(4)")
    assert seen(card, "https://tracker.my.com, API user 77658")


@pytest.mark.parametrize(
    ("status", "is_cancellable", "shown"),
    [
        ("In progress", True, True),
        ("In progress", False, False),
        ("In progress", None, False),
        ("Success!", True, False),
    ],
)
def test_a_card_says_how_to_cancel(status: str, is_cancellable: bool | None, shown: bool) -> None:
    card = Card(request(), 4, status, is_cancellable=is_cancellable)
    assert seen(card, "mt.attach(4).cancel()") is shown


def test_parameters_are_in_the_order_of_the_documentation() -> None:
    card = Card(ExportRequest(idApp=1, **dict(reversed(WEEK.items())), timezone="Asia/Tokyo"), 4)
    names = ["event", "selectors", "dateFrom", "dateTo", "timezone", "idApp"]
    for face in both(card):
        assert sorted(names, key=lambda name: face.index(f" {name} ")) == names


@pytest.mark.parametrize(
    ("parameters", "in_html", "in_text"),
    [
        ({"idCountry": ["RU", 200]}, "188 Russia, 200 United States", "188 (Russia), 200 (United"),
        ({"rooted": 1}, "1 Rooted", "1 (Rooted)"),
        ({"event": "appUpdates"}, "appUpdates App updates", "appUpdates (App updates)"),
        ({"event": "installs"}, "event installs selectors", "event installs selectors"),
        ({"idApp": [7]}, "idApp 7 ", "idApp 7 "),
        ({"dateTo": "2026-11-01"}, "2026-11-01 1 day", "(1 day)"),
        ({"timezone": "Asia/Tokyo"}, "2026-11-07 7 days", "(7 days)"),
        (
            {"tsFrom": 1793480400, "tsTo": 1793480401, "timezone": "Asia/Tokyo"},
            "1793480400 2026-11-01 06:00:00",
            "1793480400 (2026-11-01 06:00:00)",
        ),
    ],
)
def test_values_have_their_titles(parameters: dict[str, Any], in_html: str, in_text: str) -> None:
    html, text = both(Card(request(**parameters), 4))
    assert in_html in html
    assert in_text in text


@pytest.mark.parametrize(
    ("status", "progress", "shown", "bar"),
    [
        ("In progress", 0.649, "In progress, 64 %", "0.649"),
        ("In progress", 0.999, "In progress, 99 %", "0.999"),
        ("In progress", 7.0, "In progress, 100 %", "1.0"),
        ("In progress", None, "In progress", None),
        ("In progress", float("nan"), "In progress", None),
        ("In progress", -1, "In progress", None),
        ("Success!", None, "Success!", "1.0"),
        ("Canceled by user", 0.3, "Canceled by user", "0.3"),
        ("Сделано?", None, "Сделано?", None),
        (None, None, "status not known yet", None),
    ],
)
def test_the_status_is_that_of_the_service_with_a_bar(
    status: str | None, progress: float | None, shown: str, bar: str | None
) -> None:
    card = Card(request(), 4, status, progress)
    assert card.state == shown
    assert seen(card, shown)
    assert page(card).attributes.get("value") == (bar and [bar])
    assert bool(re.search(r"\[[#.]+\]", card.text())) is (bar is not None)


def test_a_dry_run_says_that_nothing_was_sent_and_lists_all_problems() -> None:
    card = Card(request(event="instals", idApp=[1, 1], dateTo=None), code="curl -X POST ...")
    assert seen(card, "dry run: 2 errors, nothing was sent", "curl -X POST ...")
    assert seen(card, "error event: 'instals' is", "error dateTo: required when dateFrom is set")
    assert seen(card, "warning idApp: 1: repeated")
    assert not seen(card, "attach")
    assert seen(Card(request()), "dry run: valid, nothing was sent")


def test_an_accepted_request_has_no_errors() -> None:
    card = Card(request(event="brandNewEvent", idApp=[1, 1]), 4, "In progress")
    assert seen(card, "brandNewEvent", "warning idApp: 1: repeated")
    for face in both(card):
        assert "error" not in face


def test_notes_and_the_services_explanation_are_shown() -> None:
    card = Card(
        request(),
        4,
        "User error occurred",
        error_message="Too many lines in export",
        notes=("adopted, made 12 minutes ago; --fresh makes a new one",),
    )
    assert seen(card, "error the service says: Too many lines in export", *card.notes)


def test_times_are_in_the_zone_of_the_request_which_is_named_once() -> None:
    tokyo = Card(request(timezone="Asia/Tokyo"), 4, "Success!", created_at=MOMENT)
    assert seen(tokyo, "created 2026-11-24 00:03:10")
    assert seen(Card(None, 4, created_at=MOMENT), "created 2026-11-23 15:03:10", "times in UTC")
    files = (("4.installs.0.csv.gz", MOMENT, None),)
    usual = Card(request(), 4, "Success!", created_at=MOMENT, updated_at=MOMENT, files=files)
    assert seen(usual, "created 2026-11-23 18:03:10")
    for card, zone in ((tokyo, "Asia/Tokyo"), (usual, "Europe/Moscow")):
        # the last line of the text is the request as code
        text = card.text().partition("edit in form")[0]
        assert text.count(zone) == 1
        assert " ".join(Page(card.html()).words).count(zone) == 1


def test_the_names_of_files_are_folded_away() -> None:
    files = (
        ("4.installs.0.csv.gz", MOMENT, 1_234_567),
        ("4.installs.1.csv.gz", MOMENT + timedelta(hours=1), 0),
        ("4.installs.2.csv.gz", None, None),
    )
    card = Card(request(), 4, "Success!", files=files)
    html, text = both(card)
    assert "3 files, until 2026-11-23 18:03:10" in html
    assert "3 files, until 2026-11-23 18:03:10" in text
    assert "4.installs" not in text
    folded = " ".join(" ".join(Page(card.html()).folded).split())
    assert "4.installs.0.csv.gz 1.2 MB, until 2026-11-23 18:03:10" in folded
    assert "4.installs.1.csv.gz 0 Bytes" in folded
    assert not any("4.installs" in word for word in Page(card.html()).words)


@pytest.mark.parametrize(
    ("facts", "result"),
    [
        ({}, ""),
        ({"elapsed": 5.2}, "5 s"),
        ({"elapsed": 65.0, "row_count": 822}, "822 rows x 2 columns, 1 min 5 s"),
        ({"row_count": 1, "size": 1_200_000}, "1 row x 2 columns, 1.2 MB"),
        (
            {"row_count": 1234, "files": (("a", None, 100), ("b", None, 200)), "elapsed": 0.26},
            "1,234 rows x 2 columns, 2 files, 300 Bytes, 0.3 s",
        ),
    ],
)
def test_the_result_says_what_is_known(facts: dict[str, Any], result: str) -> None:
    card = Card(request(), 4, "Success!", **facts)
    assert card.result == result
    assert seen(card, result)


@pytest.mark.parametrize(
    ("status", "is_open"), [("In progress", True), ("Paused", True), ("Success!", False)]
)
def test_a_state_that_may_change_is_called_the_last_known_one(status: str, is_open: bool) -> None:
    card = Card(request(), 4, status, updated_at=MOMENT)
    assert seen(card, "last known state, as of 2026-11-23 18:03:10") is is_open
    assert seen(card, "current state import mytracker_nb as mt; mt.attach(4)") is is_open


def test_the_code_has_the_name_that_the_notebook_has(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(request(), 4, "Success!")
    assert seen(card, "load the data import mytracker_nb as mt; df = mt.attach(4).to_pandas()")
    monkeypatch.setattr(sys.modules["__main__"], "tracker", mytracker_nb, raising=False)
    assert seen(card, "load the data df = tracker.attach(4).to_pandas()")
    # the name may be taken
    monkeypatch.setattr(sys.modules["__main__"], "mt", "something else", raising=False)
    assert seen(card, "load the data df = tracker.attach(4).to_pandas()")
    monkeypatch.setattr(sys.modules["__main__"], "mt", mytracker_nb, raising=False)
    assert seen(card, "load the data df = mt.attach(4).to_pandas()")


@pytest.mark.parametrize(
    ("download", "words", "bar"),
    [
        (Download(1, 4, 10_000_000, 40_000_000), "1 of 4 files, 10.0 MB of 40.0 MB", "0.25"),
        (Download(1, 4, 999, None), "1 of 4 files, 999 Bytes", "0.25"),
        (Download(0, 0, 0, 0), "0 of 0 files, 0 Bytes", "0"),
        (Download(3, 3, 5 * 10**12, None), "3 of 3 files, 5.0 TB", "1.0"),
    ],
)
def test_a_download_shows_its_progress(download: Download, words: str, bar: str) -> None:
    card = Card(request(), 4, "brand new", download=download)
    assert seen(card, words)
    assert page(card).attributes["value"] == [bar]


def test_the_sandbox_is_marked() -> None:
    assert seen(Card(request(), 4, is_sandbox=True), "SANDBOX")
    assert not any("SANDBOX" in face for face in both(Card(request(), 4)))


def test_the_request_can_be_opened_as_a_form() -> None:
    line = "import mytracker_nb as mt; mt.RequestBuilder(event='installs', selectors=['idDevice',"
    card = Card(request(), 4)
    assert line in "".join(page(card).folded)
    assert line in card.text()


def test_the_code_uses_magics_if_they_are_loaded(shell: InteractiveShell) -> None:
    line = "%mytracker_builder event=installs selectors=idDevice,tsEvent"
    card = Card(request(), 4, "User error occurred")
    assert line in "".join(page(card).folded)
    assert line in card.text()
    assert seen(card, "split it %mytracker_export --every auto event=installs")


@pytest.mark.parametrize(
    ("status", "first"),
    [
        ("Success!", "load the data"),
        ("In progress", "load the data"),
        ("Error occurred", "submit again"),
        ("Canceled by user", "submit again"),
        ("User error occurred", "split it"),
        ("Paused", "current state"),
    ],
)
def test_the_first_line_of_code_is_the_next_step(status: str, first: str) -> None:
    codes = Card(request(), 4, status).codes
    assert codes[0][0] == first
    for _, code in codes:
        ast.parse(code)
    unknown = Card(None, 4, status).codes  # the export of somebody else
    assert not {"submit again", "split it"} & set(dict(unknown))


def test_code_is_on_one_line_so_that_it_can_be_pasted() -> None:
    selectors = [f"column{n}" for n in range(6)]
    text = Card(request(selectors=selectors), 4, is_cancellable=True, status="In progress").text()
    for name, code in Card(request(selectors=selectors), 4).codes:
        assert re.search(rf"^  {name} +{re.escape(code)}$", text, re.MULTILINE)
    (line,) = (line for line in text.splitlines() if "edit in form" in line)
    form = ast.parse(line.partition("mt; ")[2]).body
    assert len(form) == 1


def test_long_lists_fold() -> None:
    ids = list(range(1000, 2000))
    card = Card(request(idApp=ids), 4)
    shown = page(card)
    assert "1000, 1001," in shown.text
    assert "1999" not in shown.text
    assert "1998, 1999" in "".join(shown.folded)
    assert "1000, 1001, 1002, 1003, 1004, 1005, and 994 more" in card.text()
    assert "1999" not in card.text()


def test_a_value_with_a_comma_is_one_value() -> None:
    card = Card(request(event="customEvents", eventName=["level, up", "quit"]), 4)
    assert "'level, up', quit" in card.text()


@pytest.mark.parametrize(
    "card",
    [
        Card(ExportRequest(event=ATTACK, **{ATTACK: ATTACK}), 4),
        Card(request(event="customEvents", eventName=[ATTACK] * 2 + [ATTACK + "1"] * 30), 4),
        Card(request(), 4, ATTACK, error_message=ATTACK, notes=(ATTACK,)),
        Card(request(), 4, service=ATTACK, files=((ATTACK, None, None),)),
        Card(request(), code=ATTACK),
    ],
)
def test_html_in_a_value_is_escaped(card: Card) -> None:
    assert set(page(card).elements) <= ELEMENTS
    assert seen(card, ATTACK)


def test_the_html_loads_nothing_and_has_no_script() -> None:
    card = Card(request(), 4, "In progress", 0.5, is_sandbox=True)
    assert set(page(card).attributes) == {"class", "role", "title", "value", "max"}
    for word in ("url(", "@import", "script", "://"):
        assert word not in card.html()


def test_the_text_has_no_control_characters() -> None:
    evil = "a\x1b[31m\x07b\u202ec\x00\r\n\ud800"
    card = Card(
        ExportRequest(event=evil, **{evil: evil}),
        4,
        evil,
        service=evil,
        error_message=evil,
        notes=(evil,),
        files=((evil, None, None),),
        code=evil,
    )
    for face in (card.text(), card.html()):
        assert not set("\x1b\x07\u202e\x00\r\ud800") & set(face)
        face.encode("utf-8")


def test_the_text_is_aligned_and_fits_a_terminal() -> None:
    notes = ("word " * 50,)
    card = Card(request(selectors=[f"params.p{i}" for i in range(40)]), 4, "Success!", notes=notes)
    lines = card.text().splitlines()
    assert max(map(len, lines[:-1])) <= 100
    values = {
        line.index(line[2:].split("  ", 1)[1].strip()) for line in lines[1:] if line[2] != " "
    }
    assert len(values) == 1


def test_a_notebook_shows_the_card_itself() -> None:
    card = Card(request(), 4)
    assert card._repr_mimebundle_() == {"text/plain": card.text(), "text/html": card.html()}


class Angry:
    """A value whose own code fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


TEXTS = st.text() | st.sampled_from([ATTACK, "\ud800", "\x00"])
MOMENTS = st.none() | st.datetimes(timezones=st.sampled_from([timezone.utc])) | st.datetimes()
ODD = st.none() | TEXTS | st.integers() | st.floats() | st.builds(Angry)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.builds(
        Card,
        request=st.none()
        | st.dictionaries(
            st.sampled_from(["event", "selectors", "dateFrom", "dateTo", "tsFrom", "idCountry"])
            | TEXTS,
            ODD | st.lists(ODD),
        ).map(lambda parameters: ExportRequest(**parameters)),
        id_raw_export=st.none() | st.integers(),
        status=st.none() | TEXTS,
        progress=st.none() | st.floats(),
        service=TEXTS,
        created_at=MOMENTS,
        updated_at=MOMENTS,
        files=st.lists(st.tuples(TEXTS, MOMENTS, st.none() | st.integers())).map(tuple),
        error_message=TEXTS,
        notes=st.lists(TEXTS).map(tuple),
        download=st.none()
        | st.builds(Download, *[st.integers(0, 10**15)] * 3, st.none() | st.integers(0, 10**15)),
        code=TEXTS,
    )
)
def test_any_facts_can_be_rendered(card: Card) -> None:
    assert set(page(card).elements) <= ELEMENTS
    for face in (card.text(), card.html()):
        face.encode("utf-8")
