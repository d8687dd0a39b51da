"""The custom events of the sandbox's apps: their names and parameters, in ClickHouse's array text.

They include every kind of text that readers of CSV are known to misread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["CUSTOM_EVENTS", "TUTORIAL", "CustomEvent", "array_text"]

_ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\t": "\\t", "\n": "\\n"})
_KEEP_BREAKS = str.maketrans({"\\": "\\\\", "'": "\\'"})

_ITEMS = (
    ("Меч, двуручный", 149),
    ("Shield of 'Ash'", 99),
    ("[Ключ]", 15),
    ("007", 7),
    ('зелье "малое"', 29),
    ("C:\\loot\\new", 1990),
    ("null", 0),
    ("", 49),
)
_WORDS = (
    "привет!",
    'it\'s "me", really',
    "first line\nsecond line",
    "a\\b\\nc",
    "[1,'2',[3]]",
    "=1+1",
    "NA",
    "4.10",
    "007",
    "null",
    "",
    "tab\there",
    "\r\nwindows\r\n",
    "меч 🗡 и щит",
    "18446744073709551616",
    ",';\"",
)


def array_text(values: list[str], escape_breaks: bool = True) -> str:
    r"""Format `values` as ClickHouse formats an array: ``['level','item\'s "name"']``.

    Parameters
    ----------
    values : list of str
        The elements.
    escape_breaks : bool
        Whether a line break is written as ``\n``; exports have both forms.
    """
    table = _ESCAPES if escape_breaks else _KEEP_BREAKS
    return "[" + ",".join(f"'{value.translate(table)}'" for value in values) + "]"


@dataclass(frozen=True)
class CustomEvent:
    """A custom event.

    Attributes
    ----------
    name : str
        Its name.
    weight : float
        Its frequency relative to the others.
    value : callable
        Takes a number and an item (0 to 15), returns its value.
    params : callable
        Takes the same, returns its parameters by name.
    """

    name: str
    weight: float
    value: Callable[[int, int], int]
    params: Callable[[int, int], dict[str, str]]

    def columns(self, number: int, item: int) -> dict[str, str]:
        """The cells of its columns."""
        params = self.params(number, item)
        return {
            "eventName": self.name,
            "eventValue": str(self.value(number, item)),
            "params.name": array_text(list(params)),
            "params.value": array_text(list(params.values()), escape_breaks=item % 2 == 0),
        }


def _nothing(_number: int, _item: int) -> int:
    return 0


# events of any session; only the first has a number, the level
CUSTOM_EVENTS = (
    CustomEvent(
        "level_up",
        40,
        lambda level, item: level,
        lambda level, item: {"level": str(level), "item": _ITEMS[item % 8][0]},
    ),
    CustomEvent(
        "Открыл магазин",
        20,
        _nothing,
        lambda _, item: {"раздел": ("оружие", "зелья", "скидки до 50%")[item % 3]},
    ),
    CustomEvent(
        "purchase_click",
        16,
        lambda _, item: _ITEMS[item % 8][1],
        lambda _, item: {
            "item": _ITEMS[item % 8][0],
            "price": f"{_ITEMS[item % 8][1]}.{'00' if item < 8 else '90'}",
            "currency": "RUB",
        },
    ),
    CustomEvent(
        "chat_message",
        10,
        _nothing,
        lambda _, item: {"text": _WORDS[item], "to": _WORDS[-1 - item]},
    ),
    CustomEvent('search, "filters"', 8, _nothing, lambda _, item: {"it's a query": _WORDS[item]}),
    CustomEvent("invite", 3, _nothing, lambda _, item: {}),
    CustomEvent("=1+1", 1, _nothing, lambda _, item: {"": _WORDS[item]}),
    CustomEvent("007", 1, _nothing, lambda _, item: {"a,b": "[]"}),
    CustomEvent("null", 1, _nothing, lambda _, item: {"null": "null", "NA": "NA"}),
)

_START, _STEP, _COMPLETE = (
    CustomEvent("tutorial_start", 0, _nothing, lambda _, item: {"variant": "AB"[item % 2]}),
    CustomEvent(
        "tutorial_step",
        0,
        lambda step, item: step,
        lambda step, item: {"step": str(step), "seconds": str(4 + item)},
    ),
    CustomEvent("tutorial_complete", 0, _nothing, lambda _, item: {"skipped": str(item // 12)}),
)
# the steps of the tutorial: the event, its number, and the share of devices that reach it
TUTORIAL = (
    (_START, 0, 0.94),
    (_STEP, 1, 0.90),
    (_STEP, 2, 0.81),
    (_STEP, 3, 0.76),
    (_STEP, 4, 0.58),
    (_STEP, 5, 0.53),
    (_COMPLETE, 0, 0.51),
)
