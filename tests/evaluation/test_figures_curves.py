"""Precision-recall curves from their definition."""

from __future__ import annotations

import pytest
from sklearn.metrics import precision_recall_curve

from lungwise.evaluation.figures_curves import precision_recall_curves, precision_recall_points
from tests.evaluation.factory import random_cases, scored


def test_points_are_those_of_scikit_learn() -> None:
    cases = random_cases(80, 3)
    for column in range(3):
        found = precision_recall_points(cases, column)
        precision, recall, _ = precision_recall_curve(cases.y == column, cases.prob[:, column])
        assert found["recall"] == pytest.approx(recall[:-1][::-1])
        assert found["precision"] == pytest.approx(precision[:-1][::-1])


def test_an_absent_class_has_no_curve_and_is_drawn() -> None:
    found = precision_recall_points(scored([0, 0], [0.2, 0.4]), 1)
    assert found == {"recall": [], "precision": []}
    assert precision_recall_curves({"sick": found}, {"sick": "–"}, {"sick": 0.0}).startswith("<svg")
