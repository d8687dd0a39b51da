"""`Client.quotas` and ``%mytracker_quotas``: the quotas as data, HTML and text."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mytracker_nb as mt
from mytracker_nb.client import recording_in_use
from mytracker_nb.service import credentials
from mytracker_nb.service.credentials import Credentials
from mytracker_nb.tables.quota_list import quota_frame

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from mytracker_nb.sandbox.server import Sandbox

ASKED = datetime(2026, 11, 27, 3, 57, 38, tzinfo=timezone.utc)
MINUTE = {
    "name": "RequestsByUserPerMinute",
    "count": 127,
    "limit": 100,
    "resetTime": 1_500_000_320,
    "resetInSecond": 30,
    "exceeded": True,
}
HOUR = MINUTE | {"name": "RequestsByUserPerHour", "count": 250, "limit": 1000, "exceeded": False}


def frame(*quotas: Any, **facts: Any) -> pd.DataFrame:
    return quota_frame(list(quotas), ASKED, "https://tracker.my.com", **facts)


def lines(shown: pd.DataFrame) -> list[str]:
    return repr(shown).splitlines()


def test_times_are_times() -> None:
    shown = frame(MINUTE, HOUR)
    assert str(shown["resetTime"].dtype) == "datetime64[us, UTC]"
    assert shown["resetTime"].tolist() == [pd.Timestamp("2017-07-14 02:45:20", tz="UTC")] * 2
    assert shown["count"].tolist() == [127, 250]
    assert shown["exceeded"].tolist() == [True, False]


def test_each_quota_has_a_bar() -> None:
    shown = frame(MINUTE, HOUR, api_user_id=77658)
    title, source, minute, hour = lines(shown)
    assert title == "MyTracker: 2 quotas, 1 exceeded"
    assert "https://tracker.my.com, API user 77658, as of 2026-11-27 03:57:38" in source
    assert "127 of 100    [########################]  resets in 30 s, 2017-07-14 02:45" in minute
    assert minute.endswith("exceeded")
    assert "250 of 1,000  [######..................]" in hour
    html = shown._repr_html_()
    assert html is not None
    assert 'value="1.0"' in html
    assert 'value="0.25"' in html
    assert html.count('<strong class="error">exceeded</strong>') == 1
    assert "<script" not in html


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"count": "many"}, "count: many"),
        ({"limit": None}, "127 of ?"),
        ({"limit": 0, "count": 0}, "0 of 0  [########################]"),
        ({"resetTime": "soon"}, "resetTime: soon"),
        ({"resetTime": 1e30}, "resetTime: 1e+30"),
        ({"resetTime": -62135596801}, "resetTime: -62135596801"),
        ({"resetTime": None}, "resets in 30 s"),
        ({"exceeded": "maybe"}, "exceeded: maybe"),
        ({"burst": [1, 2]}, "burst: [1, 2]"),
        ({"name": None}, "?  127 of 100"),
    ],
)
def test_undocumented_values_are_shown_unchanged(said: dict[str, Any], shown: str) -> None:
    assert shown in repr(frame(MINUTE | said))


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())


@given(
    st.lists(st.dictionaries(st.sampled_from([*MINUTE, "other"]) | st.text(), VALUES, min_size=1))
)
def test_any_response_can_be_shown(quotas: list[dict[str, Any]]) -> None:
    shown = frame(*quotas)
    assert len(shown) == len(quotas)
    assert repr(shown).startswith("MyTracker: ")
    assert "mytracker-quotas" in (shown._repr_html_() or "")


def test_a_derived_frame_is_a_plain_frame(tmp_path: Any) -> None:
    shown = frame(MINUTE, HOUR)
    for plain in (
        shown[["name", "limit"]],
        shown.copy(),
        shown[~shown["exceeded"]],
        pickle.loads(pickle.dumps(shown)),
        pd.concat([shown, shown]),
    ):
        assert type(plain) is pd.DataFrame
        assert "MyTracker" not in repr(plain)


@pytest.mark.parametrize("make", [lambda: frame(MINUTE), mt.columns], ids=["quotas", "columns"])
def test_a_frame_with_columns_of_ones_own_is_shown_as_a_frame(
    make: Callable[[], pd.DataFrame],
) -> None:
    shown = make()
    assert repr(shown).startswith("MyTracker")
    shown["mine"] = 1
    assert not repr(shown).startswith("MyTracker")
    assert "mine" in repr(shown)
    assert "<th>mine</th>" in (shown._repr_html_() or "")
    del shown["mine"]
    assert repr(shown).startswith("MyTracker")


def test_the_magic(shell: InteractiveShell, start_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = start_sandbox(without_quotas=False)
    credentials.use(Credentials(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url))
    shown = shell.run_line_magic("mytracker_quotas", "")
    assert isinstance(shown, pd.DataFrame)
    html = shell.display_formatter.format(shown)[0]["text/html"]
    assert "SANDBOX" in html
    assert f"API user {sandbox.api_user_id}" in html
    assert html.count("<progress") == len(shown) == 6


def test_a_notebook_that_is_recorded_does_not_name_the_account(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = mt.Client(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)
    assert "API user" in repr(client.quotas())

    class Recording:
        def client(self) -> None:
            return None

    monkeypatch.setattr(recording_in_use, "_in_use", Recording())
    assert "API user" not in repr(client.quotas())
