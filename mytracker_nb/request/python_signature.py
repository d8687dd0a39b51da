"""The parameters of a request in the signatures of functions that take them.

`ExportParameters` is for type checkers, which can't read the table `PARAMETERS`; a test compares
them. `with_parameters` is for tools that inspect objects at run time: help, Tab, `inspect`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from datetime import date, datetime, tzinfo
from typing import Any, TypedDict, TypeVar

from mytracker_nb.request.parameters import PARAMETERS, Parameter, ValueType

__all__ = ["ExportParameters", "annotation", "with_parameters"]

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


class ExportParameters(TypedDict, total=False):
    """The parameters of a request; None is the same as not given."""

    event: str | None
    selectors: str | Iterable[str] | None
    dateFrom: str | date | None
    dateTo: str | date | None
    tsFrom: int | float | str | datetime | None
    tsTo: int | float | str | datetime | None
    availabilityTsFrom: int | float | str | datetime | None
    availabilityTsTo: int | float | str | datetime | None
    timezone: str | tzinfo | None
    idApp: int | str | Iterable[int | str] | None
    idAccount: int | str | Iterable[int | str] | None
    idAd: int | str | Iterable[int | str] | None
    idCampaign: int | str | Iterable[int | str] | None
    idCountry: int | str | Iterable[int | str] | None
    idProject: int | str | Iterable[int | str] | None
    idPartner: int | str | Iterable[int | str] | None
    SDKKey: str | Iterable[str] | None
    isVerified: int | str | None
    idPurchaseType: int | str | None
    eventName: str | Iterable[str] | None
    eventNameInvert: int | str | None
    rooted: int | str | None
    idAdMediator: int | str | None
    idSegment: int | str | None


_TYPES = {
    ValueType.WORD: "str",
    ValueType.ID: "int | str",
    ValueType.SDK_KEY: "str",
    ValueType.TEXT: "str",
    ValueType.DATE: "str | date",
    ValueType.TIME: "int | float | str | datetime",
}


def annotation(parameter: Parameter) -> str:
    """The type annotation of `parameter`, such as ``int | str | Iterable[int | str]``."""
    single = _TYPES[parameter.value_type]
    if parameter.dictionary_name == "timezone":
        single += " | tzinfo"
    return f"{single} | Iterable[{single}]" if parameter.is_list else single


def with_parameters(function: _Decorated) -> _Decorated:
    """Show the parameters of a request in the signature of a function, instead of ``**parameters``.

    ``event`` and ``selectors`` have no default, since every request needs them. Classes can be
    decorated, too.
    """
    signature = inspect.signature(
        getattr(function, "__init__", function) if isinstance(function, type) else function
    )
    own = [
        parameter
        for name, parameter in signature.parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD and name != "self"
    ]
    shown = [
        inspect.Parameter(
            parameter.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if parameter.required else None,
            annotation=annotation(parameter) + (" | None" if not parameter.required else ""),
        )
        for parameter in PARAMETERS.values()
    ]
    function.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*shown, *own]
    )
    return function
