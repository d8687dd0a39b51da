"""Two readings of the same documentation: the validator's and the sandbox's must agree."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st

import mytracker_nb as mt
from mytracker_nb.request.dictionaries import dictionary, events, selectors
from mytracker_nb.sandbox.query import BadRequest, parse_query

NOW = datetime(2025, 11, 23, 21, 30, tzinfo=timezone.utc)  # the 24th in Moscow
SECOND = int(NOW.timestamp())

EVENTS = st.sampled_from([*events(), "", "install", "Installs"])
DAYS = st.sampled_from(
    [
        *["1969-12-31", "1970-01-01", "2025-02-30", "2025-11-1", "20251101", "0000-00-00", "x"],
        *["2025-11-01", "2025-11-07", "2025-11-23", "2025-11-24", "2025-11-25", "9999-12-31", ""],
    ]
)
MOMENTS = st.sampled_from(
    [0, 1, SECOND - 3 * 3600 - 1, SECOND - 3 * 3600, SECOND, SECOND + 1, SECOND * 1000, -1]
).map(str) | st.sampled_from(["", "x", "1.5", "1e9"])
NUMBERS = st.sampled_from(["0", "1", "2", "3", "6", "48", "49", "188", "99999", "7"])
BAD_IDS = st.sampled_from(["", "1,,3", "1,", "a", "1.0", "-1", "1;2", "x" * 30])
IDS = st.lists(NUMBERS, min_size=1, max_size=5, unique=True).map(",".join) | BAD_IDS
MANY = st.sampled_from([1000, 1001]).map(lambda count: ",".join(map(str, range(count))))
COLUMNS = st.lists(st.sampled_from([*selectors(), "newOne"]), min_size=1, max_size=4, unique=True)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "dateFrom": DAYS,
    "dateTo": DAYS,
    "tsFrom": MOMENTS,
    "tsTo": MOMENTS,
    "availabilityTsFrom": MOMENTS,
    "availabilityTsTo": MOMENTS,
    "timezone": st.sampled_from([*dictionary("timezone"), "", "Moscow", "Nowhere/Land"]),
    "idApp": IDS | MANY,
    "idAccount": IDS,
    "idAd": IDS,
    "idCampaign": IDS | MANY,
    "idCountry": IDS,
    "idProject": IDS,
    "idPartner": IDS,
    "SDKKey": st.sampled_from(
        ["", "7", "0" * 20, "0" * 20 + "," + "9" * 20, "0" * 19, "9" * 21, "0" * 19 + "x"]
    ),
    "isVerified": NUMBERS | BAD_IDS,
    "idPurchaseType": NUMBERS | BAD_IDS,
    "eventName": st.lists(
        st.sampled_from(["a,b", "level_up", "007", "Ёж"]), max_size=3, unique=True
    ),
    "eventNameInvert": NUMBERS | BAD_IDS,
    "rooted": NUMBERS | BAD_IDS,
    "idAdMediator": NUMBERS | BAD_IDS,
    "idSegment": NUMBERS | BAD_IDS,
    "nonsense": st.just("1"),
}
WINDOWS = [
    {"dateFrom": "2025-11-01", "dateTo": "2025-11-07"},
    {"dateFrom": "2025-11-07", "dateTo": "2025-11-07", "timezone": "UTC"},
    {"tsFrom": "0", "tsTo": str(SECOND)},
    {},
]


@st.composite
def parameter_sets(draw: st.DrawFn) -> dict[str, Any]:
    """What people may ask for: mostly right, with a few fields that may be wrong."""
    window = draw(st.sampled_from(WINDOWS))
    names = draw(st.lists(st.sampled_from(list(FIELDS)), max_size=4, unique=True))
    columns = draw(COLUMNS.map(",".join))
    if draw(st.integers(0, 9)) == 9:
        columns = draw(st.sampled_from(["", "a b", "idDevice,", "x;y", "1a"]))
    fields = {"event": draw(EVENTS), "selectors": columns, **window}
    return {**fields, **{name: draw(FIELDS[name]) for name in names}}


def refusal(fields: list[tuple[str, str]]) -> str:
    try:
        parse_query(fields, NOW.timestamp(), unknown_selectors=True)
    except BadRequest as answer:
        return str(answer)
    return ""


@settings(max_examples=300, deadline=None)
@given(parameter_sets())
def test_both_accept_the_same(fields):
    request = mt.ExportRequest(**fields)
    errors = [problem for problem in request.check(NOW) if problem.severity == "error"]
    as_typed = [
        (name, each) if name != "eventName" else ("eventName[]", each)
        for name, value in fields.items()
        for each in (value if isinstance(value, list) else [value])
    ]
    answer = refusal(as_typed)
    note("refused" if answer else "accepted")
    # what the service does not know it ignores; before anything is sent it is a slip
    refused = [error for error in errors if error.code != "unknown_parameter"]
    assert bool(refused) == bool(answer), (answer, [str(error) for error in errors])
    if not errors:
        assert refusal(request.wire()) == ""
        sent, typed = (
            parse_query(each, NOW.timestamp(), unknown_selectors=True)
            for each in (request.wire(), as_typed)
        )
        assert sent == typed


def test_a_zone_that_the_service_does_not_list_is_sent():
    fields = {"event": "installs", "selectors": "idDevice", **WINDOWS[0], "timezone": "Europe/Rome"}
    (problem,) = mt.ExportRequest(**fields).check(NOW)
    assert (problem.parameter, problem.severity) == ("timezone", "warning")
    assert refusal(list(fields.items())).startswith("Argument 'timezone' must be in set")
