"""The errors of this package, in one tree.

::

    MyTrackerError
    ├── InvalidRequest          .problems    the request has errors and was not sent
    ├── CredentialsMissing                   no API User ID or secret key was found
    ├── ConnectionFailed                     the service did not respond
    ├── CreateUnconfirmed       .request     a create was sent, no response arrived
    ├── ApiError                .status .detail .payload     the service returned an error
    │   ├── BadRequest          .problems    400
    │   │   └── QueueFull       .exports     400, the export queue is full
    │   ├── AccessDenied                     403
    │   ├── NotFound                         404
    │   └── QuotaExceeded       .retry_after .quotas         429
    ├── ExportFailed            .export      the export failed
    │   ├── ExportTooLarge                   it is too large to complete
    │   └── ExportCanceled                   it was cancelled
    ├── ExportTimeout           .export      the wait ended before the export
    └── FileError               .file .line  a file could not be fetched or read
        └── LinkExpired                      the service has deleted the file

`WaitInterrupted` is not in the tree: it is a KeyboardInterrupt, since the user causes it.
"""

from __future__ import annotations

# `Export` and `ExportRequest` are annotated as Any: they are on floors above this one.
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
    """`text` without the characters that could control a terminal or can't be in a file.

    These are control characters, marks of text direction and halves of surrogate pairs.
    """
    return _CONTROL.sub("\ufffd", str(text))


@dataclass(frozen=True)
class Problem:
    """One error, warning or note about a request.

    Attributes
    ----------
    parameter : str
        The parameter, by the service's name.
    code : str
        The kind of problem, for programs: one of `CODES`.
    severity : str
        ``error`` (the request is not sent), ``warning`` (it is sent; probably a mistake) or
        ``note``.
    message : str
        What is wrong.
    hint : str
        How to correct it; ``""`` if the message says so.

    Examples
    --------
    >>> request = mt.ExportRequest(event="instals", selectors="tsEvent",
    ...                            dateFrom="2026-10-01", dateTo="2026-10-07")
    >>> (problem,) = request.problems
    >>> problem.parameter, problem.code, problem.severity
    ('event', 'not_in_dictionary', 'error')
    >>> print(problem)
    event: 'instals' is not a known event (did you mean installs or reinstalls?)
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
        The severities that such a problem can have, the usual one first.
    meaning : str
        What is wrong.
    """

    severities: tuple[str, ...]
    meaning: str


_ERROR, _WARNING, _NOTE = ("error",), ("warning",), ("note",)

CODES: Mapping[str, Code] = MappingProxyType(
    {
        "required": Code(_ERROR, "a required parameter is missing"),
        "interval_missing": Code(_ERROR, "no interval is set; reported for dateFrom"),
        "interval_half": Code(_ERROR, "only the other end of the interval is set"),
        "order": Code(_ERROR, "an interval ends before it begins; reported for its start"),
        "too_early": Code(_ERROR, "the time is before the first that the service accepts"),
        "too_late": Code(_ERROR, "the time is in the future, or not long enough ago"),
        "not_in_dictionary": Code(
            ("error", "warning"),
            "the value is not in the dictionary; a warning for columns, ids of countries and time "
            "zones, whose dictionaries may be incomplete: these values are sent unchanged",
        ),
        "not_for_event": Code(_ERROR, "the parameter does not apply to the event"),
        "too_many": Code(_ERROR, "more values in one filter than the service accepts"),
        "bad_value": Code(_ERROR, "the value has the wrong form or type"),
        "unknown_parameter": Code(_ERROR, "unknown parameter or option"),
        "duplicate": Code(_WARNING, "a value is repeated; it is sent once"),
        "or_filter": Code(_NOTE, "filters are combined by OR: rows that match either are exported"),
        "no_effect": Code(_WARNING, "the parameter has no effect without another one"),
        "slow_selector": Code(_NOTE, "the service warns that a column slows the export"),
        "empty_list": Code(_WARNING, "a filter is an empty list, so it does not filter"),
        "placeholder": Code(_WARNING, "a text is a placeholder, probably meant to be its value"),
    }
)
"""The kinds of problems, by their code."""


class _Short(BaseException):
    """An error that IPython shows as one short message, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        # IPython's protocol for exceptions that format themselves
        return [f"{type(self).__name__}: {printable(self)}"]


class MyTrackerError(_Short, Exception):
    """The root of all errors of this package."""


class InvalidRequest(MyTrackerError):
    """A request has errors and was not sent.

    Attributes
    ----------
    problems : tuple of Problem
        All of its problems, warnings and notes too, in the order of the documentation.
    """

    def __init__(self, problems: Sequence[Problem] = ()) -> None:
        super().__init__(tuple(problems))
        self.problems: tuple[Problem, ...] = tuple(problems)

    def __str__(self) -> str:
        errors = [problem for problem in self.problems if problem.severity == "error"]
        count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
        lines = [f"the request has {count}; nothing was sent"]
        return "\n".join([*lines, *map(self._line, self.problems)])

    def _line(self, problem: Problem) -> str:
        return _line(problem)


def _line(problem: Problem) -> str:
    """A problem in the list of an error's message."""
    mark = "" if problem.severity == "error" else f"{problem.severity}: "
    return f"  - {mark}{problem}"


class CredentialsMissing(MyTrackerError):
    """No API User ID or no secret key was found."""


class ConnectionFailed(MyTrackerError):
    """The service did not respond.

    Attributes
    ----------
    was_sent : bool
        Whether the request may have reached the service.
    may_pass : bool
        Whether a retry can succeed; not if a certificate is not trusted, or the session itself
        fails.
    reason : str
        What happened, in a few words.
    """

    def __init__(
        self,
        message: str = "",
        *,
        was_sent: bool = False,
        may_pass: bool = True,
        reason: str = "",
    ) -> None:
        super().__init__(message)
        self.was_sent = was_sent
        self.may_pass = may_pass
        self.reason = reason or message


class CreateUnconfirmed(MyTrackerError):
    """A create was sent and no response arrived: the export may or may not exist.

    Attributes
    ----------
    request : ExportRequest or None
        The request that was sent.
    """

    def __init__(self, message: str = "", *, request: Any = None) -> None:
        super().__init__(message)
        self.request = request


class ApiError(MyTrackerError):
    """The service returned an error, in its own words.

    Attributes
    ----------
    status : int
        The HTTP status.
    detail : str
        The service's explanation; ``""`` if it gave none.
    payload : object
        The complete decoded response.
    """

    def __init__(
        self, message: str = "", *, status: int = 0, detail: str = "", payload: Any = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail
        self.payload = payload


class BadRequest(ApiError):
    """HTTP 400: the service does not accept the request.

    Attributes
    ----------
    problems : tuple of Problem
        The warnings about the parameter that the service does not accept.
    """

    problems: tuple[Problem, ...] = ()

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *map(_line, self.problems)])


class QueueFull(BadRequest):
    """HTTP 400: the account has as many exports in progress as the service allows.

    Attributes
    ----------
    exports : tuple of int
        The idRawExport of the exports that fill the queue.
    """

    def __init__(self, message: str = "", *, exports: Sequence[int] = (), **facts: Any) -> None:
        super().__init__(message, **facts)
        self.exports = tuple(exports)


class AccessDenied(ApiError):
    """HTTP 403: the signature is wrong, or the account lacks the permission."""


class NotFound(ApiError):
    """HTTP 404: the account has no such export."""


class QuotaExceeded(ApiError):
    """HTTP 429: too many requests; or our own rate limit was reached (status 0).

    Attributes
    ----------
    retry_after : float or None
        Seconds until the service accepts requests again, if it said so.
    quotas : tuple of dict
        The quotas, as the service lists them.
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
    """The export failed at the service.

    Attributes
    ----------
    export : Export
        The export as it was last seen.
    """


class ExportTooLarge(ExportFailed):
    """The export is too large to complete: request less data, or split it with a plan."""


class ExportCanceled(ExportFailed):
    """The export was cancelled."""


class ExportTimeout(_AboutExport):
    """The wait ended before the export did; the export keeps running.

    Attributes
    ----------
    export : Export
        The export as it was last seen.
    """


class NotRecorded(MyTrackerError):
    """The recording that is replayed does not have the requested export."""


class WaitInterrupted(_Short, KeyboardInterrupt):
    """The user interrupted the wait; an export that was created keeps running.

    Attributes
    ----------
    export : Export or None
        The export as it was last seen; None if none is known to be created.
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
        The line of the decompressed text, counted from 1 (the header), if a line is the cause.
    """

    def __init__(self, message: str = "", *, file: object = "", line: int | None = None) -> None:
        super().__init__(message)
        self.file = str(file)
        self.line = line


class LinkExpired(FileError):
    """The service has deleted the file; a new export is needed."""
