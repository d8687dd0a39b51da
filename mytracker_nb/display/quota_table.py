"""The table of quotas: what ``%mytracker_quotas`` and `Client.quotas` show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import ClassVar

from mytracker_nb import wording
from mytracker_nb.display.rendering import Renderable, badges, bar, moment_text, one_line

__all__ = ["QuotaRow", "QuotaTable"]


@dataclass(frozen=True)
class QuotaRow:
    """A quota as the service reported it; None for what it did not report.

    Attributes
    ----------
    name : str
        Its name at the service.
    used, limit : float or None
        The number of requests that were counted, and the number that is allowed.
    resets_at : datetime.datetime or None
        When the count starts again.
    resets_in : float or None
        The same in seconds from the moment of the report.
    exceeded : bool
        Whether requests are refused until then.
    more : sequence of (str, str)
        Names and values of what else the service reported.
    """

    name: str
    used: float | None = None
    limit: float | None = None
    resets_at: datetime | None = None
    resets_in: float | None = None
    exceeded: bool = False
    more: Sequence[tuple[str, str]] = ()

    @property
    def title(self) -> str:
        """Its name, on one line."""
        return one_line(self.name)

    @property
    def share(self) -> float | None:
        """How much of it is used, from 0 to 1."""
        if self.used is None or self.limit is None:
            return None
        return min(1.0, max(0.0, self.used / self.limit)) if self.limit > 0 else 1.0

    @property
    def count(self) -> str:
        """How much of it is used, in numbers."""
        used, limit = (
            "?" if number is None else f"{number:,.0f}" for number in (self.used, self.limit)
        )
        return f"{used} of {limit}"

    @property
    def reset(self) -> str:
        """When the count starts again."""
        wait = "" if self.resets_in is None else f"in {wording.duration(self.resets_in)}"
        at = "" if self.resets_at is None else moment_text(self.resets_at, timezone.utc)
        return ", ".join(filter(None, [wait, at]))

    @property
    def state(self) -> str:
        """Whether it is exceeded, and what else the service reported of it."""
        more = [f"{one_line(name)}: {one_line(value)}" for name, value in self.more]
        return ", ".join(["exceeded"] * self.exceeded + more)


@dataclass(frozen=True)
class QuotaTable(Renderable):
    """The quotas of an account.

    Attributes
    ----------
    quotas : sequence of QuotaRow
        The quotas, as the service lists them.
    asked_at : datetime.datetime
        When the service was asked.
    service : str
        The address of the service.
    api_user_id : int or None
        The API User ID of the account; None to hide it.
    is_sandbox : bool
        Whether it is a sandbox.
    """

    quotas: Sequence[QuotaRow]
    asked_at: datetime
    service: str
    api_user_id: int | None = None
    is_sandbox: bool = False

    template: ClassVar[str] = "quotas.html"

    @property
    def title(self) -> str:
        """How many there are, and how many are exceeded."""
        over = sum(quota.exceeded for quota in self.quotas)
        return wording.count(len(self.quotas), "quota") + (f", {over} exceeded" if over else "")

    @property
    def source(self) -> str:
        """Whose quotas they are, and as of when."""
        user = f", API user {self.api_user_id}" if self.api_user_id is not None else ""
        moment = moment_text(self.asked_at, timezone.utc)
        return f"service {one_line(self.service)}{user}, as of {moment}, times in UTC"

    def lines(self) -> Iterator[str]:
        """The lines of the plain text."""
        yield f"MyTracker: {self.title}{badges(is_sandbox=self.is_sandbox)}"
        yield f"  {self.source}"
        cells = [
            (
                quota.title,
                quota.count,
                "" if quota.share is None else bar(quota.share),
                f"resets {quota.reset}" if quota.reset else "",
                quota.state,
            )
            for quota in self.quotas
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for row in cells:
            yield "  " + "  ".join(map(str.ljust, row, widths)).rstrip()
