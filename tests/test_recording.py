"""Recordings: what is stored of a notebook's exports, and what a replay returns."""

from __future__ import annotations

import asyncio
import itertools
import json
import pickle
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mytracker_nb as mt
from mytracker_nb import clock
from mytracker_nb.client.recording_in_use import use_recorder
from mytracker_nb.clock import Clock
from mytracker_nb.recordings.privacy import Pseudonyms, key_columns, sample, scan
from mytracker_nb.recordings.recording import Recording
from mytracker_nb.request.dictionaries import selectors
from mytracker_nb.service import credentials
from mytracker_nb.service.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable

    from IPython.core.interactiveshell import InteractiveShell

    from mytracker_nb.sandbox.server import Sandbox

INSTALLS = {
    "event": "installs",
    "selectors": "idDevice, customUserId, idCountry, tsEvent",
    "dateFrom": "2025-11-03",
    "dateTo": "2025-11-05",
}
SESSIONS = {**INSTALLS, "event": "sessions", "selectors": "idDevice, tsEvent, duration"}
STEPS = {**INSTALLS, "event": "customEvents", "selectors": "idDevice, eventName, advertisingId"}
PSEUDONYM = re.compile(r"anon-[g-z]{18}")
NIL = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def sandbox(start_sandbox: Callable[..., Sandbox]) -> Sandbox:
    """A sandbox of the test's own, whose exports are counted."""
    return start_sandbox()


@pytest.fixture
def author(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Author]:
    monkeypatch.setenv("MYTRACKER_NB_DATA_DIR", str(tmp_path / "home"))
    monkeypatch.setattr(credentials, "_in_use", None)
    yield Author(sandbox, tmp_path / "data")
    use_recorder(None)


class Author:
    """Records with the sandbox as the account, and replays without any."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        self.sandbox = sandbox
        self.directory = directory
        self.account = Credentials(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)

    def record(self, **options: Any) -> Recording:
        credentials.use(self.account)
        return mt.recording(self.directory, **options)

    def replay(self) -> Recording:
        """As a reader who has no account, at a service that has gone."""
        credentials.use(None)
        self.sandbox.stop()
        return mt.recording(self.directory)

    def plain(self, **parameters: Any) -> pd.DataFrame:
        """The rows as the service has them."""
        recording = use_recorder(None)
        try:
            client = mt.Client(
                self.account.api_user_id, self.account.secret_key, self.account.base_url
            )
            return client.export(mt.ExportRequest(**parameters)).to_pandas()
        finally:
            use_recorder(recording)

    @property
    def index(self) -> dict[str, Any]:
        return json.loads((self.directory / "recording.json").read_text())


@pytest.fixture(autouse=True)
def no_keyring(no_account: object) -> None:
    """No account but the one that a test gives."""


# --- recorded and replayed


def test_a_recording_is_replayed_without_account_and_service(author: Author) -> None:
    author.record()
    recorded = [mt.export(**each).to_pandas() for each in (INSTALLS, SESSIONS, STEPS)]
    recording = author.replay()
    assert recording.is_replayed
    for each, frame in zip((INSTALLS, SESSIONS, STEPS), recorded, strict=True):
        export = mt.export(**each)
        pd.testing.assert_frame_equal(export.to_pandas(), frame)
        assert len(frame) > 10
        assert (export.status, export.is_finished, export.progress) == ("Success!", True, 1.0)


def test_all_conversions_work(author: Author, tmp_path: Path) -> None:
    request = {**STEPS, "selectors": "idDevice, tsEvent, eventName, params.name, params.value"}
    author.record()
    frame = mt.export(**request).to_pandas(params="map")
    author.replay()
    export = mt.export(**request)
    pd.testing.assert_frame_equal(export.to_pandas(params="map"), frame)
    assert export.to_arrow().schema == export.data().schema
    assert export.to_polars().height == len(frame)
    assert len(export.to_duckdb().df()) == len(frame)
    assert len(export.to_dask().compute()) == len(frame)
    assert mt.open_dataset(export.to_parquet(tmp_path / "parquet")).rows == len(frame)
    assert export.head(3)["idDevice"].tolist() == frame["idDevice"].head(3).tolist()
    assert pickle.loads(pickle.dumps(export)).to_arrow() == export.to_arrow()
    assert asyncio.run(_awaited(export)) is export


async def _awaited(export: mt.Export) -> mt.Export:
    return await export


def test_a_card_says_recorded_and_from_when(author: Author) -> None:
    author.record()
    live = mt.export(**INSTALLS).wait()
    assert "RECORDED" not in live.card().html()
    assert "recorded in" in live.card().text()
    # the saved notebook is given away as well
    assert str(author.account.api_user_id) not in live.card().text() + live.card().html()
    author.replay()
    card = mt.export(**INSTALLS).card()
    recorded_at = datetime.fromisoformat(author.index["exports"][0]["recorded_at"])
    for text in (card.text(), card.html()):
        assert "RECORDED" in text
        assert "SANDBOX" in text
        assert "pseudonyms in idDevice, customUserId" in text
        assert f"{recorded_at.astimezone(card.request.zone):%Y-%m-%d %H:%M:%S}" in text
        # there is nothing at the service to attach to
        assert "attach(" not in text


def test_relative_dates_are_read_as_of_the_recording(author: Author) -> None:
    relative = {**INSTALLS, "dateFrom": "today-7d", "dateTo": "today-5d"}
    author.record()
    with clock.use(Moved(timedelta(days=-100))):
        export = mt.export(**relative)
    frame = export.to_pandas()
    author.replay()
    assert mt.ExportRequest(**relative) != export.request
    replayed = mt.export(**relative)
    assert replayed.request == export.request
    pd.testing.assert_frame_equal(replayed.to_pandas(), frame)
    # the same days, given in another way
    assert mt.export(**{**INSTALLS, **dates_of(export)}).request == export.request


class Moved(Clock):
    """The machine's clock, ahead by so much."""

    def __init__(self, by: timedelta) -> None:
        self.by = by

    def now(self) -> datetime:
        return super().now() + self.by


def dates_of(export: mt.Export) -> dict[str, str]:
    assert export.request
    return {name: export.request.parameters[name] for name in ("dateFrom", "dateTo")}


def test_the_same_cell_replaces_its_entry_and_its_file(author: Author) -> None:
    relative = {**INSTALLS, "dateFrom": "today-7d", "dateTo": "today-5d"}
    author.record()
    mt.export(**relative).wait()
    (first,) = author.index["exports"]
    with clock.use(Moved(timedelta(days=-1))):
        mt.export(**relative).wait()
    (second,) = author.index["exports"]
    assert first["file"] != second["file"]
    assert [path.name for path in author.directory.glob("*.parquet")] == [second["file"]]


def test_recording_again_reuses_earlier_exports(author: Author) -> None:
    author.record()
    mt.export(**INSTALLS).wait()
    before = (author.directory / "recording.json").read_bytes()
    mt.export(**INSTALLS).wait()
    author.record()
    mt.export(**INSTALLS).wait()
    assert (author.directory / "recording.json").read_bytes() == before
    assert len(author.sandbox.exports) == 1
    author.record(refresh=True)
    mt.export(**INSTALLS).wait()
    assert len(author.sandbox.exports) == 2
    assert author.index["exports"][0]["id_raw_export"] == 2


def test_a_plan_is_recorded_and_replayed(author: Author) -> None:
    author.record()
    request = {**INSTALLS, "dateFrom": "today-9d", "dateTo": "today-2d"}
    plan = mt.plan(**request, every="3d")
    frame = plan.to_pandas()
    assert str(author.account.api_user_id) not in plan.card().text()
    author.replay()
    replayed = mt.plan(**request, every="3d")
    pd.testing.assert_frame_equal(replayed.to_pandas(), frame)
    assert len(replayed.exports) == 3
    assert "[RECORDED]" in replayed.card().text()
    assert "RECORDED" in replayed.card().html()


def test_a_plan_splits_what_is_too_large_as_it_did(
    start_sandbox: Callable[..., Sandbox], author: Author
) -> None:
    author.sandbox = start_sandbox(max_rows=60)
    author.account = Author(author.sandbox, author.directory).account
    author.record()
    plan = mt.plan(**INSTALLS)
    frame = plan.to_pandas()
    assert len(plan.exports) > 1
    author.replay()
    replayed = mt.plan(**INSTALLS)
    pd.testing.assert_frame_equal(replayed.to_pandas(), frame)
    with pytest.raises(mt.ExportTooLarge):
        mt.export(**INSTALLS).wait()


def test_a_plan_in_a_recording_writes_the_recorded_rows(author: Author, tmp_path: Path) -> None:
    author.record()
    plan = mt.plan(**INSTALLS, every="1d")
    directory = plan.to_parquet(tmp_path / "parquet")
    ids = mt.open_dataset(directory).to_pandas()["idDevice"]
    assert len(ids) > 10
    assert ids.map(PSEUDONYM.fullmatch).notna().all()


def test_an_unknown_request_lists_similar_recorded_ones(author: Author) -> None:
    author.record()
    mt.export(**INSTALLS).wait()
    mt.export(**SESSIONS).wait()
    author.replay()
    with pytest.raises(mt.NotRecorded) as raised:
        mt.export(**{**INSTALLS, "idCountry": "RU"})
    text = str(raised.value)
    assert "installs 2025-11-03 to 2025-11-05: differs in idCountry (recorded: none" in text
    assert "--replay" in text
    with pytest.raises(mt.InvalidRequest):
        mt.export(event="installs")


def test_an_export_is_found_by_its_id(author: Author) -> None:
    author.record()
    before = mt.Client()
    number = mt.export(**INSTALLS).wait().id_raw_export
    recording = author.replay()
    client = recording.client()
    assert client is not None
    assert client.attach(number).to_pandas().shape[1] == 4
    with pytest.raises(mt.NotRecorded, match="has no export 99"):
        client.attach(99)
    # as a notebook may have it, with keys or without
    for other in (mt.Client(), mt.Client(5, "a key"), before):
        assert other.attach(number) == client.attach(number)
        assert "RECORDED" in other.export(mt.ExportRequest(**INSTALLS)).card().text()
        assert "RECORDED" in other.create(mt.ExportRequest(**INSTALLS)).card().text()
    journal = recording.journal()
    assert journal is not None
    assert journal["idRawExport"].tolist() == [number]


def test_calls_that_need_the_service_say_that_nothing_is_sent(author: Author) -> None:
    author.record()
    mt.export(**INSTALLS).wait()
    recording = author.replay()
    export, client = mt.export(**INSTALLS), recording.client()
    assert client is not None
    for call in (export.cancel, export.retry, client.quotas):
        with pytest.raises(mt.NotRecorded, match="no requests are sent"):
            call()
    with pytest.raises(mt.NotRecorded, match="to_parquet"):
        export.download("anywhere")
    assert export.refresh() is export


# --- files that are not what they were


@pytest.mark.parametrize("harm", ["cut", "changed", "gone"])
def test_a_damaged_file_is_named_and_nothing_is_read(author: Author, harm: str) -> None:
    author.record()
    mt.export(**INSTALLS).wait()
    (path,) = author.directory.glob("*.parquet")
    content = path.read_bytes()
    author.replay()
    export = mt.export(**INSTALLS)
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-10] if harm == "cut" else content[:-10] + bytes(10))
    with pytest.raises(mt.FileError, match=re.escape(path.name)) as raised:
        export.to_pandas()
    assert raised.value.file == str(path)


def test_an_index_with_files_elsewhere_is_refused(author: Author) -> None:
    author.record()
    mt.export(**INSTALLS).wait()
    index = author.index
    index["exports"][0]["file"] = "../elsewhere.parquet"
    (author.directory / "recording.json").write_text(json.dumps(index))
    with pytest.raises(mt.FileError, match="outside of its directory"):
        author.replay()


def test_without_recording_and_account_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(mt.NotRecorded, match="no recording to replay"):
        mt.recording(tmp_path / "none")
    with pytest.raises(mt.MyTrackerError, match="no recording is in use"):
        mt.recording()


# --- safe to give away


def test_ids_become_pseudonyms_that_join(author: Author) -> None:
    author.record()
    installs, sessions = (mt.export(**each).to_pandas() for each in (INSTALLS, SESSIONS))
    plain_installs, plain_sessions = author.plain(**INSTALLS), author.plain(**SESSIONS)
    assert installs["idDevice"].map(PSEUDONYM.fullmatch).all()
    assert installs["idDevice"].nunique() == plain_installs["idDevice"].nunique()
    users = installs["customUserId"], plain_installs["customUserId"]
    assert users[0].isna().tolist() == users[1].isna().tolist()
    assert users[0].nunique() == users[1].nunique()
    merged = [
        len(pd.merge(left, right, on="idDevice"))
        for left, right in ((installs, sessions), (plain_installs, plain_sessions))
    ]
    assert merged[0] == merged[1] > 0
    rest = ["idCountry", "tsEvent"]
    pd.testing.assert_frame_equal(installs[rest], plain_installs[rest])


def test_no_plain_id_and_no_account_is_in_the_directory(author: Author) -> None:
    author.record()
    for each in (INSTALLS, SESSIONS, STEPS):
        mt.export(**each).wait()
    plain = {
        value
        for each in (INSTALLS, SESSIONS, STEPS)
        for name, column in author.plain(**each).items()
        if name in ("idDevice", "customUserId", "advertisingId")
        for value in column.dropna()
        if value.strip("0-")
    }
    assert len(plain) > 100
    secrets = [author.account.secret_key, str(author.account.api_user_id), "127.0.0.1"]
    for path in author.directory.iterdir():
        text = path.read_bytes().decode("latin-1")
        # a short user id can be part of other text, so compare the full cell
        assert not [one for one in (*plain, *secrets) if len(one) > 8 and one in text], path.name
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            table = table.select(list(key_columns(table.column_names)))
            held = {str(cell) for column in table.columns for cell in column.unique().to_pylist()}
            assert not held & plain


def test_a_nil_id_stays_and_the_name_of_an_event_too(author: Author) -> None:
    author.record()
    frame = mt.export(**STEPS).to_pandas()
    ids = frame["advertisingId"].dropna()
    assert NIL in set(ids)
    assert {value for value in ids if not PSEUDONYM.fullmatch(value)} <= {NIL, ""}
    assert "level_up" in set(frame["eventName"])


def test_columns_can_be_plain_or_left_out(author: Author) -> None:
    author.record(keep="customUserId", drop="idDevice")
    with pytest.warns(mt.RecordingWarning, match="plain ids: customUserId"):
        frame = mt.export(**INSTALLS).to_pandas()
    assert list(frame) == ["customUserId", "idCountry", "tsEvent"]
    assert frame["customUserId"].dropna().tolist() == (
        author.plain(**INSTALLS)["customUserId"].dropna().tolist()
    )
    author.replay()
    pd.testing.assert_frame_equal(mt.export(**INSTALLS).to_pandas(), frame)


def test_plain_names_the_columns_without_pseudonyms(author: Author) -> None:
    recording = author.record(plain=True)
    with pytest.warns(mt.RecordingWarning, match="plain ids: idDevice, customUserId"):
        frame = mt.export(**INSTALLS).to_pandas()
    pd.testing.assert_frame_equal(frame, author.plain(**INSTALLS))
    assert "plain ids in idDevice, customUserId" in recording.card().text()
    # with pseudonyms again, it is recorded again
    author.record()
    assert mt.export(**INSTALLS).to_pandas()["idDevice"].map(PSEUDONYM.fullmatch).all()


def test_a_sample_has_all_rows_of_its_devices(author: Author) -> None:
    author.record()
    month = {"dateFrom": "2025-10-01", "dateTo": "2025-10-28"}
    everything = [mt.export(**{**each, **month}).to_pandas() for each in (INSTALLS, SESSIONS)]
    author.record(sample="20%")
    some = [mt.export(**{**each, **month}).to_pandas() for each in (INSTALLS, SESSIONS)]
    sampled = set(some[0]["idDevice"])
    assert 0.1 < len(sampled) / everything[0]["idDevice"].nunique() < 0.3
    for all_rows, rows in zip(everything, some, strict=True):
        chosen = all_rows[all_rows["idDevice"].isin(set(rows["idDevice"]))]
        pd.testing.assert_frame_equal(chosen.reset_index(drop=True), rows)
    # of the devices of the installs, all sessions are there, and of no other install
    installed = set(everything[0]["idDevice"])
    assert installed & set(some[1]["idDevice"]) == sampled
    card = mt.export(**{**INSTALLS, **month})
    assert "20 % of devices" in " ".join(card.wait().notes) or "20 % of devices" in str(
        mt.recording().card()
    )


def test_a_sample_needs_a_person(author: Author) -> None:
    author.record(sample=0.5)
    with pytest.raises(mt.MyTrackerError, match="need one of idDevice, idProfile, customUserId"):
        mt.export(**{**INSTALLS, "selectors": "idCountry"}).wait()


@pytest.mark.parametrize("given", ["0", "-5%", "101%", "five", "nan"])
def test_an_invalid_share_is_refused(author: Author, given: str) -> None:
    with pytest.raises(mt.MyTrackerError, match="is not a share"):
        author.record(sample=given)


def test_an_export_of_unknown_request_is_not_recorded(author: Author) -> None:
    author.plain(**INSTALLS)
    author.record()
    account = author.account
    export = mt.Client(account.api_user_id, account.secret_key, account.base_url).attach(1)
    export.request = None
    with pytest.raises(mt.MyTrackerError, match="can't be recorded"):
        export.to_pandas()


def test_the_key_is_not_beside_the_recording(author: Author, tmp_path: Path) -> None:
    author.record()
    mt.export(**INSTALLS).wait()
    (key,) = (tmp_path / "home" / "recordings").glob("*.key")
    assert key.stat().st_mode & 0o077 == 0
    secret = key.read_text()
    assert all(secret.encode() not in path.read_bytes() for path in author.directory.iterdir())
    first = mt.export(**INSTALLS).to_pandas()
    key.unlink()
    with pytest.warns(mt.RecordingWarning, match="not on this machine"):
        author.record()
    assert not mt.export(**INSTALLS).to_pandas()["idDevice"].isin(set(first["idDevice"])).any()


@given(st.lists(st.text(min_size=1), unique=True, max_size=20))
def test_pseudonyms_are_stable_different_and_no_ids(values: list[str]) -> None:
    one, again, other = Pseudonyms(b"1" * 32), Pseudonyms(b"1" * 32), Pseudonyms(b"2" * 32)
    values = [value for value in values if value.strip("0-")]
    names = [one.of(value) for value in values]
    assert names == [again.of(value) for value in values]
    assert len(set(names)) == len(values)
    assert not set(names) & {other.of(value) for value in values}
    assert all(map(PSEUDONYM.fullmatch, names))
    assert one.of("0") == "0"
    assert one.of("") == ""


@given(st.lists(st.sampled_from([None, "", "0", "a", "b", "c", "d"]), max_size=30))
def test_a_sample_takes_all_rows_of_a_person_or_none(people: list[str | None]) -> None:
    table = pa.table({"idDevice": pa.array(people, pa.string()), "n": range(len(people))})
    pseudonyms = Pseudonyms(b"1" * 32)
    sampled = sample(table, 0.5, pseudonyms).to_pylist()
    chosen = {row["idDevice"] for row in sampled}
    assert sampled == [row for row in table.to_pylist() if row["idDevice"] in chosen]
    assert all(pseudonyms.share(person) < 0.5 for person in chosen)
    assert not chosen & {None, "", "0"}


def test_ids_of_devices_users_and_installs_are_keys() -> None:
    names = key_columns(list(selectors()))
    assert {"idDevice", "idProfile", "customUserId", "instanceId", "advertisingId"} < set(names)
    assert "eventName" not in names


def test_personal_data_in_text_is_reported() -> None:
    table = pa.table(
        {
            "eventName": ["mail to jane@example.org", "version 17.1.2", None],
            "params.value": pa.array([["+7 (912) 345-67-89", "x"], ["10.0.0.1"], None]),
            "customUserId": ["a@b.org", "", None],
        }
    )
    assert list(scan(table, passed=["customUserId"])) == [
        ("eventName", "e-mail addresses", 1),
        ("params.value", "IP addresses", 1),
        ("params.value", "telephone numbers", 1),
    ]


def test_large_files_are_warned_of(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mytracker_nb.recordings.recording._LARGE_FILE", 1000)
    monkeypatch.setattr("mytracker_nb.recordings.recording._LARGE_ALL", 1500)
    author.record()
    with pytest.warns(mt.RecordingWarning) as caught:
        mt.export(**INSTALLS).wait()
    texts = [str(one.message) for one in caught]
    assert any("git handles badly" in text and "--sample" in text for text in texts)
    assert any("in total" in text for text in texts)


# --- what its author does with it


def test_entries_that_no_cell_uses_are_listed_and_pruned(author: Author) -> None:
    author.record()
    for each in (INSTALLS, SESSIONS):
        mt.export(**each).wait()
    recording = author.record()
    with pytest.raises(mt.MyTrackerError, match="Run the notebook first"):
        recording.prune()
    mt.export(**INSTALLS).wait()
    (unused,) = recording.unused
    assert unused.startswith("sessions_")
    assert unused in recording.card().text()
    assert recording.prune() == (unused,)
    assert not (author.directory / unused).exists()
    assert [entry["request"]["parameters"]["event"] for entry in author.index["exports"]] == [
        "installs"
    ]


def test_two_kernels_do_not_overwrite_each_other_s_entries(author: Author) -> None:
    first, second = author.record(), author.record()
    for recording, each in zip(
        itertools.cycle((first, second)), (INSTALLS, SESSIONS, STEPS), strict=False
    ):
        use_recorder(recording)
        mt.export(**each).wait()
    assert len(author.index["exports"]) == 3
    assert len(list(author.directory.glob("*.parquet"))) == 3


def test_an_index_is_replaced_at_once(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    author.record()
    mt.export(**INSTALLS).wait()
    before = author.index

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mytracker_nb.recordings.recording.write_atomically", fail)
    with pytest.raises(mt.FileError, match="No space left"):
        mt.export(**SESSIONS).wait()
    assert author.index == before


def test_the_magic_records_replays_and_shows(
    author: Author, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "event=installs selectors=idDevice,tsEvent dateFrom=2025-11-03 dateTo=2025-11-05"
    credentials.use(author.account)
    recording = shell.run_line_magic("mytracker_recording", f"{author.directory} --sample 50%")
    assert isinstance(recording, Recording)
    shell.run_cell(f"%mytracker_export {line} --frame before").raise_error()
    assert shell.run_line_magic("mytracker_recording", "") is recording
    assert "1 export" in recording.card().text()
    assert "50 % of devices" in recording.card().html()
    author.replay()
    shell.run_line_magic("mytracker_recording", f"{author.directory} --replay")
    shell.run_cell(f"%mytracker_export {line} --frame after").raise_error()
    names = shell.user_ns
    pd.testing.assert_frame_equal(names["after"], names["before"])
    found = shell.run_line_magic("mytracker_exports", "")
    assert len(found) == 1
    assert "RECORDED" in str(found)
    assert f"{len(names['after']):,} rows" in str(found)
    (number,) = found
    pd.testing.assert_frame_equal(found[number].to_pandas(), names["after"])
    shell.run_line_magic("mytracker_recording", "--stop")
    assert "no longer in use" in capsys.readouterr().out
    with pytest.raises(mt.MyTrackerError, match="no recording is in use"):
        shell.run_line_magic("mytracker_recording", "")


def test_the_form_submits_to_a_recording(author: Author) -> None:
    author.record()
    mt.export(**INSTALLS).wait()
    author.replay()
    form = mt.RequestBuilder(**INSTALLS)
    export = form.submit()
    assert "RECORDED" in export.card().text()
    assert len(export.to_pandas()) > 10


def test_a_request_read_as_of_a_moment_is_the_same_otherwise() -> None:
    request = mt.ExportRequest(
        **{**INSTALLS, "dateFrom": "today-7d", "dateTo": "yesterday"},
        idCountry=["RU", "KZ"],
        idApp=[5001],
    )
    then = request.as_of(datetime(2026, 1, 10, 12, tzinfo=timezone.utc))
    assert (then.parameters["dateFrom"], then.parameters["dateTo"]) == ("2026-01-03", "2026-01-09")
    assert then.as_of(request.read_at) == request
    assert request.written == {"dateFrom": "today-7d", "dateTo": "yesterday"}
