"""Take the README's pictures, in JupyterLab on the sandbox: ``make pictures``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser import Notebook, running_chromium, running_jupyterlab, write_notebook  # noqa: E402

CELLS = {
    "": "%load_ext mytracker_nb\n%mytracker_sandbox",
    "card": "%%mytracker_export --frame installs\n"
    "event     = installs\n"
    "selectors = idDevice, tsEvent, idCountryISOAlpha2, idAppVersionTitle\n"
    "dateFrom  = today-7d\n"
    "dateTo    = yesterday\n"
    "idCountry = RU, Kazakhstan",
    "builder": "%mytracker_builder event=customEvents "
    "selectors=idDevice,tsEvent,eventName,idCountryISOAlpha2 dateFrom=today-7d dateTo=yesterday "
    "idCountry=RU,KZ eventName=level_up",
    "plan": "%%mytracker_export --every 10d --wait\n"
    "event     = sessions\n"
    "selectors = idDevice, tsEvent, duration\n"
    "dateFrom  = today-8w\n"
    "dateTo    = yesterday",
}


def main() -> None:
    """Take them all."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_jupyterlab(Path(folder)) as url,
        running_chromium() as browser,
        browser.new_context(
            viewport={"width": 1000, "height": 2000}, device_scale_factor=1.5
        ) as context,
    ):
        write_notebook(Path(folder) / "pictures.ipynb", list(CELLS.values()))
        notebook = Notebook(context.new_page(), url, "pictures.ipynb")
        for number in range(len(CELLS)):
            notebook.run(number)
        notebook.page.wait_for_load_state("networkidle")
        notebook.activate(0)  # no cell in a picture is the one that is worked on
        for number, name in enumerate(CELLS):
            if name:
                path = ROOT / "docs" / f"{name}.png"
                notebook.cells.nth(number).screenshot(path=path, scale="device")


if __name__ == "__main__":
    main()
