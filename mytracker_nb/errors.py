"""Everything that can go wrong, in one tree.

::

    MyTrackerError
    ├── InvalidRequest          .problems    refused before anything is sent
    ├── CredentialsMissing                   no API User ID or secret key was found
    ├── ConnectionFailed                     no answer of the service was to be had
    ├── CreateUnconfirmed       .request     a create was sent, its answer was lost
    ├── ApiError                .status .detail .payload     the service refused
    │   ├── BadRequest                       400
    │   │   └── QueueFull       .exports     400, every place in the queue is taken
    │   ├── AccessDenied                     403
    │   ├── NotFound                         404
    │   └── QuotaExceeded       .retry_after .quotas         429
    ├── ExportFailed            .export      the service gave the export up
    │   ├── ExportTooLarge                   ... because it will never complete
    │   └── ExportCanceled                   ... because it was cancelled
    ├── ExportTimeout           .export      it is still running, the wait is over
    └── FileError               .file .line  a file could not be fetched or read
        └── LinkExpired                      the service has deleted it

Beside it stands `WaitInterrupted`, a KeyboardInterrupt: it is the user's own doing.
"""

from __future__ import annotations

# `Export` and `ExportRequest` are annotated as Any: they stand on floors above this one.
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = [
    "CODES",
    "AccessDenied",
    "ApiError",
    "BadRequest",
    "Code",
    "ConnectionFailed",
    "CreateUnconfirmed",
    "CredentialsMissing",
    "ExportCanceled",
    "ExportFailed",
    "ExportTimeout",
    "ExportTooLarge",
    "FileError",
    "InvalidRequest",
    "LinkExpired",
    "MyTrackerError",
    "NotFound",
    "Problem",
    "QueueFull",
    "QuotaExceeded",
    "WaitInterrupted",
    "printable",
]

_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: object) -> str:
    """`text` without what could steer a terminal or has no place in a file.

    That is control characters, marks of text direction and halves of characters.
    """
    return _CONTROL.sub("\ufffd", str(text))


@dataclass(frozen=True)
class Problem:
    """One thing to know about a request before it is sent.

    Attributes
    ----------
    parameter : str
        The service's name of the parameter it is about.
    code : str
        What kind of problem it is, for programs: one of `CODES`.
    severity : str
        ``error`` (the request is not sent), ``warning`` (it is sent; likely a slip) or ``note``.
    message : str
        What is wrong, as a sentence about the parameter.
    hint : str
        What would be right; ``""`` where the message says it.
    """

    parameter: str
    code: str
    severity: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return printable(f"{self.parameter}: {self.message}{hint}")


class Code(NamedTuple):
    """A kind of problem.

    Attributes
    ----------
    severities : tuple of str
        Those that such a problem can have, the usual one first.
    meaning : str
        What is wrong.
    """

    severities: tuple[str, ...]
    meaning: str


_ERROR, _WARNING, _NOTE = ("error",), ("warning",), ("note",)

CODES: Mapping[str, Code] = MappingProxyType(
    {
        "required": Code(_ERROR, "a parameter that every request has is missing"),
        "interval_missing": Code(_ERROR, "no interval is given; told of the first day"),
        "interval_half": Code(_ERROR, "one end of an interval is given, and this one is missing"),
        "order": Code(_ERROR, "an interval ends before it begins; told of its beginning"),
        "too_early": Code(_ERROR, "the time is before the first that the service knows"),
        "too_late": Code(_ERROR, "the time has not come yet, or not long enough ago"),
        "not_in_dictionary": Code(
            ("error", "warning"),
            "a value is in no list of known ones; a warning for a well-formed column, an id of a "
            "country and a time zone that the service does not list: these are sent as they are",
        ),
        "not_for_event": Code(_ERROR, "the parameter does not apply to the event"),
        "too_many": Code(_ERROR, "more values in one filter than the service takes"),
        "bad_value": Code(_ERROR, "a value can't be read as what the parameter holds"),
        "unknown_parameter": Code(_ERROR, "there is no parameter (or option) of that name"),
        "duplicate": Code(_WARNING, "a value is given more than once; it is sent once"),
        "or_filter": Code(_NOTE, "two filters widen each other: rows that meet either come"),
        "no_effect": Code(_WARNING, "the parameter does nothing without another one"),
        "slow_selector": Code(_NOTE, "the service warns that a column slows the export"),
    }
)
"""The kinds of problems, by their code."""


class _Short(BaseException):
    """In a notebook, one short message in place of a traceback; it still fails the cell."""

    def _render_traceback_(self) -> list[str]:
        # IPython's protocol for exceptions that draw themselves.
        return [f"{type(self).__name__}: {printable(self)}"]


class MyTrackerError(_Short, Exception):
    """The root of all errors of this package."""


class InvalidRequest(MyTrackerError):
    """A request has errors and was not sent.

    Attributes
    ----------
    problems : tuple of Problem
        All that is known of it, warnings and notes too, in the order of the documentation.
    """

    def __init__(self, problems: Sequence[Problem] = ()) -> None:
        super().__init__(tuple(problems))
        self.problems: tuple[Problem, ...] = tuple(problems)

    def __str__(self) -> str:
        errors = [problem for problem in self.problems if problem.severity == "error"]
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        lines = [f"the request has {count}; nothing was sent"]
        return "\n".join([*lines, *map(self._told, self.problems)])

    def _told(self, problem: Problem) -> str:
        mark = "" if problem.severity == "error" else f"{problem.severity}: "
        return f"  - {mark}{problem}"


class CredentialsMissing(MyTrackerError):
    """No API User ID or no secret key was found in any of the places they are looked for in."""


class ConnectionFailed(MyTrackerError):
    """No answer of the service was to be had.

    Attributes
    ----------
    was_sent : bool
        Whether the request may have reached the service.
    """

    def __init__(self, message: str = "", *, was_sent: bool = False) -> None:
        super().__init__(message)
        self.was_sent = was_sent


class CreateUnconfirmed(MyTrackerError):
    """A create was sent and its answer was lost: the export may or may not exist.

    Attributes
    ----------
    request : ExportRequest or None
        What was asked for.
    """

    def __init__(self, message: str = "", *, request: Any = None) -> None:
        super().__init__(message)
        self.request = request


class ApiError(MyTrackerError):
    """The service refused, in its own words.

    Attributes
    ----------
    status : int
        The HTTP status.
    detail : str
        The service's explanation, ``""`` where it gave none.
    payload : object
        The whole decoded answer.
    """

    def __init__(
        self, message: str = "", *, status: int = 0, detail: str = "", payload: Any = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail
        self.payload = payload


class BadRequest(ApiError):
    """HTTP 400: the service does not accept the request as it stands."""


class QueueFull(BadRequest):
    """HTTP 400: the account has as many exports in progress as the service allows.

    Attributes
    ----------
    exports : tuple of int
        The idRawExport of those that fill the queue.
    """

    def __init__(self, message: str = "", *, exports: Sequence[int] = (), **facts: Any) -> None:
        super().__init__(message, **facts)
        self.exports = tuple(exports)


class AccessDenied(ApiError):
    """HTTP 403: the signature or the rights of the account do not suffice."""


class NotFound(ApiError):
    """HTTP 404: the service knows no such export for this account."""


class QuotaExceeded(ApiError):
    """HTTP 429: too many requests; or our own pace has held a request back (status 0).

    Attributes
    ----------
    retry_after : float or None
        Seconds until the service will listen again, where it said so.
    quotas : tuple of dict
        The quotas as the service listed them.
    """

    def __init__(
        self,
        message: str = "",
        *,
        retry_after: float | None = None,
        quotas: Sequence[dict[str, Any]] = (),
        **facts: Any,
    ) -> None:
        super().__init__(message, **facts)
        self.retry_after = retry_after
        self.quotas = tuple(quotas)


class _AboutExport(MyTrackerError):
    """An error that carries its export."""

    def __init__(self, message: str = "", *, export: Any = None) -> None:
        super().__init__(message)
        self.export = export


class ExportFailed(_AboutExport):
    """The service gave the export up.

    Attributes
    ----------
    export : Export
        The export as it was last seen.
    """


class ExportTooLarge(ExportFailed):
    """The export holds more than the service hands out at once; it will never complete."""


class ExportCanceled(ExportFailed):
    """The export was cancelled."""


class ExportTimeout(_AboutExport):
    """The wait ended before the export did; the export goes on.

    Attributes
    ----------
    export : Export
        The export as it was last seen.
    """


class WaitInterrupted(_Short, KeyboardInterrupt):
    """The user ended the wait; an export that was made goes on.

    Attributes
    ----------
    export : Export or None
        The export as it was last seen; None where none is known to be made.
    """

    def __init__(self, message: str = "", *, export: Any = None) -> None:
        super().__init__(message)
        self.export = export


class FileError(MyTrackerError):
    """A file of an export could not be fetched, read or written.

    Attributes
    ----------
    file : str
        The file's name or path.
    line : int or None
        The line of the decompressed text, counted from 1 (the header), where one is to blame.
    """

    def __init__(self, message: str = "", *, file: object = "", line: int | None = None) -> None:
        super().__init__(message)
        self.file = str(file)
        self.line = line


class LinkExpired(FileError):
    """The service has deleted the file; only a new export brings it back."""
