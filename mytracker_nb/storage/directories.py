"""The directories of the journal and of the cache.

For the service they are the user's own directories, or those that the environment sets
(``MYTRACKER_NB_DATA_DIR``, ``MYTRACKER_NB_CACHE_DIR``). For a service on this machine, such as a
sandbox, it is a directory that is deleted with it: the next sandbox at the same port counts its
exports from 1 again.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from mytracker_nb.endpoints import is_local
from mytracker_nb.storage import sandbox_dirs

__all__ = ["cache_directory", "data_directory", "saved_sandbox_directory"]

_APP = "mytracker-nb"


def data_directory(base_url: str) -> Path:
    """The directory for data that must not be lost: the journal.

    Parameters
    ----------
    base_url : str
        The service's address.

    Returns
    -------
    Path
        The directory, which exists. Call this each time instead of storing the path: another
        service may listen at the same port of this machine later, with another directory.

    Raises
    ------
    OSError
        If it can't be created, or the user has no home directory.
    """
    return _directory(base_url, "MYTRACKER_NB_DATA_DIR", platformdirs.user_data_path)


def cache_directory(base_url: str) -> Path:
    """The directory for data that can be fetched again: exports' files. As `data_directory`."""
    return _directory(base_url, "MYTRACKER_NB_CACHE_DIR", platformdirs.user_cache_path)


def saved_sandbox_directory() -> Path:
    """The directory of ``%mytracker_sandbox --keep``; it may not exist.

    Raises
    ------
    OSError
        If the user has no home directory.
    """
    return _chosen(os.environ.get("MYTRACKER_NB_DATA_DIR"), platformdirs.user_data_path) / "sandbox"


def _directory(base_url: str, variable: str, default: Callable[..., Path]) -> Path:
    if is_local(base_url):
        port = urlsplit(base_url).port or 80
        return sandbox_dirs.find(port) or _of_listener(port) or _of_process(port)
    path = _chosen(os.environ.get(variable), default)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _chosen(given: str | None, default: Callable[..., Path]) -> Path:
    """The user's directory, from the environment or the system.

    Raises
    ------
    OSError
        If the user has no home directory, such as a container's user without an entry in the list
        of users.
    """
    try:
        path = Path(given).expanduser() if given else default(_APP, appauthor=False)
    except RuntimeError as error:
        raise OSError(f"{given}: {error}" if given else str(error)) from None
    if path.parts[:1] and path.parts[0].startswith("~"):
        # not expanded: a directory of that name would be created in the current one
        raise OSError(f"{path}: this user has no home directory")
    return path


def _of_listener(port: int) -> Path | None:
    """A directory for as long as the service at `port` listens; None if its socket is unknown."""
    socket = _listeners().get(port)
    if socket is None:
        return None
    home = Path(tempfile.gettempdir()) / f"{_APP}-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    if not sandbox_dirs.is_private(home):
        return None
    path = home / f"{port}-{socket}"
    path.mkdir(mode=0o700, exist_ok=True)
    running = {f"{port}-{socket}" for port, socket in _listeners().items()}
    for other in home.iterdir():
        if other.name not in running:
            shutil.rmtree(other, ignore_errors=True)
    return path


def _listeners() -> dict[int, str]:
    """The inode of the socket that listens at each port; empty on systems other than Linux."""
    found: dict[int, str] = {}
    for table in ("/proc/net/tcp6", "/proc/net/tcp"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A":  # TCP_LISTEN
                    found[int(fields[1].rpartition(":")[2], 16)] = fields[9]
    return found


@cache
def _of_process(port: int) -> Path:
    """A directory that is deleted when this process ends."""
    path = tempfile.mkdtemp(prefix=f"{_APP}-{port}-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return Path(path)
