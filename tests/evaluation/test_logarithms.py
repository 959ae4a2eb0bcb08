"""Probabilities are checked, and their logarithms are finite."""

from __future__ import annotations

import numpy as np
import pytest

from lungwise.errors import DataError
from lungwise.evaluation.logarithms import FLOOR, checked, log_loss, log_prob


@pytest.mark.parametrize(
    "row",
    [
        pytest.param([np.nan, 1.0], id="not a number"),
        pytest.param([0.5, np.inf], id="infinite"),
        pytest.param([-0.1, 1.1], id="negative"),
        pytest.param([0.5, 0.4], id="too little"),
        pytest.param([2.0, -1.0], id="logits"),
    ],
)
def test_a_row_that_is_no_distribution_is_named(row: list[float]) -> None:
    with pytest.raises(DataError, match=r"must be >= 0 and sum to 1, got \[.*\] in row 2; predict again\.$"):
        checked(np.array([[0.5, 0.5], row]))


@pytest.mark.parametrize("shape", [(4,), (4, 1), (2, 2, 2)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"must be a table of images by classes, got the shape \(.*\); predict again\.$"):
        checked(np.ones(shape))


def test_no_images_are_no_mistake() -> None:
    assert log_prob(np.zeros((0, 3))).shape == (0, 3)


def test_logarithms_are_logits_up_to_a_constant_a_row() -> None:
    logits = np.array([[2.0, -1.0, 0.5], [100.0, 0.0, 50.0]])
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    found = log_prob(raised / raised.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(np.diff(found, axis=1), np.diff(logits, axis=1))


def test_a_probability_of_0_counts_as_the_smallest_float32() -> None:
    assert log_prob(np.array([[0.0, 1.0]])).tolist() == [[pytest.approx(-103.28, abs=0.01), 0.0]]
    assert np.float32(FLOOR) > 0
    assert np.float32(FLOOR / 2) == 0


def test_the_log_loss_is_that_of_the_true_class() -> None:
    prob = np.array([[0.25, 0.75], [0.25, 0.75], [1.0, 0.0]])
    expected = [-np.log(0.25), -np.log(0.75), -np.log(1e-3)]
    np.testing.assert_allclose(log_loss(prob, np.array([0, 1, 1]), least=1e-3), expected)
