"""The parameters of the create call, described once.

Every face (validation, the magic and its completion, the form, generated code, signatures, the
reference) reads `PARAMETERS` and `INTERVALS`; a new parameter of the service is a new row here.
Source: page ``export-api/raw/create`` of the service's documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from types import MappingProxyType

from mytracker_nb.request.dictionaries import Dictionary, dictionary

__all__ = [
    "DEFAULT_TIMEZONE",
    "INTERVALS",
    "MAX_VALUES",
    "PARAMETERS",
    "POSITIONS",
    "Interval",
    "Parameter",
    "ValueType",
    "find_parameter",
]

DEFAULT_TIMEZONE = "Europe/Moscow"
"""The time zone of ``dateFrom`` and ``dateTo`` if a request does not set one."""

MAX_VALUES = 1000
"""The most values in one filter. The documentation says both "a maximum of 1000" and "below 1000";
1000 is sent, and the service decides."""


class ValueType(Enum):
    """The type of a parameter's values."""

    WORD = "a name"
    ID = "an id"
    SDK_KEY = "an SDK key (20 digits)"
    TEXT = "text"
    DATE = "a date"
    TIME = "a Unix time in seconds"


@dataclass(frozen=True)
class Parameter:
    """One parameter of the create call.

    Attributes
    ----------
    name : str
        The service's own name.
    title : str
        A short label for a form.
    value_type : ValueType
        The type of its values.
    help : str
        One line of help.
    is_list : bool
        Whether it is a list.
    repeats_field : bool
        Whether a list is sent as repeated ``name[]`` fields (its values can hold commas).
    dictionary_name : str or None
        The dictionary of its values.
    events : frozenset of str or None
        The events it applies to; None for all.
    required : bool
        Whether every request has it.
    is_filter : bool
        Whether it narrows the rows (and the limit of 1000 values holds).
    is_advanced : bool
        Whether few requests have it; the form hides it at first.
    """

    name: str
    title: str
    value_type: ValueType
    help: str
    is_list: bool = False
    repeats_field: bool = False
    dictionary_name: str | None = None
    events: frozenset[str] | None = None
    required: bool = False
    is_filter: bool = False
    is_advanced: bool = False

    @property
    def dictionary(self) -> Dictionary | None:
        """The dictionary of the values; None if they are free."""
        return dictionary(self.dictionary_name) if self.dictionary_name else None

    def applies_to(self, event: str | None) -> bool:
        """Whether a request for `event` can have it; for an unknown event it can."""
        if self.events is None or event is None or event not in dictionary("event"):
            return True
        return event in self.events


@dataclass(frozen=True)
class Interval:
    """Two parameters that bound an interval, both ends included.

    Attributes
    ----------
    start, end : str
        The names of the two parameters.
    satisfies_required_interval : bool
        Whether it can be the interval that every request needs; then both ends are required.
    earliest : str or None
        The first day that `start` can be.
    availability_delay : datetime.timedelta
        How long before now it must end; zero means up to now (or today).
    """

    start: str
    end: str
    satisfies_required_interval: bool = True
    earliest: str | None = None
    availability_delay: timedelta = timedelta(0)

    @property
    def names(self) -> tuple[str, str]:
        """The names of both parameters."""
        return self.start, self.end


INTERVALS = (
    Interval("dateFrom", "dateTo", earliest="1970-01-01"),
    Interval("tsFrom", "tsTo"),
    Interval(
        "availabilityTsFrom",
        "availabilityTsTo",
        satisfies_required_interval=False,
        availability_delay=timedelta(hours=3),
    ),
)

_PAYMENTS = frozenset(
    ["payments", "userPayments", "testPayments", "trialPayments", "userTrialPayments"]
)
_CUSTOM_EVENTS = frozenset(["customEvents", "userCustomEvents"])
_AD_MONETIZATION = frozenset(["adMonetization", "userAdMonetization"])
_SEGMENTED = frozenset(["hits", "installs"])


def _ids(
    name: str, title: str, about: str, dictionary_name: str | None = None, is_advanced: bool = False
) -> Parameter:
    return Parameter(
        name,
        title,
        ValueType.ID,
        about,
        is_list=True,
        dictionary_name=dictionary_name,
        is_filter=True,
        is_advanced=is_advanced,
    )


def _choice(
    name: str,
    title: str,
    about: str,
    events: frozenset[str] | None = None,
    is_advanced: bool = False,
) -> Parameter:
    return Parameter(
        name,
        title,
        ValueType.ID,
        about,
        dictionary_name=name,
        events=events,
        is_filter=True,
        is_advanced=is_advanced,
    )


PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        parameter.name: parameter
        for parameter in (
            Parameter(
                "event",
                "Event",
                ValueType.WORD,
                "what to export: one kind of event, by device or by user",
                dictionary_name="event",
                required=True,
            ),
            Parameter(
                "selectors",
                "Columns",
                ValueType.WORD,
                "the columns of the export, in this order",
                is_list=True,
                dictionary_name="selector",
                required=True,
            ),
            Parameter("dateFrom", "From", ValueType.DATE, "first day, in the request's time zone"),
            Parameter("dateTo", "To", ValueType.DATE, "last day, included"),
            Parameter("tsFrom", "From", ValueType.TIME, "first second of event time"),
            Parameter("tsTo", "To", ValueType.TIME, "last second of event time, included"),
            Parameter(
                "availabilityTsFrom",
                "Available from",
                ValueType.TIME,
                "first second in which the event appeared in the system",
                is_advanced=True,
            ),
            Parameter(
                "availabilityTsTo",
                "Available to",
                ValueType.TIME,
                "last second in which the event appeared in the system, 3 hours ago or earlier",
                is_advanced=True,
            ),
            Parameter(
                "timezone",
                "Time zone",
                ValueType.WORD,
                f"the time zone of the days and of dtEvent; default {DEFAULT_TIMEZONE}",
                dictionary_name="timezone",
            ),
            _ids("idApp", "Apps", "ids of apps"),
            _ids("idAccount", "Accounts", "ids of accounts", is_advanced=True),
            _ids("idAd", "Tracking links", "ids of tracking links", is_advanced=True),
            _ids("idCampaign", "Campaigns", "ids of campaigns", is_advanced=True),
            _ids("idCountry", "Countries", "ids, two-letter codes or names", "country"),
            _ids("idProject", "Projects", "ids of projects", is_advanced=True),
            _ids("idPartner", "Partners", "ids of traffic partners", is_advanced=True),
            Parameter(
                "SDKKey",
                "SDK keys",
                ValueType.SDK_KEY,
                "SDK keys of apps, 20 digits each; combined with idApp by OR",
                is_list=True,
                is_filter=True,
                is_advanced=True,
            ),
            _choice(
                "isVerified", "Verification", "only verified or only unverified payments", _PAYMENTS
            ),
            _choice("idPurchaseType", "Purchase type", "only payments of this type", _PAYMENTS),
            Parameter(
                "eventName",
                "Event names",
                ValueType.TEXT,
                "only custom events of these names",
                is_list=True,
                repeats_field=True,
                events=_CUSTOM_EVENTS,
                is_filter=True,
            ),
            _choice(
                "eventNameInvert",
                "Exclude the names",
                "exclude the named events instead",
                _CUSTOM_EVENTS,
            ),
            _choice("rooted", "Root access", "devices with this root access", is_advanced=True),
            _choice(
                "idAdMediator", "Ad mediator", "only events of this mediator", _AD_MONETIZATION
            ),
            Parameter(
                "idSegment",
                "Segment",
                ValueType.ID,
                "id of a segment",
                events=_SEGMENTED,
                is_filter=True,
                is_advanced=True,
            ),
        )
    }
)
"""The parameters by name, in the order of the documentation."""

POSITIONS = {name: position for position, name in enumerate(PARAMETERS)}
"""The position of each parameter in that order."""

_ARRAY_SUFFIX = re.compile(r"\[\d*\]$")


def find_parameter(name: str) -> Parameter | None:
    """Find a parameter by its name; a list also by its array-style name (``idApp[]``)."""
    if name in PARAMETERS:
        return PARAMETERS[name]
    parameter = PARAMETERS.get(_ARRAY_SUFFIX.sub("", name))
    return parameter if parameter is not None and parameter.is_list else None
