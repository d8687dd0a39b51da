"""The dictionaries: complete, consistent, and with the names that people use."""

from __future__ import annotations

from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mytracker_nb as mt
from mytracker_nb.request.dictionaries import (
    Dictionary,
    Entry,
    dictionary,
    events,
    selectors,
)
from mytracker_nb.request.parameters import PARAMETERS
from mytracker_nb.request.suggestions import closest

SMALL = {
    "isVerified": 2,
    "idPurchaseType": 3,
    "rooted": 3,
    "eventNameInvert": 2,
    "idAdEventType": 4,
    "idAdMediator": 49,
}
SIZES = {"event": 30, "selector": 142, "timezone": 80, **SMALL}


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_a_dictionary_has_every_entry_that_is_publicly_known(name: str, size: int) -> None:
    assert len(dictionary(name)) == size


@pytest.mark.parametrize("name", [*SIZES, "country"])
def test_entries_are_well_formed(name: str) -> None:
    entries = dictionary(name)
    for value, entry in entries.items():
        assert value == entry.value == value.strip()
        assert value
        assert entry.title == entry.title.strip()
        assert entries.find(value) is entry
        if entries.numeric:
            assert value == str(int(value))
            assert entry.title


@pytest.mark.parametrize("name", [*SMALL, "country"])
def test_no_title_or_code_means_two_things(name: str) -> None:
    entries = dictionary(name)
    for entry in entries.values():
        for word in (entry.title, *entry.aliases):
            assert entries.find(word) is entry
            assert entries.find(word.upper()) is entry


def test_a_dictionary_is_a_mapping_in_the_service_s_order() -> None:
    names = dictionary("rooted")
    assert list(names) == ["0", "1", "2"]
    assert names["2"] == Entry("2", "Not rooted")
    assert names.get("3") is None
    assert names is dictionary("rooted")
    assert hash(names) == hash(dictionary("rooted"))
    assert mt.dictionary("event") is events()


def test_there_is_no_dictionary_of_another_name() -> None:
    with pytest.raises(KeyError, match=r"nothing.*expected event, .*rooted"):
        dictionary("nothing")


def test_dictionaries_of_names_have_no_other_names() -> None:
    assert events().find("Installs") is None
    assert events().find("installs") is events()["installs"]
    # the service writes zones in one way, people in several
    assert dictionary("timezone").find("europe/MOSCOW") is dictionary("timezone")["Europe/Moscow"]


def test_countries_are_found_by_code_and_title() -> None:
    countries = dictionary("country")
    assert countries.find("ru") is countries.find("RUSSIA") is countries["188"]
    assert countries.find("NA") is countries.find("Namibia")
    assert countries["188"].label == "188 (RU, Russia)"
    assert countries.find("Côte d'Ivoire") is countries["31"]


@pytest.mark.parametrize("name", list(dictionary("timezone")))
def test_every_listed_zone_has_days(name: str) -> None:
    offset = ZoneInfo(name).utcoffset(datetime(2024, 1, 1, tzinfo=timezone.utc))
    assert offset is not None


def test_events_are_of_devices_and_of_users() -> None:
    assert {entry.group for entry in events().values()} == {"devices", "users"}


def test_columns_have_the_facts_that_other_modules_need() -> None:
    columns = selectors()
    assert list(columns) == list(dictionary("selector"))
    kinds = {column.kind for column in columns.values()}
    assert kinds == {
        *["key", "id", "title", "timestamp", "date", "integer", "number", "flag", "list"]
    }
    for column in columns.values():
        assert column.seen_with <= set(events())
        slow = column.slows_export.removeprefix("before ")
        assert slow in ("", "always") or datetime.fromisoformat(slow)
    assert columns["idDevice"].kind == "key"
    assert columns["params.name"].kind == "list"
    assert columns["idSub1Title"].slows_export == "before 2021-06-03"


def test_every_dictionary_of_a_parameter_is_there() -> None:
    for parameter in PARAMETERS.values():
        assert parameter.dictionary_name is None or parameter.dictionary


@pytest.mark.parametrize(
    ("name", "text", "near"),
    [
        ("event", "instals", "installs"),
        ("event", "INSTALLS", "installs"),
        ("selector", "iddevice", "idDevice"),
        ("timezone", "Moscow", "Europe/Moscow"),
        ("country", "germny", "202"),
        ("rooted", "notrooted", "2"),
    ],
)
def test_the_most_similar_comes_first(name: str, text: str, near: str) -> None:
    assert dictionary(name).nearest(text)[0].value == near


@given(st.text(), st.integers(1, 5), st.sampled_from(["event", "country", "rooted", "timezone"]))
def test_no_more_suggestions_than_requested(text: str, count: int, name: str) -> None:
    near = dictionary(name).nearest(text, count)
    assert len(near) <= count
    assert len(set(near)) == len(near)


@given(st.data(), st.sampled_from(["event", "selector", "timezone"]))
def test_one_wrong_letter_in_a_long_name_is_found(data: st.DataObject, name: str) -> None:
    names = [value for value in dictionary(name) if len(value) >= 8]
    value = data.draw(st.sampled_from(names))
    place = data.draw(st.integers(0, len(value) - 1))
    wrong = f"{value[:place]}{data.draw(st.sampled_from('xyzq'))}{value[place + 1 :]}"
    assert value in closest(wrong, names, 10)


@pytest.mark.parametrize("text", ["XX", "ZZ", "Q", "Атлантида", "Wakanda", ""])
def test_dissimilar_entries_are_not_suggested(text: str) -> None:
    assert dictionary("country").nearest(text) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *(("Россия", "RU"), ("россия", "RU"), ("RUS", "RU"), ("Российская Федерация", "RU")),
        *(("Германия", "DE"), ("germany", "DE"), ("США", "US"), ("USA", "US"), ("us", "US")),
        *(("United States", "US"), ("UK", "GB"), ("Великобритания", "GB"), ("Turkey", "TR")),
        *(("South Korea", "KR"), ("Южная Корея", "KR"), ("Республика Корея", "KR")),
        *(("Czechia", "CZ"), ("Чехия", "CZ"), ("Côte d’Ivoire", "CI"), ("Ivory Coast", "CI")),
        *(("Белоруссия", "BY"), ("Беларусь", "BY"), ("ОАЭ", "AE"), ("NA", "NA")),
    ],
)
def test_countries_are_found_by_their_usual_names(text: str, code: str) -> None:
    entry = dictionary("country").find(text)
    assert entry is not None
    assert entry.aliases == (code,)


def test_no_name_is_that_of_two_countries() -> None:
    names = [
        name.casefold()
        for entry in dictionary("country").values()
        for name in {*entry.aliases, entry.title, *entry.other_names}
    ]
    assert len(names) == len(set(names))


def test_a_very_long_text_is_compared_quickly() -> None:
    # the whole of it would take minutes
    assert closest("hits" * 10**7, ["hits", "hits" * 25]) == ["hits" * 25]
    assert dictionary("selector").nearest("ab" * 10**6) == []


def test_a_dictionary_of_names_only_has_labels() -> None:
    assert Entry("hits").label == "hits"
    things = Dictionary("thing", {"hammer": Entry("hammer")})
    assert things.nearest("hamer") == [Entry("hammer")]
