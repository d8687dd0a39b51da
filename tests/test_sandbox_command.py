from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import requests
from raw_client import cancel, created, data, links, send

import mytracker_nb as mt
from mytracker_nb.sandbox import saved_state

RUN = [sys.executable, "-m", "mytracker_nb.sandbox"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_prints_its_address_and_ends_on_a_signal(number):
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
def test_wrong_options_are_reported(arguments, text):
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


def test_it_imports_the_dictionaries_and_nothing_else_of_the_package():
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


def test_stopping_twice_is_fine_and_deletes_the_files(start_sandbox):
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


# -- what is kept over a restart


def test_exports_key_and_address_are_saved_for_the_next_start(start_sandbox, tmp_path):
    keep = str(tmp_path / "kept")
    first = start_sandbox(keep=keep, seconds=60)
    for country in ("188", "24"):
        created(first, idCountry=country, seconds=60)
    cancel(first, 2)
    first.clock.advance(100)
    was = [data(first, 1), data(first, 2)], first.served(1)
    name = links(first, 1)[0]
    first.stop()
    again = start_sandbox(keep=keep, seconds=60)
    assert (again.base_url, again.secret_key) == (first.base_url, first.secret_key)
    assert ([data(again, 1), data(again, 2)], again.served(1)) == was
    assert send(again, "GET", name).ok
    assert created(again) == 3
    assert (tmp_path / "kept").stat().st_mode & 0o077 == 0


def test_a_directory_is_of_one_sandbox_at_a_time(start_sandbox, tmp_path, monkeypatch):
    monkeypatch.setattr(saved_state, "_LONGEST_WAIT", 0.0)
    keep = str(tmp_path / "kept")
    start_sandbox(keep=keep)
    with pytest.raises(OSError, match="another sandbox"):
        start_sandbox(keep=keep)


def test_a_port_in_use_is_an_error(start_sandbox):
    with pytest.raises(OSError, match=r"(?i)in use"):
        start_sandbox(port=start_sandbox()._server.port)


def test_a_directory_that_others_can_read_is_refused(start_sandbox, tmp_path):
    (tmp_path / "kept").mkdir(mode=0o755)
    (tmp_path / "kept").chmod(0o755)
    with pytest.raises(OSError, match="can be read by other users"):
        start_sandbox(keep=str(tmp_path / "kept"))
