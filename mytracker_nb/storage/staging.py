"""Atomic directories: written under a temporary name, then renamed.

The staging directory of a killed process is recognised by its lock, which the system has released;
the next process that writes there removes it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["staged_directory"]


@contextmanager
def staged_directory(target: Path) -> Iterator[Path]:
    """A staging directory that replaces `target` when the block ends without an error.

    Parameters
    ----------
    target : Path
        A path that does not exist, or a directory with only files that start with ``.`` or ``_``,
        which stay.

    Yields
    ------
    Path
        The directory to write to.

    Raises
    ------
    OSError
        If something can't be written, or another process wrote to `target` meanwhile; the
        staging directory is removed then.
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
        # tempfile makes it private; give it the permissions of a usual directory
        staging.chmod(0o777 & ~_umask())
        _replace(staging, target)
        made = []
    finally:
        lock.release()
        shutil.rmtree(staging, ignore_errors=True)
        for path in made:
            with suppress(OSError):
                path.rmdir()


_LOCK = "_lock"


def sweep(directory: Path, prefix: str) -> None:
    """Remove the staging directories of processes that have ended."""
    from filelock import FileLock, Timeout

    for path in directory.glob(f"{prefix}*"):
        lock = FileLock(path / _LOCK)
        # without a lock file it is being created at this moment
        if not (path / _LOCK).exists():
            continue
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError, NotImplementedError):
            continue
        lock.release()
        shutil.rmtree(path, ignore_errors=True)


def _replace(staging: Path, target: Path) -> None:
    """Rename `staging` to `target`, which keeps its files that start with ``.`` or ``_``."""
    aside = [path for path in target.iterdir() if path.name[0] in "._"] if target.exists() else []
    for path in aside:
        path.rename(staging / path.name)
    try:
        if target.exists():
            target.rmdir()  # raises if it is not empty
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
