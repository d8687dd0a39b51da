"""`check_notebook`: searches a saved notebook for keys, ids and unmarked sandbox outputs."""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mytracker_nb.errors import FileError, printable
from mytracker_nb.recordings.entry import Entry
from mytracker_nb.recordings.privacy import NIL, Pseudonyms
from mytracker_nb.recordings.recording import INDEX, key_of, read_index
from mytracker_nb.service import credentials

__all__ = ["Finding", "check_notebook", "main"]

_SHOWN = 3  # examples shown of each finding

_KEYS = (
    (re.compile(r"AuthHMAC \d+:[\w+/=]{20,}"), "a signature"),
    (re.compile(r"MYTRACKER_SECRET_KEY['\"\]]*\s*=\s*['\"]?[^\s'\"]{6,}"), "a secret key"),
    (re.compile(r"\bsecret_key\s*=\s*['\"][^'\"*]{6,}"), "a secret key"),
    (re.compile(r"\bClient\(\s*\d+\s*,\s*['\"][^'\"]{6,}"), "a secret key"),
)
_IDS = (
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "UUID"),
    # digits alone can be a time in microseconds
    (re.compile(r"\b(?=\d*[a-f])[0-9a-f]{16}\b", re.IGNORECASE), "16-digit hexadecimal number"),
    (re.compile(r"(?<![\d.])\d{18,20}(?![\d.])"), "number of 18 to 20 digits"),
)
_TEXTS = ("text/plain", "text/html", "text/markdown", "text/latex", "application/json")
_TAG = re.compile(r"<style\b.*?</style>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_ELEMENT_ID = re.compile(r"\b(?:id|for|aria-labelledby)=[\"']([^\"']+)[\"']", re.IGNORECASE)
_TOKEN = re.compile(r"[\w@.+-]+")
_RECORDING = re.compile(
    r"^\s*%mytracker_recording[ \t]+(?P<line>[^\n#]+)"
    r"|\brecording\(\s*(?P<quoted>['\"][^'\"]+['\"])",
    re.MULTILINE,
)
_SANDBOX = re.compile(r"^\s*%mytracker_sandbox\b(?!.*--stop)|\bsandbox\.start\(", re.MULTILINE)


@dataclass(frozen=True)
class Finding:
    """Something in a notebook that should not be shared.

    Attributes
    ----------
    cell : int
        The number of the cell, from 1; 0 for the whole notebook.
    what : str
        What was found, and where.
    examples : tuple of str
        Some of the texts; keys are not shown.
    """

    cell: int
    what: str
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f"cell {self.cell}: " if self.cell else ""
        more = f": {', '.join(self.examples)}" if self.examples else ""
        return printable(f"{where}{self.what}{more}")


def check_notebook(path: str | os.PathLike[str]) -> tuple[Finding, ...]:
    """Search a saved notebook for data that should not be shared.

    It searches for keys and signatures; for ids in outputs (UUIDs, 16-digit hexadecimal numbers,
    numbers of 18 to 20 digits, and ids for which its recording has pseudonyms, if the recording's
    key is on this machine); and for outputs of a sandbox that are not marked as such.

    Parameters
    ----------
    path : path
        The ``.ipynb`` file.

    Returns
    -------
    tuple of Finding
        The findings. No finding does not prove that there is nothing.

    Raises
    ------
    FileError
        If the file, or the recording that it uses, can't be read.

    Examples
    --------
    >>> import nbformat
    >>> output = nbformat.v4.new_output("stream", text="00f1b2c3-0000-4000-8000-0123456789ab")
    >>> cell = nbformat.v4.new_code_cell("df", outputs=[output])
    >>> nbformat.write(nbformat.v4.new_notebook(cells=[cell]), "report.ipynb")
    >>> for finding in mt.check_notebook("report.ipynb"):
    ...     print(finding)
    cell 1: UUID in the output, maybe an id: 00f1b2c3-0000-4000-8000-0123456789ab
    """
    path = Path(path)
    cells = _cells(path)
    recordings = [
        directory
        for cell in cells
        for directory in _recordings(cell.source)
        if (path.parent / directory / INDEX).exists()
    ]
    entries: list[Entry] = []
    plain_of: list[tuple[Pseudonyms, frozenset[str]]] = []
    for directory in dict.fromkeys(recordings):
        found = read_index(path.parent / directory)
        entries += found.values()
        if (pseudonyms := key_of(path.parent / directory)) is not None:
            plain_of.append((pseudonyms, _pseudonyms_in(path.parent / directory, found.values())))
    secret = _secret_in_use()
    findings: list[Finding] = []
    for cell in cells:
        findings += _keys(cell, secret)
        findings += _ids(cell, plain_of)
    findings += _unmarked(cells, entries)
    return tuple(findings)


@dataclass(frozen=True)
class _Cell:
    number: int
    source: str
    outputs: tuple[str, ...]  # as saved
    shown: tuple[str, ...]  # without HTML tags


def _cells(path: Path) -> list[_Cell]:
    try:
        notebook = json.loads(path.read_text("utf-8"))
        cells = notebook["cells"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileError(f"{path}: not a readable notebook ({error})", file=path) from error
    found = []
    for number, cell in enumerate(cells, start=1):
        outputs = tuple(_output_texts(cell.get("outputs", ())))
        shown = tuple(map(_without_tags, outputs))
        found.append(_Cell(number, _joined(cell.get("source", "")), outputs, shown))
    return found


def _joined(text: Any) -> str:
    return "".join(text) if isinstance(text, list) else str(text)


def _output_texts(outputs: Sequence[dict[str, Any]]) -> Iterator[str]:
    for output in outputs:
        yield _joined(output.get("text", ""))
        yield "\n".join([str(output.get("evalue", "")), *output.get("traceback", ())])
        for kind, content in output.get("data", {}).items():
            if kind in _TEXTS:
                yield (
                    content
                    if isinstance(content, str)
                    else (_joined(content) if isinstance(content, list) else json.dumps(content))
                )
            elif kind.endswith("+json"):  # charts contain their rows
                yield json.dumps(content, ensure_ascii=False)


def _without_tags(text: str) -> str:
    elements = set(_ELEMENT_ID.findall(text))
    shown = _TAG.sub(" ", text)
    for element in elements:  # scripts of charts contain the id of their element
        shown = shown.replace(element, " ")
    return shown


def _recordings(source: str) -> Iterator[str]:
    for match in _RECORDING.finditer(source):
        if match["quoted"]:
            yield str(ast.literal_eval(match["quoted"]))
            continue
        words = match["line"].split()
        takes_value = ("--keep", "--drop", "--sample")
        for before, word in zip(["", *words], words, strict=False):
            if not word.startswith("-") and before not in takes_value:
                yield word.strip("'\"")
                break


def _pseudonyms_in(directory: Path, entries: Any) -> frozenset[str]:
    """All pseudonyms in the rows of a recording."""
    import pyarrow.parquet as pq

    found: set[str] = set()
    for entry in entries:
        if entry.pseudonyms and (directory / entry.file).exists():
            table = pq.read_table(directory / entry.file, columns=list(entry.pseudonyms))
            for column in table.columns:
                found.update(filter(None, column.unique().to_pylist()))
    return frozenset(found)


def _secret_in_use() -> str:
    account = None
    with suppress(Exception):  # no account, or a keyring that can't be read
        account = credentials.find()
    return str(account.secret_key) if account else ""


def _keys(cell: _Cell, secret: str) -> Iterator[Finding]:
    for place, texts in (("source", (cell.source,)), ("output", cell.outputs)):
        text = "\n".join(texts)
        found = {what for pattern, what in _KEYS if pattern.search(text)}
        if len(secret) >= 6 and secret in text:
            found.add("the secret key in use")
        for what in sorted(found):
            yield Finding(cell.number, f"{what} in the {place}")


def _ids(cell: _Cell, plain_of: Sequence[tuple[Pseudonyms, frozenset[str]]]) -> Iterator[Finding]:
    text = "\n".join(cell.shown)
    seen: set[str] = set()
    for pseudonyms, known in plain_of:
        tokens = dict.fromkeys(_TOKEN.findall(text))
        plain = [
            token for token in tokens if not NIL.fullmatch(token) and pseudonyms.of(token) in known
        ]
        if plain:
            seen.update(plain)
            what = f"{len(plain)} ids in the output, for which the recording has pseudonyms"
            yield Finding(cell.number, what, tuple(plain[:_SHOWN]))
    for pattern, what in _IDS:
        found = dict.fromkeys(match[0] for match in pattern.finditer(text))
        other = [one for one in found if one not in seen and not NIL.fullmatch(one)]
        if other:
            count = f"{len(other)} x " if len(other) > 1 else ""
            yield Finding(
                cell.number, f"{count}{what} in the output, maybe an id", tuple(other[:_SHOWN])
            )


def _unmarked(cells: Sequence[_Cell], entries: Sequence[Entry]) -> Iterator[Finding]:
    """Report a notebook whose outputs are of a sandbox and do not say so."""
    outputs = "\n".join(text for cell in cells for text in cell.outputs)
    if not outputs.strip() or "SANDBOX" in outputs:
        return
    is_sandbox = any(entry.is_sandbox for entry in entries)
    used = any(_SANDBOX.search(cell.source) for cell in cells)
    if is_sandbox or used or re.search(r"https?://(127\.0\.0\.1|localhost):\d+", outputs):
        yield Finding(0, "outputs are of a sandbox, and none says SANDBOX: show an export")


def main(arguments: Sequence[str] | None = None) -> int:
    """Check notebooks: ``python -m mytracker_nb.check NOTEBOOK ...``.

    Returns
    -------
    int
        0 if nothing was found, 1 if something was, 2 if a notebook can't be read.
    """
    parser = argparse.ArgumentParser(
        prog="python -m mytracker_nb.check",
        description="Search saved notebooks for keys, plain ids and unmarked outputs of a "
        "sandbox. Exit code: 0 nothing found, 1 something found, 2 a file can't be read.",
    )
    parser.add_argument("notebooks", nargs="+", metavar="NOTEBOOK")
    code = 0
    for path in parser.parse_args(arguments).notebooks:
        try:
            findings = check_notebook(path)
        except FileError as error:
            print(error, file=sys.stderr)
            code = 2
            continue
        for finding in findings:
            print(f"{path}: {finding}")
        code = max(code, int(bool(findings)))
    return code
