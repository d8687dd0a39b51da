"""Parsing of the options of a magic (``--wait``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import argument

from mytracker_nb.errors import Problem
from mytracker_nb.request.suggestions import closest, did_you_mean, either

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["described_options", "parse_options", "read_options", "words_of"]


def parse_options(
    magic: Callable[..., Any], words: Sequence[str]
) -> tuple[Namespace, list[Problem]]:
    """Parse the options of `magic`; return them and the problems of invalid or unknown ones."""
    known = list(described_options(magic))
    try:
        options, unknown = magic.parser.parse_known_args(list(words))  # type: ignore[attr-defined]
    except UsageError as error:
        option, _, message = str(error).removeprefix("argument ").partition(": ")
        options, unknown = magic.parser.parse_known_args([])  # type: ignore[attr-defined]
        hint = described_options(magic).get(option, "")
        return options, [Problem(option, "bad_value", "error", message, hint)]
    problems = []
    for before, word in zip(["", *unknown], unknown, strict=False):
        if before.startswith("-") and not word.startswith("-"):
            continue  # the value of the unknown option before it
        option = word.partition("=")[0]
        hint = did_you_mean(closest(option, known, 1)) or (
            f"expected {either(known)}" * bool(known)
        )
        problems.append(Problem(option, "unknown_parameter", "error", "unknown option", hint))
    return options, problems


def words_of(line: str) -> list[str]:
    """The words of a magic's line, without a comment and without a final ``;``."""
    return re.sub(r"(?<!\S)#.*", "", line).rstrip().removesuffix(";").split()


def read_options(magic: Callable[..., Any], line: str | Sequence[str]) -> Namespace:
    """Parse the options of `magic` in its line or its words; raise `UsageError` on any problem."""
    words = words_of(line) if isinstance(line, str) else line
    options, problems = parse_options(magic, words)
    if problems:
        raise UsageError("; ".join(map(str, problems)))
    return options


def described_options(magic: Callable[..., Any]) -> dict[str, str]:
    """The options of `magic` with their help."""
    return {
        word: decorator.kwds.get("help", "")
        for decorator in reversed(magic.decorators)  # type: ignore[attr-defined]
        if isinstance(decorator, argument)
        for word in decorator.args
        if word.startswith("-")
    }
