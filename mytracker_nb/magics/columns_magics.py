"""``%mytracker_columns``: the columns that a request can select."""

# IPython's decorators have no types.
# mypy: disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from mytracker_nb.magics.options import read_options
from mytracker_nb.tables.column_list import columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ColumnsMagics"]


@magics_class
class ColumnsMagics(Magics):
    """The magic for the dictionary of columns."""

    @line_magic
    @magic_arguments()
    @argument("event", nargs="?", help="The event of the request; its columns come first.")
    def mytracker_columns(self, line: str = "") -> pd.DataFrame:
        """Show the known columns, with their meanings and types, as a DataFrame.

        The list is complete for customEvents only; other names are sent with a warning.
        """
        options = read_options(self.mytracker_columns, line)
        try:
            return columns(options.event)
        except ValueError as error:
            raise UsageError(str(error)) from None
