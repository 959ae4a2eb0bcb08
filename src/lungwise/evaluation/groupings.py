"""Which group does an image belong to? A column's values, or bands of its numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lungwise.errors import DataError, some

MOST = 30
"""Groups of a column; with more nobody could read the table."""
UNKNOWN = "unknown"
_FIXED = ("image", "patient", "split", "label", "fold", "repeat")
"""What another table does not replace."""


@dataclass(frozen=True)
class Grouping:
    """A column by which images are told apart.

    Args:
        column: its name.
        width: of the bands that its numbers are divided into, from 0 on; None takes its values as they are.
    """

    column: str
    width: float | None = None


def parse_grouping(text: str) -> Grouping:
    """``sex`` or ``age:20``.

    Raises:
        DataError: no column, or a width that is no number above 0.
    """
    column, sign, width = text.strip().rpartition(":") if ":" in text else (text.strip(), "", "")
    if column and not sign:
        return Grouping(column)
    if column and re.fullmatch(r"\d+(\.\d+)?", width) and float(width) > 0:
        return Grouping(column, float(width))
    raise DataError(f"--by takes COLUMN or COLUMN:WIDTH with a width above 0, for example age:20, got '{text}'; correct it.")


def joined(table: pl.DataFrame, more: pl.DataFrame, name: str) -> pl.DataFrame:
    """Predictions with the columns of another table beside them; a column of the same name is replaced.

    Args:
        table: predictions.
        more: ``image`` and any columns, one row an image; images that it lacks have no value.
        name: of ``more``, for the sentence.

    Raises:
        DataError: no column ``image``, an image that stands twice, or none of the predictions' images.
    """
    if "image" not in more.columns:
        raise DataError(f"{name} must have a column 'image', it has {some(more.columns, 12)}; rename the one with the images.")
    more = more.with_columns(pl.col("image").cast(pl.String).str.strip_chars())
    twice = more.filter(pl.col("image").is_duplicated())
    if twice.height:
        raise DataError(f"Each image of {name} must stand once, '{twice['image'][0]}' stands more often; drop one.")
    if not table["image"].is_in(more["image"].to_list()).any():
        raise DataError(
            f"{name} must name the images as the predictions do ('{table['image'][0]}'), but none is there; rename."
        )
    kept = [column for column in more.columns if column not in _FIXED and not column.startswith("prob_")]
    return table.drop(kept, strict=False).join(more.select("image", *kept), on="image", how="left", maintain_order="left")


def groups_of(table: pl.DataFrame, grouping: Grouping, images: NDArray[np.str_]) -> NDArray[np.str_]:
    """The group of each image.

    Args:
        table: has ``image`` and the grouping's column; an image may stand several times.
        grouping: which column, and how.
        images: str [n].

    Returns:
        str [n]; an image without a value, or without a row, is "unknown".

    Raises:
        DataError: there is no such column, bands are asked of what is no number, or the column tells too much or nothing.
    """
    name = grouping.column
    if name not in table.columns:
        has = some([column for column in table.columns if not column.startswith("prob_")], 12)
        raise DataError(
            f"--by must name a column, '{name}' is none of {has}; give a table that has it, with the column image, "
            "as --subgroups TABLE."
        )
    values = table.select(pl.col("image").cast(pl.String), _texts(table, name).alias("group")).unique("image", keep="first")
    found = pl.DataFrame({"image": images.tolist()}).join(values, on="image", how="left", maintain_order="left")["group"]
    given = found.fill_null("").to_numpy().astype(np.str_)
    groups = np.where(given == "", UNKNOWN, given) if grouping.width is None else _bands(given, name, grouping.width)
    different = np.unique(groups)
    if len(different) > MOST:
        raise DataError(
            f"A column must divide the images into at most {MOST} groups, '{name}' has {len(different)}; "
            f"divide numbers into bands, for example --by {name}:20."
        )
    if len(different) < 2:
        raise DataError(f"A column must tell images apart, but in '{name}' all are '{different[0]}'; choose another.")
    return np.asarray(groups.astype(np.str_))


def _texts(table: pl.DataFrame, name: str) -> pl.Series:
    """A column's values as text, "" where there is none."""
    values = table[name]
    if values.dtype.is_float():
        whole = values.fill_nan(None)
        values = whole.cast(pl.Int64) if whole.drop_nulls().eq(whole.drop_nulls().round()).all() else whole
    if values.dtype.is_nested() or values.dtype == pl.Binary:
        raise DataError(f"Column '{name}' must hold text or numbers, got {values.dtype}; convert it.")
    return values.cast(pl.String).str.strip_chars().fill_null("")


def _bands(given: NDArray[np.str_], name: str, width: float) -> NDArray[np.str_]:
    known = given != ""
    numbers = pl.Series(given[known].tolist(), dtype=pl.String).cast(pl.Float64, strict=False)
    bad = numbers.is_null() | ~numbers.is_finite()
    if bad.any():
        value = given[known][int(bad.arg_max() or 0)]
        raise DataError(
            f"Bands of '{name}' need numbers, got '{value}'; correct it, or take the values as they are: --by {name}."
        )
    values = numbers.to_numpy()
    start = np.floor(values / width) * width
    whole = float(width).is_integer() and bool((values == np.round(values)).all())
    groups = np.full(len(given), UNKNOWN, dtype=object)
    groups[known] = [f"{low:.0f}–{low + width - 1:.0f}" if whole else f"{low:g} to below {low + width:g}" for low in start]
    return groups.astype(np.str_)
