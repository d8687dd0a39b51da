"""`check_notebook`: what it finds in a saved notebook, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

import mytracker_nb as mt
from mytracker_nb.client.recording_in_use import use_recorder
from mytracker_nb.recordings.notebook_check import check_notebook, main
from mytracker_nb.service import credentials
from mytracker_nb.service.credentials import Credentials

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path, no_account: object) -> Save:
    """Save a notebook of one cell."""

    def save(source: str = "df", text: str = "", **data: str) -> Path:
        kinds = {"html": "text/html", "chart": "application/vnd.plotly.v1+json"}
        outputs = []
        if text:
            outputs.append(nbformat.v4.new_output("stream", text=text))
        if data:
            bundle = {kinds[name]: content for name, content in data.items()}
            outputs.append(nbformat.v4.new_output("display_data", data=bundle))
        cell = nbformat.v4.new_code_cell(source, outputs=outputs)
        path = tmp_path / "notebook.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
        return path

    return save


@pytest.mark.parametrize(
    ("saved", "what"),
    [
        ({"text": "018a4da6-5e20-4c77-818a-4da380ccca1a"}, "UUID"),
        ({"text": "3f9a0b1c2d4e5f67"}, "16-digit"),
        ({"text": "14744507315440920557 x"}, "18 to 20 digits"),
        ({"html": "<td>14744507315440920557</td>"}, "18 to 20 digits"),
        ({"chart": '{"x": ["14744507315440920557"]}'}, "18 to 20 digits"),
        ({"source": "mt.Client(77658, 'aV9kLq0sJm2')"}, "secret key in the source"),
        ({"source": "os.environ['MYTRACKER_SECRET_KEY'] = 'aV9kLq0sJm2'"}, "secret key"),
        ({"text": "AuthHMAC 77658:PqrQR8zsgQU9Qcocjp6T6hnjF8Y="}, "signature in the output"),
        ({"source": "%mytracker_sandbox", "text": "822 rows"}, "none says SANDBOX"),
        ({"text": "at http://127.0.0.1:41473"}, "none says SANDBOX"),
    ],
)
def test_it_finds(save: Save, saved: dict[str, Any], what: str) -> None:
    (finding,) = check_notebook(save(**saved))
    assert what in str(finding)


@pytest.mark.parametrize(
    "saved",
    [
        {"text": "822 rows, 1762117670 and 1762117670000000, 0.14744507315440920557"},
        {"text": "00000000-0000-0000-0000-000000000000 anon-hvjllhsimzhnyivgqi"},
        {"html": '<div id="018a4da6-5e20-4c77-818a-4da380ccca1a"></div>'},
        {"html": "<style>.a018a4da65e204c77 {}</style><b data-x='3f9a0b1c2d4e5f67'>1</b>"},
        {"text": "1.installs.5e5df76ba8da66511a65abd5b56ac2d1.0.csv.gz"},
        {"source": "%mytracker_sandbox", "text": "MyTracker export  SANDBOX"},
        {"source": "mt.Client(77658, key)"},
        {"source": "print('14744507315440920557')"},
    ],
)
def test_it_ignores(save: Save, saved: dict[str, Any]) -> None:
    assert check_notebook(save(**saved)) == ()


def test_the_key_in_use_is_found_anywhere_and_never_shown(save: Save) -> None:
    credentials.use(Credentials(5, "openSesame77"))
    for saved in ({"source": "# openSesame77"}, {"text": "openSesame77"}):
        (finding,) = check_notebook(save(**saved))
        assert "the secret key in use" in str(finding)
        assert "openSesame77" not in str(finding)
    credentials.use(None)


def test_ids_that_have_pseudonyms_are_found_in_any_form(
    save: Save,
    start_sandbox: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MYTRACKER_NB_DATA_DIR", str(tmp_path / "home"))
    sandbox = start_sandbox()
    client = mt.Client(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)
    credentials.use(client.credentials)
    request = mt.ExportRequest(
        event="installs",
        selectors="customUserId",
        dateFrom="2025-11-03",
        dateTo="2025-11-05",
    )
    plain = client.export(request).to_pandas()["customUserId"].dropna()
    user = next(one for one in plain if one.startswith("u"))
    recording = mt.recording(tmp_path / "data")
    client.export(request).wait()
    use_recorder(None)
    for line in ("%mytracker_recording data --sample 5%", "mt.recording('data')"):
        (finding,) = check_notebook(save(line, f"SANDBOX {user} and unheard"))
        assert f"1 ids in the output, for which the recording has pseudonyms: {user}" in str(
            finding
        )
    # of a recording of a sandbox, outputs have to say so
    (finding,) = check_notebook(save("%mytracker_recording data", "822 rows"))
    assert "none says SANDBOX" in str(finding)
    recording.stop()


def test_the_command_has_an_exit_code(
    save: Save, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    clean = save(text="822 rows")
    assert main([str(clean)]) == 0
    assert capsys.readouterr().out == ""
    assert main([str(save(text="14744507315440920557"))]) == 1
    assert "notebook.ipynb: cell 1:" in capsys.readouterr().out
    broken = tmp_path / "broken.ipynb"
    broken.write_text("{}")
    assert main([str(broken)]) == 2
    command = [sys.executable, "-m", "mytracker_nb.check", str(clean), str(broken)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "not a readable notebook" in done.stderr
