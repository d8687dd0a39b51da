"""Write the names of countries into ``countries.csv``, from the data of the Unicode CLDR.

Ids, codes and titles are the service's own; the column ``names`` is written: English and Russian
names, short ones among them, and the three-letter code. Source: CLDR 48.2, the npm packages
``cldr-core`` and ``cldr-localenames-full``, which anyone can unpack into a directory::

    npm pack cldr-core@48.2.0 cldr-localenames-full@48.2.0
    for name in cldr-core cldr-localenames-full; do
        mkdir $name && tar xzf $name-48.2.0.tgz -C $name --strip-components=1
    done
    python tools/countries.py .
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TABLE = Path(__file__).resolve().parents[1] / "mytracker_nb" / "request" / "data" / "countries.csv"

# the service lists them, the CLDR does not
_NOT_IN_CLDR = {"398": "Абхазия", "467": "Южная Осетия"}
# usual names that the CLDR does not have either
_USUAL = {
    "AE": ["UAE", "Emirates", "ОАЭ", "Эмираты"],
    "BY": ["Белоруссия"],
    "CZ": ["Чехия"],
    "KG": ["Кыргызстан"],
    "KP": ["Северная Корея"],
    "KR": ["Republic of Korea", "Южная Корея"],
    "LA": ["Laos", "Лаос"],
    "MD": ["Молдавия"],
    "NL": ["Holland", "Голландия"],
    "RU": ["Russian Federation", "Российская Федерация"],
    "TM": ["Туркмения"],
    "US": ["America", "Америка"],
}
_SPELLED_OUT = {" о-ва": " острова", "о-ва ": "острова ", "о-в ": "остров "}


def main(directory: Path) -> None:
    """Read the packages below `directory` and write the table again."""
    territories = directory / "cldr-localenames-full" / "main"
    english, russian = (
        _read(territories / language / "territories.json")["main"][language]
        ["localeDisplayNames"]["territories"]
        for language in ("en", "ru")
    )  # fmt: skip
    aliases = _read(directory / "cldr-core" / "supplemental" / "aliases.json")
    overlong = {
        alias["_replacement"]: code
        for code, alias in aliases["supplemental"]["metadata"]["alias"]["territoryAlias"].items()
        if alias["_reason"] == "overlong" and code.isalpha()
    }
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        code = row["alpha2"]
        names = [_NOT_IN_CLDR.get(row["idCountry"], ""), overlong.get(code, "")]
        names += [*_names(english, code), *_names(russian, code)] if code else []
        names += _USUAL.get(code, [])
        names += [name.replace(*pair) for name in names for pair in _SPELLED_OUT.items()]
        shown = {row["title"].casefold(), code.casefold(), ""}
        distinct = dict.fromkeys(name for name in names if name.casefold() not in shown)
        row["names"] = "|".join(distinct)
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"written: {TABLE.name}")


def _names(territories: dict[str, str], code: str) -> Iterator[str]:
    """The name of a country and its variants."""
    for key, name in territories.items():
        if key == code or key.startswith(f"{code}-alt-"):
            yield name


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
