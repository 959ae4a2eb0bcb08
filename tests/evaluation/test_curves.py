"""Areas of many resamples from one sort."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as reference
from numpy.typing import NDArray

from lungwise.evaluation.curves import Ranking


def areas(truth: list[int], score: list[float], weights: list[float] | None = None) -> tuple[float, float]:
    """Both areas, each image a patient of its own."""
    flags, number = np.array(truth, bool), len(truth)
    ranking = Ranking(flags, np.array(score, float), np.arange(number), number)
    area, precision = ranking(np.array(weights or [1.0] * number)[:, None])
    return float(area[0]), float(precision[0])


def test_by_hand() -> None:
    # From the top: hit, alarm, hit, alarm. Three of four pairs are right; precision is 1 at the first hit, 2/3 at the second.
    assert areas([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]) == pytest.approx((0.75, 0.5 * 1 + 0.5 * 2 / 3))


def test_equal_scores_are_one_threshold() -> None:
    assert areas([1, 0, 1, 0], [0.5] * 4) == (0.5, 0.5)
    assert areas([1, 0, 1, 0], [0.5, 0.5, 0.7, 0.1]) == pytest.approx((0.875, 0.5 * 1 + 0.5 * 2 / 3))


def test_a_side_that_is_absent_leaves_both_undefined() -> None:
    assert np.isnan(areas([1, 1], [0.1, 0.2])).all()
    assert np.isnan(areas([0, 0], [0.1, 0.2])).all()
    assert np.isnan(areas([1, 0], [0.1, 0.2], [1.0, 0.0])).all()
    assert np.isnan(areas([1, 0], [0.1, 0.2], [0.0, 1.0])).all()


def test_an_image_without_weight_does_not_count() -> None:
    assert areas([0, 1, 0, 1], [0.1, 0.9, 0.99, 0.01], [2.0, 3.0, 0.0, 0.0]) == (1.0, 1.0)


@pytest.mark.parametrize("digits", [1, 9])
def test_images_of_a_patient_share_its_weight(digits: int) -> None:
    rng = np.random.default_rng(digits)
    truth, group = rng.uniform(size=150) < 0.3, rng.integers(0, 40, 150)
    score = np.round(rng.normal(size=150) + truth, digits)
    weights: NDArray[np.float64] = rng.integers(0, 4, (40, 25)).astype(float)
    found = Ranking(truth, score, group, 40)(weights)
    for column in range(25):
        kept = weights[group, column]
        wanted = (
            reference.roc_auc_score(truth, score, sample_weight=kept),
            reference.average_precision_score(truth, score, sample_weight=kept),
        )
        assert (found[0][column], found[1][column]) == pytest.approx(wanted)


def test_scores_at_the_ends_are_nothing_special() -> None:
    assert areas([0, 1, 1], [0.0, 1.0, 1.0]) == (1.0, 1.0)
    assert areas([1, 0, 0], [0.0, 1.0, 1.0]) == pytest.approx((0.0, 1 / 3))
