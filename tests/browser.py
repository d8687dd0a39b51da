"""Real front ends in a real browser: their server, headless Chromium, and a notebook to drive."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
START_SECONDS = 90
COMMAND_SECONDS = 60
LOOK_SECONDS = 120  # until something is seen: a busy machine is no failure

_CHROMIUM_OPTIONS = (
    "--no-sandbox",  # it may run as root in a container
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # what is elsewhere is not reached
)
_SERVER_OPTIONS = (
    "--no-browser",
    "--allow-root",
    "--ServerApp.port=0",
    "--ServerApp.ip=127.0.0.1",
    "--IdentityProvider.token=",
    "--ServerApp.terminals_enabled=False",
    "--ServerApp.jpserver_extensions={'jupyter_lsp': False}",
    "--KernelManager.transport=ipc",
    "--LabApp.expose_app_in_browser=True",
    "--JupyterNotebookApp.expose_app_in_browser=True",
    "--LabApp.extension_manager=readonly",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)
_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    # cells out of sight stay in the page
    "notebook-extension/tracker": {"windowingMode": "none"},
}

_IS_IDLE = """() => {
  const { shell } = globalThis.jupyterapp ?? {};
  return shell?.currentWidget?.sessionContext?.session?.kernel?.status === "idle";
}"""
_EXECUTE = """
async ([name, args, seconds]) => {
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`${name} took more than ${seconds} s`)), 1000 * seconds);
  });
  await Promise.race([jupyterapp.commands.execute(name, args), late]);
}
"""


def _environment(home: Path) -> dict[str, str]:
    """An environment that keeps everything of the user's out, and everything of ours in `home`."""
    ours = ("JUPYTER", "IPYTHON", "XDG_", "MYTRACKER_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return environment | {
        "HOME": str(home),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "run"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }


@contextmanager
def running_jupyterlab(root: Path) -> Iterator[str]:
    """Run JupyterLab on the notebooks in `root`; gives its address.

    The server also shows them in Notebook 7 and in Voila, where these are installed.
    """
    # sockets of kernels need a short path
    with tempfile.TemporaryDirectory(prefix="lab", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        for plugin, settings in _SETTINGS.items():
            path = home / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(settings))
        command = [sys.executable, "-m", "jupyterlab", *_SERVER_OPTIONS]
        with (home / "log").open("w") as log:
            server = subprocess.Popen(
                [*command, f"--ServerApp.root_dir={root}"],
                env=_environment(home),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            yield _address(server, home)
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _address(server: subprocess.Popen[bytes], home: Path) -> str:
    """The address of a server that has just been started, once it listens."""
    file = home / "run" / f"jpserver-{server.pid}.json"
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            return str(json.loads(file.read_text())["url"])
        except (FileNotFoundError, json.JSONDecodeError):
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{(home / 'log').read_text()}")


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """Run the system's Chromium without a window."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=LOOK_SECONDS * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_CHROMIUM_OPTIONS))
        yield browser
        browser.close()


class Notebook:
    """A notebook open in a front end, alone in the window: in JupyterLab.

    Parameters
    ----------
    page : playwright.sync_api.Page
        The window.
    url : str
        The server's address.
    path : str
        The notebook's file in the server's folder.

    Attributes
    ----------
    requested : list of str
        The address of all that the window has asked for.
    """

    # a workspace of its own: nothing that another notebook has opened
    address = "doc/workspaces/{path.stem}/tree/{path}"

    def __init__(self, page: Page, url: str, path: str) -> None:
        self.page = page
        self.requested: list[str] = []
        page.set_default_timeout(LOOK_SECONDS * 1000)
        page.on("request", lambda request: self.requested.append(request.url))
        self.url = url + self.address.format(path=Path(path))
        page.goto(self.url, wait_until="commit")
        self.wait_until_ready()
        self.cells = page.locator(".jp-Notebook .jp-Cell")

    def wait_until_ready(self) -> None:
        """Wait until cells can be run."""
        self.page.wait_for_function(_IS_IDLE, timeout=START_SECONDS * 1000)

    def command(self, name: str, **arguments: Any) -> None:
        """Execute one of the front end's commands and wait for its end."""
        self.page.evaluate(_EXECUTE, [name, arguments, COMMAND_SECONDS])

    def run(self, number: int) -> Locator:
        """Run the cell of that number, from 0, to its end; gives its outputs."""
        self.activate(number)
        self.command("notebook:run-cell")
        return self.outputs(number)

    def activate(self, number: int) -> None:
        """Make the cell of that number the one that is worked on."""
        self.page.evaluate(
            "number => { jupyterapp.shell.currentWidget.content.activeCellIndex = number }", number
        )

    def run_all(self) -> None:
        """Run all cells to their end."""
        self.command("notebook:run-all-cells")

    def outputs(self, number: int) -> Locator:
        """What the cell of that number shows below itself."""
        return self.cells.nth(number).locator(".jp-OutputArea-output")

    def is_done(self, number: int) -> bool:
        """Whether the cell of that number has run to its end."""
        prompt = self.cells.nth(number).locator(".jp-InputPrompt").inner_text()
        return prompt.strip("[]:").isdigit()

    def save(self) -> None:
        """Save the notebook to its file."""
        self.command("docmanager:save")

    def set_theme(self, *, dark: bool) -> None:
        """Switch the front end's theme."""
        theme = "JupyterLab Dark" if dark else "JupyterLab Light"
        self.command("apputils:change-theme", theme=theme)
        self.page.locator(f"body[data-jp-theme-name='{theme}']").wait_for(state="attached")


class Notebook7(Notebook):
    """The same in Notebook 7, which has JupyterLab's commands."""

    address = "notebooks/{path}"


class VoilaPage(Notebook):
    """The same as a page of Voila, which runs all cells while it loads, and has no commands."""

    address = "voila/render/{path}"

    def wait_until_ready(self) -> None:
        """Wait until all cells have run."""
        self.page.wait_for_load_state(timeout=START_SECONDS * 1000)
        self._used: set[int] = set()

    def run(self, number: int) -> Locator:
        """Give the outputs of that cell; the second time, those of a page that is loaded again."""
        if number in self._used:
            self.page.reload(wait_until="commit")
            self.wait_until_ready()
        self._used.add(number)
        return self.outputs(number)

    def set_theme(self, *, dark: bool) -> None:
        """Load the page again if it has another theme."""
        address = f"{self.url}?theme=dark" if dark else self.url
        if self.page.url != address:
            self.page.goto(address, wait_until="commit")
            self.wait_until_ready()


# by the package that has it
FRONT_ENDS = {"jupyterlab": Notebook, "notebook": Notebook7, "voila": VoilaPage}


def write_notebook(path: Path, cells: Sequence[str]) -> None:
    """Write a notebook with these code cells."""
    import nbformat.v4 as v4

    notebook = v4.new_notebook(
        cells=[v4.new_code_cell(source, id=f"cell-{n}") for n, source in enumerate(cells)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}},
    )
    path.write_text(json.dumps(notebook), encoding="utf-8")


def _need(is_there: object, otherwise: str) -> None:
    """Skip the test if it lacks what it needs; where all tests have to run, let it fail."""
    if not is_there:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say(otherwise)


def need_chromium() -> None:
    _need(CHROMIUM, "Chromium is not installed (or set CHROMIUM to its path)")


class Lab:
    """JupyterLab, and the front ends beside it, with a browser before them."""

    def __init__(self, url: str, root: Path, browser: Browser) -> None:
        self.url = url
        self.root = root
        self.browser = browser

    @contextmanager
    def notebook(
        self,
        name: str,
        cells: Sequence[str],
        front_end: type[Notebook] = Notebook,
        *,
        width: int = 1280,
        height: int = 900,
    ) -> Iterator[Notebook]:
        """Open a new notebook with these code cells."""
        write_notebook(self.root / f"{name}.ipynb", cells)
        with self.browser.new_context(viewport={"width": width, "height": height}) as context:
            yield front_end(context.new_page(), self.url, f"{name}.ipynb")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of a notebook in JupyterLab, and in the front ends that it is marked with."""
    if "front_end" in metafunc.fixturenames:
        marks = metafunc.definition.iter_markers("also_in")
        names = ["jupyterlab", *(name for mark in marks for name in mark.args)]
        metafunc.parametrize("front_end", names, indirect=True, scope="module")


@pytest.fixture(scope="module")
def front_end(request: pytest.FixtureRequest) -> type[Notebook]:
    """The front end that the test is run in."""
    _need(find_spec(request.param), f"{request.param} is not installed")
    return FRONT_ENDS[request.param]


@pytest.fixture(scope="session")
def jupyterlab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """One JupyterLab for all tests: its address and the folder with its notebooks."""
    need_chromium()
    root = tmp_path_factory.mktemp("notebooks")
    with running_jupyterlab(root) as url:
        yield url, root


@pytest.fixture(scope="module")
def lab(jupyterlab: tuple[str, Path]) -> Iterator[Lab]:
    """JupyterLab with a browser before it."""
    # not for the session: playwright keeps an event loop running in this thread, in which nothing
    # else could run one
    with running_chromium() as browser:
        yield Lab(*jupyterlab, browser)
