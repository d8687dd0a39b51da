"""The status words of the service: which are final, and in which colour they are shown.

Source: page ``export-api/raw/get`` of the service's documentation. An undocumented word is shown
unchanged, and is not final.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

__all__ = [
    "CANCELED",
    "FAILED",
    "IN_PROGRESS",
    "SUCCESS",
    "TOO_LARGE",
    "Tone",
    "is_final",
    "tone_of",
]

IN_PROGRESS = "In progress"
SUCCESS = "Success!"
FAILED = "Error occurred"
TOO_LARGE = "User error occurred"
"""The export has more rows or data than the service exports at once."""
CANCELED = "Canceled by user"


class Tone(str, Enum):
    """The colour in which a status is shown; the value is the name of a CSS class."""

    RUNNING = "running"
    GOOD = "good"
    BAD = "bad"
    ENDED = "ended"
    UNKNOWN = ""


_TONES: Mapping[str, Tone] = MappingProxyType(
    {
        IN_PROGRESS: Tone.RUNNING,
        SUCCESS: Tone.GOOD,
        FAILED: Tone.BAD,
        TOO_LARGE: Tone.BAD,
        CANCELED: Tone.ENDED,
    }
)
_FINAL = frozenset([SUCCESS, FAILED, TOO_LARGE, CANCELED])


def is_final(status: str) -> bool:
    """Whether an export with `status` has ended.

    Parameters
    ----------
    status : str
        The service's own word.

    Returns
    -------
    bool
        False for an unknown word.

    Examples
    --------
    >>> is_final("Success!"), is_final("In progress"), is_final("Paused")
    (True, False, False)
    """
    return status in _FINAL


def tone_of(status: str) -> Tone:
    """The colour of a status; `Tone.UNKNOWN` for a word that is not documented."""
    return _TONES.get(status, Tone.UNKNOWN)
