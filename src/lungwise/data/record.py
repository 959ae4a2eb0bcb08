"""Write a prepared data set: manifest, pixels, findings, card, and ``dataset.json`` last, so that it means "whole"."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

import lungwise
from lungwise.data.audit import Finding, audit
from lungwise.data.audit.duplicates import Pairs
from lungwise.data.card import write_card
from lungwise.data.manifest import counts, write_manifest
from lungwise.data.pixels import open_pixels, shard_sizes
from lungwise.data.sources import Listing
from lungwise.errors import some, writing
from lungwise.files import write_json
from lungwise.imaging.preprocess import Preprocess
from lungwise.labels import LabelSet


def record(
    out: Path,
    draft: Path,
    listing: Listing,
    table: pl.DataFrame,
    pairs: Pairs,
    spec: Preprocess,
    plan: Mapping[str, Any],
) -> None:
    """Audit, then move everything into place.

    Args:
        out: the prepared data set's folder.
        draft: where the pixels are.
        listing: where the images come from.
        table: the whole manifest, with its split.
        pairs: rows that show the same picture.
        spec: how the pixels were made.
        plan: what identifies this preparation; goes into ``dataset.json`` as it is.
    """
    rows = int((table["status"] != "missing").sum())
    squares = open_pixels(draft, rows, spec.stored)
    findings = audit(table.drop("row"), squares, pairs=pairs, root=listing.root if listing.kind in LISTED else None)
    facts = dataset_facts(listing, table, spec, findings) | dict(plan)
    write_manifest(out / "manifest.parquet", table)
    write_json(out / "audit.json", [finding.as_json() for finding in findings])
    write_card(out, facts, table, squares)
    names = list(shard_sizes(rows, spec.stored))
    with writing(out):
        for name in names:
            os.replace(draft / name, out / name)
        for old in out.glob("pixels*.npy"):
            if old.name not in names:
                old.unlink()  # of a larger data set that was replaced
    write_json(out / "dataset.json", facts)
    shutil.rmtree(draft)


LISTED = ("table", "covidx", "nih", "rsna")
"""Kinds of source whose list and disk can disagree in both ways."""


def dataset_facts(listing: Listing, table: pl.DataFrame, spec: Preprocess, findings: list[Finding]) -> dict[str, Any]:
    """The contents of ``dataset.json``, in JSON types."""
    readable = table.filter(pl.col("status") == "ok")
    excluded = table.filter(pl.col("status").str.starts_with("excluded"))
    return {
        "lungwise": lungwise.__version__,
        "kind": listing.kind,
        "root": str(listing.root.resolve()),
        "licence": listing.licence,
        "citation": listing.citation,
        "preprocess": spec.model_dump(),
        "labels": list(LabelSet.of(readable["label"])),
        "counts": counts(table),
        "missing": int((table["status"] == "missing").sum()),
        "unreadable": table.height - readable.height - excluded.height - int((table["status"] == "missing").sum()),
        "excluded": excluded.height,
        "notes": [*listing.notes, *_split_notes(table)],
        "audit": summary(findings),
        "synthetic": set(table["source"]) == {"phantom"},
        "fingerprint": _fingerprint(table, spec),
    }


def summary(findings: list[Finding]) -> list[dict[str, Any]]:
    """What of each finding is carried on into runs, reports and bundles: no file's name."""
    return [{key: finding.as_json()[key] for key in ("check", "severity", "count", "message")} for finding in findings]


def _split_notes(table: pl.DataFrame) -> list[str]:
    """What a given split lacks; a split of our own never lacks anything."""
    found = counts(table)
    labels = LabelSet.of(table.filter(pl.col("status") == "ok")["label"])
    lost = LabelSet.of([*table["label"], *labels]).names
    notes = [f"No readable image is labelled '{name}'." for name in lost if name not in labels.names]
    for split in ("train", "validation", "test"):
        absent = [name for name in labels if name not in found.get(split, {})]
        if absent:
            notes.append(f"The {split} part has no image of {some(absent)}.")
    return notes


def _fingerprint(table: pl.DataFrame, spec: Preprocess) -> str:
    """SHA-256 of the specification and of each row's image, label, patient, split and pixels."""
    rows = table.select("image", "label", "patient", "source", "split", "sha256").sort("image").rows()
    text = json.dumps([spec.model_dump(), rows], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
