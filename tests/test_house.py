"""The house: who may import whom, and how little that costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mytracker_nb as mt

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mytracker_nb"
FOR_THE_SANDBOX = {"dictionaries", "sandbox_directory"}
FACES = 7


def floors() -> Iterator[tuple[int, str]]:
    """Each module with its floor, as the table in CONTRIBUTING.md names them."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for floor, names in re.findall(r"^\| (\d) \| ([^|]*) \|", text, re.MULTILINE):
        yield from ((int(floor), name) for name in re.findall("`(.*?)`", names))


FLOORS = {name: floor for floor, name in floors()}


def imported(path: Path) -> set[str]:
    """The modules of ours that a file imports, at once or later; not those of annotations."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            package, _, module = node.module.partition(".")
            if package == "mytracker_nb":
                found |= {module} if module else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.partition(".")[2] for a in node.names if "mytracker_nb" in a.name}
    return {name.partition(".")[0] for name in found} - {"__version__"}


def loaded_by(*modules: str) -> set[str]:
    """What a new Python has loaded once it has imported `modules`."""
    code = f"import sys, {', '.join(modules)}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


def test_every_module_has_its_floor() -> None:
    modules = sorted(path.stem for path in PACKAGE.glob("*.py"))
    assert sorted(["__init__", *(name for _, name in floors())]) == modules
    assert list(FLOORS.values()) == sorted(FLOORS.values())


@pytest.mark.parametrize("name", FLOORS)
def test_a_module_imports_only_what_is_named_before_it(name: str) -> None:
    before = set(list(FLOORS)[: list(FLOORS).index(name)])
    aside = {"sandbox"} if name == "magics" else set()
    assert imported(PACKAGE / f"{name}.py") - before - aside == set()


def test_the_sandbox_stands_aside() -> None:
    for path in (PACKAGE / "sandbox").glob("*.py"):
        assert imported(path) - FOR_THE_SANDBOX - {"sandbox"} == set(), path.name


def test_the_package_alone_loads_nothing() -> None:
    ours = {name for name in loaded_by("mytracker_nb") if name.startswith("mytracker_nb")}
    assert ours == {"mytracker_nb"}
    # what it needs of the standard library, and what these need
    assert loaded_by("mytracker_nb") - loaded_by("__future__", "importlib", "typing") == ours


def test_the_core_loads_no_notebook_and_no_table() -> None:
    core = [f"mytracker_nb.{name}" for name, floor in FLOORS.items() if floor < FACES]
    packages = {name.partition(".")[0] for name in loaded_by(*core)}
    heavy = {"IPython", "dask", "duckdb", "flask", "ipywidgets", "jinja2", "keyring"}
    assert packages & (heavy | {"numpy", "pandas", "polars", "pyarrow"}) == set()


def test_every_public_name_is_there() -> None:
    for name in dir(mt):
        assert getattr(mt, name) is not None
    assert set(mt.__all__) == set(dir(mt))


def test_no_public_function_has_the_name_of_a_module() -> None:
    # the module would hide it once it is imported
    assert set(FLOORS) & set(dir(mt)) == set()


def test_public_names_are_few_and_known_to_type_checkers() -> None:
    source = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    named = set(re.findall(r"^    from \S+ import \w+ as (\w+)", source, re.MULTILINE))
    assert named == set(dir(mt)) - {"__version__"}


@pytest.mark.parametrize(
    ("name", "told"), [("exprot", "did you mean 'export'"), ("zzzzzz", "dir"), ("_private", "$")]
)
def test_a_misspelt_name_is_met_with_the_near_one(name: str, told: str) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{name}'.*{told}"):
        getattr(mt, name)
