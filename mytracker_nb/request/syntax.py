"""Writing a request as a magic, as Python and as curl, and parsing these.

The notation of the magic, the same in its line and its cell form::

    name=value          in a line: spaces end a value, unless they follow or precede a comma;
                        a comment after # ends the line
    name = value        in a cell: one per line; comments after #; a list continues after a
                        comma, in an open brace, or on an indented line
    a, b                a list; only commas separate
    "a, b"  'a, b'      one text, up to the closing quote on the same line
    $name  {expression} the object itself
    today-{days}d       in a longer text, the text of an expression

It parses and writes values without validating them. The scanner also records where each part of a
value is, for completion and for the carets under an error.
"""

from __future__ import annotations

import ast
import keyword
import re
import shlex
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote_plus, urlencode

from mytracker_nb.endpoints import CREATE_PATH
from mytracker_nb.request.coercion import Placeholder, Unreadable, is_single, iter_values

__all__ = [
    "Assignment",
    "Parsed",
    "Span",
    "literal",
    "parse_cell",
    "parse_magic",
    "parse_url",
    "to_call",
    "to_cell_magic",
    "to_curl",
    "to_line_call",
    "to_line_magic",
    "to_python",
]

Evaluate = Callable[[str], Any]

_WIDTH = 88  # where a list in code is continued on the next line
# `export = %mytracker_export ...` assigns the result
_MAGIC = re.compile(r"\s*(?:[^\W\d][^\n=%]*=[ \t]*(?=%mytracker_))?(%{1,2})\s*\w+[ \t]*")
# wider than any name of the service, so that a misspelt name is reported as unknown
_ASSIGNMENT = re.compile(r"([^\W\d][\w.-]*(?:\[\d*\])?)\s*=")
_OPTION = re.compile(r"--?[A-Za-z]")
_VARIABLE = re.compile(r"\$([^\W\d]\w*(?:\.[^\W\d]\w*)*)")
_BRACES = re.compile(r"\{([^{}]*)\}")
_DOUBLE_BRACES = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_FORMAT = re.compile(r"([^{}!:]+)(?:![rsa])?(?::[^{}]*)?")  # of a placeholder in an f-string
_STRING = re.compile(r"""[fFrRbBuU]{1,2}(["']).*\1""", re.DOTALL)
_CURLY_QUOTES = "\u201c\u201d\u201e\u2018\u201a"  # not the apostrophe, U+2019
# what needs no quotes; at the end of a line IPython reads a question mark as a request for help, a
# semicolon as "no output", and a backslash as a continuation
_PLAIN = re.compile(rf"(?![-${_CURLY_QUOTES}])[^\s,;#=?{{}}\"'\\]+")
_FIELD = re.compile(r"[\w.]+(\[\d*\]|%5B\d*%5D)?=", re.IGNORECASE)  # how a query begins
_CURL_WORD = re.compile(r"(-d|--[\w-]+=?)?(.*)", re.DOTALL)  # an option, a value, or both


def literal(expression: str) -> Any:
    """Evaluate an expression that is a Python literal; no other is allowed."""
    try:
        return ast.literal_eval(expression)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise ValueError("needs the notebook's variables; only literals work here") from None


class Span(NamedTuple):
    """A part of a text, from `start` up to `end` (exclusive)."""

    start: int
    end: int

    def shift(self, by: int) -> Span:
        """The same part in a text that has `by` more characters before it."""
        return Span(self.start + by, self.end + by)


@dataclass(frozen=True)
class Assignment:
    """One ``name=value``.

    Attributes
    ----------
    name : str
        The text before the equals sign.
    value : object
        Text, an object, or a list of both; `Unreadable` if it can't be parsed.
    start, end : int
        Where the assignment is in the text.
    parts : tuple of Span
        The parts of the value in the text, with their quotes, without the space around them. An
        empty part has a span of no length. Without an equals sign there are none.
    """

    name: str
    value: Any
    start: int
    end: int
    parts: tuple[Span, ...] = ()

    @property
    def name_span(self) -> Span:
        """Where the name is in the text."""
        return Span(self.start, self.start + len(self.name))


@dataclass
class Parsed:
    """A parsed magic.

    Attributes
    ----------
    assignments : list of Assignment
        The parameters, in the order written.
    options : list of str
        The words of the options (``--out``, ``df``), for an option parser.
    hides_result : bool
        Whether the text ends with ``;``, IPython's sign for "no output".
    """

    assignments: list[Assignment] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    hides_result: bool = False

    @property
    def parameters(self) -> dict[str, Any]:
        """The values by name; a name that is written twice gets a list."""
        result: dict[str, Any] = {}
        for assignment in self.assignments:
            name, value = assignment.name, assignment.value
            result[name] = (
                [*iter_values(result[name]), *iter_values(value)] if name in result else value
            )
        return result


def _bare(text: str) -> str:
    """`text` without the space and the byte order mark around it."""
    return text.lstrip("\ufeff \t\r\n").rstrip(" \t\r\n")


def parse_magic(text: str, evaluate: Evaluate = literal) -> Parsed:
    """Parse a whole magic, or only the text after its name.

    Parameters
    ----------
    text : str
        A line or a cell. Never raises.
    evaluate : callable
        Evaluates an expression; if it raises, the value is `Unreadable`.
    """
    text = _bare(text)
    magic = _MAGIC.match(text)
    if magic is None and "\n" in text:
        return parse_cell("", text, evaluate)
    body = text[magic.end() :] if magic else text
    if magic is None or magic[1] == "%":
        body = re.sub(r"\\\r?\n", " ", body)  # a backslash continues a line magic
    line, has_cell, cell = body.partition("\n")
    parsed = parse_cell(line, cell if has_cell else None, evaluate)
    if magic is None and not parsed.options and any(map(_is_stray, parsed.assignments)):
        return parse_cell("", text, evaluate)  # a cell of one line, with spaces or a comment
    return parsed


def parse_cell(line: str, cell: str | None, evaluate: Evaluate = literal) -> Parsed:
    """Parse the line of a magic and the cell below it, None for a line magic.

    Positions of assignments count through `line`, a line break, and `cell`.
    """
    last = (line if cell is None else cell).rstrip()
    parsed = Parsed(hides_result=last.endswith(";"))
    if parsed.hides_result:
        last = last.removesuffix(";")
        line, cell = (last, cell) if cell is None else (line, last)
    cell = cell or ""
    text = f"{line}\n{cell}"
    _read_line(_Scanner(text, evaluate, end=len(line)), parsed)
    _read_cell(_Scanner(text, evaluate, start=len(line) + 1, in_cell=True), parsed)
    return parsed


def _read_line(scan: _Scanner, parsed: Parsed) -> None:
    takes_word = False  # whether a bare word may be the value of the option before it
    while scan.skip_space():
        start = scan.pos
        if scan.text[start] == "#":
            return
        if scan.text.startswith("-", start):
            parsed.options.append(scan.word())
            takes_word = "=" not in parsed.options[-1]
        elif assignment := scan.assignment():
            parsed.assignments.append(assignment)
            takes_word = False
        else:
            word = scan.word()
            if takes_word:
                parsed.options.append(word)
            else:
                parsed.assignments.append(_stray(word, start, scan.pos))
            takes_word = False


def _read_cell(scan: _Scanner, parsed: Parsed) -> None:
    while scan.skip_lines():
        start = scan.pos
        assignment = scan.assignment()
        if assignment is None:
            end = scan.line_end()
            assignment = _stray(scan.text[start:end].strip(), start, end)
            scan.pos = end
        parsed.assignments.append(assignment)


def _stray(word: str, start: int, end: int) -> Assignment:
    why = "is not of the form name=value; " + (
        "options belong on the first line"
        if _OPTION.match(word)
        else "put quotes around a value with spaces, and commas between the values of a list"
    )
    return Assignment(word, Unreadable(word, why), start, end)


def _is_stray(assignment: Assignment) -> bool:
    return isinstance(assignment.value, Unreadable) and assignment.value.text == assignment.name


@dataclass
class _Scanner:
    """Parses a text from a position, which each method moves past what it has read."""

    text: str
    evaluate: Evaluate
    start: int = 0
    end: int = -1
    in_cell: bool = False

    def __post_init__(self) -> None:
        self.pos = self.start
        if self.end < 0:
            self.end = len(self.text)

    def skip_space(self) -> bool:
        """Skip spaces, but not the line breaks of a cell; return whether anything is left."""
        while self.pos < self.end and self.is_space(self.pos):
            self.pos += 1
        return self.pos < self.end

    def is_space(self, position: int) -> bool:
        """Whether a space of any kind is at `position`; pasted text has no-break spaces."""
        char = self.text[position]
        return char.isspace() and not (self.in_cell and char == "\n")

    def skip_lines(self) -> bool:
        """Skip spaces, line breaks and comments; return whether anything is left."""
        while self.skip_space():
            if self.text[self.pos] == "#":
                self.pos = self.line_end()
            elif self.text[self.pos] == "\n":
                self.pos += 1
            else:
                return True
        return False

    def line_end(self) -> int:
        """The end of the current line."""
        end = self.text.find("\n", self.pos, self.end)
        return self.end if end < 0 else end

    def word(self) -> str:
        """Read up to the next space."""
        match = re.compile(r"\S+").match(self.text, self.pos, self.end)
        assert match is not None
        self.pos = match.end()
        return match[0]

    def assignment(self) -> Assignment | None:
        """Read ``name=value``; None if the text here is something else."""
        match = _ASSIGNMENT.match(self.text, self.pos, self.end)
        if match is None or (self.in_cell and "\n" in match[0]):
            return None
        start, self.pos = self.pos, match.end()
        value, parts = self.value()
        if self.in_cell:
            rest = self.text[self.pos : self.line_end()].strip()
            if rest and not rest.startswith("#") and not isinstance(value, Unreadable):
                value = Unreadable(rest, "follows a closing quote or brace; a comma is missing")
            self.pos = self.line_end()
        return Assignment(match[1], value, start, self.pos, parts)

    def value(self) -> tuple[Any, tuple[Span, ...]]:
        """Read the value after an equals sign, and where its parts are."""
        parts: list[Any] = []
        spans: list[Span] = []
        quoted = False
        while True:
            start = end = self.pos
            if self.next_part(first=not parts):
                start = self.pos
                part, quoted = self.part()
                end = start + len(self.text[start : self.pos].rstrip())
            else:
                part = ""
            parts.append(part)
            spans.append(Span(start, end))
            before = self.pos
            if self.skip_between() and self.text[self.pos] == ",":
                self.pos += 1
                continue
            self.pos = before
            break
        return self.combined(parts, quoted), tuple(spans)

    def combined(self, parts: list[Any], quoted: bool) -> Any:
        """Combine parts to a value; `quoted` is whether the last part was in quotes."""
        for part in parts:
            if isinstance(part, Unreadable):
                return part
        if len(parts) == 1:
            # a quoted text is one value, even if it has commas
            return [parts[0]] if quoted and parts[0] else parts[0]
        return [item for part in parts for item in iter_values(part)]

    def skip_between(self) -> bool:
        """Skip space before a comma; return whether anything is left.

        In a cell an indented line continues the list, so its line break is such a space.
        """
        left = self.skip_space()
        if left and self.in_cell and self.text[self.pos] == "#":
            return False
        if left and self.in_cell and self.text[self.pos] == "\n":
            before = self.pos
            if self.skip_lines() and self.text[self.pos] == ",":
                return True
            self.pos = before
            return False
        return left

    def next_part(self, first: bool) -> bool:
        """Move to the next part of a value; return whether there is one."""
        before = self.pos
        left = self.skip_space()
        apart = self.pos > before
        if self.in_cell:
            apart = left and self.text[self.pos] in "\n#"
            if apart:
                left = self.skip_lines() and (not first or self.is_space(self.pos - 1))
        # the next parameter or an option follows: this value ends with an empty part
        if left and apart and (self.starts(_ASSIGNMENT) or self.starts(_OPTION)):
            left = False
        if not left:
            self.pos = before
        return left

    def starts(self, pattern: re.Pattern[str]) -> bool:
        """Whether `pattern` matches at the position."""
        return pattern.match(self.text, self.pos, self.end) is not None

    def part(self) -> tuple[Any, bool]:
        """Read one part of a value, and whether it was quoted."""
        char = self.text[self.pos]
        if char in "\"'":
            return self.quoted(char), True
        start = self.pos
        variable = _VARIABLE.match(self.text, start, self.end)
        pieces: list[Any] = []
        while not self.is_delimiter(self.pos):
            if self.text[self.pos] == "{":
                pieces.append(self.expression())
            elif literal_text := self.literal_text():
                pieces.append(literal_text)
        text = self.text[start : self.pos].rstrip()
        if variable and text == variable[0]:
            return self.evaluated(text, variable[1]), False
        if variable:
            return Unreadable(text, "is more than a name; put expressions in {braces}"), False
        if char in _CURLY_QUOTES:
            return Unreadable(text, "starts with a typographic quote; use straight quotes"), False
        if _STRING.fullmatch(text):
            return Unreadable(text, f"is a string of Python; write it in braces: {{{text}}}"), False
        for piece in pieces:
            if isinstance(piece, Unreadable):
                return Unreadable(text, piece.why), False
        if len(pieces) > 1 and "${" in text:
            braced = text.replace("${", "{")
            return Unreadable(text, f"has a $ before a brace; write {braced}"), False
        piece = pieces[0] if len(pieces) == 1 else self.joined(text, pieces)
        # an expression that was evaluated may give any text
        return (self.checked(piece) if piece == text else piece), False

    def literal_text(self) -> str:
        """Read up to a brace or to the end of the part, whose trailing spaces do not count."""
        start = self.pos
        while not self.is_delimiter(self.pos) and self.text[self.pos] != "{":
            self.pos += 1
        text = self.text[start : self.pos]
        return text.rstrip() if self.is_delimiter(self.pos) else text

    def is_delimiter(self, position: int) -> bool:
        """Whether an unquoted part ends at `position`."""
        if position >= self.end:
            return True
        char = self.text[position]
        if not self.in_cell:
            return char == "," or char.isspace()
        return char in ",\n" or (char == "#" and self.is_space(position - 1))

    def quoted(self, quote: str) -> Any:
        """Read a text in quotes; there are no escapes."""
        close = self.text.find(quote, self.pos + 1, self.line_end())
        if close < 0:
            start, self.pos = self.pos, self.line_end()
            return Unreadable(self.text[start : self.pos], "has no closing quote")
        text, self.pos = self.text[self.pos + 1 : close], close + 1
        return self.checked(text)

    def checked(self, text: str) -> str:
        """The text of a value; a `Placeholder` if it is probably meant to be evaluated.

        Other notations evaluate what this one sends as text: SQL magics and IPython names after a
        dollar sign and placeholders in quotes, templates double braces, f-strings formats. A text
        counts if it is one placeholder, or if the notebook has the names in it.
        """
        if _VARIABLE.fullmatch(text):
            return Placeholder(text, text)
        if template := _DOUBLE_BRACES.fullmatch(text):
            source = template[1]
            return Placeholder(text, f"{{{source}}}") if self.knows(source) else text
        braced = text.replace("${", "{")
        sources = _BRACES.findall(braced)
        if not sources:
            named = _VARIABLE.sub(self._braced, text)
            return Placeholder(text, named) if named != text else text
        if braced.count("{") != len(sources):
            return text
        if all(map(self.knows, sources)):
            return Placeholder(text, braced)
        formats = [_FORMAT.fullmatch(source) for source in sources]
        if all(found and self.knows(found[1]) for found in formats):
            return Placeholder(text, f"{{f{braced!r}}}")
        return text

    def _braced(self, variable: re.Match[str]) -> str:
        return f"{{{variable[1]}}}" if self.knows(variable[1]) else variable[0]

    def knows(self, source: str) -> bool:
        """Whether the notebook has all names of an expression, which is not evaluated."""
        if not _is_expression(source):
            return False
        names = {node.id for node in ast.walk(_tree(source)) if isinstance(node, ast.Name)}
        return bool(names) and not any(
            isinstance(self.evaluated(name, name), Unreadable) for name in names
        )

    def expression(self) -> Any:
        """Read ``{expression}``: the shortest text up to a closing brace that is Python."""
        start = self.pos
        close = self.text.find("}", start, self.end)
        while close >= 0:
            source = self.text[start + 1 : close]
            if _is_expression(source):
                self.pos = close + 1
                return self.evaluated(self.text[start : self.pos], source.strip())
            close = self.text.find("}", close + 1, self.end)
        self.pos = self.line_end()
        return Unreadable(self.text[start : self.pos], "is not a Python expression in braces")

    def evaluated(self, text: str, source: str) -> Any:
        try:
            return self.evaluate(source)
        except Exception as error:  # the notebook's own code can raise anything
            if self.evaluate is literal:
                return Unreadable(text, str(error))
            # format_exception_only returns a text even if the exception's own str() raises
            return Unreadable(text, traceback.format_exception_only(error)[-1].strip())

    def joined(self, text: str, pieces: list[Any]) -> Any:
        for piece in pieces:
            if not is_single(piece) or isinstance(piece, Mapping):
                kind = type(piece).__name__
                return Unreadable(text, f"joins text and a {kind}; only single values have a text")
        try:
            return "".join(map(str, pieces))
        except Exception as error:
            return Unreadable(text, f"can't be made a text ({type(error).__name__})")


def _tree(source: str) -> ast.AST:
    # in brackets, so that an expression can have several lines
    return ast.parse(f"({source}\n)", mode="eval")


def _is_expression(source: str) -> bool:
    try:
        _tree(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return bool(source.strip())


def _written(value: Any, *, in_list: bool = False) -> str:
    """One part of a value, written as in a magic."""
    if isinstance(value, Unreadable):
        return value.text
    if isinstance(value, str):
        if value.isprintable() and _PLAIN.fullmatch(value):
            return value
        for quote in "\"'":
            if value.isprintable() and value and quote not in value:
                return f"{quote}{value}{quote}"
        # as a list of one text, whose commas do not separate
        return "" if not value and in_list else f"{{{[value]!r}}}"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return f"{{{value!r}}}"


def _parts_written(value: Any) -> list[str]:
    if isinstance(value, (list, tuple)):
        return [_written(part, in_list=len(value) > 1) for part in value]
    return [_written(value)]


def to_line_magic(magic: str, parameters: Mapping[str, Any]) -> str:
    """Write `parameters` as a line magic."""
    words = [f"{name}={','.join(_parts_written(value))}" for name, value in parameters.items()]
    return " ".join([f"%{magic}", *words])


def to_cell_magic(magic: str, parameters: Mapping[str, Any], line_width: int = _WIDTH) -> str:
    """Write `parameters` as a cell magic, one per line; long lists continue on the next line."""
    width = max(map(len, parameters), default=0)
    lines = [f"%%{magic}"]
    for name, value in parameters.items():
        lines.extend(_wrapped(f"{name:{width}} = ", _parts_written(value), line_width))
    return "\n".join(lines)


def _wrapped(start: str, parts: list[str], line_width: int) -> Iterator[str]:
    line = start
    for position, part in enumerate(parts):
        last = position == len(parts) - 1
        text = part if last else f"{part},"
        if line.strip() and line != start and len(line) + len(text) > line_width:
            yield line.rstrip()
            line = " " * len(start)
        line += text if last else f"{text} "
    yield line.rstrip()


def to_python(parameters: Mapping[str, Any], line_width: int = _WIDTH) -> str:
    """Write `parameters` as Python code that creates the export."""
    call = to_call("mt.export", parameters, line_width)
    return f"import mytracker_nb as mt\n\nexport = {call}"


def to_call(function: str, parameters: Mapping[str, Any], line_width: int = _WIDTH) -> str:
    """Write `parameters` as the arguments of a call in Python; long lists take several lines.

    A value without a literal is written as its text: the code runs, and validation reports it.
    """
    lines: list[str] = []
    for name, value in parameters.items():
        start, end = _argument(name)
        lines.extend(_python_argument(f"    {start}", value, f"{end},", line_width))
    return "\n".join([f"{function}(", *lines, ")"])


def to_line_call(function: str, parameters: Mapping[str, Any]) -> str:
    """Write `parameters` as the arguments of a call in Python, all on one line."""
    written = [_python(value).join(_argument(name)) for name, value in parameters.items()]
    return f"{function}({', '.join(written)})"


def _argument(name: str) -> tuple[str, str]:
    """What stands before and after the value of an argument."""
    plain = name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
    return (f"{name}=", "") if plain else (f"**{{{name!r}: ", "}")


def _python_argument(start: str, value: Any, end: str, line_width: int) -> Iterator[str]:
    text = _python(value)
    if not isinstance(value, tuple) or len(start) + len(text) + len(end) <= line_width:
        yield f"{start}{text}{end}"
        return
    yield f"{start}["
    yield from _wrapped(" " * 8, list(map(_python, value)), line_width)
    yield f"    ]{end}"


def _python(value: Any) -> str:
    if type(value) in (str, int):  # nearly all; a parser for each of many ids takes its time
        return repr(value)
    if isinstance(value, Unreadable):
        return repr(value.text)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_python, value))}]"
    try:
        literal(repr(value))
    except ValueError:
        return repr(repr(value))
    return repr(value)


def to_curl(fields: list[tuple[str, str]], base_url: str) -> str:
    """Write form fields as a curl command, with a placeholder for the signature."""
    return " \\\n  ".join(
        [
            f"curl -X POST {shlex.quote(base_url + CREATE_PATH)}",
            "-H 'Authorization: AuthHMAC <API User ID>:<signature>'",
            f"--data {shlex.quote(urlencode(fields))}",
        ]
    )


def parse_url(text: str) -> dict[str, Any]:
    """Parse the service's own URL, a query string or a curl command.

    Array-style names (``idApp[]``, ``idApp[0]``) give lists, and so do repeated names.
    """
    text = _bare(text)
    is_curl = re.match(r"curl(\.exe)?\s", text)
    pieces = _sent(text) if is_curl else [re.sub(r"""^(['"])(.*)\1$""", r"\2", text)]
    result: dict[str, Any] = {}
    for query in map(_query, pieces):
        for name, value in parse_qsl(query, keep_blank_values=True):
            base, array = re.subn(r"\[\d*\]$", "", name)
            if base in result or array:
                result[base] = [*iter_values(result.get(base, [])), value]
            else:
                result[base] = value
    return result


def _sent(command: str) -> Iterator[str]:
    """The words of a curl command that can be its data, encoded as curl sends them."""
    try:
        words = shlex.split(command.replace("\\\n", " "))
    except ValueError:  # a quote is not closed
        words = command.split()
    before = ""
    for word in words:
        option, value = _CURL_WORD.fullmatch(word).groups("")  # type: ignore[union-attr]
        if "urlencode" in (option or before):
            name, equals, content = value.partition("=")
            value = f"{name}{equals}{quote_plus(content)}"
        before = "" if value else option
        yield value


def _query(piece: str) -> str:
    """The query string of a URL, or `piece` if it is one; ``""`` if there is none."""
    if _FIELD.match(piece):
        return piece
    address, _, query = piece.partition("?")
    if "://" in address:
        return query.partition("#")[0]
    # other words of a curl command are not queries
    return query if _FIELD.match(query) else ""
