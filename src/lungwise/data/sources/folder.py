"""A folder of class folders, with or without train, validation and test folders above them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from lungwise.data.sources.listing import Listing, to_rows
from lungwise.data.sources.patients import custom_pattern, guess, patient_by
from lungwise.errors import DataError, some
from lungwise.imaging.read import SUFFIXES, hidden

SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Folder names, in lower case, that mean a part of a split."""


def list_folder(root: Path, patient_pattern: str | None = None) -> Listing:
    """List a folder of class folders: ``root/[train|validation|test/]CLASS/**/image``.

    Hidden files are passed over. Files with another ending than an image's are not looked at, but counted.

    Args:
        root: the folder.
        patient_pattern: a regular expression on the file's stem whose first group is the patient; by default the
            names of public collections are recognised (see :mod:`lungwise.data.sources.patients`).

    Raises:
        DataError: no class folders, or no images in them.
    """
    pattern = custom_pattern(patient_pattern) if patient_pattern else None
    parts = {folder: SPLIT_FOLDERS[folder.name.lower()] for folder in _folders(root) if folder.name.lower() in SPLIT_FOLDERS}
    tops = parts or {root: ""}
    records, other = [], 0
    for top, split in tops.items():
        for class_folder in _folders(top):
            files = [file for file in _files(class_folder) if not hidden(file.relative_to(root))]
            images = [file for file in files if file.suffix.lower() in SUFFIXES or not file.suffix]
            other += len(files) - len(images)
            records += [_record(file, root, class_folder.name, split, pattern) for file in images]
    if not records:
        raise DataError(
            f"{root} must hold a folder of images for each class, but no image was found in "
            f"{_describe(root)}; put the X-rays of each class into a folder named after it."
        )
    return Listing("folder", root, to_rows(records), _notes(root, parts, other))


def _folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    """All that is no folder, at any depth; a folder that cannot be opened is an OSError and not an empty one."""

    def refuse(cause: OSError) -> None:
        raise cause

    return [Path(base) / name for base, _, names in os.walk(folder, onerror=refuse) for name in names]


def _record(file: Path, root: Path, label: str, split: str, pattern: re.Pattern[str] | None) -> tuple[str, str, str, str, str]:
    guessed, source = guess(file.stem)
    patient = patient_by(pattern, file.stem) if pattern else guessed
    return file.relative_to(root).as_posix(), label, patient, source or root.resolve().name, split


def _describe(root: Path) -> str:
    names = [folder.name for folder in _folders(root)]
    return f"its folders {some(names)}" if names else "it (it has no folders)"


def _notes(root: Path, parts: dict[Path, str], other: int) -> tuple[str, ...]:
    notes = []
    if other:
        notes.append(f"{other} files whose names do not end like an image's were not looked at.")
    aside = [folder.name for folder in _folders(root) if folder not in parts] if parts else []
    if aside:
        notes.append(f"Folders beside {some([p.name for p in parts])} were not looked at: {some(aside)}.")
    return tuple(notes)
