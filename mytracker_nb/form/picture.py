"""A static picture of the form for a saved notebook: the request, its code and its state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mytracker_nb.display.export_card import Card
from mytracker_nb.display.parameter_rows import Row
from mytracker_nb.display.rendering import Renderable, badges
from mytracker_nb.request.request import ExportRequest

__all__ = ["FormPicture"]


@dataclass(frozen=True)
class FormPicture(Renderable):
    """The picture of a form, and of the last export that was submitted.

    Attributes
    ----------
    request : ExportRequest
        The request.
    magic : str
        The request as a cell.
    verdict : str
        The text on whether it can be submitted.
    tone : str
        The tone of the verdict.
    is_sandbox : bool
        Whether the form uses a sandbox.
    export : Card or None
        The last export that was submitted.
    preview, rows_shown, load : str
        The HTML of its first rows, which rows they are, and the code that loads all rows.
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
        """The parameters, as on a card."""
        return Card(request=self.request).rows

    @property
    def alerts(self) -> tuple[tuple[str, str], ...]:
        """Problems as pairs of severity and text, except missing values: the verdict has those."""
        given = self.request.parameters
        return tuple(
            (problem.severity, str(problem))
            for problem in self.request.problems
            if problem.parameter in given or problem.severity != "error"
        )

    def lines(self) -> Iterator[str]:
        """The lines of the plain text."""
        yield f"MyTracker request form: {self.verdict}{badges(is_sandbox=self.is_sandbox)}"
        for severity, text in self.alerts:
            yield f"  {severity}: {text}"
        yield from (f"  {line}" for line in self.magic.splitlines())
        if self.export is not None:
            yield from self.export.lines()
