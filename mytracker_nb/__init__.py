"""From a notebook cell to a DataFrame of raw MyTracker events.

Names are handed on when they are first used, so that importing the package costs little.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mytracker_nb import sandbox as sandbox
    from mytracker_nb.dictionaries import dictionary as dictionary

# The module in which each public name lives.
_HOMES = {
    "dictionary": "dictionaries",
}

__all__ = ["__version__", "load_ipython_extension", "sandbox", *_HOMES]


def __getattr__(name: str) -> Any:
    if name == "sandbox":
        return import_module("mytracker_nb.sandbox")
    if name in _HOMES:
        return getattr(import_module(f"mytracker_nb.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(shell: Any) -> None:
    """Register the magics: what ``%load_ext mytracker_nb`` calls."""
    from mytracker_nb.magics import load

    load(shell)
