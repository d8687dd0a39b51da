"""The first commands of a new user: ``make demo``, ``make lab``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MAKEFLAGS": ""}
    return subprocess.run(
        arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.slow
def test_the_demo_shows_an_export_and_its_rows_once() -> None:
    text = run(sys.executable, "tools/demo.py")
    assert re.search(r"idRawExport\D+\d+ +SANDBOX", text)
    assert "Success!" in text
    assert len(re.findall(r"^ +idDevice +tsEvent +idCountryISOAlpha2", text, re.MULTILINE)) == 1
    assert not re.search(r"\b(null|NaN|None|<NA>|NaT)\b", text)
    assert "idCountryISOAlpha2\nRU" in text  # the countries, most installs first


def make_lab(*arguments: str) -> str:
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    (line,) = [line for line in run("make", "-n", "lab", *arguments).splitlines() if "lab " in line]
    return line


def test_lab_takes_a_port() -> None:
    assert "--port=9123" in make_lab("PORT=9123")
    assert "--port" not in make_lab()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="there is no root here")
def test_lab_works_as_root() -> None:
    assert ("--allow-root" in make_lab()) == (os.getuid() == 0)
