"""COVID-19 Radiography Database of Qatar University and the University of Dhaka, with masks of the lungs.

Licence: the terms of the original authors. Citation: Chowdhury et al., IEEE Access 8 (2020) 132665, and Rahman et al.,
Comput Biol Med 132 (2021) 104319.
"""

from __future__ import annotations

from pathlib import Path

from lungwise.data.sources.folder import class_images, class_records
from lungwise.data.sources.listing import Listing, SourceOptions, to_rows
from lungwise.data.sources.tree import entries
from lungwise.errors import DataError, some

LICENCE = "terms of the original authors of each image"
CITATION = (
    "Chowdhury MEH, Rahman T, Khandakar A, et al. Can AI help in screening viral and COVID-19 pneumonia? IEEE Access 8 (2020) "
    "132665-132676; Rahman T, Khandakar A, Qiblawey Y, et al. Exploring the effect of image enhancement techniques on COVID-19 "
    "detection using chest X-ray images. Computers in Biology and Medicine 132 (2021) 104319"
)
DATABASE = "covid-19-radiography"
SOURCES = {"COVID": DATABASE, "Lung_Opacity": "rsna", "Normal": DATABASE, "Viral Pneumonia": "kermany"}
"""Class folders, and where their images come from as the database's description says; two of them are mixed."""


def recognises(root: Path) -> bool:
    """Whether a folder has two or more of the database's class folders, each with ``images``."""
    return root.is_dir() and sum((root / name / "images").is_dir() for name in SOURCES) >= 2


def list_radiography(root: Path, options: SourceOptions = SourceOptions()) -> Listing:
    """List ``CLASS/images`` of ``COVID``, ``Lung_Opacity``, ``Normal`` and ``Viral Pneumonia``; ``masks`` are passed over.

    The database names no patients, so that each image counts as one.

    Args:
        root: the folder with the class folders.
        options: ``patient_pattern`` is used.

    Raises:
        DataError: a class folder has no images.
    """
    records = []
    for label in [name for name in entries(root)[0] if name in SOURCES]:
        images, _ = class_images(root, f"{label}/images")
        if not images:
            raise DataError(f"Every class must have images, but {root / label / 'images'} has none; fetch the database again.")
        found = class_records(images, label, "", SOURCES[label], options)
        records += [(path, name, patient, SOURCES[label], split) for path, name, patient, _, split in found]
    notes = [
        "The database names no patients: each image counts as one, and films of one person may stand in several parts.",
        f"Its tables of origin are not read, so the source of COVID and Normal is '{DATABASE}'.",
    ]
    lost = [name for name in SOURCES if not (root / name).is_dir()]
    if lost:
        notes.append(f"Classes without a folder: {some(lost)}.")
    return Listing("radiography", root, to_rows(records), tuple(notes), LICENCE, CITATION)
