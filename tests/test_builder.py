"""The form, driven by a program: no browser, no event loop."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
import strategies
import traitlets
from hypothesis import given, settings
from hypothesis import strategies as st

import mytracker_nb as mt
from mytracker_nb.client.client import default_client
from mytracker_nb.form import builder, draft, schema, snapshot
from mytracker_nb.form.pasted import join_column, split_column
from mytracker_nb.form.presets import PRESETS, in_words, preset_of, starting_sets
from mytracker_nb.request.dictionaries import dictionary
from mytracker_nb.request.parameters import PARAMETERS, Parameter, ValueType
from mytracker_nb.service.retry import RetryPolicy

if TYPE_CHECKING:
    from mytracker_nb.sandbox.server import Sandbox

GOOD: dict[str, Any] = {
    "event": "customEvents",
    "selectors": ["idDevice", "eventName"],
    "dateFrom": "2026-11-01",
    "dateTo": "2026-11-07",
}


def table(event: str | None) -> tuple[str, ...]:
    """What the table says is to be shown for an event."""
    return tuple(name for name, row in PARAMETERS.items() if row.applies_to(event))


class Page:
    """A front end: it does acts as a browser does, and sees what a browser is given."""

    numbers = itertools.count()

    def __init__(self, form: Any) -> None:
        self.form = form
        self.client = f"page-{next(self.numbers)}"
        self.seq = 0

    def message(self, act: str, **args: Any) -> dict[str, Any]:
        self.seq += 1
        return {"seq": self.seq, "act": act, "args": args}

    def send(self, *acts: dict[str, Any]) -> None:
        content = {"client": self.client, "acts": list(acts)}
        self.form._handle_custom_msg(content, [])

    def act(self, act: str, **args: Any) -> None:
        self.send(self.message(act, **args))

    @property
    def view(self) -> Any:
        return self.form._view

    @property
    def progress(self) -> Any:
        return self.form._progress

    @property
    def acknowledged(self) -> int:
        return int(self.view["acks"].get(self.client, 0))

    def problems(self, name: str) -> list[Any]:
        return [problem for problem in self.view["problems"] if problem["parameter"] == name]


def texts(form: Any) -> str:
    """All that the form says of its export."""
    return "\n".join(value for value in form._progress.values() if isinstance(value, str))


@pytest.fixture
def page() -> Page:
    """A front end before an empty form."""
    return Page(mt.RequestBuilder())


@pytest.fixture(scope="module")
def forms() -> list[Any]:
    """Forms to be filled again and again."""
    return [mt.RequestBuilder() for _ in range(3)]


# What is shown.


@pytest.mark.parametrize("event", [None, *dictionary("event")])
def test_the_fields_shown_are_those_of_the_table(forms: list[Any], event: str | None) -> None:
    forms[0].field("event").value = event
    assert forms[0].visible == table(event)


@pytest.mark.parametrize(
    ("row", "value", "sent"),
    [
        (
            Parameter("idNetwork", "Networks", ValueType.ID, "ids", is_list=True, is_filter=True),
            "1,2",
            [1, 2],
        ),
        (
            Parameter("note", "Note", ValueType.TEXT, "a text", is_advanced=True, is_filter=True),
            "x",
            "x",
        ),
        (
            Parameter("mood", "Mood", ValueType.ID, "?", dictionary_name="rooted", is_filter=True),
            "Rooted",
            1,
        ),
    ],
)
def test_a_new_row_of_the_table_is_a_new_field(
    monkeypatch: pytest.MonkeyPatch, row: Parameter, value: Any, sent: Any
) -> None:
    from mytracker_nb.display import parameter_rows
    from mytracker_nb.request import parameters, request, validation

    rows: Mapping[str, Parameter] = MappingProxyType({**PARAMETERS, row.name: row})
    for module in (builder, draft, parameter_rows, schema, parameters, request, validation):
        monkeypatch.setattr(module, "PARAMETERS", rows)
    for module in (request, validation):
        monkeypatch.setattr(module, "POSITIONS", {name: n for n, name in enumerate(rows)})
    form = mt.RequestBuilder(**GOOD)
    assert form.visible == (*table("customEvents"), row.name)
    assert row.name in form._view["offers"]
    assert row.name in [field["name"] for field in form._schema["fields"]]
    form.field(row.name).value = value
    assert form.parameters[row.name] == sent
    assert row.name in form.magic


def test_a_filter_of_another_event_is_not_sent_and_comes_back() -> None:
    form = mt.RequestBuilder(**GOOD, eventName=["level_up"], eventNameInvert=1)
    form.field("event").value = "installs"
    assert "eventName" not in form.visible
    assert "eventName" not in form.parameters
    assert "eventName " not in form.magic
    assert form.request.is_valid
    form.field("event").value = "userCustomEvents"
    assert form.parameters["eventName"] == ["level_up"]
    assert form.parameters["eventNameInvert"] == 1


def test_a_filter_of_another_event_outlives_an_edit_of_the_magic() -> None:
    form = mt.RequestBuilder(**GOOD, eventName=["level_up"])
    form.field("event").value = "installs"
    form.magic += "\nidApp = 5"
    assert "eventName" not in form.parameters
    form.field("event").value = "customEvents"
    assert form.parameters["eventName"] == ["level_up"]
    assert form.parameters["idApp"] == [5]
    form.magic = form.magic.replace("eventName = level_up", "")
    form.field("idApp").value = None
    assert "eventName" not in form.parameters


def test_filters_of_another_event_are_not_in_parameters() -> None:
    form = mt.RequestBuilder(**GOOD | {"event": "installs"}, eventName=["level_up"])
    assert form.request.is_valid
    form.field("event").value = "customEvents"
    assert form.parameters["eventName"] == ["level_up"]


# What is validated.


def test_each_problem_is_shown_with_its_field_and_submit_says_why_it_is_disabled() -> None:
    form = mt.RequestBuilder(**GOOD, idApp="12, x")
    page = Page(form)
    assert form.problems == form.request.problems == mt.ExportRequest(**form.parameters).problems
    assert [(problem.parameter, problem.code) for problem in form.problems] == [
        ("idApp", "bad_value")
    ]
    (problem,) = page.problems("idApp")
    assert problem["severity"] == "error"
    assert problem["title"] == "Apps"
    assert "'x'" in problem["text"]
    assert page.view["values"]["idApp"] == "12, x"
    assert not page.progress["canSubmit"]
    assert page.progress["verdict"] == "Can't submit: idApp invalid"
    form.field("idApp").value = "12"
    assert form.problems == ()
    assert page.progress["canSubmit"]
    assert page.progress["verdict"] == "Ready to submit"


def test_missing_values_are_distinguished_from_invalid_ones() -> None:
    page = Page(mt.RequestBuilder(event="nonsense"))
    assert not page.problems("event")[0]["isMissing"]
    assert page.problems("selectors")[0]["isMissing"]
    expected = "Can't submit: selectors, dateFrom missing, event invalid"
    assert page.progress["verdict"] == expected
    assert page.progress["tone"] == "error"
    assert Page(mt.RequestBuilder()).progress["tone"] == "missing"


def test_errors_come_first_then_missing_values_then_notes() -> None:
    wrong = {"event": "installs", "SDKKey": "1", "idApp": [1, 1], "tsFrom": "2026-11-01", "foo": 1}
    shown = Page(mt.RequestBuilder(**wrong)).view["problems"]
    kinds = ["missing" if problem["isMissing"] else problem["severity"] for problem in shown]
    assert kinds == sorted(kinds, key=["error", "missing", "warning", "note"].index)
    assert len(set(kinds)) == 4


def test_the_copied_code_runs(page: Page) -> None:
    page.form.magic = "event = installs\nidApp = 5"
    assert page.view["code"]["magic"] == page.form.magic == "event = installs\nidApp = 5"
    cell = page.view["code"]["cell"]
    assert cell == "%%mytracker_export\nevent = installs\nidApp = 5"
    assert f"<pre>{cell}</pre>" in page.form._repr_mimebundle_()[0]["text/html"]
    page.form.magic = "%%mytracker_export --wait\nevent=installs # mine"
    assert page.view["code"]["cell"] == page.form.magic


def test_an_exact_time_is_distinguished_from_a_day() -> None:
    page = Page(mt.RequestBuilder(**GOOD, tsFrom="2026-11-01"))
    assert page.problems("tsTo")[0]["title"] == "To, exact time"


@pytest.mark.parametrize("language", ["magic", "python"])
def test_the_code_is_narrow_enough_to_be_read_beside_the_request(page: Page, language: str) -> None:
    page.form.parameters = GOOD | {"selectors": list(dictionary("selector"))}
    lines = page.view["code"][language].splitlines()
    assert max(map(len, lines)) <= 52
    assert mt.ExportRequest.from_magic(page.form.magic) == page.form.request


@pytest.mark.parametrize(
    ("more", "name", "severity"),
    [
        ({"idApp": 1, "SDKKey": "0" * 20}, "SDKKey", "note"),
        ({"idApp": [1, 1]}, "idApp", "warning"),
    ],
)
def test_warnings_and_notes_are_distinguished_and_do_not_prevent_submit(
    more: dict[str, Any], name: str, severity: str
) -> None:
    page = Page(mt.RequestBuilder(**GOOD, **more))
    assert [problem["severity"] for problem in page.problems(name)] == [severity]
    assert page.progress["canSubmit"]
    assert page.progress["verdict"] == "Ready to submit (1 note)"


def test_the_picture_of_a_form_shows_problems_as_text_not_as_html() -> None:
    form = mt.RequestBuilder(**GOOD, **{"<b>bold</b>": 1}, idApp="<img src=x onerror=alert(1)>")
    html = form._repr_mimebundle_()[0]["text/html"]
    assert "<img" not in html
    assert "<b>bold" not in html
    assert "&lt;img" in html


# Two ways: the form, the parameters, the magic.


@settings(max_examples=30)
@given(strategies.right())
def test_form_to_magic_to_form_loses_nothing(forms: list[Any], values: dict[str, Any]) -> None:
    form, other, by_hand = forms
    form.parameters = values
    assert form.parameters == values
    assert form.request == mt.ExportRequest(**values)
    other.magic = form.magic
    assert other.parameters == values
    assert other.request == form.request
    assert other.visible == form.visible == table(values["event"])
    by_hand.parameters = {}
    for name in reversed(values):
        by_hand.field(name).value = form.field(name).value
    assert by_hand.parameters == values
    assert by_hand.magic == form.magic
    assert by_hand.problems == form.problems


@given(st.text(max_size=60))
def test_no_text_breaks_the_form(forms: list[Any], text: str) -> None:
    form = forms[0]
    form.magic = f"%%mytracker_export\nevent = installs\n{text}"
    assert form.problems == form.request.problems
    form.field("event").value = "sessions"
    assert form.parameters["event"] == "sessions"


def test_setting_parameters_normalizes_them() -> None:
    form = mt.RequestBuilder()
    form.parameters = {**GOOD, "idCountry": "RU, Germany", "rooted": "Not rooted", "idApp[]": "7"}
    assert form.parameters == {**GOOD, "idCountry": [188, 202], "rooted": 2, "idApp": [7]} | {}
    assert form.field("rooted").value == 2
    assert form.field("idCountry").value == [188, 202]
    assert list(form.parameters) == [name for name in PARAMETERS if name in form.parameters]


@pytest.mark.parametrize("trait", ["parameters", "request", "magic", "problems"])
def test_observers_see_a_consistent_state_and_may_change_the_form(trait: str) -> None:
    form = mt.RequestBuilder(**GOOD)
    seen: list[bool] = []

    def observer(change: Any) -> None:
        request = mt.ExportRequest(**form.parameters)
        is_whole = form.request == request == mt.ExportRequest.from_magic(form.magic)
        seen.append(is_whole and form.problems == request.problems)
        if "idApp" not in form.parameters:
            form.parameters = {**form.parameters, "idApp": "7"}
            assert form.request.parameters["idApp"] == (7,)

    form.observe(observer, trait)
    form.field("event").value = "nonsense"
    form.magic = "event=installs&selectors=idDevice"
    form.parameters = {"event": "sessions", "idCountry": "RU"}
    assert len(seen) >= 3
    assert all(seen)
    assert form.parameters == {"event": "sessions", "idApp": [7], "idCountry": [188]}
    assert "idApp     = 7" in form.magic


def test_observers_get_the_normal_form() -> None:
    form = mt.RequestBuilder()
    received: list[Any] = []
    form.observe(lambda change: received.append(change.new), ["parameters", "magic"])
    form.parameters = {"idCountry": "RU"}
    form.magic = "event=installs&idApp=5"
    assert {"idCountry": [188]} in received
    assert {"idCountry": "RU"} not in received
    assert "event=installs&idApp=5" not in received
    assert form.magic in received


def test_two_forms_can_be_linked() -> None:
    one, other = mt.RequestBuilder(), mt.RequestBuilder()
    traitlets.link((one, "parameters"), (other, "parameters"))
    one.parameters = {**GOOD, "idCountry": "RU"}
    other.field("idApp").value = "7"
    assert one.parameters == other.parameters == {**GOOD, "idCountry": [188], "idApp": [7]}
    assert one.request == other.request


def test_unknown_parameters_are_reported_and_not_lost() -> None:
    form = mt.RequestBuilder(**GOOD, idAp=3)
    assert [problem.code for problem in form.problems] == ["unknown_parameter"]
    assert Page(form).problems("idAp")
    form.field("event").value = "sessions"
    assert form.parameters["idAp"] == 3


def test_incomplete_text_is_unchanged_and_updates_the_form() -> None:
    form = mt.RequestBuilder(**GOOD)
    full = "%%mytracker_export --frame df\nevent = installs # a comment\nselectors = idDevice\n"
    for end in range(len(full) + 1):
        form.magic = full[:end]
        assert form.magic == full[:end]
        assert form.problems == form.request.problems
    assert form.field("event").value == "installs"
    form.field("event").value = "sessions"
    assert form.magic.splitlines()[:2] == ["%%mytracker_export --frame df", "event     = sessions"]


@pytest.mark.parametrize("stray", ["selec", "= 5", "--wait", "selec\nselec", "idAp"])
def test_a_stray_word_in_the_magic_is_reported_until_it_is_removed(stray: str) -> None:
    form = mt.RequestBuilder(**GOOD)
    magic = form.magic
    form.magic += f"\n{stray}"
    assert not form.request.is_valid
    form.field("idApp").value = "5"
    form.field("idApp").value = None
    assert form.magic == magic
    assert form.request.is_valid


def test_a_filter_that_does_not_apply_is_validated_as_written() -> None:
    form = mt.RequestBuilder()
    form.magic = "%mytracker_export event=installs eventName=x"
    assert "not_for_event" in [problem.code for problem in form.problems]
    assert "does not apply to installs" in Page(form).problems("eventName")[0]["text"]
    form.field("event").value = "customEvents"
    assert form.parameters["eventName"] == ["x"]


QUERY = "event=installs&selectors=idDevice,tsEvent&dateFrom=2026-11-01&dateTo=2026-11-02&idApp[]=1"


@pytest.mark.parametrize(
    "text",
    [
        QUERY,
        f"?{QUERY}",
        f"'{QUERY}'",
        f"https://tracker.my.com/api/raw/v1/export/create.json?{QUERY}",
        f'"https://tracker.my.com/api/raw/v1/export/create.json?{QUERY}"',
        f"curl -X POST 'https://tracker.my.com/api' \\\n --data '{QUERY}'",
        f"%%mytracker_exporthttps://tracker.my.com/api/raw/v1/export/create.json?{QUERY}",
        f"%%mytracker_export\nhttps://tracker.my.com/api/raw/v1/export/create.json?{QUERY}",
        f"POST https://tracker.my.com/api/raw/v1/export/create.json?{QUERY}",
        f"'https://tracker.my.com/api/raw/v1/export/create.json?{QUERY}'\n",
        f"tracker.my.com/api/raw/v1/export/create.json?{QUERY}",
        "https://tracker.my.com/api?\n  " + QUERY.replace("&", "\n  &"),
        QUERY.replace("&", "&\n"),
    ],
)
def test_the_service_s_own_url_updates_the_form_and_becomes_magic(text: str) -> None:
    form = mt.RequestBuilder()
    form.magic = text
    assert form.field("selectors").value == ["idDevice", "tsEvent"]
    assert form.field("idApp").value == [1]
    assert form.magic.startswith("%%mytracker_export\nevent     = installs\n")


@pytest.mark.parametrize("name", ["", "idApp", "idCountry", "event", "dateFrom"])
def test_a_url_that_is_pasted_into_any_control_fills_the_form(name: str) -> None:
    page = Page(mt.RequestBuilder(event="sessions", idProject=3))
    url = f"https://tracker.my.com/api/raw/v1/export/create.json?{QUERY}"
    rewrites = page.view["rewrites"]
    page.act("paste", text=url, name=name, whole=f"12{url}")
    expected = mt.RequestBuilder(**mt.ExportRequest.from_url(QUERY).parameters)
    assert page.form.parameters == expected.parameters
    assert page.view["code"]["magic"] == expected.magic
    # the control holds the pasted text no more
    assert page.view["rewrites"] == rewrites + 1


@pytest.mark.parametrize(
    ("name", "whole", "parameters"),
    [
        ("", "event=installs # https://x.y/z", {"event": "installs"}),
        ("eventName", "a, https://x.y/z", {"eventName": ["a", "https://x.y/z"]}),
        ("idCountry", "https://x.y/z", {"idCountry": "https://x.y/z"}),
    ],
)
def test_pasted_text_that_is_not_a_request_stays_in_its_control(
    page: Page, name: str, whole: str, parameters: dict[str, Any]
) -> None:
    page.act("paste", text="https://x.y/z", name=name, whole=whole)
    assert page.form.parameters == parameters


def test_a_query_that_is_typed_is_understood_at_every_length(page: Page) -> None:
    text = "event=installs&idApp=55&idCountry=188"
    for end in range(1, len(text) + 1):
        page.act("write", text=text[:end])
    assert page.form.parameters == {"event": "installs", "idApp": [55], "idCountry": [188]}
    assert mt.ExportRequest.from_magic(page.form.magic) == page.form.request


@pytest.mark.parametrize(
    "text",
    [
        "event=installs eventName='a&b=c'",
        "%%mytracker_export\nevent = installs\neventName = a&b=c",
        "%mytracker_export event=installs idApp=5",
        "a=1&" * 5000 + "a=b c=d",
    ],
)
def test_a_magic_is_not_taken_for_a_query(text: str) -> None:
    form = mt.RequestBuilder()
    form.magic = text
    assert form.magic == text
    assert form.request == mt.ExportRequest.from_magic(text)


def test_names_of_the_notebook_are_known_and_expressions_are_not_run(shell: Any) -> None:
    shell.user_ns["apps"] = [5, 6]
    form = mt.RequestBuilder()
    form.magic = "idApp = $apps"
    assert form.parameters == {"idApp": [5, 6]}
    form.magic = "idApp = {apps.clear()}"
    assert shell.user_ns["apps"] == [5, 6]
    assert not form.request.is_valid


def test_the_code_follows_in_every_language() -> None:
    form = mt.RequestBuilder(**GOOD)
    code = Page(form).view["code"]
    assert code["magic"] == form.magic
    assert "export = mt.export(" in code["python"]
    assert "event=customEvents&selectors=" in code["curl"]
    assert "<signature>" in code["curl"]
    form.field("event").value = "nonsense"
    assert "nothing to send" in form._view["code"]["curl"]


def test_the_frame_is_named_in_the_code_and_read_from_it() -> None:
    form = mt.RequestBuilder(**GOOD)
    page = Page(form)
    page.act("setFrame", name="levels")
    assert form.magic.splitlines()[0] == "%%mytracker_export --frame levels"
    assert page.view["code"]["python"].endswith("levels = export.to_pandas()")
    page.act("setFrame", name="6x")
    assert page.view["frameProblem"] == "'6x' is not a valid variable name"
    assert form.magic.splitlines()[0] == "%%mytracker_export"
    form.magic = form.magic.replace("export", "export --wait --frame=other", 1)
    assert page.view["frame"] == "other"
    form.field("idApp").value = 5
    assert form.magic.splitlines()[0] == "%%mytracker_export --wait --frame other"


# Acts of the front end.


def test_typed_text_is_shown_unchanged(page: Page) -> None:
    page.act("type", name="idApp", text="7,  8,")
    page.act("type", name="tsFrom", text=" 2026-11-01T10:00")
    assert page.form.parameters == {"tsFrom": 1793516400, "idApp": [7, 8]}
    assert page.view["values"]["tsFrom"] == "2026-11-01T10:00"
    assert page.view["values"]["idApp"] == "7, 8"
    page.act("type", name="tsFrom", text="")
    assert "tsFrom" not in page.view["values"]


def test_an_event_is_understood_by_a_title_of_its_own(page: Page) -> None:
    titles = Counter(entry.title.casefold() for entry in dictionary("event").values())
    for name, entry in dictionary("event").items():
        page.act("type", name="event", text=entry.title.upper())
        is_own = titles[entry.title.casefold()] == 1
        assert page.form.parameters == {"event": name if is_own else entry.title.upper()}


def test_entries_are_added_by_name_code_and_unambiguous_beginning(page: Page) -> None:
    for text in ("kaz", "RU", "Germany", "germ", "202"):
        page.act("add", name="idCountry", text=text)
    assert page.form.parameters == {"idCountry": [28, 188, 202]}
    assert page.view["values"]["idCountry"] == ["28", "188", "202"]
    assert page.view["filters"] == ["idCountry"]


def test_a_pasted_list_is_added_with_its_unknown_values(page: Page) -> None:
    page.act("add", name="idCountry", text="RU\nKZ\nnowhere\nGermany")
    assert page.form.field("idCountry").value == ["RU", "KZ", "nowhere", "Germany"]
    assert page.view["values"]["idCountry"] == ["188", "28", "nowhere", "202"]
    assert "nowhere" in page.problems("idCountry")[0]["text"]
    page.act("add", name="selectors", text="idDevice\tidSomethingNew\ttsEvent")
    assert page.form.parameters["selectors"] == ["idDevice", "idSomethingNew", "tsEvent"]
    names = list(dictionary("selector"))
    page.act("add", name="selectors", text=", ".join(names))
    assert page.form.parameters["selectors"][3:] == [
        name for name in names if name not in ("idDevice", "tsEvent")
    ]


def test_a_word_that_is_left_in_a_search_is_added_where_it_names_an_entry() -> None:
    page = Page(mt.RequestBuilder(**GOOD))
    page.act("add", name="idCountry", text="RU", only_exact=True)
    assert page.form.parameters["idCountry"] == [188]
    page.act("add", name="idCountry", text="Ka", only_exact=True)
    assert page.form.parameters["idCountry"] == [188]
    assert page.view["pending"] == {"idCountry": "Ka"}
    assert page.progress["verdict"] == "Ready to submit; not added: 'Ka' in idCountry"
    page.act("add", name="idCountry", text="", only_exact=True)
    assert page.view["pending"] == {}
    assert page.progress["verdict"] == "Ready to submit"


def test_columns_are_moved_and_removed() -> None:
    page = Page(mt.RequestBuilder(selectors=["idDevice", "tsEvent", "dpi"]))
    page.act("move", name="selectors", key="dpi", to=0)
    assert page.form.parameters["selectors"] == ["dpi", "idDevice", "tsEvent"]
    page.act("move", name="selectors", key="dpi", to=1)
    assert page.form.parameters["selectors"] == ["idDevice", "dpi", "tsEvent"]
    page.act("remove", name="selectors", key="idDevice")
    assert page.form.parameters["selectors"] == ["dpi", "tsEvent"]


@given(st.lists(st.sampled_from(list(dictionary("selector"))), min_size=1, unique=True), st.data())
def test_moving_a_chip_changes_nothing_but_the_order(names: list[str], data: st.DataObject) -> None:
    page = Page(mt.RequestBuilder(selectors=names))
    key = data.draw(st.sampled_from(names))
    to = data.draw(st.integers(0, len(names) - 1))
    page.act("move", name="selectors", key=key, to=to)
    moved = page.form.parameters["selectors"]
    assert moved.index(key) == to
    assert [name for name in moved if name != key] == [name for name in names if name != key]


def test_filters_are_shown_when_they_are_added_and_hidden_with_their_value(page: Page) -> None:
    assert page.view["filters"] == []
    assert "idCountry" in page.view["offers"]
    page.act("addFilter", name="idCountry")
    page.act("addFilter", name="idApp")
    assert page.view["filters"] == ["idCountry", "idApp"]
    assert "idCountry" not in page.view["offers"]
    page.act("type", name="idApp", text="7")
    page.act("type", name="idApp", text="")
    assert page.view["filters"] == ["idCountry", "idApp"]
    page.act("type", name="idApp", text="7")
    page.act("removeFilter", name="idApp")
    assert page.view["filters"] == ["idCountry"]
    assert page.form.parameters == {}


def test_only_filters_that_apply_to_the_event_are_offered(page: Page) -> None:
    for event in dictionary("event"):
        page.act("type", name="event", text=event)
        expected = {
            name
            for name, row in PARAMETERS.items()
            if (row.is_filter or row.is_advanced) and row.applies_to(event)
        }
        assert set(page.view["offers"]) == expected


def test_a_filter_that_stops_applying_stays_and_says_why() -> None:
    page = Page(mt.RequestBuilder(**GOOD, eventName=["level_up"]))
    assert page.view["notSent"] == {}
    page.act("type", name="event", text="installs")
    assert page.view["filters"] == ["eventName"]
    assert page.view["notSent"] == {
        "eventName": "not sent: only for customEvents, userCustomEvents"
    }
    assert page.view["values"]["eventName"] == "level_up"


def test_a_choice_is_shown_by_its_id() -> None:
    page = Page(mt.RequestBuilder(**GOOD, rooted="Not rooted", timezone="Mars/Olympus"))
    assert page.view["values"]["rooted"] == "2"
    assert page.view["values"]["timezone"] == "Mars/Olympus"
    page.act("type", name="rooted", text="")
    assert "rooted" not in page.form.parameters
    page.form.field("rooted").value = "perhaps"
    assert page.view["values"]["rooted"] == "perhaps"


def test_a_starting_set_suits_the_event_and_adds_to_the_columns() -> None:
    page = Page(mt.RequestBuilder(event="sessions", selectors=["dpi"]))
    columns = page.view["startingSets"]["The event itself"]
    page.act("add", name="selectors", text=",".join(columns))
    assert page.form.parameters["selectors"] == ["dpi", *columns]
    assert "duration" in columns


def test_acts_are_applied_once_and_in_order() -> None:
    page, other = (Page(mt.RequestBuilder()) for _ in range(2))
    other.form = page.form
    first = page.message("add", name="selectors", text="idDevice")
    second = page.message("add", name="selectors", text="tsEvent")
    third = page.message("remove", name="selectors", key="idDevice")
    page.send(first)
    page.send(first, second)  # the answer to the first was not there yet
    other.act("add", name="selectors", text="dpi")
    page.send(first, second, third)
    page.send(first)  # an old message, late
    assert page.form.parameters["selectors"] == ["tsEvent", "dpi"]
    assert page.acknowledged == 3
    assert other.acknowledged == 1


def test_an_act_that_fails_does_not_stop_those_after_it(
    page: Page, caplog: pytest.LogCaptureFixture
) -> None:
    page.send(
        page.message("move", name="noSuchThing", key="a", to=0),
        page.message("fly"),
        page.message("type", name="event", text="installs"),
    )
    assert page.form.parameters == {"event": "installs"}
    assert page.acknowledged == 3
    assert len(caplog.records) == 2


def test_acts_of_several_threads_lose_nothing() -> None:
    form = mt.RequestBuilder()
    names = list(dictionary("selector"))[:40]
    pages = [Page(form) for _ in range(4)]
    seen: list[bool] = []

    def observer(change: Any) -> None:
        seen.append(form.request == mt.ExportRequest(**form.parameters))

    form.observe(observer, "parameters")

    def work(place: int) -> None:
        for name in names[place :: len(pages)]:
            pages[place].act("add", name="selectors", text=name)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(pages))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(form.parameters["selectors"]) == sorted(names)
    assert all(seen)


def test_a_change_is_one_message_to_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page(mt.RequestBuilder(**GOOD))
    sent: list[set[str]] = []
    monkeypatch.setattr(page.form, "send_state", lambda key=None: sent.append(set(key)))
    page.act("type", name="idApp", text="12")
    assert sent == [{"_view", "_progress"}] or sent == [{"_view"}]


@given(
    st.lists(strategies.EVENT_NAMES, max_size=5),
    st.sampled_from(["\n", ", ", "\t"]),
)
def test_a_column_is_read_back_as_it_was_written(names: list[str], separator: str) -> None:
    assert split_column(join_column(names, separator)) == names


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1\n2\r\n3\t4, 5\n\n", ["1", "2", "3", "4", "5"]),
        ('a, "b, c"\n"say ""hi"""', ["a", "b, c", 'say "hi"']),
        ('"half', ['"half']),
        (" , ,", []),
    ],
)
def test_a_pasted_column_is_read(text: str, values: list[str]) -> None:
    assert split_column(text) == values


# Intervals and sets to start with.


@pytest.mark.parametrize("title", [preset.title for preset in PRESETS])
def test_a_preset_fills_the_days_and_is_recognized(title: str) -> None:
    page = Page(mt.RequestBuilder(timezone="Asia/Vladivostok"))
    form = page.form
    assert page.view["preset"] == ""
    page.act("applyPreset", title=title)
    assert form.field("dateFrom").value <= form.field("dateTo").value
    assert not [problem for problem in form.problems if problem.parameter.startswith("date")]
    form.field("dateFrom").value = "2001-02-03"
    assert page.view["preset"] == "Custom"
    form.field("dateFrom").value = form.field("dateTo").value = None
    assert page.view["preset"] == ""


@given(st.dates(datetime(1971, 1, 1).date(), datetime(2100, 1, 1).date()))
def test_presets_end_today_or_before_and_are_recognized(today: Any) -> None:
    for preset in PRESETS:
        first, last = preset.days(today)
        assert first <= last <= today
        found = preset_of(first.isoformat(), last.isoformat(), today)
        assert found is not None
        assert found.days(today) == (first, last)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (
            {"dateFrom": "2026-11-01", "dateTo": "2026-11-07"},
            "7 days: Sun 1 to Sat 7 Nov 2026, Europe/Moscow",
        ),
        (
            {"dateFrom": "2026-10-31", "dateTo": "2026-11-01"},
            "2 days: Sat 31 Oct to Sun 1 Nov 2026",
        ),
        (
            {"dateFrom": "2025-11-30", "dateTo": "2026-11-01"},
            "337 days: Sun 30 Nov 2025 to Sun 1 Nov 2026",
        ),
        ({"dateFrom": "2026-11-01", "dateTo": "2026-11-01"}, "1 day: Sun 1 Nov 2026, Europe/"),
        ({"tsFrom": 0, "tsTo": 3599}, "1 h: Thu 1 Jan 1970 03:00:00 to Thu 1 Jan 1970 03:59:59"),
        ({"availabilityTsFrom": 0, "availabilityTsTo": 59}, "available from 1 min: "),
        ({"dateFrom": "2026-11-07", "dateTo": "2026-11-01"}, ""),
        ({"dateFrom": "soon", "dateTo": ["2026"]}, ""),
        ({"tsFrom": 0, "tsTo": 10**30}, ""),
    ],
)
def test_an_interval_has_a_text(parameters: dict[str, Any], words: str) -> None:
    said = in_words(parameters, ZoneInfo("Europe/Moscow"))
    assert said.startswith(words)
    assert bool(said) == bool(words)


@pytest.mark.parametrize("event", [None, *dictionary("event")])
def test_starting_sets_hold_known_columns_once(event: str | None) -> None:
    sets = starting_sets(event)
    assert sets
    for names in sets.values():
        assert len(set(names)) == len(names)
        assert set(names) <= set(dictionary("selector"))


@pytest.mark.parametrize("event", ["customEvents", "sessions"])
def test_an_event_of_users_starts_with_what_suits_that_of_devices(event: str) -> None:
    of_users = f"user{event[0].upper()}{event[1:]}"
    for title in ("Who and when", "The event itself"):
        columns = starting_sets(event)[title]
        assert set(starting_sets(of_users)[title]) < set(columns)
    own = set(columns) - set(starting_sets(event)["Who and when"])
    assert own
    assert own <= set(starting_sets(of_users)["The event itself"])


@pytest.mark.parametrize(
    "event", [event for event, entry in dictionary("event").items() if entry.group == "users"]
)
def test_an_event_of_users_starts_with_its_user_and_no_device(event: str) -> None:
    for names in starting_sets(event).values():
        assert names[0] == "customUserId"
        groups = {dictionary("selector")[name].group for name in names[1:]}
        assert groups <= {"times", "event"}


def test_a_few_columns_of_one_example_are_not_offered_as_usual() -> None:
    offering = [e for e in dictionary("event") if "Usual with this event" in starting_sets(e)]
    assert offering == ["installs", "sessions"]


@pytest.mark.parametrize(
    ("event", "known"),
    [
        ("customEvents", "All columns of customEvents are known."),
        ("payments", "None is known to hold an amount or a currency."),
        ("sessions", "columns are known from public requests for sessions."),
        ("userSessions", "select customUserId"),
        ("hits", "No column is known from public requests for hits."),
    ],
)
def test_the_form_says_what_is_known_of_columns(event: str, known: str) -> None:
    page = Page(mt.RequestBuilder())
    assert page.view["columnsKnown"] == ""
    page.act("type", name="event", text=event)
    assert known in page.view["columnsKnown"]
    page.act("type", name="event", text="instals")
    assert page.view["columnsKnown"] == ""


# What is submitted.


def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def account(
    no_account: object, start_sandbox: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Sandbox]:
    """Starts a sandbox and makes it the account in use."""

    def start(**config: Any) -> Sandbox:
        sandbox = start_sandbox(**config)
        monkeypatch.setenv("MYTRACKER_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("MYTRACKER_API_USER_ID", str(sandbox.api_user_id))
        monkeypatch.setenv("MYTRACKER_SECRET_KEY", sandbox.secret_key)
        return sandbox

    return start


def creates(sandbox: Sandbox) -> int:
    """How many exports the sandbox was asked for."""
    return sum(call.path.endswith("/create.json") for call in sandbox.requests)


def test_submit_creates_an_export_and_shows_it_until_its_first_rows(
    account: Callable[..., Sandbox],
) -> None:
    sandbox = account()
    form = mt.RequestBuilder(**GOOD)
    export = form.submit()
    assert form.export is export
    assert export.request == form.request
    until(lambda: form._progress["preview"])
    assert f"idRawExport {export.id_raw_export}" in texts(form).replace("</strong>", "")
    assert f"mt.attach({export.id_raw_export}).to_pandas()" in texts(form)
    assert "<th>eventName</th>" in texts(form)
    assert not form._progress["canSubmit"]
    assert creates(sandbox) == 1


def test_a_missing_value_is_an_empty_cell_of_the_preview(account: Callable[..., Sandbox]) -> None:
    account()
    form = mt.RequestBuilder(**GOOD | {"event": "installs", "selectors": ["idAd", "idPartner"]})
    form.submit()
    until(lambda: form._progress["preview"])
    assert "<td></td>" in texts(form)
    assert "NA" not in texts(form)


def test_the_curl_command_has_the_address_that_submit_uses(
    no_account: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = mt.RequestBuilder(**GOOD)
    assert "https://tracker.my.com/api" in form._view["code"]["curl"]
    monkeypatch.setenv("MYTRACKER_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("MYTRACKER_API_USER_ID", "1")
    monkeypatch.setenv("MYTRACKER_SECRET_KEY", "k")
    form.field("idApp").value = "7"
    assert "http://127.0.0.1:1/api" in form._view["code"]["curl"]
    assert form._view["account"] == {"service": "http://127.0.0.1:1", "isSandbox": True}
    monkeypatch.setenv("MYTRACKER_BASE_URL", "ftp://nowhere")
    form.field("idApp").value = "8"
    assert "https://tracker.my.com/api" in form._view["code"]["curl"]


def test_no_change_opens_the_keyring(no_account: object, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("keyring.get_password", lambda service, user: opened.append(user))
    form = mt.RequestBuilder(**GOOD)
    form.field("idApp").value = "7"
    form._repr_mimebundle_()
    assert opened == []
    with pytest.raises(mt.CredentialsMissing):
        form.submit()
    assert opened != []


def test_a_double_click_creates_one_export(account: Callable[..., Sandbox]) -> None:
    sandbox = account(seconds=600)
    form = mt.RequestBuilder(**GOOD)
    Page(form).act("submit")
    Page(form).act("submit")
    until(lambda: form.export is not None)
    assert form.submit() is form.submit() is form.export
    assert creates(sandbox) == 1
    form.field("idApp").value = 7
    assert form._progress["canSubmit"]
    assert form.submit() is form.export
    assert creates(sandbox) == 2


def test_cancel_ends_the_export_and_it_can_be_submitted_again(
    account: Callable[..., Sandbox],
) -> None:
    account(seconds=600)
    form = mt.RequestBuilder(**GOOD)
    first = form.submit()
    assert form._progress["canCancel"]
    Page(form).act("cancel")
    until(lambda: "Canceled by user" in texts(form))
    until(lambda: form._progress["canSubmit"])
    assert not form._progress["canCancel"]
    assert form.submit().id_raw_export != first.id_raw_export


def test_a_refusal_does_not_repeat_the_problems_beside_it(account: Callable[..., Sandbox]) -> None:
    account(unknown_selectors=False)
    form = mt.RequestBuilder(**GOOD | {"event": "payments", "selectors": ["idDevice", "revenue"]})
    Page(form).act("submit")
    until(lambda: form._progress["trouble"])
    trouble = form._progress["trouble"]
    assert trouble == "BadRequest: HTTP 400 Bad Request: Argument 'selectors' is invalid"
    (problem,) = form._view["problems"]
    assert "'revenue' is not a known column" in problem["text"]


def test_submit_waits_for_a_full_queue_until_there_is_a_place_or_cancel(
    account: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = account(seconds=600, queue=1)
    monkeypatch.setattr("mytracker_nb.client.client.backoff", lambda *_: iter(lambda: 0.05, None))
    first, form = mt.RequestBuilder(**GOOD, idApp=7), mt.RequestBuilder(**GOOD)
    number = first.submit().id_raw_export

    Page(form).act("submit")
    until(lambda: "Not sent yet" in texts(form))
    assert f"The export queue is full (running: export {number})" in texts(form)
    assert not form._progress["canSubmit"]
    until(lambda: form._progress["canCancel"])
    Page(form).act("cancel")
    until(lambda: "no export was created" in texts(form))
    assert form._progress["canSubmit"]
    assert list(sandbox.exports) == [number]

    Page(form).act("submit")
    until(lambda: "Not sent yet" in texts(form))
    sandbox.clock.advance(601)
    until(lambda: form.export is not None)
    until(lambda: "Not sent yet" not in texts(form))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves next to no time between two looks at an export."""
    monkeypatch.setattr("mytracker_nb.client.polling.backoff", lambda: iter(lambda: 0.02, None))
    monkeypatch.setattr("mytracker_nb.service.retry.RetryPolicy.delay", lambda *_, **options: 0.02)
    # a quota that soon passes is waited for within one look, where the form says nothing of it
    policy = RetryPolicy(faults=0, quota_seconds=0.0)
    monkeypatch.setattr("mytracker_nb.client.polling.NO_RETRY", policy)


@pytest.mark.parametrize("status", [503, 429])
def test_polling_continues_after_any_number_of_temporary_faults(
    account: Callable[..., Sandbox], quick: None, status: int
) -> None:
    sandbox = account()
    sandbox.faults.add(path="/get.json", times=8, status=status)
    form = mt.RequestBuilder(**GOOD)
    said: list[str] = []
    form.observe(lambda change: said.append(change.new["trouble"]), "_progress")
    export = form.submit()
    until(lambda: form._progress["preview"])
    assert any(text.startswith(f"Export {export.id_raw_export}: retrying in") for text in said)
    assert form._progress["trouble"] == ""
    assert creates(sandbox) == 1


def test_submit_polls_an_export_again_if_nothing_else_does(
    account: Callable[..., Sandbox], quick: None
) -> None:
    sandbox = account(seconds=600)
    sandbox.faults.add(path="/get.json", times=1, status=403)
    form = mt.RequestBuilder(**GOOD)
    export = form.submit()
    until(lambda: "is no longer followed" in texts(form))
    until(lambda: "AccessDenied" in texts(form))
    assert form._progress["canSubmit"]
    assert form.submit() is export
    assert not form._progress["canSubmit"]
    assert "AccessDenied" not in texts(form)
    sandbox.clock.advance(601)
    until(lambda: form._progress["preview"])
    assert creates(sandbox) == 1


def test_the_form_shows_changes_of_its_export_made_elsewhere(
    account: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mytracker_nb.client.polling.backoff", lambda: iter(lambda: 600.0, None))
    sandbox = account(seconds=600)
    form = mt.RequestBuilder(**GOOD)
    export = form.submit()
    until(lambda: export.updated_at is not None)
    sandbox.clock.advance(601)
    assert "Success!" not in texts(form)
    export.refresh()
    assert "Success!" in texts(form)


def test_a_window_that_was_open_is_exported_again(account: Callable[..., Sandbox]) -> None:
    sandbox = account(seconds=600)
    form = mt.RequestBuilder(**GOOD | {"dateTo": "today"})
    first = form.submit()
    assert form.submit() is first
    sandbox.clock.advance(601)
    first.refresh()
    assert form._progress["canSubmit"]
    assert form.submit().id_raw_export != first.id_raw_export
    assert creates(sandbox) == 2


def test_the_form_reuses_an_export_by_the_settle_of_its_client(
    account: Callable[..., Sandbox],
) -> None:
    sandbox = account(seconds=0)
    form = mt.RequestBuilder(**GOOD)
    first = form.submit()
    until(lambda: form._progress["preview"])
    assert not form._progress["canSubmit"]
    default_client().settle = timedelta(days=100_000)
    form.field("idApp").value = "7"
    form.field("idApp").value = ""
    assert "may lack late rows; Submit creates a new one" in texts(form)
    assert form.submit().id_raw_export != first.id_raw_export
    assert creates(sandbox) == 2


def test_an_export_whose_files_expired_is_created_again(account: Callable[..., Sandbox]) -> None:
    sandbox = account(link_seconds=-60)
    form = mt.RequestBuilder(**GOOD)
    first = form.submit()
    until(lambda: first.is_finished)
    assert form.submit().id_raw_export != first.id_raw_export
    assert creates(sandbox) == 2


def test_a_request_with_errors_is_not_sent(account: Callable[..., Sandbox]) -> None:
    sandbox = account()
    form = mt.RequestBuilder(event="installs")
    with pytest.raises(mt.InvalidRequest):
        form.submit()
    assert form.export is None
    assert creates(sandbox) == 0


def test_without_an_account_the_form_says_where_to_find_one(no_account: object) -> None:
    form = mt.RequestBuilder(**GOOD)
    Page(form).act("submit")
    until(lambda: "CredentialsMissing" in texts(form))
    assert "%mytracker_sandbox" in texts(form)
    with pytest.raises(mt.CredentialsMissing):
        form.submit()


def test_the_secret_key_is_never_shown(account: Callable[..., Sandbox]) -> None:
    sandbox = account()
    form = mt.RequestBuilder(**GOOD)
    form.submit()
    until(lambda: form._progress["preview"])
    shown = [texts(form), repr(form), form.magic, *map(str, form._repr_mimebundle_()[0].values())]
    assert sandbox.secret_key not in " ".join(shown)


# What a notebook keeps.


def test_the_output_without_a_kernel_is_the_request_then_the_result(
    account: Callable[..., Sandbox],
) -> None:
    account()
    form = mt.RequestBuilder(**GOOD)
    bundle, _ = form._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "customEvents" in bundle["text/html"]
    assert "MyTracker request form: Ready to submit" in bundle["text/plain"]
    number = form.submit().id_raw_export
    until(lambda: form._progress["preview"])
    bundle, _ = form._repr_mimebundle_()
    assert "SANDBOX" in bundle["text/html"]
    assert "%%mytracker_export\nevent     = customEvents" in bundle["text/html"]
    assert "<th>eventName</th>" in bundle["text/html"]
    assert f"mt.attach({number}).to_pandas()" in bundle["text/html"]
    assert "Success!" in bundle["text/plain"]
    # what is edited since is in the picture, beside the export of what was submitted
    form.field("idApp").value = "7654321"
    bundle, _ = form._repr_mimebundle_()
    assert "7654321" in bundle["text/html"]
    assert f"idRawExport {number}" in bundle["text/html"]


def test_an_untouched_form_is_saved_without_errors() -> None:
    bundle, _ = mt.RequestBuilder()._repr_mimebundle_()
    assert "MyTracker request form" in bundle["text/html"]
    assert "last known state" in bundle["text/html"]
    assert 'class="error"' not in bundle["text/html"]
    assert "error" not in bundle["text/plain"]
    wrong, _ = mt.RequestBuilder(idApp="x")._repr_mimebundle_()
    assert 'class="error"' in wrong["text/html"]


def test_the_static_output_follows_the_live_view(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published: list[tuple[dict[str, Any], dict[str, Any]]] = []
    monkeypatch.setattr(snapshot, "_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(
        "IPython.display.display", lambda data, **options: published.append((data, options))
    )
    form = mt.RequestBuilder(**GOOD)
    form._ipython_display_()
    (view, _), (static, options) = published
    assert "text/html" not in view
    assert "application/vnd.jupyter.widget-view+json" not in static
    form.field("idApp").value = 1234567
    form.field("idApp").value = 7654321
    until(lambda: len(published) > 2)
    data, again = published[-1]
    assert "7654321" in data["text/html"]
    assert again["update"]
    assert again["display_id"] == options["display_id"]
    assert len(published) == 3


def test_in_colab_the_view_says_what_draws_it(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://widgets.example/manager.js"
    colab = SimpleNamespace(
        enable_custom_widget_manager=lambda: None, _widgets=SimpleNamespace(_installed_url=url)
    )
    published: list[dict[str, Any]] = []
    monkeypatch.setitem(sys.modules, "google.colab.output", colab)
    monkeypatch.setattr(
        "IPython.display.display", lambda data, **options: published.append(options)
    )
    form = mt.RequestBuilder()
    form._ipython_display_()
    kind = "application/vnd.jupyter.widget-view+json"
    expected = {kind: {"colab": {"custom_widget_manager": {"url": url}}}}
    assert published[0]["metadata"] == form._repr_mimebundle_()[1] == expected
