"""ClickHouse's array text as lists."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mytracker_nb.tables.clickhouse_arrays import NotAnArray, parse_array, parse_arrays

MEANINGS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0", "a": "\a", "v": "\v"}
MEANINGS |= {"e": "\x1b", "'": "'", '"': '"', "`": "`", "/": "/", "\\": "\\"}


def written(elements: list[str]) -> str:
    """Array text as ClickHouse writes it."""
    signs = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}
    signs |= {"\b": "\\b", "\f": "\\f"}
    quoted = ("'" + "".join(signs.get(c, c) for c in element) + "'" for element in elements)
    return "[" + ",".join(quoted) + "]"


def plainly_read(cell: str) -> list[str] | None:
    """A reader that goes letter by letter: quoted elements with single commas, or None."""
    if not (len(cell) >= 2 and cell[0] == "[" and cell[-1] == "]"):
        return None
    inner, place, elements = cell[1:-1], 0, []
    if not inner:
        return []
    while True:
        if place >= len(inner) or inner[place] != "'":
            return None
        place += 1
        element = ""
        while place < len(inner) and inner[place] != "'":
            if inner[place] == "\\":
                place += 1
                if place == len(inner):
                    return None
                letter = inner[place]
                element += MEANINGS.get(letter, "\\" + letter)
            else:
                element += inner[place]
            place += 1
        if place == len(inner):
            return None
        elements.append(element)
        place += 1
        if place == len(inner):
            return elements
        if inner[place] != ",":
            return None
        place += 1


def parsed(*cells: str) -> list[list[str | None]]:
    return parse_arrays(pa.array(cells, pa.string())).to_pylist()


TEXT = st.text(st.one_of(st.sampled_from("[]',\\\"\n\r\t\0 axnN0"), st.characters(codec="utf-8")))


@given(st.lists(st.lists(TEXT, max_size=4), max_size=8))
def test_what_clickhouse_writes_is_read_back(arrays):
    cells = [written(elements) for elements in arrays]
    assert parsed(*cells) == arrays
    assert [parse_array(cell) for cell in cells] == arrays
    assert [plainly_read(cell) for cell in cells] == arrays


@given(st.lists(st.text(st.sampled_from("[]',\\anx"), max_size=9), min_size=1, max_size=5))
def test_any_text_is_parsed_as_by_the_simple_parser_or_as_one_of_the_rarer_forms(texts):
    cells = [f"['{text}']" for text in texts]
    one_by_one = [parse_array(cell) for cell in cells]
    if None in one_by_one:
        with pytest.raises(NotAnArray) as caught:
            parsed(*cells)
        assert caught.value.cell == cells[one_by_one.index(None)]
    else:
        assert parsed(*cells) == one_by_one
    for cell, elements in zip(cells, one_by_one, strict=True):
        plain = plainly_read(cell)
        # '' inside of quotes and \xFF are known to the full reader only
        if plain is not None and "''" not in cell[2:-2] and "\\x" not in cell:
            assert elements == plain


@pytest.mark.parametrize(
    ("cell", "elements"),
    [
        ("[]", []),
        ("['']", [""]),
        ("['','']", ["", ""]),
        (r"['level','item\'s \"name\"']", ["level", 'item\'s "name"']),
        (r"['a\\']", ["a\\"]),
        (r"['a\\\'b']", ["a\\'b"]),
        (r"['\\n','\n']", ["\\n", "\n"]),
        ("['a\r\nb']", ["a\r\nb"]),
        ("[',','],[','[']", [",", "],[", "["]),
        (r"['\d']", ["\\d"]),
        (r"['\xd0\x9f']", ["П"]),
        ("['it''s']", ["it's"]),
        ("[1,2.5,-3]", ["1", "2.5", "-3"]),
        ("['a', 'b' , NULL]", ["a", "b", None]),
        ("[ ]", []),
        ("['меч','🗡']", ["меч", "🗡"]),
    ],
)
def test_forms(cell, elements):
    assert parse_array(cell) == elements
    # beside cells of the common form, which take another way
    assert parsed("['x']", cell, "[]", cell) == [["x"], elements, [], elements]


@pytest.mark.parametrize(
    "cell",
    [
        *("", "[", "]", "['a'", "'a']", "['a]", r"['a\']", "['a''b]", "['a','b]", "['a',]"),
        *(
            "['a']'b']",
            "['a'['b']",
            "[,'a']",
            "['a'x'b']",
            "['a' 'b']",
            "[['a']]",
            r"['\xff']",
            "level",
            "['a']['b']",
        ),
    ],
)
def test_a_cell_that_is_not_an_array_is_reported(cell):
    assert parse_array(cell) is None
    with pytest.raises(NotAnArray) as caught:
        parsed("['x']", cell, "['y']")
    assert caught.value.cell == cell


def test_a_slice_of_a_column_is_parsed():
    cells = pa.array(["['no']", "['a','b']", "['\\'']", "['no']"])
    assert parse_arrays(cells.slice(1, 2)).to_pylist() == [["a", "b"], ["'"]]


def test_no_cells_are_no_lists():
    empty = parse_arrays(pa.array([], pa.string()))
    assert (len(empty), empty.type) == (0, pa.list_(pa.string()))
