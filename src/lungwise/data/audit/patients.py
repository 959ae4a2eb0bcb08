"""Patients on both sides of a split, and patients whose label changes."""

from __future__ import annotations

import polars as pl

from lungwise.data.audit.finding import Finding
from lungwise.data.manifest import conflicts
from lungwise.errors import several


def patients_across_splits(listed: pl.DataFrame) -> list[Finding]:
    """Patients with images in more than one of train, validation and test: the classifier would be asked what it was told."""
    patients = conflicts(listed)
    if not patients:
        return []
    rows = listed.filter(pl.col("patient").is_in(patients) & (pl.col("split") != "none"))
    return [
        Finding(
            "patient-across-splits",
            "error",
            len(patients),
            several(len(patients), "patient id stands", "patient ids stand")
            + " in more than one of train, validation and test",
            images=tuple(rows["path"].sort()),
            groups=_by_patient(rows),
            evidence={"patients": patients, "images_by_split": dict(rows.group_by("split").len().sort("split").iter_rows())},
            repair="lungwise prepare SOURCE --out DIR --resplit",
        )
    ]


def label_changes(listed: pl.DataFrame) -> list[Finding]:
    """Patients with images of more than one class: follow-ups, or a wrong label."""
    changing = listed.filter(pl.col("label").n_unique().over("patient") > 1)
    if not changing.height:
        return []
    patients = changing["patient"].unique().sort().to_list()
    return [
        Finding(
            "patient-label-change",
            "note",
            len(patients),
            several(len(patients), "patient has", "patients have")
            + " images of more than one class: the illness changed, or a label is wrong",
            images=tuple(changing["path"].sort()),
            groups=_by_patient(changing),
            evidence={"patients": patients},
            repair="look at them; a wrong label is corrected in the source, or left out with --exclude FILE",
        )
    ]


def _by_patient(rows: pl.DataFrame) -> tuple[tuple[str, ...], ...]:
    grouped = rows.sort("path").group_by("patient", maintain_order=True).agg("path").sort("patient")
    return tuple(tuple(paths) for paths in grouped["path"])
