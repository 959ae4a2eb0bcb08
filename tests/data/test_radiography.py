"""COVID-19 Radiography Database."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungwise.data.sources import SourceOptions, list_source
from lungwise.errors import DataError

NAMES = {"COVID": "COVID", "Lung_Opacity": "Lung_Opacity", "Normal": "Normal", "Viral Pneumonia": "Viral Pneumonia"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    base = tmp_path / "COVID-19_Radiography_Dataset"
    for label in NAMES:
        for kind in ("images", "masks"):
            (base / label / kind).mkdir(parents=True)
            for number in (1, 2):
                (base / label / kind / f"{label}-{number}.png").write_bytes(b"x")
        (base / f"{label}.metadata.xlsx").write_bytes(b"PK")
    (base / "README.md.txt").write_text("about")
    return base


def test_masks_and_tables_are_no_images(root: Path) -> None:
    listing = list_source(root)
    assert listing.kind == "radiography"
    assert listing.rows["path"].to_list() == [f"{label}/images/{label}-{number}.png" for label in NAMES for number in (1, 2)]
    assert listing.rows.unique("label").sort("label").select("label", "source").rows() == [
        ("COVID", "covid-19-radiography"), ("Lung_Opacity", "rsna"), ("Normal", "covid-19-radiography"),
        ("Viral Pneumonia", "kermany"),
    ]  # fmt: skip
    assert listing.rows["patient"].n_unique() == 8
    assert "IEEE Access" in listing.citation


def test_the_folder_of_the_archive_is_looked_through(root: Path) -> None:
    assert list_source(root.parent).root == root


def test_classes_may_be_chosen(root: Path) -> None:
    listing = list_source(root, SourceOptions(classes=("COVID", "viral pneumonia")))
    assert listing.rows["label"].unique().sort().to_list() == ["COVID", "Viral Pneumonia"]


def test_an_absent_class_is_said(root: Path) -> None:
    (root / "COVID").rename(root / "elsewhere")
    assert list_source(root).notes[-1] == "Classes without a folder: COVID."


def test_a_class_without_images_is_an_error(root: Path) -> None:
    for file in (root / "Normal" / "images").iterdir():
        file.unlink()
    with pytest.raises(DataError) as caught:
        list_source(root)
    assert str(caught.value) == (
        f"Every class must have images, but {root / 'Normal' / 'images'} has none; fetch the database again."
    )
