"""RSNA Pneumonia Detection Challenge 2018: frontal films of NIH ChestX-ray14, labelled anew by radiologists.

Licence: use for research, education and other purposes with attribution, as RSNA's terms of use say. Citation: Shih et
al., Radiology: Artificial Intelligence 1 (2019) e180041.
"""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from lungwise.data.sources.deidentify import with_people
from lungwise.data.sources.findings import choose_labels
from lungwise.data.sources.listing import Listing, Record, SourceOptions, to_rows
from lungwise.data.sources.places import Places
from lungwise.data.sources.published import first_broken, read_published
from lungwise.errors import DataError

LICENCE = "RSNA terms of use: research, education and other purposes, commercial or not, with attribution"
CITATION = (
    "Shih G, Wu CC, Halabi SS, et al. Augmenting the National Institutes of Health chest radiograph dataset with expert "
    "annotations of possible pneumonia. Radiology: Artificial Intelligence 1 (2019) e180041, doi:10.1148/ryai.2019180041"
)
LABELS, CLASSES = "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"
IMAGES = "stage_2_train_images"
MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
"""RSNA's table of the NIH image behind each of its own; it tells which images show one person."""
OPACITY = "Lung Opacity"
USUAL = {"Normal": "normal", OPACITY: "pneumonia"}
"""Classes that are kept when nothing else is asked for; "No Lung Opacity / Not Normal" is neither."""


def recognises(root: Path) -> bool:
    """Whether a folder holds the challenge's labels."""
    return (root / LABELS).is_file()


def list_rsna(root: Path, options: SourceOptions = SourceOptions()) -> Listing:
    """List the training images of the challenge; several boxes of one image are one row.

    Args:
        root: the folder with ``stage_2_train_labels.csv`` and ``stage_2_detailed_class_info.csv``.
        options: ``classes`` are other classes to keep; ``images`` is the folder with the images, by default ``root``.
            They may lie anywhere below it, as DICOM (Secondary Capture) or under another ending.

    Raises:
        DataError: a table is missing or malformed, or the two disagree (the row is named).
    """
    classes = _classes(root)
    labels, notes = choose_labels([(name,) for name in classes["class"]], options.classes, USUAL, CLASSES)
    persons = _persons(root / MAPPING)
    if not persons:
        notes.append(f"Without {MAPPING} each image counts as a patient, and films of one person may stand in several parts.")
    base = options.images or root
    places = Places(base)
    records: list[Record] = []
    for (identifier, _, line), label in zip(classes.rows(), labels, strict=True):
        if label:
            name = f"{identifier}.dcm"
            path = places.find(name, "", f"{CLASSES}:{line}")
            absent = path == name and name not in places
            records.append((f"{IMAGES}/{name}" if absent else path, label, persons.get(identifier, identifier), "rsna", ""))
    rows = with_people(to_rows(records), base, options, notes, patients=False)
    return Listing("rsna", base, rows, (*notes, *places.notes()), LICENCE, CITATION, secondary=True)


def _classes(root: Path) -> pl.DataFrame:
    """patientId, class and line, one row an image, after both tables agree."""
    boxes = read_published(root / LABELS, ("patientId", "Target"))
    first_broken(boxes, ~pl.col("Target").is_in(["0", "1"]), root / LABELS, "'Target' must be 0 or 1")
    named = read_published(root / CLASSES, ("patientId", "class"))
    first_broken(named, pl.col("patientId").str.contains(r"[/\\]"), root / CLASSES, "'patientId' must not be a path")
    known = named.unique("patientId", keep="first")
    joined = named.join(known, on="patientId", maintain_order="left").select("patientId", "class", first="class_right")
    first_broken(joined, pl.col("class") != pl.col("first"), root / CLASSES, "an image must be of one class")
    both = boxes.join(known, on="patientId", how="left", maintain_order="left").with_columns(pl.col("class").fill_null(""))
    first_broken(both, pl.col("class") == "", root / LABELS, f"'patientId' must be in {CLASSES} as well")
    opaque = (pl.col("Target") == "1") != (pl.col("class") == OPACITY)
    first_broken(both, opaque, root / LABELS, f"'Target' must be 1 for {OPACITY} and 0 otherwise")
    lines = named.with_row_index("line", offset=2).unique("patientId", keep="first", maintain_order=True)
    return lines.select("patientId", "class", "line")


def _persons(mapping: Path) -> dict[str, str]:
    """The NIH patient of each image, where RSNA's table of origins lies beside; else nothing."""
    if not mapping.is_file():
        return {}
    try:
        entries = json.loads(mapping.read_text(encoding="utf-8"))
        return {str(entry["subset_img_id"]): str(entry["img_id"]).partition("_")[0] for entry in entries}
    except (ValueError, KeyError, TypeError) as cause:
        raise DataError(
            f"{mapping.name} must be RSNA's JSON list with 'subset_img_id' and 'img_id', but is not; fetch or remove it."
        ) from cause
