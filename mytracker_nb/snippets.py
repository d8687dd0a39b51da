"""Code to show for pasting: it runs as it is, in this notebook or in a new one."""

from __future__ import annotations

import re
import sys
from typing import Any

__all__ = ["attach_code", "has_magic", "load_code", "name_of", "runnable"]

_ALIAS = re.compile(r"\bmt\.")


def runnable(code: str, separator: str = "; ") -> str:
    """`code` with the name under which the notebook has imported the package, or with the import.

    Parameters
    ----------
    code : str
        Code that calls the package ``mt``.
    separator : str
        The text between the import and the code: a line break if there is room for two lines.

    Examples
    --------
    >>> runnable("mt.attach(4)")
    'import mytracker_nb as mt; mt.attach(4)'
    """
    name = _name_in_notebook()
    if name is None:
        return f"import mytracker_nb as mt{separator}{code}"
    # once: what follows the call can be text of a user
    return _ALIAS.sub(f"{name}.", code, count=1)


def attach_code(id_raw_export: int) -> str:
    """The code that finds an export again, in any notebook."""
    return runnable(f"mt.attach({id_raw_export})")


def load_code(id_raw_export: int, name: str = "df", separator: str = "; ") -> str:
    """The code that loads the rows of an export into a variable; `separator` as in `runnable`."""
    return runnable(f"{name} = mt.attach({id_raw_export}).to_pandas()", separator)


def name_of(thing: object) -> str | None:
    """The name by which the notebook has an object; None if it has none."""
    names = (name for name, value in _variables().items() if value is thing)
    return next((name for name in names if not name.startswith("_")), None)


def has_magic(name: str) -> bool:
    """Whether the notebook can run the line magic ``%name``."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and shell.find_line_magic(name) is not None


def _name_in_notebook() -> str | None:
    """The name by which the notebook has imported the package; None if it has not."""
    package = sys.modules[__package__]
    return "mt" if _variables().get("mt") is package else name_of(package)


def _variables() -> dict[str, Any]:
    """The variables of the notebook; IPython and scripts alike have them in the main module."""
    return dict(vars(sys.modules["__main__"])) if "__main__" in sys.modules else {}
