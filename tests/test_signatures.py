"""What `inspect`, help pages and type checkers see of the parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import mytracker_nb as mt
from mytracker_nb.request.parameters import PARAMETERS
from mytracker_nb.request.python_signature import ExportParameters, annotation, with_parameters

TAKERS = [mt.export, mt.plan, mt.ExportRequest, mt.RequestBuilder]


@pytest.mark.parametrize("taker", TAKERS, ids=lambda taker: taker.__name__)
def test_all_parameters_are_in_the_signature(taker: Callable[..., Any]) -> None:
    shown = inspect.signature(taker).parameters
    assert [name for name in shown if name in PARAMETERS] == list(PARAMETERS)
    assert not any(one.kind is one.VAR_KEYWORD for one in shown.values())
    assert [one.name for one in shown.values() if one.default is one.empty] == [
        "event",
        "selectors",
    ]
    assert shown["event"].annotation == "str"
    assert shown["idCountry"].annotation == "int | str | Iterable[int | str] | None"


@pytest.mark.parametrize(("taker", "own"), [(mt.export, ["fresh"]), (mt.plan, ["every", "fresh"])])
def test_options_of_a_function_come_after_them(taker: Callable[..., Any], own: list[str]) -> None:
    names = list(inspect.signature(taker).parameters)
    assert names[: len(PARAMETERS)] == list(PARAMETERS)
    assert set(own) <= set(names[len(PARAMETERS) :])


def test_type_checkers_see_what_the_table_says() -> None:
    static = {
        name: getattr(hint, "__forward_arg__", hint)
        for name, hint in ExportParameters.__annotations__.items()
    }
    assert static == {
        name: f"{annotation(parameter)} | None" for name, parameter in PARAMETERS.items()
    }


def test_a_call_without_required_parameters_lists_problems_and_raises_no_type_error() -> None:
    assert [problem.code for problem in mt.ExportRequest().problems] == [
        "required",
        "required",
        "interval_missing",
    ]


def test_the_decorated_function_is_the_same_one() -> None:
    def function(*, last: int = 2, **parameters: Any) -> None:
        """Do nothing."""

    assert with_parameters(function) is function
