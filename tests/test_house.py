"""The folders: which may import which, what an import loads, and the public names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import mytracker_nb as mt

if TYPE_CHECKING:
    from mytracker_nb.sandbox.server import Sandbox

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mytracker_nb"
FACES = {"form", "magics", "sandbox"}
FOLDERS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.stem not in ("__init__", "__main__")
}


def loaded_by(*modules: str) -> set[str]:
    """What a new Python has loaded once it has imported `modules`."""
    code = f"import sys, {', '.join(modules)}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


def test_folders_import_only_from_lower_ones_and_in_no_circle() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_contributing_names_every_folder_and_module() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = re.search(r"```\nmytracker_nb/\n(.*?)```", text, re.DOTALL)
    assert tree is not None
    lines = re.findall(r"^( *)([a-z_]+)(?:/|\.py) ", tree[1], re.MULTILINE)
    named, folder = set(), ""
    for indent, name in lines:
        folder = name if len(indent) == 2 else folder
        named.add(f"mytracker_nb.{name}" if len(indent) == 2 else f"mytracker_nb.{folder}.{name}")
    modules = {name for name in MODULES if not name.startswith("mytracker_nb.sandbox.")}
    assert named == modules | {f"mytracker_nb.{folder}" for folder in FOLDERS}


def test_folders_have_no_code_of_their_own() -> None:
    for folder in FOLDERS - {"sandbox"}:
        assert (PACKAGE / folder / "__init__.py").read_text() == ""


def test_the_package_alone_loads_nothing() -> None:
    ours = {name for name in loaded_by("mytracker_nb") if name.startswith("mytracker_nb")}
    assert ours == {"mytracker_nb"}
    # what it needs of the standard library, and what these need
    assert loaded_by("mytracker_nb") - loaded_by("__future__", "importlib", "typing") == ours


def test_the_core_loads_no_notebook_and_no_table() -> None:
    core = [name for name in sorted(MODULES) if name.split(".")[1] not in FACES]
    packages = {name.partition(".")[0] for name in loaded_by(*core)}
    heavy = {
        "IPython",
        "dask",
        "duckdb",
        "filelock",
        "flask",
        "humanize",
        "ipywidgets",
        "jinja2",
        "keyring",
    }
    assert packages & (heavy | {"numpy", "pandas", "polars", "pyarrow"}) == set()


def test_every_public_name_is_there() -> None:
    for name in dir(mt):
        assert getattr(mt, name) is not None
    assert set(mt.__all__) == set(dir(mt))


def test_no_public_function_has_the_name_of_a_folder() -> None:
    # the folder would hide it once it is imported
    assert FOLDERS & set(dir(mt)) == {"sandbox"}


def test_public_names_are_few_and_known_to_type_checkers() -> None:
    source = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    named = set(re.findall(r"^    from \S+ import \w+ as (\w+)", source, re.MULTILINE))
    assert named == set(dir(mt)) - {"__version__"}


@pytest.mark.parametrize(
    ("name", "hint"), [("exprot", "did you mean 'export'"), ("zzzzzz", "dir"), ("_private", "$")]
)
def test_a_misspelt_name_gets_a_suggestion(name: str, hint: str) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{name}'.*{hint}"):
        getattr(mt, name)


def test_the_names_that_other_code_builds_on_are_there(sandbox: Sandbox) -> None:
    request = mt.ExportRequest(
        event="installs", selectors="idDevice", dateFrom="2025-11-03", dateTo="2025-11-09"
    )
    client = mt.Client(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url, None)
    export = client.create(request).wait()
    frames = "data to_pandas to_arrow to_polars to_duckdb to_dask to_parquet"
    names: dict[object, str] = {
        mt: "ExportRequest Problem Client InvalidRequest RawData RequestBuilder RateLimiter"
        " export attach plan exports journal columns cache recording open_files sandbox",
        mt.sandbox: "start",
        sandbox: "base_url api_user_id secret_key stop",
        request: "problems is_valid check replace wire to_magic to_python to_curl from_magic"
        " from_url",
        client: "create attach quotas",
        export: "id_raw_export status progress is_cancellable files request refresh wait cancel"
        f" __await__ download {frames}",
        mt.Plan: "run exports status to_pandas to_parquet",
        mt.cache(): "clear",
        mt.RequestBuilder: "parameters magic request problems export field visible submit",
    }
    for thing, expected in names.items():
        assert [name for name in expected.split() if not hasattr(thing, name)] == []
    assert dict(export)["idRawExport"] == export.id_raw_export
