"""What all cards and tables have in common: templates, plain text, marks and bars."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime, tzinfo
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from mytracker_nb.errors import printable
from mytracker_nb.request.coercion import Unreadable

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["SHOWN", "Renderable", "badges", "bar", "moment_text", "one_line", "short_text"]

SHOWN = 12
"""How many values of a list are shown before the others are collapsed."""

_LONGEST = 200  # characters of one value
_BAR = 24


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


def short_text(value: object) -> str:
    """A value as a short text on one line."""
    text = _text(value.text if isinstance(value, Unreadable) else value)
    return one_line(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}...")


def moment_text(moment: datetime, zone: tzinfo) -> str:
    """A moment in local time of `zone`, without the zone's name."""
    try:
        return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"
    except (AttributeError, OverflowError, ValueError):  # at the ends of the calendar
        return short_text(str(moment))


def badges(*, is_sandbox: bool, is_recorded: bool = False) -> str:
    """The marks of data that is not the service's, to follow a title in plain text."""
    return "  [SANDBOX]" * is_sandbox + "  [RECORDED]" * is_recorded


def bar(fraction: float | None) -> str:
    """A progress bar as text, for `fraction` from 0 to 1."""
    full = int((fraction or 0) * _BAR)
    return f"[{'#' * full}{'.' * (_BAR - full)}]"
