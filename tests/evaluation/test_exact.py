"""Wilson, DeLong and Newcombe against statsmodels, pauc, scikit-learn and brute force."""

from __future__ import annotations

import numpy as np
import pauc
import pytest
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from lungwise.errors import DataError
from lungwise.evaluation.exact import Z95, components, covariance, delong, newcombe, wilson


def scores(number: int, seed: int, digits: int = 9) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    truth = np.arange(number) % 3 == 0
    return truth, np.round(rng.normal(size=number) + truth, digits)


@pytest.mark.parametrize("total", [1, 2, 7, 50, 1000])
def test_wilson_equals_statsmodels(total: int) -> None:
    for hits in {0, 1, total // 3, total - 1, total}:
        assert wilson(hits, total) == pytest.approx(proportion_confint(hits, total, method="wilson"), abs=1e-12)


def test_wilson_by_hand() -> None:
    low, high = wilson(8, 10) or (0.0, 0.0)
    assert (low, high) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_nothing_has_no_share_and_impossible_counts_are_refused() -> None:
    assert wilson(0, 0) is None
    for hits, total in ((3, 2), (-1, 2)):
        with pytest.raises(DataError, match=rf"^A share needs 0 <= hits <= total, got {hits} of {total}; correct"):
            wilson(hits, total)


@pytest.mark.parametrize("digits", [0, 1, 9])
@pytest.mark.parametrize("seed", range(3))
def test_components_equal_comparing_every_pair(seed: int, digits: int) -> None:
    truth, score = scores(90, seed, digits)
    yes, no = score[truth][:, None], score[~truth][None]
    above = (yes > no) + 0.5 * (yes == no)
    found = components(truth, score)
    np.testing.assert_allclose(found.cases, above.mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(found.others, above.mean(axis=0), atol=1e-12)
    assert found.area == pytest.approx(roc_auc_score(truth, score))


@pytest.mark.parametrize("digits", [1, 9])
@pytest.mark.parametrize("seed", range(3))
def test_delongs_variance_equals_another_packages(seed: int, digits: int) -> None:
    truth, score = scores(90, seed, digits)
    roc = pauc.ROC(truth.astype(int), score, direction="<")
    found = components(truth, score)
    assert found.area == pytest.approx(roc.auc)
    assert covariance(found, found) == pytest.approx(pauc.var(roc), rel=1e-9)
    half = Z95 * np.sqrt(pauc.var(roc)) / (roc.auc * (1 - roc.auc))
    assert delong(truth, score) == pytest.approx((expit(logit(roc.auc) - half), expit(logit(roc.auc) + half)))


def test_a_mirrored_score_has_the_mirrored_interval() -> None:
    truth, score = scores(60, 5)
    low, high = delong(truth, score) or (0.0, 0.0)
    assert delong(truth, -score) == pytest.approx((1 - high, 1 - low))


def test_an_area_without_spread_has_no_delong_interval() -> None:
    assert delong(np.array([0, 0, 1, 1], bool), np.array([1.0, 2, 3, 4])) is None
    assert delong(np.array([0, 0, 1, 1], bool), np.full(4, 0.5)) is None
    assert delong(np.array([0, 1, 1], bool), np.array([1.0, 2, 0])) is None


def test_what_cannot_be_ranked_is_one_sentence() -> None:
    truth = np.array([0, 1], bool)
    with pytest.raises(DataError, match=r"^Scores must be finite numbers, number 2 is nan; predict again\.$"):
        components(truth, np.array([0.1, np.nan]))
    with pytest.raises(DataError, match=r"needs cases of the class and others, one side is absent; add images\.$"):
        components(np.array([True, True]), np.array([0.1, 0.2]))
    with pytest.raises(DataError, match=r"needs one truth and one score, got \(2,\) and \(3,\); pass two columns\.$"):
        components(truth, np.zeros(3))


@pytest.mark.parametrize(("area", "cases", "others"), [(0.8, 20, 30), (0.55, 5, 5), (0.97, 200, 40), (0.03, 12, 9)])
def test_newcombes_ends_put_the_area_at_their_limit(area: float, cases: int, others: int) -> None:
    for end in newcombe(area, cases, others) or ():
        extra = (cases + others) / 2 - 1
        variance = end * (1 - end) * (1 + extra * ((1 - end) / (2 - end) + end / (1 + end))) / (cases * others)
        assert abs(area - end) == pytest.approx(Z95 * np.sqrt(variance), rel=1e-6)


def test_newcombe_has_a_width_at_the_edges_and_with_one_on_a_side() -> None:
    low, high = newcombe(1.0, 10, 10) or (0.0, 0.0)
    assert (low, high) == (pytest.approx(0.78, abs=0.05), 1.0)
    assert newcombe(0.0, 10, 10) == pytest.approx((0.0, 1 - low))
    # One case and one other are one comparison: a share of one.
    assert newcombe(1.0, 1, 1) == pytest.approx(wilson(1, 1))
    assert newcombe(0.5, 0, 3) is None


def test_newcombe_is_near_delong_for_many_images() -> None:
    truth, score = scores(3000, 1)
    area = components(truth, score).area
    assert newcombe(area, int(truth.sum()), int((~truth).sum())) == pytest.approx(delong(truth, score), abs=0.004)
