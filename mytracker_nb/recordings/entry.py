"""`Entry`: one export of a recording, as ``recording.json`` has it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from functools import cached_property
from typing import Any

from mytracker_nb.errors import NotRecorded
from mytracker_nb.request.availability import is_bounded, of_request
from mytracker_nb.request.parameters import INTERVALS, PARAMETERS, ValueType
from mytracker_nb.request.request import ExportRequest
from mytracker_nb.statuses import SUCCESS

__all__ = ["Entry", "RecordedRequest", "file_name", "find_entry", "find_top_up", "not_recorded"]

_NEAR = 3  # entries that an error lists


@dataclass(frozen=True)
class RecordedRequest:
    """A request, and how its relative dates were read.

    Attributes
    ----------
    parameters : mapping of str
        The parameters, resolved.
    written : mapping of str to str
        The dates as they were given.
    read_at : str
        As of when relative dates were read (ISO 8601).
    """

    parameters: Mapping[str, Any]
    written: Mapping[str, str]
    read_at: str

    @classmethod
    def of(cls, request: ExportRequest) -> RecordedRequest:
        """What is recorded of a request."""
        parameters = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in request.parameters.items()
        }
        return cls(parameters, dict(request.written), request.read_at.isoformat())

    @cached_property
    def request(self) -> ExportRequest:
        """The request, with its dates as they were then."""
        return ExportRequest(**self.parameters)

    def match(self, request: ExportRequest) -> ExportRequest | None:
        """The request as it would have been read then, if it is this one."""
        then = request.as_of(datetime.fromisoformat(self.read_at))
        return then if then == self.request else None


@dataclass(frozen=True)
class Entry:
    """One export of a recording.

    Attributes
    ----------
    request : RecordedRequest
        What was asked for.
    id_raw_export : int
        The service's id.
    created_at, recorded_at : str
        When the export was created and its rows were recorded (ISO 8601); "" where unknown.
    status, error_message : str
        The service's own words.
    is_sandbox : bool
        Whether the rows are made up.
    origin : str
        What tells its account from others, and says nothing of it.
    file : str
        The file of the rows; "" if it ended without any.
    rows, size : int
        How many rows and bytes the file has.
    sha256 : str
        The digest of the file.
    columns, as_text : tuple of str
        The columns of the file, and those which are text though the dictionary has another type.
    pseudonyms : tuple of str
        The columns whose values are pseudonyms.
    key : str
        The fingerprint of the key of the pseudonyms and the sample.
    dropped : tuple of str
        The columns that were left out.
    sample : float
        The share of people whose rows were kept.
    person : str
        The column by which the sample was taken; "" without one.
    found : tuple
        What the look for personal data found: column, what, count.
    """

    request: RecordedRequest
    id_raw_export: int
    created_at: str
    recorded_at: str
    status: str
    error_message: str = ""
    is_sandbox: bool = False
    origin: str = ""
    file: str = ""
    rows: int = 0
    size: int = 0
    sha256: str = ""
    columns: tuple[str, ...] = ()
    as_text: tuple[str, ...] = ()
    pseudonyms: tuple[str, ...] = ()
    key: str = ""
    dropped: tuple[str, ...] = ()
    sample: float = 1.0
    person: str = ""
    found: tuple[tuple[str, str, int], ...] = ()

    @property
    def has_rows(self) -> bool:
        """Whether the export succeeded."""
        return self.status == SUCCESS

    def to_json(self) -> dict[str, Any]:
        """The entry as JSON has it."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Entry:
        """The entry that `to_json` wrote; what a later version adds is passed over."""
        known = {one.name for one in fields(cls)}
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in facts.items()
            if name in known
        }
        given["request"] = RecordedRequest(**facts["request"])
        given["found"] = tuple(tuple(one) for one in facts.get("found", ()))
        return cls(**given)


def file_name(request: ExportRequest) -> str:
    """The name of the file of a request's rows: readable, and the same for the same request."""
    parameters = RecordedRequest.of(request).parameters
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:8]
    bounds = next(
        [_bound(name, parameters[name]) for name in interval.names]
        for interval in INTERVALS
        if interval.satisfies_required_interval and interval.end in parameters
    )
    return "_".join([parameters["event"], *bounds, digest]) + ".parquet"


def _bound(name: str, value: Any) -> str:
    if PARAMETERS[name].value_type is ValueType.DATE:
        return str(value)
    return f"{datetime.fromtimestamp(value, timezone.utc):%Y-%m-%dT%H%M%SZ}"


def find_entry(
    entries: Mapping[str, Entry], request: ExportRequest
) -> tuple[Entry, ExportRequest] | None:
    """The entry of a request, and the request as it was read then; the newest one first."""
    newest = sorted(entries.values(), key=lambda entry: entry.recorded_at, reverse=True)
    for entry in newest:
        if (then := entry.request.match(request)) is not None:
            return entry, then
    return None


def find_top_up(entries: Mapping[str, Entry], request: ExportRequest) -> Entry | None:
    """The entry of the late rows that `request` is for, up to whatever moment; the newest one."""
    found = [
        entry
        for entry in entries.values()
        if is_bounded(entry.request.request) and _is_same_but_end(entry.request.request, request)
    ]
    return max(found, key=lambda entry: of_request(entry.request.request).until or 0, default=None)


def _is_same_but_end(one: ExportRequest, other: ExportRequest) -> bool:
    end = of_request(other)._replace(after=None).parameters()
    return ExportRequest(**{**one.parameters, **end}) == other


def not_recorded(entries: Mapping[str, Entry], request: ExportRequest, where: str) -> NotRecorded:
    """What to raise where a recording lacks a request: with what it has that is near."""
    event = request.parameters.get("event")
    of_event = [entry for entry in entries.values() if entry.request.parameters["event"] == event]
    candidates = of_event or list(entries.values())
    near = sorted(candidates, key=lambda entry: len(list(_differences(entry, request))))
    lines = [f"{where} has no export of this request"]
    for entry in near[:_NEAR]:
        parameters = entry.request.parameters
        bounds = " to ".join(entry.file.split("_")[1:3]) if entry.file else ""
        differences = list(_differences(entry, request))
        lines.append(
            f"  - {parameters['event']} {bounds}: differs in "
            + "; ".join(
                f"{name} (recorded: {recorded}, here: {here})"
                for name, recorded, here in differences
            )
        )
    lines.append("To record it, run the notebook with an account, without --replay")
    return NotRecorded("\n".join(lines))


def _differences(entry: Entry, request: ExportRequest) -> Iterator[tuple[str, str, str]]:
    then = request.as_of(datetime.fromisoformat(entry.request.read_at)).parameters
    recorded = entry.request.request.parameters
    for name in {**recorded, **then}:
        if recorded.get(name) != then.get(name):
            yield name, _shown(recorded.get(name)), _shown(then.get(name))


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
