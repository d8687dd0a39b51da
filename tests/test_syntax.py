"""Reading and writing requests: the magic's notation, Python, curl, the service's own URL."""

from __future__ import annotations

import sys
import types
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ANYTHING, DAYS, NAMES, PLAIN, TEXTS, TIMES, right

import mytracker_nb as mt
from mytracker_nb.magics.request_text import parse_request
from mytracker_nb.request.coercion import Unreadable, iter_values
from mytracker_nb.request.syntax import parse_cell, parse_magic, parse_url

APPS = [1, 2]
SPACE = {"apps": APPS, "names": ["a, b", "c"], "none": None, "frame": types.SimpleNamespace(x=APPS)}


def evaluate(expression: str) -> Any:
    return eval(expression, {}, SPACE)


def cell(text: str) -> dict[str, Any]:
    return parse_cell("", text, evaluate).parameters


def line(text: str) -> dict[str, Any]:
    parsed = parse_cell(text, "", evaluate)
    assert not parsed.options
    return parsed.parameters


def unreadable(value: Any, why: str) -> bool:
    return isinstance(value, Unreadable) and why in value.why


# ---- what both forms share


BOTH = {
    "name": ("event=installs", {"event": "installs"}),
    "spaces around the sign": ("event = installs", {"event": "installs"}),
    "list": ("selectors=a,b,c", {"selectors": ["a", "b", "c"]}),
    "spaces around commas": ("selectors=a , b, c", {"selectors": ["a", "b", "c"]}),
    "array-style name": ("idApp[]=1", {"idApp[]": "1"}),
    "quotes": ('eventName="a, b"', {"eventName": ["a, b"]}),
    "single quotes": ("eventName='say \"hi\"'", {"eventName": ['say "hi"']}),
    "quoted list": ("eventName='a, b', \"it's\",c", {"eventName": ["a, b", "it's", "c"]}),
    "equals sign in quotes": ("eventName='a=b'", {"eventName": ["a=b"]}),
    "hash in quotes": ("eventName='a # b'", {"eventName": ["a # b"]}),
    "hash in a word": ("eventName=a#b", {"eventName": "a#b"}),
    "braces in quotes": ("eventName='{x} $y'", {"eventName": ["{x} $y"]}),
    "apostrophe in a word": ("eventName=it's", {"eventName": "it's"}),
    "empty": ("eventName=", {"eventName": ""}),
    "empty quotes": ("eventName=''", {"eventName": ""}),
    "empty part": ("idApp=1,,3", {"idApp": ["1", "", "3"]}),
    "comma at the end": ("idApp=1,", {"idApp": ["1", ""]}),
    "negative": ("tsFrom=-5", {"tsFrom": "-5"}),
    "object": ("idApp=$apps", {"idApp": APPS}),
    "attribute": ("idApp=$frame.x", {"idApp": APPS}),
    "object in braces": ("idApp={apps}", {"idApp": APPS}),
    "None": ("idApp=$none", {"idApp": None}),
    "expression": ("idApp={[a + 1 for a in apps]}", {"idApp": [2, 3]}),
    "set": ("idApp={{1, 2}}", {"idApp": {1, 2}}),
    "dict": ("idApp={list({'a': 1, 'b': {2: 3}})}", {"idApp": ["a", "b"]}),
    "brace in a text": ("eventName={'}{'}", {"eventName": "}{"}),
    "nested quotes": ("eventName={\"it's \" + 'a'}", {"eventName": "it's a"}),
    "f-string": ("eventName={f'{apps[0]}, x'}", {"eventName": "1, x"}),
    "objects in a list": ("idApp=$apps,{7}, 8", {"idApp": [1, 2, 7, "8"]}),
    "names in a list": ("eventName=$names,'d, e'", {"eventName": ["a, b", "c", "d, e"]}),
    "text of an expression": ("dateFrom=today-{3 + 4}d", {"dateFrom": "today-7d"}),
    "dollar in a word": ("eventName=a$apps", {"eventName": "a$apps"}),
    "dollar and digits": ("eventName=$5", {"eventName": "$5"}),
    "question mark": ("eventName=what?", {"eventName": "what?"}),
    "emoji": ("eventName=🎉,два", {"eventName": ["🎉", "два"]}),
    "misspelt name": ("date-from=today", {"date-from": "today"}),
    "foreign letter in a name": ("id\u0410pp=5", {"id\u0410pp": "5"}),
    "no-break spaces": ("\u00a0event\u00a0=\u00a0installs\u00a0", {"event": "installs"}),
    "tabs": ("\tevent\t=\tinstalls\t", {"event": "installs"}),
}


@pytest.mark.parametrize(("text", "parameters"), BOTH.values(), ids=BOTH)
def test_both_forms_read_the_same(text: str, parameters: dict[str, Any]) -> None:
    assert cell(text) == parameters
    assert line(text) == parameters
    assert cell(f"{text}\r\n") == parameters
    assert cell(f"{text}  # why\nrooted = 1") == {**parameters, "rooted": "1"}
    assert line(f"{text} rooted=1") == {**parameters, "rooted": "1"}
    assert line(f"rooted=1   {text}  ") == {"rooted": "1", **parameters}


def test_an_object_is_passed_itself() -> None:
    for text in ("$apps", "{apps}", "{ apps }", "$apps  # all of them", "{apps}\t\r"):
        assert cell(f"idApp = {text}")["idApp"] is APPS
    assert line("idApp=$apps event=x")["idApp"] is APPS


UNREADABLE = {
    "open quote": ("'a", "closing quote"),
    "open brace": ("{apps", "not a Python expression"),
    "empty braces": ("{}", "not a Python expression"),
    "half an expression": ("{1 +}", "not a Python expression"),
    "unknown name": ("$nothing", "NameError"),
    "failing expression": ("{1/0}", "ZeroDivisionError"),
    "failing expression in a text": ("today-{1/0}d", "ZeroDivisionError"),
    "more than a name": ("$apps[0]", "{braces}"),
    "typographic quotes": ("“a”", "typographic quote"),
}


@pytest.mark.parametrize(("text", "why"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_value_that_cannot_be_parsed_is_reported_and_the_rest_is_parsed(
    text: str, why: str
) -> None:
    for parameters in (cell(f"idApp = {text}\nevent = hits"), line(f"event=hits idApp={text}")):
        assert unreadable(parameters["idApp"], why)
        assert parameters == {"event": "hits", "idApp": parameters["idApp"]}
    (problem,) = mt.ExportRequest(idApp=cell(f"idApp = {text}")["idApp"]).problems[3:]
    assert (problem.parameter, problem.code) == ("idApp", "bad_value")
    assert text in problem.message
    assert why in problem.message


def test_only_the_notebook_knows_names() -> None:
    request = mt.ExportRequest.from_magic("idApp=$apps,{apps}")
    assert "needs the notebook's variables" in str(request.problems[-1])
    assert mt.ExportRequest.from_magic("idApp={[1, 2]}").parameters["idApp"] == (1, 2)


def test_an_expression_may_raise_anything_of_its_own() -> None:
    class Wild(Exception):
        pass

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def wild(expression: str) -> Any:
        if expression == "mute":
            raise Mute
        if expression == "text":
            return type("Textless", (), {"__str__": lambda self: 1 / 0})()
        if expression == "list":
            return (1 / 0 for _ in [1])
        raise Wild("no")

    parsed = parse_cell("a=$x b=1{text} c={list},2 d={mute}", "", wild).parameters
    assert unreadable(parsed["a"], "Wild: no")
    assert unreadable(parsed["b"], "ZeroDivisionError")
    assert unreadable(parsed["c"][0], "ZeroDivisionError")
    assert unreadable(parsed["d"], "Mute")


def test_a_parameter_given_twice_is_a_list() -> None:
    assert line("idApp=1 idApp=2,3")["idApp"] == ["1", "2", "3"]
    assert cell("idApp = $apps\nidApp = 3")["idApp"] == [1, 2, "3"]
    (problem,) = mt.ExportRequest.from_magic(
        "event=hits event=installs selectors=a dateFrom=2024-11-01 dateTo=2024-11-01"
    ).problems[:1]
    assert (problem.parameter, problem.code) == ("event", "bad_value")


# ---- the line form


def test_options_can_be_anywhere_in_a_line() -> None:
    parsed = parse_cell("--wait event=hits --out df selectors=a, b --frame=x -n tsFrom=-5", "")
    assert parsed.options == ["--wait", "--out", "df", "--frame=x", "-n"]
    assert parsed.parameters == {"event": "hits", "selectors": ["a", "b"], "tsFrom": "-5"}


@pytest.mark.parametrize("text", ["selectors=a, --wait", "selectors= --wait", "selectors=--wait"])
def test_an_option_after_half_a_list_is_an_option(text: str) -> None:
    parsed = parse_cell(text, "")
    if "= " in text or ", " in text:
        assert parsed.options == ["--wait"]
        assert parsed.parameters["selectors"] in ("", ["a", ""])
    else:
        assert parsed.parameters == {"selectors": "--wait"}


@pytest.mark.parametrize("text", ["selectors=a, event=hits", "selectors= event=hits"])
def test_a_parameter_after_half_a_list_is_a_parameter(text: str) -> None:
    assert line(text)["event"] == "hits"


def test_a_stray_word_is_reported() -> None:
    for text in ("installs", "event=hits installs", "eventName=level installs"):
        assert unreadable(line(text)["installs"], "name=value")
    problem = mt.ExportRequest.from_magic("%x event=hits installs").problems[-1]
    assert (problem.parameter, problem.code) == ("installs", "unknown_parameter")
    assert "quotes" in problem.message
    problem = mt.ExportRequest.from_magic("%x event").problems[0]
    assert (problem.parameter, problem.code) == ("event", "bad_value")


# ---- the cell form


def test_a_cell() -> None:
    text = """
# what we need
event     = customEvents     # those of the app

selectors = idDevice, tsEvent,   # the first two
            eventName,

# and more
            params.name
eventName =
    'a, b',
    {[
        'c',
        'd',
    ]}
  , e
  dateFrom = 2024-11-01
"""
    assert cell(text) == {
        "event": "customEvents",
        "selectors": ["idDevice", "tsEvent", "eventName", "params.name"],
        "eventName": ["a, b", "c", "d", "e"],
        "dateFrom": "2024-11-01",
    }
    assert cell(text.replace("\n", "\r\n")) == cell(text)
    assert cell(text.replace("    ", "\t")) == cell(text)


def test_a_cell_pasted_from_a_page_has_no_break_spaces() -> None:
    text = "event = hits\nselectors =\n    a, b,  # two\n    c\nidApp = $apps \n"
    assert cell(text.replace(" ", "\u00a0")) == cell(text)
    assert cell(text)["idApp"] is APPS


def test_a_value_in_a_cell_may_have_spaces_and_signs() -> None:
    assert cell("eventName = level up, a=b, it's # 2") == {"eventName": ["level up", "a=b", "it's"]}


def test_a_list_that_ends_with_a_comma_does_not_include_the_next_parameter() -> None:
    assert cell("selectors = a,\nevent = hits") == {"selectors": ["a", ""], "event": "hits"}
    assert cell("eventName =\nevent = hits") == {"eventName": "", "event": "hits"}


def test_an_open_quote_ends_with_its_line() -> None:
    parameters = cell("eventName = 'level\nidCountry = \"Côte d'Ivoire\"")
    assert unreadable(parameters["eventName"], "closing quote")
    assert parameters["idCountry"] == ["Côte d'Ivoire"]


STRAY = {
    "no sign": ("installs", "name=value"),
    "colon": ("event: installs", "name=value"),
    "next line of a list without a comma": ("event = hits\n  tsEvent", "comma"),
    "option": ("--wait", "first line"),
}


@pytest.mark.parametrize(("text", "why"), STRAY.values(), ids=STRAY)
def test_a_stray_line_is_reported(text: str, why: str) -> None:
    *_, (name, value) = cell(f"{text}\nselectors = a").items() - {("selectors", "a")}
    if name == "event":
        name, value = next((n, v) for n, v in cell(text).items() if n != "event")
    assert unreadable(value, why)
    assert cell(f"{text}\nselectors = a")["selectors"] == "a"


@pytest.mark.parametrize("text", ["'a' b", "'a' 'b'", "'a'b, c", "'a', 'b' c"])
def test_a_missing_comma_after_a_quote_is_reported(text: str) -> None:
    assert unreadable(cell(f"eventName = {text}")["eventName"], "comma is missing")


def test_positions_are_those_of_the_text() -> None:
    first, rest = "--wait event = hits  rooted=7", "idApp = 1,\n  2  # two\n\nnonsense\nidAd='x\n"
    text = f"{first}\n{rest}"
    parsed = parse_cell(first, rest)
    assert [(a.name, text[a.start : a.end]) for a in parsed.assignments] == [
        ("event", "event = hits"),
        ("rooted", "rooted=7"),
        ("idApp", "idApp = 1,\n  2  # two"),
        ("nonsense", "nonsense"),
        ("idAd", "idAd='x"),
    ]


# ---- a whole magic


@pytest.mark.parametrize(
    "text",
    [
        "%%mytracker_export --wait\nevent = hits\nidApp = 1, 2",
        "%%mytracker_export event=hits\nidApp = 1, 2",
        "%mytracker_export event=hits idApp=1,2 --wait",
        "%mytracker_export event=hits \\\n  idApp=1,2",
        "%mytracker_export event=hits \\\r\n  idApp=1,2",
        "\n\n  %%mytracker_export\r\n\r\nevent = hits\r\nidApp = 1, 2\r\n",
        "\ufeff%%mytracker_export\nevent = hits\nidApp = 1, 2",
        "event=hits idApp=1,2",
        "event=hits idApp=1,2\n",
        "export = %mytracker_export event=hits idApp=1,2",
        "a.b[0]=%mytracker_export event=hits \\\n  idApp=1,2 --wait",
        "event = hits\nidApp = 1, 2",
        "%mytracker_export event=hits\nidApp = 1, 2",
    ],
)
def test_the_text_of_a_cell_is_parsed(text: str) -> None:
    assert parse_magic(text).parameters == {"event": "hits", "idApp": ["1", "2"]}


def test_a_value_may_look_like_a_magic() -> None:
    assert parse_magic("eventName=%x").parameters == {"eventName": "%x"}
    assert parse_magic("eventName = %d of %d").parameters == {"eventName": "%d of %d"}


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("dateFrom = 2024-01-01 # c", {"dateFrom": "2024-01-01"}),
        ("tsFrom = 2024-01-01 10:00", {"tsFrom": "2024-01-01 10:00"}),
        ("eventName = level up, x", {"eventName": ["level up", "x"]}),
        ("event = hits idApp = 1", {"event": "hits", "idApp": "1"}),
    ],
)
def test_a_cells_body_may_be_one_line(text: str, parameters: dict[str, Any]) -> None:
    assert parse_magic(text).parameters == parameters
    assert parse_magic(f"{text}\n").parameters == parameters


@pytest.mark.parametrize("text", ["%x event=hits;", "event=hits ; ", "%x event=hits \\\n  ;\n"])
def test_a_semicolon_that_ends_a_line_magic_is_ipythons(text: str) -> None:
    assert parse_magic(text).parameters == {"event": "hits"}
    assert parse_magic("%%x\nevent = hits;").parameters == {"event": "hits"}
    assert parse_magic("%%x\neventName = 'hits;'\n").parameters == {"eventName": ["hits;"]}
    assert parse_magic("%x event=hits;;").parameters == {"event": "hits;"}


@pytest.mark.parametrize("sign", [";", "\\", "?"])
def test_a_line_magic_ends_in_no_sign_that_is_ipythons(sign: str) -> None:
    request = mt.ExportRequest(eventName=[f"a{sign}", sign])
    written = request.to_magic(line=True)
    assert written == f'%mytracker_export eventName="a{sign}","{sign}"'


@pytest.mark.parametrize("text", ["", " ", "\n", "%%mytracker_export", "%mytracker_export --wait"])
def test_an_empty_magic_has_no_parameters(text: str) -> None:
    assert parse_magic(text).parameters == {}


# ---- there and back


@given(right())
def test_a_request_comes_back_from_its_magic(parameters: dict[str, Any]) -> None:
    request = mt.ExportRequest(**parameters)
    for text in (request.to_magic(), request.to_magic(line=True)):
        again = mt.ExportRequest.from_magic(text)
        assert again == request
        assert again.parameters == request.parameters
    assert "\n" not in request.to_magic(line=True)
    assert all(len(row) < 130 for row in request.to_magic().splitlines())


@given(right())
def test_a_request_comes_back_from_its_python_code(parameters: dict[str, Any]) -> None:
    request = mt.ExportRequest(**parameters)
    assert ran(request.to_python()) == request


def ran(code: str) -> mt.ExportRequest:
    """What the code would have asked for."""
    package = types.ModuleType("mytracker_nb")
    package.export = lambda **parameters: mt.ExportRequest(**parameters)  # type: ignore[attr-defined]
    namespace: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "mytracker_nb", package)
        exec(code, namespace)
    return namespace["export"]


@given(right(), st.sampled_from(["?", "https://tracker.my.com/api/raw/v1/export/create.json?", ""]))
def test_a_request_comes_back_from_its_form(parameters: dict[str, Any], start: str) -> None:
    request = mt.ExportRequest(**parameters)
    url = start + urlencode(request.wire())
    assert mt.ExportRequest.from_url(url) == request
    assert mt.ExportRequest.from_url(f" {url}\n") == request
    assert mt.ExportRequest.from_url(f"curl -H 'A: b=c' '{url}'") == request
    assert mt.ExportRequest.from_url(request.to_curl()) == request


WRONG = (
    st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
)


@given(
    st.dictionaries(
        st.from_regex(r"[a-zA-Z][a-zA-Z_]{0,12}", fullmatch=True) | st.sampled_from(["event"]),
        WRONG | st.lists(WRONG, min_size=2, max_size=4),
        max_size=4,
    )
)
def test_a_wrong_request_comes_back_as_wrong(parameters: dict[str, Any]) -> None:
    request = mt.ExportRequest(**parameters)
    found = [(p.parameter, p.code, p.severity) for p in request.problems]
    for again in (
        mt.ExportRequest.from_magic(request.to_magic()),
        mt.ExportRequest.from_magic(request.to_magic(line=True)),
        ran(request.to_python()),
    ):
        assert [(p.parameter, p.code, p.severity) for p in again.problems] == found


@given(DAYS, TIMES)
def test_a_normal_form_is_parsed_to_itself(day: Any, time: int) -> None:
    first = mt.ExportRequest(dateFrom=day, tsFrom=time, timezone="UTC", idCountry="RU")
    assert mt.ExportRequest(**first.parameters) == first


ODD_NAMES = [
    "a, b",
    " leading and trailing ",
    "both \"kinds\" of 'quotes'",
    "two\nlines\r\n",
    "\"kinds\" of 'quotes', and commas",
    "tab\there",
    "Покупка: «старт» — 100 %",
    "🎉👩‍👩‍👧",
    "back\\slash\\",
    "# no comment",
    "a=b",
    "--wait",
    "-5",
    "$apps",
    "{apps}",
    "}{",
    "“quoted”",
    "what?",
    "a;",
    "%%magic",
    "!ls",
    "no\u00a0break\u200b",
    "\u202eright to left",
    "\ufeffmarks\ufeff",
    "\x00\x1b[31m",
    "None",
    "1",
    "'",
    '"',
    ",",
    "e" * 300,
]


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_event_names_survive(name: str) -> None:
    days = {"dateFrom": "2024-11-01", "dateTo": "2024-11-02"}
    for names in ([name], ["first", name], [name, "last"]):
        request = mt.ExportRequest(
            event="customEvents", selectors="idDevice", eventName=names, **days
        )
        assert request.parameters["eventName"] == tuple(names)
        for again in (
            mt.ExportRequest.from_magic(request.to_magic()),
            mt.ExportRequest.from_magic(request.to_magic(line=True)),
            mt.ExportRequest.from_url(request.to_curl()),
            ran(request.to_python()),
        ):
            assert again.parameters["eventName"] == tuple(names)
            assert again == request


def test_the_magic_is_readable() -> None:
    request = mt.ExportRequest(
        event="customEvents",
        selectors="idDevice,tsEvent",
        dateFrom="2024-11-01",
        dateTo="2024-11-07",
        idApp=range(100, 130),
        eventName=["level up", "a, b", "it's"],
    )
    assert request.to_magic() == (
        "%%mytracker_export\n"
        "event     = customEvents\n"
        "selectors = idDevice, tsEvent\n"
        "dateFrom  = 2024-11-01\n"
        "dateTo    = 2024-11-07\n"
        "idApp     = 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114,\n"
        "            115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129\n"
        'eventName = "level up", "a, b", "it\'s"'
    )
    assert mt.ExportRequest(event="hits", idApp=[1, 2]).to_magic(line=True) == (
        "%mytracker_export event=hits idApp=1,2"
    )


def test_invisible_characters_are_escaped() -> None:
    for written in (
        mt.ExportRequest(eventName="a\ufeff").to_magic(line=line) for line in (False, True)
    ):
        assert written.endswith("{['a\\ufeff']}")


@pytest.mark.parametrize("read", [parse_url, lambda text: parse_magic(text).parameters])
def test_a_byte_order_mark_at_the_end_is_the_values_own(read: Any) -> None:
    assert read("\ufeff eventName=a\ufeff\n") == {"eventName": "a\ufeff"}


def test_python_code_is_readable() -> None:
    assert mt.ExportRequest(event="hits", idApp=[1, 2]).to_python() == (
        "import mytracker_nb as mt\n\nexport = mt.export(\n    event='hits',\n    idApp=[1, 2],\n)"
    )
    many = mt.ExportRequest(event="hits", idApp=list(range(1000, 1060)))
    assert max(map(len, many.to_python().splitlines())) <= 88
    assert ran(many.to_python()) == many


def test_the_curl_command_has_no_signature() -> None:
    request = mt.ExportRequest(
        event="hits", selectors="idDevice", dateFrom="2024-11-01", dateTo="2024-11-02"
    )
    assert request.to_curl("http://127.0.0.1:1") == (
        "curl -X POST http://127.0.0.1:1/api/raw/v1/export/create.json \\\n"
        "  -H 'Authorization: AuthHMAC <API User ID>:<signature>' \\\n"
        "  --data 'event=hits&selectors=idDevice&dateFrom=2024-11-01&dateTo=2024-11-02'"
    )


# ---- the service's own URL


URLS = {
    "url": "https://tracker.my.com/api/raw/v1/export/create.json?event=hits&idApp=1,2",
    "query": "event=hits&idApp=1,2",
    "query with its mark": "?event=hits&idApp=1,2",
    "arrays": "event=hits&idApp[]=1&idApp[]=2",
    "encoded arrays": "event=hits&idApp%5B%5D=1&idApp%5b%5d=2",
    "numbered arrays": "event=hits&idApp[0]=1&idApp[1]=2",
    "encoded commas": "https://x/?idApp=1%2C2&event=hits#top",
    "repeated": "event=hits&idApp=1&idApp=2",
    "curl, body": "curl -X POST 'https://x/y' -d event=hits -d 'idApp=1,2'",
    "curl, query": "curl 'https://x/y?event=hits&idApp=1,2' -H 'Authorization: AuthHMAC 1:b='",
    "curl, joined": "curl -X POST https://x/y -d'event=hits' --data='idApp=1,2'",
    "curl, to be encoded": "curl x/y --data-urlencode event=hits --data-urlencode=idApp=1,2",
    "curl, address as an option": "curl --url='https://x/y?event=hits&idApp=1,2'",
    "quotes around": "'https://x/y?event=hits&idApp=1,2'",
    "double quotes around": '"event=hits&idApp=1,2"',
    "curl, lines": "curl -X POST https://x/y \\\n --data-urlencode 'event=hits' \\\n -d idApp=1,2",
    "curl, a quote left open": "curl https://x/y -d event=hits -d idApp=1,2 -H 'Accept",
    "request line": "POST https://x/y?event=hits&idApp=1,2",
    "byte order mark": "\ufeffevent=hits&idApp=1,2",
}


@pytest.mark.parametrize("text", URLS.values(), ids=URLS)
def test_the_service_s_own_url_is_read(text: str) -> None:
    request = mt.ExportRequest.from_url(text)
    assert request.parameters == {"event": "hits", "idApp": (1, 2)}


@pytest.mark.parametrize("text", ["", "https://tracker.my.com", "nonsense", "curl", "http://[::1"])
def test_a_url_without_parameters_has_none(text: str) -> None:
    assert parse_url(text) == {}


@pytest.mark.parametrize("value", ["who?", "http://x/y", "a://b?c=d", "?"])
@pytest.mark.parametrize("start", ["", "?", "https://x/y?", "curl https://x/y -d "])
def test_a_value_that_is_not_encoded_does_not_change_other_values(start: str, value: str) -> None:
    parameters = parse_url(f"{start}event=hits&eventName[]={value}")
    assert parameters == {"event": "hits", "eventName": [value]}


def test_curl_options_that_encode_are_supported() -> None:
    for option in ("--data-urlencode ", "--data-urlencode="):
        text = f"curl https://x/y -d event=hits {option}'eventName[]=a&b + 100 %25' -d idApp=1%2C2"
        expected = {"event": "hits", "eventName": ["a&b + 100 %25"], "idApp": "1,2"}
        assert parse_url(text) == expected


def test_arrays_of_names_may_have_commas() -> None:
    request = mt.ExportRequest.from_url("eventName[]=a,b&eventName[]=%D0%BE")
    assert request.parameters["eventName"] == ("a,b", "о")


# ---- nothing raises


SYNTAX = st.lists(
    st.sampled_from([*"{}[]()'\"$#,=\\%-&? \n\t\r:.", "event", "idApp[]", "--wait", "today", "1"])
    | st.sampled_from(["curl ", "https://", "%%x\n", "%x ", "{[1]}", "“", "\u00a0", "\x00", "я"]),
    max_size=25,
).map("".join)


@given(TEXTS | st.text() | SYNTAX)
def test_no_text_raises(text: str) -> None:
    for read in (mt.ExportRequest.from_magic, mt.ExportRequest.from_url):
        request = read(text)
        assert isinstance(request.problems, tuple)
        assert isinstance(request.to_magic(), str)


@given(SYNTAX, SYNTAX)
def test_positions_are_within_the_text(first: str, rest: str) -> None:
    first = first.replace("\n", " ")
    parsed = parse_cell(first, rest, evaluate)
    before = 0
    for assignment in parsed.assignments:
        assert before <= assignment.start < assignment.end <= len(first) + 1 + len(rest)
        before = place = assignment.start
        for part in assignment.parts:
            assert place <= part.start <= part.end <= assignment.end
            place = part.end
        before = assignment.end


@given(right(), st.booleans())
def test_the_parts_of_a_value_are_where_they_are_written(
    parameters: dict[str, Any], line: bool
) -> None:
    request = mt.ExportRequest(**parameters)
    text = request.to_magic(line=line)
    _, _, body = text.partition("%mytracker_export")
    first, _, rest = body.partition("\n")
    parsed = parse_cell(first, None if line else rest, evaluate)
    assert [assignment.name for assignment in parsed.assignments] == list(request.parameters)
    for assignment in parsed.assignments:
        assert body[slice(*assignment.name_span)] == assignment.name
        parts = [parse_cell(f"x={body[slice(*part)]}", None, evaluate) for part in assignment.parts]
        values = [value for part in parts for value in iter_values(part.parameters["x"])]
        assert values == iter_values(assignment.value)


@given(SYNTAX, st.none() | SYNTAX)
def test_no_text_of_a_magic_raises(first: str, rest: str | None) -> None:
    parsed = parse_request(first.replace("\n", " "), rest, evaluate)
    assert isinstance(mt.ExportRequest(**parsed.parameters).problems, tuple)


@given(st.lists(st.tuples(NAMES, PLAIN | ANYTHING), max_size=3), SYNTAX)
def test_no_object_of_the_notebook_raises(given: list[tuple[str, Any]], text: str) -> None:
    space = {f"v{number}": value for number, (_, value) in enumerate(given)}
    rows = [f"{name} = $v{number}, {{v{number}}}" for number, (name, _) in enumerate(given)]
    request = mt.ExportRequest.from_magic(
        "%%x\n" + "\n".join([*rows, text]), lambda expression: eval(expression, {}, space)
    )
    assert isinstance(request.problems, tuple)
