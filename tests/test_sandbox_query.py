from __future__ import annotations

from datetime import datetime, timezone

import pytest
from raw_client import RAW, create, created, detail, send

from mytracker_nb.request.dictionaries import dictionary
from mytracker_nb.sandbox.query import BadRequest, parse_query

NOW = datetime(2026, 11, 23, 21, 30, tzinfo=timezone.utc).timestamp()  # the 24th in Moscow
GOOD = {
    "event": "installs",
    "selectors": "idDevice",
    "dateFrom": "2026-11-01",
    "dateTo": "2026-11-07",
}


def parsed(**changes):
    fields = {**GOOD, **changes}
    return parse_query([(name, text) for name, text in fields.items() if text is not None], NOW)


def refusal(**changes):
    with pytest.raises(BadRequest) as error:
        parsed(**changes)
    return str(error.value)


NO_DAYS = {"dateFrom": None, "dateTo": None}
SECONDS = {**NO_DAYS, "tsFrom": "1700000000", "tsTo": "1700000000"}
LATE = str(int(NOW))


def test_a_column_that_no_dictionary_has_needs_a_setting():
    fields = {**GOOD, "selectors": "idDevice,someNewSelector"}
    accepted = parse_query(fields.items(), NOW, unknown_selectors=True)
    assert accepted.selectors == ("idDevice", "someNewSelector")


def test_parameters_that_are_not_known_are_ignored():
    assert parsed(datefrom="2026-11-03", **{"params.name[]": "level"}) == parsed()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        *({"event": event} for event in dictionary("event")),
        *({"timezone": zone} for zone in dictionary("timezone")),
        {"selectors": "idDevice,params.name"},
        SECONDS,
        {"tsFrom": "0", "tsTo": LATE},
        {**NO_DAYS, "tsFrom": LATE, "tsTo": LATE},
        {"dateTo": "2026-11-24"},
        {"dateTo": "2026-11-23", "timezone": "America/New_York"},
        {"dateFrom": "1970-01-01"},
        {"availabilityTsFrom": "1", "availabilityTsTo": str(int(NOW) - 3 * 3600 - 1)},
        {"availabilityTsTo": "1"},
        {"idApp": "1,454,23", "idCountry": "999999", "idPartner": "0"},
        {"idApp": ",".join(map(str, range(1000)))},
        {"idApp": ",".join(["7"] * 5000)},
        {"SDKKey": "00000000000000000007,99999999999999999999"},
        {"event": "payments", "isVerified": "0", "idPurchaseType": "6"},
        {"event": "userTrialPayments", "isVerified": "1"},
        {"event": "userCustomEvents", "eventName[]": "a,b", "eventNameInvert": "1"},
        {"event": "userAdMonetization", "idAdMediator": "48"},
        {"event": "hits", "idSegment": "12"},
        {"rooted": "2"},
        {"rooted": "", "idApp": "", "timezone": ""},
        {"idApp[]": "5", "idAccount[0]": "6", "selectors": None, "selectors[]": "idDevice"},
    ],
)
def test_accepted(changes):
    assert parsed(**changes).ts_from <= NOW


SET = "Argument '{}' must be in set of allowed values"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"event": None}, "Argument 'event' is expected but not set"),
        ({"event": ""}, "Argument 'event' is expected but not set"),
        ({"event": "install"}, "Argument 'event' must be in set of allowed tables. Allowed values"),
        ({"selectors": None}, "Argument 'selectors' is expected but not set"),
        ({"selectors": "idDevice,"}, "Argument 'selectors' is invalid"),
        ({"selectors": "idDevice; drop"}, "Argument 'selectors' is invalid"),
        ({"selectors": "idDevice, tsEvent"}, "Argument 'selectors' is invalid"),
        (NO_DAYS, "Argument 'dateFrom' is expected but not set"),
        ({"dateFrom": None}, "Argument 'dateFrom' is expected but not set"),
        ({"dateTo": None}, "Argument 'dateTo' is expected but not set"),
        ({**NO_DAYS, "tsFrom": "1"}, "Argument 'tsTo' is expected but not set"),
        ({"tsTo": "1"}, "Argument 'tsFrom' is expected but not set"),
        ({"dateFrom": "1969-12-31"}, "Argument 'dateFrom' must be greater than or equal"),
        ({"dateFrom": "2026-11-08"}, "Argument 'dateFrom' must be less than or equal to 'dateTo'"),
        ({"dateTo": "2026-11-25"}, "Argument 'dateTo' must be less than or equal to 2026-11-24"),
        ({"dateTo": "2026-11-24", "timezone": "UTC"}, "Argument 'dateTo' must be less than"),
        ({"dateTo": "9999-12-31"}, "Argument 'dateTo' must be less than or equal"),
        ({"dateFrom": "2026-02-30"}, "Argument 'dateFrom' is invalid"),
        ({"dateFrom": "20261101"}, "Argument 'dateFrom' is invalid"),
        ({"dateFrom": "2026-11-1"}, "Argument 'dateFrom' is invalid"),
        ({**NO_DAYS, "tsFrom": "2", "tsTo": "1"}, "Argument 'tsFrom' must be less than or equal"),
        ({**SECONDS, "tsTo": str(int(NOW) + 1)}, "Argument 'tsTo' must be less than or equal"),
        ({**SECONDS, "tsTo": "1700000000000"}, "Argument 'tsTo' must be less than or equal"),
        ({**SECONDS, "tsFrom": "-1"}, "Argument 'tsFrom' is invalid"),
        ({**SECONDS, "tsFrom": "1.5"}, "Argument 'tsFrom' is invalid"),
        ({"availabilityTsTo": str(int(NOW) - 3 * 3600)}, "Argument 'availabilityTsTo' must be"),
        ({"availabilityTsFrom": LATE}, "Argument 'availabilityTsFrom' must be less"),
        (
            {"availabilityTsFrom": "2", "availabilityTsTo": "1"},
            "Argument 'availabilityTsFrom' must be less than or equal to 'availabilityTsTo'",
        ),
        ({"timezone": "Europe/Rome"}, SET.format("timezone")),
        ({"timezone": "moscow"}, SET.format("timezone")),
        ({"idApp": "1,,3"}, "Argument 'idApp' is invalid"),
        ({"idApp": "a"}, "Argument 'idApp' is invalid"),
        ({"idCountry": "RU"}, "Argument 'idCountry' is invalid"),
        (
            {"idCampaign": ",".join(map(str, range(1001)))},
            "Argument 'idCampaign' set size expected to be below 1000",
        ),
        ({"SDKKey": "7"}, "Argument 'SDKKey' is invalid"),
        ({"rooted": "3"}, SET.format("rooted")),
        ({"rooted[]": "1"}, "Argument 'rooted' must be a scalar"),
        ({"event": "payments", "idPurchaseType": "3"}, SET.format("idPurchaseType")),
        ({"isVerified": "1"}, "Argument 'isVerified' is not allowed for event 'installs'"),
        ({"event": "sessions", "idSegment": "1"}, "Argument 'idSegment' is not allowed for event"),
        ({"eventName[]": "a"}, "Argument 'eventName' is not allowed for event 'installs'"),
        ({"event": "customEvents", "eventName": "a,b"}, "Argument 'eventName' must be an array"),
        ({"event": "customEvents", "eventNameInvert": "2"}, SET.format("eventNameInvert")),
        ({"event": "adMonetization", "idAdMediator": "49"}, SET.format("idAdMediator")),
        ({"selectors": "idDevice,someNewSelector"}, "Argument 'selectors' is invalid"),
    ],
)
def test_refused(changes, text):
    assert refusal(**changes).startswith(text)


def test_the_window_is_that_of_the_days_in_the_zone():
    query = parsed(timezone="Asia/Katmandu", dateTo="2026-11-01")
    start = datetime.fromisoformat("2026-11-01T00:00:00+05:45").timestamp()
    assert (query.ts_from, query.ts_to) == (start, start + 86_399)


def test_a_day_may_have_another_length():
    query = parsed(timezone="Europe/Berlin", dateFrom="2026-10-25", dateTo="2026-10-25")
    assert query.ts_to - query.ts_from + 1 == 25 * 3600


def test_days_and_seconds_narrow_each_other():
    query = parsed(tsFrom="1777777777", tsTo="1793600000")
    assert query.ts_to == 1793600000
    assert query.ts_from == parsed().ts_from


def test_lists_and_arrays_are_the_same():
    arrays = parse_query(
        [*GOOD.items(), ("idApp[]", "1"), ("idApp[]", "454"), ("idApp[7]", "23")], NOW
    )
    assert arrays == parsed(idApp="1,454,23")


def test_a_refusal_is_a_bad_request(sandbox):
    answer = create(sandbox, event="install")
    assert answer.status_code == 400
    assert answer.json()["message"] == "Bad Request"
    assert detail(answer).startswith("Argument 'event' must be in set of allowed tables.")


def test_an_account_without_the_permission(start_sandbox):
    answer = create(start_sandbox(permission=False))
    assert detail(answer) == "Export permissions required to export raw data from an account"


def test_a_thousand_keys_in_each_filter_pass(sandbox):
    keys = ",".join(f"{number:020}" for number in range(1000))
    ids = ",".join(str(10**8 + number) for number in range(1000))
    number = created(sandbox, SDKKey=keys, idApp=ids, idCampaign=ids, idPartner=ids, idAd=ids)
    assert sandbox.exports[number].rows == 0


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("", "Argument 'idRawExport' is expected but not set"),
        ("x", "Argument 'idRawExport' is invalid"),
    ],
)
@pytest.mark.parametrize("call", ["get", "cancel"])
def test_an_export_is_named_by_its_number(sandbox, call, number, text):
    answer = send(sandbox, "GET", f"{RAW}/{call}.json", params={"idRawExport": number})
    assert detail(answer) == text
