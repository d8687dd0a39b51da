"""The cells of each selector, as text, for the rows of any event.

A selector that is not in the dictionary is accepted only if the settings allow it
(`Config.unknown_selectors`). Its cells are texts that readers of CSV often misread.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from mytracker_nb.request.dictionaries import dictionary
from mytracker_nb.sandbox.csvtext import from_choices, from_numbers
from mytracker_nb.sandbox.draws import Array, draw, pick, uniform
from mytracker_nb.sandbox.events import ALL_CUSTOM_EVENTS, Rows
from mytracker_nb.sandbox.world import APPS, COUNTRIES, DAY, LINKS, PARTNERS, Devices

__all__ = ["column"]

_Column = Callable[[Rows], pa.Array]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NO_ID = "00000000-0000-0000-0000-000000000000"

# texts that a reader that guesses types misreads
_MISLEADING = (
    *["007", "4.10", "NA", "null", "=1+1", "", "1e5", "true", "nan", "None", "0x1F", "-0"],
    *[
        "2026-01-01",
        "18446744073709551616",
        "значение, с запятой",
        'in "quotes"',
        " spaces ",
        "1,5",
    ],
)


def _of_app(attribute: str) -> _Column:
    texts = [str(getattr(app, attribute)) for app in APPS]
    return lambda rows: from_choices(rows.devices.app[rows.device], texts)


def _of_country(attribute: str) -> _Column:
    texts = [str(getattr(country, attribute)) for country in COUNTRIES]
    return lambda rows: from_choices(rows.devices.country[rows.device], texts)


def _of_link(texts: Sequence[str], *, now: bool = False) -> _Column:
    """A property of the tracking link: that of the install, or of the current attribution."""

    def cells(rows: Rows) -> pa.Array:
        links = rows.devices.link_now if now else rows.devices.link
        return from_choices(links[rows.device], texts)

    return cells


def _of_device(text: Callable[[Devices], list[str]]) -> _Column:
    """A property of the device, computed once for each device that has a row."""

    def cells(rows: Rows) -> pa.Array:
        used, places = np.unique(rows.device, return_inverse=True)
        return from_choices(places, text(rows.devices.take(used)))

    return cells


def _drawn(purpose: str, titles: Sequence[str], *, by_row: bool = False) -> dict[str, _Column]:
    """An id and its title, drawn once for each device or for each row; 0 is empty."""

    def places(rows: Rows) -> Array:
        weights = range(len(titles), 0, -1)
        if by_row:
            return pick(rows.key, purpose, weights)
        return pick(rows.devices.key, purpose, weights)[rows.device]

    return {
        purpose: lambda rows: from_choices(places(rows), _numbered(titles)),
        f"{purpose}Title": lambda rows: from_choices(places(rows), titles),
    }


def _numbered(titles: Sequence[str]) -> list[str]:
    return [str(number) if title else "" for number, title in enumerate(titles, start=1)]


def _by_platform(purpose: str, titles: Mapping[str, Sequence[str]]) -> dict[str, _Column]:
    """An id and its title, among those of the platform of the device's app."""
    every = [title for platform in titles.values() for title in platform]
    first = np.cumsum([0, *map(len, titles.values())])
    platforms = list(titles)

    def places(rows: Rows) -> Array:
        devices = rows.devices
        found = np.zeros(len(devices), dtype=np.int64)
        for number, app in enumerate(APPS):
            place = platforms.index(app.platform)
            own = pick(devices.key, purpose, range(len(titles[app.platform]), 0, -1))
            found = np.where(devices.app == number, first[place] + own, found)
        return found[rows.device]

    ids = [str(100 + number) for number in range(len(every))]
    return {
        purpose: lambda rows: from_choices(places(rows), ids),
        f"{purpose}Title": lambda rows: from_choices(places(rows), every),
    }


def _keys(purpose: str, platforms: set[str], text: Callable[[int], str]) -> _Column:
    """An id of the operating system; empty on platforms without it."""
    has = np.array([app.platform in platforms for app in APPS])

    def texts(devices: Devices) -> list[str]:
        drawn = draw(devices.key, purpose).tolist()
        return [text(key) if own else "" for key, own in zip(drawn, has[devices.app], strict=True)]

    return _of_device(texts)


def _guid(key: int) -> str:
    return str(uuid.UUID(int=key << 64 | key ^ 0x5DEECE66D, version=4))


def _idfa(key: int) -> str:
    # most people do not allow tracking
    return _guid(key).upper() if key % 10 < 3 else _NO_ID


def _advertising_id(key: int) -> str:
    # all devices with tracking off have the same id
    return _guid(key) if key % 10 < 8 else _NO_ID


def _users(devices: Devices) -> list[str]:
    """The ids that apps give their users, in formats that differ as among real programmers."""
    texts = []
    for user, known in zip(devices.user.tolist(), devices.is_registered, strict=True):
        number = user >> 24
        texts.append(_user(user % 97, number) if known else "")
    return texts


def _user(kind: int, number: int) -> str:
    odd = {
        0: f"007{number}",
        1: f"=1+{number}",
        2: f'O\'Neil, "{number}"',
        3: f"игрок {number}",
        4: f"{number % 1000}e{number % 10}.{number}",
        5: f"[{number}]",
        6: f"line\n{number}",
        7: "null",
    }
    return odd.get(kind, f"u{number}")


def _version(release: int) -> str:
    return "4.10" if release < 0 else f"{5 + release // 12}.{release % 12}"


def _app_version(text: Callable[[int], str]) -> _Column:
    def cells(rows: Rows) -> pa.Array:
        releases, places = np.unique(rows.release, return_inverse=True)
        return from_choices(places, [text(int(release)) for release in releases])

    return cells


@cache
def _event_columns(code: int) -> dict[str, str]:
    return ALL_CUSTOM_EVENTS[code >> 16].columns((code >> 4) & 4095, code & 15)


def _custom_event_column(name: str) -> _Column:
    """A column of custom events; other events have none."""
    nothing = "[]" if name.startswith("params.") else ""

    def cells(rows: Rows) -> pa.Array:
        if "custom_event" not in rows.facts:
            return from_choices(np.zeros(len(rows), dtype=np.int64), [nothing])
        facts = rows.facts
        codes = (facts["custom_event"] * 4096 + facts["number"]) * 16 + facts["item"]
        codes, places = np.unique(codes, return_inverse=True)
        return from_choices(places, [_event_columns(code)[name] for code in codes.tolist()])

    return cells


def _duration(rows: Rows) -> pa.Array:
    nothing = np.zeros(len(rows), dtype=np.int64)
    empty = np.full(len(rows), "custom_event" in rows.facts or "duration" not in rows.facts)
    # for an interrupted session the service has -1
    durations = np.where(
        uniform(rows.key, "interrupted") < 0.02, -1, rows.facts.get("duration", nothing)
    )
    return from_numbers(durations, empty)


def _of_install(seconds_before: int, *attributions: int) -> _Column:
    """A time before the install; 0 for a device with another attribution."""

    def cells(rows: Rows) -> pa.Array:
        devices = rows.devices
        before = draw(devices.key, "way here") % np.uint64(seconds_before)
        ts = np.where(
            np.isin(devices.attribution, attributions), devices.ts - 1 - before.astype(np.int64), 0
        )
        # the first installs are of 1970-01-01; no time is before it
        return from_numbers(np.maximum(ts, 0)[rows.device])

    return cells


def _ts_install(rows: Rows) -> pa.Array:
    unknown = uniform(rows.devices.key, "install unknown") < 0.02
    return from_numbers(np.where(unknown, 0, rows.devices.ts)[rows.device])


def _ts_attr(rows: Rows) -> pa.Array:
    return from_numbers(np.where(rows.devices.link > 0, rows.devices.ts, 0)[rows.device])


def _profile(devices: Devices) -> list[str]:
    return [str(key) for key in draw(devices.key, "profile").tolist()]


_BY_APP = {
    "idApp": "id",
    "idAppTitle": "title",
    "SDKKey": "sdk_key",
    "idAccount": "account",
    "idProject": "project",
    "idProjectTitle": "project_title",
}
_BY_COUNTRY = {
    "idCountry": "id",
    "idCountryTitle": "title",
    "idCountryISOAlpha2": "alpha2",
    "idCountryISONumeric": "numeric",
    "idRegionTitle": "region",
    "idRegionLowTitle": "town",
    "idOsLangTitle": "language",
    "idOsTimezoneTitle": "zone",
    "idMobileOperatorCurrentTitle": "operator",
    "idMobileOperatorSimTitle": "operator",
}
_OPTIONAL_ID = [str(number or "") for number in range(len(COUNTRIES))]


def _by_link() -> dict[str, _Column]:
    partners = [PARTNERS[link.partner] for link in LINKS]
    creators = ["", "marketing@example.org", "Агентство, ООО"]
    texts = {
        "idAd": [str(link.id or "") for link in LINKS],
        "idAdTitle": [link.title for link in LINKS],
        "idCampaign": [str(link.campaign or "") for link in LINKS],
        "idCampaignTitle": [link.campaign_title for link in LINKS],
        "idPartner": [str(partner.id or "") for partner in partners],
        "idPartnerTitle": [partner.title for partner in partners],
        "idCampaignCreator": [
            str(900 + link.partner % 3 if link.partner % 3 else "") for link in LINKS
        ],
        "idCampaignCreatorName": [creators[link.partner % 3] for link in LINKS],
    }
    columns = {}
    for name, choices in texts.items():
        end = next((end for end in ("Title", "Name") if name.endswith(end)), "")
        columns[name] = _of_link(choices)
        columns[f"{name.removesuffix(end)}Attr{end}"] = _of_link(choices, now=True)
        columns[f"{name.removesuffix(end)}PrevAttr{end}"] = _of_link(choices)
    return columns


def _by_sub() -> dict[str, _Column]:
    """The sub ids of a tracking link; the current attribution has the same."""
    columns = {}
    for sub in ("1", "2", "3", "4", "5", "AdSet", "Campaign", "Creative", "Medium", "Network"):
        drawn = _drawn(f"idSub{sub}", ["", "video", "=1+1", "007", "null", "a,b", 'Ярлык "x"'])
        for name, cells in drawn.items():
            columns[name] = cells
            columns[name.removesuffix("Title") + "Attr" + name[len(f"idSub{sub}") :]] = cells
    return columns


_OS_VERSIONS = {
    "Android": ["14", "13", "12.0", "10", "4.10"],
    "iOS": ["17.1", "17.10", "16.0", "15.7.1"],
    "Web": [""],
    "Windows": ["10.0", "11"],
}
_MODELS = {
    "Android": ["Redmi Note 8 (2021)", "SM-A515F", 'Nexus "5"', "P30, lite", "7"],
    "iOS": ["iPhone 15,2", "iPhone 12,1", "iPad Air"],
    "Web": ["Desktop"],
    "Windows": ["PC"],
}
_MANUFACTURERS = {
    "Android": ["Sandroid", "Ящик"],
    "iOS": ["Sandpple"],
    "Web": [""],
    "Windows": ["Sandbook & Co, Ltd"],
}
_PLATFORMS = {"Android": ["Android"], "iOS": ["iOS"], "Web": ["Web"], "Windows": ["Windows"]}
_STORES = {
    "Android": ["Google Play", "RuStore", "AppGallery"],
    "iOS": ["App Store"],
    "Web": [""],
    "Windows": ["Microsoft Store"],
}
_PHONES = {"Android", "iOS"}

_COLUMNS: dict[str, _Column] = {
    **{name: _of_app(attribute) for name, attribute in _BY_APP.items()},
    **{name: _of_country(attribute) for name, attribute in _BY_COUNTRY.items()},
    **{
        name: lambda rows: from_choices(rows.devices.country[rows.device], _OPTIONAL_ID)
        for name in (
            *["idRegion", "idRegionLow", "idOsLang", "idOsTimezone"],
            *["idMobileOperatorCurrent", "idMobileOperatorSim"],
        )
    },
    **_by_link(),
    **_by_sub(),
    **_by_platform("idOs", _PLATFORMS),
    **_by_platform("idPlatform", _PLATFORMS),
    **_by_platform("idOsVersion", _OS_VERSIONS),
    **_by_platform("idAppStore", _STORES),
    **_by_platform("idDeviceModel", _MODELS),
    **_by_platform("idMobileManufacturerDevice", _MODELS),
    **_by_platform("idManufacturer", _MANUFACTURERS),
    **_by_platform("idMobileManufacturerBrand", _MANUFACTURERS),
    **_drawn("idConnectionType", ["Wi-Fi", "4G", "3G", ""], by_row=True),
    **_drawn("idTrackerSdkVersion", ["3.2.10", "3.2.1", "4.0"]),
    **_drawn("idTrafficType", ["", "CPI", "Органика"]),
    **_drawn("causeAttr", ["Установка", "Возвращение", ""]),
    "idAdEventType": lambda rows: from_numbers(
        rows.devices.attribution[rows.device], rows.devices.attribution[rows.device] == 0
    ),
    "idAdEventTypeTitle": lambda rows: from_choices(
        rows.devices.attribution[rows.device],
        ["Неизвестно", *(entry.title for entry in dictionary("idAdEventType").values())],
    ),
    "rooted": lambda rows: from_numbers(rows.devices.rooted[rows.device]),
    "rootedTitle": lambda rows: from_choices(
        rows.devices.rooted[rows.device],
        [entry.title for entry in dictionary("rooted").values()],
    ),
    "idDevice": lambda rows: from_numbers(rows.devices.key[rows.device]),
    "idProfile": _of_device(_profile),
    "customUserId": _of_device(_users),
    "advertisingId": _keys("advertisingId", {"Android"}, _advertising_id),
    "androidId": _keys("androidId", {"Android"}, "{:016x}".format),
    "oaid": _keys("oaid", {"Android"}, lambda key: _guid(key) if key % 5 == 0 else ""),
    "idfa": _keys("idfa", {"iOS"}, _idfa),
    "iosVendorId": _keys("iosVendorId", {"iOS"}, lambda key: _guid(key).upper()),
    "waid": _keys("waid", {"Windows"}, _guid),
    "instanceId": _keys("instanceId", {"Android", "iOS", "Windows"}, _guid),
    "adTrackingEnabled": _keys("adTrackingEnabled", _PHONES, lambda key: str(key % 2)),
    "attStatus": _keys("attStatus", {"iOS"}, lambda key: str(key % 4)),
    "bluetoothEnabled": _keys("bluetoothEnabled", _PHONES, lambda key: str(key % 2)),
    "dpi": _keys("screen", _PHONES, lambda key: str((160, 320, 420, 480)[key % 4])),
    "xdpi": _keys("screen", _PHONES, lambda key: f"{150 + key % 300}.{key % 1000:03}"),
    "ydpi": _keys("screen", _PHONES, lambda key: f"{150 + key % 299}.5"),
    "screenDiagonal": _keys("screen", _PHONES, lambda key: f"{4 + key % 3}.{key % 10}"),
    "screenWidth": _keys("screen", _PHONES, lambda key: str((720, 1080, 1440)[key % 3])),
    "screenHeight": _keys("screen", _PHONES, lambda key: str((1600, 2400, 3040)[key % 3])),
    "idAppVersion": _app_version(lambda release: str(8000 + release)),
    "idAppVersionTitle": _app_version(_version),
    **{
        name: _custom_event_column(name)
        for name in ("eventName", "eventValue", "params.name", "params.value")
    },
    "countCustomEvent": lambda rows: from_numbers(
        np.full(len(rows), "custom_event" in rows.facts, dtype=np.int64)
    ),
    "duration": _duration,
    "tsEvent": lambda rows: from_numbers(rows.ts),
    "tsInsert": lambda rows: from_numbers(rows.ts_insert),
    "tsInstall": _ts_install,
    "tsAttr": _ts_attr,
    "tsClick": _of_install(4000, 1),
    "tsView": _of_install(9000, 2),
    "idPurchaseType": lambda rows: from_numbers(rows.purchase_type),
    "isVerified": lambda rows: from_numbers(rows.is_verified),
    "idAdMediator": lambda rows: from_numbers(rows.mediator),
}


def _dates(rows: Rows, zone: ZoneInfo) -> pa.Array:
    """The day of each event in the zone of the request."""
    local = rows.ts + _offsets(rows.ts, zone)
    days, places = np.unique(local // DAY, return_inverse=True)
    texts = [(_EPOCH + timedelta(days=int(day))).date().isoformat() for day in days]
    return from_choices(places, texts)


def _offsets(ts: Array, zone: ZoneInfo) -> Array:
    """Seconds to add to a Unix time to get the zone's own, for each of many times."""

    def offset(moment: int) -> int:
        # computed from 1970, as some systems do not support negative times
        found = (_EPOCH + timedelta(seconds=moment)).astimezone(zone).utcoffset()
        return int(found.total_seconds()) if found is not None else 0

    offsets = np.zeros(len(ts), dtype=np.int64)
    days = ts // DAY
    for day in np.unique(days).tolist():
        first, last = offset(day * DAY), offset(day * DAY + DAY - 1)
        of_day = days == day
        if first == last:
            offsets[of_day] = first
        else:
            # summer time begins or ends on this day
            moments, places = np.unique(ts[of_day], return_inverse=True)
            offsets[of_day] = np.array([offset(moment) for moment in moments.tolist()])[places]
    return offsets


def _misleading(name: str) -> _Column:
    texts = [*_MISLEADING, f"{name} 1", f"{name} 2"]
    return lambda rows: from_choices(draw(rows.key, name) % np.uint64(len(texts)), texts)


def column(selector: str, rows: Rows, zone: ZoneInfo) -> pa.Array:
    """The cells of a selector, as text quoted for CSV.

    Parameters
    ----------
    selector : str
        The name of a column.
    rows : Rows
        The rows, one cell for each.
    zone : ZoneInfo
        The time zone of the request.
    """
    if selector == "dtEvent":
        return _dates(rows, zone)
    return _COLUMNS.get(selector, _misleading(selector))(rows)
