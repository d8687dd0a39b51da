"""``%mytracker_sandbox``: a local MyTracker instead of an account."""

# IPython's decorators have no types.
# mypy: disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from mytracker_nb.errors import CredentialsMissing, MyTrackerError
from mytracker_nb.magics.options import read_options
from mytracker_nb.service import credentials
from mytracker_nb.service.credentials import Credentials

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
    @argument("--stop", action="store_true", help="Stop the sandbox.")
    def mytracker_sandbox(self, line: str = "") -> None:
        """Start a local MyTracker with made-up data, and use it instead of an account.

        Its exports are marked as the sandbox's, and are deleted when it stops.
        """
        options = read_options(self.mytracker_sandbox, line)
        if options.stop:
            _stop_sandbox()
        else:
            _start_sandbox()


def _start_sandbox() -> None:
    global _sandbox, _before_sandbox
    was_running = _sandbox is not None
    if _sandbox is None:
        from mytracker_nb import sandbox

        try:
            _sandbox = sandbox.start()
        except ImportError as error:
            raise MyTrackerError(str(error)) from None
    before = credentials.use(_account(_sandbox))
    if before != _account(_sandbox):
        _before_sandbox = before
    print(
        f"The sandbox {'is running' if was_running else 'has started'} at {_sandbox.base_url}: "
        "a local MyTracker with made-up data.\n"
        "It is used instead of an account until %mytracker_sandbox --stop or %mytracker_login."
    )


def _account(sandbox: Sandbox) -> Credentials:
    return Credentials(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)


def _stop_sandbox() -> None:
    global _sandbox, _before_sandbox
    if _sandbox is None:
        print("No sandbox is running.")
        return
    with suppress(CredentialsMissing):
        if credentials.find() == _account(_sandbox):
            credentials.use(_before_sandbox)
    _sandbox.stop()
    _sandbox = _before_sandbox = None
    print("The sandbox has stopped; its exports are deleted.")
