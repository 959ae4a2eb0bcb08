"""Linear maps of log-probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.answer import softmax
from lungwise.evaluation.dirichlet import LinearMap, _penalised, fit_dirichlet, fit_map, patient_folds
from lungwise.evaluation.logarithms import log_loss, log_prob
from tests.evaluation.test_temperature import alone, drawn


def spread(number: int, classes: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, 2, (number, classes))


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_the_gradient_is_that_of_the_loss(classes: int) -> None:
    rng = np.random.default_rng(0)
    logs, truth = log_prob(softmax(spread(30, classes))), np.eye(classes)[rng.integers(0, classes, 30)]
    flat, step = rng.normal(0, 0.5, classes * classes + classes), 1e-6
    _, found = _penalised(flat, logs, truth, (0.7, 0.3))
    steps = np.eye(len(flat)) * step
    wanted = [
        (_penalised(flat + one, logs, truth, (0.7, 0.3))[0] - _penalised(flat - one, logs, truth, (0.7, 0.3))[0]) / (2 * step)
        for one in steps
    ]
    np.testing.assert_allclose(found, wanted, atol=1e-7)


def test_the_loss_is_log_loss_and_penalty() -> None:
    logs, y = log_prob(softmax(spread(30, 3))), np.arange(30) % 3
    matrix, bias = np.array([[1.0, 0.2, 0], [0, 2, 0], [-0.1, 0, 1]]), np.array([0.1, 0, -0.3])
    loss, _ = _penalised(np.r_[matrix.ravel(), bias], logs, np.eye(3)[y], (0.6, 0.9))
    plain = log_loss(LinearMap(matrix, bias).apply(logs), y).mean()
    assert loss == pytest.approx(plain + 0.6 * (0.2**2 + 0.1**2) / 6 + 0.9 * (0.1**2 + 0.3**2) / 3)


def test_a_strong_penalty_leaves_a_diagonal() -> None:
    logits = spread(400, 3)
    found = fit_map(log_prob(softmax(2 * logits)), drawn(logits, 1), (1e4, 1e4))
    np.testing.assert_allclose(found.matrix[~np.eye(3, dtype=bool)], 0, atol=1e-3)
    np.testing.assert_allclose(found.bias, 0, atol=1e-3)
    np.testing.assert_allclose(np.diag(found.matrix), 0.5, atol=0.15)


def test_a_moved_prior_is_found() -> None:
    logits = spread(3000, 3)
    shift = np.array([1.0, 0.0, -1.0])
    logs, y = log_prob(softmax(logits)), drawn(logits + shift, 1)
    found = fit_dirichlet(logs, y, alone(len(y))).apply(logs)
    assert np.abs(found - softmax(logits + shift)).mean() < 0.015
    assert np.abs(found - softmax(logits)).mean() > 0.1


def test_two_classes_have_nothing_off_the_diagonal_and_stay_monotone() -> None:
    logits = spread(300, 2)
    found = fit_map(log_prob(softmax(3 * logits + [0.5, 0])), drawn(logits, 1), (0.01, 0.01))
    assert found.matrix[0, 1] == found.matrix[1, 0] == 0
    score = np.linspace(0.001, 0.999, 200)
    assert (np.diff(found.apply(log_prob(np.stack([1 - score, score], axis=1)))[:, 1]) > 0).all()


def test_folds_keep_patients_on_one_side() -> None:
    patient = np.repeat(alone(60), 2)
    y = np.repeat(np.arange(60) % 3, 2)
    judged = np.zeros(len(y), int)
    for learn, judge in patient_folds(y, patient, 5):
        assert not set(patient[learn]) & set(patient[judge])
        assert set(y[judge]) == {0, 1, 2}
        judged[judge] += 1
    assert (judged == 1).all()


def test_perfect_scores_stay_within_bounds() -> None:
    logs = log_prob(np.repeat(np.eye(3), 20, axis=0))
    found = fit_map(logs, np.repeat([0, 1, 2], 20), (0.01, 0.01))
    assert np.isfinite(found.matrix).all()
    np.testing.assert_allclose(found.apply(logs).max(axis=1), 1)
