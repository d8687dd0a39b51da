"""The page on schedules: its script and its notebook are run as cron and papermill would."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

import mytracker_nb as mt

if TYPE_CHECKING:
    from mytracker_nb.sandbox import Sandbox

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "schedules.md").read_text(encoding="utf-8")


def pieces(title: str, language: str = "python") -> list[str]:
    """The Python, or what else, of a section of the page; the part before the first is ``""``."""
    section = PAGE.partition(f"## {title}\n")[2] if title else PAGE
    section = section.partition("\n## ")[0]
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [text for name, text in blocks if name == language]


@pytest.fixture
def sandbox(start_sandbox: Callable[..., Sandbox]) -> Sandbox:
    return start_sandbox(seconds=0, without_quotas=True)


@pytest.fixture
def run(sandbox: Sandbox, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    account = {
        "MYTRACKER_BASE_URL": sandbox.base_url,
        "MYTRACKER_API_USER_ID": str(sandbox.api_user_id),
        "MYTRACKER_SECRET_KEY": sandbox.secret_key,
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "PYTHONPATH": str(ROOT),
    }

    def run(*arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, **account, **changed},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run


@pytest.fixture
def script(tmp_path: Path) -> str:
    (source,) = pieces("A script by cron")
    (tmp_path / "daily.py").write_text(source, encoding="utf-8")
    return "daily.py"


def test_the_script_brings_its_dataset_up_to_date_and_logs_it(
    run: Callable[..., subprocess.CompletedProcess[str]],
    script: str,
    sandbox: Sandbox,
    tmp_path: Path,
) -> None:
    first = run(script)
    assert first.returncode == 0, first.stderr
    dataset = mt.open_dataset(tmp_path / "sessions")
    assert dataset.rows > 0
    assert first.stdout == f"{dataset.rows} rows, complete as of {dataset.complete_as_of}\n"
    for text in ("export 1 created: sessions", "finished: Success!", "downloaded", "dataset "):
        assert text in first.stderr
    assert sandbox.secret_key not in first.stdout + first.stderr

    again = run(script)
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout  # within an hour nothing is requested
    assert "created" not in again.stderr


@pytest.mark.slow
def test_a_run_logs_what_the_page_shows(
    run: Callable[..., subprocess.CompletedProcess[str]], script: str, sandbox: Sandbox
) -> None:
    sandbox.faults.add(path="/get.json", status=503)
    log = run(script).stderr
    (sample,) = pieces("The log", "")
    shown = sample.splitlines()
    assert len(shown) > 4
    for line in shown:
        # hashes and numbers differ; "..." stands for the rest of a line
        pattern = re.sub(r"\d[\d,]*", "0", re.sub("[0-9a-f]{32}", "HASH", line))
        pattern = re.escape(pattern).replace("0", r"\d[\d,]*").replace(r"\.\.\.", ".*")
        pattern = pattern.replace("HASH", "[0-9a-f]{32}")
        assert re.search(f"^{pattern}", log, re.MULTILINE), (line, log)


@pytest.mark.slow
def test_cron_runs_the_script_with_the_account_of_a_file(
    script: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    assert (tmp_path / script).exists()
    (account,) = pieces("", "sh")
    account = account.replace("12345", str(sandbox.api_user_id)).replace("...", sandbox.secret_key)
    (tmp_path / "account.env").write_text(account, encoding="utf-8")
    (entry,) = pieces("A script by cron", "")
    command = entry.split(maxsplit=5)[5].replace("/srv/mytracker", str(tmp_path))
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    # cron gives a job little of an environment
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "MYTRACKER_BASE_URL": sandbox.base_url,
    }
    done = subprocess.run(["/bin/sh", "-c", command], cwd="/", env=environment, check=False)
    log = (tmp_path / "daily.log").read_text(encoding="utf-8")
    assert done.returncode == 0, log
    assert f"{mt.open_dataset(tmp_path / 'sessions').rows} rows, complete as of" in log
    assert sandbox.secret_key not in log


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "fault", "code", "message"),
    [
        ({"MYTRACKER_SECRET_KEY": "another key"}, {}, 2, "Access denied"),
        ({"MYTRACKER_SECRET_KEY": ""}, {}, 2, "MYTRACKER_SECRET_KEY"),
        ({}, {"path": "/create.json", "status": 429, "headers": {"Retry-After": "90000"}}, 75, ""),
        ({}, {"path": ".csv.gz", "status": 403, "times": 50}, 1, ""),
    ],
    ids=["key is wrong", "no key", "quota", "file is refused"],
)
def test_the_exit_code_distinguishes_failures(
    run: Callable[..., subprocess.CompletedProcess[str]],
    script: str,
    sandbox: Sandbox,
    changed: dict[str, str],
    fault: dict[str, object],
    code: int,
    message: str,
) -> None:
    if fault:
        sandbox.faults.add(**fault)  # type: ignore[arg-type]
    done = run(script, **changed)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_papermill_runs_a_notebook_with_parameters(
    run: Callable[..., subprocess.CompletedProcess[str]], sandbox: Sandbox, tmp_path: Path
) -> None:
    pytest.importorskip("papermill")
    cells = [
        nbformat.v4.new_code_cell(piece.strip()) for piece in pieces("A notebook by papermill")
    ]
    cells[0].metadata["tags"] = ["parameters"]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec})
    nbformat.write(notebook, tmp_path / "report.ipynb")

    (command,) = pieces("A notebook by papermill", "sh")
    shown = shlex.split(command)
    assert shown[:2] == ["papermill", "report.ipynb"]

    def papermill(day: str, output: str) -> tuple[int, str]:
        changed = {shown[2]: output, shown[-1]: day}
        done = run("-m", *(changed.get(word, word) for word in shown))
        return done.returncode, (tmp_path / output).read_text(encoding="utf-8")

    code, saved = papermill("2026-09-07", "good.ipynb")
    assert code == 0
    assert re.search(r"dateFrom +2026-09-07", saved)
    assert "Success!" in saved
    assert "Organic" in saved
    code, failed = papermill("2026-09-31", "bad.ipynb")
    assert code == 1
    assert "InvalidRequest" in failed
    assert sandbox.secret_key not in saved + failed
