"""A plugin for nbval: its kernels show nothing that only a busy machine makes them show.

A card appears if a download takes long, and a note if a response does. Neither is in the saved
notebooks, so both are turned off by a startup file of IPython.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

STARTUP = """
def calm():
    import math
    from mytracker_nb.client import export_display
    from mytracker_nb.service import retry

    export_display._SHOW_AFTER = retry._SLOW = math.inf


calm()
del calm
"""


def pytest_configure(config: pytest.Config) -> None:
    """Give the kernels a home of their own, with the startup file."""
    home = tempfile.TemporaryDirectory(prefix="ipython-")
    config.add_cleanup(home.cleanup)
    startup = Path(home.name, "profile_default", "startup")
    startup.mkdir(parents=True)
    (startup / "calm.py").write_text(STARTUP, "utf-8")
    os.environ["IPYTHONDIR"] = home.name
