from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import requests

import mytracker_nb as mt

RUN = [sys.executable, "-m", "mytracker_nb.sandbox"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_says_where_it_is_and_ends_when_told(number):
    command = [*RUN, "--port", "0", "--seconds", "0", "--quota", "RequestsByUserPerSecond=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        lines = [process.stdout.readline().decode().strip() for _ in range(3)]
        values = dict(line.split("=", 1) for line in lines)
        assert list(values) == [
            "MYTRACKER_BASE_URL",
            "MYTRACKER_API_USER_ID",
            "MYTRACKER_SECRET_KEY",
        ]
        assert requests.get(values["MYTRACKER_BASE_URL"], timeout=20).status_code == 404
        assert int(values["MYTRACKER_API_USER_ID"]) == 77658
        process.send_signal(number)
        rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest, errors) == (0, b"", b"")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--quota", "Nonsense=5"], "unknown quotas Nonsense"),
        (["--quota", "Nonsense"], "NAME=LIMIT"),
        (["--colour", "red"], "unrecognized arguments"),
    ],
)
def test_wrong_options_are_told(arguments, text):
    result = subprocess.run([*RUN, *arguments], capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert text in result.stderr
    assert "Traceback" not in result.stderr


def test_every_setting_is_an_option_with_its_meaning():
    result = subprocess.run(
        [*RUN, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert "--link-seconds LINK_SECONDS\n" in result.stdout
    assert (
        "Seconds from an export's end until its links expire. (default: 86400.0)" in result.stdout
    )
    assert "--no-permission" in result.stdout


def test_importing_the_sandbox_is_cheap():
    check = "import sys, mytracker_nb.sandbox; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert not {"flask", "werkzeug", "numpy", "pyarrow", "pandas"} & set(result.stdout.split())


@pytest.mark.parametrize("missing", ["flask", "werkzeug"])
def test_without_flask_the_error_says_what_to_install(missing):
    check = (
        f"import runpy, sys; sys.modules[{missing!r}] = None\n"
        "runpy.run_module('mytracker_nb.sandbox', run_name='__main__')"
    )
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert result.returncode == 2
    assert "pip install 'mytracker-nb[sandbox]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_it_knows_the_dictionaries_and_nothing_else_of_the_package():
    check = (
        "import sys, mytracker_nb.sandbox as s; s.start(seconds=0).stop()\n"
        "print(*(name for name in sys.modules if name.startswith('mytracker_nb.')))"
    )
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    others = {name for name in result.stdout.split() if not name.startswith("mytracker_nb.sandbox")}
    assert others == {
        "mytracker_nb.endpoints",
        "mytracker_nb.request",
        "mytracker_nb.request.dictionaries",
        "mytracker_nb.request.suggestions",
        "mytracker_nb.storage",
        "mytracker_nb.storage.sandbox_dirs",
    }


def test_stopping_twice_is_fine_and_takes_the_files_along(start_sandbox):
    with start_sandbox() as sandbox:
        assert requests.get(sandbox.base_url, timeout=20).status_code == 404
        assert "running" in repr(sandbox)
        directory = sandbox.directory
        assert directory.exists()
    sandbox.stop()
    assert "stopped" in repr(sandbox)
    assert not directory.exists()
    with pytest.raises(requests.ConnectionError):
        requests.get(sandbox.base_url, timeout=20)


def test_no_such_setting():
    with pytest.raises(TypeError, match="colour"):
        mt.sandbox.start(colour="red")
