"""Sums of images of each patient; the metrics themselves are compared with scikit-learn's in test_metrics.py."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from lungwise.evaluation.tally import LEAST, Tally
from tests.evaluation.factory import random_cases, scored


def test_sums_by_hand() -> None:
    found = scored([0, 0, 1], [0.1, 0.6, 0.7], ["a", "a", "b"])
    overall, classes = Tally(found, np.array([0, 1, 1]), np.array([0, 0, 1]), 2)(np.array([[1.0, 2.0], [1.0, 0.0]]))
    assert overall["accuracy"].tolist() == pytest.approx([2 / 3, 1 / 2])
    assert overall["brier"].tolist() == pytest.approx([2 * (0.01 + 0.36 + 0.09) / 3, 2 * (0.01 + 0.36) / 2])
    assert overall["log_loss"][0] == pytest.approx(-np.log([0.9, 0.4, 0.7]).mean())
    assert classes["sensitivity"].tolist() == [pytest.approx([0.5, 0.5]), pytest.approx([1.0, np.nan], nan_ok=True)]
    assert classes["ppv"].tolist() == [[1.0, 1.0], pytest.approx([0.5, 0.0])]
    assert classes["prevalence"][1].tolist() == pytest.approx([1 / 3, 0.0])


def test_kappa_of_agreement_by_chance_alone_is_undefined() -> None:
    found = scored([1, 1], [0.9, 0.8])
    overall, _ = Tally(found, np.array([1, 1]), np.arange(2), 2)(np.ones((2, 1)))
    assert np.isnan(overall["kappa"][0])


@pytest.mark.parametrize("classes", [2, 4])
def test_kappa_equals_scikit_learns(classes: int) -> None:
    found = random_cases(90, classes)
    decided = found.prob.argmax(axis=1)
    overall, _ = Tally(found, decided, np.arange(90), 90)(np.ones((90, 1)))
    assert overall["kappa"][0] == pytest.approx(cohen_kappa_score(found.y, decided))


def test_a_probability_of_0_costs_36() -> None:
    found = scored([1], [0.0])
    overall, _ = Tally(found, np.array([0]), np.arange(1), 1)(np.ones((1, 1)))
    assert overall["log_loss"][0] == pytest.approx(-np.log(LEAST))
    assert 36 < overall["log_loss"][0] < 36.1
