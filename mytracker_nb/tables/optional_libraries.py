"""Optional libraries, which the package does not install by default."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mytracker_nb.errors import MyTrackerError

__all__ = ["optional"]


def optional(name: str, package: str | None = None) -> Any:
    """Import an optional library.

    Parameters
    ----------
    name : str
        The module to import.
    package : str, optional
        The extra of mytracker-nb that installs it, if its name differs.

    Raises
    ------
    MyTrackerError
        If it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        extra = package or name
        raise MyTrackerError(
            f"{extra} is not installed ({error}). Type: pip install 'mytracker-nb[{extra}]'"
        ) from None
