"""``%mytracker_recording``: the exports of a notebook, recorded beside it."""

# IPython's decorators have no types.
# mypy: disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

import shlex

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from mytracker_nb.magics.options import read_options
from mytracker_nb.recordings.recording import Recording, recording

__all__ = ["RecordingMagics"]


@magics_class
class RecordingMagics(Magics):
    """The magic for recordings."""

    @line_magic
    @magic_arguments()
    @argument(
        "directory", nargs="?", help="The directory of the recording; omitted: the one in use."
    )
    @argument("--replay", action="store_true", help="Load recorded exports; send nothing.")
    @argument("--refresh", action="store_true", help="Create every export again and record it.")
    @argument(
        "--keep",
        metavar="COLUMN",
        action="append",
        default=[],
        help="Record the ids of this column as they are.",
    )
    @argument("--plain", action="store_true", help="Record all ids as they are.")
    @argument(
        "--drop",
        metavar="COLUMN",
        action="append",
        default=[],
        help="Leave this column out of the recording.",
    )
    @argument(
        "--sample",
        metavar="SHARE",
        help="Record all rows of a share of the devices, such as 5%%.",
    )
    @argument("--prune", action="store_true", help="Delete the exports that no cell has used.")
    @argument("--stop", action="store_true", help="Stop recording or replaying.")
    def mytracker_recording(self, line: str = "") -> Recording | None:
        """Record the exports of this notebook in a directory, or load them from there.

        With an account exports are recorded, with pseudonyms for ids; without one they are loaded
        from the recording, and nothing is sent.
        """
        options = read_options(self.mytracker_recording, shlex.split(line, comments=True))
        if options.directory is None:
            given = (options.replay, options.refresh, options.plain)
            if any(given) or options.keep or options.drop or options.sample:
                raise UsageError("name the directory of the recording, such as data/")
            opened = recording()
        else:
            opened = recording(
                options.directory,
                replay=options.replay or None,
                refresh=options.refresh,
                keep=",".join(options.keep),
                plain=options.plain,
                drop=",".join(options.drop),
                sample=options.sample,
            )
        if options.stop:
            opened.stop()
            print(f"The recording {opened.directory} is no longer in use.")
            return None
        if options.prune:
            deleted = opened.prune()
            print(f"Deleted: {', '.join(deleted) or 'nothing'}.")
        return opened
