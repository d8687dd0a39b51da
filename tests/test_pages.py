"""The pages: every piece of Python in them is run, from the top; every link leads somewhere."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import pytest

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

ROOT = Path(__file__).parents[1]
PIECES = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINKS = re.compile(r"\]\((?!https?:|#)([^)#]+)[^)]*\)|<img src=\"([^\"]+)\"")
PAGES = (
    "README.md",
    "README.ru.md",
    "CONTRIBUTING.md",
    "docs/recipes.md",
    "docs/reference.md",
    "docs/schedules.md",
    "docs/frontends.md",
    "docs/share.md",
)


def duckdb_version() -> tuple[int, int]:
    major, minor, *_ = version("duckdb").split(".")
    return int(major), int(minor)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "README.ru.md", "docs/recipes.md"])
def test_every_piece_works(
    name: str, shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mpl.use("agg")
    monkeypatch.chdir(tmp_path)  # a page may write files
    # a page may keep a sandbox, of which a data directory has one
    monkeypatch.setenv("MYTRACKER_NB_DATA_DIR", str(tmp_path / "data"))
    pieces = PIECES.findall((ROOT / name).read_text(encoding="utf-8"))
    assert len(pieces) > 5
    try:
        for piece in pieces:
            if "SET VARIABLE" in piece and duckdb_version() < (1, 1):
                continue  # as the page says
            shell.run_cell(piece).raise_error()
    finally:
        shell.run_line_magic("mytracker_sandbox", "--stop")


@pytest.mark.parametrize("name", PAGES)
def test_every_link_within_leads_somewhere(name: str) -> None:
    page = ROOT / name
    links = ["".join(groups) for groups in LINKS.findall(page.read_text(encoding="utf-8"))]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_contributing_names_modules_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)+\w+\.(?:py|csv|js|css))`", text))
    assert len(named) > 5
    folders = (ROOT, ROOT / "mytracker_nb")
    assert [name for name in sorted(named) if not any((f / name).exists() for f in folders)] == []


def test_both_readmes_show_the_same() -> None:
    english, russian = ((ROOT / name).read_text(encoding="utf-8") for name in PAGES[:2])
    pictures = re.compile(r"docs/\w+\.png")
    assert pictures.findall(english) == pictures.findall(russian)
    assert list(map(bare, PIECES.findall(english))) == list(map(bare, PIECES.findall(russian)))
    options = re.compile(r"^\| `(%*[-\w ]+)", re.MULTILINE)
    assert [name.split()[0] for name in options.findall(english)] == [
        name.split()[0] for name in options.findall(russian)
    ]


def bare(piece: str) -> str:
    """A piece of code without what a translation changes: comments, and texts in Cyrillic."""
    piece = re.sub(r"[ \t]*(#|-- -1:).*", "", piece)
    return re.sub(r'(?<=title=)".*?"|(?<=fillna\()"\w+"|"level_up"|"[А-я ]+"', '""', piece)
