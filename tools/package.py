"""Build the wheel and the sdist, look into them, and use the wheel in an empty environment.

``make package``; what is built stays in ``dist``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"


def run(*command: object, folder: Path = ROOT) -> None:
    """Run a command; one that fails ends it all."""
    subprocess.run([*map(str, command)], cwd=folder, check=True)  # noqa: S603 - our own


def source_files() -> set[str]:
    """The files of the package, as they have to be in both distributions."""
    files = (path for path in (ROOT / "mytracker_nb").rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT).as_posix()) for path in files if path.suffix != ".pyc"}


def expect(archive: Path, names: Iterable[str], wanted: set[str]) -> None:
    """End it all where a file is missing."""
    missing = wanted - set(names)
    if missing:
        sys.exit(f"{archive.name} lacks {', '.join(sorted(missing))}")


def main() -> None:
    """Do it all."""
    python = sys.executable
    shutil.rmtree(DIST, ignore_errors=True)
    run(python, "-m", "build", "--outdir", DIST)  # the wheel is built from the sdist
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    run(python, "-m", "twine", "check", "--strict", wheel, sdist)
    run(Path(python).with_name("check-wheel-contents"), wheel)

    name, version, *_ = wheel.name.split("-")
    licence = f"{name}-{version}.dist-info/licenses/LICENSE"
    with zipfile.ZipFile(wheel) as archive:
        expect(wheel, archive.namelist(), source_files() | {licence})
    with tarfile.open(sdist) as archive:
        names = {str(PurePosixPath(*PurePosixPath(n).parts[1:])) for n in archive.getnames()}
        expect(sdist, names, source_files() | {"LICENSE", "README.md", "tests/conftest.py"})

    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare"
        venv.create(bare, with_pip=True)
        scripts = bare / ("Scripts" if os.name == "nt" else "bin")
        run(scripts / "python", "-m", "pip", "install", "--quiet", f"{wheel}[sandbox]")
        run(scripts / "python", "-m", "pip", "check")
        # the script's own folder is searched for modules, the current one is not: it is the wheel
        run(scripts / "python", ROOT / "tools" / "demo.py", folder=Path(folder))


if __name__ == "__main__":
    main()
