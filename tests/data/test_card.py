"""The dataset card and the sheet of samples."""

from __future__ import annotations

import cv2
import polars as pl
import pytest

from lungwise.data.card import card
from lungwise.data.sheet import SIDE, sample_sheet
from lungwise.data.store import PreparedData


@pytest.fixture
def text(small_data: PreparedData) -> str:
    return (small_data.folder / "README.md").read_text()


def test_the_card_counts_as_the_manifest_does(small_data: PreparedData, text: str) -> None:
    used = small_data.manifest
    assert text.startswith("# Chest X-rays: COVID-19, normal, pneumonia\n\n54 images of ")
    for label in small_data.labels:
        rows = used.filter(pl.col("label") == label)
        assert f"| {rows.height} ({rows['patient'].n_unique()}) |" in next(
            line for line in text.splitlines() if line.startswith(f"| {label} |")
        )
    assert "**Synthetic:**" in text
    assert "No patient stands in two parts." in text
    assert small_data.fingerprint in text
    assert "/tmp" not in text


def test_what_was_left_out_is_counted(small_data: PreparedData) -> None:
    table = small_data.manifest.with_row_index("row").with_columns(
        status=pl.when(pl.col("row") == 0)
        .then(pl.lit("missing"))
        .when(pl.col("row") == 1)
        .then(pl.lit("excluded: duplicate of x.png"))
        .when(pl.col("row") == 2)
        .then(pl.lit("excluded: blank"))
        .when(pl.col("row") == 3)
        .then(pl.lit("y.png is cut off."))
        .otherwise(pl.col("status"))
    )
    text = card(small_data.facts, table)
    for line in (
        "- 1: listed, but missing on disk", "- 1: copies of images that were kept", "- 1: blank", "- 1: cannot be read",
    ):  # fmt: skip
        assert line in text


def test_licence_findings_and_views_are_told(small_data: PreparedData) -> None:
    found = [{"check": "duplicate", "severity": "warning", "count": 1, "message": "1 pictures stand twice"}]
    facts = {**small_data.facts, "licence": "CC BY 4.0", "citation": "A. Author 2020", "audit": found}
    text = card(facts, small_data.manifest.with_row_index("row").with_columns(view=pl.lit("PA")))
    for line in ("- Licence: CC BY 4.0", "- Cite: A. Author 2020", "- **warning** (duplicate): 1 pictures stand twice."):
        assert line in text
    assert "Views, where known: PA 54." in text


def test_the_sheet_has_a_row_a_class(small_data: PreparedData) -> None:
    sheet = cv2.imread(str(small_data.folder / "samples.png"), cv2.IMREAD_GRAYSCALE)
    again = sample_sheet(small_data.manifest.with_row_index("row"), small_data.pixels)
    assert (sheet == again).all()
    assert sheet.shape[0] > 3 * SIDE
    assert sheet.shape[1] > 8 * SIDE
