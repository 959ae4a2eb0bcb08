"""Two cross-validations, fold by fold."""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import t as student

from lungwise.evaluation.compare.folds import ASSUMED, DESCRIBED, fold_by_fold
from lungwise.evaluation.compare.runs import Evaluated

ACCURACIES = ([0.90, 0.85, 0.80, 0.95, 0.90], [0.85, 0.84, 0.82, 0.90, 0.80])


def side(accuracies: list[float], by: str = "patient", images: int = 20, **changes: Any) -> Evaluated:
    each = [
        {
            "repeat": 1,
            "fold": place,
            "images": images,
            "accuracy": value,
            "balanced_accuracy": value,
            "macro_auroc": None,
            **changes,
        }
        for place, value in enumerate(accuracies, 1)
    ]
    return Evaluated(Path("x"), "x", {"part": "test", "parts": {}, "folds": {"by": by, "each": each}}, (), "")


def test_differences_and_nadeau_bengio_by_hand() -> None:
    found = fold_by_fold(side(ACCURACIES[0]), side(ACCURACIES[1]))
    assert found is not None
    differences = [0.05, 0.01, -0.02, 0.05, 0.10]
    assert [fold["accuracy"] for fold in found["each"]] == pytest.approx(differences)
    mean = sum(differences) / 5
    variance = sum((value - mean) ** 2 for value in differences) / 4
    error = sqrt(variance * (1 / 5 + 1 / 4))  # five folds: test is a quarter of what is not tested
    one = found["mean"]["accuracy"]
    assert (one["difference"], one["sd"]) == pytest.approx((mean, sqrt(variance)))
    assert one["high"] - one["low"] == pytest.approx(2 * student.ppf(0.975, 4) * error)
    assert one["p"] == pytest.approx(2 * student.sf(mean / error, 4))
    assert found["assumes"] == ASSUMED


def test_an_undefined_metric_stays_undefined() -> None:
    found = fold_by_fold(side(ACCURACIES[0]), side(ACCURACIES[1]))
    assert found is not None
    nothing = {"difference": None, "sd": None, "folds": 0, "low": None, "high": None, "p": None}
    assert found["mean"]["macro_auroc"] == nothing


def test_equal_differences_have_no_spread_to_go_by() -> None:
    found = fold_by_fold(side([0.9, 0.8]), side([0.8, 0.7]))
    assert found is not None
    one = found["mean"]["accuracy"]
    assert one["difference"] == pytest.approx(0.1)
    assert (one["low"], one["p"]) == (None, None)


def test_sources_are_only_described() -> None:
    found = fold_by_fold(side(ACCURACIES[0], by="source"), side(ACCURACIES[1], by="source"))
    assert found is not None
    assert found["mean"]["accuracy"]["p"] is None
    assert found["mean"]["accuracy"]["sd"] is not None
    assert found["assumes"] == DESCRIBED


def test_single_runs_have_no_folds() -> None:
    single = Evaluated(Path("x"), "x", {"part": "test", "parts": {}}, (), "")
    assert fold_by_fold(single, side(ACCURACIES[0])) is None


def test_folds_have_names() -> None:
    named = fold_by_fold(side([0.9, 0.8], name="source cohen"), side([0.8, 0.7]))
    plain = fold_by_fold(side([0.9, 0.8]), side([0.8, 0.7]))
    assert named is not None
    assert plain is not None
    assert [fold["name"] for fold in named["each"]] == ["source cohen"] * 2
    assert [fold["name"] for fold in plain["each"]] == ["fold 1", "fold 2"]
