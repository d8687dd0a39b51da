"""The magics: how one talks to MyTracker from a notebook cell."""

# IPython's decorators have no types.
# mypy: disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from keyword import iskeyword
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher
from IPython.core.error import StdinNotImplementedError, UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import (
    Magics,
    line_cell_magic,
    line_magic,
    magics_class,
    needs_local_scope,
    no_var_expand,
)
from IPython.core.magic_arguments import argument, kwds, magic_arguments
from IPython.display import display
from traitlets import Float, Int, Unicode

from mytracker_nb import errors
from mytracker_nb.client.client import Client, default_client
from mytracker_nb.display.export_card import Card
from mytracker_nb.display.live_output import CardDisplay
from mytracker_nb.display.plan_card import PlanCard
from mytracker_nb.errors import CredentialsMissing, MyTrackerError, Problem
from mytracker_nb.magics.completion import Syntax, complete
from mytracker_nb.magics.help_page import export_manual
from mytracker_nb.magics.source_spans import InvalidRequestInCell
from mytracker_nb.magics.suggestions import MagicNames, nearest
from mytracker_nb.plans import splitting
from mytracker_nb.plans.plan import Plan, preview
from mytracker_nb.request.request import ExportRequest
from mytracker_nb.request.syntax import parse_cell
from mytracker_nb.service import credentials
from mytracker_nb.service.credentials import SERVICE_URL, Credentials
from mytracker_nb.service.signing import SecretKey
from mytracker_nb.storage.journal import journal

if TYPE_CHECKING:
    from argparse import Namespace

    import pandas as pd

    from mytracker_nb.client.export import Export
    from mytracker_nb.form.builder import RequestBuilder
    from mytracker_nb.sandbox.server import Sandbox

__all__ = ["MyTrackerMagics", "load", "unload"]

_FIRST_STEPS = """\
MyTracker: no account yet. %mytracker_login takes your API User ID and secret key;
%mytracker_sandbox starts a local MyTracker with made-up data, to try everything without one."""

_IN_SANDBOX = """\
MyTracker: the service is a sandbox with made-up data, at {}.
%mytracker_login with your API User ID leads to your account."""

# repeats no word of what was typed, which may be the key
_LOGIN_USAGE = """\
nothing has changed: %mytracker_login takes an API User ID, --save and --base-url URL. The secret
key is asked for, so that it stands in no notebook; if you have typed it in the cell, delete it"""

# JupyterLab would break a line of its popup there, into the next one
_UNBROKEN = str.maketrans({" ": "\N{NO-BREAK SPACE}", "-": "\N{NON-BREAKING HYPHEN}"})

_sandbox: Sandbox | None = None
_before_sandbox: Credentials | None = None


@magics_class
class MyTrackerMagics(Magics):
    """The magics of MyTracker; ``%config MyTrackerMagics`` shows what can be set."""

    shell: InteractiveShell

    timeout = Float(
        None, allow_none=True, help="The most seconds that --wait and --frame wait; None: no limit."
    ).tag(config=True)
    timezone = Unicode(
        "", help="The time zone of requests that name none; empty: the service's own default."
    ).tag(config=True)
    rows = Int(5, min=0, help="The number of rows that --frame shows under the card.").tag(
        config=True
    )

    @no_var_expand
    @needs_local_scope
    @magic_arguments()
    @kwds(
        description=export_manual(),
        usage="%(prog)s [options] name=value name=value ...",
    )
    @argument("--wait", action="store_true", help="Follow the export until it is finished.")
    @argument("--out", metavar="NAME", help="Assign the export to NAME.")
    @argument(
        "--frame",
        metavar="NAME",
        help="Follow the export, load its data, assign the DataFrame to NAME and show its first "
        "rows.",
    )
    @argument(
        "--fresh",
        action="store_true",
        help="Make a new export, even where an earlier one of the same request would do.",
    )
    @argument(
        "--every",
        metavar="LENGTH",
        help="Make a plan of several exports and follow it to its end: one for each 7d, 1d or (of "
        "tsFrom and tsTo) 6h; auto cuts only what proves too large.",
    )
    @argument(
        "--dry-run",
        action="store_true",
        help="Judge the request and show it, with the curl command for it; send nothing.",
    )
    @line_cell_magic
    def mytracker_export(
        self, line: str = "", cell: str | None = None, local_ns: Mapping[str, Any] | None = None
    ) -> Export | Plan | Card | PlanCard:
        """Make an export; the manual is written from the table of parameters."""
        options, request = self._read_export(line, cell, local_ns)
        if options.dry_run:
            return _dry_run(request, options.every)
        if options.every:
            return self._follow_plan(request, options)
        export = _obtain(request, options.fresh)
        if options.out:
            self._assign(options.out, export)
        if options.wait or options.frame:
            export.wait(self.timeout)
        if options.frame:
            self._load(options.frame, export)
        return export

    @no_var_expand
    @needs_local_scope
    @magic_arguments()
    @kwds(usage="%(prog)s name=value name=value ...")
    @line_cell_magic
    def mytracker_builder(
        self, line: str = "", cell: str | None = None, local_ns: Mapping[str, Any] | None = None
    ) -> RequestBuilder:
        """Open a form that builds a request.

        It is filled in with what is given, in the notation of %mytracker_export.
        """
        from mytracker_nb.form.builder import RequestBuilder

        parsed = parse_cell(line, cell, self._evaluate(local_ns))
        self._options(self.mytracker_builder, parsed.options)
        return RequestBuilder(**self._in_zone(parsed.parameters))

    @line_magic
    @magic_arguments()
    def mytracker_exports(self, line: str = "") -> pd.DataFrame:
        """Show the exports that were made on this machine, the newest first, as a DataFrame."""
        self._options(self.mytracker_exports, line.split())
        return journal()

    @line_magic
    @magic_arguments()
    def mytracker_quotas(self, line: str = "") -> pd.DataFrame:
        """Show how much of the service's quotas the account has used, as a DataFrame."""
        self._options(self.mytracker_quotas, line.split())
        return default_client().quotas()

    @line_magic
    @magic_arguments()
    @argument(
        "api_user_id", nargs="?", help="The API User ID; it is asked for where it is left out."
    )
    @argument("--save", action="store_true", help="Keep both in the system's keyring.")
    @argument("--base-url", metavar="URL", help="The address of the service, if it is another.")
    def mytracker_login(self, line: str = "") -> None:
        """Log in to MyTracker with an API User ID and its secret key.

        Both are in your MyTracker profile, under API Credentials. The key is asked for without
        showing it. After a call that proves them they are kept until the kernel ends.
        """
        options, problems = _parse_options(self.mytracker_login, line.split())
        if problems:
            raise UsageError(_LOGIN_USAGE)
        user = SecretKey(options.api_user_id or _ask(input, "API User ID: "))
        key = SecretKey(_ask(getpass.getpass, "Secret key (it does not show): "))
        url = options.base_url or _out_of_the_sandbox(user)
        found = credentials.find(user, key, url)  # type: ignore[arg-type]
        Client.of(found).quotas()
        credentials.use(found)
        print(f"Logged in as API User ID {found.api_user_id} at {found.base_url}.")
        if options.save:
            credentials.save(found)
            print("Saved in the system's keyring.")

    @line_magic
    @magic_arguments()
    @argument("--stop", action="store_true", help="Stop it.")
    def mytracker_sandbox(self, line: str = "") -> None:
        """Start a local MyTracker with made-up data, and use it in place of an account.

        Its exports are marked as the sandbox's and end with it.
        """
        options = self._options(self.mytracker_sandbox, line.split())
        if options.stop:
            _stop_sandbox()
        else:
            _start_sandbox()

    def _read_export(
        self, line: str, cell: str | None, local_ns: Mapping[str, Any] | None
    ) -> tuple[Namespace, ExportRequest]:
        """What is written after ``%mytracker_export``; raises `InvalidRequest` on any error."""
        parsed = parse_cell(line, cell, self._evaluate(local_ns))
        options, problems = _parse_options(self.mytracker_export, parsed.options)
        for name in ("out", "frame"):
            target = getattr(options, name)
            if target is not None and (not target.isidentifier() or iskeyword(target)):
                message = f"{target!r} is no name of a variable"
                hint = "letters, digits and _, and no digit first"
                problems.append(Problem(f"--{name}", "bad_value", "error", message, hint))
        request = ExportRequest(**self._in_zone(parsed.parameters))
        if options.every:
            problems += _every_problems(options.every, request)
            problems += splitting.problems(request, datetime.now(timezone.utc))
        else:
            problems += request.problems
        if any(problem.severity == "error" for problem in problems):
            if cell is None:
                raise errors.InvalidRequest(problems)
            body = f"{line}\n{cell}"
            raise InvalidRequestInCell(problems, "%%mytracker_export ", body, parsed.assignments)
        return options, request

    def _in_zone(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The parameters with the zone that is set for those that name none."""
        return {"timezone": self.timezone} | parameters if self.timezone else parameters

    def _follow_plan(self, request: ExportRequest, options: Namespace) -> Plan:
        # a card that changes tells it by itself
        on_wait = None if self._is_notebook else _teller()
        plan = Plan(default_client(), request, options.every, fresh=options.fresh, on_wait=on_wait)
        if options.out:
            self._assign(options.out, plan)
        plan.run(self.timeout).raise_for_failures()
        if options.frame:
            self._load(options.frame, plan)
        return plan

    def _load(self, name: str, export: Export | Plan) -> None:
        """Assign the rows to `name` and show the first."""
        frame = export.to_pandas()
        self._assign(name, frame)
        self._show_rows(export, frame)

    def _show_rows(self, export: Export | Plan, frame: pd.DataFrame) -> None:
        """Show the first rows, in a notebook below the card."""
        if self.rows == 0:
            return
        if self._is_notebook:
            display(export)  # the result of the cell will find it there
        display(frame.head(self.rows))

    @property
    def _is_notebook(self) -> bool:
        """Whether there is a place for cards that change."""
        return getattr(self.shell, "kernel", None) is not None

    def _options(self, magic: Callable[..., Any], words: Sequence[str]) -> Namespace:
        options, problems = _parse_options(magic, words)
        if problems:
            raise UsageError("; ".join(map(str, problems)))
        return options

    def _evaluate(self, local_ns: Mapping[str, Any] | None) -> Callable[[str], Any]:
        names = {**self.shell.user_ns, **(local_ns or {})}
        # the expression stands in the user's own cell
        return lambda expression: eval(expression, names)  # noqa: S307

    def _assign(self, name: str, value: object) -> None:
        self.shell.push({name: value})

    @context_matcher(identifier="MyTrackerMagics.matcher", priority=200)
    def matcher(self, context: CompletionContext) -> dict[str, Any]:
        """Complete within the magics: a matcher of IPython's completer."""
        lines = context.full_text.split("\n")[: context.cursor_line]
        position = sum(len(line) + 1 for line in lines) + context.cursor_position
        found = complete(context.full_text, position, _SYNTAX, lambda: self.shell.user_ns)
        if found is None:
            return {"completions": []}
        return {
            "completions": [
                SimpleCompletion(text, type=shorten(about, 48).translate(_UNBROKEN))
                for text, about in found.candidates
            ],
            "matched_fragment": found.fragment,
            "suppress": True,
            "ordered": True,
        }


def _parse_options(
    magic: Callable[..., Any], words: Sequence[str]
) -> tuple[Namespace, list[Problem]]:
    """Read the options of `magic`; what it does not know is met with the nearest that it does."""
    known = list(_described_options(magic))
    try:
        options, unknown = magic.parser.parse_known_args(list(words))  # type: ignore[attr-defined]
    except UsageError as error:
        option, _, message = str(error).removeprefix("argument ").partition(": ")
        options, unknown = magic.parser.parse_known_args([])  # type: ignore[attr-defined]
        hint = _described_options(magic).get(option, "")
        return options, [Problem(option, "bad_value", "error", message, hint)]
    problems = []
    for before, word in zip(["", *unknown], unknown, strict=False):
        if before.startswith("-") and not word.startswith("-"):
            continue  # what was meant for the unknown option before it
        option = word.partition("=")[0]
        hint = f"the nearest known: {', '.join(nearest(option, known))}" if known else ""
        problems.append(Problem(option, "unknown_parameter", "error", "is no option", hint))
    return options, problems


def _every_problems(every: str, request: ExportRequest) -> list[Problem]:
    try:
        splitting.read_every(every, request)
    except errors.InvalidRequest as error:
        return [replace(problem, parameter="--every") for problem in error.problems]
    return []


def _described_options(magic: Callable[..., Any]) -> dict[str, str]:
    """The options of `magic` and what each is for."""
    return {
        word: decorator.kwds.get("help", "")
        for decorator in reversed(magic.decorators)  # type: ignore[attr-defined]
        if isinstance(decorator, argument)
        for word in decorator.args
        if word.startswith("-")
    }


_SYNTAX = {
    name: Syntax(
        _described_options(getattr(MyTrackerMagics, name)),
        # a magic with a cell form is one for a request
        parameters=name in MyTrackerMagics.magics["cell"],
    )
    for name in MyTrackerMagics.magics["line"]
}


def _obtain(request: ExportRequest, fresh: bool) -> Export:
    """Make or adopt an export; wait for a place in the queue, or for a quota, and say so."""
    client = default_client()
    card = Card(
        request,
        status="not sent yet",
        service=client.credentials.base_url,
        api_user_id=client.credentials.api_user_id,
        is_sandbox=client.credentials.is_sandbox,
    )
    display = CardDisplay(lambda: card)
    tell = _teller()

    def say(seconds: float, error: MyTrackerError) -> None:
        nonlocal card
        card = replace(card, notes=(f"asking again in {seconds:.0f} s: {error}",))
        if not display.show():
            tell(f"waiting: {error}")

    try:
        export = client.export(request, fresh=fresh, on_wait=say)
    except BaseException:
        card = replace(card, status="not made", notes=())
        display.update()
        raise
    export.take_place(display)
    return export


def _teller() -> Callable[[str], None]:
    """What prints why one waits, each reason once."""
    told: set[str] = set()

    def tell(reason: str) -> None:
        if reason not in told:
            told.add(reason)
            print(f"MyTracker: {reason}")

    return tell


def _dry_run(request: ExportRequest, every: str | None) -> Card | PlanCard:
    """The card of a request that is not sent; it needs no account."""
    service, user, is_sandbox = SERVICE_URL, None, False
    with suppress(CredentialsMissing):
        account = credentials.find()
        service, user, is_sandbox = account.base_url, account.api_user_id, account.is_sandbox
    if every:
        return preview(request, every, service=service, api_user_id=user, is_sandbox=is_sandbox)
    code = request.to_curl(service)
    return Card(request, service=service, api_user_id=user, is_sandbox=is_sandbox, code=code)


def _out_of_the_sandbox(user: str) -> str | None:
    """The service's address, where a sandbox is in use and `user` is not its account."""
    with suppress(CredentialsMissing):
        account = credentials.find()
        if account.is_sandbox and user != str(account.api_user_id):
            return SERVICE_URL
    return None


def _ask(ask: Callable[[str], str], prompt: str) -> str:
    try:
        answer = ask(prompt).strip()
    except (StdinNotImplementedError, EOFError):
        raise CredentialsMissing(
            "nothing can be asked here; set MYTRACKER_API_USER_ID and MYTRACKER_SECRET_KEY "
            "before you start Jupyter"
        ) from None
    if not answer:
        raise CredentialsMissing("nothing was typed; nothing has changed")
    return answer


def _start_sandbox() -> None:
    global _sandbox, _before_sandbox
    was_running = _sandbox is not None
    if _sandbox is None:
        from mytracker_nb import sandbox

        try:
            _sandbox = sandbox.start()
        except ImportError as error:
            raise MyTrackerError(str(error)) from None
    before = credentials.use(_account(_sandbox))
    if before != _account(_sandbox):
        _before_sandbox = before
    print(
        f"The sandbox {'is running' if was_running else 'has started'} at {_sandbox.base_url}: "
        "a local MyTracker with made-up data.\n"
        "It is used in place of an account until %mytracker_sandbox --stop or %mytracker_login."
    )


def _account(sandbox: Sandbox) -> Credentials:
    return Credentials(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)


def _stop_sandbox() -> None:
    global _sandbox, _before_sandbox
    if _sandbox is None:
        print("No sandbox is running.")
        return
    with suppress(CredentialsMissing):
        if credentials.find() == _account(_sandbox):
            credentials.use(_before_sandbox)
    _sandbox.stop()
    _sandbox = _before_sandbox = None
    print("The sandbox has stopped; its exports are gone.")


def load(shell: InteractiveShell) -> None:
    """Register the magics and their completion; say how to begin where no account is known."""
    unload(shell)
    magics = MyTrackerMagics(shell)
    shell.register_magics(magics)
    shell.Completer.custom_matchers.append(magics.matcher)
    shell.ast_transformers.append(MagicNames(shell))
    try:
        account = credentials.find()
    except CredentialsMissing:
        print(_FIRST_STEPS)
    else:
        if account.is_sandbox:
            print(_IN_SANDBOX.format(account.base_url))


def unload(shell: InteractiveShell) -> None:
    """Take back what `load` did."""
    magics = shell.magics_manager.registry.pop(MyTrackerMagics.__name__, None)
    if magics is None:
        return
    for kind, names in magics.magics.items():
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)
    shell.configurables.remove(magics)
    shell.Completer.custom_matchers.remove(magics.matcher)
    shell.ast_transformers[:] = [
        transformer
        for transformer in shell.ast_transformers
        if not isinstance(transformer, MagicNames)
    ]
