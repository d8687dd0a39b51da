"""Registers the magics and their completion with a shell."""

# IPython's decorators have no types.
# mypy: disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

from collections.abc import Callable, Mapping
from textwrap import shorten
from types import MappingProxyType
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics

from mytracker_nb.magics.account_magics import AccountMagics
from mytracker_nb.magics.columns_magics import ColumnsMagics
from mytracker_nb.magics.completion import Syntax, complete
from mytracker_nb.magics.export_magics import MyTrackerMagics
from mytracker_nb.magics.magic_names import MagicCalls, refuse_text_above
from mytracker_nb.magics.options import described_options
from mytracker_nb.magics.recording_magics import RecordingMagics
from mytracker_nb.magics.sandbox_magics import SandboxMagics
from mytracker_nb.service import credentials

__all__ = ["CELL_MAGICS", "MAGICS", "load", "unload"]

_CLASSES: tuple[type[Magics], ...] = (
    MyTrackerMagics,
    ColumnsMagics,
    AccountMagics,
    SandboxMagics,
    RecordingMagics,
)

MAGICS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {name: getattr(family, name) for family in _CLASSES for name in family.magics["line"]}
)
"""The magics by name."""

CELL_MAGICS = frozenset(name for family in _CLASSES for name in family.magics["cell"])
"""The magics with a cell form: they take a request."""

_FIRST_STEPS = """\
MyTracker: log in with %mytracker_login, unless the system's keyring has your account; or start
a local MyTracker with made-up data with %mytracker_sandbox, which needs no account."""

_IN_SANDBOX = """\
MyTracker: a sandbox with made-up data is in use, at {}.
Log in to your own account with %mytracker_login."""

# JupyterLab breaks long lines of its popup at these, and draws the rest over the next line
_UNBROKEN = str.maketrans({" ": "\N{NO-BREAK SPACE}", "-": "\N{NON-BREAKING HYPHEN}"})

_SYNTAX = {
    name: Syntax(
        described_options(magic),
        parameters=name in CELL_MAGICS,
        words="event" if name == "mytracker_columns" else None,
    )
    for name, magic in MAGICS.items()
}


class _Completer:
    """Completes in the magics: its `matcher` is registered with IPython's completer."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    @context_matcher(identifier="mytracker_nb.matcher", priority=200)
    def matcher(self, context: CompletionContext) -> dict[str, Any]:
        """Complete in the magics: a matcher for IPython's completer."""
        lines = context.full_text.split("\n")[: context.cursor_line]
        position = sum(len(line) + 1 for line in lines) + context.cursor_position
        found = complete(context.full_text, position, _SYNTAX, lambda: self._shell.user_ns)
        if found is None:
            return {"completions": []}
        return {
            "completions": [
                SimpleCompletion(text, type=shorten(about, 48).translate(_UNBROKEN))
                for text, about in found.candidates
            ],
            "matched_fragment": found.fragment,
            "suppress": True,
            "ordered": True,
        }


def load(shell: InteractiveShell) -> None:
    """Register the magics and their completion; print the first steps if no account is known."""
    unload(shell)
    shell.register_magics(*(family(shell) for family in _CLASSES))
    shell.Completer.custom_matchers.append(_Completer(shell).matcher)
    shell.ast_transformers.append(MagicCalls(shell))
    shell.input_transformers_cleanup.append(refuse_text_above)
    account = credentials.find_without_keyring()
    if account is None:
        print(_FIRST_STEPS)
    elif account.is_sandbox:
        print(_IN_SANDBOX.format(account.base_url))


def unload(shell: InteractiveShell) -> None:
    """Unregister the magics and their completion."""
    for family in _CLASSES:
        magics = shell.magics_manager.registry.pop(family.__name__, None)
        if magics is None:
            continue
        for kind, names in magics.magics.items():
            for name in names:
                shell.magics_manager.magics[kind].pop(name, None)
        shell.configurables.remove(magics)
    matchers = shell.Completer.custom_matchers
    matchers[:] = [one for one in matchers if not _is_ours(one)]
    transformers = shell.input_transformers_cleanup
    transformers[:] = [one for one in transformers if one is not refuse_text_above]
    shell.ast_transformers[:] = [
        transformer
        for transformer in shell.ast_transformers
        if not isinstance(transformer, MagicCalls)
    ]


def _is_ours(matcher: Callable[..., Any]) -> bool:
    return isinstance(getattr(matcher, "__self__", None), _Completer)
