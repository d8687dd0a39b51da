"""``%mytracker_export`` and ``%mytracker_builder``: the magics that take a request."""

# IPython's decorators have no types.
# mypy: disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, get_args

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    magics_class,
    no_var_expand,
)
from IPython.core.magic_arguments import argument, kwds, magic_arguments
from IPython.display import display
from traitlets import Bool, Enum, Float, Int, Unicode

from mytracker_nb import clock, errors, wording
from mytracker_nb.client.client import default_client
from mytracker_nb.client.export import display_of, loaded_size
from mytracker_nb.client.polling import state_of
from mytracker_nb.display.export_card import Card
from mytracker_nb.display.live_output import CardDisplay, cards_can_change
from mytracker_nb.display.plan_card import PlanCard
from mytracker_nb.endpoints import is_local
from mytracker_nb.errors import Problem, WaitInterrupted
from mytracker_nb.magics.caller import Caller, find_caller
from mytracker_nb.magics.help_page import export_manual
from mytracker_nb.magics.options import parse_options, read_options
from mytracker_nb.magics.progress_lines import ProgressLines
from mytracker_nb.magics.request_text import parse_request
from mytracker_nb.magics.source_spans import InvalidRequestInCell
from mytracker_nb.plans import splitting
from mytracker_nb.plans.plan import Plan, display_of_plan, preview
from mytracker_nb.request.request import ExportRequest
from mytracker_nb.service import credentials
from mytracker_nb.service.retry import WaitEvent, WaitKind
from mytracker_nb.snippets import load_code
from mytracker_nb.tables.event_params import check_params
from mytracker_nb.tables.to_pandas import DtypeBackend, check_zone

if TYPE_CHECKING:
    from argparse import Namespace

    import pandas as pd

    from mytracker_nb.client.export import Export
    from mytracker_nb.form.builder import RequestBuilder

__all__ = ["MyTrackerMagics"]

_FRAME_OPTIONS = ("backend", "categories", "tz", "params")


@magics_class
class MyTrackerMagics(Magics):
    """The magics that take a request; ``%config MyTrackerMagics`` shows their settings."""

    shell: InteractiveShell

    timeout = Float(
        None, allow_none=True, help="Seconds that --wait and --frame wait at most; None: no limit."
    ).tag(config=True)
    timezone = Unicode(
        "", help="The time zone of requests without one; empty: the service's default."
    ).tag(config=True)
    settle = Unicode(
        "3h",
        help="How long after the end of its interval an earlier export must have been created to "
        "be reused, such as 2d: the longer, the fewer late rows are missing.",
    ).tag(config=True)
    rows = Int(5, min=0, help="The number of rows that --frame shows below the card.").tag(
        config=True
    )
    backend = Enum(
        get_args(DtypeBackend),
        "numpy_nullable",
        help="The column types of --frame: pandas' own (numpy_nullable) or Arrow's (pyarrow).",
    ).tag(config=True)
    categories = Bool(
        None,
        allow_none=True,
        help="Whether titles are categories in --frame; None: only with Arrow's types.",
    ).tag(config=True)
    tz = Unicode(
        "UTC", help="The time zone of the times in --frame; request: the request's time zone."
    ).tag(config=True)
    params = Unicode(
        "",
        help="The form of params.name and params.value in --frame: map, or names separated by "
        "commas; empty: as they are.",
    ).tag(config=True)

    @no_var_expand
    @magic_arguments()
    @kwds(
        description=export_manual(),
        usage="%(prog)s [options] name=value name=value ...",
    )
    @argument("--wait", action="store_true", help="Wait until the export is finished.")
    @argument("--out", metavar="NAME", help="Assign the export to NAME.")
    @argument(
        "--frame",
        metavar="NAME",
        help="Wait for the export, load its data, assign the DataFrame to NAME and show its first "
        "rows.",
    )
    @argument(
        "--backend",
        metavar="BACKEND",
        choices=get_args(DtypeBackend),
        help="The column types of --frame: pandas' own (numpy_nullable) or Arrow's (pyarrow).",
    )
    @argument(
        "--categories",
        action="store_true",
        default=None,
        help="Make titles categories in --frame.",
    )
    @argument(
        "--tz",
        metavar="ZONE",
        help="The time zone of the times in --frame, such as Europe/Moscow; request: the "
        "request's time zone.",
    )
    @argument(
        "--params",
        metavar="NAMES",
        help="Make params.name and params.value one column of dicts (map), or a column for each "
        "of these names (level,item), in --frame.",
    )
    @argument(
        "--fresh",
        action="store_true",
        help="Create a new export, even if an earlier one of the same request could be reused.",
    )
    @argument(
        "--settle",
        metavar="LENGTH",
        help="Reuse an earlier export only if it was created this long after the end of its "
        "interval, such as 2d; 3h by default.",
    )
    @argument(
        "--every",
        metavar="LENGTH",
        help="Split the request into several exports (a plan) and wait for all: one for each 7d, "
        "1d or, with tsFrom and tsTo, 6h; auto splits only what is too large.",
    )
    @argument(
        "--dry-run",
        action="store_true",
        help="Validate the request and show it, with its curl command; send nothing.",
    )
    @line_cell_magic
    def mytracker_export(
        self, line: str = "", cell: str | None = None
    ) -> Export | Plan | Card | PlanCard:
        """Create an export; the help page is written from the table of parameters."""
        began = clock.monotonic()
        options, request = self._read_export(line, cell)
        if options.dry_run:
            return _dry_run(request, options.every)
        if options.every:
            return self._follow_plan(request, options, began)
        export = _obtain(request, options.fresh, options.settle or self.settle)
        if options.out:
            self._assign(options.out, export)
        if options.wait or options.frame:
            self._wait(export)
        if options.frame:
            self._load(options, export, began)
        return export

    @no_var_expand
    @magic_arguments()
    @kwds(usage="%(prog)s name=value name=value ...")
    @line_cell_magic
    def mytracker_builder(self, line: str = "", cell: str | None = None) -> RequestBuilder:
        """Open a form that builds a request.

        The given parameters fill it in; they are written as for %mytracker_export.
        """
        from mytracker_nb.form.builder import RequestBuilder

        parsed = parse_request(line, cell, find_caller(self.shell).evaluate)
        read_options(self.mytracker_builder, parsed.options)
        return RequestBuilder(**self._in_zone(parsed.parameters))

    def _read_export(self, line: str, cell: str | None) -> tuple[Namespace, ExportRequest]:
        """Parse the text after ``%mytracker_export``; raise `InvalidRequest` on any error."""
        caller = find_caller(self.shell)
        parsed = parse_request(line, cell, caller.evaluate)
        options, problems = parse_options(self.mytracker_export, parsed.options)
        options.hides_result = parsed.hides_result
        for name in ("out", "frame"):
            if target := getattr(options, name):
                problems += _target_problems(f"--{name}", target, caller)
        request = ExportRequest(**self._in_zone(parsed.parameters))
        problems += self._frame_problems(options, request)
        if options.every:
            problems += _every_problems(options.every, request)
            problems += splitting.problems(request, clock.now())
        else:
            problems += request.problems
        if any(problem.severity == "error" for problem in problems):
            if cell is None:
                raise errors.InvalidRequest(problems)
            body = f"{line}\n{cell}"
            raise InvalidRequestInCell(problems, "%%mytracker_export ", body, parsed.assignments)
        return options, request

    def _in_zone(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The parameters, with the time zone of the settings if they have none."""
        return {"timezone": self.timezone} | parameters if self.timezone else parameters

    def _frame_options(self, options: Namespace) -> dict[str, Any]:
        """The options of `to_pandas`: from the cell, otherwise from the settings."""
        given = {
            name: getattr(self, name) if getattr(options, name) is None else getattr(options, name)
            for name in _FRAME_OPTIONS
        }
        names = [name for part in given["params"].split(",") if (name := part.strip())]
        return {
            "dtype_backend": given["backend"],
            "categories": given["categories"],
            "tz": given["tz"],
            "params": "map" if names == ["map"] else names or None,
        }

    def _frame_problems(self, options: Namespace, request: ExportRequest) -> Iterator[Problem]:
        """Validate the options of `to_pandas` before anything is sent."""
        if not options.frame:
            for name in _FRAME_OPTIONS:
                if getattr(options, name) is not None:
                    message, hint = "only works with --frame", "add --frame NAME"
                    yield Problem(f"--{name}", "bad_value", "error", message, hint)
            return
        frame_options = self._frame_options(options)
        selectors = request.parameters.get("selectors") or ()
        try:
            if frame_options["tz"] != "request":
                check_zone(frame_options["tz"])
        except errors.MyTrackerError as error:
            yield Problem("--tz", "bad_value", "error", str(error))
        try:
            check_params(frame_options["params"], selectors)
        except errors.MyTrackerError as error:
            yield Problem("--params", "bad_value", "error", str(error))

    def _follow_plan(self, request: ExportRequest, options: Namespace, began: float) -> Plan:
        lines = self._progress_lines(lambda: f"plan: {plan.card().state}")
        plan = Plan(
            default_client(),
            request,
            options.every,
            fresh=options.fresh,
            settle=options.settle or self.settle,
            on_wait=None if lines is None else lines.show_wait,
        )
        if options.out:
            self._assign(options.out, plan)
        if lines is None:
            plan.run(self.timeout)
        else:
            display_of_plan(plan).on_update = lines.show
            with lines.shown():
                plan.run(self.timeout)
        plan.raise_for_failures()
        if options.frame:
            self._load(options, plan, began)
        return plan

    def _wait(self, export: Export) -> None:
        """Wait for the export; where no card can change, as in a terminal, print its progress."""
        lines = self._progress_lines(lambda: f"export {export.id_raw_export}: {state_of(export)}")
        if lines is None:
            export.wait(self.timeout)
            return
        with lines.shown():
            export.wait(self.timeout, on_wait=lines.show_wait)

    def _progress_lines(self, state: Callable[[], str]) -> ProgressLines | None:
        """Lines for the progress; None where a card shows it."""
        if cards_can_change():
            return None
        # a console of Jupyter is a terminal too
        return ProgressLines(state, True if self._is_notebook else None)

    def _load(self, options: Namespace, export: Export | Plan, began: float) -> None:
        """Assign the DataFrame to a name and show its first rows."""
        name = options.frame
        try:
            frame = export.to_pandas(**self._frame_options(options))
        except KeyboardInterrupt:
            raise _interrupted(name, export) from None
        self._assign(name, frame)
        shows_rows = self.rows > 0 and not options.hides_result
        if self._is_notebook and shows_rows:
            display(export)  # above the rows; the result of the cell is then not shown again
        print(f"{name}: {_result(export, frame, clock.monotonic() - began)}")
        if shows_rows:
            display(frame.head(self.rows))

    @property
    def _is_notebook(self) -> bool:
        """Whether the cell runs in a kernel."""
        return getattr(self.shell, "kernel", None) is not None

    def _assign(self, name: str, value: object) -> None:
        self.shell.push({name: value})


def _target_problems(option: str, name: str, caller: Caller) -> Iterator[Problem]:
    """Validate `name` as the variable to which a magic assigns."""
    if not name.isidentifier() or iskeyword(name):
        message = f"{name!r} is not a valid variable name"
        hint = "use letters, digits and _, and no digit first"
        yield Problem(option, "bad_value", "error", message, hint)
    elif caller.is_function:
        yield Problem(
            option,
            "bad_value",
            "error",
            f"can't assign {name} in a function, a class or a module",
            "assign the result of the magic, and load its data with .to_pandas()",
        )


def _every_problems(every: str, request: ExportRequest) -> list[Problem]:
    try:
        splitting.parse_every(every, request)
    except errors.InvalidRequest as error:
        return [replace(problem, parameter="--every") for problem in error.problems]
    return []


def _obtain(request: ExportRequest, fresh: bool, settle: str) -> Export:
    """Create or reuse an export; show why it waits, for the queue or for a quota."""
    client = default_client()
    card = Card(
        request,
        status="waiting to send",
        service=client.credentials.base_url,
        api_user_id=client.credentials.api_user_id,
        is_sandbox=client.credentials.is_sandbox,
    )
    display = CardDisplay(lambda: card)
    print_once = _print_once()

    def show_wait(event: WaitEvent) -> None:
        nonlocal card
        card = replace(card, notes=(event.text,))
        if not display.show():
            print_once(event)

    try:
        export = client.export(request, fresh=fresh, settle=settle, on_wait=show_wait)
    except BaseException:
        card = replace(card, status="not created", notes=())
        display.update()
        raise
    display_of(export).replace(display)
    return export


def _print_once() -> Callable[[WaitEvent], None]:
    """A function that prints the reason for a wait, each reason once."""
    printed: set[tuple[WaitKind, type | None]] = set()

    def print_once(event: WaitEvent) -> None:
        reason = event.kind, type(event.error)
        if event.text and reason not in printed:
            printed.add(reason)
            print(f"MyTracker: {event.text}")

    return print_once


def _result(export: Export | Plan, frame: pd.DataFrame, seconds: float) -> str:
    """The size of a loaded export, in one line."""
    exports = export.exports if isinstance(export, Plan) else (export,)
    size = export.loaded_size if isinstance(export, Plan) else loaded_size(export)
    rows, columns = frame.shape
    return wording.result(
        rows=rows,
        columns=columns,
        exports=len(exports) if isinstance(export, Plan) else None,
        files=sum(len(each.files) for each in exports) or None,
        size_of_files=size,
        seconds=seconds,
    )


def _interrupted(name: str, export: Export | Plan) -> WaitInterrupted:
    """The error of an interrupted download, with the code that continues it."""
    if isinstance(export, Plan):
        return WaitInterrupted(
            "interrupted while loading the data; run the cell again to resume the plan"
        )
    code = load_code(export.id_raw_export, name, "\n")
    return WaitInterrupted(
        f"interrupted while loading the data; export {export.id_raw_export} is complete. Load it "
        f"with:\n{code}",
        export=export,
    )


def _dry_run(request: ExportRequest, every: str | None) -> Card | PlanCard:
    """The card of a request that is not sent; no account is needed."""
    # nothing is signed, so no keyring is opened
    account = credentials.find_without_keyring()
    service, user = credentials.service_in_use(), account.api_user_id if account else None
    is_sandbox = is_local(service)
    if every:
        return preview(request, every, service=service, api_user_id=user, is_sandbox=is_sandbox)
    code = request.to_curl(service)
    return Card(request, service=service, api_user_id=user, is_sandbox=is_sandbox, code=code)
