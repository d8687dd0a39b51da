"""Atomic writes: a file is written under a temporary name, then renamed."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

__all__ = ["PART", "AtomicFile", "write_at_once"]

PART = ".part"
"""The suffix of a file that is being written; its name also begins with a dot."""

_BINARY = getattr(os, "O_BINARY", 0)  # without it Windows changes line ends
_LONGEST_NAME = 40  # characters of the final name in the temporary one


class AtomicFile:
    """A file that gets its name only when it is complete.

    Until `commit` it has a temporary name in the same directory, ``.name.<random>.part``. Readers
    ignore such names, and the leftovers of a killed process can be recognised by them.

    Parameters
    ----------
    path : Path
        The final name; a file of that name is replaced.
    mode : int
        Its permissions, before the umask is applied.

    Raises
    ------
    OSError
        If it can't be written; the methods raise it too.
    """

    def __init__(self, path: Path, mode: int = 0o666) -> None:
        self._final = path
        self._path = path.with_name(f".{path.name[:_LONGEST_NAME]}.{secrets.token_hex(4)}{PART}")
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | _BINARY
        self._file: IO[Any] | None = os.fdopen(os.open(self._path, flags, mode), "wb")

    def write(self, block: bytes) -> None:
        """Append a block."""
        assert self._file is not None
        self._file.write(block)

    def commit(self, *, durable: bool = False) -> None:
        """Rename it to its final name.

        Parameters
        ----------
        durable : bool
            Whether it must survive a power failure (fsync), which takes some milliseconds.
        """
        assert self._file is not None
        self._file.flush()
        if durable:
            os.fsync(self._file.fileno())
        self._file.close()
        self._path.replace(self._final)
        self._file = None

    def discard(self) -> None:
        """Delete it, unless it was committed."""
        if self._file is None:
            return
        file, self._file = self._file, None
        with suppress(OSError):  # a full disk raises again
            file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def write_at_once(path: Path, text: str) -> None:
    """Replace a file atomically: readers get the old or the new text, also after a crash.

    Raises
    ------
    OSError
        If it can't be written; the old file stays.
    """
    file = AtomicFile(path)
    try:
        file.write(text.encode())
        file.commit(durable=True)
    finally:
        file.discard()
