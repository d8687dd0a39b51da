"""The files in ``binder/`` make an image in which every notebook runs."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import venv
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest

from mytracker_nb.recordings.notebook_check import check_notebook

ROOT = Path(__file__).parent.parent
START = ROOT / "binder" / "start"
NAMES = ("MYTRACKER_BASE_URL", "MYTRACKER_API_USER_ID", "MYTRACKER_SECRET_KEY")
# what the image is made of, and what it has from elsewhere to run notebooks with
PARTS = ("binder", "mytracker_nb", "notebooks", "pyproject.toml", "README.md", "LICENSE")
BASE = ("ipykernel", "nbclient")
MOST_MEGABYTES = 750


def environment(home: Path, python: Path, **more: str) -> dict[str, str]:
    """That of a user who has nothing but this Python."""
    return {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": f"{python.parent}:/usr/bin:/bin",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        **more,
    }


def run_from_start(command: list[str], env: dict[str, str], cwd: Path = ROOT) -> str:
    """What a command prints in the image; whatever it started ends with it."""
    process = subprocess.Popen(
        [cwd / "binder" / "start", *command],
        env=env,
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output = process.communicate(timeout=900)[0]
    finally:
        with suppress(ProcessLookupError):  # nothing else was started
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output
    return output


def test_the_dockerfile_installs_the_project_and_starts_by_the_script() -> None:
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    version = (ROOT / "binder" / "runtime.txt").read_text().strip().removeprefix("python-")
    assert f"python={version}" in done.stderr
    steps = (
        r"COPY .*src/ \$\{REPO_DIR\}/$",  # the project's own files are there when it is installed
        r'RUN .*/pip install .*-r "binder/requirements.txt"$',
        r"RUN \./binder/postBuild$",
        r'ENV R2D_ENTRYPOINT="\$\{REPO_DIR\}/binder/start"$',
    )
    places = [re.search(step, done.stdout, re.MULTILINE) for step in steps]
    assert all(places), steps[places.index(None)]
    starts = [place.start() for place in places if place]
    assert starts == sorted(starts)


SHOW = f"import json, os; print(json.dumps([os.environ.get(name) for name in {NAMES}]))"


def test_without_an_account_the_service_is_a_sandbox(tmp_path: Path) -> None:
    ask = f"{SHOW}; import mytracker_nb as mt; mt.Client().quotas()"
    python = Path(sys.executable)
    shown = run_from_start([str(python), "-c", ask], environment(tmp_path, python))
    base_url, _, secret_key = json.loads(shown)
    assert base_url.startswith("http://127.0.0.1:")
    assert secret_key


def test_an_account_that_is_given_wins(tmp_path: Path) -> None:
    python = Path(sys.executable)
    given = {"MYTRACKER_API_USER_ID": "5", "MYTRACKER_SECRET_KEY": "given"}
    shown = run_from_start([str(python), "-c", SHOW], environment(tmp_path, python, **given))
    assert json.loads(shown) == [None, "5", "given"]


def test_jupyter_opens_the_first_notebook() -> None:
    settings = json.loads((ROOT / "binder" / "jupyter_server_config.json").read_text())
    for application in settings.values():
        path = application["default_url"].removeprefix("/lab/tree/")
        assert path.startswith("notebooks/01")
        assert (ROOT / path).is_file()


@pytest.mark.binder
def test_a_shared_notebook_runs_on_its_recording_with_nothing_but_the_package(
    tmp_path: Path,
) -> None:
    """What docs/share.md has three files for: no account, no sandbox, no Flask."""
    shared, home, prefix = tmp_path / "shared", tmp_path / "home", tmp_path / "environment"
    home.mkdir()
    shutil.copytree(ROOT / "notebooks" / "data_06", shared / "data_06")
    notebook = shared / "06_share.ipynb"
    shutil.copy(ROOT / "notebooks" / notebook.name, notebook)
    saved = nbformat.read(notebook, as_version=4)

    venv.create(prefix, with_pip=True, symlinks=True)
    python = prefix / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    env = os.environ | {
        "HOME": os.path.expanduser(f"~{getpass.getuser()}"),
        "PIP_CACHE_DIR": str(ROOT / ".cache" / "pip"),
    }
    subprocess.run([*pip, str(ROOT), "matplotlib", *BASE], env=env, check=True)
    assert subprocess.run([python, "-c", "import flask"], capture_output=True).returncode != 0
    run = [prefix / "bin" / "jupyter", "execute", "--inplace", notebook]
    subprocess.run(run, cwd=shared, env=environment(home, python), check=True, timeout=300)
    shown = nbformat.read(notebook, as_version=4)
    assert texts(shown) == texts(saved)
    assert check_notebook(notebook) == ()


def texts(notebook: nbformat.NotebookNode) -> list[str]:
    """The text of every output, in order, without how long something took."""
    outputs = [
        output.get("text") or output.get("evalue") or output.data["text/plain"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]
    return [re.sub(r"(rows x \d+ columns.*), [\d.]+ (s|min)\b.*", r"\1", text) for text in outputs]


@pytest.mark.binder
def test_every_notebook_runs_in_the_environment(tmp_path: Path) -> None:
    repository, home = tmp_path / "repository", tmp_path / "home"
    home.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        (repository / part).parent.mkdir(exist_ok=True)
        copy(ROOT / part, repository / part)

    prefix = tmp_path / "environment"
    venv.create(prefix, with_pip=True, symlinks=True)
    python = prefix / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # pip alone keeps the user's own configuration
    env = os.environ | {
        "HOME": os.path.expanduser(f"~{getpass.getuser()}"),
        "PIP_CACHE_DIR": str(ROOT / ".cache" / "pip"),
    }
    subprocess.run([*pip, "-r", "binder/requirements.txt"], cwd=repository, env=env, check=True)
    size = sum(path.stat().st_size for path in prefix.rglob("*") if not path.is_symlink()) / 1e6
    assert size < MOST_MEGABYTES
    subprocess.run([*pip, *BASE], env=env, check=True)

    env = environment(home, python, NB_PYTHON_PREFIX=str(prefix))
    subprocess.run([repository / "binder" / "postBuild"], cwd=repository, env=env, check=True)
    assert (prefix / "etc" / "jupyter" / "jupyter_server_config.json").is_file()
    notebooks = [str(path) for path in sorted((repository / "notebooks").glob("*.ipynb"))]
    assert notebooks
    run_from_start([str(prefix / "bin" / "jupyter"), "execute", *notebooks], env, repository)
