"""The magics in a shell and in a notebook's kernel, over the sandbox."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pandas as pd
import pytest
from IPython.core.error import UsageError
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import mytracker_nb as mt
from mytracker_nb.magics import magics, sandbox_magics
from mytracker_nb.request.dictionaries import dictionary
from mytracker_nb.request.parameters import PARAMETERS
from mytracker_nb.service import credentials
from mytracker_nb.service.credentials import Credentials
from mytracker_nb.service.signing import SecretKey

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from mytracker_nb.sandbox.server import Sandbox

WEEK = "dateFrom=today-7d dateTo=yesterday"
LINE = f"%mytracker_export event=installs selectors=idDevice,tsEvent {WEEK}"
CELL = """%%mytracker_export {options}
event     = installs
selectors = idDevice,   # a comment
            tsEvent
dateFrom  = today-7d
dateTo    = yesterday
"""


def log_in(sandbox: Sandbox) -> None:
    credentials.use(Credentials(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url))


def run(shell: InteractiveShell, code: str) -> Any:
    """The value of a cell; what it raises is raised."""
    result = shell.run_cell(code)
    result.raise_error()
    return result.result


def refusal(shell: InteractiveShell, code: str) -> mt.InvalidRequest:
    """How a cell with a bad request fails."""
    error = shell.run_cell(code).error_in_exec
    assert isinstance(error, mt.InvalidRequest)
    return error


@pytest.fixture
def in_sandbox(shell: InteractiveShell, sandbox: Sandbox) -> InteractiveShell:
    """A shell whose account is the sandbox's."""
    log_in(sandbox)
    return shell


# Making an export


@pytest.mark.parametrize("code", [LINE, CELL.format(options="")])
def test_an_export_is_created_and_returned(in_sandbox: InteractiveShell, code: str) -> None:
    export = run(in_sandbox, code)
    assert dict(export)["selectors"] == ["idDevice", "tsEvent"]
    assert mt.Client().attach(export.id_raw_export).is_finished


def test_its_card_is_the_result_of_the_cell(
    in_sandbox: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    export = run(in_sandbox, LINE)
    assert capsys.readouterr().out.count(f"idRawExport {export.id_raw_export}") == 1


def test_it_can_be_assigned_and_python_follows_below(in_sandbox: InteractiveShell) -> None:
    value = run(in_sandbox, f"export = {LINE}\nexport.id_raw_export + 0")
    assert value == in_sandbox.user_ns["export"].id_raw_export


def test_a_backslash_continues_a_line(in_sandbox: InteractiveShell) -> None:
    assert run(in_sandbox, LINE.replace(" ", " \\\n    ", 3))["event"] == "installs"


def test_objects_are_passed_unchanged(in_sandbox: InteractiveShell) -> None:
    in_sandbox.user_ns["names"] = pd.Series(["level, up", "покупка"])
    export = run(
        in_sandbox,
        "%%mytracker_export\nevent = customEvents\nselectors = {['idDevice', 'eventName']}\n"
        "eventName = $names\ndateFrom = today-7d\ndateTo = yesterday",
    )
    assert export["eventName"] == ["level, up", "покупка"]
    assert export["selectors"] == ["idDevice", "eventName"]


def test_names_of_a_function_are_known(in_sandbox: InteractiveShell) -> None:
    code = (
        f"def make(apps):\n    export = {LINE} idApp={{[app for app in apps]}}\n    return export"
    )
    run(in_sandbox, code)
    assert run(in_sandbox, "make([7, 8])")["idApp"] == [7, 8]


def test_wait_polls_it_to_its_end(in_sandbox: InteractiveShell) -> None:
    assert run(in_sandbox, f"{LINE} --fresh").status == "In progress"
    assert run(in_sandbox, f"{LINE} --fresh --wait").status == "Success!"


def test_fresh_creates_a_new_export(in_sandbox: InteractiveShell) -> None:
    # in the first hours of a day rows of yesterday may still come
    line = LINE.replace("yesterday", "today-2d")
    first = run(in_sandbox, f"{line} --wait")
    assert run(in_sandbox, line) == first
    assert run(in_sandbox, f"{line} --fresh") != first


def test_out_names_the_export(in_sandbox: InteractiveShell) -> None:
    export = run(in_sandbox, CELL.format(options="--out installs"))
    assert in_sandbox.user_ns["installs"] is export


def test_frame_loads_the_data_and_shows_its_first_rows(
    in_sandbox: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    export = run(in_sandbox, CELL.format(options="--frame df"))
    frame = in_sandbox.user_ns["df"]
    assert list(frame.columns) == ["idDevice", "tsEvent"]
    assert len(frame) > 100
    shown = capsys.readouterr().out
    assert shown.count(f"idRawExport {export.id_raw_export}") == 1
    assert [str(device) in shown for device in frame["idDevice"][:6]] == [True] * 5 + [False]


PARAMS_LINE = (
    "%mytracker_export event=customEvents selectors=tsEvent,idAppTitle,params.name,params.value "
    "dateFrom=yesterday dateTo=yesterday timezone=Asia/Tokyo --frame df"
)


def test_frame_takes_the_options_of_to_pandas(in_sandbox: InteractiveShell) -> None:
    run(in_sandbox, f"{PARAMS_LINE} --categories --tz request --params map")
    frame = in_sandbox.user_ns["df"]
    assert str(frame["tsEvent"].dtype) == "datetime64[us, Asia/Tokyo]"
    assert str(frame["idAppTitle"].dtype) == "category"
    assert all(isinstance(cell, dict) for cell in frame["params"].dropna())
    names = sorted({name for cell in frame["params"].dropna() for name in cell})
    run(in_sandbox, f"{PARAMS_LINE} --backend pyarrow --params={names[-1]},nobody")
    frame = in_sandbox.user_ns["df"]
    assert str(frame["tsEvent"].dtype) == "timestamp[us, tz=UTC][pyarrow]"
    assert list(frame)[2:] == [f"params.{names[-1]}", "params.nobody"]


def test_options_of_a_frame_can_be_set_for_all(in_sandbox: InteractiveShell) -> None:
    for setting in ('backend="pyarrow"', "categories=False", 'tz="request"', 'params="map"'):
        in_sandbox.run_line_magic("config", f"MyTrackerMagics.{setting}")
    run(in_sandbox, PARAMS_LINE)
    frame = in_sandbox.user_ns["df"]
    assert str(frame["tsEvent"].dtype) == "timestamp[us, tz=Asia/Tokyo][pyarrow]"
    assert str(frame["idAppTitle"].dtype) == "string[pyarrow]"
    assert "params" in frame
    run(in_sandbox, f"{PARAMS_LINE} --backend numpy_nullable --tz UTC")
    assert str(in_sandbox.user_ns["df"]["tsEvent"].dtype) == "datetime64[us, UTC]"


@pytest.mark.parametrize(
    ("options", "option", "message"),
    [
        ("--frame df --tz Moscow", "--tz", "not a time zone"),
        ("--frame df --params level", "--params", "needs the columns params.name"),
        ("--frame df --backend arrow", "--backend", "invalid choice"),
        ("--tz Europe/Moscow", "--tz", "only works with --frame"),
    ],
)
def test_options_of_a_frame_are_validated_before_anything_is_sent(
    in_sandbox: InteractiveShell, options: str, option: str, message: str
) -> None:
    result = in_sandbox.run_cell(f"{LINE} {options}")
    assert isinstance(result.error_in_exec, mt.InvalidRequest)
    (problem,) = result.error_in_exec.problems
    assert problem.parameter == option
    assert message in problem.message


def test_a_failed_export_is_assigned_to_its_name(
    shell: InteractiveShell, start_sandbox: Callable[..., Sandbox]
) -> None:
    log_in(start_sandbox(max_rows=1))
    result = shell.run_cell(f"{LINE} --frame df --out export")
    assert isinstance(result.error_in_exec, mt.ExportTooLarge)
    assert result.error_in_exec.export is shell.user_ns["export"]
    assert "df" not in shell.user_ns


@pytest.mark.parametrize("every", ["", "--every auto"])
def test_a_terminal_shows_the_reason_for_a_wait_once(
    shell: InteractiveShell,
    start_sandbox: Callable[..., Sandbox],
    capsys: pytest.CaptureFixture[str],
    every: str,
) -> None:
    sandbox = start_sandbox()
    log_in(sandbox)
    detail = "Maximum number of simultaneous requests reached."
    data = {"error": {"detail": detail, "info": {"exports": [{"idRawExport": "7"}]}}}
    body = json.dumps({"code": 400, "message": "Bad Request", "data": data})
    sandbox.faults.add(path="/create.json", times=2, status=400, body=body)
    run(shell, f"{LINE} {every}")
    shown = capsys.readouterr().out
    assert shown.count("MyTracker: waiting") == 1
    assert shown.count(detail) == 1


# What can be set


def test_timeout(shell: InteractiveShell, start_sandbox: Callable[..., Sandbox]) -> None:
    log_in(start_sandbox(seconds=60))
    run(shell, "%config MyTrackerMagics.timeout = 0.1")
    assert isinstance(shell.run_cell(f"{LINE} --wait").error_in_exec, mt.ExportTimeout)


def test_settle_is_a_setting_and_an_option(in_sandbox: InteractiveShell) -> None:
    # days of long ago, as those up to yesterday are still settling for a part of each day
    days = "dateFrom=2025-11-03 dateTo=2025-11-04"
    line = f"%mytracker_export event=deeplinks selectors=idDevice {days}"
    first = run(in_sandbox, line)
    assert run(in_sandbox, line) == first
    # nothing was created that long after the end of its interval
    run(in_sandbox, "%config MyTrackerMagics.settle = '9000d'")
    second = run(in_sandbox, line)
    assert second != first
    assert run(in_sandbox, f"{line} --settle 3h") == second
    assert run(in_sandbox, f"{line} --settle 3h --fresh") not in (first, second)


def test_timezone_is_for_requests_that_name_none(in_sandbox: InteractiveShell) -> None:
    run(in_sandbox, "%config MyTrackerMagics.timezone = 'Asia/Tokyo'")
    assert run(in_sandbox, LINE)["timezone"] == "Asia/Tokyo"
    assert run(in_sandbox, f"{LINE} timezone=Europe/London")["timezone"] == "Europe/London"
    form = run(in_sandbox, "%mytracker_builder event=installs")
    assert form.parameters["timezone"] == "Asia/Tokyo"


def test_no_rows(in_sandbox: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    run(in_sandbox, "%config MyTrackerMagics.rows = 0")
    run(in_sandbox, f"{LINE} --frame df;")
    assert str(in_sandbox.user_ns["df"]["idDevice"][0]) not in capsys.readouterr().out


# A dry run


def test_a_dry_run_shows_the_request_and_sends_nothing(
    shell: InteractiveShell, start_sandbox: Callable[..., Sandbox]
) -> None:
    sandbox = start_sandbox()
    log_in(sandbox)
    card = run(shell, f"{LINE} --dry-run")
    for shown in (card.text(), card.html()):
        assert "curl" in shown
        assert "dry run" in shown
        assert sandbox.secret_key not in shown
    assert sandbox.base_url in card.text()
    assert run(shell, LINE).id_raw_export == 1


def test_a_dry_run_needs_no_account(shell: InteractiveShell) -> None:
    assert "https://tracker.my.com/api" in run(shell, f"{LINE} --dry-run").text()


def test_a_dry_run_validates(shell: InteractiveShell) -> None:
    assert refusal(shell, "%mytracker_export --dry-run event=installs").problems


# Bad requests


def test_all_problems_are_reported_and_nothing_is_sent(
    shell: InteractiveShell, start_sandbox: Callable[..., Sandbox]
) -> None:
    log_in(start_sandbox())
    error = refusal(shell, "%mytracker_export event=instals dateFrom=today idApp=x --wiat")
    assert [(problem.parameter, problem.code) for problem in error.problems] == [
        ("--wiat", "unknown_parameter"),
        ("event", "not_in_dictionary"),
        ("selectors", "required"),
        ("dateTo", "interval_half"),
        ("idApp", "bad_value"),
    ]
    assert run(shell, LINE).id_raw_export == 1


def test_a_request_is_validated_before_an_account_is_needed(shell: InteractiveShell) -> None:
    assert refusal(shell, "%mytracker_export")
    assert isinstance(shell.run_cell(LINE).error_in_exec, mt.CredentialsMissing)


def places(text: str) -> list[tuple[int, str]]:
    """The text above the carets in an error's message, by line of the cell."""
    found = []
    for label, number, line, carets in re.findall(r"( +line (\d+): )(.*)\n( +\^+)$", text, re.M):
        start, end = carets.index("^") - len(label), len(carets) - len(label)
        found.append((int(number), line[start:end]))
    return found


def test_a_cells_problems_point_into_it(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = """%%mytracker_export --fraem df
event     = installs
selectors = idDevice,
            tsEvents, idCountry   # the rest
datefrom  = 2026-11-01
idCountry = RU, "Atlantis"
idApp     = {1 / 0}
nonsense
"""
    error = refusal(shell, cell)
    assert capsys.readouterr().out.endswith(f"InvalidRequest: {error}\n")
    assert [problem.parameter for problem in error.problems] == [
        *("--fraem", "selectors", "dateFrom", "idApp", "idCountry", "datefrom", "nonsense")
    ]
    assert places(str(error)) == [
        (1, "--fraem"),
        (4, "tsEvents"),
        (7, "{1 / 0}"),
        (6, '"Atlantis"'),
        (5, "datefrom"),
        (8, "nonsense"),
    ]


def test_a_long_line_is_shown_around_the_place(shell: InteractiveShell) -> None:
    columns = ", ".join(dictionary("selector"))
    text = str(refusal(shell, f"%%mytracker_export\nevent=installs\nselectors = {columns}, a-b"))
    assert places(text) == [(3, "a-b")]
    assert max(map(len, text.splitlines()[2:4])) < 110


def test_for_a_name_written_twice_the_invalid_line_is_shown(shell: InteractiveShell) -> None:
    error = refusal(shell, "%%mytracker_export\nidApp = x\nidApp[] = 5")
    assert places(str(error)) == [(2, "x")]


def test_python_catches_it(shell: InteractiveShell) -> None:
    code = (
        "import mytracker_nb as mt\ntry:\n    %mytracker_export event=x\n"
        "except mt.InvalidRequest as error:\n    problems = error.problems"
    )
    run(shell, code)
    assert shell.user_ns["problems"][0].parameter == "event"


@pytest.mark.parametrize(
    ("options", "parameter", "text"),
    [
        ("--out 1st", "--out", "'1st' is not a valid variable name"),
        ("--frame class", "--frame", "'class' is not a valid variable name"),
        ("--frame", "--frame", "expected one argument"),
        ("--every", "--every", "one for each 7d, 1d"),
        ("--wait=5", "--wait", "ignored explicit argument '5'"),
        ("--frmae=df", "--frmae", "did you mean --frame?"),
        ("--xyz df", "--xyz", "expected --wait, --out, --frame, --backend, --categories, --tz, "),
        ("--wait 5", "5", "unknown option"),
    ],
)
def test_bad_options(shell: InteractiveShell, options: str, parameter: str, text: str) -> None:
    (problem,) = refusal(shell, f"{LINE} {options}").problems
    assert problem.parameter == parameter
    assert text in str(problem)


def test_options_of_other_magics(shell: InteractiveShell) -> None:
    error = shell.run_cell("%mytracker_sandbox --stpo").error_in_exec
    assert isinstance(error, UsageError)
    assert "--stop" in str(error)


@pytest.mark.parametrize(
    ("code", "near"),
    [
        ("%mytracker_exprot event=installs", "%mytracker_export"),
        ("x = %mytracker_qoutas", "%mytracker_quotas"),
        ("%%mytracker_exporrt\nevent = installs", "%%mytracker_export"),
    ],
)
def test_a_misspelt_magic_gets_a_suggestion(shell: InteractiveShell, code: str, near: str) -> None:
    error = shell.run_cell(code).error_before_exec
    assert isinstance(error, mt.MyTrackerError)
    assert str(error).endswith(f"did you mean {near}?")


def test_other_code_is_unchanged(shell: InteractiveShell) -> None:
    code = "class Other:\n    run_line_magic = str\nOther.run_line_magic('%mytracker_x')"
    assert run(shell, code) == "%mytracker_x"


# What IPython hands over


URL = (
    "https://tracker.my.com/api/raw/v1/export/create.json?event=installs&"
    "selectors=idDevice%2CtsEvent&dateFrom=2026-11-01&dateTo=2026-11-02&idCountry[]=188"
)
CURL = f"""curl -X POST 'https://tracker.my.com/api/raw/v1/export/create.json' \\
  -H 'Authorization: AuthHMAC 1:x' \\
  --data '{URL.partition("?")[2]}'"""


@pytest.mark.parametrize(
    "code",
    [
        f"%mytracker_export --dry-run {URL}",
        f"%mytracker_export {URL} --dry-run",
        f"%mytracker_export --dry-run {URL.partition('?')[2]}",
        f"%mytracker_export --dry-run {CURL}",
        f"%%mytracker_export --dry-run\n{URL}\n",
        f"%%mytracker_export --dry-run\n\n{CURL}\n",
        f"%%mytracker_export --dry-run\n{URL.partition('?')[2]}",
    ],
)
def test_a_url_or_a_curl_command_replaces_parameters(shell: InteractiveShell, code: str) -> None:
    request = run(shell, code).request
    assert request.is_valid
    assert request.parameters["idCountry"] == (188,)
    assert request.parameters["selectors"] == ("idDevice", "tsEvent")


def test_parameters_beside_a_url_win(shell: InteractiveShell) -> None:
    request = run(shell, f"%mytracker_export --dry-run {URL} idCountry=RU,US").request
    assert request.parameters["idCountry"] == (188, 200)
    assert request.parameters["event"] == "installs"


@pytest.mark.parametrize("code", [f"%mytracker_builder {URL}", f"%%mytracker_builder\n{CURL}"])
def test_the_builder_takes_a_url(shell: InteractiveShell, code: str) -> None:
    assert run(shell, code).request.parameters["idCountry"] == (188,)


def test_problems_of_a_url_point_at_it(shell: InteractiveShell) -> None:
    error = refusal(shell, f"%%mytracker_export\n{URL.replace('installs', 'instals')}")
    assert [problem.parameter for problem in error.problems] == ["event"]
    assert "line 2: https://tracker.my.com" in str(error)


def test_an_ampersand_in_a_value_makes_no_query(shell: InteractiveShell) -> None:
    code = f"{LINE.replace('installs', 'customEvents')} eventName=rock&roll=loud --dry-run"
    assert run(shell, code).request.parameters["eventName"] == ("rock&roll=loud",)


IN_FUNCTION = """
def make(countries):
    return get_ipython().run_cell_magic(
        "mytracker_export", "--dry-run{options}", "event=installs\\nselectors=idDevice\\n"
        "dateFrom=today-7d\\ndateTo=yesterday\\nidCountry=$countries"
    )
"""


def test_a_cell_magic_in_a_function_takes_the_functions_variables(shell: InteractiveShell) -> None:
    shell.user_ns["get_ipython"] = lambda: shell
    run(shell, f"countries = 'US'\n{IN_FUNCTION.format(options='')}")
    assert run(shell, "make('RU')").request.parameters["idCountry"] == (188,)
    assert run(
        shell,
        "%mytracker_export --dry-run idCountry=$countries event=hits "
        + WEEK
        + (" selectors=idDevice"),
    ).request.parameters["idCountry"] == (200,)


@pytest.mark.parametrize("option", ["--frame", "--out"])
def test_a_name_is_not_assigned_in_a_function(shell: InteractiveShell, option: str) -> None:
    shell.user_ns["get_ipython"] = lambda: shell
    run(shell, IN_FUNCTION.format(options=f" {option} df"))
    (problem,) = refusal(shell, "make('RU')").problems
    assert str(problem).startswith(f"{option}: can't assign df in a function")
    run(shell, f"def line():\n    {LINE} {option} df --dry-run")
    assert refusal(shell, "line()").problems[0].parameter == option


def test_a_name_is_not_assigned_in_a_class(shell: InteractiveShell) -> None:
    code = f"class Week:\n    {LINE} --out df --dry-run"
    (problem,) = refusal(shell, code).problems
    assert str(problem).startswith("--out: can't assign df in a function, a class")


@pytest.mark.parametrize(
    "code",
    [
        f"%%time\n{LINE} --out made",
        f"%%capture\n{LINE} --out made",
        f"import asyncio\nawait asyncio.sleep(0)\n{LINE} --out made",
        f"if True:\n    for _ in range(2):\n        {LINE} --out made",
    ],
)
def test_a_name_is_assigned_in_every_cell(in_sandbox: InteractiveShell, code: str) -> None:
    run(in_sandbox, code)
    assert in_sandbox.user_ns["made"].id_raw_export > 0


def test_a_variable_of_the_function_that_called_another_is_not_passed_over(
    shell: InteractiveShell,
) -> None:
    shell.user_ns["get_ipython"] = lambda: shell
    run(
        shell,
        f"""countries = "US"
{IN_FUNCTION.format(options="")}
def report(countries):
    return make(countries="GB") if countries is None else body()
def body():
    return get_ipython().run_cell_magic("mytracker_export", "--dry-run", "event=installs\\n"
        "selectors=idDevice\\ndateFrom=today-7d\\ndateTo=yesterday\\nidCountry=$countries")
""",
    )
    assert run(shell, "body()").request.parameters["idCountry"] == (200,)
    assert run(shell, "report(countries)").request.parameters["idCountry"] == (200,)
    assert run(shell, "report(None)").request.parameters["idCountry"] == (50,)
    (problem,) = refusal(shell, "report('RU')").problems
    assert "countries is a variable of report() and another one here" in str(problem)


@pytest.mark.parametrize("code", [f"{LINE} --dry-run  # why", f"{LINE} --dry-run # a=b --wiat"])
def test_a_comment_after_a_line_magic_is_one(shell: InteractiveShell, code: str) -> None:
    assert run(shell, code).request.is_valid


def test_a_comment_after_another_magic_is_one(shell: InteractiveShell) -> None:
    assert len(run(shell, "%mytracker_columns installs  # those of installs")) > 100


@pytest.mark.parametrize(
    "code",
    [
        f"{LINE} --dry-run;",
        f"{LINE} --dry-run ;  ",
        "%%mytracker_export --dry-run\nevent=hits\nselectors=idDevice\n"
        "dateFrom=today-7d\ndateTo=yesterday;\n",
        "%mytracker_columns installs;",
        "x = 1\n%mytracker_columns;",
    ],
)
def test_a_semicolon_hides_the_result(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], code: str
) -> None:
    capsys.readouterr()
    assert run(shell, code) is None
    assert capsys.readouterr().out == ""


def test_a_semicolon_hides_the_rows_too(
    in_sandbox: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    run(in_sandbox, f"{LINE} --frame df --fresh;")
    shown = capsys.readouterr().out
    assert str(in_sandbox.user_ns["df"]["idDevice"].iloc[0]) not in shown


def test_an_assigned_magic_with_a_semicolon_keeps_its_value(shell: InteractiveShell) -> None:
    run(shell, f"card = {LINE} --dry-run;")
    assert shell.user_ns["card"].request.is_valid


@pytest.mark.parametrize(
    "above", ["# installs of a week", "\n# one\n\n# two", "x = 1", "import mytracker_nb"]
)
def test_a_cell_magic_below_other_text_gets_a_hint(shell: InteractiveShell, above: str) -> None:
    result = shell.run_cell(f"{above}\n{CELL.format(options='').replace('today-7d', 'x')}")
    if above.startswith("import"):
        return  # what is below is no Python, and IPython speaks first
    error = result.error_before_exec or result.error_in_exec
    assert error is not None
    if above.lstrip().startswith("#"):
        assert "%%mytracker_export must be on the first line of its cell" in str(error)


def test_a_text_with_a_cell_magic_in_it_is_unchanged(shell: InteractiveShell) -> None:
    code = "# a text\ntext = '''\n%%mytracker_export\nevent = hits\n'''\nlen(text)"
    assert run(shell, code) == len("\n%%mytracker_export\nevent = hits\n")


def test_print_shows_the_card(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    run(shell, f"card = {LINE} --dry-run\nprint(card)")
    assert "dry run: valid, nothing was sent" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "unquoted"),
    [
        ("'{ev}'", "{ev}"),
        ('"$ev"', "$ev"),
        ("'{ev}_up'", "{ev}_up"),
        ('"{ev.upper()}"', "{ev.upper()}"),
        ("a, '{ev}'", "{ev}"),
        ("'{ev}_{n}'", "{ev}_{n}"),
        ("'${ev}'", "{ev}"),
        ("'{{ev}}'", "{ev}"),
        ("'{{ ev }}'", "{ev}"),
        ("'lvl_$ev'", "lvl_{ev}"),
        ("lvl_$ev", "lvl_{ev}"),
        ("'{n:02d}'", "{f'{n:02d}'}"),
        ("'{ev!r}_x'", "{f'{ev!r}_x'}"),
    ],
)
def test_a_placeholder_that_is_sent_as_text_is_warned_of(
    shell: InteractiveShell, value: str, unquoted: str
) -> None:
    shell.user_ns.update(ev="level", n=7)
    code = CELL.format(options="--dry-run").replace("installs", "customEvents")
    card = run(shell, f"{code}eventName = {value}")
    (problem,) = card.request.problems
    assert (problem.code, problem.severity) == ("placeholder", "warning")
    assert problem.hint == f"to send its value, write {unquoted} without quotes"
    assert "placeholder" in card.text()
    # as the hint writes it, it is evaluated
    request = run(shell, f"{code}eventName = {unquoted}").request
    assert request.problems == ()
    assert re.search("level|LEVEL|07", str(request.parameters["eventName"]))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("f'{ev}'", "is a string of Python; write it in braces: {f'{ev}'}"),
        ('r"a b"', 'is a string of Python; write it in braces: {r"a b"}'),
        ("lvl_${ev}", "has a $ before a brace; write lvl_{ev}"),
    ],
)
def test_notations_of_other_languages_are_errors(
    shell: InteractiveShell, value: str, why: str
) -> None:
    shell.user_ns["ev"] = "level"
    code = CELL.format(options="--dry-run").replace("installs", "customEvents")
    (problem,) = refusal(shell, f"{code}eventName = {value}").problems
    assert why in str(problem)


@pytest.mark.parametrize("value", ["'{nobody}_x'", "'{}'", "'a {1}'", "'5 $'", "'{not python'"])
def test_other_texts_in_quotes_are_unchanged(shell: InteractiveShell, value: str) -> None:
    code = CELL.format(options="--dry-run").replace("installs", "customEvents")
    assert run(shell, f"{code}eventName = {value}").request.problems == ()


@pytest.mark.parametrize(
    "thing", ["['a', 'b']", "{'a': 1}", "('a',)", "__import__('numpy').ones(2)"]
)
def test_a_list_can_not_be_joined_with_text(shell: InteractiveShell, thing: str) -> None:
    run(shell, f"things = {thing}")
    code = CELL.format(options="--dry-run").replace("installs", "customEvents")
    (problem,) = refusal(shell, f"{code}eventName = {{things}}_x").problems
    assert problem.message.startswith("{things}_x joins text and a ")


def test_a_computed_empty_list_is_warned_of_on_the_card(shell: InteractiveShell) -> None:
    card = run(shell, f"ids = []\n{LINE} --dry-run idCountry=$ids")
    assert re.search("warning +idCountry: the list is empty", card.text())


def test_a_reused_export_shows_the_warnings_of_the_new_request(
    in_sandbox: InteractiveShell,
) -> None:
    line = LINE.replace("yesterday", "today-2d")
    first = run(in_sandbox, f"{line} --wait")
    second = run(in_sandbox, f"ids = []\n{line} idCountry=$ids")
    assert second == first
    assert re.search("warning +idCountry: the list is empty", second.card().text())


def test_loading_and_calls_without_a_key_do_not_open_the_keyring(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        credentials, "_from_keyring", lambda url: asked.append(url) or (SecretKey(), SecretKey())
    )
    magics.load(shell)
    run(shell, f"{LINE} --dry-run")
    assert refusal(shell, "%mytracker_export event=x")
    assert asked == []
    assert isinstance(shell.run_cell(LINE).error_in_exec, mt.CredentialsMissing)
    assert asked != []


def test_an_interrupted_download_says_how_to_continue(
    in_sandbox: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: object, **_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mt.Export, "to_pandas", interrupt)
    error = in_sandbox.run_cell(f"{LINE} --frame df --out failed").error_in_exec
    assert isinstance(error, mt.WaitInterrupted)
    monkeypatch.undo()
    code = str(error).partition("\n")[2]
    assert code.startswith("import mytracker_nb as mt\ndf = ")
    log_in_again = in_sandbox.user_ns["failed"]._api.credentials
    credentials.use(log_in_again)
    run(in_sandbox, code)
    assert len(in_sandbox.user_ns["df"]) > 100


def test_a_terminal_shows_the_progress_of_a_wait(
    shell: InteractiveShell,
    start_sandbox: Callable[..., Sandbox],
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_in(start_sandbox(seconds=2))
    run(shell, f"{LINE} --wait")
    lines = re.findall(r"MyTracker: export 1: 'In progress', (\d+)%", capsys.readouterr().out)
    assert lines == sorted(set(lines), key=int)
    assert lines


# The other magics


def test_the_journal(in_sandbox: InteractiveShell) -> None:
    export = run(in_sandbox, LINE)
    assert export.id_raw_export in list(run(in_sandbox, "%mytracker_exports"))


@pytest.mark.parametrize(
    "code",
    [
        "%mytracker_builder event=installs selectors=idDevice",
        "%%mytracker_builder\nevent = installs\nselectors = $columns",
    ],
)
def test_the_builder_opens_filled_in(shell: InteractiveShell, code: str) -> None:
    shell.user_ns["columns"] = ["idDevice"]
    builder = run(shell, f"{code}")
    assert isinstance(builder, mt.RequestBuilder)
    assert dict(builder.request.parameters) == {"event": "installs", "selectors": ("idDevice",)}


def test_the_sandbox_is_started_used_and_stopped(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    run(shell, "%mytracker_sandbox")
    assert "has started" in capsys.readouterr().out
    try:
        base_url = credentials.find().base_url
        assert "SANDBOX" in run(shell, LINE).card().text()
        run(shell, "%mytracker_sandbox")
        assert f"is running at {base_url}" in capsys.readouterr().out
        key = credentials.find().secret_key
    finally:
        run(shell, "%mytracker_sandbox --stop")
    assert sandbox_magics._sandbox is None
    with pytest.raises(mt.CredentialsMissing):
        credentials.find()
    run(shell, "%mytracker_sandbox --stop")
    shown = capsys.readouterr().out
    assert "No sandbox is running" in shown
    assert str(key) not in shown


COME_BACK = """
import subprocess, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("%load_ext mytracker_nb").raise_error()
shell.run_cell("%mytracker_sandbox --keep").raise_error()
made = shell.run_cell({cell!r}).raise_error() or shell.user_ns["made"]
print("MADE", made.id_raw_export, made.status, *made.notes)
print("LISTED", len(shell.run_line_magic("mytracker_exports", "")))
print("ROWS", len(made.to_pandas()), flush=True)
{end}
"""


@pytest.mark.slow
def test_a_sandbox_started_with_keep_is_there_after_a_restart(tmp_path: Path) -> None:
    def kernel(end: str) -> dict[str, str]:
        """Run a kernel's cells; one that is killed leaves no time to clean up."""
        code = COME_BACK.format(cell=f"{LINE} --out made --wait", end=end)
        settings = {
            "MYTRACKER_NB_DATA_DIR": str(tmp_path / "data"),
            "IPYTHONDIR": str(tmp_path / "ipython"),
            "TMPDIR": str(tmp_path),
        }
        run = [sys.executable, "-c", code]
        result = subprocess.run(
            run, env={**os.environ, **settings}, capture_output=True, text=True, timeout=120
        )
        return dict(
            line.split(" ", 1)
            for line in result.stdout.splitlines()
            if line.split(" ")[0].isupper()
        ) | {"all": result.stdout + result.stderr}

    first = kernel("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    again = kernel("shell.run_cell('%mytracker_sandbox --stop').raise_error()")
    assert "has 0 exports and keeps them" in first["all"]
    assert "has 1 export and keeps them" in again["all"]
    assert again["MADE"].startswith("1 Success!"), again["all"]
    assert "reused export" in again["MADE"]
    assert (again["LISTED"], again["ROWS"]) == (first["LISTED"], first["ROWS"])
    assert not (tmp_path / "data" / "sandbox").exists()


def test_keep_can_not_be_added_to_a_running_sandbox(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MYTRACKER_NB_DATA_DIR", str(tmp_path))
    run(shell, "%mytracker_sandbox")
    try:
        error = shell.run_cell("%mytracker_sandbox --keep").error_in_exec
        assert isinstance(error, mt.MyTrackerError)
        assert "%mytracker_sandbox --stop" in str(error)
    finally:
        run(shell, "%mytracker_sandbox --stop")
    assert not (tmp_path / "sandbox").exists()


def test_an_account_that_is_used_meanwhile_outlives_the_sandbox(
    in_sandbox: InteractiveShell, sandbox: Sandbox
) -> None:
    run(in_sandbox, "%mytracker_sandbox")
    log_in(sandbox)
    run(in_sandbox, "%mytracker_sandbox --stop")
    assert credentials.find().base_url == sandbox.base_url


def test_an_account_that_was_used_before_comes_back_after_the_sandbox(
    in_sandbox: InteractiveShell, sandbox: Sandbox
) -> None:
    run(in_sandbox, "%mytracker_sandbox")
    run(in_sandbox, "%mytracker_sandbox")
    assert credentials.find().base_url != sandbox.base_url
    run(in_sandbox, "%mytracker_sandbox --stop")
    assert credentials.find().base_url == sandbox.base_url


# Coming and going


def test_the_help_page_has_every_parameter_option_and_event(shell: InteractiveShell) -> None:
    page = shell.find_line_magic("mytracker_export").__doc__
    words = [*PARAMETERS, *dictionary("event"), "--wait", "--out", "--frame", "--dry-run", "$name"]
    assert [word for word in words if word not in page] == []
    assert max(map(len, page.splitlines())) <= 100


def test_first_contact_takes_two_lines_and_no_call(
    shell: InteractiveShell,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sandbox: Sandbox,
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    capsys.readouterr()
    magics.load(shell)
    shown = capsys.readouterr().out
    assert shown.count("\n") == 2
    assert "%mytracker_login" in shown
    assert "%mytracker_sandbox" in shown

    log_in(sandbox)
    magics.load(shell)
    shown = capsys.readouterr().out
    assert shown.count("\n") == 2
    assert f"a sandbox with made-up data is in use, at {sandbox.base_url}" in shown

    credentials.use(Credentials(7, "key"))
    magics.load(shell)
    assert capsys.readouterr().out == ""


def test_unloading_leaves_nothing(shell: InteractiveShell) -> None:
    magics.load(shell)
    magics.unload(shell)
    magics.unload(shell)
    assert shell.find_line_magic("mytracker_export") is None
    assert shell.find_cell_magic("mytracker_export") is None
    assert [
        type(part) for part in shell.configurables if "mytracker" in type(part).__module__
    ] == []
    assert shell.Completer.custom_matchers == []
    assert shell.ast_transformers == []


# In a notebook


def execute(*cells: str, **options: Any) -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells])
    NotebookClient(notebook, timeout=120, kernel_name="python3", **options).execute()
    return notebook


@pytest.fixture
def account(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox, in the environment of kernels to come."""
    monkeypatch.setenv("MYTRACKER_BASE_URL", sandbox.base_url)
    monkeypatch.setenv("MYTRACKER_API_USER_ID", str(sandbox.api_user_id))
    monkeypatch.setenv("MYTRACKER_SECRET_KEY", sandbox.secret_key)
    return sandbox


def test_each_cell_of_a_notebook_shows_one_card(account: Sandbox) -> None:
    notebook = execute(
        "%load_ext mytracker_nb",
        LINE,
        f"{LINE} --wait",
        f"{LINE} --frame df",
        CELL.format(options="--wait --out export"),
        f"{LINE} --dry-run",
        "export",
        "print(df.columns.tolist(), export.status)",
    )
    outputs = [cell.outputs for cell in notebook.cells]
    assert f"a sandbox with made-up data is in use, at {account.base_url}" in outputs[0][0].text
    cards = [
        sum("MyTracker export" in output.get("data", {}).get("text/plain", "") for output in cell)
        for cell in outputs
    ]
    assert cards == [0, 1, 1, 1, 1, 1, 1, 0]
    assert all("Success!" in outputs[at][0].data["text/html"] for at in (2, 3, 4))
    # the card, the result in one line, then the first rows
    pattern = r"df: [\d,]+ rows x 2 columns, \d files?, [\d.]+ (kB|MB), [\d.]+ s\n"
    assert re.fullmatch(pattern, outputs[3][1].text)
    assert "idDevice" in outputs[3][2].data["text/plain"]
    assert outputs[-1][0].text == "['idDevice', 'tsEvent'] Success!\n"
    assert account.secret_key not in nbformat.writes(notebook)


def test_a_bad_request_stops_a_notebook_with_a_short_error(account: Sandbox) -> None:
    cells = ["%load_ext mytracker_nb", "%%mytracker_export\nevent = instals", "reached = True"]
    with pytest.raises(CellExecutionError, match="InvalidRequest"):
        execute(*cells)
    notebook = execute(*cells[:2], allow_errors=True)
    (error,) = notebook.cells[1].outputs
    assert error.ename == "InvalidRequest"
    assert error.traceback == [
        f"InvalidRequest: {error.evalue}",
    ]
    assert len(error.evalue.splitlines()) < 8
    assert "line 2: event = instals" in error.evalue
