"""The directory of a running sandbox, which clients on this machine find by its port.

It also has the journal and the cache of its clients, so that they are deleted with it.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["Directory", "find", "is_private", "lock"]

_PREFIX = "mytracker-sandbox-"
_YOUNG = 60.0  # seconds in which a new directory may not be locked yet


if sys.platform == "win32":
    # Windows can't lock directories and has no modes: the user's own temporary directory is private

    def lock(path: Path, *, wait: bool = True) -> int | None:
        """Do nothing; return None."""
        return None

    def _is_locked(path: Path) -> bool:
        return True

    def is_private(path: Path) -> bool:
        """Whether `path` is a directory."""
        return path.is_dir()

else:
    import fcntl

    def lock(path: Path, *, wait: bool = True) -> int | None:
        """Lock a directory until the returned file descriptor is closed, or the process ends.

        Raises
        ------
        BlockingIOError
            If another process has locked it, and `wait` is false.
        """
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _is_locked(path: Path) -> bool:
        """Whether the sandbox of a directory is still running."""
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def is_private(path: Path) -> bool:
        """Whether `path` is a directory that only this user can access."""
        try:
            facts = path.lstat()
        except OSError:
            return False
        is_ours = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid()
        return is_ours and not facts.st_mode & 0o077


class Directory:
    """The directory of a running sandbox; only its user can access it.

    Attributes
    ----------
    path : Path
        The path.
    """

    def __init__(self) -> None:
        _sweep()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = lock(self.path)

    def announce(self, port: int, clients: Path | None = None) -> None:
        """Create the directory for the clients' data, which `find` finds by the port.

        Parameters
        ----------
        port : int
            The port of the sandbox.
        clients : Path, optional
            A directory that outlives the sandbox, used instead of a new one.
        """
        path = self.path / str(port)
        if clients is None:
            path.mkdir(mode=0o700)
        else:
            path.symlink_to(clients.absolute(), target_is_directory=True)

    def remove(self) -> None:
        """Delete the directory with its content; a second call does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def find(port: int) -> Path | None:
    """The directory for the clients of the sandbox at `port`, which is deleted with it.

    Parameters
    ----------
    port : int
        The port of a service on this machine.

    Returns
    -------
    Path or None
        A directory that only this user can access; None if no sandbox of this user listens there.
    """
    found = [
        path / str(port) for path in _all() if _is_locked(path) and (path / str(port)).is_dir()
    ]
    # on Windows, without locks, the newest one is that of the running sandbox
    return max(found, key=lambda path: path.stat().st_ctime_ns, default=None)


def _all() -> Iterator[Path]:
    return filter(is_private, Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"))


def _sweep() -> None:
    """Delete the directories of sandboxes that were killed before they could do so."""
    for path in _all():
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _YOUNG and not _is_locked(path):
                shutil.rmtree(path, ignore_errors=True)
