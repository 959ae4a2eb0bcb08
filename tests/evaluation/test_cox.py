"""Cox's recalibration line."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from lungwise.evaluation.cox import STEEPEST, Line, log_odds
from lungwise.evaluation.intervals import Bootstrap


def once(line: Line, number: int) -> list[float]:
    found: list[float] = line(np.ones((number, 1)))[:, 0].tolist()
    return found


def said(number: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 2, number)
    return rng.random(number) < expit(0.5 + 0.7 * x), x


def test_intercept_by_hand() -> None:
    # All said even odds; 3 of 4 were so: odds of 3 are wanted.
    intercept, slope = once(Line(np.array([True, True, True, False]), np.zeros(4), np.arange(4)), 4)
    assert intercept == pytest.approx(np.log(3))
    assert np.isnan(slope)


def test_the_slope_is_scikit_learns_for_any_weights() -> None:
    truth, x = said()
    bootstrap = Bootstrap(np.array([f"p{row // 3}" for row in range(len(x))]), resamples=20)
    drawn = bootstrap.sample(Line(truth, x, bootstrap.group)).draws[1]
    weights = bootstrap.weights()
    for slope, row in zip(drawn, weights, strict=True):
        wanted = LogisticRegression(C=1e10, tol=1e-10, max_iter=1000).fit(x[:, None], truth, row.astype(float)).coef_[0, 0]
        assert slope == pytest.approx(wanted, rel=1e-4)


def test_the_intercept_makes_the_mean_right_for_any_weights() -> None:
    truth, x = said()
    weights = np.random.default_rng(1).integers(0, 4, (len(x), 8)).astype(float)
    found = Line(truth, x, np.arange(len(x)))(weights)[0]
    for intercept, row in zip(found, weights.T, strict=True):
        assert row @ expit(intercept + x) == pytest.approx(row @ truth)


def test_extreme_scores_are_no_obstacle() -> None:
    truth, x = said()
    intercept, slope = once(Line(truth, 50 * x, np.arange(len(x))), len(x))
    assert slope == pytest.approx(once(Line(truth, x, np.arange(len(x))), len(x))[1] / 50, rel=1e-6)
    assert truth.sum() == pytest.approx(expit(intercept + 50 * x).sum(), rel=1e-6)


@pytest.mark.parametrize("truth", [[True] * 4, [False] * 4])
def test_with_one_side_alone_nothing_is_defined(truth: list[bool]) -> None:
    assert np.isnan(once(Line(np.array(truth), np.arange(4.0), np.arange(4)), 4)).all()


@pytest.mark.parametrize("x", [[0.0, 1, 2, 3], [3.0, 2, 1, 0], [1.0, 1, 1, 1], [0.0, 1, 1, 2]])
def test_scores_that_part_the_sides_have_no_slope(x: list[float]) -> None:
    intercept, slope = once(Line(np.array([False, False, True, True]), np.array(x), np.arange(4)), 4)
    assert np.isfinite(intercept)
    assert np.isnan(slope)


def test_a_resample_that_parts_the_sides_counts_as_the_steepest() -> None:
    truth, x = np.array([False, True, False, True]), np.array([0.0, 1, 2, 3])
    line = Line(truth, x, np.arange(4))
    weights = np.array([[1.0, 1, 0, 1], [0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 1]]).T
    slopes = line(weights)[1]
    assert slopes[0] == STEEPEST
    assert slopes[1] == -STEEPEST
    assert np.isnan(slopes[2])
    assert 0 < slopes[3] < STEEPEST


def test_log_odds_keep_differences_next_to_1() -> None:
    prob = np.array([[1e-30, 1.0], [1e-20, 1.0], [1.0, 0.0]])
    np.testing.assert_allclose(log_odds(prob, 1), [30 * np.log(10), 20 * np.log(10), np.log(1.401298464324817e-45)])
    np.testing.assert_allclose(log_odds(np.array([[0.2, 0.3, 0.5]]), 2), 0, atol=1e-12)
