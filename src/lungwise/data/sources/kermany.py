"""Kermany: "Chest X-Ray Images (Pneumonia)", children of one to five years from Guangzhou.

Licence: CC BY 4.0. Citation: Kermany et al., Cell 172 (2018) 1122.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl

from lungwise.data.sources.folder import SPLIT_FOLDERS, list_folder
from lungwise.data.sources.listing import Listing, SourceOptions
from lungwise.data.sources.patients import guess
from lungwise.data.sources.tree import entries, stem

SOURCE = "kermany"
LICENCE = "CC BY 4.0"
CITATION = (
    "Kermany DS, Goldbaum M, Cai W, et al. Identifying medical diagnoses and treatable diseases by image-based deep learning. "
    "Cell 172 (2018) 1122-1131, doi:10.1016/j.cell.2018.02.010"
)
_CLASSES = {"NORMAL", "PNEUMONIA"}


def recognises(root: Path) -> bool:
    """Whether a folder has train and test parts of NORMAL and PNEUMONIA whose files are named as Kermany's."""
    parts = {SPLIT_FOLDERS[name.lower()]: name for name in _folders(root) if name.lower() in SPLIT_FOLDERS}
    if not {"train", "test"} <= set(parts):
        return False
    classes = [root / part / label for part in parts.values() for label in sorted(_CLASSES)]
    return all(folder.is_dir() for folder in classes) and any(_named_so(folder) for folder in classes)


def list_kermany(root: Path, options: SourceOptions = SourceOptions()) -> Listing:
    """List ``train``, ``val`` and ``test`` of NORMAL and PNEUMONIA; patients stand in the names of the files.

    Args:
        root: the folder with ``train`` and ``test``.
        options: see :func:`lungwise.data.sources.folder.list_folder`.

    Raises:
        DataError: there is no image.
    """
    listing = list_folder(root, options)
    rows = listing.rows.with_columns(source=pl.lit(SOURCE))
    return replace(listing, kind=SOURCE, rows=rows, licence=LICENCE, citation=CITATION)


def _folders(root: Path) -> list[str]:
    return entries(root)[0] if root.is_dir() else []


def _named_so(folder: Path) -> bool:
    return any(guess(stem(name))[1] == SOURCE for name in entries(folder)[1][:20])
