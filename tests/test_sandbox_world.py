from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_client import table

from mytracker_nb.request.dictionaries import dictionary, events, selectors
from mytracker_nb.sandbox import start
from mytracker_nb.sandbox.custom_events import array_text
from mytracker_nb.sandbox.world import APPS, COUNTRIES, LINKS, PARTNERS

DAY = 86_400
MONTH = {"dateFrom": "2025-09-01", "dateTo": "2025-09-28", "timezone": "UTC"}
ALL = ",".join(selectors())


def column(rows, name):
    return [row[name] for row in rows]


@pytest.fixture(scope="module")
def installs(sandbox):
    return table(sandbox, selectors=ALL, **MONTH)


@pytest.fixture(scope="module")
def sessions(sandbox):
    names = "idDevice,idProfile,customUserId,tsEvent,tsInstall,duration,dtEvent,idApp,SDKKey"
    return table(sandbox, event="sessions", selectors=names, **MONTH)


@pytest.fixture(scope="module")
def custom_events(sandbox):
    names = "idDevice,tsEvent,tsInsert,eventName,eventValue,params.name,params.value"
    return table(sandbox, event="customEvents", selectors=names, **MONTH)


# --- the world as a function


def test_it_is_the_same_in_another_process(sandbox):
    check = (
        "import hashlib; from raw_client import table; import mytracker_nb as mt\n"
        "with mt.sandbox.start() as s:\n"
        f"    print(hashlib.sha256(repr(table(s, selectors={ALL!r})).encode()).hexdigest())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", check],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in "12"
    ]
    assert runs[0] == runs[1]


def test_it_is_the_same_on_other_machines_and_in_later_versions(sandbox):
    # who saves a notebook relies on it
    first = table(sandbox, selectors="idDevice,tsEvent,idCountryISOAlpha2,idPartner,idApp")[0]
    assert first == {
        "idDevice": "14744507315440920557",
        "tsEvent": "1762117670",
        "idCountryISOAlpha2": "TR",
        "idPartner": "32",
        "idApp": "5001",
    }


def test_another_seed_is_another_world(sandbox, start_sandbox):
    assert table(start_sandbox(seed=2)) != table(sandbox)
    assert table(start_sandbox(seed=1)) == table(sandbox)


def test_scale_multiplies_it(sandbox, start_sandbox):
    assert len(table(start_sandbox(scale=10))) == pytest.approx(10 * len(table(sandbox)), rel=0.02)
    assert 7 <= len(table(start_sandbox(scale=0.01))) <= 14


@settings(max_examples=25, deadline=None)
@given(first=st.dates(min_value=datetime(1970, 1, 1).date(), max_value=datetime(2026, 1, 1).date()))
def test_every_past_week_has_its_installs(sandbox, first):
    rows = table(sandbox, dateFrom=first, dateTo=first + timedelta(days=6), timezone="UTC")
    assert 100 <= len(rows) <= 300


def test_weekends_are_busier(sandbox):
    rows = table(sandbox, selectors="dtEvent", dateFrom="2024-01-01", dateTo="2024-12-29")
    days = Counter(datetime.fromisoformat(row["dtEvent"]).weekday() for row in rows)
    assert min(days[5], days[6]) > 1.2 * max(days[0], days[1], days[2])


@settings(max_examples=15, deadline=None)
@given(
    event=st.sampled_from(sorted(events())),
    start=st.integers(0, 1_760_000_000),
    cut=st.integers(0, 5 * DAY),
)
def test_a_window_in_two_parts_has_the_same_rows(sandbox, event, start, cut):
    more = {"event": event, "selectors": "tsEvent,idDevice,idProfile,tsInsert,someText"}
    end = start + 5 * DAY

    def rows(first, last):
        window = {"dateFrom": None, "dateTo": None, "tsFrom": first, "tsTo": last}
        return table(sandbox, **more, **window)

    left = rows(start, start + cut)
    right = rows(start + cut + 1, end) if cut < 5 * DAY else []
    assert left + right == rows(start, end)
    assert all(start <= int(row["tsEvent"]) <= end for row in left + right)


@settings(max_examples=10, deadline=None)
@given(
    event=st.sampled_from(sorted(events())),
    names=st.lists(st.sampled_from([*selectors(), "someText"]), min_size=1, unique=True),
)
def test_a_cell_does_not_depend_on_the_other_columns(sandbox, event, names):
    some = table(sandbox, event=event, selectors=",".join(names))
    every = table(sandbox, event=event, selectors=f"{ALL},someText")
    assert some == [{name: row[name] for name in names} for row in every]
    assert not some or list(some[0]) == names


def test_both_ends_of_a_window_belong_to_it(sandbox):
    moment = table(sandbox)[5]["tsEvent"]
    rows = table(sandbox, dateFrom=None, dateTo=None, tsFrom=moment, tsTo=moment)
    assert column(rows, "tsEvent") == [moment]


# --- how it holds together


def test_all_events_have_rows(sandbox):
    for event in events():
        assert len(table(sandbox, event=event)) > 10, event


def test_a_device_is_installed_once(installs):
    devices = column(installs, "idDevice")
    assert len(set(devices)) == len(devices)
    assert len(set(column(installs, "idProfile"))) == len(devices)
    assert sum(int(device) >= 2**63 for device in devices) > len(devices) / 4
    assert all(int(device) < 2**64 for device in devices)


def test_sessions_follow_their_install(installs, sessions):
    born = {row["idDevice"]: row for row in installs}
    known = [row for row in sessions if row["idDevice"] in born]
    assert len(known) > 4 * len(installs)
    for row in known:
        install = born[row["idDevice"]]
        assert int(row["tsEvent"]) > int(install["tsEvent"])
        assert row["tsInstall"] in ("0", install["tsEvent"])
        for name in ("idProfile", "customUserId", "idApp", "SDKKey"):
            assert row[name] == install[name]
    assert set(born) == {row["idDevice"] for row in known}


def test_sessions_of_a_device_do_not_overlap(sessions):
    ends = {}
    for row in sorted(sessions, key=lambda row: int(row["tsEvent"])):
        start = int(row["tsEvent"])
        assert start > ends.get(row["idDevice"], 0)
        ends[row["idDevice"]] = start + int(row["duration"])


def test_retention_falls_with_time(sandbox):
    names = "idDevice,tsEvent,idPartner"
    born = table(sandbox, selectors=names, **MONTH)
    visits = table(
        sandbox,
        event="activities",
        selectors=names,
        dateFrom="2025-09-01",
        dateTo="2025-11-30",
        timezone="UTC",
    )
    cohort = {row["idDevice"]: int(row["tsEvent"]) // DAY for row in born}
    seen = defaultdict(set)
    for row in visits:
        if row["idDevice"] in cohort:
            age = int(row["tsEvent"]) // DAY - cohort[row["idDevice"]]
            assert row["idDevice"] not in seen[age], "one activity a day"
            seen[age].add(row["idDevice"])
    share = {age: len(devices) / len(cohort) for age, devices in seen.items()}
    assert share[0] == 1
    assert 0.35 < share[1] < 0.55
    assert 0.1 < share[7] < 0.2
    assert 0.03 < share[30] < 0.09
    assert share[1] > share[3] > share[7] > share[14] > share[30] > 0


def test_the_tutorial_is_a_funnel(custom_events, installs):
    steps = defaultdict(set)
    moments = defaultdict(list)
    for row in custom_events:
        if row["eventName"].startswith("tutorial"):
            steps[row["eventName"], row["eventValue"]].add(row["idDevice"])
            moments[row["idDevice"]].append((int(row["tsEvent"]), row["eventName"]))
    way = [
        ("tutorial_start", "0"),
        *(("tutorial_step", str(number)) for number in range(1, 6)),
        ("tutorial_complete", "0"),
    ]
    assert set(steps) == set(way)
    for before, after in pairwise(way):
        assert steps[after] < steps[before]
    assert 0.7 < len(steps[way[0]]) / len(installs) < 0.95
    assert 0.3 < len(steps[way[-1]]) / len(installs) < 0.6
    for events_of_device in moments.values():
        assert min(events_of_device)[1] == "tutorial_start"


def test_levels_only_rise(custom_events):
    levels = defaultdict(list)
    for row in sorted(custom_events, key=lambda row: int(row["tsEvent"])):
        if row["eventName"] == "level_up":
            levels[row["idDevice"]].append(int(row["eventValue"]))
            assert row["params.value"].startswith(f"['{row['eventValue']}',")
    assert len(levels) > 100
    assert all(some == sorted(set(some)) for some in levels.values())


def test_custom_events_happen_within_sessions(sessions, custom_events):
    spans = defaultdict(list)
    for row in sessions:
        start = int(row["tsEvent"])
        duration = int(row["duration"])
        # of an interrupted session it is not known how long it was
        spans[row["idDevice"]].append((start, start + (DAY if duration == -1 else duration)))
    for row in custom_events:
        moment = int(row["tsEvent"])
        assert any(start <= moment <= end for start, end in spans[row["idDevice"]])


def test_payments_follow_a_click(sandbox, custom_events):
    clicks = {
        (row["idDevice"], int(row["tsEvent"]))
        for row in custom_events
        if row["eventName"] == "purchase_click"
    }
    payments = table(sandbox, event="payments", **MONTH)
    assert len(payments) > 200
    assert all((row["idDevice"], int(row["tsEvent"]) - 2) in clicks for row in payments)


def test_an_update_brings_the_new_version(sandbox):
    names = "idDevice,tsEvent,idAppVersionTitle"
    rows = table(sandbox, event="sessions", selectors=names, **MONTH)
    versions = defaultdict(list)
    for row in rows:
        versions[row["idDevice"]].append(row["idAppVersionTitle"])
    updates = table(sandbox, event="appUpdates", selectors=names, **MONTH)
    changed = {device for device, some in versions.items() if len(set(some)) > 1}
    updated = set(column(updates, "idDevice"))
    assert len(updates) > 50
    assert len(updated & changed) > 0.5 * len(updated)
    assert "4.10" in {version for some in versions.values() for version in some}


def test_users_are_devices_with_an_owner(sandbox, installs):
    users = table(sandbox, event="newUsers", selectors="idDevice,customUserId", **MONTH)
    owners = {row["idDevice"]: row["customUserId"] for row in installs}
    assert 0 < len(users) < sum(map(bool, owners.values()))
    for row in users:
        assert row["customUserId"] == owners[row["idDevice"]] != ""
    known = Counter(filter(None, owners.values()))
    assert any(count == 2 for user, count in known.items() if user != "null")
    ids = [user for user in column(users, "customUserId") if user != "null"]
    assert len(set(ids)) == len(ids)


# --- titles and oddities


def test_ids_have_one_title_each(installs):
    for name in selectors():
        title = f"{name}Title" if f"{name}Title" in selectors() else f"{name}Name"
        if title in selectors() and name not in ("idOsVersion",):
            titles = defaultdict(set)
            for row in installs:
                titles[row[name]].add(row[title])
            assert all(len(some) == 1 for some in titles.values()), name


def test_apps_are_consistent_and_say_what_they_are(installs):
    apps = {str(app.id): app for app in APPS}
    for row in installs:
        app = apps[row["idApp"]]
        assert (row["SDKKey"], row["idAppTitle"]) == (app.sdk_key, app.title)
        assert (row["idAccount"], row["idProject"]) == (str(app.account), str(app.project))
        assert "Sandbox" in app.title or "Песочница" in app.title
    assert {len(app.sdk_key) for app in APPS} == {20}
    assert any(app.sdk_key.startswith("00") for app in APPS)
    assert any(int(app.sdk_key) > 2**64 for app in APPS)


def test_organic_installs_have_no_partner(installs):
    organic = [row for row in installs if row["idPartner"] == ""]
    paid = [row for row in installs if row["idPartner"] != ""]
    assert organic
    assert paid
    for row in organic:
        assert row["idAd"] == row["idCampaign"] == row["idAdEventType"] == ""
        assert row["idPartnerTitle"] == "Organic"
        assert row["idAdEventTypeTitle"] == "Неизвестно"
        assert row["tsClick"] == row["tsView"] == row["tsAttr"] == "0"
    for row in paid:
        assert row["tsAttr"] == row["tsEvent"]
        assert int(row["tsClick"]) < int(row["tsEvent"])
        assert (row["tsClick"] != "0") == (row["idAdEventType"] == "1")
        assert (row["tsView"] != "0") == (row["idAdEventType"] == "2")


def test_all_kinds_of_odd_cells_are_there(sandbox, installs, custom_events):
    assert "NA" in column(installs, "idCountryISOAlpha2")
    assert "" in column(installs, "idCountryISOAlpha2")
    assert "0" in column(installs, "tsInstall")
    assert {"=1+1", "null", "NA", "007", "4.10"} <= set(column(installs, "idCampaignTitle"))
    assert {"", "=1+1", "007", "null"} <= set(column(installs, "idSub1Title"))
    assert {"", "00000000-0000-0000-0000-000000000000"} < set(column(installs, "idfa"))
    assert any("Партнёр" in title for title in column(installs, "idPartnerTitle"))
    names = set(column(custom_events, "eventName"))
    assert {"level_up", 'search, "filters"', "Открыл магазин", "=1+1", "007", "null"} < names
    values = "".join(column(custom_events, "params.value"))
    for odd in (r"\'", r"\\", r"\n", "\n", "\r\n", '"', "[1,", "'=1+1'", "'007'", "'null'", "''"):
        assert odd in values, odd
    assert "[]" in column(custom_events, "params.value")
    unknown = column(table(sandbox, event="sessions", selectors="someText"), "someText")
    assert {"", "007", "4.10", "NA", "null", "=1+1", "someText 1"} < set(unknown)


def _elements(text: str) -> list[str]:
    """What an array text holds, read letter by letter."""
    marks = {"n": "\n", "t": "\t"}
    found, current, inside = [], "", False
    letters = iter(text[1:-1])
    for letter in letters:
        if not inside:
            inside = letter == "'"
        elif letter == "\\":
            escaped = next(letters)
            current += marks.get(escaped, escaped)
        elif letter == "'":
            found.append(current)
            current, inside = "", False
        else:
            current += letter
    return found


@given(st.lists(st.text()), st.booleans())
def test_array_text_can_be_read_back(values, escape):
    text = array_text(values, escape)
    assert (text[0], text[-1]) == ("[", "]")
    assert _elements(text) == values
    assert not escape or "\n" not in text


def test_names_and_values_of_parameters_are_parallel(custom_events):
    for row in custom_events:
        assert len(_elements(row["params.name"])) == len(_elements(row["params.value"]))


# --- filters and zones


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("idApp", [APPS[0].id, APPS[4].id]),
        ("SDKKey", [APPS[2].sdk_key]),
        ("idAccount", [7002]),
        ("idProject", [6002, 6003]),
        ("idCountry", [COUNTRIES[0].id, COUNTRIES[11].id]),
        ("idPartner", [PARTNERS[1].id]),
        ("idCampaign", [LINKS[3].campaign]),
        ("idAd", [LINKS[1].id, LINKS[2].id, 5]),
        ("rooted", [1]),
    ],
)
@pytest.mark.parametrize("event", ["installs", "userSessions"])
def test_filters(sandbox, event, name, values):
    texts = [str(value) for value in values]
    asked = {"event": event, "selectors": f"idDevice,tsEvent,{name}", **MONTH}
    rows = table(sandbox, **asked, **{name: ",".join(texts)})
    assert rows == [row for row in table(sandbox, **asked) if row[name] in texts]
    assert rows


def test_apps_and_keys_add_up(sandbox):
    asked = {"selectors": "idDevice,idApp", **MONTH}
    first, second = APPS[0], APPS[1]
    rows = table(sandbox, **asked, idApp=first.id, SDKKey=second.sdk_key)
    assert set(column(rows, "idApp")) == {str(first.id), str(second.id)}


@pytest.mark.parametrize(
    ("event", "name", "value"),
    [
        ("payments", "isVerified", "0"),
        ("userTrialPayments", "isVerified", "1"),
        ("testPayments", "idPurchaseType", "2"),
        ("adMonetization", "idAdMediator", "44"),
    ],
)
def test_filters_of_some_events(sandbox, event, name, value):
    asked = {"event": event, "selectors": f"idDevice,tsEvent,{name}", **MONTH}
    every = table(sandbox, **asked)
    rows = table(sandbox, **asked, **{name: value})
    assert rows == [row for row in every if row[name] == value]
    assert 0 < len(rows) < len(every)
    assert {row[name] for row in every} <= set(dictionary(name))


def test_event_names_are_chosen_or_left_out(sandbox, custom_events):
    chosen = ["level_up", 'search, "filters"', "none"]
    asked = {
        "event": "customEvents",
        "selectors": "idDevice,tsEvent,tsInsert,eventName,eventValue,params.name,params.value",
        **MONTH,
    }
    rows = table(sandbox, **asked, eventName=chosen)
    assert rows == [row for row in custom_events if row["eventName"] in chosen]
    others = table(sandbox, **asked, eventName=chosen, eventNameInvert=1)
    assert others == [row for row in custom_events if row["eventName"] not in chosen]


def test_segments(sandbox):
    every, some, others = (
        set(column(table(sandbox, **MONTH, **segment), "idDevice"))
        for segment in ({}, {"idSegment": 1}, {"idSegment": 2})
    )
    assert some < every
    assert others < every
    assert some != others
    assert 0.2 < len(some) / len(every) < 0.5


def test_availability_is_the_time_of_arrival(sandbox):
    asked = {"selectors": "idDevice,tsInsert", **MONTH}
    every = table(sandbox, **asked)
    moment = int(every[len(every) // 2]["tsInsert"])
    early = table(sandbox, **asked, availabilityTsTo=moment)
    late = table(sandbox, **asked, availabilityTsFrom=moment + 1)
    assert all(int(row["tsInsert"]) <= moment for row in early)
    assert len(early) + len(late) == len(every)
    assert early
    assert late


@pytest.mark.parametrize(
    "zone", ["Europe/Moscow", "Pacific/Honolulu", "Pacific/Apia", "Asia/Katmandu", "Europe/Berlin"]
)
def test_days_are_those_of_the_zone(sandbox, zone):
    # the clocks of Berlin are changed on the second of these days
    days = {"dateFrom": "2025-10-25", "dateTo": "2025-10-27", "timezone": zone}
    rows = table(sandbox, event="sessions", selectors="tsEvent,dtEvent", **days)
    for row in rows:
        moment = datetime.fromtimestamp(int(row["tsEvent"]), timezone.utc)
        assert row["dtEvent"] == str(moment.astimezone(ZoneInfo(zone)).date())
    assert set(column(rows, "dtEvent")) == {"2025-10-25", "2025-10-26", "2025-10-27"}


# --- rows that come late


def lateness_of(rows):
    return sorted(int(row["tsInsert"]) - int(row["tsEvent"]) for row in rows)


def test_most_rows_come_within_minutes_and_some_after_days_or_months(custom_events):
    after = lateness_of(custom_events)
    share = len(after) / 100
    assert after[0] >= 20
    assert 0.8 < sum(each <= 900 for each in after) / len(after) < 0.95
    assert 3 * share < sum(each > 4 * 3600 for each in after) < 5 * share
    assert 0 < sum(each > 3 * DAY for each in after) < share
    assert after[-1] > 60 * DAY


def test_an_import_brings_rows_of_a_month_at_one_moment(custom_events):
    imported = {
        int(row["tsInsert"])
        for row in custom_events
        if int(row["tsInsert"]) - int(row["tsEvent"]) > 3 * DAY
    }
    assert 1 <= len(imported) <= 2


def test_lateness_is_a_setting(start_sandbox):
    asked = {"event": "customEvents", "selectors": "tsEvent,tsInsert", **MONTH}
    prompt = table(start_sandbox(lateness=0.0), **asked)
    assert max(lateness_of(prompt)) <= 900
    harsh = lateness_of(table(start_sandbox(lateness=5.0), **asked))
    assert sum(each > 4 * 3600 for each in harsh) > 0.15 * len(harsh)


def test_a_row_that_has_not_appeared_is_in_no_export(start_sandbox):
    start = 1_767_225_600  # 2026-01-01, UTC
    sandbox = start_sandbox(now=lambda: float(start + DAY + 600))
    window = {"dateFrom": None, "dateTo": None, "tsFrom": start, "tsTo": start + DAY - 1}
    asked = {"event": "customEvents", "selectors": "tsEvent,tsInsert,idDevice", **window}
    known = []
    for days in (0, 1, 120):
        sandbox.clock.advance(days * DAY)
        now = sandbox.clock()
        rows = table(sandbox, **asked)
        assert all(int(row["tsInsert"]) <= now for row in rows)
        known.append({tuple(row.values()) for row in rows})
    assert all(before < after for before, after in pairwise(known))


LATE_DAYS = {
    "event": "customEvents",
    "selectors": "tsEvent,tsInsert,idDevice,eventName",
    "dateFrom": "2025-09-01",
    "dateTo": "2025-09-04",
    "timezone": "UTC",
}


@pytest.fixture(scope="module")
def late_worlds():
    """Sandboxes by their seeds, with all rows of a few days."""
    found = {}
    for seed in (1, 2):
        running = start(
            seconds=0, without_quotas=True, unknown_selectors=True, seed=seed, lateness=4.0
        )
        found[seed] = running, table(running, **LATE_DAYS)
    yield found
    for running, _ in found.values():
        running.stop()


@settings(max_examples=30)
@given(data=st.data(), seed=st.sampled_from([1, 2]))
def test_an_export_has_the_rows_between_its_bounds_of_availability(late_worlds, data, seed):
    sandbox, every = late_worlds[seed]
    moments = sorted({int(row["tsInsert"]) for row in every})
    first, last = sorted(data.draw(st.sampled_from(moments)) for _ in range(2))
    # a row's own second, or one beside it
    first, last = first + data.draw(st.integers(-1, 1)), last + data.draw(st.integers(-1, 1))
    last = max(first, last)
    bounds = {"availabilityTsFrom": first, "availabilityTsTo": last}
    rows = table(sandbox, **LATE_DAYS, **bounds)
    assert rows == [row for row in every if first <= int(row["tsInsert"]) <= last]


@pytest.mark.parametrize("event", sorted(events()))
def test_rows_of_every_event_come_late(late_worlds, event):
    sandbox, _ = late_worlds[1]
    asked = {"event": event, "selectors": "customUserId,tsEvent,tsInsert", **MONTH}
    rows = table(sandbox, **asked)
    assert lateness_of(rows)[0] >= 20
    assert lateness_of(rows)[-1] > 4 * 3600
    # how late is a fact of the row, whatever it is asked for with
    late = max(rows, key=lambda row: int(row["tsInsert"]) - int(row["tsEvent"]))
    moment = {"dateFrom": None, "dateTo": None, "tsFrom": late["tsEvent"], "tsTo": late["tsEvent"]}
    bounds = {"availabilityTsFrom": late["tsInsert"], "availabilityTsTo": late["tsInsert"]}
    assert late in table(sandbox, **{**asked, **moment, **bounds})
