"""Run a sandbox until it is stopped: ``python -m mytracker_nb.sandbox --port 0``."""

from __future__ import annotations

import argparse
import inspect
import re
import signal
from collections.abc import Sequence
from threading import Event

from mytracker_nb.sandbox import start
from mytracker_nb.sandbox.config import DOCUMENTED_QUOTAS, Config

__all__ = ["main"]

# settings that a command line can't express
_ONLY_IN_PYTHON = {"now", "quotas"}


def _quota(text: str) -> tuple[str, int]:
    name, _, limit = text.partition("=")
    if not (limit.isascii() and limit.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text} is not of the form NAME=LIMIT")
    return name, int(limit)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mytracker_nb.sandbox",
        description="A local MyTracker with made-up events. Prints the environment variables with "
        "which clients use it, and serves until it is stopped.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    # the help of each option is the description of the attribute
    docstring = inspect.cleandoc(Config.__doc__ or "")
    described = re.findall(r"^(\w+) : .*((?:\n {4}.*)+)", docstring, re.MULTILINE)
    helps = {name: " ".join(text.split()).replace("%", "%%") for name, text in described}
    for name, default in vars(Config()).items():
        if name in _ONLY_IN_PYTHON:
            continue
        option = "--" + name.replace("_", "-")
        about = helps.get(name)
        if isinstance(default, bool):
            action = argparse.BooleanOptionalAction
            parser.add_argument(option, action=action, default=default, help=about)
        else:
            parser.add_argument(option, type=type(default), default=default, help=about)
    names = ", ".join(DOCUMENTED_QUOTAS)
    parser.add_argument(
        "--quota",
        action="append",
        type=_quota,
        default=[],
        metavar="NAME=LIMIT",
        help=f"change the limit of a quota, 0 for none; can be repeated; NAME is one of {names}",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM.

    Parameters
    ----------
    arguments : sequence of str, optional
        The arguments; by default those of the command line.
    """
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    try:
        options["quotas"] = dict(options.pop("quota"))
        sandbox = start(**options)
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    ended = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with sandbox:
        print(f"MYTRACKER_BASE_URL={sandbox.base_url}")
        print(f"MYTRACKER_API_USER_ID={sandbox.api_user_id}")
        print(f"MYTRACKER_SECRET_KEY={sandbox.secret_key}", flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
