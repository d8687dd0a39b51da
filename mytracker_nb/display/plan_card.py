"""How a plan looks: a calendar of its windows, as HTML and as plain text.

As with the card of an export nothing is fetched and nothing runs; each square holds a mark, so that
it reads well where the styles are dropped.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from enum import Enum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from mytracker_nb import wording
from mytracker_nb.display.export_card import SHOWN, Card, Renderable, Row, bar
from mytracker_nb.errors import printable
from mytracker_nb.request.request import ExportRequest

__all__ = ["CardWindow", "PieceState", "PlanCard"]

_WIDTH = 100


class PieceState(Enum):
    """The state of a piece of a plan; if several share a square, it shows the first of these."""

    FAILED = "failed", "x"
    UNCONFIRMED = "unconfirmed", "?"
    RUNNING = "in progress", ">"
    FETCHING = "downloading", "+"
    WAITING = "waiting", "."
    DONE = "done", "#"
    KEPT = "kept", "="

    def __init__(self, word: str, mark: str) -> None:
        self.word = word
        self.mark = mark

    @property
    def is_done(self) -> bool:
        """Whether its rows are downloaded."""
        return self in (PieceState.DONE, PieceState.KEPT)

    @property
    def needs_attention(self) -> bool:
        """Whether its rows are missing, and only the user can retry it."""
        return self in (PieceState.FAILED, PieceState.UNCONFIRMED)


class CardWindow(NamedTuple):
    """One piece in the calendar.

    Attributes
    ----------
    start, end : datetime.datetime
        When it begins, and when the next one would.
    state : PieceState
        Its state.
    label : str
        What it is.
    """

    start: datetime
    end: datetime
    state: PieceState
    label: str


class Square(NamedTuple):
    """A day, an hour or a month of the calendar."""

    state: PieceState
    title: str


class Line(NamedTuple):
    """One line of the calendar; None where nothing is asked for."""

    label: str
    squares: tuple[Square | None, ...]


@dataclass(frozen=True)
class PlanCard(Renderable):
    """What is to be shown of a plan.

    Attributes
    ----------
    request : ExportRequest
        What is asked for in all.
    windows : tuple of CardWindow
        Its pieces, in order.
    share : float
        How much of the request's interval is done, from 0 to 1.
    seconds_left : float or None
        The estimated time left; None if it is not known.
    service : str
        The service's address.
    api_user_id : int or None
        The *API User ID* of the account.
    is_sandbox : bool
        Whether the data is made up.
    alerts : tuple of (str, str)
        What went wrong or is worth knowing: severity (``error``, ``warning``, ``note``) and text.
    code : str
        The curl command of the first piece, for a dry run.
    recorded_at : datetime.datetime or None
        When the rows were recorded, where a recording is replayed.
    """

    request: ExportRequest
    windows: tuple[CardWindow, ...]
    share: float
    seconds_left: float | None
    service: str
    api_user_id: int | None
    is_sandbox: bool
    alerts: tuple[tuple[str, str], ...] = ()
    code: str = ""
    recorded_at: datetime | None = None

    template = "plan.html"

    def lines(self) -> Iterator[str]:
        """The lines of the card as plain text."""
        return _lines(self)

    @property
    def title(self) -> str:
        """How many exports it is of."""
        count = len(self.windows)
        return f"{count} export{'s' * (count != 1)}"

    @property
    def counts(self) -> tuple[tuple[PieceState, int], ...]:
        """How many pieces are in each state, done ones first."""
        counts = Counter(window.state for window in self.windows)
        return tuple((state, counts[state]) for state in reversed(PieceState) if counts[state])

    @property
    def state(self) -> str:
        """How far it is, in a few words."""
        done = sum(count for state, count in self.counts if state.is_done)
        stuck = sum(count for state, count in self.counts if state.needs_attention)
        left = len(self.windows) - done - stuck
        words = [f"{done} of {len(self.windows)} done"]
        words += [f"{left} left"] * (left > 0)
        if stuck:
            words.append(f"{stuck} need{'s' * (stuck == 1)} attention")
        if left and self.seconds_left is not None:
            words.append(f"about {wording.rough_duration(self.seconds_left)} to go")
        return ", ".join(words)

    @property
    def tone(self) -> str:
        """The class of the state, as a `Card` has it."""
        states = {state for state, _ in self.counts}
        if any(state.needs_attention for state in states):
            return "bad"
        if all(state.is_done for state in states):
            return "good"
        return "" if states == {PieceState.WAITING} else "running"

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Where the exports live, each fact with its name."""
        return self._request_card.facts

    @property
    def rows(self) -> tuple[Row, ...]:
        """The request's parameters, as a `Card` has them."""
        return self._request_card.rows

    @property
    def _request_card(self) -> Card:
        return Card(
            self.request,
            service=self.service,
            api_user_id=self.api_user_id,
            recorded_at=self.recorded_at,
        )

    @property
    def calendar(self) -> tuple[Line, ...]:
        """The lines of the calendar: months of days, or days of hours, or years of months."""
        first = min(window.start for window in self.windows)
        last = max(window.end for window in self.windows)
        scale = next(scale for scale in _SCALES if last - first <= scale.longest)
        squares: dict[tuple[str, int], tuple[PieceState, list[str]]] = {}
        for window in self.windows:
            for place in scale.places(window.start, window.end, self.request.zone):
                state, labels = squares.setdefault(place, (window.state, []))
                squares[place] = _worse(state, window.state), labels
                labels.append(f"{window.label}: {window.state.word}")
        return tuple(
            Line(
                label,
                tuple(
                    _square(*squares[label, column]) if (label, column) in squares else None
                    for column in range(scale.columns)
                ),
            )
            for label in dict.fromkeys(label for label, _ in sorted(squares))
        )


def _worse(one: PieceState, other: PieceState) -> PieceState:
    return next(state for state in PieceState if state in (one, other))


def _square(state: PieceState, labels: list[str]) -> Square:
    more = f", and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    return Square(state, printable("; ".join(labels[:SHOWN]) + more))


class _Scale(NamedTuple):
    """How a calendar is drawn: for what span, with how many squares of a unit in a line."""

    longest: timedelta
    columns: int
    unit: str

    def places(self, start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[tuple[str, int]]:
        """The line and the column of each square that a window has a part in."""
        if self.unit == "hour":
            # by the clock of UTC, as that of a zone may jump
            moment = start.astimezone(timezone.utc)
            while moment < end:
                local = moment.astimezone(zone)
                yield local.date().isoformat(), local.hour
                moment += timedelta(hours=1, minutes=-local.minute, seconds=-local.second)
            return
        last = (end.astimezone(timezone.utc) - timedelta(seconds=1)).astimezone(zone).date()
        for ordinal in range(start.astimezone(zone).toordinal(), last.toordinal() + 1):
            day = date.fromordinal(ordinal)
            if self.unit == "day":
                yield f"{day:%Y-%m}", day.day - 1
            else:
                yield f"{day:%Y}", day.month - 1


_SCALES = (
    _Scale(timedelta(days=3), 24, "hour"),
    _Scale(timedelta(days=1100), 31, "day"),
    _Scale(timedelta.max, 12, "month"),
)


def _lines(card: PlanCard) -> Iterator[str]:
    badges = "  [SANDBOX]" * card.is_sandbox + "  [RECORDED]" * (card.recorded_at is not None)
    yield f"MyTracker plan of {card.title}{badges}"
    yield f"  {card.state}  {bar(card.share)}"
    yield from (f"  {name} {fact}" for name, fact in card.facts)
    for line in card.calendar:
        yield (
            f"  {line.label}  "
            + "".join(square.state.mark if square else " " for square in line.squares).rstrip()
        )
    yield "  " + ", ".join(f"{state.mark} {count} {state.word}" for state, count in card.counts)
    for severity, text in card.alerts:
        yield _wrapped(f"{severity}: {printable(text)}")
    if card.code:
        # what is to be judged before anything is sent
        for row in card.rows:
            yield _wrapped(f"{row.label}: {', '.join(row.shortened())}")
        yield ""
        yield textwrap.indent(printable(card.code), "  ")


def _wrapped(text: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
