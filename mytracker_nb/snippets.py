"""Code that is shown to be pasted: it runs as it is, in the notebook at hand or in a new one."""

from __future__ import annotations

import re
import sys
from types import ModuleType

__all__ = ["attach_code", "runnable"]

_ALIAS = re.compile(r"\bmt\.")


def runnable(code: str, separator: str = "; ") -> str:
    """`code` with the package's name as the notebook has it, or with the import.

    Parameters
    ----------
    code : str
        Code that calls the package ``mt``.
    separator : str
        What stands between the import and the code: a line break where there is room for two lines.

    Examples
    --------
    >>> runnable("mt.attach(4)")
    'import mytracker_nb as mt; mt.attach(4)'
    """
    name = _name_in_notebook()
    if name is None:
        return f"import mytracker_nb as mt{separator}{code}"
    return _ALIAS.sub(f"{name}.", code)


def attach_code(id_raw_export: int) -> str:
    """The code that finds an export again, in any notebook."""
    return runnable(f"mt.attach({id_raw_export})")


def _name_in_notebook() -> str | None:
    """The name by which the notebook has imported the package; None if it has not."""
    package = sys.modules[__package__]
    # IPython and scripts alike have their variables in the main module
    variables = dict(vars(sys.modules["__main__"])) if "__main__" in sys.modules else {}
    if variables.get("mt") is package:
        return "mt"
    names = (
        name
        for name, value in variables.items()
        if isinstance(value, ModuleType) and value is package and not name.startswith("_")
    )
    return next(names, None)
