"""Routine pandas on the frame of an export, beside the same on a plain frame of the same CSV.

What differs by intent:

- whole numbers with missing ones stay whole (Int64): a plain frame makes them floats, which lose
  digits beyond 2**53; so an average fills in as a float only after ``.astype("Float64")``, and
  pandas refuses to put 10.7 into them;
- a time of 0 is missing; a plain frame has 1970-01-01;
- texts such as ``NA`` and ``null`` are texts; a plain frame loses them.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import sqlite3
from ast import literal_eval
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from postgres import running_postgres

from mytracker_nb.tables.raw_data import open_files

COUNTRIES = ["RU", "KZ", "NA", ""]
TITLES = ["Органика", "VK Реклама", ""]
KEYS = ["'level','item'", "'level'", r"'it\'s'", ""]
START = 1_788_944_400  # 2026-09-09 09:00 UTC


def made(seed: int) -> str:
    """CSV text of 400 events, as the service writes it."""
    pick = random.Random(seed)
    lines = [
        "idDevice,idCountry,idCountryISOAlpha2,idPartnerTitle,idCampaignTitle,eventName,duration,"
        "screenDiagonal,tsEvent,tsClick,dtEvent,params.name"
    ]
    for number in range(400):
        second = START + pick.randrange(5 * 86_400)
        day = pd.Timestamp(second, unit="s", tz="UTC").tz_convert("Europe/Moscow").date()
        keys = pick.choice(KEYS)
        cells = [
            str(18_446_744_073_709_551_615 - number % 50),
            pick.choice(["188", "9007199254740993", ""]),
            pick.choice(COUNTRIES),
            pick.choice(TITLES),
            pick.choice(["Осень, 1", 'say ""hi""', ""]),
            pick.choice(["level_up", "purchase"]),
            pick.choice([str(number), "-1", ""]),
            pick.choice(["5.5", "6.1", ""]),
            str(second),
            pick.choice(["0", str(second - 60)]),
            str(day),
            f"[{keys}]",
        ]
        lines.append(",".join(f'"{cell}"' for cell in cells))
    return "\n".join(lines) + "\n"


def written(folder: Path, seed: int) -> Path:
    path = folder / f"{seed}.csv.gz"
    path.write_bytes(gzip.compress(made(seed).encode()))
    return path


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    """The frame of an export."""
    return open_files(written(tmp_path, 1)).to_pandas()


@pytest.fixture
def plain() -> pd.DataFrame:
    """What a careful user makes of the same text without the package."""
    return plainly_read(made(1))


def plainly_read(text: str) -> pd.DataFrame:
    raw = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    frame = raw.replace("", np.nan).astype(object)
    for name in ("tsEvent", "tsClick"):
        seconds = pd.to_numeric(raw[name]).replace(0, np.nan)
        frame[name] = pd.to_datetime(seconds, unit="s", utc=True)
    frame["dtEvent"] = pd.to_datetime(raw["dtEvent"])
    for name in ("duration", "screenDiagonal"):
        frame[name] = pd.to_numeric(raw[name].replace("", np.nan))
    frame["idCountry"] = [None if cell == "" else int(cell) for cell in raw["idCountry"]]
    frame["params.name"] = [literal_eval(cell) for cell in raw["params.name"]]
    return frame


def value(cell: Any) -> Any:
    """A cell of either frame as plain Python, a missing one as None."""
    if isinstance(cell, (list, tuple, np.ndarray)):
        return [value(one) for one in cell]
    if cell is None or cell is pd.NA or cell is pd.NaT or cell != cell:
        return None
    if isinstance(cell, pd.Timestamp):
        return cell.isoformat()
    if isinstance(cell, pd.Period):
        return str(cell)
    if isinstance(cell, (float, np.floating)):
        return int(cell) if cell == int(cell) else pytest.approx(float(cell))
    return cell.item() if isinstance(cell, np.generic) else cell


def values(result: Any) -> Any:
    if isinstance(result, pd.DataFrame):
        return {str(name): values(result[name]) for name in result}
    if isinstance(result, pd.Series):
        return [values(result.index), [value(cell) for cell in result.tolist()]]
    if isinstance(result, pd.Index):
        return [value(cell) for cell in result.tolist()]
    return value(result)


COSTS = pd.DataFrame({"day": pd.date_range("2026-09-09", periods=7), "cost": range(7)})
TEXTS = ["idCountryISOAlpha2", "idPartnerTitle", "idCampaignTitle"]

ROUTINE: dict[str, Callable[[pd.DataFrame], Any]] = {
    "compare days with text": lambda f: (f.dtEvent == "2026-09-10").sum(),
    "compare times with text": lambda f: (f.tsEvent >= "2026-09-11").sum(),
    "query": lambda f: f.query("dtEvent >= '2026-09-11' and duration > 5").idDevice,
    "between": lambda f: f.tsEvent.between("2026-09-10", "2026-09-11 12:00").sum(),
    "loc of a day": lambda f: f.set_index("tsEvent").sort_index().loc["2026-09-10"].duration,
    "between_time": lambda f: f.set_index("tsEvent").between_time("09:00", "10:00").duration,
    "hour of an index": lambda f: f.set_index("tsEvent").index.hour,
    "DateOffset": lambda f: f.dtEvent + pd.DateOffset(months=1),
    "latest": lambda f: f.tsEvent.nlargest(3),
    "to_period": lambda f: f.dtEvent.dt.to_period("W").value_counts().sort_index(),
    "strftime": lambda f: f.tsEvent.dt.strftime("%H:%M:%S"),
    "local day": lambda f: f.tsEvent.dt.tz_convert("Asia/Tokyo").dt.tz_localize(None).dt.floor("D"),
    "difference": lambda f: (f.tsEvent - f.tsClick).dt.total_seconds(),
    "merge by day": lambda f: f.merge(COSTS, left_on="dtEvent", right_on="day")[
        ["cost", "idDevice"]
    ],
    "merge_asof": lambda f: pd.merge_asof(
        f[["tsEvent", "idDevice"]].sort_values("tsEvent"),
        f[["tsEvent", "duration"]].sort_values("tsEvent").iloc[::7],
        on="tsEvent",
    ),
    "cut": lambda f: pd.cut(f.duration, [-2, 0, 100, 400]).astype(str).value_counts().sort_index(),
    "resample by week": lambda f: f.set_index("dtEvent").resample("W").duration.sum(),
    "resample by local day": lambda f: (
        f.set_index(f.tsEvent.dt.tz_convert("Europe/Moscow")).resample("D").idDevice.nunique()
    ),
    "local days are the service's": lambda f: (
        f.tsEvent.dt.tz_convert("Europe/Moscow").dt.tz_localize(None).dt.normalize() == f.dtEvent
    ).all(),
    "fillna with a word": lambda f: f.idPartnerTitle.fillna("unknown").value_counts().sort_index(),
    "replace a title": lambda f: f.idPartnerTitle.replace("Органика", "Organic"),
    "three titles grouped": lambda f: f.groupby(TEXTS).size(),
    "missing keys kept": lambda f: f.groupby("idPartnerTitle", dropna=False).duration.sum(),
    "grouped into lists": lambda f: f.groupby("eventName").idDevice.agg(list),
    "several aggregates": lambda f: f.groupby("eventName").duration.agg(["min", "max", "mean"]),
    "first event of a device": lambda f: f.groupby("idDevice").tsEvent.min(),
    "pivot_table": lambda f: f.pivot_table(
        index="dtEvent", columns="eventName", values="duration", aggfunc="sum"
    ),
    "crosstab": lambda f: pd.crosstab(f.idCountryISOAlpha2, f.eventName),
    "explode": lambda f: f.explode("params.name")["params.name"],
    "value_counts of text": lambda f: f.idCountryISOAlpha2.value_counts().sort_index(),
    "value_counts of days": lambda f: f.dtEvent.value_counts().sort_index(),
    "length of arrays": lambda f: f["params.name"].str.len(),
    "one element of arrays": lambda f: f["params.name"].str[0],
    "describe": lambda f: f[["duration", "screenDiagonal"]].describe(),
    "quantiles": lambda f: f.duration.quantile([0.1, 0.5, 0.9]),
    "correlation": lambda f: f[["duration", "screenDiagonal"]].corr(),
    "mean": lambda f: f.screenDiagonal.mean(),
    "sort": lambda f: f.sort_values(["dtEvent", "tsEvent", "idDevice"]).duration,
    "drop_duplicates": lambda f: f.drop_duplicates("idDevice").idDevice,
    "isin": lambda f: f.idCountry.isin([188]).sum(),
    "string methods": lambda f: f.idPartnerTitle.str.contains("VK", na=False).sum(),
    "concat": lambda f: pd.concat([f, f], ignore_index=True).duration.sum(),
    "cumulative": lambda f: f.sort_values("tsEvent").groupby("idDevice").cumcount(),
    "shift by device": lambda f: f.sort_values("tsEvent").groupby("idDevice").tsEvent.shift(),
    "map": lambda f: f.idCountryISOAlpha2.map({"RU": "Россия", "NA": "Намибия"}),
    "rolling": lambda f: f.set_index("tsEvent").sort_index().screenDiagonal.rolling("1D").count(),
    "stack": lambda f: f.groupby(["dtEvent", "eventName"]).size().unstack(fill_value=0),
}


@pytest.mark.parametrize("name", ROUTINE)
def test_routine_gives_what_it_gives_on_a_plain_frame(
    name: str, frame: pd.DataFrame, plain: pd.DataFrame
) -> None:
    assert values(ROUTINE[name](frame)) == values(ROUTINE[name](plain))


@pytest.mark.parametrize("name", ["groupby", "merge"])
def test_two_exports_together(name: str, frame: pd.DataFrame, tmp_path: Path) -> None:
    other = open_files(written(tmp_path, 2)).to_pandas()
    plain, plain_other = plainly_read(made(1)), plainly_read(made(2))

    def joined(one: pd.DataFrame, two: pd.DataFrame) -> Any:
        if name == "merge":
            keys = ["idDevice", "dtEvent", "eventName"]
            both = one.merge(two, on=keys, how="outer", suffixes=("", "_2"))
            return both.sort_values([*keys, "tsEvent", "tsEvent_2"], ignore_index=True)[
                [*keys, "tsEvent", "duration_2"]
            ]
        return pd.concat([one, two]).groupby(TEXTS, dropna=False).duration.sum()

    assert values(joined(frame, other)) == values(joined(plain, plain_other))


def set_at(column: pd.Series[Any], place: int, number: float) -> pd.Series[Any]:
    column.loc[place] = number
    return column


def test_no_number_is_truncated(frame: pd.DataFrame) -> None:
    for change in (
        lambda column: column.fillna(10.7),
        lambda column: column.where(column > 5, 1.5),
        lambda column: column.mask(column > 5, 1.5),
        lambda column: column.replace(-1, 1.5),
        lambda column: set_at(column.copy(), 5, 1.5),
    ):
        try:
            changed = change(frame["duration"])
        except (TypeError, ValueError):
            continue  # refused
        assert {10.7, 1.5} & set(changed.dropna().tolist())
    assert frame["duration"].astype("Float64").fillna(10.7).eq(10.7).any()


def test_convert_dtypes_keeps_values(frame: pd.DataFrame) -> None:
    assert values(frame.convert_dtypes()) == values(frame)


def test_ids_keep_all_digits_where_some_are_missing(frame: pd.DataFrame) -> None:
    texts = pd.read_csv(io.StringIO(made(1)), dtype=str)["idCountry"]
    counts = frame.groupby("idCountry").size()
    assert {str(key): count for key, count in counts.items()} == texts.value_counts().to_dict()
    assert frame["idCountry"].isin([9_007_199_254_740_993]).sum() == counts.iloc[-1]


def test_arrays_are_compared_grouped_and_counted(frame: pd.DataFrame) -> None:
    names = frame["params.name"]
    assert names.map(type).eq(tuple).all()
    assert len({id(cell) for cell in names}) == len(set(names)) == 4
    assert frame.groupby("params.name").size().sum() == 400
    assert names.value_counts().sum() == 400
    assert names.nunique() == 4
    assert frame.drop_duplicates("params.name").shape[0] == 4


# Round trips


def test_csv(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.to_csv(tmp_path / "1.csv", index=False)
    again = pd.read_csv(
        tmp_path / "1.csv",
        dtype=dict.fromkeys(("idDevice", *TEXTS), "str") | {"idCountry": "Int64"},
        keep_default_na=False,
        na_values=[""],
        parse_dates=["dtEvent", "tsEvent", "tsClick"],
        converters={"params.name": literal_eval},
    )
    assert values(again) == values(frame)


def test_json(frame: pd.DataFrame) -> None:
    rows = json.loads(frame.to_json(orient="records", date_format="iso"))
    names = ["idDevice", "idCountry", *TEXTS, "duration", "screenDiagonal", "params.name"]
    for name in names:
        assert [value(row[name]) for row in rows] == [value(cell) for cell in frame[name]], name
    for name in ("tsEvent", "tsClick"):
        assert values(pd.to_datetime(pd.Series([r[name] for r in rows]), utc=True)) == values(
            frame[name]
        )
    assert [row["dtEvent"][:10] for row in rows] == frame["dtEvent"].dt.strftime("%F").tolist()


def test_parquet(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.to_parquet(tmp_path / "1.parquet")
    assert values(pd.read_parquet(tmp_path / "1.parquet")) == values(frame)
    path = open_files(written(tmp_path, 1)).to_parquet(tmp_path / "ours")
    again = pd.read_parquet(path, dtype_backend="numpy_nullable")
    again["dtEvent"] = pd.to_datetime(again["dtEvent"])
    assert values(again) == values(frame)


def test_sqlite(frame: pd.DataFrame) -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises((sqlite3.Error, pd.errors.DatabaseError)):
        frame.to_sql("lists", connection, index=False)
    frame.assign(**{"params.name": frame["params.name"].map(json.dumps)}).to_sql(
        "events", connection, index=False
    )
    again = pd.read_sql(
        "SELECT * FROM events",
        connection,
        parse_dates=["dtEvent", "tsEvent", "tsClick"],
        dtype_backend="numpy_nullable",  # a missing id makes the others floats otherwise
    )
    connection.close()
    again["params.name"] = again["params.name"].map(json.loads)
    for name in ("tsEvent", "tsClick"):
        again[name] = pd.to_datetime(again[name], utc=True)
    assert values(again) == values(frame)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_excel(frame: pd.DataFrame, tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    with pytest.raises(ValueError, match="timezone"):
        frame.to_excel(tmp_path / "1.xlsx", index=False)
    # neither Excel nor pandas' reader of its files holds more than 15 digits of a number
    local = frame.assign(
        idCountry=frame["idCountry"].astype("string"),
        **{name: frame[name].dt.tz_localize(None) for name in ("tsEvent", "tsClick")},
    )
    local.to_excel(tmp_path / "1.xlsx", index=False)
    again = pd.read_excel(
        tmp_path / "1.xlsx",
        dtype={"idDevice": "str", "idCountry": "str", "duration": "Int64"},
        keep_default_na=False,
        na_values=[""],
        converters={"params.name": literal_eval},
    )
    assert values(again) == values(local)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running_postgres() as url:
        yield url


def test_postgresql(frame: pd.DataFrame, postgres: str) -> None:
    alchemy = pytest.importorskip("sqlalchemy")
    engine = alchemy.create_engine(postgres)
    lists = {"params.name": alchemy.ARRAY(alchemy.Text)}
    frame.assign(**{"params.name": frame["params.name"].map(list)}).to_sql(
        "events", engine, index=False, dtype=lists
    )
    query = """SELECT *, array_to_json("params.name")::text AS names FROM events ORDER BY ctid"""
    again = pd.read_sql(query, engine, dtype_backend="numpy_nullable")
    again["params.name"] = again.pop("names").map(json.loads)
    with engine.connect() as connection:
        columns = "SELECT data_type FROM information_schema.columns WHERE table_name = 'events'"
        kinds = {row[0] for row in connection.execute(alchemy.text(columns))}
    engine.dispose()
    for name in ("tsEvent", "tsClick"):
        again[name] = pd.to_datetime(again[name], utc=True)
    assert values(again) == values(frame)
    assert kinds >= {"ARRAY", "bigint", "text", "timestamp with time zone"}


# Drawing


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
class TestCharts:
    def test_matplotlib(self, frame: pd.DataFrame) -> None:
        pytest.importorskip("matplotlib").use("agg")
        from matplotlib import pyplot

        daily = frame.groupby("dtEvent").duration.sum()
        # on a figure of its own: another test may have left one
        axes = daily.plot(ax=pyplot.figure().subplots())
        assert axes.lines[0].get_ydata().tolist() == daily.tolist()
        frame.duration.plot.hist(ax=axes)
        axes.figure.clear()
        axes = axes.figure.subplots()
        axes.scatter(frame.tsEvent, frame.screenDiagonal.fillna(0))
        axes.figure.canvas.draw()
        axes.figure.clear()

    def test_seaborn(self, frame: pd.DataFrame) -> None:
        seaborn = pytest.importorskip("seaborn")
        axes = seaborn.scatterplot(frame, x="tsEvent", y="duration", hue="eventName")
        axes.figure.clear()
        axes = seaborn.lineplot(frame, x="dtEvent", y="duration", hue="idPartnerTitle")
        axes.figure.clear()

    def test_altair(self, frame: pd.DataFrame) -> None:
        altair = pytest.importorskip("altair")
        chart = altair.Chart(frame[["tsEvent", "duration", "idPartnerTitle"]]).mark_point()
        spec = chart.encode(x="tsEvent", y="duration", color="idPartnerTitle").to_dict()
        assert spec["encoding"]["x"]["type"] == "temporal"
        assert spec["encoding"]["y"]["type"] == "quantitative"
        assert spec["encoding"]["color"]["type"] == "nominal"
        (rows,) = spec["datasets"].values()
        assert [row["duration"] for row in rows] == values(frame.duration)[1]

    def test_plotly(self, frame: pd.DataFrame) -> None:
        express = pytest.importorskip("plotly.express")
        figure = express.line(frame.sort_values("tsEvent"), x="tsEvent", y="duration")
        assert len(figure.data[0].x) == 400
        assert figure.to_json()
