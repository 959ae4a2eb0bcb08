"""MedMNIST: PneumoniaMNIST (Kermany's films) and ChestMNIST (NIH ChestX-ray14) as small squares in one ``.npz`` file.

Licence: CC BY 4.0. Citation: Yang et al., Scientific Data 10 (2023) 41.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungwise.data.sources.findings import choose_labels
from lungwise.data.sources.listing import Listing, Record, SourceOptions, to_rows
from lungwise.data.sources.npz import Member, damaged
from lungwise.data.sources.tree import entries
from lungwise.errors import DataError, ImageError, some
from lungwise.imaging.radiograph import Radiograph
from lungwise.imaging.read import MIN_SIDE

LICENCE = "CC BY 4.0"
CITATION = (
    "Yang J, Shi R, Wei D, et al. MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D biomedical image "
    "classification. Scientific Data 10 (2023) 41, doi:10.1038/s41597-022-01721-8"
)
SPLITS = {"train": "train", "val": "validation", "test": "test"}
CHEST = (
    "atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia", "pneumothorax",
    "consolidation", "edema", "emphysema", "fibrosis", "pleural", "hernia",
)  # fmt: skip
"""Columns of ChestMNIST's labels."""
USUAL = {"normal": "normal", "pneumonia": "pneumonia"}
_SETS = {"pneumoniamnist": "kermany", "chestmnist": "nih"}
_DIGITS = 6


def recognises(root: Path) -> bool:
    """Whether this is an ``.npz`` file, or a folder that holds one of the two sets."""
    return root.suffix.lower() == ".npz" if root.is_file() else root.is_dir() and bool(_files(root))


def list_medmnist(root: Path, options: SourceOptions = SourceOptions()) -> Listing:
    """List the images of ``pneumoniamnist_224.npz``, ``chestmnist_64.npz`` and the like.

    A path is the file's name, the part and the row: ``pneumoniamnist_224.npz/train/000017``; ``reader`` reads it. By
    default a ChestMNIST image without a finding is "normal" and one with pneumonia, alone or beside others,
    "pneumonia". MedMNIST names no patients, so that each image counts as one.

    Args:
        root: the file, or a folder that holds one such file.
        options: ``classes`` are other findings of ChestMNIST to keep.

    Raises:
        DataError: the file is another set, too small, damaged, or lacks an array.
    """
    file = _only_file(root)
    kind = file.stem.split("_")[0].lower()
    if kind not in _SETS:
        raise DataError(
            f"Of MedMNIST only {' and '.join(_SETS)} are chest X-rays, got {file.name}; keep the published name of the file."
        )
    members: dict[str, Member] = {}
    records: list[Record] = []
    findings: list[tuple[str, ...]] = []
    with damaged(file.name, DataError):
        for part, split in SPLITS.items():
            members[part] = _images(Member(file, f"{part}_images"), file.name)
            labels = Member(file, f"{part}_labels").whole(limit=10_000_000)
            findings += _findings(labels, kind, members[part], f"{part}_labels of {file.name}")
            names = [f"{part}/{row:0{_DIGITS}d}" for row in range(members[part].rows)]
            records += [(f"{file.name}/{name}", "", name.replace("/", "-"), _SETS[kind], split) for name in names]
    chosen, notes = choose_labels(findings, options.classes, USUAL, file.name)
    kept = [
        (path, label, patient, source, split)
        for (path, _, patient, source, split), label in zip(records, chosen, strict=True)
        if label
    ]
    notes.append("MedMNIST names no patients: each image counts as one, and films of one person may stand in several parts.")
    return Listing("medmnist", file.parent, to_rows(kept), tuple(notes), LICENCE, CITATION, reader=_reader(members, file.name))


def _files(folder: Path) -> list[Path]:
    names = entries(folder)[1]
    return [folder / name for name in names if name.lower().endswith(".npz") and name.lower().startswith(tuple(_SETS))]


def _only_file(root: Path) -> Path:
    if root.is_file():
        return root
    files = _files(root)
    if len(files) > 1:
        names = some([file.name for file in files])
        raise DataError(f"A source must be one set of MedMNIST, but {root} holds {names}; name one of the files.")
    return files[0]


def _images(member: Member, name: str) -> Member:
    if member.dtype != np.uint8 or len(member.shape) != 3:
        raise DataError(
            f"{member.name} of {name} must be uint8 [n, side, side], got {member.dtype} {member.shape}; refetch it."
        )
    side = min(member.shape[1:])
    if side < MIN_SIDE:
        base = name.partition(".")[0].partition("_")[0]
        raise DataError(
            f"An image must have at least {MIN_SIDE} pixels on each side, those of {name} have {side}; "
            f"fetch {base}_64.npz, {base}_128.npz or {base}_224.npz."
        )
    return member


def _findings(labels: NDArray[np.generic], kind: str, images: Member, where: str) -> list[tuple[str, ...]]:
    columns = len(CHEST) if kind == "chestmnist" else 1
    if labels.shape != (images.rows, columns) or not np.isin(labels, (0, 1)).all():
        raise DataError(f"{where} must be {images.rows} x {columns} of 0 or 1, got {labels.dtype} {labels.shape}; refetch it.")
    if columns == 1:
        return [("pneumonia",) if value else ("normal",) for value in labels[:, 0]]
    return [tuple(name for name, value in zip(CHEST, row, strict=True) if value) or ("normal",) for row in labels]


def _reader(members: dict[str, Member], file: str) -> Callable[[str], Radiograph]:
    def read(path: str) -> Radiograph:
        """The image of a path of the listing; may be called by several threads, and is quickest in the order of paths."""
        match = re.fullmatch(rf"{re.escape(file)}/(train|val|test)/(\d+)", path, re.ASCII)
        if match is None or int(match[2]) >= members[match[1]].rows:
            raise ImageError(f"{path} is not an image of {file}; prepare the data set again.")
        with damaged(file, ImageError):
            return Radiograph(np.asarray(members[match[1]].row(int(match[2])), dtype=np.uint8))

    return read
