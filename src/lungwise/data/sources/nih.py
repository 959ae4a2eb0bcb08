"""NIH ChestX-ray14: 112,120 frontal films of 30,805 patients, labelled by software that read the reports.

Licence: free use, with attribution to the NIH Clinical Center. Citation: Wang et al., CVPR 2017, 2097.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from lungwise.data.sources import demographics
from lungwise.data.sources.findings import choose_labels
from lungwise.data.sources.listing import Listing, Record, SourceOptions, to_rows
from lungwise.data.sources.places import Places
from lungwise.data.sources.published import check_unique, first_broken, read_published
from lungwise.errors import DataError
from lungwise.files import read_text

LICENCE = "free use with attribution to the NIH Clinical Center (https://nihcc.app.box.com/v/ChestXray-NIHCC)"
CITATION = (
    "Wang X, Peng Y, Lu L, Lu Z, Bagheri M, Summers RM. ChestX-ray8: hospital-scale chest X-ray database and benchmarks on "
    "weakly-supervised classification and localization of common thorax diseases. CVPR 2017, 2097-2106"
)
TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
"""The table of labels, the corrected one first."""
USUAL = {"No Finding": "normal", "Pneumonia": "pneumonia"}
"""Findings that are kept when nothing else is asked for, and what they are called."""

_LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
_COLUMNS = ("Image Index", "Finding Labels", "Patient ID")
_EXTRAS = ("View Position", "Patient Gender", "Patient Age")


def recognises(root: Path) -> bool:
    """Whether a folder holds the table of ChestX-ray14."""
    return any((root / name).is_file() for name in TABLES)


def list_nih(root: Path, options: SourceOptions = SourceOptions()) -> Listing:
    """List the images of ``Data_Entry_2017.csv`` or ``Data_Entry_2017_v2020.csv`` that show a chosen finding.

    By default those without a finding are "normal" and those with Pneumonia, alone or beside others, are "pneumonia".
    ``train_val_list.txt`` and ``test_list.txt``, where they exist, are the split.

    Args:
        root: the folder with the table.
        options: ``classes`` are other findings to keep (an image that shows several of them is left out); ``images`` is
            the folder with the images, by default ``root``. They may lie anywhere below it.

    Raises:
        DataError: the table or a list cannot be used, or a class has no image.
    """
    table = root / next(name for name in TABLES if (root / name).is_file())
    rows = read_published(table, _COLUMNS, _EXTRAS)
    check_unique(rows, "Image Index", table)
    first_broken(rows, pl.col("Image Index").str.contains("/", literal=True), table, "'Image Index' must be the name of a file")
    findings = [tuple(text.split("|")) for text in rows["Finding Labels"]]
    labels, notes = choose_labels(findings, options.classes, USUAL, table.name)
    splits, lost = _splits(root, rows["Image Index"])
    if lost:
        notes.append(f"{lost} images stand in neither train_val_list.txt nor test_list.txt and take part in nothing.")
    kept = rows.with_columns(label=pl.Series(labels), part=pl.Series(splits)).with_row_index("line", offset=2)
    kept = kept.filter(pl.col("label") != "")
    places = Places(options.images or root)
    named = kept.select("line", "Image Index", "label", "Patient ID", "part").rows()
    records: list[Record] = [
        (places.find(name, part, f"{table.name}:{line}"), label, patient, "nih", part)
        for line, name, label, patient, part in named
    ]
    extras = {
        "view": [(view or "").strip().upper() for view in kept["View Position"]],
        "sex": [demographics.sex(sex) for sex in kept["Patient Gender"]],
        "age": [demographics.age(age) for age in kept["Patient Age"]],
    }
    notes += places.notes()
    return Listing("nih", options.images or root, to_rows(records, extras), tuple(notes), LICENCE, CITATION)


def _splits(root: Path, names: pl.Series) -> tuple[list[str], int]:
    """The part of each image, and how many are in none of the lists; where one list is absent, the rest is its part."""
    lists = {split: _names(root / name) for name, split in _LISTS.items() if (root / name).is_file()}
    if not lists:
        return [""] * names.len(), 0
    both = sorted(lists.get("train", set()) & lists.get("test", set()))
    if both:
        raise DataError(f"An image must be in one of {' and '.join(_LISTS)}, but {both[0]} is in both; fetch the lists again.")
    other = {"train": "test", "test": "train"}[next(iter(lists))] if len(lists) == 1 else "none"
    splits = [next((split for split, listed in lists.items() if name in listed), other) for name in names]
    return splits, splits.count("none")


def _names(path: Path) -> set[str]:
    names = set(read_text(path).split())
    if not names:
        raise DataError(f"{path.name} must name one image a line, but it is empty; fetch the list again.")
    return names
