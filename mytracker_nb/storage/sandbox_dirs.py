"""The directory of a running sandbox, which others on this machine find by its port.

What its clients keep of it lies in there as well, and so ends with it.
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

__all__ = ["Directory", "find", "hold", "is_private"]

_PREFIX = "mytracker-sandbox-"
_YOUNG = 60.0  # seconds in which a directory may not be held yet


if sys.platform == "win32":
    # a directory can't be held there, and has no mode: its place alone makes it private

    def hold(path: Path, *, wait: bool = True) -> int | None:
        """Nothing: None."""
        return None

    def _is_held(path: Path) -> bool:
        return True

    def is_private(path: Path) -> bool:
        """Whether `path` is a directory."""
        return path.is_dir()

else:
    import fcntl

    def hold(path: Path, *, wait: bool = True) -> int | None:
        """Hold a directory until the answer, an open file, is closed: by the system at last.

        Raises
        ------
        BlockingIOError
            If another process holds it, and this one is not to wait for it.
        """
        place = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(place, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(place)
            raise
        return place

    def _is_held(path: Path) -> bool:
        """Whether the sandbox of a directory still runs."""
        try:
            place = os.open(path, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(place, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(place)
        return False

    def is_private(path: Path) -> bool:
        """Whether `path` is a directory of this user that no other can look into."""
        try:
            facts = path.lstat()
        except OSError:
            return False
        is_ours = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid()
        return is_ours and not facts.st_mode & 0o077


class Directory:
    """A directory for as long as a sandbox runs; only its user can look into it.

    Attributes
    ----------
    path : Path
        Where it is.
    """

    def __init__(self) -> None:
        _sweep()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._held = hold(self.path)

    def announce(self, port: int, clients: Path | None = None) -> None:
        """Make the directory for what clients keep, where `find` finds it.

        Parameters
        ----------
        port : int
            The port of the sandbox.
        clients : Path, optional
            A directory that outlives the sandbox, to be used in place of a new one.
        """
        place = self.path / str(port)
        if clients is None:
            place.mkdir(mode=0o700)
        else:
            place.symlink_to(clients.absolute(), target_is_directory=True)

    def remove(self) -> None:
        """Delete it with all that is in it; once that is done this does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._held is not None:
            os.close(self._held)
            self._held = None


def find(port: int) -> Path | None:
    """Where the clients of the sandbox at `port` keep what is to end with it.

    Parameters
    ----------
    port : int
        The port at which a service of this machine listens.

    Returns
    -------
    Path or None
        A directory of this user that no other can look into; None if no sandbox of this user is
        known to listen there.
    """
    kept = [path / str(port) for path in _all() if _is_held(path) and (path / str(port)).is_dir()]
    # where none can be held the newest is the one that runs: it has taken the port over
    return max(kept, key=lambda path: path.stat().st_ctime_ns, default=None)


def _all() -> Iterator[Path]:
    return filter(is_private, Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"))


def _sweep() -> None:
    """Delete what sandboxes have left that were ended too roughly to do so."""
    for path in _all():
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _YOUNG and not _is_held(path):
                shutil.rmtree(path, ignore_errors=True)
