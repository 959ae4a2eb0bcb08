"""A folder of class folders, with or without train, validation and test folders above them.

Licence and citation are those of whoever made the folder; nothing in it says them.
"""

from __future__ import annotations

import re
from pathlib import Path

from lungwise.data.sources.deidentify import with_people
from lungwise.data.sources.listing import Listing, Record, SourceOptions, to_rows
from lungwise.data.sources.patients import custom_pattern, guess, patient_by
from lungwise.data.sources.tree import entries, files_below, stem, suffix
from lungwise.errors import DataError, some
from lungwise.imaging.read import SUFFIXES

SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Folder names, in lower case, that mean a part of a split."""


def list_folder(root: Path, options: SourceOptions = SourceOptions()) -> Listing:
    """List a folder of class folders: ``root/[train|validation|test/]CLASS/**/image``.

    Hidden files are passed over. Files with another ending than an image's are not looked at, but counted. The patient
    is what ``patient_pattern`` finds, else a pseudonym of what a DICOM file's header says, else what names say (see
    :mod:`lungwise.data.sources.patients`).

    Args:
        root: the folder.
        options: ``patient_pattern`` and ``patient_key`` are used.

    Raises:
        DataError: no class folders, or no images in them.
    """
    folders, _ = entries(root)
    parts = {name: SPLIT_FOLDERS[name.lower()] for name in folders if name.lower() in SPLIT_FOLDERS}
    records, other = [], 0
    for top, split in (parts or {"": ""}).items():
        for label in entries(root / top)[0] if top else folders:
            images, passed = class_images(root, f"{top}/{label}" if top else label)
            other += passed
            records += class_records(images, label, split, root.resolve().name, options)
    if not records:
        raise DataError(
            f"{root} must hold a folder of images for each class, but no image was found in "
            f"{f'its folders {some(folders)}' if folders else 'it (it has no folders)'}; "
            "put the X-rays of each class into a folder named after it."
        )
    rows = to_rows(records)
    notes = _notes(other, list(parts), [name for name in folders if name not in parts] if parts else [])
    if options.patient_pattern is None:
        rows = with_people(rows, root, options, notes)
    return Listing("folder", root, rows, tuple(notes))


def class_images(root: Path, folder: str) -> tuple[list[str], int]:
    """Images at any depth below ``root/folder``, as paths relative to ``root``, and the number of other files."""
    files = list(files_below(root, folder))
    images = [path for path in files if (ending := suffix(path)) in SUFFIXES or not ending]
    return images, len(files) - len(images)


def class_records(images: list[str], label: str, split: str, source: str, options: SourceOptions) -> list[Record]:
    """One record an image; patient and source come from its name, ``source`` where the name says none."""
    pattern = custom_pattern(options.patient_pattern) if options.patient_pattern else None
    return [_record(path, label, split, source, pattern) for path in images]


def _record(path: str, label: str, split: str, source: str, pattern: re.Pattern[str] | None) -> Record:
    name = stem(path)
    guessed, known = guess(name)
    return path, label, patient_by(pattern, name) if pattern else guessed, known or source, split


def _notes(other: int, parts: list[str], aside: list[str]) -> list[str]:
    notes = []
    if other:
        notes.append(f"{other} files whose names do not end like an image's were not looked at.")
    if aside:
        notes.append(f"Folders beside {some(parts)} were not looked at: {some(aside)}.")
    return notes
