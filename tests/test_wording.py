"""Texts of times, durations and sizes."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from mytracker_nb import wording

NOON = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "now"),
        (5, "5 seconds ago"),
        (180, "3 minutes ago"),
        (7_200, "2 hours ago"),
        (86_400 * 3, "3 days ago"),
        (-3_600, "now"),  # the other machine's clock is ahead
    ],
)
def test_a_past_moment_is_shown_as_how_long_ago_it_was(seconds: float, words: str) -> None:
    assert wording.ago(NOON - timedelta(seconds=seconds), NOON) == words


def test_the_machine_has_the_present() -> None:
    assert wording.ago(datetime.now(timezone.utc) - timedelta(days=2, hours=1)) == "2 days ago"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.44, "0.4 s"),
        (0.97, "1 s"),
        (5.4, "5 s"),
        (59.7, "1 min"),
        (80, "1 min 20 s"),
        (3_600, "1 h"),
        (86_400, "1 day"),
        (86_400 * 2 + 3_600 * 3 + 60, "2 days 3 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, words: str) -> None:
    assert wording.duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "a second"), (245, "4 minutes"), (9_000, "2 hours")]
)
def test_an_estimate_has_one_unit(seconds: float, words: str) -> None:
    assert wording.rough_duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 Bytes"), (999, "999 Bytes"), (1_234_567, "1.2 MB")]
)
def test_a_size_is_given_in_powers_of_a_thousand(count: int, words: str) -> None:
    assert wording.size(count) == words
