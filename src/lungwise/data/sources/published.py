"""Tables that come with a published collection: columns as they were published, bad rows named by file and line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from lungwise.data.sources.table import read_table
from lungwise.errors import DataError, some


def read_published(table: Path, needed: Sequence[str], useful: Sequence[str] = ()) -> pl.DataFrame:
    """Read a published table; every value is text without blanks around it.

    Args:
        table: a CSV file.
        needed: columns that must exist and hold a value in every row.
        useful: columns that are filled with "" when they are absent.

    Returns:
        The columns of ``needed`` and ``useful``; row ``i`` is line ``i + 2`` of the file.

    Raises:
        DataError: the table is absent, cannot be read, is empty, lacks a column, or lacks a value (named by its line).
    """
    if not table.is_file():
        raise DataError(f"{table.parent} must hold {table.name}, but it does not; fetch the whole collection.")
    rows = read_table(table)
    lost = [name for name in needed if name not in rows.columns]
    if lost:
        raise DataError(
            f"{table.name} must have the columns {', '.join(needed)}, it has {some(rows.columns, 12)}; fetch the table again."
        )
    if rows.height == 0:
        raise DataError(f"{table.name} must have one row an image, it has none; fetch the table again.")
    absent = [pl.lit("").alias(name) for name in useful if name not in rows.columns]
    rows = rows.with_columns(absent).select(pl.col([*needed, *useful]).str.strip_chars().fill_null(""))
    for name in needed:
        first_broken(rows, pl.col(name) == "", table, f"'{name}' must not be empty")
    return rows


def first_broken(rows: pl.DataFrame, broken: pl.Expr, table: Path, rule: str) -> None:
    """Raise a DataError that names the line of the first row that breaks a rule, if there is one."""
    bad = rows.with_row_index("line", offset=2).filter(broken)
    if bad.height:
        line, *values = bad.row(0)
        raise DataError(f"{table.name}:{line}: {rule}, got '{','.join(map(str, values))}'; correct the row.")


def check_unique(rows: pl.DataFrame, column: str, table: Path) -> None:
    """Raise a DataError that names the first value that stands in several rows, if there is one."""
    twice = rows.with_row_index("line", offset=2).filter(pl.col(column).is_duplicated())
    if twice.height:
        first = twice.filter(pl.col(column) == twice[column][0])
        raise DataError(
            f"{table.name}:{first['line'][1]}: {first[column][0]} is listed already in line {first['line'][0]}; "
            "keep one of the two rows."
        )
