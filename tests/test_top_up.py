"""The rows that appeared since an export, as an export of their own."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_datasets import DAY, HOUR, User, dataset_user, lines

import mytracker_nb as mt
from mytracker_nb.client.client import client_for
from mytracker_nb.request.availability import Availability, known_until, of_request, since
from mytracker_nb.service.credentials import Credentials

NOW = int(datetime(2026, 6, 8, 10, 30, tzinfo=timezone.utc).timestamp())


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    with dataset_user(tmp_path / "events", at=NOW) as user:
        yield user


def client_of(user: User) -> mt.Client:
    sandbox = user.sandbox
    return client_for(Credentials(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url))


def made(user: User, **parameters: Any) -> mt.Export:
    return client_of(user).export(user.plan(**parameters).request)


def rows(data: Any) -> Counter[tuple[Any, ...]]:
    return lines(data.to_arrow())


def test_a_top_up_has_the_rows_that_appeared_since_and_no_others(user: User) -> None:
    export = made(user, availabilityTsTo=NOW - 4 * HOUR)
    before = rows(export)
    user.time.seconds += 3 * DAY
    late = export.top_up()
    assert late.id_raw_export != export.id_raw_export
    assert any(f"late rows of export {export.id_raw_export}" in note for note in late.notes)
    assert rows(late)
    assert not rows(late) & before
    full = of_request(late.request).until
    assert rows(late) + before == rows(made(user, availabilityTsTo=full))
    assert rows(export.data(top_up=True)) == rows(late) + before
    # the export itself stays what it was
    assert rows(export.data()) == before


def test_a_top_up_can_be_topped_up_and_has_all_rows_since(user: User) -> None:
    export = made(user, availabilityTsTo=NOW - 4 * HOUR)
    before = rows(export)  # the service keeps files for a day
    user.time.seconds += DAY
    first = export.top_up()
    between = rows(first)
    user.time.seconds += DAY
    second = first.top_up()
    together = before + between + rows(second)
    assert together == rows(export.data(top_up=True))
    assert together == rows(made(user, availabilityTsTo=of_request(second.request).until))


def test_within_the_hour_the_same_export_is_returned(user: User) -> None:
    export = made(user, availabilityTsTo=NOW - 4 * HOUR)
    user.time.seconds += DAY
    late = export.top_up()
    user.time.seconds += HOUR / 2 - 1  # one second before the next full hour
    assert export.top_up() == late
    user.time.seconds += 1
    assert export.top_up() != late


def test_before_an_hour_has_passed_there_is_nothing_to_add(user: User) -> None:
    export = made(user, availabilityTsTo=NOW - 3 * HOUR - 1)
    with pytest.raises(mt.MyTrackerError, match="has all rows that can be exported by now"):
        export.top_up()
    creates = user.creates
    assert rows(export.data(top_up=True)) == rows(export)
    assert user.creates == creates


def test_an_export_without_a_bound_is_refused_and_the_error_names_one_that_works(
    user: User,
) -> None:
    export = made(user)
    for top_up in (export.top_up, lambda: export.data(top_up=True)):
        with pytest.raises(mt.MyTrackerError, match='availabilityTsTo="now-4h"'):
            top_up()
    bounded = made(user, availabilityTsTo="now-4h")
    user.time.seconds += DAY
    assert rows(bounded.top_up())


def test_an_export_can_be_topped_up_after_a_restart(user: User) -> None:
    number = made(user, availabilityTsTo=NOW - 4 * HOUR).id_raw_export
    user.time.seconds += DAY
    export = client_of(user).attach(number)
    assert rows(export.top_up())
    copied = pickle.loads(pickle.dumps(export))
    with pytest.raises(mt.MyTrackerError, match="keys"):
        copied.top_up()


def test_one_whose_request_is_not_known_is_refused(user: User) -> None:
    export = made(user, availabilityTsTo=NOW - 4 * HOUR)
    export.request = None  # as that of an export made on another machine
    with pytest.raises(mt.MyTrackerError, match="is not known here"):
        export.top_up()


@given(st.integers(0, 2**33), st.integers(0, 400 * DAY))
def test_a_top_up_begins_where_its_export_ends_and_ends_with_a_known_full_hour(
    until: int, later: int
) -> None:
    request = mt.ExportRequest(
        event="installs", selectors="idDevice", tsFrom=0, tsTo=1, availabilityTsTo=until
    )
    now = until + later
    late = since(request, now)
    if late is None:
        assert known_until(now) < until + HOUR
        return
    bounds = of_request(late)
    assert bounds.after == until
    assert bounds.until is not None
    assert until < bounds.until <= known_until(now) < bounds.until + HOUR
    assert (bounds.until + 1) % HOUR == 0
    assert not Availability(None, until).overlaps(bounds)
    assert late.parameters.keys() - request.parameters.keys() == {"availabilityTsFrom"}


def test_a_recording_has_the_top_up_that_was_recorded(user: User, monkeypatch: Any) -> None:
    sandbox = user.sandbox
    monkeypatch.setenv("MYTRACKER_API_USER_ID", str(sandbox.api_user_id))
    monkeypatch.setenv("MYTRACKER_SECRET_KEY", sandbox.secret_key)
    monkeypatch.setenv("MYTRACKER_BASE_URL", sandbox.base_url)
    request = {**user.plan().request.parameters, "availabilityTsTo": "now-1d"}
    directory = user.directory / "recording"
    recording = mt.recording(directory)
    try:
        recorded = rows(mt.export(**request).data(top_up=True))
        creates = user.creates
        recording.stop()
        user.time.seconds += 9 * DAY
        recording = mt.recording(directory, replay=True)
        export = mt.export(**request)
        assert rows(export.data(top_up=True)) == recorded > rows(export)
        # what the recording does not have is not made up
        other = export.top_up()
        with pytest.raises(mt.MyTrackerError, match="has all rows"):
            other.top_up()
        assert user.creates == creates
    finally:
        recording.stop()
