"""The form as a saved notebook shows it: the request, its code and its state, without a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mytracker_nb.display.export_card import Card, Renderable, Row
from mytracker_nb.request.request import ExportRequest

__all__ = ["FormPicture"]


@dataclass(frozen=True)
class FormPicture(Renderable):
    """A form, and what came of the request that was submitted last.

    Attributes
    ----------
    request : ExportRequest
        What it holds.
    magic : str
        The same as a cell.
    verdict : str
        Whether it can be submitted.
    tone : str
        The tone of the verdict.
    is_sandbox : bool
        Whether a submitted request would give made-up data.
    export : Card or None
        The export that was submitted last.
    preview, rows_shown, load : str
        The HTML of its first rows, which they are, and the code that loads them all.
    """

    request: ExportRequest
    magic: str
    verdict: str
    tone: str
    is_sandbox: bool = False
    export: Card | None = None
    preview: str = ""
    rows_shown: str = ""
    load: str = ""

    template = "form.html"

    @property
    def rows(self) -> tuple[Row, ...]:
        """The parameters, as a card shows them."""
        return Card(request=self.request).rows

    @property
    def alerts(self) -> tuple[tuple[str, str], ...]:
        """Problems of what was given, each with its severity; what is missing is in the verdict."""
        given = self.request.parameters
        return tuple(
            (problem.severity, str(problem))
            for problem in self.request.problems
            if problem.parameter in given or problem.severity != "error"
        )

    def lines(self) -> Iterator[str]:
        """The lines of the plain text."""
        yield f"MyTracker request form: {self.verdict}{'  [SANDBOX]' * self.is_sandbox}"
        for severity, text in self.alerts:
            yield f"  {severity}: {text}"
        yield from (f"  {line}" for line in self.magic.splitlines())
        if self.export is not None:
            yield from self.export.lines()
