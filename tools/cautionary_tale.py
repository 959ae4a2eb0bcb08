"""The table of a collection mixed as many papers mixed theirs: COVID-19 of adults from COVIDx, the rest children from Kermany.

    .venv/bin/python tools/cautionary_tale.py data/kermany data/covidx9a --out mixed.csv
    .venv/bin/lungwise prepare mixed.csv --images XRAYS --out data/mixed

XRAYS is the folder that holds both collections. docs/cautionary-tale.md says what came of it.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import polars as pl

from lungwise.data.store import open_data
from lungwise.files import write_whole

LABELS = {"NORMAL": "normal", "PNEUMONIA": "pneumonia", "COVID-19": "COVID-19"}


def rows(folder: Path, labels: list[str], parent: Path) -> pl.DataFrame:
    """The readable images of some classes of a prepared data set, as rows of a table.

    Args:
        folder: the prepared data set.
        labels: the classes to take.
        parent: what paths are relative to.
    """
    data = open_data(folder)
    below = os.path.relpath(data.facts["root"], parent)
    kept = data.manifest.filter((pl.col("status") == "ok") & pl.col("label").is_in(labels))
    return kept.select(
        (pl.lit(below + "/") + pl.col("path")).alias("path"), pl.col("label").replace_strict(LABELS), "patient", "source"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kermany", type=Path)
    parser.add_argument("covidx", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    roots = [open_data(folder).facts["root"] for folder in (given.kermany, given.covidx)]
    parent = Path(os.path.commonpath(roots))
    parts = [(given.kermany, ["NORMAL", "PNEUMONIA"]), (given.covidx, ["COVID-19"])]
    table = pl.concat([rows(folder, labels, parent) for folder, labels in parts])
    write_whole(given.out, table.write_csv)
    print(table.group_by("label", "source").len().sort("label", "source"))
    print(f"{given.out}: {len(table)} images below the folder of both collections (--images)")


if __name__ == "__main__":
    main()
