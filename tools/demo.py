"""The main job against the sandbox, cell by cell as in a notebook, in the terminal."""

from __future__ import annotations

import sys
import textwrap

import pandas as pd
from IPython.core.interactiveshell import InteractiveShell

CELLS = (
    "%load_ext mytracker_nb",
    "%mytracker_sandbox",
    """
    %%mytracker_export --wait --frame installs
    event     = installs
    selectors = idDevice, tsEvent, idCountryISOAlpha2, idAppVersionTitle
    dateFrom  = today-7d
    dateTo    = yesterday
    idCountry = RU, Kazakhstan, BY
    """,
    'installs["idCountryISOAlpha2"].value_counts()',
    "%mytracker_sandbox --stop",
)


def main() -> int:
    """Run the cells; 1 if one of them fails."""
    pd.set_option("display.width", 120, "display.max_columns", 10)
    shell = InteractiveShell.instance(colors="NoColor")
    for cell in CELLS:
        source = textwrap.dedent(cell).strip()
        print(textwrap.indent(source, "    "), end="\n\n", flush=True)
        if not shell.run_cell(source, store_history=True).success:
            return 1
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
