"""Kill a kernel at a moment at which the outcome is defined."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import Any

from mytracker_nb.sandbox.server import Sandbox


def kill_beside_creates(kernel: subprocess.Popen[Any], sandbox: Sandbox) -> None:
    """Kill a kernel at a moment when no create of it is on its way: that would be in doubt."""
    while kernel.poll() is None:
        kernel.send_signal(signal.SIGSTOP)
        time.sleep(0.05)  # what it has sent arrives
        calls = [call for call in list(sandbox.requests) if "/api/" in call.path]
        if calls and calls[-1].method == "GET":
            kernel.kill()
        kernel.send_signal(signal.SIGCONT)
        time.sleep(0.02)
    kernel.communicate()
