"""Hypothesis strategies: valid and invalid parameters of requests."""

from __future__ import annotations

from datetime import date
from typing import Any

from hypothesis import strategies as st

from mytracker_nb.request.dictionaries import dictionary
from mytracker_nb.request.parameters import PARAMETERS, Parameter, ValueType

# before any clock these tests run under
DAYS = st.dates(min_value=date(1970, 1, 1), max_value=date(2024, 10, 25))
TIMES = st.integers(0, 1_730_000_000)
EVENT_NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    str.strip
)
SELECTORS = st.sampled_from(list(dictionary("selector"))) | st.from_regex(
    r"[A-Za-z][A-Za-z0-9_]{0,8}(\.[A-Za-z][A-Za-z0-9_]{0,4})?", fullmatch=True
)


def _lists(values: st.SearchStrategy[Any], most: int = 6) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=most, unique=True)


def _value(parameter: Parameter) -> st.SearchStrategy[Any]:
    """Right values of a parameter that is no part of an interval."""
    if parameter.name == "selectors":
        return _lists(SELECTORS)
    one: st.SearchStrategy[Any]
    if parameter.dictionary is not None:
        one = st.sampled_from(list(parameter.dictionary))
        one = one.map(int) if parameter.value_type is ValueType.ID else one
    elif parameter.value_type is ValueType.SDK_KEY:
        one = st.integers(0, 10**20 - 1).map("{:020}".format)
    elif parameter.value_type is ValueType.TEXT:
        one = EVENT_NAMES
    else:
        one = st.integers(0, 2**64 - 1)
    return _lists(one) if parameter.is_list else one


VALUES = {
    name: _value(parameter)
    for name, parameter in PARAMETERS.items()
    if parameter.value_type not in (ValueType.DATE, ValueType.TIME)
}
_PAIRS = {
    ("dateFrom", "dateTo"): st.tuples(DAYS, DAYS).map(
        lambda days: [day.isoformat() for day in sorted(days)]
    ),
    ("tsFrom", "tsTo"): st.tuples(TIMES, TIMES).map(sorted),
    ("availabilityTsFrom", "availabilityTsTo"): st.tuples(TIMES, TIMES).map(sorted),
}
_INTERVALS = st.tuples(
    st.sampled_from([[0], [1], [0, 1], [0, 2], [1, 2], [0, 1, 2]]), *_PAIRS.values()
).map(
    lambda drawn: {
        name: value
        for which in drawn[0]
        for name, value in zip(list(_PAIRS)[which], drawn[1 + which], strict=True)
    }
)
_FOR_EVENT = {
    event: st.lists(
        st.sampled_from(
            [
                name
                for name in VALUES
                if PARAMETERS[name].applies_to(event) and not PARAMETERS[name].required
            ]
        ),
        max_size=5,
        unique=True,
    )
    for event in dictionary("event")
}


@st.composite
def right(draw: st.DrawFn) -> dict[str, Any]:
    """The parameters of a request that has no errors, in their normal form."""
    event = draw(VALUES["event"])
    return {
        "event": event,
        "selectors": draw(VALUES["selectors"]),
        **draw(_INTERVALS),
        **{name: draw(VALUES[name]) for name in draw(_FOR_EVENT[event])},
    }


TEXTS = st.text(max_size=12) | st.text(st.characters(codec="utf-8"), max_size=12)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.binary(max_size=4)
ANYTHING = st.recursive(
    PLAIN
    | st.dates()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.timedeltas()
    | st.decimals()
    | st.fractions()
    | st.complex_numbers()
    | st.sampled_from([object(), ..., int, len, 2**70, "\ud800", "9" * 5000]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(TEXTS, inner, max_size=2)
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(list(PARAMETERS)) | st.text(max_size=8)
