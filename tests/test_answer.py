"""One place for probabilities, sets and decisions: the same as the evaluation makes of stored probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from lungwise.answer import FLOOR, in_set, probabilities, softmax
from lungwise.evaluation.calibration import Calibration
from lungwise.evaluation.conformal import Conformal

LOGITS = np.random.default_rng(0).normal(size=(50, 3)) * 8
MATRIX, BIAS = ((1.2, 0.1, 0.0), (0.0, 0.7, -0.2), (0.3, 0.0, 1.5)), (0.1, 0.0, -0.4)


@pytest.mark.parametrize(
    "calibration",
    [
        Calibration(),
        Calibration("temperature", 1.7),
        Calibration("temperature", 0.4),
        Calibration("dirichlet", 1.0, None, MATRIX, BIAS),
    ],
    ids=["none", "above 1", "below 1", "map"],
)
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_logits_become_what_the_evaluation_makes_of_their_softmax(calibration: Calibration, scale: float) -> None:
    found = probabilities(scale * LOGITS, calibration.temperature, calibration.matrix, calibration.bias)
    np.testing.assert_array_equal(found, calibration.apply(softmax(scale * LOGITS)))
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_a_probability_of_0_counts_as_the_smallest_float32() -> None:
    found = probabilities(np.array([[0.0, -1000.0]]), 50.0)
    assert found[0, 1] == pytest.approx(FLOOR ** (1 / 50), rel=0.2)


def test_sets_are_those_of_the_evaluation() -> None:
    prob, quantiles = softmax(LOGITS / 8), {"a": 0.7, "b": 1.0, "c": 0.3}
    found = in_set(prob, list(quantiles.values()))
    np.testing.assert_array_equal(found, Conformal(0.1, quantiles, dict.fromkeys(quantiles, 30)).sets(prob))
    assert found[:, 1].all()
    np.testing.assert_array_equal(found[:, 0], prob[:, 0] >= 1 - 0.7)
