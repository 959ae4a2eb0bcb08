"""DarkCovidNet's three folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungwise.data.sources import list_source
from lungwise.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (
        "Covid-19/1-s2.0-S0929664620300449-gr2_lrg-a.jpg",
        "No_findings/00001280_004.png",
        "Pneumonia/00001385_000.png",
    ):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_each_class_says_its_collection(root: Path) -> None:
    listing = list_source(root)
    assert listing.kind == "darkcovidnet"
    assert listing.rows.select("label", "source", "patient").rows() == [
        ("Covid-19", "cohen", "1-s2.0-S0929664620300449-gr2_lrg"),
        ("No_findings", "nih", "00001280"),
        ("Pneumonia", "nih", "00001385"),
    ]
    assert listing.notes[-1].startswith("Class and source are confounded here")
    assert "103792" in listing.citation


def test_a_fourth_folder_makes_it_a_plain_folder(root: Path) -> None:
    (root / "Other").mkdir()
    (root / "Other" / "x.png").write_bytes(b"x")
    assert list_source(root).kind == "folder"


def test_folders_without_images_are_refused(root: Path) -> None:
    for file in root.rglob("*.[jp]*g"):
        file.unlink()
    with pytest.raises(DataError, match=r"no image was found in its folders Covid-19, No_findings, Pneumonia; put"):
        list_source(root)
