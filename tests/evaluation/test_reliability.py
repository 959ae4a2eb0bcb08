"""Bins of equal mass and calibration errors."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from lungwise.evaluation.exact import wilson
from lungwise.evaluation.reliability import Gaps, equal_mass, number_of_bins


def simple(score: list[float], truth: list[int], bins: int) -> Gaps:
    return Gaps(np.array(score), np.array(truth, bool), bins, np.arange(len(score)))


@pytest.mark.parametrize(("images", "bins"), [(1, 1), (39, 1), (40, 2), (211, 10), (300, 15), (5000, 15)])
def test_there_is_a_bin_for_every_20_images_up_to_15(images: int, bins: int) -> None:
    assert number_of_bins(images) == bins


def test_bins_hold_equally_many() -> None:
    score = np.random.default_rng(0).random(600)
    assert np.bincount(equal_mass(score, 15)).tolist() == [40] * 15
    assert (np.diff(equal_mass(score, 15)[np.argsort(score)]) >= 0).all()


def test_equal_scores_stay_together() -> None:
    score = np.array([0.1] * 10 + [0.2, 0.3] + [0.9] * 10)
    assert equal_mass(score, 5).tolist() == [0] * 10 + [1, 1] + [1] * 10
    assert equal_mass(np.full(9, 0.5), 5).tolist() == [0] * 9


def test_the_error_by_hand() -> None:
    # Bins: mean 0.2 and 1 of 2 so; mean 0.8 and 2 of 2 so.
    gaps = simple([0.1, 0.3, 0.7, 0.9], [0, 1, 1, 1], 2)
    once = np.ones((4, 1))
    assert gaps.ece(once)[0] == pytest.approx((0.3 + 0.2) / 2)
    assert gaps.square(once)[0] == pytest.approx((0.3**2 + 0.2**2) / 2)
    # p (1 - p) / (n - 1) of the bins: 1/4 and 0.
    assert gaps.noise() == pytest.approx(0.25 / 2)


def test_weights_count_images_of_patients() -> None:
    score, truth = np.array([0.1, 0.3, 0.7, 0.9]), np.array([0, 1, 1, 1], bool)
    gaps = Gaps(score, truth, 2, np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(gaps.ece(np.array([[2.0, 0.0, 3.0], [0.0, 2.0, 1.0]])), [0.3, 0.2, (3 * 0.3 + 0.2) / 4])


def test_the_curve_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    score = rng.random(300)
    truth = rng.random(300) < score**2
    curve = Gaps(score, truth, 10, np.arange(300)).curve()
    share, mean = calibration_curve(truth, score, n_bins=10, strategy="quantile")
    np.testing.assert_allclose([point["observed"] for point in curve], share)
    np.testing.assert_allclose([point["mean"] for point in curve], mean)
    first = curve[0]
    assert (first["low"], first["high"]) == wilson(round(first["observed"] * 30), 30)
    assert sum(point["images"] for point in curve) == 300


def test_of_a_calibrated_classifier_the_debiased_square_is_0_on_average() -> None:
    rng = np.random.default_rng(0)
    plain, debiased, once = [], [], np.ones((200, 1))
    for _ in range(400):
        score = rng.random(200)
        gaps = Gaps(score, rng.random(200) < score, 10, np.arange(200))
        plain.append(gaps.square(once)[0])
        debiased.append(plain[-1] - gaps.noise())
    error = np.std(debiased) / 20
    assert abs(np.mean(debiased)) < 3 * error
    assert np.mean(plain) > 10 * error


def test_scores_of_exactly_0_and_1() -> None:
    gaps = simple([0.0, 0.0, 1.0, 1.0], [0, 0, 1, 1], 2)
    assert gaps.ece(np.ones((4, 1)))[0] == 0
    assert [point["mean"] for point in gaps.curve()] == [0, 1]


def test_one_case() -> None:
    gaps = simple([0.7], [1], 1)
    assert gaps.ece(np.ones((1, 1)))[0] == pytest.approx(0.3)
    assert gaps.noise() == 0
