"""What in a collection would mislead: the same picture twice, one patient on both sides, one picture with two labels."""

from __future__ import annotations

from typing import Any

import polars as pl

from lungwise.data.manifest import conflicts


def audit(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Check a manifest's readable images.

    Returns:
        Findings, worst first: ``check``, ``severity`` ("error" or "warning"), ``message``, ``count`` and ``images``.
        An empty list means that nothing was found.
    """
    used = table.filter((pl.col("status") == "ok") & (pl.col("split") != "none"))
    copies = used.filter(pl.col("sha256").is_duplicated())
    groups = copies.group_by("sha256").agg(
        pl.col("image").sort(), pl.col("label").n_unique().alias("labels"), pl.col("split").n_unique().alias("splits")
    )
    patients = conflicts(table)
    findings = [
        _finding(
            "duplicate-label-conflict", "error", groups.filter(pl.col("labels") > 1),
            "pictures stand in the collection more than once with different labels",
        ),
        _finding(
            "duplicate-across-splits", "error", groups.filter((pl.col("labels") == 1) & (pl.col("splits") > 1)),
            "pictures stand in more than one of train, validation and test",
        ),
        _finding(
            "duplicate", "warning", groups.filter((pl.col("labels") == 1) & (pl.col("splits") == 1)),
            "pictures stand in the collection more than once",
        ),
        {
            "check": "patient-across-splits",
            "severity": "error",
            "count": len(patients),
            "message": f"{len(patients)} patient ids stand in more than one of train, validation and test",
            "images": used.filter(pl.col("patient").is_in(patients))["image"].sort().to_list(),
        },
    ]  # fmt: skip
    return [finding for finding in findings if finding["count"]]


def _finding(check: str, severity: str, groups: pl.DataFrame, text: str) -> dict[str, Any]:
    images = sorted(image for group in groups["image"].to_list() for image in group)
    return {
        "check": check,
        "severity": severity,
        "count": groups.height,
        "message": f"{groups.height} {text}",
        "images": images,
    }
