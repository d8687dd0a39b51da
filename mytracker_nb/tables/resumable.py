"""`Resumable`: loads rows, and says after an interrupt how to resume."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from mytracker_nb.errors import WaitInterrupted

__all__ = ["Resumable", "resumable"]


class Resumable:
    """An object with `resumable` methods."""

    def _after_interrupt(self) -> WaitInterrupted:
        """The error for an interrupt while rows are loaded; it says how to resume."""
        return WaitInterrupted("interrupted while loading the data; run the cell again to resume")


_P = ParamSpec("_P")
_T = TypeVar("_T")
_Self = TypeVar("_Self", bound=Resumable)


def resumable(method: Callable[Concatenate[_Self, _P], _T]) -> Callable[Concatenate[_Self, _P], _T]:
    """Raise an error that says how to resume if `method` is interrupted and has not done so."""

    @wraps(method)
    def load(self: _Self, /, *args: _P.args, **options: _P.kwargs) -> _T:
        try:
            return method(self, *args, **options)
        except WaitInterrupted:
            raise
        except KeyboardInterrupt:
            raise self._after_interrupt() from None

    return load
