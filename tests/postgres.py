"""A PostgreSQL server of its own for a test, where the machine has PostgreSQL installed."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# Debian keeps the programs of the server out of the path.
_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def _program(name: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([*map(str, _PLACES), os.environ["PATH"]]))
    if not found:
        pytest.skip("PostgreSQL is not installed (apt install postgresql)")
    return found


@contextmanager
def running_postgres() -> Iterator[str]:
    """Start a server with its data and its socket in a directory of its own; a SQLAlchemy URL."""
    pytest.importorskip("psycopg")
    initdb, server = _program("initdb"), _program("pg_ctl")
    options: dict[str, str | int] = {}
    if os.geteuid() == 0:
        # the server refuses to run as root
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        options = {"user": user.pw_uid, "group": user.pw_gid}
    # not one of pytest's, which another user cannot reach
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        folder = Path(name)
        if options:
            shutil.chown(folder, *options.values())
        data = folder / "data"

        def call(*command: str) -> None:
            # not through a pipe, which the server would keep open
            with (folder / "log").open("ab") as log:
                subprocess.run(command, check=True, stdout=log, stderr=log, cwd=folder, **options)

        call(initdb, "-D", str(data), "-U", "test", "--auth=trust", "--no-sync", "-E", "UTF8")
        # a free port of TCP could be another's by the time that the server takes it
        settings = f"-h '' -k {folder} -F"
        call(server, "-D", str(data), "-o", settings, "-w", "start")
        try:
            yield f"postgresql+psycopg://test@/postgres?host={folder}"
        finally:
            call(server, "-D", str(data), "-m", "immediate", "stop")
