"""Atomic writes: a file is written under a temporary name, then renamed."""

from __future__ import annotations

import os
import re
import secrets
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

if sys.platform != "win32":
    import fcntl

__all__ = ["PART", "AtomicFile", "write_atomically"]

PART = ".part"
"""The suffix of a file that is being written; its name also begins with a dot."""

_BINARY = getattr(os, "O_BINARY", 0)  # without it Windows changes line ends
_LONGEST_NAME = 40  # characters of the final name in the temporary one
_NEW = 10.0  # seconds in which a new file may not be locked yet


class AtomicFile:
    """A file that gets its name only when it is complete.

    Until `commit` it has a temporary name in the same directory, ``.name.<random>.part``, which
    readers ignore. A lock shows that it is in use; those of killed processes have none, and the
    next file of the same name removes them.

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
        prefix = f".{path.name[:_LONGEST_NAME]}."
        _sweep(path.parent, prefix)
        self._path = path.with_name(f"{prefix}{secrets.token_hex(4)}{PART}")
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | _BINARY
        descriptor = os.open(self._path, flags, mode)
        _lock(descriptor)
        self._file: IO[Any] | None = os.fdopen(descriptor, "wb")

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


def _lock(descriptor: int) -> bool:
    """Lock an open file until it is closed or the process ends; return whether it was free."""
    if sys.platform == "win32":  # it does not delete a file that is open
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # in use, or on a drive without locks
        return False
    return True


def _sweep(directory: Path, prefix: str) -> None:
    """Remove the unfinished files that killed processes have left."""
    names = re.compile(re.escape(prefix) + rf"[0-9a-f]{{8}}{re.escape(PART)}")
    with suppress(OSError), os.scandir(directory) as found:
        for entry in found:
            if not names.fullmatch(entry.name):
                continue
            with suppress(OSError):
                if time.time() - entry.stat().st_mtime > _NEW:
                    with open(entry.path, "rb") as file:
                        is_left = _lock(file.fileno())
                    if is_left:
                        os.unlink(entry.path)


def write_atomically(path: Path, text: str) -> None:
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
