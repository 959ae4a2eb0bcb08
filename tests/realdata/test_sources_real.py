"""Listings of the real collections, in the folder that LUNGWISE_REALDATA names."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungwise.data.sources import SourceOptions, list_source
from lungwise.data.sources.folder import list_folder

pytestmark = pytest.mark.realdata


def test_kermany_is_recognised_and_listed_as_the_folder_that_it_is(real: Path) -> None:
    listing = list_source(real / "kermany")
    assert listing.kind == "kermany"
    assert listing.rows.equals(list_folder(real / "kermany").rows)
    assert listing.rows.height == 5840


def test_darkcovidnet_says_its_collections(real: Path) -> None:
    counts = list_source(real / "darkcovidnet").rows.group_by("label", "source").len().sort("label").rows()
    assert counts == [("Covid-19", "cohen", 124), ("No_findings", "nih", 500), ("Pneumonia", "nih", 500)]


@pytest.mark.parametrize(("version", "images", "patients", "sirm"), [("8A", 15_999, 15_122, 943), ("9A", 30_530, 16_802, 943)])
def test_every_line_of_covidx_is_read(real: Path, version: str, images: int, patients: int, sirm: int) -> None:
    rows = list_source(real / "covidx9a", SourceOptions(covidx=version)).rows
    assert (rows.height, rows["patient"].n_unique()) == (images, patients)
    assert (rows["source"] == "sirm").sum() == sirm
    assert "rnsa" not in set(rows["source"])
    assert set(rows["label"]) == {"COVID-19", "normal", "pneumonia"}
    assert rows["path"].str.contains("/").sum() > 300  # the ones that are on disk were found in their folders
