"""The same picture more than once: exact copies, near copies, with different labels or on both sides of a split."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lungwise.data.audit.finding import Finding, Severity
from lungwise.data.audit.near import near_duplicates
from lungwise.data.groups import group_pairs
from lungwise.data.pixels import Chosen, Squares
from lungwise.errors import several

Pairs = NDArray[np.int64]
"""int64 [m, 2], row numbers of the manifest."""

_KINDS: tuple[tuple[str, Severity, str], ...] = (
    ("label-conflict", "error", "in the collection more than once with different labels"),
    ("across-splits", "error", "in more than one of train, validation and test"),
    ("", "warning", "in the collection more than once"),
)
_REPAIR = "lungwise prepare SOURCE --out DIR --drop-duplicates"


def exact_pairs(table: pl.DataFrame) -> Pairs:
    """Each exact copy with the first row of the same decoded pixels.

    Args:
        table: a manifest with the column ``row``, readable rows only.
    """
    copies = table.filter(pl.col("sha256").is_duplicated())
    first = copies.select(pl.col("row").min().over("sha256").alias("first"), "row").filter(pl.col("first") != pl.col("row"))
    return first.to_numpy().astype(np.int64).reshape(-1, 2)


def near_pairs(table: pl.DataFrame, squares: Squares) -> Pairs:
    """Near-duplicates among rows of a manifest, as row numbers of the manifest.

    Args:
        table: a manifest with the column ``row``, readable rows only.
        squares: the squares of the whole manifest.
    """
    rows = table["row"].to_numpy().astype(np.int64)
    return rows[near_duplicates(Chosen(squares, rows)).rows]


def same_pictures(table: pl.DataFrame, squares: Squares) -> Pairs:
    """Exact and near copies among rows of a manifest; arguments as for :func:`near_pairs`."""
    return np.concatenate([exact_pairs(table), near_pairs(table, squares)])


def duplicates(used: pl.DataFrame, pairs: Pairs) -> list[Finding]:
    """Findings on pictures that occur more than once.

    Args:
        used: manifest rows that take part, with the column ``row``.
        pairs: rows that show the same picture; pairs with a row that takes no part are passed over.
    """
    groups = grouped(used, pairs)
    findings = []
    for prefix, exact in (("duplicate", True), ("near-duplicate", False)):
        for kind, (suffix, severity, text) in enumerate(_KINDS):
            chosen = groups.filter((pl.col("exact") == exact) & (pl.col("kind") == kind))
            if chosen.height:
                findings.append(_finding(prefix, suffix, severity, text, chosen))
    return findings


def grouped(used: pl.DataFrame, pairs: Pairs) -> pl.DataFrame:
    """Pictures that occur more than once, one row each.

    Returns:
        ``paths`` (sorted), ``exact`` (all have the same decoded pixels), ``kind`` (0 different labels, 1 across splits,
        2 neither), ``patients`` (number of patient ids).
    """
    ends = pl.DataFrame({"a": pairs[:, 0], "b": pairs[:, 1]})
    known = used.select(pl.col("row").cast(pl.Int64))
    ends = ends.join(known, left_on="a", right_on="row", how="semi").join(known, left_on="b", right_on="row", how="semi")
    rows = np.unique(ends.to_numpy())
    places = np.searchsorted(rows, ends.to_numpy())
    members = pl.DataFrame({"row": rows, "component": group_pairs(places.reshape(-1, 2), len(rows))}).join(
        used.with_columns(pl.col("row").cast(pl.Int64)), on="row", how="inner"
    )
    labels, splits = pl.col("label").n_unique() > 1, pl.col("split").n_unique() > 1
    return (
        members.group_by("component")
        .agg(
            pl.col("path").sort().alias("paths"),
            (pl.col("sha256").n_unique() == 1).alias("exact"),
            pl.when(labels).then(0).when(splits).then(1).otherwise(2).alias("kind"),
            pl.col("patient").n_unique().alias("patients"),
        )
        .sort(pl.col("paths").list.first())
    )


def _finding(prefix: str, suffix: str, severity: Severity, text: str, groups: pl.DataFrame) -> Finding:
    strangers = int((groups["patients"] > 1).sum())
    changed = "" if prefix == "duplicate" else ", slightly changed,"
    images = groups["paths"].explode().sort()
    return Finding(
        f"{prefix}-{suffix}" if suffix else prefix,
        severity,
        groups.height,
        several(groups.height, f"picture{changed} stands {text}", f"pictures{changed} stand {text}")
        + (f", {strangers} of them under several patient ids" if strangers else ""),
        images=tuple(images),
        groups=tuple(tuple(paths) for paths in groups["paths"]),
        evidence={"pictures": groups.height, "files": len(images), "under_several_patient_ids": strangers},
        repair=_REPAIR,
    )
