"""``%mytracker_sandbox``: a local MyTracker instead of an account."""

# IPython's decorators have no types.
# mypy: disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from mytracker_nb.errors import CredentialsMissing, MyTrackerError
from mytracker_nb.magics.options import read_options
from mytracker_nb.service import credentials
from mytracker_nb.service.credentials import Credentials
from mytracker_nb.storage.directories import saved_sandbox_directory

if TYPE_CHECKING:
    from mytracker_nb.sandbox.server import Sandbox

__all__ = ["SandboxMagics"]

_sandbox: Sandbox | None = None
_before_sandbox: Credentials | None = None


@magics_class
class SandboxMagics(Magics):
    """The magic for the sandbox."""

    @line_magic
    @magic_arguments()
    @argument(
        "--keep",
        action="store_true",
        help="Keep its exports when the kernel restarts, until --stop.",
    )
    @argument("--stop", action="store_true", help="Stop the sandbox and delete its exports.")
    def mytracker_sandbox(self, line: str = "") -> None:
        """Start a local MyTracker with made-up data, and use it instead of an account.

        Its exports are marked as SANDBOX and deleted when it stops. With --keep they survive a
        restart of the kernel: run %mytracker_sandbox --keep again.
        """
        options = read_options(self.mytracker_sandbox, line)
        if options.stop:
            _stop_sandbox()
        else:
            _start_sandbox(keep=options.keep)


def _start_sandbox(*, keep: bool) -> None:
    global _sandbox, _before_sandbox
    was_running = _sandbox is not None
    if _sandbox is None:
        _sandbox = _new_sandbox(keep=keep)
    elif keep and _sandbox.saved is None:
        raise MyTrackerError(
            "the sandbox is running without --keep. Stop it first: %mytracker_sandbox --stop"
        )
    before = credentials.use(_account(_sandbox))
    if before != _account(_sandbox):
        _before_sandbox = before
    print(
        f"The sandbox {'is running' if was_running else 'has started'} at {_sandbox.base_url}: "
        "a local MyTracker with made-up data.\n"
        "It is used instead of an account until %mytracker_sandbox --stop or %mytracker_login."
    )
    if _sandbox.saved is not None:
        count = len(_sandbox.exports)
        print(
            f"It has {count} {'export' if count == 1 else 'exports'} and keeps them when the "
            "kernel restarts: run %mytracker_sandbox --keep again then."
        )
    elif not was_running and _saved_directory() is not None:
        print(
            "An earlier sandbox is saved; to continue it, run %mytracker_sandbox --stop, then "
            "--keep."
        )


def _new_sandbox(*, keep: bool) -> Sandbox:
    from mytracker_nb import sandbox

    try:
        return sandbox.start(keep=str(saved_sandbox_directory()) if keep else "")
    except ImportError as error:
        raise MyTrackerError(str(error)) from None
    except OSError as error:
        raise MyTrackerError(
            f"the sandbox can't start: {error}"
            + (". %mytracker_sandbox starts another one" if keep else "")
        ) from None


def _saved_directory() -> Path | None:
    """The directory of a sandbox saved with ``--keep``; None if there is none."""
    with suppress(OSError):
        path = saved_sandbox_directory()
        return path if path.is_dir() else None
    return None


def _account(sandbox: Sandbox) -> Credentials:
    return Credentials(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)


def _stop_sandbox() -> None:
    global _sandbox, _before_sandbox
    if _sandbox is None:
        print(_delete_saved() or "No sandbox is running.")
        return
    with suppress(CredentialsMissing):
        if credentials.find() == _account(_sandbox):
            credentials.use(_before_sandbox)
    was_saved = _sandbox.saved is not None
    _sandbox.stop()
    _sandbox = _before_sandbox = None
    if was_saved:
        _delete_saved()
    print("The sandbox has stopped; its exports are deleted.")


def _delete_saved() -> str:
    """Delete the saved sandbox; return a message, ``""`` if there is none."""
    from mytracker_nb.sandbox.saved_state import SavedState

    path = _saved_directory()
    if path is None:
        return ""
    try:
        SavedState(path).delete()
    except OSError as error:
        raise MyTrackerError(f"the saved sandbox can't be deleted: {error}") from None
    return "The saved sandbox and its exports are deleted."
