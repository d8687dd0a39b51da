"""Run notebooks and save them with what they show.

Without arguments all of ``notebooks/``. With ``--record`` the exports of a notebook that replays
them are recorded first, with a sandbox as its account. What depends on the machine or the hour of
the run is left out, so that a second run changes nothing but the cards.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

import mytracker_nb as mt

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def run(path: Path) -> None:
    """Run one notebook in a fresh kernel and save it; a cell that fails stops it."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=300,
        resources={"metadata": {"path": str(path.parent)}},
        # it warns that it is not encrypted, on a connection that does not leave the machine
        extra_arguments=["--log-level=ERROR"],
        record_timing=False,
        store_widget_state=False,
    )
    # cards and forms come to rest by themselves, which a notebook that stays open lets them
    notebook.cells.append(nbformat.v4.new_code_cell("import time\ntime.sleep(4)"))
    client.execute()
    del notebook.cells[-1]
    clean(notebook)
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def record(path: Path) -> None:
    """Record the exports of a notebook that replays them; what it shows then is thrown away."""
    notebook = nbformat.read(path, as_version=4)
    # a cell that fails shows what is not recorded
    notebook.cells = [
        cell for cell in notebook.cells if "raises-exception" not in cell.metadata.get("tags", ())
    ]
    for cell in notebook.cells:
        cell.source = re.sub(r"(%mytracker_recording .*?) --replay", r"\1", cell.source)
    with mt.sandbox.start() as sandbox:
        os.environ["MYTRACKER_API_USER_ID"] = str(sandbox.api_user_id)
        os.environ["MYTRACKER_SECRET_KEY"] = sandbox.secret_key
        os.environ["MYTRACKER_BASE_URL"] = sandbox.base_url
        try:
            NotebookClient(
                notebook,
                timeout=300,
                resources={"metadata": {"path": str(path.parent)}},
                extra_arguments=["--log-level=ERROR"],
            ).execute()
        finally:
            without_account()


def without_account() -> None:
    """Leave out the account of whoever runs this."""
    for name in ("MYTRACKER_API_USER_ID", "MYTRACKER_SECRET_KEY", "MYTRACKER_BASE_URL"):
        os.environ.pop(name, None)


def clean(notebook: NotebookNode) -> None:
    """Leave what a reader needs."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if cell.cell_type == "code":
            # without a kernel a widget is shown as "model not found"; its static picture follows it
            cell.outputs = [
                output for output in cell.outputs if WIDGET_VIEW not in output.get("data", {})
            ]


def main() -> int:
    """Run the notebooks that are named, or all."""
    without_account()
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
    names = [word for word in sys.argv[1:] if word != "--record"]
    for path in map(Path, names) if names else sorted(FOLDER.glob("*.ipynb")):
        print(path.name, flush=True)
        if "--record" in sys.argv and "%mytracker_recording" in path.read_text("utf-8"):
            record(path)
        run(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
