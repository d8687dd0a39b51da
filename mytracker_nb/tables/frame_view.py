"""A DataFrame that shows itself in another way than pandas does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from mytracker_nb.display.rendering import Renderable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["frame_with_view"]


def frame_with_view(
    data: Mapping[str, Any], draw: Callable[[pd.DataFrame], Renderable]
) -> pd.DataFrame:
    """A DataFrame with a view of its own.

    Parameters
    ----------
    data : mapping
        Its columns.
    draw : callable
        Returns the view of such a frame. What is made from the frame is a plain one, and so is the
        frame once it has other columns.
    """
    frame: pd.DataFrame = _frame_type()(data)
    # pandas takes the setting of an attribute for that of a column
    object.__setattr__(frame, "_draw", draw)
    object.__setattr__(frame, "_drawn", tuple(frame.columns))
    return frame


@cache
def _frame_type() -> Any:
    """The class; it is made where it is needed, so that pandas is imported no earlier."""
    import pandas as pd

    class FrameWithView(pd.DataFrame):
        @property
        def _constructor(self) -> Any:
            return pd.DataFrame

        def _view(self) -> Renderable | None:
            # columns can be added and removed in place
            is_whole = tuple(self.columns) == self._drawn
            draw: Callable[[pd.DataFrame], Renderable] = self.__dict__["_draw"]
            return draw(self) if is_whole else None

        def __repr__(self) -> str:
            view = self._view()
            return super().__repr__() if view is None else view.text()

        def _repr_html_(self) -> str | None:
            view = self._view()
            plain: Callable[[], str | None] = super()._repr_html_  # type: ignore[misc]
            return plain() if view is None else view.html()

        def __reduce__(self) -> Any:
            # pickle can't find a class that is made in a function
            return pd.DataFrame(self).__reduce__()

    return FrameWithView
