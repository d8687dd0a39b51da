"""Suggestions for misspelt words: one rule for names, values, options and magics."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

__all__ = ["closest", "did_you_mean", "either", "join_hints"]

_CUTOFF = 0.8  # less similar names are not suggested: a wrong suggestion is worse than none
_SPREAD = 0.12  # nor are names that are so much less similar than the best
# codes of two and three letters are all similar to each other, such as XX to MX and LX
_SHORTEST = 4
_LONGEST = 100  # characters that are compared; no name is that long
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W_A-Za-z]+")


def closest(text: str, names: Iterable[str], count: int = 3) -> list[str]:
    """The `names` similar to `text`, the most similar first; none if none is similar enough.

    Letter case and the order of words are ignored: ``app_id`` finds ``idApp``.

    Parameters
    ----------
    text : str
        A misspelt word.
    names : iterable of str
        The names to choose from.
    count : int
        How many names to return at most.
    """
    word, words = text.casefold()[:_LONGEST], _words(text[:_LONGEST])
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(word)
    scores: dict[str, float] = {}
    for name in names:
        if len(name) < _SHORTEST:
            continue
        if words and words == _words(name):
            scores[name] = 1.0
            continue
        matcher.set_seq1(name.casefold())
        # the first two are quick upper bounds of the third
        if (
            matcher.real_quick_ratio() >= _CUTOFF
            and matcher.quick_ratio() >= _CUTOFF
            and (score := matcher.ratio()) >= _CUTOFF
        ):
            scores[name] = score
    best = max(scores.values(), default=0)
    ranked = sorted(scores, key=lambda name: -scores[name])
    return [name for name in ranked if scores[name] >= best - _SPREAD][:count]


def _words(text: str) -> list[str]:
    """The words of a name in ``camelCase``, ``snake_case`` or with spaces, sorted."""
    return sorted(word.casefold() for word in _WORD.findall(text))


def did_you_mean(names: Iterable[str]) -> str:
    """``did you mean installs or reinstalls?``; ``""`` without names."""
    text = either(names)
    return f"did you mean {text}?" if text else ""


def join_hints(hints: Iterable[str]) -> str:
    """``a; b``; after a question a new sentence begins. Empty hints are left out.

    For example ``did you mean tsEvent? The list of columns is incomplete; look it up``.
    """
    text = ""
    for hint in filter(None, hints):
        if text.endswith("?"):
            text += f" {hint[0].upper()}{hint[1:]}"
        else:
            text += f"; {hint}" if text else hint
    return text


def either(names: Iterable[str]) -> str:
    """``a, b or c``."""
    *others, last = [*names] or [""]
    return f"{', '.join(others)} or {last}" if others else last
