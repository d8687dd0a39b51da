"""``%mytracker_login``, ``_quotas`` and ``_exports``: the account and its exports."""

# IPython's decorators have no types.
# mypy: disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

import getpass
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from IPython.core.error import StdinNotImplementedError, UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from mytracker_nb.client.client import client_for, default_client
from mytracker_nb.client.export_list import Exports, exports
from mytracker_nb.endpoints import SERVICE_URL
from mytracker_nb.errors import CredentialsMissing
from mytracker_nb.magics.options import parse_options, read_options, words_of
from mytracker_nb.service import credentials
from mytracker_nb.service.signing import SecretKey

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AccountMagics"]

# does not repeat the input, which can be the key
_LOGIN_USAGE = """\
nothing was changed. %mytracker_login takes an API User ID, --save and --base-url URL; it asks for
the secret key, so that the notebook does not have it. If you typed the key in the cell, delete
it"""


@magics_class
class AccountMagics(Magics):
    """The magics for the account in use."""

    @line_magic
    @magic_arguments()
    @argument("--event", metavar="EVENT", help="Only exports of this event.")
    @argument("--last", metavar="N", type=int, help="Only the N newest exports.")
    @argument("--account", metavar="ID", type=int, help="Only exports of this API User ID.")
    @argument(
        "--offline",
        action="store_true",
        help="Show statuses as last known; do not poll the exports that are still running.",
    )
    def mytracker_exports(self, line: str = "") -> Exports:
        """Show the exports that were created on this machine, newest first.

        In Python it is mt.exports(): [4] attaches to export 4, .frame is a DataFrame.
        """
        options = read_options(self.mytracker_exports, line)
        try:
            return exports(
                options.event,
                last=options.last,
                account=options.account,
                offline=options.offline,
            )
        except ValueError as error:
            raise UsageError(str(error)) from None

    @line_magic
    @magic_arguments()
    def mytracker_quotas(self, line: str = "") -> pd.DataFrame:
        """Show how much of the service's quotas the account has used.

        It is a DataFrame, with a bar for each quota.
        """
        read_options(self.mytracker_quotas, line)
        return default_client().quotas()

    @line_magic
    @magic_arguments()
    @argument("api_user_id", nargs="?", help="The API User ID; asked for if omitted.")
    @argument(
        "--save", action="store_true", help="Save both in this machine's keyring, if it encrypts."
    )
    @argument("--base-url", metavar="URL", help="The address of the service, if not the usual one.")
    def mytracker_login(self, line: str = "") -> None:
        """Log in to MyTracker with an API User ID and its secret key.

        Both are in your MyTracker profile, under API Credentials. The key is not shown while you
        type it. After a call that checks them they are kept in memory until the kernel ends; with
        --save in the keyring too, if it encrypts.
        """
        options, problems = parse_options(self.mytracker_login, words_of(line))
        if problems:
            raise UsageError(_LOGIN_USAGE)
        user = SecretKey(options.api_user_id or _ask(input, "API User ID: "))
        key = SecretKey(_ask(getpass.getpass, "Secret key (not shown): "))
        url = options.base_url or _out_of_the_sandbox(user)
        found = credentials.find(user, key, url)  # type: ignore[arg-type]
        client_for(found).quotas()
        credentials.use(found)
        print(f"Logged in as API User ID {found.api_user_id} at {found.base_url}.")
        if options.save:
            name = credentials.save(found)
            print(f"Saved in the keyring of this machine ({name}), for later sessions too.")


def _out_of_the_sandbox(user: str) -> str | None:
    """The service's address, if a sandbox is in use and `user` is not its account."""
    with suppress(CredentialsMissing):
        account = credentials.find()
        if account.is_sandbox and user != str(account.api_user_id):
            return SERVICE_URL
    return None


def _ask(ask: Callable[[str], str], prompt: str) -> str:
    try:
        answer = ask(prompt).strip()
    except (StdinNotImplementedError, EOFError):
        raise CredentialsMissing(
            "no input is possible here; set MYTRACKER_API_USER_ID and MYTRACKER_SECRET_KEY "
            "before you start Jupyter"
        ) from None
    if not answer:
        raise CredentialsMissing("no input; nothing was changed")
    return answer
