"""The card of an export: its facts as HTML and as plain text.

A card is rendered from the facts it is given; rendering sends no request. Its HTML must survive in
a saved notebook, so it has no scripts, loads nothing and escapes every value. GitHub and untrusted
notebooks in JupyterLab drop the styles, so the order and the elements read well without them.
"""

from __future__ import annotations

import textwrap
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone, tzinfo
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from mytracker_nb import wording
from mytracker_nb.errors import printable
from mytracker_nb.request.coercion import Unreadable
from mytracker_nb.request.parameters import INTERVALS, PARAMETERS, Parameter, ValueType
from mytracker_nb.request.syntax import to_line_call
from mytracker_nb.snippets import attach_code, has_magic, load_code, runnable
from mytracker_nb.statuses import CANCELED, FAILED, TOO_LARGE, is_final, tone_of

if TYPE_CHECKING:
    from jinja2 import Template

    from mytracker_nb.request.request import ExportRequest

__all__ = [
    "SHOWN",
    "Card",
    "Download",
    "Renderable",
    "Row",
    "badges",
    "bar",
    "moment_text",
    "one_line",
    "parameter_rows",
]

SHOWN = 12
"""How many values of a list are shown before the others are collapsed."""

_SHOWN_IN_TEXT = 6
_LONGEST = 200  # characters of one value
_WIDTH = 100
_BAR = 24

# what a request can be used for: by which magic, with which option of it, or by which function
_USES = {
    "form": ("mytracker_builder", "", "mt.RequestBuilder"),
    "split": ("mytracker_export", " --every auto", "mt.plan"),
}
_SEVERITIES = ("error", "warning", "note")
_STARTS = {interval.end: interval.start for interval in INTERVALS}


class Download(NamedTuple):
    """How far the files of an export have been fetched.

    Attributes
    ----------
    files_done, files_total : int
        Files that are complete, and all files.
    bytes_done : int
        Bytes fetched so far, of all files together.
    bytes_total : int or None
        Bytes of all files; None if the service did not report their sizes.
    """

    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int | None = None


@dataclass(frozen=True)
class Row:
    """One row of the card's table.

    Only the values that are shown are formatted: a list can have thousands.
    """

    label: str
    help: str
    values: Sequence[Any]
    title: Callable[[Any], str] | None = None

    def first(self, count: int) -> list[tuple[str, str]]:
        """The first `count` values, each with its meaning (``""`` if it needs none)."""
        title = self.title or (lambda value: "")
        return [(_word(value), title(value)) for value in self.values[:count]]

    def texts(self, start: int = 0, stop: int | None = None) -> list[str]:
        """The values from `start` up to `stop`, each with its meaning in brackets."""
        values = self.values[start:stop]
        words = [repr(word) if "," in word else word for word in map(_word, values)]
        if self.title is None:
            return words
        titles = map(self.title, values)
        return [
            f"{word} ({title})" if title else word
            for word, title in zip(words, titles, strict=True)
        ]

    def shortened(self) -> list[str]:
        """The first values as `texts`, and how many more there are."""
        more = len(self.values) - _SHOWN_IN_TEXT
        texts = self.texts(stop=_SHOWN_IN_TEXT)
        return [*texts, f"and {more} more"] if more > 0 else texts


class Renderable(ABC):
    """An object that is rendered as HTML and as plain text.

    Attributes
    ----------
    template : str
        The name of the HTML template; it gets the object as ``card``.
    """

    template: ClassVar[str]

    @abstractmethod
    def lines(self) -> Iterator[str]:
        """The lines of the plain text."""

    def html(self) -> str:
        """The card as HTML, with its styles."""
        return _template(self.template).render(card=self, shown=SHOWN)

    def text(self) -> str:
        """The card as plain text for a terminal."""
        return "\n".join(self.lines())

    def __str__(self) -> str:
        return self.text()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        # IPython's protocol for objects that render themselves.
        return {"text/plain": self.text(), "text/html": self.html()}


@cache
def _template(name: str) -> Template:
    """A template of the package; it escapes the values inserted into it."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("mytracker_nb.display"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["printable"] = printable
    return environment.get_template(name)


@dataclass(frozen=True)
class Card(Renderable):
    """The facts of an export that its card shows, or of a request that was not sent.

    Attributes
    ----------
    request : ExportRequest or None
        The request; None if it is not known.
    id_raw_export : int or None
        The export's idRawExport; None if the request was not sent (a dry run, or a form).
    status : str or None
        The service's own word. Without an `id_raw_export`, a text that replaces "dry run".
    progress : float or None
        From 0 to 1.
    is_cancellable : bool or None
        Whether the service can still cancel it.
    service : str
        The service's address.
    api_user_id : int or None
        The *API User ID* of the account.
    is_sandbox : bool
        Whether the data is generated by a sandbox.
    created_at, updated_at : datetime.datetime or None
        When the export was created and when its status was last polled, with their zones.
    files : tuple of (str, datetime.datetime or None, int or None)
        The name, time of deletion and size in bytes of each file.
    error_message : str
        The service's explanation of a failure.
    notes : tuple of str
        Lines shown as they are.
    download : Download or None
        The progress of the download, while there is one.
    code : str
        Code to show, such as the curl command of a dry run.
    recorded_at : datetime.datetime or None
        When the rows were recorded; None if they come from the service.
    row_count, size : int or None
        How many rows were loaded, and from how many bytes.
    elapsed : float or None
        Seconds from the creation to the end, or to `updated_at` while it runs.
    is_folded : bool
        Whether request, files and code are folded away in the HTML, as beside a form that has them.
    """

    request: ExportRequest | None = None
    id_raw_export: int | None = None
    status: str | None = None
    progress: float | None = None
    is_cancellable: bool | None = None
    service: str = ""
    api_user_id: int | None = None
    is_sandbox: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None
    files: tuple[tuple[str, datetime | None, int | None], ...] = ()
    error_message: str = ""
    notes: tuple[str, ...] = ()
    download: Download | None = None
    code: str = ""
    recorded_at: datetime | None = None
    row_count: int | None = None
    size: int | None = None
    elapsed: float | None = None
    is_folded: bool = False

    template = "card.html"

    def lines(self) -> Iterator[str]:
        """The lines of the card as plain text."""
        return _lines(self)

    @property
    def is_dry(self) -> bool:
        """Whether the request was not sent."""
        return self.id_raw_export is None

    @property
    def title(self) -> str:
        """``idRawExport 4``; ``""`` if there is no export."""
        return "" if self.is_dry else f"idRawExport {self.id_raw_export}"

    @property
    def state(self) -> str:
        """The status, with the progress if the service reports it."""
        if self.is_dry:
            errors = sum(severity == "error" for severity, _ in self.alerts)
            if self.status:
                return _word(self.status)
            verdict = f"{errors} error{'s' * (errors != 1)}" if errors else "valid"
            return f"dry run: {verdict}, nothing was sent"
        status = _word(str(self.status or "status not known yet"))
        if self.tone == "running" and self.fraction is not None:
            return f"{status}, {int(self.fraction * 100)} %"
        return status

    @property
    def tone(self) -> str:
        """The class of the status: ``running``, ``good``, ``bad``, ``ended`` or ``""``."""
        if self.is_dry:
            return "bad" if any(severity == "error" for severity, _ in self.alerts) else ""
        return tone_of(str(self.status)).value

    @property
    def fraction(self) -> float | None:
        """The progress from 0 to 1; 1 once the export succeeded, whatever the service reported."""
        if self.tone == "good":
            return 1.0
        return _fraction(self.progress, 1)

    @property
    def fetched(self) -> tuple[str, float | None] | None:
        """The progress of the download, as a text and as a number from 0 to 1."""
        if self.download is None:
            return None
        files_done, files_total, bytes_done, bytes_total = self.download
        size = wording.size(bytes_done) + (
            f" of {wording.size(bytes_total)}" if bytes_total else ""
        )
        words = f"downloaded {files_done} of {files_total} files, {size}"
        return words, _fraction(bytes_done, bytes_total) or _fraction(files_done, files_total)

    @property
    def result(self) -> str:
        """Rows, files and elapsed time, as soon as each is known."""
        parameters = self.request.parameters if self.request is not None else {}
        selectors = parameters.get("selectors")
        return wording.result(
            rows=self.row_count,
            columns=len(selectors) if isinstance(selectors, tuple) else None,
            files=len(self.files) if self.files else None,
            size_of_files=self._size,
            seconds=self.elapsed,
        )

    @property
    def _size(self) -> int | None:
        sizes = [size for _, _, size in self.files]
        known = [size for size in sizes if size is not None]
        return sum(known) if self.size is None and known and len(known) == len(sizes) else self.size

    @property
    def is_open(self) -> bool:
        """Whether its state can still change, so that a saved card can be out of date."""
        return not self.is_dry and self.recorded_at is None and not is_final(str(self.status))

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """The service, the account and the times of the export, as pairs of name and text."""
        account = f"API user {_word(self.api_user_id)}" if self.api_user_id is not None else ""
        facts = [
            ("service", ", ".join(filter(None, [_word(self.service), account]))),
            ("created", self._at(self.created_at)),
            ("last known state, as of" if self.is_open else "as of", self._at(self.updated_at)),
            ("recorded", self._at(self.recorded_at)),
        ]
        if any(fact for _, fact in facts[1:]) or self._has_moments:
            # the zone is shown once: here, or with the request's parameters if it is one of them
            given = self.request is not None and "timezone" in self.request.parameters
            facts.append(("times in", "" if given else str(self._zone)))
        return tuple((name, fact) for name, fact in facts if fact)

    @property
    def _has_moments(self) -> bool:
        parameters = self.request.parameters if self.request is not None else {}
        return any(name in parameters for interval in INTERVALS for name in interval.names)

    def _at(self, moment: datetime | None) -> str:
        return "" if moment is None else moment_text(moment, self._zone)

    @property
    def alerts(self) -> tuple[tuple[str, str], ...]:
        """Errors, warnings and notes, as pairs of severity and text (``""``: a plain line)."""
        alerts = [("", one_line(str(note))) for note in self.notes]
        if self.error_message:
            alerts.insert(0, ("error", f"the service says: {_word(self.error_message)}"))
        problems = self.request.problems if self.request is not None else ()
        for severity in _SEVERITIES:
            # the service has accepted the request, so our errors no longer apply
            if severity != "error" or self.is_dry:
                alerts += [
                    (severity, one_line(str(problem)))
                    for problem in problems
                    if problem.severity == severity
                ]
        return tuple(alerts)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The request's parameters, in the order of the service's documentation."""
        rows = [] if self.request is None else list(parameter_rows(self.request))
        return tuple(rows)

    @property
    def file_summary(self) -> str:
        """How many files there are, and when the first is deleted."""
        if not self.files:
            return ""
        # compared as texts of one zone: moments with and without a zone can't be compared
        ends = [self._at(expires) for _, expires, _ in self.files if expires is not None]
        end = f", until {min(ends)}" if ends else ""
        return f"{wording.count(len(self.files), 'file')}{end}"

    @property
    def file_lines(self) -> tuple[tuple[str, str], ...]:
        """The name of each file, and its size and time of deletion."""
        return tuple(
            (_word(name), self._about_file(expires, size)) for name, expires, size in self.files
        )

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """Code that loads the rows, attaches or cancels, as pairs of name and code."""
        if self.is_dry or self.recorded_at is not None:  # no client can attach to these
            return ()
        number = self.id_raw_export
        assert number is not None, "it was sent"
        attach = attach_code(number)
        codes = [("reattach" if not self.is_open else "current state", attach)]
        if self.tone in ("running", "good"):
            codes.insert(0, ("load the data", load_code(number)))
        if self.is_cancellable and self.tone == "running":
            codes.append(("cancel", f"{attach}.cancel()"))
        if self.status in (FAILED, CANCELED) and self.request is not None:
            codes.insert(0, ("submit again", f"{attach}.retry()"))
        if self.status == TOO_LARGE and (split := self._request_code("split")):
            codes.insert(0, ("split it", split))
        return tuple(codes)

    @property
    def builder(self) -> str:
        """The code that opens the request in the form; ``""`` if the request is not known."""
        return self._request_code("form")

    def _request_code(self, use: str) -> str:
        """A line of code with the whole request, which runs in this notebook."""
        if self.request is None:
            return ""
        magic, option, function = _USES[use]
        try:
            if has_magic(magic):
                code = self.request.to_magic(f"{magic}{option}", line=True)
            else:
                code = runnable(to_line_call(function, self.request.parameters))
        except Exception:  # the repr of an invalid value failed
            return ""
        return printable(code)

    @property
    def _zone(self) -> tzinfo:
        return self.request.zone if self.request is not None else timezone.utc

    def _about_file(self, expires: datetime | None, size: int | None) -> str:
        about = [
            wording.size(size) if size is not None else "",
            f"until {self._at(expires)}" if expires is not None else "",
        ]
        return ", ".join(filter(None, about))


def _text(value: object) -> str:
    """`value` as text; ``""`` if its repr fails, as that of an arbitrary object can."""
    try:
        return value if isinstance(value, str) else repr(value)
    except Exception:
        return ""


def one_line(text: str) -> str:
    """`text` with its line breaks and tabs escaped, so that it stays on one line."""
    if text.isprintable():
        return text
    return printable(text.replace("\n", "\\n").replace("\t", "\\t"))


def _word(value: object) -> str:
    """A value as a short text on one line."""
    text = _text(value.text if isinstance(value, Unreadable) else value)
    return one_line(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}...")


def _fraction(done: float | None, total: float | None) -> float | None:
    try:
        part = done / total  # type: ignore[operator]
        return min(part, 1.0) if part >= 0 else None  # NaN compares false, so it gives None
    except (TypeError, ZeroDivisionError):
        return None


def moment_text(moment: datetime, zone: tzinfo) -> str:
    """A moment in local time of `zone`, without the zone's name."""
    try:
        return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"
    except (AttributeError, OverflowError, ValueError):  # at the ends of the calendar
        return _word(str(moment))


def _unix_moment(seconds: Any, zone: tzinfo) -> str:
    try:
        return moment_text(datetime.fromtimestamp(seconds, zone), zone)
    except (TypeError, ValueError, OverflowError, OSError):  # an invalid value of the request
        return ""


def parameter_rows(request: ExportRequest) -> Iterator[Row]:
    """The parameters of a request as rows: its name, its values and their meanings."""
    for name, value in request.parameters.items():
        parameter = PARAMETERS.get(name)
        values = value if isinstance(value, (list, tuple)) else (value,)
        if parameter is None:
            yield Row(_word(name), "", values)
        else:
            yield Row(name, parameter.help, values, _title(parameter, request))


def _title(parameter: Parameter, request: ExportRequest) -> Callable[[Any], str] | None:
    """A function that returns the meaning of a value of `parameter`; None if values need none."""
    if parameter.value_type is ValueType.DATE:
        return lambda value: ", ".join(_days(parameter, request))
    if parameter.value_type is ValueType.TIME:
        return lambda value: _unix_moment(value, request.zone)
    names = parameter.dictionary
    if names is None or (parameter.is_list and not names.numeric):
        return None
    titles = {
        value: entry.title
        for value, entry in names.items()
        if entry.title.casefold() != value.casefold()
    }
    return lambda value: titles.get(str(value), "")


def _days(parameter: Parameter, request: ExportRequest) -> Iterator[str]:
    """The number of days of an interval, shown at its end; nothing if a date is invalid."""
    start = _STARTS.get(parameter.name, "")
    try:
        first, last = (
            date.fromisoformat(request.parameters[name]) for name in (start, parameter.name)
        )
    except (KeyError, TypeError, ValueError):
        return
    days = (last - first).days + 1
    yield f"{days} day{'s' * (days != 1)}"


def _lines(card: Card) -> Iterator[str]:
    progress = "" if card.fraction is None else f"  {bar(card.fraction)}"
    pairs = [("status", f"{card.state}{progress}")]
    if card.fetched is not None:
        words, fraction = card.fetched
        pairs.append(("download", f"{words}  {bar(fraction)}"))
    pairs += [("result", card.result)] if card.result else []
    pairs += card.facts
    pairs += card.alerts
    for row in card.rows:
        texts = row.shortened()
        pairs.append((row.label, ", ".join(texts)))
    pairs += [("files", card.file_summary)] if card.files else []
    codes = [*card.codes, ("edit in form", card.builder)]
    codes = [(name, code) for name, code in codes if 0 < len(code) <= _LONGEST]

    badges = ["SANDBOX"] * card.is_sandbox + ["RECORDED"] * (card.recorded_at is not None)
    yield "  ".join(filter(None, ["MyTracker export", card.title, *badges]))
    width = max(len(label) for label, _ in [*pairs, *codes])
    for label, value in pairs:
        start = f"  {label:{width}}  "
        yield textwrap.fill(
            value,
            _WIDTH,
            initial_indent=start,
            subsequent_indent=" " * len(start),
            break_long_words=False,
            break_on_hyphens=False,
        )
    # not wrapped, so that they can be pasted
    yield from (f"  {label:{width}}  {code}" for label, code in codes)
    if card.code:
        yield ""
        yield textwrap.indent(printable(card.code), "  ")


def badges(*, is_sandbox: bool, is_recorded: bool = False) -> str:
    """The marks of data that is not the service's, to follow a title in plain text."""
    return "  [SANDBOX]" * is_sandbox + "  [RECORDED]" * is_recorded


def bar(fraction: float | None) -> str:
    """A progress bar as text, for `fraction` from 0 to 1."""
    full = int((fraction or 0) * _BAR)
    return f"[{'#' * full}{'.' * (_BAR - full)}]"
