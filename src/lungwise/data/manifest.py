"""The manifest: one row an image, who it belongs to and who may learn from it."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from lungwise.errors import DataError
from lungwise.files import write_whole

SPLITS = ("train", "validation", "test", "none")
"""Values of the column ``split``; "none" takes part in nothing."""

SCHEMA: dict[str, pl.DataType] = {
    "image": pl.String(),
    "path": pl.String(),
    "label": pl.String(),
    "patient": pl.String(),
    "source": pl.String(),
    "split": pl.String(),
    "width": pl.Int32(),
    "height": pl.Int32(),
    "sha256": pl.String(),
    "phash": pl.String(),
    "view": pl.String(),
    "status": pl.String(),
}
"""Columns that every manifest has, and their types. ``path`` is relative to the folder that ``dataset.json`` names;
``status`` is "ok" or why not; row ``i`` of the manifest is row ``i`` of the pixels, except that rows with status "missing"
come last and have none, and keep the split that their list gives."""
EXTRAS: dict[str, pl.DataType] = {
    "group": pl.String(),
    "notes": pl.String(),
    "sex": pl.String(),
    "age": pl.String(),
}
"""Columns that a manifest may have: the patients that duplicated pictures tie together (named after one of them), the reader's
remarks, "M" or "F", age in years."""


def write_manifest(path: Path, table: pl.DataFrame) -> None:
    """Check the rows, then write the known columns as parquet, whole or not at all."""
    check(table)
    columns = [*SCHEMA, *(name for name in EXTRAS if name in table.columns)]
    write_whole(path, table.select(columns).write_parquet)


def read_manifest(path: Path) -> pl.DataFrame:
    """Read a manifest and check every row.

    Raises:
        DataError: the file is absent, is no parquet, lacks a column, or holds a bad row, which is named.
    """
    try:
        table = pl.read_parquet(path)
    except FileNotFoundError as cause:
        raise DataError(f"{path} does not exist; prepare the data set first: lungwise prepare SOURCE --out DIR.") from cause
    except pl.exceptions.PolarsError as cause:
        reason = str(cause).partition("\n")[0]
        raise DataError(f"{path} is not a readable parquet file ({reason}); prepare the data set again.") from cause
    check(table)
    return table


def check(table: pl.DataFrame) -> None:
    """Raise a DataError that names the first bad row of a manifest, if there is one."""
    lost = [name for name in SCHEMA if name not in table.columns]
    if lost:
        raise DataError(f"A manifest must have the columns {list(SCHEMA)}, it lacks {lost}; prepare the data set again.")
    wrong = [name for name, kind in SCHEMA.items() if table.schema[name] != kind]
    if wrong:
        name = wrong[0]
        raise DataError(f"Column '{name}' of a manifest must be {SCHEMA[name]}, got {table.schema[name]}; convert it.")
    rules = {
        "'image' must be unique": pl.col("image").is_duplicated(),
        "no value may be missing": pl.any_horizontal(pl.col(list(SCHEMA)).is_null()),
        f"'split' must be one of {list(SPLITS)}": ~pl.col("split").is_in(SPLITS),
        "'label' must not be empty": pl.col("label") == "",
        "'patient' must not be empty": pl.col("patient") == "",
        "an image that is neither ok nor missing must have split 'none'": ~pl.col("status").is_in(["ok", "missing"])
        & (pl.col("split") != "none"),
    }
    for rule, broken in rules.items():
        bad = table.filter(broken)
        if bad.height:
            raise DataError(f"In a manifest {rule}; {bad.height} rows break this, the first is {bad['image'][0]!r}.")


def counts(table: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Readable images by split and label, for example ``{"train": {"normal": 80}}``."""
    grouped = table.filter(pl.col("status") == "ok").group_by("split", "label").len().sort("split", "label")
    result: dict[str, dict[str, int]] = {}
    for split, label, number in grouped.iter_rows():
        result.setdefault(split, {})[label] = number
    return {split: result[split] for split in SPLITS if split in result}


def conflicts(table: pl.DataFrame) -> list[str]:
    """Patients whose images, also missing ones, stand in more than one of train, validation and test, sorted."""
    used = table.filter(pl.col("split") != "none")
    spread = used.group_by("patient").agg(pl.col("split").n_unique().alias("splits"))
    return sorted(spread.filter(pl.col("splits") > 1)["patient"].to_list())
