"""What all tests share."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import keyring
import pytest
from fake_clock import FakeClock, JumpingClock
from keyring.backend import KeyringBackend

import mytracker_nb as mt
from mytracker_nb import clock
from mytracker_nb.service import credentials

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from jupyter_client.blocking.client import BlockingKernelClient

    from mytracker_nb.sandbox.server import Sandbox

# columns that no dictionary has are asked for by some tests
DEFAULTS = {"seconds": 0, "without_quotas": True, "unknown_selectors": True}

# a busy machine is no failure; make test-fast tries fewer examples
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=20)
hypothesis.settings.load_profile("untimed")

pytest_plugins = ["browser"]


def pytest_configure() -> None:
    """Let an interrupt act also in the background of a shell, which has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one worker run all tests that drive a browser: they share a JupyterLab."""
    for item in items:
        for marker in ("browser", "binder"):
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.xdist_group(marker))


@pytest.fixture
def fake_clock() -> Iterator[FakeClock]:
    """No wait takes time; the clock counts what was slept and goes on by it."""
    with clock.use(FakeClock()) as fake:
        yield fake


@pytest.fixture
def jumping_clock() -> Iterator[JumpingClock]:
    """The real clock, which jumps past a timeout once something has happened."""
    with clock.use(JumpingClock()) as jumping:
        yield jumping


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox for all, at once and without quotas: to be left as it was found."""
    with mt.sandbox.start(seconds=0, without_quotas=True, unknown_selectors=True) as running:
        yield running


@pytest.fixture
def start_sandbox() -> Iterator[Callable[..., Sandbox]]:
    """Start sandboxes of one's own, with any settings; they end with the test."""
    started: list[Sandbox] = []

    def start(**config: Any) -> Sandbox:
        started.append(mt.sandbox.start(**{**DEFAULTS, **config}))
        return started[-1]

    yield start
    for running in started:
        running.stop()


class MemoryKeyring(KeyringBackend):
    """A keyring of the test's own."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.saved: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.saved.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.saved[service, username] = password


@pytest.fixture
def no_account(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryKeyring]:
    """No credentials in any place; the keyring is empty."""
    for name in ("MYTRACKER_API_USER_ID", "MYTRACKER_SECRET_KEY", "MYTRACKER_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(credentials, "_in_use", None)
    before, mine = keyring.get_keyring(), MemoryKeyring()
    keyring.set_keyring(mine)
    yield mine
    keyring.set_keyring(before)


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_account: MemoryKeyring
) -> Iterator[InteractiveShell]:
    """An IPython shell, the one that `get_ipython` gives, with the magics; no account is known."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    # a shell makes its namespace the main module
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    config = Config({"HistoryManager": {"enabled": False}})
    shell = InteractiveShell.instance(ipython_dir=str(tmp_path / "ipython"), config=config)
    shell.extension_manager.load_extension("mytracker_nb")
    yield shell
    shell.extension_manager.unload_extension("mytracker_nb")
    InteractiveShell.clear_instance()


@pytest.fixture(scope="module")
def kernel() -> Iterator[BlockingKernelClient]:
    """A notebook's kernel with the extension loaded."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3")
    client.execute("%load_ext mytracker_nb", reply=True, timeout=60)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)
