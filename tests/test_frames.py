"""From gzip CSV files to tables: pandas, Arrow, polars and DuckDB."""

from __future__ import annotations

import csv
import gzip
import io
import os
import pickle
import subprocess
import sys
import warnings
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_client import created, data

import mytracker_nb as mt
from mytracker_nb.download import gzip_csv
from mytracker_nb.request.dictionaries import selectors
from mytracker_nb.tables import raw_data
from mytracker_nb.tables.clickhouse_arrays import parse_array
from mytracker_nb.tables.raw_data import ColumnTypeWarning, open_files


@pytest.fixture
def file(tmp_path):
    """Write a gzip CSV file of the given text."""

    def write(text: str | bytes, name: str = "1.csv.gz") -> Path:
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode() if isinstance(text, str) else text))
        return path

    return write


def cells(path: Path, column: str) -> list[Any]:
    return open_files(path).to_arrow()[column].to_pylist()


def expected(selector: str, text: str) -> Any:
    """The value that a cell's text means, worked out cell by cell."""
    kind = selectors()[selector].kind if selector in selectors() else "unknown"
    if text == "":
        return "" if kind == "unknown" or selector in ("eventName", "customUserId") else None
    if kind in ("id", "integer", "flag"):
        return int(text)
    if kind == "number":
        return float(text)
    if kind == "timestamp":
        return None if text == "0" else datetime.fromtimestamp(int(text), timezone.utc)
    if kind == "date":
        return date.fromisoformat(text)
    if kind == "list":
        return parse_array(text)
    return text


# -- types ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("idDevice", "18446744073709551615", "18446744073709551615"),
        ("idDevice", "007", "007"),
        ("SDKKey", "00000012345678901234", "00000012345678901234"),
        ("SDKKey", "99999999999999999999", "99999999999999999999"),
        ("customUserId", "=1+1", "=1+1"),
        ("customUserId", " padded ", " padded "),
        ("eventName", "null", "null"),
        ("eventName", "nan", "nan"),
        ("idCountryISOAlpha2", "NA", "NA"),
        ("idAppVersionTitle", "4.10", "4.10"),
        ("idAppTitle", "None", "None"),
        ("idAppTitle", "Игра «Сад»", "Игра «Сад»"),
        ("idCountry", "188", 188),
        ("idCountry", "-9223372036854775808", -(2**63)),
        ("idCountry", "9223372036854775807", 2**63 - 1),
        ("eventValue", "0", 0),
        ("screenDiagonal", "6.5", 6.5),
        ("tsEvent", "1529746957", datetime(2018, 6, 23, 9, 42, 37, tzinfo=timezone.utc)),
        ("tsEvent", "0", None),
        ("dtEvent", "2026-11-01", date(2026, 11, 1)),
        ("params.name", r"['it\'s','b']", ["it's", "b"]),
        ("params.name", "['']", [""]),
        ("params.name", "[]", []),
        ("idNobodyKnows", "0012", "0012"),
        ("tsNobodyKnows", "1529746957", "1529746957"),
    ],
)
def test_a_cell_keeps_its_value(file, column, text, value):
    sheet = io.StringIO()
    csv.writer(sheet, lineterminator="\n").writerows([[column, "idApp"], [text, "1"]])
    assert cells(file(sheet.getvalue()), column) == [value]


@pytest.mark.parametrize("empty", ["", '""'])
@pytest.mark.parametrize(
    "column", ["idDevice", "idCountry", "idAppTitle", "tsEvent", "dtEvent", "xdpi", "params.name"]
)
def test_empty_is_missing(file, column, empty):
    with_value = {"params.name": "['a']", "dtEvent": "2026-11-01"}.get(column, "12")
    path = file(f"idApp,{column}\n1,{with_value}\n2,{empty}\n")
    assert [value is None for value in cells(path, column)] == [False, True]


@pytest.mark.parametrize("column", ["eventName", "customUserId", "whatever"])
def test_empty_text_in_quotes_is_not_missing(file, column):
    path = file(f'idCountry,{column}\n"",""\n1,\n2,x\n')
    assert cells(path, column) == ["", None, "x"]
    assert cells(path, "idCountry") == [None, 1, 2]


def test_the_schema_comes_from_the_dictionary_with_titles(file):
    path = file("idDevice,idCountry,idAppTitle,tsEvent,dtEvent,params.name,xdpi,nobody\n")
    schema = open_files(path).schema
    assert [str(kind) for kind in schema.types] == [
        "string",
        "int64",
        "dictionary<values=string, indices=int32, ordered=0>",
        "timestamp[us, tz=UTC]",
        "date32[day]",
        "list<item: string>",
        "double",
        "string",
    ]
    assert schema.field("idCountry").metadata == {b"kind": b"id", b"title": b"Country id"}
    assert schema.field("nobody").metadata == {b"kind": b"unknown"}
    empty = open_files(path).to_arrow()
    assert (empty.num_rows, empty.schema) == (0, schema)


def test_no_column_of_the_dictionary_is_without_a_type():
    schema = raw_data.schema(selectors())
    assert len(schema) == len(selectors())
    assert not any(pa.types.is_null(kind) for kind in schema.types)


# -- what does not fit ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "good", "bad"),
    [
        ("idCountry", "188", "18x"),
        ("idCountry", "188", "007"),
        ("idCountry", "188", "-0"),
        ("idCountry", "188", "+7"),
        ("idCountry", "188", " 7"),
        ("idCountry", "188", "0x1F"),
        ("idCountry", "188", "1e3"),
        ("idCountry", "188", "9223372036854775808"),
        ("idCountryISONumeric", "643", "004"),
        ("tsEvent", "1529746957", "2018-06-23"),
        ("tsEvent", "1529746957", "-1"),
        ("tsEvent", "1529746957", "1529746957000"),
        ("dtEvent", "2026-11-01", "2026-11-1"),
        ("dtEvent", "2026-11-01", "0000-00-00"),
        ("dtEvent", "2026-11-01", "2026-02-30"),
        ("xdpi", "5.5", "5,5"),
        ("params.name", "['a']", "level"),
    ],
)
def test_a_column_with_a_cell_that_does_not_fit_stays_text(file, column, good, bad):
    first = file(f'idApp,{column}\n1,"{good}"\n2,\n', "1.csv.gz")
    second = file(f'idApp,{column}\n3,"{good}"\n4,"{bad}"\n', "2.csv.gz")
    rows = open_files([first, second])
    with pytest.warns(ColumnTypeWarning, match=rf"{column}: .*2\.csv\.gz, line 3\)"):
        table = rows.to_arrow()
    assert table[column].to_pylist() == [good, None, good, bad]
    assert table["idApp"].to_pylist() == [1, 2, 3, 4]
    with pytest.warns(ColumnTypeWarning):
        assert rows.head(4)[column].tolist()[3] == bad


def test_all_columns_with_type_errors_are_reported_and_read_again(file):
    text = "idApp,idOs,dtEvent\n" + "1,2,2026-11-01\n" * 20 + "x,2,2026-11-01\n1,y,z\n"
    with pytest.warns(ColumnTypeWarning) as warned:
        table = open_files(file(text)).to_arrow()
    assert sorted(str(warning.message).partition(":")[0] for warning in warned) == [
        "dtEvent",
        "idApp",
        "idOs",
    ]
    assert {str(kind) for kind in table.schema.types} == {"string"}
    assert (table["idApp"].to_pylist()[20], table["idOs"].to_pylist()[21]) == ("x", "y")


# -- all events of the sandbox, through every target ----------------------------------------------

COLUMNS = (
    *("idDevice", "SDKKey", "customUserId", "idCountry", "idCountryISOAlpha2", "idAppTitle"),
    *("idAppVersionTitle", "tsEvent", "tsInstall", "dtEvent", "eventName", "eventValue"),
    *("params.name", "params.value", "screenDiagonal", "rooted", "idfa", "idNobodyKnows"),
)


@pytest.fixture(scope="module")
def world(sandbox, tmp_path_factory):
    """Files of an export, and the texts of their cells by column."""
    number = created(
        sandbox, event="customEvents", selectors=",".join(COLUMNS), dateTo="2025-11-04"
    )
    assert data(sandbox, number)["status"] == "Success!"
    folder = tmp_path_factory.mktemp("world")
    paths, rows = [], []
    for place, text in enumerate(sandbox.served(number)):
        paths.append(folder / f"{place}.csv.gz")
        paths[-1].write_bytes(gzip.compress(text.encode()))
        rows += csv.DictReader(io.StringIO(text, newline=""))
    assert len(rows) > 500
    return paths, {name: [row[name] for row in rows] for name in COLUMNS}


def as_python(value: Any) -> Any:
    """A cell of any target as plain Python."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return list(value)
    if pd.isna(value):
        return None
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


def compare(got: dict[str, list[Any]], texts: dict[str, list[str]]) -> None:
    assert list(got) == list(texts)
    for name in texts:
        want = [expected(name, text) for text in texts[name]]
        have = [as_python(value) for value in got[name]]
        if name in ("eventName", "customUserId", "idNobodyKnows"):
            # CSV with as few quotes as possible does not tell "" from nothing
            want = [value or None for value in want]
        assert have == want, name


def test_arrow_and_pandas_have_the_served_rows(world):
    paths, texts = world
    rows = open_files(paths)
    compare(rows.to_arrow().to_pydict(), texts)
    frame = rows.to_pandas(dtype_backend="pyarrow")
    compare({name: frame[name].tolist() for name in frame}, texts)
    plain = rows.to_pandas()
    got = {name: plain[name].tolist() for name in plain}
    got["dtEvent"] = [None if pd.isna(day) else day.date() for day in plain["dtEvent"]]
    compare(got, texts)
    with pytest.raises(ValueError, match="numpy_nullable"):
        rows.to_pandas(dtype_backend="polars")  # type: ignore[arg-type]


def test_polars_and_duckdb_have_the_served_rows(world):
    paths, texts = world
    polars = open_files(paths).to_polars()
    compare({name: polars[name].to_list() for name in polars.columns}, texts)
    relation = open_files(paths).to_duckdb()
    compare(relation.to_arrow_table().to_pydict(), texts)


def test_a_relation_can_be_on_a_connection_of_the_user(world):
    import duckdb

    paths, texts = world
    with duckdb.connect() as connection:
        rows = open_files(paths).to_duckdb(connection)
        assert rows.aggregate("count(*)").fetchall() == [(len(texts["idDevice"]),)]


_DAYS = """
import sys, duckdb, mytracker_nb as mt
from mytracker_nb.tables.raw_data import open_files
rows, zones = open_files(sys.argv[1]), [{}, {"tz": "Europe/Moscow"}]
dataset = mt.open_dataset(rows.to_parquet(sys.argv[2]))
for to_duckdb in (rows.to_duckdb, dataset.to_duckdb):
    for connection, zone in [(each, zone) for each in (duckdb.connect(), None) for zone in zones]:
        found = to_duckdb(connection, **zone).project('"tsEvent", "tsEvent"::date AS day').df()
        print(found["day"][0].date(), found["tsEvent"][0], found["tsEvent"].dtype, sep="|")
"""


@pytest.mark.parametrize("machine", ["Asia/Tokyo", "America/New_York"])
def test_duckdb_counts_days_in_the_zone_asked_for_on_every_machine(file, tmp_path, machine):
    path = file("idDevice,tsEvent\n1,1789074000\n")
    script = [sys.executable, "-c", _DAYS, path, tmp_path / "dataset"]
    done = subprocess.run(
        script, env=os.environ | {"TZ": machine}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == 4 * [
        "2026-09-10|2026-09-10 21:00:00+00:00|datetime64[us, UTC]",
        "2026-09-11|2026-09-11 00:00:00+03:00|datetime64[us, Europe/Moscow]",
    ]


@pytest.mark.parametrize("size", [1, 4096])
def test_the_block_size_does_not_change_the_rows(world, monkeypatch, size):
    paths, texts = world
    monkeypatch.setattr(gzip_csv, "_INFLATED", 999)
    monkeypatch.setitem(raw_data.RawData._tables.__kwdefaults__, "size", size)
    some = paths[:1]
    table = open_files(some).to_arrow()
    compare(table.to_pydict(), {name: texts[name][: table.num_rows] for name in texts})


def test_values_that_the_official_client_loses_are_correct(file):
    """`pd.read_csv` with guessed types, as the public client of the service reads files."""
    text = (
        "SDKKey,idDevice,idCountry,idAppVersionTitle,idCountryISOAlpha2,eventName,tsClick\n"
        "00000000000000000012,18446744073709551615,188,4.10,NA,null,0\n"
        "00000000000000000013,9007199254740993,,4.20,RU,nan,1529746957\n"
    )
    path = file(text)
    theirs = pd.read_csv(path, compression="gzip")
    ours = open_files(path).to_pandas()
    for name, expected in [
        ("SDKKey", ["00000000000000000012", "00000000000000000013"]),
        ("idAppVersionTitle", ["4.10", "4.20"]),
        ("idCountryISOAlpha2", ["NA", "RU"]),
        ("eventName", ["null", "nan"]),
    ]:
        assert theirs[name].tolist() != expected
        assert ours[name].tolist() == expected
    assert str(theirs["idCountry"].dtype) == "float64"
    assert str(ours["idCountry"].dtype) == "Int64"
    assert ours["idDevice"].tolist() == ["18446744073709551615", "9007199254740993"]
    assert ours["tsClick"].isna().tolist() == [True, False]


def test_a_frame_describes_its_columns_and_can_be_pickled(file):
    frame = open_files(file("idDevice,idApp,nobody\n1,2,3\n")).to_pandas()
    assert frame.attrs == {
        "idDevice": "Device id (physical device, or browser)",
        "idApp": "App id",
    }
    again = pickle.loads(pickle.dumps(frame))
    pd.testing.assert_frame_equal(again, frame)
    assert again.attrs == frame.attrs


def test_categories_are_those_of_all_files(file):
    first = file("idAppTitle\nb\n\na\n", "1.csv.gz")
    second = file("idAppTitle\nc\nb\n", "2.csv.gz")
    frame = open_files([first, second]).to_pandas(categories=True)
    assert frame["idAppTitle"].dtype == pd.CategoricalDtype(["b", "a", "c"])
    assert [as_python(value) for value in frame["idAppTitle"]] == ["b", None, "a", "c", "b"]


# -- files ----------------------------------------------------------------------------------------


def test_rows_and_columns_keep_their_order(file):
    paths = [
        file("idApp,idOs\n1,2\n3,4\n", "b.csv.gz"),
        file("idOs,idApp\n6,5\n", "a.csv.gz"),
        file("idApp,idOs\n7,8\n", "c.csv.gz"),
    ]
    assert open_files(paths).to_arrow().to_pydict() == {"idApp": [1, 3, 5, 7], "idOs": [2, 4, 6, 8]}
    assert open_files(str(paths[0])).selectors == ("idApp", "idOs")


def test_an_export_without_files_or_rows_is_an_empty_frame_of_the_right_types(file):
    for rows in (
        raw_data.RawData([], ["idApp", "tsEvent", "idAppTitle"]),
        open_files(file("idApp,tsEvent,idAppTitle\n")),
    ):
        frame = rows.to_pandas()
        assert frame.shape == (0, 3)
        assert str(frame.dtypes["tsEvent"]) == "datetime64[us, UTC]"
        assert rows.to_polars().shape == (0, 3)
        assert rows.head().shape == (0, 3)


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\r\n"])
def test_the_last_line_can_end_in_many_ways(file, end):
    assert open_files(file("idApp,idOs\n1,2\n3,4" + end)).to_arrow().num_rows == 2


def test_an_empty_line_of_one_column_is_an_empty_cell(file):
    assert cells(file('eventName\na\n\n""\nb\n'), "eventName") == ["a", None, "", "b"]


def test_lines_can_end_as_on_windows(file):
    path = file('idApp,eventName\r\n1,"a\r\nb"\r\n2,c\r\n')
    assert cells(path, "eventName") == ["a\r\nb", "c"]


def test_a_file_of_several_gzip_members_and_padding_is_one_file(tmp_path):
    path = tmp_path / "1.csv.gz"
    path.write_bytes(gzip.compress(b"idApp\n1\n") + gzip.compress(b"2\n") + b"\0" * 512)
    assert cells(path, "idApp") == [1, 2]


def test_a_byte_order_mark_is_not_part_of_the_header(file):
    assert open_files(file("\ufeffidApp\n1\n")).selectors == ("idApp",)


def test_without_isal_zlib_is_used(file, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "isal", None)
    assert cells(file("idApp\n1\n"), "idApp") == [1]


ROWS = st.lists(
    st.tuples(
        st.text(st.sampled_from("a\"\n\r,'[]\\ я0"), max_size=8),
        st.one_of(st.just(""), st.integers(-(2**63), 2**63 - 1).map(str)),
        st.text(st.sampled_from('x"\n\r,'), max_size=5),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(
    ROWS,
    st.integers(1, 60),
    st.integers(1, 20),
    # with "\n" alone the writer of older Pythons leaves a "\r" without quotes
    st.sampled_from([(csv.QUOTE_MINIMAL, "\r\n"), (csv.QUOTE_ALL, "\n"), (csv.QUOTE_ALL, "\r\n")]),
)
def test_any_rows_are_read_at_any_block_boundaries(rows, size, block, style):
    sheet = io.StringIO()
    writer = csv.writer(sheet, quoting=style[0], lineterminator=style[1])
    writer.writerows([("customUserId", "idApp", "nobody"), *rows])
    text = sheet.getvalue().encode()
    blocks = [text[start : start + block] for start in range(0, len(text), block)]
    header, pieces = gzip_csv.open_csv(blocks, "x", size)
    parser = raw_data.Parser(header)
    got, line = [], 2
    for piece in pieces:
        assert piece.line == line
        line += piece.text.count(b"\n")
        assert piece.quotes == piece.text.count(b'"')
        got += parser.parse(piece, header, "x").to_pylist()
    assert [(row["customUserId"] or "", row["idApp"], row["nobody"] or "") for row in got] == [
        (user, int(number) if number else None, text) for user, number, text in rows
    ]
    assert not parser.type_errors


# -- params ---------------------------------------------------------------------------------------

PARAMS = (
    "idApp,params.name,params.value,idOs\n"
    "1,\"['level','item']\",\"['5','sword']\",9\n"
    "2,[],[],9\n"
    "3,\"['item','item']\",\"['a','b']\",9\n"
    "4,,,9\n"
    "5,\"['level','gold']\",\"['7']\",9\n"
)


@pytest.mark.parametrize("text", ["1e400", "1e-400", "0.1234567890123456789", "+1.5", ".5", "x"])
@pytest.mark.parametrize("beside", ["1", "1a"])
def test_a_number_that_a_double_can_not_represent_stays_text(file, text, beside):
    with pytest.warns(ColumnTypeWarning):
        table = open_files(file(f"xdpi,idApp\n{text},{beside}\n")).to_arrow()
    assert table["xdpi"].to_pylist() == [text]


@pytest.mark.parametrize("beside", ["1", "1a"])
@pytest.mark.filterwarnings("ignore::mytracker_nb.tables.raw_data.ColumnTypeWarning")
def test_numbers_are_doubles_in_every_block(file, beside):
    texts = ["1.50", "-2e3", "inf", "-inf", "", "401.5"]
    rows = "".join(f"{text},{beside}\n" for text in [*texts, "nan"])
    numbers = open_files(file(f"xdpi,idApp\n{rows}")).to_arrow()["xdpi"]
    assert numbers.type == pa.float64()
    assert numbers.to_pylist()[:-1] == [float(text) if text else None for text in texts]
    assert numbers[-1].as_py() != numbers[-1].as_py()


def test_the_year_0_is_not_a_date(file):
    with pytest.warns(ColumnTypeWarning, match="0000-01-01"):
        assert cells(file("dtEvent,idApp\n0000-01-01,1\n"), "dtEvent") == ["0000-01-01"]


def test_a_byte_order_mark_in_a_cell_is_part_of_it(file):
    assert cells(file("customUserId,idApp\n\ufeffivan,1\n"), "customUserId") == ["\ufeffivan"]


def test_params_as_wide_columns(file):
    table = open_files(file(PARAMS)).to_arrow(params=["level", "item", "none"])
    assert table.column_names == [
        "idApp",
        "params.level",
        "params.item",
        "params.none",
        "idOs",
    ]
    assert table["params.level"].to_pylist() == ["5", None, None, None, "7"]
    # of two of the same name the first
    assert table["params.item"].to_pylist() == ["sword", None, "a", None, None]
    assert table["params.none"].null_count == 5


def test_params_as_a_map(file):
    table = open_files(file(PARAMS)).to_arrow(params="map")
    assert table.column_names == ["idApp", "params", "idOs"]
    assert table["params"].to_pylist() == [
        [("level", "5"), ("item", "sword")],
        [],
        # of two of the same name the first: DuckDB and Spark take no map that has both
        [("item", "a")],
        None,
        [("level", "7"), ("gold", None)],
    ]
    frame = open_files(file(PARAMS)).to_pandas(params="map")
    assert dict(frame["params"][0]) == {"level": "5", "item": "sword"}


def test_a_missing_name_is_not_a_key_of_a_map(file):
    table = open_files(file("params.name,params.value\n\"[NULL,'a']\",\"['1','2']\"\n")).to_arrow(
        params="map"
    )
    assert table["params"].to_pylist() == [[("a", "2")]]


def test_maps_are_read_by_duckdb(file, tmp_path):
    rows = open_files(file(PARAMS))
    with duckdb.connect() as connection:
        relation = rows.to_duckdb(connection, params="map")
        maps = relation.project("map_keys(params), map_values(params)").fetchall()
    assert maps[2] == (["item"], ["a"])
    assert maps[3] == (None, None)
    rows.to_parquet(tmp_path / "parts", params="map")
    count = duckdb.sql(f"SELECT count(params) FROM '{tmp_path}/parts/*.parquet'").fetchall()
    assert count == [(4,)]


def test_a_cell_that_is_not_an_array_affects_its_own_row_only(file):
    paths = [
        file(PARAMS),
        file("idApp,params.name,params.value,idOs\n6,oops,['1'],9\n", "2.csv.gz"),
    ]
    with pytest.warns(ColumnTypeWarning, match=r"'oops' .*line 2\).*without parameters"):
        wide = open_files(paths).to_pandas(params=["level"])
    assert list(wide.columns) == ["idApp", "params.level", "idOs"]
    assert [as_python(value) for value in wide["params.level"]] == ["5", *[None] * 3, "7", None]
    with pytest.warns(ColumnTypeWarning, match="without parameters"):
        maps = open_files(paths).to_arrow(params="map")
    assert maps["params"].to_pylist()[3:] == [None, [("level", "7"), ("gold", None)], None]
    with pytest.warns(ColumnTypeWarning, match="the column was loaded as text"):
        full = open_files(paths).to_arrow()
    assert full["params.name"].to_pylist()[-2:] == ["['level','gold']", "oops"]
    assert full["params.value"].to_pylist()[-2:] == [["7"], ["1"]]


def test_params_need_both_columns(file):
    with pytest.raises(mt.MyTrackerError, match=r"params\.value"):
        open_files(file("idApp,params.name\n1,[]\n")).to_pandas(params="map")


@pytest.mark.parametrize("params", [True, "maps", 5, ["level", 5], {"level": 1}, b"map"])
def test_an_invalid_params_says_what_is_accepted(file, params):
    with pytest.raises(mt.MyTrackerError, match=r'params takes "map" .* or a list of names'):
        open_files(file(PARAMS)).to_pandas(params=params)


@pytest.mark.parametrize(
    ("selector", "params"), [("params.level", ["item", "level"]), ("params", "map")]
)
def test_a_parameter_does_not_replace_a_column_of_its_name(file, selector, params):
    path = file(f"{selector},params.name,params.value\n1,[],[]\n")
    with pytest.raises(mt.MyTrackerError, match=f"second column '{selector}'"):
        open_files(path).to_pandas(params=params)


@pytest.mark.parametrize("dtype_backend", ["numpy_nullable", "pyarrow"])
def test_parameters_of_a_row_are_a_dict_that_rows_share(file, dtype_backend):
    path = file(PARAMS + "6,\"['level','item']\",\"['5','sword']\",9\n")
    params = open_files(path).to_pandas(params="map", dtype_backend=dtype_backend)["params"]
    assert params.tolist() == [
        {"level": "5", "item": "sword"},
        {},
        {"item": "a"},
        None,
        {"level": "7", "gold": None},
        {"level": "5", "item": "sword"},
    ]
    assert params[0]["level"] == "5"
    assert params[0].get("gold", "none") == "none"
    assert params.str["level"].fillna("-").tolist() == ["5", "-", "-", "-", "7", "5"]
    assert params[0] is params[5]
    for change in (
        lambda cell: cell.update(level="6"),
        lambda cell: cell.pop("level"),
        lambda cell: cell.__setitem__("level", "6"),
        lambda cell: cell.__delitem__("level"),
        lambda cell: cell.setdefault("gold", "6"),
    ):
        with pytest.raises(TypeError, match=r"dict\(params\)"):
            change(params[0])
    again = pickle.loads(pickle.dumps(params))
    assert again.tolist() == params.tolist()
    assert hash(again[0]) == hash(params[0])


# -- bad input ------------------------------------------------------------------------------------


def packed(data: bytes) -> bytes:
    """`data` as a gzip file without a time, which would be in the names of the tests."""
    return gzip.compress(data, mtime=0)


GOOD = packed(b"idApp,eventName\n" + b"".join(b"%d,event %d\n" % (n, n) for n in range(9999)))


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        (b"", "is empty"),
        (GOOD[:5], "incomplete"),
        (GOOD[:-1], "incomplete"),
        (GOOD[: len(GOOD) // 2], "incomplete"),
        (GOOD[:3000] + bytes([GOOD[3000] ^ 255]) + GOOD[3001:], "damaged"),
        (GOOD[:-6] + b"\0\0" + GOOD[-4:], "damaged"),
        (b"\x89PNG\r\n", "not a gzip file"),
        (b'{"code": 403, "message": "Access denied"}', "JSON instead of the file"),
        (
            gzip.compress(b'{"code": 403, "message": "Access denied"}', mtime=0),
            "JSON instead of the file",
        ),
        (b"<!DOCTYPE html><html>Bad gateway", "HTML or XML page"),
        (b'<?xml version="1.0"?><Error>', "HTML or XML page"),
        (packed(b""), "without even a header"),
        (packed(b"<!DOCTYPE html>\n<html>\n"), "HTML or XML page"),
        (packed(b"idApp,eventName\n1,\xff\n"), "invalid UTF-8"),
        (packed("idApp,eventName\n1,a\n".encode("utf-16")), "UTF-8"),
        (packed(b'idApp,eventName\n1,"a\n2,b\n'), "never ends"),
        (packed(b"idApp,idApp\n1,2\n"), "twice: idApp"),
    ],
)
def test_a_bad_file_is_reported_by_name(tmp_path, octets, message):
    path = tmp_path / "bad.csv.gz"
    path.write_bytes(octets)
    with pytest.raises(mt.FileError, match=message) as error:
        open_files(path).to_arrow()
    assert error.value.file == str(path)
    with pytest.raises(mt.FileError):
        open_files(path).to_parquet(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("4", "1 cells, the header 2"),
        ("4,5,6", "3 cells, the header 2"),
        ("", "1 cells, the header 2"),
        ("4,\udcff", "UTF-8"),
    ],
)
def test_a_bad_row_is_reported_by_line(file, row, message):
    text = 'idApp,eventName\n1,"a\nb\r\nc"\n2,b\n' + row + "\n3,c\n"
    path = file(text.encode(errors="surrogateescape"))
    with pytest.raises(mt.FileError, match=message) as error:
        open_files(path).to_arrow()
    assert (error.value.file, error.value.line) == (str(path), 6)


PLAIN = b"idApp,eventName\n1,a\n2,b\n"
ROWS_OF_PLAIN = {"idApp": [1, 2], "eventName": ["a", "b"]}


@pytest.mark.parametrize(
    ("octets", "message"),
    # without the time of day, which would be in the names of the tests
    [
        (gzip.compress(PLAIN, mtime=0) + b"garbage", "after the end of the gzip stream"),
        (PLAIN, "not compressed with gzip"),
        (gzip.compress(gzip.compress(PLAIN, mtime=0), mtime=0), "compressed with gzip twice"),
        (
            gzip.compress(b"eventName,IDAPP\na,1\nb,2\n", mtime=0),
            "spells column names differently",
        ),
        (
            gzip.compress(b"idApp,tsEvent,eventName\n1,odd,a\n2,,b\n", mtime=0),
            "ignored columns that were not requested: tsEvent",
        ),
        (
            gzip.compress(b"idApp,eventName\n1,a\n", mtime=0)
            + gzip.compress(b"idApp,eventName\n2,b\n", mtime=0),
            "consists of several files",
        ),
    ],
)
def test_a_file_is_read_where_it_can_be(tmp_path, octets, message):
    path = tmp_path / "odd.csv.gz"
    path.write_bytes(octets)
    rows = raw_data.RawData(open_files(path).files, ["idApp", "eventName"])
    with pytest.warns(gzip_csv.FileFormatWarning, match=message) as warned:
        table = rows.to_arrow()
    assert table.to_pydict() == ROWS_OF_PLAIN
    assert [str(path) in str(one.message) for one in warned] == [True]
    with pytest.warns(gzip_csv.FileFormatWarning, match=message):
        assert rows.head(9)["idApp"].tolist() == [1, 2]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_joined_and_twice_compressed_files_are_read_at_any_block_boundaries(size):
    joined = gzip.compress(b"idApp,eventName\n1,a\n") + gzip.compress(b"idApp,eventName\n2,b\n")
    for octets in (joined, gzip.compress(joined)):
        chunks = [octets[start : start + size] for start in range(0, len(octets), size)]
        with pytest.warns(gzip_csv.FileFormatWarning):
            assert b"".join(gzip_csv.inflate(chunks, "1.csv.gz")) == PLAIN


@pytest.mark.parametrize("second", [b"idApp", b"idApp,even", b"2,idApp\nidApp,eventName\n"])
def test_a_row_that_only_resembles_the_header_is_data(tmp_path, second):
    path = tmp_path / "1.csv.gz"
    path.write_bytes(gzip.compress(b"eventName,customUserId\na,b\n") + gzip.compress(b"x,y\n"))
    assert cells(path, "eventName") == ["a", "x"]
    inner = gzip_csv.inflate(
        [gzip.compress(b"idApp,eventName\n1,a\n") + gzip.compress(second)], "1.csv.gz"
    )
    assert b"".join(inner) == b"idApp,eventName\n1,a\n" + second


def test_a_header_of_another_request_is_reported(file):
    first, second = file("idApp,idOs\n", "1.csv.gz"), file("idApp,tsEvent\n", "2.csv.gz")
    with pytest.raises(mt.FileError, match=r"missing: idOs; not requested: tsEvent") as error:
        open_files([first, second]).to_arrow()
    assert (error.value.file, error.value.line) == (str(second), 1)


def test_no_paths_and_a_missing_file_are_errors(tmp_path):
    with pytest.raises(mt.MyTrackerError, match="the path of at least one"):
        open_files([])
    with pytest.raises(mt.FileError, match="No such file"):
        open_files(tmp_path / "none.csv.gz").to_arrow()


@pytest.mark.parametrize(
    "limits", [gzip_csv.Limits(size=50_000), gzip_csv.Limits(ratio=3, floor=1000)]
)
def test_a_file_that_exceeds_the_limits_is_rejected(tmp_path, limits):
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"idApp\n" + b"1\n" * 1_000_000))
    rows = raw_data.RawData(open_files(path).files, limits=limits)
    with pytest.raises(mt.FileError, match="if you trust the file"):
        rows.to_arrow()
    assert open_files(path).to_arrow().num_rows == 1_000_000


# -- the first rows -------------------------------------------------------------------------------


def test_head_returns_the_first_of_all_rows(world):
    paths, _ = world
    full = open_files(paths).to_pandas()
    head = open_files(paths).head(7)
    assert [list(map(as_python, row)) for row in head.to_numpy()] == [
        list(map(as_python, row)) for row in full.head(7).to_numpy()
    ]
    assert len(open_files(paths).head(10**6)) == len(full)
    assert len(open_files(paths).head()) == 20
    assert open_files(paths).head(0).shape == (0, len(COLUMNS))


def test_head_does_not_need_the_other_rows(tmp_path):
    full = gzip.compress(
        b"idApp,nobody\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(10**5))
    )
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(full[: len(full) // 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_files([path, tmp_path / "none"]).head(5)["idApp"].tolist() == [0, 1, 2, 3, 4]
