"""The form, driven as a program drives it: no browser, no event loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import ipywidgets
import pytest
import strategies
import traitlets
from hypothesis import given, settings
from hypothesis import strategies as st

import mytracker_nb as mt
from mytracker_nb.form import builder as builders
from mytracker_nb.form import snapshot
from mytracker_nb.form.pasted import join_column, split_column
from mytracker_nb.form.presets import PRESETS, in_words, preset_of, starting_sets
from mytracker_nb.request.dictionaries import dictionary
from mytracker_nb.request.parameters import PARAMETERS, Parameter, ValueType

if TYPE_CHECKING:
    from mytracker_nb.sandbox.server import Sandbox

GOOD: dict[str, Any] = {
    "event": "customEvents",
    "selectors": ["idDevice", "eventName"],
    "dateFrom": "2026-11-01",
    "dateTo": "2026-11-07",
}


ADD = {"selectors": "Add to Columns", "idCountry": "Add to Countries"}


def table(event: str | None) -> tuple[str, ...]:
    """What the table says is to be shown for an event."""
    return tuple(name for name, row in PARAMETERS.items() if row.applies_to(event))


def all_widgets(widget: Any) -> list[Any]:
    """A widget and all inside it."""
    children = getattr(widget, "children", ())
    return [widget, *(inner for child in children for inner in all_widgets(child))]


def button(form: Any, title: str) -> Any:
    """The first button of that title."""
    return next(
        widget
        for widget in all_widgets(form)
        if isinstance(widget, ipywidgets.Button) and widget.description == title
    )


def texts(form: Any) -> str:
    """All that the form says."""
    return " ".join(widget.value for widget in all_widgets(form) if type(widget).__name__ == "HTML")


@pytest.fixture(scope="module")
def forms() -> list[Any]:
    """Forms to be filled again and again."""
    return [mt.RequestBuilder() for _ in range(3)]


# What is shown.


@pytest.mark.parametrize("event", [None, *dictionary("event")])
def test_the_fields_shown_are_those_of_the_table(forms: list[Any], event: str | None) -> None:
    forms[0].field("event").value = event
    assert forms[0].visible == table(event)


def test_every_field_is_labelled_by_its_name_and_tells_title_and_help() -> None:
    form = mt.RequestBuilder()
    for name, row in PARAMETERS.items():
        inside = all_widgets(form.field(name))
        labels = [getattr(widget, "description", None) for widget in inside]
        assert labels.count(name) == 1
        assert row.title in texts(form.field(name))


def test_no_two_buttons_have_the_same_name_and_none_is_explained_by_nothing() -> None:
    inside = all_widgets(mt.RequestBuilder(event="customEvents"))
    shown = (w for w in inside if type(w).__name__ == "Button" and w.layout.display != "none")
    names = [w.description for w in shown]
    assert len(set(names)) == len(names)
    # of a tooltip of None these make the text "null"
    kinds = ("ToggleButton", "ToggleButtons", "DatePicker")
    assert all(w.tooltip for w in inside if type(w).__name__ in kinds)


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
        (Parameter("mood", "Mood", ValueType.ID, "?", dictionary_name="rooted"), "Rooted", 1),
    ],
)
def test_a_new_row_of_the_table_is_a_new_field(
    monkeypatch: pytest.MonkeyPatch, row: Parameter, value: Any, sent: Any
) -> None:
    from mytracker_nb.display import export_card
    from mytracker_nb.request import parameters, request

    rows: Mapping[str, Parameter] = MappingProxyType({**PARAMETERS, row.name: row})
    for module in (builders, export_card, parameters, request):
        monkeypatch.setattr(module, "PARAMETERS", rows)
    monkeypatch.setattr(request, "_ORDER", {name: n for n, name in enumerate(rows)})
    form = mt.RequestBuilder(**GOOD)
    assert form.visible == (*table("customEvents"), row.name)
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


def test_filters_are_kept_back_from_parameters_too() -> None:
    form = mt.RequestBuilder(**GOOD | {"event": "installs"}, eventName=["level_up"])
    assert form.request.is_valid
    form.field("event").value = "customEvents"
    assert form.parameters["eventName"] == ["level_up"]


# What is judged.


def test_each_problem_stands_at_its_field_and_submit_says_why_it_is_off() -> None:
    form = mt.RequestBuilder(**GOOD, idApp="12, x")
    assert form.problems == form.request.problems == mt.ExportRequest(**form.parameters).problems
    assert [(problem.parameter, problem.code) for problem in form.problems] == [
        ("idApp", "bad_value")
    ]
    assert "&#x27;x&#x27; is not an id" in texts(form.field("idApp"))
    assert button(form, "Submit").disabled
    assert "Submit is off; to be corrected: idApp" in texts(form)
    form.field("idApp").value = "12"
    assert form.problems == ()
    assert not button(form, "Submit").disabled


def test_what_is_missing_is_said_more_quietly_than_what_is_wrong() -> None:
    form = mt.RequestBuilder(event="nonsense")
    assert "mytracker-error" in texts(form.field("event"))
    assert "mytracker-missing" in texts(form.field("selectors"))


@pytest.mark.parametrize(
    ("more", "name", "severity"),
    [
        ({"idApp": 1, "SDKKey": "0" * 20}, "SDKKey", "note"),
        ({"idApp": [1, 1]}, "idApp", "warning"),
    ],
)
def test_warnings_and_notes_are_told_apart_and_stop_nothing(
    more: dict[str, Any], name: str, severity: str
) -> None:
    form = mt.RequestBuilder(**GOOD, **more)
    assert f"mytracker-{severity}" in texts(form.field(name))
    assert not button(form, "Submit").disabled


def test_a_problem_is_shown_as_text_not_as_html() -> None:
    form = mt.RequestBuilder(**GOOD, **{"<b>bold</b>": 1}, idApp="<img src=x onerror=alert(1)>")
    assert "<img" not in texts(form)
    assert "<b>bold" not in texts(form)


def test_a_fold_opens_for_what_is_set_in_it() -> None:
    def fold(form: Any) -> Any:
        return next(w for w in all_widgets(form) if "More filters" in getattr(w, "description", ""))

    assert not fold(mt.RequestBuilder(**GOOD)).value
    assert fold(mt.RequestBuilder(**GOOD, rooted=1)).value
    assert "1 set" in fold(mt.RequestBuilder(**GOOD, rooted=1)).description


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


def test_setting_parameters_brings_them_to_their_normal_form() -> None:
    form = mt.RequestBuilder()
    form.parameters = {**GOOD, "idCountry": "RU, Germany", "rooted": "Not rooted", "idApp[]": "7"}
    assert form.parameters == {**GOOD, "idCountry": [188, 202], "rooted": 2, "idApp": [7]} | {}
    assert form.field("rooted").value == 2
    assert form.field("idCountry").value == [188, 202]
    assert list(form.parameters) == [name for name in PARAMETERS if name in form.parameters]


@pytest.mark.parametrize("trait", ["parameters", "request", "magic", "problems"])
def test_whoever_hears_of_a_change_sees_all_of_it_and_may_change_more(trait: str) -> None:
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


def test_what_is_told_of_a_change_is_the_normal_form() -> None:
    form = mt.RequestBuilder()
    told: list[Any] = []
    form.observe(lambda change: told.append(change.new), ["parameters", "magic"])
    form.parameters = {"idCountry": "RU"}
    form.magic = "event=installs&idApp=5"
    assert {"idCountry": [188]} in told
    assert {"idCountry": "RU"} not in told
    assert "event=installs&idApp=5" not in told
    assert form.magic in told


def test_two_forms_can_be_linked() -> None:
    one, other = mt.RequestBuilder(), mt.RequestBuilder()
    traitlets.link((one, "parameters"), (other, "parameters"))
    one.parameters = {**GOOD, "idCountry": "RU"}
    other.field("idApp").value = "7"
    assert one.parameters == other.parameters == {**GOOD, "idCountry": [188], "idApp": [7]}
    assert one.request == other.request


def test_unknown_parameters_are_told_and_not_lost() -> None:
    form = mt.RequestBuilder(**GOOD, idAp=3)
    assert [problem.code for problem in form.problems] == ["unknown_parameter"]
    assert "idAp" in texts(form)
    form.field("event").value = "sessions"
    assert form.parameters["idAp"] == 3


def test_text_that_is_half_typed_stays_as_it_is_and_moves_the_form() -> None:
    form = mt.RequestBuilder(**GOOD)
    whole = "%%mytracker_export --frame df\nevent = installs # a comment\nselectors = idDevice\n"
    for end in range(len(whole) + 1):
        form.magic = whole[:end]
        assert form.magic == whole[:end]
        assert form.problems == form.request.problems
    assert form.field("event").value == "installs"
    form.field("event").value = "sessions"
    assert form.magic.splitlines()[:2] == ["%%mytracker_export --frame df", "event     = sessions"]


@pytest.mark.parametrize("stray", ["selec", "= 5", "--wait", "selec\nselec", "idAp"])
def test_a_word_left_in_the_magic_is_told_and_ends_with_the_text(stray: str) -> None:
    form = mt.RequestBuilder(**GOOD)
    magic = form.magic
    form.magic += f"\n{stray}"
    assert not form.request.is_valid
    form.field("idApp").value = "5"
    form.field("idApp").value = None
    assert form.magic == magic
    assert form.request.is_valid


def test_a_filter_that_the_magic_should_not_have_is_judged_as_it_was_written() -> None:
    form = mt.RequestBuilder()
    form.magic = "%mytracker_export event=installs eventName=x"
    assert "not_for_event" in [problem.code for problem in form.problems]
    assert "does not apply to installs" in texts(form)
    form.field("event").value = "customEvents"
    assert form.parameters["eventName"] == ["x"]


def main_text(form: Any) -> Any:
    """The box of the code."""
    return next(w for w in all_widgets(form) if getattr(w, "description", None) == "magic")


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
def test_the_service_s_own_url_moves_the_form_and_becomes_magic(text: str) -> None:
    form = mt.RequestBuilder()
    form.magic = text
    assert form.field("selectors").value == ["idDevice", "tsEvent"]
    assert form.field("idApp").value == [1]
    assert form.magic.startswith("%%mytracker_export\nevent     = installs\n")


def test_a_url_is_pasted_into_what_stands_in_the_code_box() -> None:
    form = mt.RequestBuilder(event="sessions")
    box = main_text(form)
    box.value += f"\nhttps://tracker.my.com/api/raw/v1/export/create.json?{QUERY}"
    assert box.value == form.magic
    assert (
        form.parameters
        == mt.RequestBuilder(**mt.ExportRequest.from_url(QUERY).parameters).parameters
    )
    form.magic = "event=customEvents&eventName[]=level up&idApp=1"
    assert form.parameters["eventName"] == ["level up"]


def test_a_query_that_is_typed_is_understood_and_not_written_over() -> None:
    form = mt.RequestBuilder()
    box = main_text(form)
    text = "event=installs&idApp=55&idCountry=188"
    for end in range(1, len(text) + 1):
        box.value = text[:end]
        assert box.value == text[:end]
    assert form.parameters == {"event": "installs", "idApp": [55], "idCountry": [188]}
    assert mt.ExportRequest.from_magic(form.magic) == form.request
    form.field("idApp").value = None
    assert box.value == form.magic


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
    languages = next(w for w in all_widgets(form) if getattr(w, "description", "") == "Code as")
    languages.value = "Python"
    assert "export = mt.export(" in texts(form)
    languages.value = "curl"
    assert "event=customEvents&amp;selectors=" in texts(form)
    assert "&lt;signature&gt;" in texts(form)
    form.field("event").value = "nonsense"
    assert "nothing to send" in texts(form)


# The controls.


def main(form: Any, name: str) -> Any:
    """The control that carries the name."""
    return next(w for w in all_widgets(form.field(name)) if getattr(w, "description", None) == name)


def test_what_is_typed_is_not_written_over() -> None:
    form = mt.RequestBuilder(**GOOD)
    main(form, "idApp").value = "7,  8,"
    main(form, "tsFrom").value = "2026-11-01T10:00"
    assert form.parameters["idApp"] == [7, 8]
    assert form.parameters["tsFrom"] == 1793516400
    assert main(form, "idApp").value == "7,  8,"
    assert main(form, "tsFrom").value == "2026-11-01T10:00"


def test_a_search_by_title_finds_an_event_and_enter_takes_it() -> None:
    form = mt.RequestBuilder()
    search = main(form, "event")
    search.value = "skan partner"
    lists = [w for w in all_widgets(form.field("event")) if type(w).__name__ == "Select"]
    assert [option[1] for w in lists for option in w.options] == ["partnerSKANpostbacks"]
    search.value = "skan partner\n"
    assert form.parameters == {"event": "partnerSKANpostbacks"}
    assert search.value == "partnerSKANpostbacks"


def test_an_event_is_picked_from_the_list_of_its_group() -> None:
    form = mt.RequestBuilder()
    devices, users = (w for w in all_widgets(form.field("event")) if type(w).__name__ == "Select")
    devices.value = "installs"
    assert form.parameters == {"event": "installs"}
    users.value = "userSessions"
    assert form.parameters == {"event": "userSessions"}
    assert devices.value is None


def test_entries_are_added_by_search_and_enter() -> None:
    form = mt.RequestBuilder()
    search = main(form, "idCountry")
    for text in ("kaz", "kaz\n", "kaz\ng", "kaz\ngerm", "kaz\ngerm\n"):
        search.value = text
    assert form.parameters == {"idCountry": [28, 202]}
    # struck faster than read: GE is Georgia, but may be the beginning of more
    for text in ("kaz\ngerm\nrus", "kaz\ngerm\nruss\nGE", "kaz\ngerm\nruss\nGE\n"):
        assert form.parameters.get("idCountry") != [28, 202, 188, 29]
        search.value = text
    assert form.parameters == {"idCountry": [28, 202, 188, 29]}


def test_a_word_in_a_search_that_is_not_added_is_told_and_counted() -> None:
    form = mt.RequestBuilder(**GOOD)
    search = main(form, "idCountry")
    for text in ("R", "RU", "RU,", "RU, K", "RU, Ka"):
        search.value = text
    assert form.parameters["idCountry"] == [188]
    assert "&#x27;Ka&#x27; is not added yet" in texts(form.field("idCountry"))
    assert "Ready to submit; not added yet: &#x27;Ka&#x27; in idCountry." in texts(form)
    search.value = "RU, Ka\n"
    assert "not added" not in texts(form)
    main(form, "idCountry").value = "RU"  # which is there already
    assert "not added" not in texts(form)


def test_submit_adds_the_word_that_stands_in_a_search_where_it_names_an_entry(
    account: Callable[..., Sandbox],
) -> None:
    account(seconds=600)
    form = mt.RequestBuilder(**GOOD)
    for text in ("R", "RU"):
        main(form, "idCountry").value = text
    main(form, "selectors").value = "ts"
    export = form.submit()
    assert export.request is not None
    assert export.request.parameters["idCountry"] == (188,)
    assert export.request.parameters["selectors"] == ("idDevice", "eventName")
    assert main(form, "idCountry").value == ""
    assert main(form, "selectors").value == "ts"


def test_a_pasted_column_is_added_whole() -> None:
    form = mt.RequestBuilder()
    main(form, "idCountry").value = "RU\nKZ\nnowhere\nGermany"
    assert form.field("idCountry").value == ["RU", "KZ", "nowhere", "Germany"]
    assert "nowhere" in texts(form.field("idCountry"))
    main(form, "selectors").value = "idDevice\tidSomethingNew\ttsEvent"
    assert form.parameters["selectors"] == ["idDevice", "idSomethingNew", "tsEvent"]


def test_columns_are_added_moved_and_removed() -> None:
    form = mt.RequestBuilder(selectors=["idDevice", "tsEvent"])
    field = form.field("selectors")
    found, chosen = (w for w in all_widgets(field) if type(w).__name__ == "SelectMultiple")
    assert "idDevice" not in [value for _, value in found.options]
    found.value = ("dpi", "waid")
    button(field, ADD[field.parameter.name]).click()
    assert form.parameters["selectors"] == ["idDevice", "tsEvent", "dpi", "waid"]
    chosen.index = (2, 3)
    button(field, "Up").click()
    assert form.parameters["selectors"] == ["idDevice", "dpi", "waid", "tsEvent"]
    assert chosen.index == (1, 2)
    for _ in range(3):
        button(field, "Up").click()
    assert form.parameters["selectors"] == ["dpi", "waid", "idDevice", "tsEvent"]
    button(field, "Down").click()
    assert form.parameters["selectors"] == ["idDevice", "dpi", "waid", "tsEvent"]
    button(field, "Remove from Columns").click()
    assert form.parameters["selectors"] == ["idDevice", "tsEvent"]


def test_a_click_waits_for_what_was_changed_before_it() -> None:
    form = mt.RequestBuilder()
    field = form.field("idCountry")
    found = next(w for w in all_widgets(field) if type(w).__name__ == "SelectMultiple")
    add = button(field, ADD[field.parameter.name])
    found.index = (0,)
    add._handle_custom_msg({"event": "click"}, [])
    assert form.parameters == {}
    found.index = (1,)  # which the browser had held back
    second = found.value[0]
    add.set_state({"answered": add.asked})
    assert form.parameters["idCountry"] == [int(second)]


def test_what_is_added_stays_in_the_list_so_that_no_other_takes_its_place() -> None:
    form = mt.RequestBuilder()
    field = form.field("idCountry")
    found = next(w for w in all_widgets(field) if type(w).__name__ == "SelectMultiple")
    before = found.options
    found.index = (0,)
    button(field, ADD[field.parameter.name]).click()
    assert found.options == before
    found.index = (1,)
    button(field, ADD[field.parameter.name]).click()
    assert form.field("idCountry").value == [int(value) for _, value in before[:2]]
    main(form, "idCountry").value = before[0][0].partition(" ")[0]
    assert before[0][1] not in [value for _, value in found.options]


def test_clicks_that_are_answered_together_all_act() -> None:
    form = mt.RequestBuilder(selectors=["idDevice", "tsEvent", "dpi"])
    field = form.field("selectors")
    _, chosen = (w for w in all_widgets(field) if type(w).__name__ == "SelectMultiple")
    down = button(field, "Down")
    chosen.index = (0,)
    for _ in range(2):
        down._handle_custom_msg({"event": "click"}, [])
    down.set_state({"answered": down.asked})
    assert form.parameters["selectors"] == ["tsEvent", "dpi", "idDevice"]


def test_a_heading_in_a_list_is_nothing_to_add() -> None:
    form = mt.RequestBuilder()
    field = form.field("selectors")
    found = next(w for w in all_widgets(field) if type(w).__name__ == "SelectMultiple")
    assert found.options[0][1] is None
    found.index = (0,)
    button(field, ADD[field.parameter.name]).click()
    assert form.parameters == {}


def test_a_starting_set_suits_the_event_and_adds_to_what_is_there() -> None:
    form = mt.RequestBuilder(event="sessions", selectors=["dpi"])
    button(form, "The event itself").click()
    assert form.parameters["selectors"][0] == "dpi"
    assert "duration" in form.parameters["selectors"]
    assert form.problems[0].code == "interval_missing"


def test_a_value_that_is_in_no_list_is_shown_all_the_same() -> None:
    form = mt.RequestBuilder(**GOOD, rooted="perhaps", timezone="Mars/Olympus", dateFrom2=1)
    assert main(form, "rooted").label == "perhaps"
    assert main(form, "timezone").value == "Mars/Olympus"
    form.field("rooted").value = None
    assert main(form, "rooted").label == "not set"


def test_a_choice_that_is_not_made_says_so() -> None:
    form = mt.RequestBuilder(**GOOD)
    choices = [w for w in all_widgets(form) if type(w).__name__ == "Dropdown"]
    assert choices
    assert {(choice.index, choice.label) for choice in choices} == {(0, "not set")}
    choice = main(form, "rooted")
    choice.index = 1
    assert form.parameters["rooted"] == choice.value
    choice.index = 0
    assert "rooted" not in form.parameters


def test_a_day_that_cannot_be_read_is_shown_and_cleared() -> None:
    form = mt.RequestBuilder(**GOOD | {"dateFrom": "soon"})
    clear = button(form.field("dateFrom"), "Clear 'soon'")
    assert clear.layout.display is None
    clear.click()
    assert "dateFrom" not in form.parameters
    assert clear.layout.display == "none"
    main(form, "dateFrom").value = datetime(2026, 11, 1).date()
    assert form.parameters["dateFrom"] == "2026-11-01"
    assert clear.layout.display == "none"


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
def test_a_preset_fills_the_days_and_is_known_again(title: str) -> None:
    form = mt.RequestBuilder(timezone="Asia/Vladivostok")
    presets = next(w for w in all_widgets(form) if getattr(w, "description", "") == "Days")
    presets.value = title
    assert form.field("dateFrom").value <= form.field("dateTo").value
    assert not [problem for problem in form.problems if problem.parameter.startswith("date")]
    form.field("dateFrom").value = "2001-02-03"
    assert presets.value == "Custom"
    form.field("dateFrom").value = form.field("dateTo").value = None
    assert presets.value is None


@given(st.dates(datetime(1971, 1, 1).date(), datetime(2100, 1, 1).date()))
def test_presets_end_today_or_before_and_are_found_again(today: Any) -> None:
    for preset in PRESETS:
        first, last = preset.days(today)
        assert first <= last <= today
        found = preset_of(first.isoformat(), last.isoformat(), today)
        assert found is not None
        assert found.days(today) == (first, last)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"dateFrom": "2026-11-01", "dateTo": "2026-11-07"}, "7 days: Sun 1 Nov 2026 to Sat 7"),
        ({"dateFrom": "2026-11-01", "dateTo": "2026-11-01"}, "1 day: Sun 1 Nov 2026 ("),
        ({"tsFrom": 0, "tsTo": 3599}, "1 h: Thu 1 Jan 1970 03:00:00 to Thu 1 Jan 1970 03:59:59"),
        ({"availabilityTsFrom": 0, "availabilityTsTo": 59}, "available from 1 min: "),
        ({"dateFrom": "2026-11-07", "dateTo": "2026-11-01"}, ""),
        ({"dateFrom": "soon", "dateTo": ["2026"]}, ""),
        ({"tsFrom": 0, "tsTo": 10**30}, ""),
    ],
)
def test_an_interval_is_said_in_words(parameters: dict[str, Any], words: str) -> None:
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
    assert "The event itself" in starting_sets(event)
    assert starting_sets(f"user{event[0].upper()}{event[1:]}") == starting_sets(event)


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


def test_submit_makes_an_export_and_shows_it_to_its_first_rows(
    account: Callable[..., Sandbox],
) -> None:
    sandbox = account()
    form = mt.RequestBuilder(**GOOD)
    export = form.submit()
    assert form.export is export
    assert export.request == form.request
    until(lambda: "All of them:" in texts(form))
    assert f"idRawExport {export.id_raw_export}" in texts(form).replace("</strong>", "")
    assert f"mt.Client().attach({export.id_raw_export}).to_pandas()" in texts(form)
    assert "<th>eventName</th>" in texts(form)
    assert button(form, "Submit").disabled
    assert creates(sandbox) == 1


def test_a_missing_value_is_an_empty_cell_of_the_preview(account: Callable[..., Sandbox]) -> None:
    account()
    form = mt.RequestBuilder(**GOOD | {"event": "installs", "selectors": ["idAd", "idPartner"]})
    form.submit()
    until(lambda: "All of them:" in texts(form))
    assert "<td></td>" in texts(form)
    assert "NA" not in texts(form)


def test_the_curl_command_goes_where_submit_goes(
    no_account: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = mt.RequestBuilder(**GOOD)
    languages = next(w for w in all_widgets(form) if getattr(w, "description", "") == "Code as")
    languages.value = "curl"
    assert "https://tracker.my.com/api" in texts(form)
    monkeypatch.setenv("MYTRACKER_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("MYTRACKER_API_USER_ID", "1")
    monkeypatch.setenv("MYTRACKER_SECRET_KEY", "k")
    form.field("idApp").value = "7"
    assert "http://127.0.0.1:1/api" in texts(form)


def test_a_double_click_makes_one_export(account: Callable[..., Sandbox]) -> None:
    sandbox = account(seconds=600)
    form = mt.RequestBuilder(**GOOD)
    button(form, "Submit").click()
    button(form, "Submit").click()
    until(lambda: form.export is not None)
    assert form.submit() is form.submit() is form.export
    assert creates(sandbox) == 1
    form.field("idApp").value = 7
    assert not button(form, "Submit").disabled
    assert form.submit() is form.export
    assert creates(sandbox) == 2


def test_cancel_ends_the_export_and_lets_it_be_made_again(
    account: Callable[..., Sandbox],
) -> None:
    account(seconds=600)
    form = mt.RequestBuilder(**GOOD)
    first = form.submit()
    assert not button(form, "Cancel").disabled
    button(form, "Cancel").click()
    until(lambda: "Canceled by user" in texts(form))
    until(lambda: not button(form, "Submit").disabled)
    assert button(form, "Cancel").disabled
    assert form.submit().id_raw_export != first.id_raw_export


def test_a_full_queue_is_waited_for_until_there_is_a_place_or_cancel(
    account: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = account(seconds=600, queue=1)
    monkeypatch.setattr("mytracker_nb.client.client.backoff", lambda: iter(lambda: 0.05, None))
    first, form = mt.RequestBuilder(**GOOD, idApp=7), mt.RequestBuilder(**GOOD)
    number = first.submit().id_raw_export

    button(form, "Submit").click()
    until(lambda: "Not sent yet" in texts(form))
    assert f"The queue is filled by {number}" in texts(form)
    assert button(form, "Submit").disabled
    until(lambda: not button(form, "Cancel").disabled)
    button(form, "Cancel").click()
    until(lambda: "no export was made" in texts(form))
    assert not button(form, "Submit").disabled
    assert list(sandbox.exports) == [number]

    button(form, "Submit").click()
    until(lambda: "Not sent yet" in texts(form))
    sandbox.clock.advance(601)
    until(lambda: form.export is not None)
    assert "Not sent yet" not in texts(form)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves next to no time between two looks at an export."""
    monkeypatch.setattr("mytracker_nb.client.follow.backoff", lambda: iter(lambda: 0.02, None))
    monkeypatch.setattr("mytracker_nb.service.retry.RetryPolicy.delay", lambda *_, **options: 0.02)


@pytest.mark.parametrize("status", [503, 429])
def test_an_export_is_followed_through_faults_that_pass_however_many(
    account: Callable[..., Sandbox], quick: None, status: int
) -> None:
    sandbox = account()
    sandbox.faults.add(path="/get.json", times=8, status=status)
    form = mt.RequestBuilder(**GOOD)
    export = form.submit()
    until(lambda: f"Export {export.id_raw_export}: retrying in" in texts(form))
    until(lambda: "All of them:" in texts(form))
    assert "retrying in" not in texts(form)
    assert creates(sandbox) == 1


def test_submit_follows_an_export_again_that_nobody_follows(
    account: Callable[..., Sandbox], quick: None
) -> None:
    sandbox = account(seconds=600)
    sandbox.faults.add(path="/get.json", times=1, status=403)
    form = mt.RequestBuilder(**GOOD)
    export = form.submit()
    until(lambda: "is not followed any more" in texts(form))
    until(lambda: "AccessDenied" in texts(form))
    assert not button(form, "Submit").disabled
    assert form.submit() is export
    assert button(form, "Submit").disabled
    assert "AccessDenied" not in texts(form)
    sandbox.clock.advance(601)
    until(lambda: "All of them:" in texts(form))
    assert creates(sandbox) == 1


def test_the_form_shows_what_its_export_is_asked_elsewhere(
    account: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mytracker_nb.client.follow.backoff", lambda: iter(lambda: 600.0, None))
    sandbox = account(seconds=600)
    form = mt.RequestBuilder(**GOOD)
    export = form.submit()
    until(lambda: export.updated_at is not None)
    sandbox.clock.advance(601)
    assert "Success!" not in texts(form)
    export.refresh()
    assert "Success!" in texts(form)


def test_days_that_still_grow_are_exported_anew(account: Callable[..., Sandbox]) -> None:
    sandbox = account(seconds=600)
    form = mt.RequestBuilder(**GOOD | {"dateTo": "today"})
    first = form.submit()
    assert form.submit() is first
    sandbox.clock.advance(601)
    first.refresh()
    assert not button(form, "Submit").disabled
    assert form.submit().id_raw_export != first.id_raw_export
    assert creates(sandbox) == 2


def test_an_export_whose_files_are_gone_is_made_anew(account: Callable[..., Sandbox]) -> None:
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
    button(form, "Submit").click()
    until(lambda: "CredentialsMissing" in texts(form))
    assert "%mytracker_sandbox" in texts(form)
    with pytest.raises(mt.CredentialsMissing):
        form.submit()


def test_the_secret_key_is_nowhere(account: Callable[..., Sandbox]) -> None:
    sandbox = account()
    form = mt.RequestBuilder(**GOOD)
    form.submit()
    until(lambda: "All of them:" in texts(form))
    shown = [texts(form), repr(form), form.magic, *map(str, form._repr_mimebundle_().values())]
    assert sandbox.secret_key not in " ".join(shown)


# What a notebook keeps.


def test_what_is_kept_without_a_kernel_is_the_request_then_the_result(
    account: Callable[..., Sandbox],
) -> None:
    account()
    form = mt.RequestBuilder(**GOOD)
    bundle = form._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "customEvents" in bundle["text/html"]
    assert "nothing was sent" in bundle["text/plain"]
    form.submit()
    until(lambda: "All of them:" in texts(form))
    bundle = form._repr_mimebundle_()
    assert "SANDBOX" in bundle["text/html"]
    assert "<th>eventName</th>" in bundle["text/html"]
    assert "Success!" in bundle["text/plain"]


def test_the_static_output_stands_beside_the_view_and_follows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published: list[tuple[dict[str, Any], dict[str, Any]]] = []
    monkeypatch.setattr(snapshot, "_QUIET_SECONDS", 0.05)
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
