"""Directories that appear whole, renamed when they are complete; and locks.

What a process that was killed has left is recognised by its lock, which the system released, and
removed by the next one that writes to the same place.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["locked", "staged_directory"]

_TRY = 0.3  # seconds between two reports of a wait


@contextmanager
def locked(path: Path, on_wait: Callable[[float], None]) -> Iterator[None]:
    """Hold the lock of a file; the system releases it where the process is killed.

    Parameters
    ----------
    path : Path
        The file of the lock, made where there is none.
    on_wait : callable
        Called while another process or thread holds it, with the seconds until the next look.
    """
    from filelock import FileLock, Timeout  # costs a tenth of the import of the package

    lock = FileLock(path)
    while True:
        try:
            lock.acquire(timeout=_TRY, poll_interval=0.05)
            break
        except Timeout:
            on_wait(_TRY)
        except NotImplementedError:
            # some network drives have no locks
            yield
            return
    try:
        yield
    finally:
        lock.release()


@contextmanager
def staged_directory(target: Path) -> Iterator[Path]:
    """A directory beside `target` that takes its place when the block ends well.

    Parameters
    ----------
    target : Path
        What does not exist, or is a directory with nothing but names that start with ``.`` or
        ``_``: these stay.

    Yields
    ------
    Path
        The directory to write to.

    Raises
    ------
    OSError
        If something can't be written, or `target` got other content meanwhile; nothing is left
        then.
    """
    from filelock import FileLock

    made = [path for path in target.parents if not path.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name[:40]}.partial-"
    sweep(target.parent, prefix)
    staging = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    lock = FileLock(staging / _LOCK)
    try:
        with suppress(NotImplementedError):
            lock.acquire(timeout=0)
        yield staging
        lock.release()
        (staging / _LOCK).unlink(missing_ok=True)
        # tempfile's are for their user alone; a directory is made as the user's others are
        staging.chmod(0o777 & ~_umask())
        _take_place(staging, target)
        made = []
    finally:
        lock.release()
        shutil.rmtree(staging, ignore_errors=True)
        for path in made:
            with suppress(OSError):
                path.rmdir()


_LOCK = "_lock"


def sweep(directory: Path, prefix: str) -> None:
    """Remove the staging directories that processes left which have ended."""
    from filelock import FileLock, Timeout

    for path in directory.glob(f"{prefix}*"):
        lock = FileLock(path / _LOCK)
        # one that has no lock yet is being made at this moment
        if not (path / _LOCK).exists():
            continue
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError, NotImplementedError):
            continue
        lock.release()
        shutil.rmtree(path, ignore_errors=True)


def _take_place(staging: Path, target: Path) -> None:
    """Rename `staging` to `target`, with what is no data in this."""
    aside = [path for path in target.iterdir() if path.name[0] in "._"] if target.exists() else []
    for path in aside:
        path.rename(staging / path.name)
    try:
        if target.exists():
            target.rmdir()  # fails where it is not empty
        staging.rename(target)
    except OSError:
        target.mkdir(exist_ok=True)
        for path in aside:
            (staging / path.name).rename(path)
        raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
