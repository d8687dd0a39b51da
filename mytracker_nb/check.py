"""Look in saved notebooks for what must not be given away: ``python -m mytracker_nb.check``."""

from __future__ import annotations

import sys

from mytracker_nb.recordings.notebook_check import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
