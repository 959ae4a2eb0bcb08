"""A table (CSV, TSV or parquet) with one row an image.

Licence and citation are those of whoever made the table; nothing in it says them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from lungwise.data.sources import demographics
from lungwise.data.sources.deidentify import with_people
from lungwise.data.sources.folder import SPLIT_FOLDERS
from lungwise.data.sources.listing import COLUMNS, EXTRAS, Listing, SourceOptions
from lungwise.data.sources.patients import custom_pattern, guess, patient_by
from lungwise.data.sources.tree import stem
from lungwise.errors import DataError, some

SUFFIXES = (".csv", ".tsv", ".parquet")


def list_table(table: Path, options: SourceOptions = SourceOptions()) -> Listing:
    """List the images of a table.

    Args:
        table: a CSV, TSV or parquet file with the columns ``path`` and ``label``; ``patient``, ``source``, ``split``,
            ``view``, ``sex`` and ``age`` are used where they exist.
        options: ``images`` is the folder that paths are relative to, the table's own by default; ``columns`` is our
            name to the table's; ``patient_pattern`` and ``patient_key`` count where there is no patient column.

    Raises:
        DataError: the table cannot be read, lacks a column, is empty, or holds an empty path,
            label or patient, or a bad split.
    """
    root = options.images or table.parent
    rows = _rename(read_table(table), dict(options.columns), table)
    if rows.height == 0:
        raise DataError(f"{table.name} must have one row an image, it has none; fill it.")
    notes: list[str] = []
    named = "patient" in rows.columns
    if not named:
        rows = rows.with_columns(patient=_patients(rows["path"], options.patient_pattern))
        notes.append("The table has no patient column: patients come from the names of the files.")
    if "source" not in rows.columns:
        rows = rows.with_columns(source=pl.lit(table.stem))
    rows = _with_extras(_with_split(rows, table))
    _check_rows(rows, table)
    rows = rows.with_columns(pl.col("source").fill_null("")).sort("path")
    if not named and options.patient_pattern is None:
        rows = with_people(rows, root, options, notes)
    return Listing("table", root, rows, tuple(notes))


def _check_rows(rows: pl.DataFrame, table: Path) -> None:
    """Name the first row that is not whole."""
    numbered = rows.with_row_index("line", offset=2)
    for name in ("path", "label", "patient"):
        empty = numbered.filter(pl.col(name).is_null() | (pl.col(name).str.strip_chars() == ""))
        if empty.height:
            raise DataError(f"Every row of {table.name} must have a {name}, row {empty['line'][0]} has none; fill or drop it.")


def read_table(table: Path) -> pl.DataFrame:
    """Every column as text: patient 007 must not become 7."""
    try:
        if table.suffix.lower() == ".parquet":
            return pl.read_parquet(table)
        separator = "\t" if table.suffix.lower() == ".tsv" else ","
        return pl.read_csv(table, separator=separator, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as cause:
        reason = str(cause).partition("\n")[0]
        raise DataError(f"{table} cannot be read as a table: {reason}; save it as UTF-8 CSV or parquet.") from cause


def _rename(rows: pl.DataFrame, columns: dict[str, str], table: Path) -> pl.DataFrame:
    ours_all = (*COLUMNS, *EXTRAS)
    unknown = sorted(set(columns) - set(ours_all))
    if unknown:
        raise DataError(f"--column takes one of {list(ours_all)} on its left side, got '{unknown[0]}'.")
    for ours in ("path", "label"):
        theirs = columns.get(ours, ours)
        if theirs not in rows.columns:
            raise DataError(
                f"{table.name} must have a column '{theirs}' for the {ours}, it has {some(rows.columns, 12)}; "
                f"name the right one with --column {ours}=NAME."
            )
    lost = [theirs for theirs in columns.values() if theirs not in rows.columns]
    if lost:
        raise DataError(f"{table.name} has no column '{lost[0]}', it has {some(rows.columns, 12)}; correct --column.")
    chosen = {ours: columns.get(ours, ours) for ours in ours_all if columns.get(ours, ours) in rows.columns}
    return rows.select(pl.col(theirs).cast(pl.String).alias(ours) for ours, theirs in chosen.items())


def _patients(paths: pl.Series, patient_pattern: str | None) -> pl.Series:
    stems = [stem(path) if path else "" for path in paths]
    if patient_pattern is None:
        return pl.Series([guess(stem)[0] for stem in stems], dtype=pl.String)
    pattern = custom_pattern(patient_pattern)
    return pl.Series([patient_by(pattern, stem) for stem in stems], dtype=pl.String)


def _with_split(rows: pl.DataFrame, table: Path) -> pl.DataFrame:
    if "split" not in rows.columns:
        return rows.with_columns(split=pl.lit(""))
    known = {**SPLIT_FOLDERS, "": "", "none": "none"}
    split = rows["split"].fill_null("").str.strip_chars().str.to_lowercase()
    bad = split.filter(~split.is_in(list(known)))
    if bad.len():
        raise DataError(
            f"Column 'split' of {table.name} must be train, validation, test, none or empty, got '{bad[0]}'; correct it."
        )
    return rows.with_columns(split=split.replace_strict(known, return_dtype=pl.String))


def _with_extras(rows: pl.DataFrame) -> pl.DataFrame:
    """The columns in their order, with sex and age in one form and "" where a table knows nothing."""
    forms: dict[str, Callable[[str | None], str]] = {"sex": demographics.sex, "age": demographics.age, "view": _view}
    there = [name for name in EXTRAS if name in rows.columns]
    filled = [pl.Series(name, [forms[name](value) for value in rows[name]], dtype=pl.String()) for name in there]
    return rows.with_columns(filled).select(*COLUMNS, *there)


def _view(text: str | None) -> str:
    return (text or "").strip().upper()
