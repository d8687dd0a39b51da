"""What a misspelt word was probably meant to be: one rule for names, values, options and magics."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

__all__ = ["closest", "did_you_mean", "either"]

_CUTOFF = 0.8  # a name less similar than this is a guess, and a wrong guess is worse than none
_SPREAD = 0.12  # names that much less similar than the best are not worth mentioning
# codes of two and three letters are similar to each other whatever was meant: XX to MX and LX
_SHORTEST = 4
_LONGEST = 100  # characters past which a text is like no name
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W_A-Za-z]+")


def closest(text: str, names: Iterable[str], count: int = 3) -> list[str]:
    """The `names` that `text` was probably meant to be, best first; none where none is similar.

    Upper and lower case are the same, and so is another order of words: ``app_id`` finds
    ``idApp``.
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
        # the first two are quick bounds of the third
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
    """The words of a name, whether ``camelCase``, ``snake_case`` or apart, in one order."""
    return sorted(word.casefold() for word in _WORD.findall(text))


def did_you_mean(names: Iterable[str]) -> str:
    """``did you mean installs or reinstalls?``; ``""`` without names."""
    text = either(names)
    return f"did you mean {text}?" if text else ""


def either(names: Iterable[str]) -> str:
    """``a, b or c``."""
    *others, last = [*names] or [""]
    return f"{', '.join(others)} or {last}" if others else last
