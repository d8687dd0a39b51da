"""`mt.columns` and ``%mytracker_columns``: the known columns as data, HTML and text."""

from __future__ import annotations

import pickle
import re
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from IPython.core.error import UsageError

import mytracker_nb as mt
from mytracker_nb.magics.completion import complete
from mytracker_nb.magics.magics import _SYNTAX
from mytracker_nb.request.dictionaries import selectors
from mytracker_nb.request.known_columns import usual_columns

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from mytracker_nb.sandbox.server import Sandbox


def test_every_known_column_is_in_the_frame() -> None:
    known = mt.columns()
    assert isinstance(known, pd.DataFrame)
    assert known["column"].tolist() == list(selectors())
    row = known.set_index("column").loc["idSub1Title"]
    assert row["meaning"] == "Sub 1"
    assert row["slow"] == "before 2021-06-03"
    assert not known["seen"].any()


def test_the_types_are_those_of_an_exports_frame(sandbox: Sandbox) -> None:
    client = mt.Client(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)
    request = mt.ExportRequest(
        event="customEvents", selectors=list(selectors()), dateFrom="today-2d", dateTo="today-2d"
    )
    frame = client.create(request).to_pandas()
    types = dict(zip(mt.columns()["column"], mt.columns()["dtype"], strict=True))
    shown = {name: str(dtype).replace("item: ", "") for name, dtype in frame.dtypes.items()}
    assert types == shown


def test_columns_of_the_event_come_first() -> None:
    known = mt.columns("installs")
    seen = known["seen"].tolist()
    assert seen == sorted(seen, reverse=True)
    assert all("installs" in events for events in known.loc[known["seen"], "seen_with"])
    assert 0 < sum(seen) < len(seen)


def test_an_event_of_users_has_its_user_and_no_columns_of_devices() -> None:
    known = mt.columns("userSessions").set_index("column")["seen"]
    assert known[known].index.tolist() == ["causeAttr", "causeAttrTitle", "customUserId"]
    known = mt.columns("userPayments").set_index("column")["seen"]
    assert known[known].index.tolist() == ["customUserId"]


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (None, "complete for customEvents only"),
        ("customEvents", "complete for customEvents, as of 2024"),
        ("installs", "columns were seen with installs"),
        ("hits", "No public request for hits is known"),
        ("payments", "No column with the amount or the currency of a payment is publicly known"),
        ("userTrialPayments", "No column with the amount"),
        ("userSessions", "Events of users count by user, so select customUserId"),
    ],
)
def test_it_says_what_the_list_covers(event: str | None, sentence: str) -> None:
    known = mt.columns(event)
    assert sentence in " ".join(repr(known).split())
    assert sentence in known._repr_html_()  # type: ignore[operator]


def test_a_few_columns_of_one_example_are_not_the_usual_ones() -> None:
    assert usual_columns("payments") == ()
    assert usual_columns("hits") == ()
    assert usual_columns("activities") == ()  # six, of which two slow the export
    assert {column.value for column in usual_columns("installs")} >= {
        "idDevice",
        "idCountryISOAlpha2",
    }


def test_the_text_is_narrow_and_marks_what_was_seen() -> None:
    lines = repr(mt.columns("sessions")).splitlines()
    assert max(map(len, lines)) <= 120
    assert any(line.startswith("* duration ") for line in lines)
    assert not any(line.startswith("* params.name ") for line in lines)


def test_the_html_loads_nothing() -> None:
    page = mt.columns()._repr_html_()  # type: ignore[operator]
    assert not re.search(r"(?:src|href)\s*=|@import|url\(", page)
    assert page.count("<tr") == len(selectors()) + 1


def test_a_derived_frame_is_a_plain_frame() -> None:
    known = mt.columns()
    assert type(known[known["kind"] == "id"]) is pd.DataFrame
    assert type(pickle.loads(pickle.dumps(known))) is pd.DataFrame


def test_an_unknown_event_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match="unknown event 'instals'; did you mean installs"):
        mt.columns("instals")


def test_the_magic(shell: InteractiveShell) -> None:
    result = shell.run_cell("%mytracker_columns payments").result
    assert result.equals(mt.columns("payments"))
    assert len(shell.run_cell("%mytracker_columns").result) == len(selectors())
    error = shell.run_cell("%mytracker_columns payment").error_in_exec
    assert isinstance(error, UsageError)
    assert "did you mean payments" in str(error)


def test_the_magic_completes_events() -> None:
    found = complete("%mytracker_columns in", 21, _SYNTAX, list)
    assert found is not None
    assert [candidate.text for candidate in found.candidates] == ["installs"]
