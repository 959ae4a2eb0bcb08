"""Kermany's films of children."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from lungwise.data.sources import SourceOptions, list_source
from lungwise.data.sources.folder import list_folder
from lungwise.data.sources.kermany import recognises

FILES = (
    "train/NORMAL/IM-0115-0001.jpeg", "train/NORMAL/NORMAL2-IM-0373-0001-0002.jpeg",
    "train/PNEUMONIA/person19_bacteria_62.jpeg",
    "val/NORMAL/NORMAL2-IM-1427-0001.jpeg", "val/PNEUMONIA/person1946_bacteria_4874.jpeg",
    "test/NORMAL/IM-0001-0001.jpeg", "test/PNEUMONIA/person1_virus_6.jpeg",
)  # fmt: skip


@pytest.fixture
def kermany(tmp_path: Path) -> Path:
    root = tmp_path / "chest_xray"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_names_and_folders_say_all(kermany: Path) -> None:
    listing = list_source(kermany)
    assert (listing.kind, listing.licence) == ("kermany", "CC BY 4.0")
    assert "Cell 172" in listing.citation
    assert listing.rows.rows()[0] == ("test/NORMAL/IM-0001-0001.jpeg", "NORMAL", "IM-0001", "kermany", "test")
    assert listing.rows["split"].value_counts(sort=True).rows() == [("train", 3), ("test", 2), ("validation", 2)]


def test_it_is_listed_as_the_folder_that_it_is(kermany: Path) -> None:
    assert list_source(kermany).rows.equals(list_folder(kermany).rows)


def test_a_strange_name_is_of_kermany_too(kermany: Path) -> None:
    (kermany / "train" / "NORMAL" / "odd.jpeg").write_bytes(b"x")
    assert list_source(kermany).rows["source"].unique().to_list() == ["kermany"]


def test_the_folder_around_it_is_looked_through(kermany: Path) -> None:
    listing = list_source(kermany.parent)
    assert (listing.kind, listing.root) == ("kermany", kermany)


def test_other_names_in_such_folders_are_not_kermany(tmp_path: Path) -> None:
    for name in ("train/NORMAL/a.png", "train/PNEUMONIA/b.png", "test/NORMAL/c.png", "test/PNEUMONIA/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert not recognises(tmp_path)
    assert list_source(tmp_path).kind == "folder"


def test_a_missing_class_leaves_a_plain_folder(kermany: Path) -> None:
    (kermany / "test" / "PNEUMONIA").rename(kermany / "test" / "other")
    assert not recognises(kermany)


def test_a_pattern_still_counts(kermany: Path) -> None:
    rows = list_source(kermany, SourceOptions(patient_pattern=r"(\d+)")).rows
    assert rows.filter(pl.col("path") == "test/PNEUMONIA/person1_virus_6.jpeg")["patient"].item() == "1"
