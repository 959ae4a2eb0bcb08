"""The recorded runs differ as docs/compare.md says."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungwise.evaluation.compare import compare
from lungwise.evaluation.wording import p_value, points

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("folder", "first", "second"),
    [("kermany", "coatnet-pico", "kaggle-cnn"), ("darkcovidnet", "coatnet-lite", "coatnet-pico")],
)
def test_the_documented_differences(folder: str, first: str, second: str) -> None:
    (pair,) = compare([ROOT / "docs" / "results" / folder / name for name in (first, second)])["pairs"]
    row = next(
        line for line in (ROOT / "docs" / "compare.md").read_text().splitlines() if line.startswith(f"| {first} − {second}")
    )
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == f"{pair['images']} of {pair['patients']}"
    assert cells[2].startswith(points(pair["accuracy"]).partition(" [")[0])
    assert cells[3] == p_value(pair["accuracy"]["p"])
    assert cells[5] == p_value(pair["macro_auroc"]["p"])
    assert cells[6] == f"{pair['mcnemar']['only_a']}, {pair['mcnemar']['only_b']}"
    assert cells[7] == p_value(pair["mcnemar"]["p"])
