"""Paired tests and differences: against statsmodels, pauc and by hand; only the same images can be paired."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pauc
import pytest
from scipy.stats import binom
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar as reference

from lungwise.errors import DataError
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.intervals import AGREE
from lungwise.evaluation.metrics import estimates
from lungwise.evaluation.paired import Difference, aligned, delong_test, mcnemar, paired_bootstrap
from lungwise.labels import LabelSet
from tests.evaluation.factory import cases, random_cases


def flags(*runs: tuple[int, bool]) -> np.ndarray:
    return np.concatenate([np.full(number, value) for number, value in runs])


def two(number: int = 120, films: int = 2) -> tuple[Cases, Cases]:
    """The same images judged by two classifiers, the second of them worse."""
    a = random_cases(number, 3, films=films)
    noise = np.random.default_rng(9).dirichlet(np.ones(3), number)
    return a, replace(a, prob=0.5 * a.prob + 0.5 * noise)


def decided(found: Cases) -> np.ndarray:
    return found.prob.argmax(axis=1)


@pytest.mark.parametrize("digits", [1, 9])
@pytest.mark.parametrize("seed", range(4))
def test_delongs_test_equals_another_packages(seed: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(size=80) < 0.4
    both = rng.normal(size=80) + truth
    a, b = np.round(both + rng.normal(size=80), digits), np.round(both + 1.5 * rng.normal(size=80), digits)
    found = delong_test(truth, a, b)
    wanted = pauc.compare(*(pauc.ROC(truth.astype(int), score, direction="<") for score in (a, b)))
    assert found.difference == pytest.approx(roc_auc_score(truth, a) - roc_auc_score(truth, b))
    assert found.p == pytest.approx(wanted.p_value, rel=1e-6)
    # It rounds the quantile to 1.96.
    assert (found.low, found.high) == pytest.approx(wanted.conf_int, abs=1e-5)


def test_delongs_test_the_other_way_round_has_the_other_sign() -> None:
    a, b = two()
    one = delong_test(a.y == 1, a.prob[:, 1], b.prob[:, 1])
    other = delong_test(a.y == 1, b.prob[:, 1], a.prob[:, 1])
    assert other == pytest.approx((-one.difference, -one.high, -one.low, one.p))


def test_a_difference_without_spread_has_no_interval() -> None:
    truth, score = np.array([0, 0, 1, 1], bool), np.array([0.1, 0.3, 0.2, 0.9])
    assert delong_test(truth, score, 2 * score) == Difference(0.0, None, None, None)
    assert delong_test(truth[1:], score[1:], -score[1:]).p is None
    assert delong_test(truth, score, score).to_json() == {"difference": 0.0, "low": None, "high": None, "p": None}


def test_mcnemar_of_a_published_table() -> None:
    """Bentur et al. 2009, as in Fagerland, Lydersen and Laake 2013: 1 against 7."""
    found = mcnemar(flags((1, True), (1, True), (7, False), (12, False)), flags((1, True), (1, False), (7, True), (12, False)))
    assert (found.only_a, found.only_b) == (1, 7)
    assert (found.p, found.mid_p) == pytest.approx((0.0703, 0.0391), abs=5e-5)
    assert found.to_json() == {"only_a": 1, "only_b": 7, "p": found.p, "mid_p": found.mid_p}


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 1), (5, 5), (3, 12), (30, 11), (0, 9)])
def test_mcnemar_equals_statsmodels(only_a: int, only_b: int) -> None:
    found = mcnemar(flags((only_a, True), (only_b, False)), flags((only_a, False), (only_b, True)))
    assert found.p == pytest.approx(reference([[4, only_a], [only_b, 4]], exact=True).pvalue)


def test_mid_p_counts_what_is_as_extreme_half() -> None:
    for only_a, only_b in ((2, 6), (4, 4), (0, 3)):
        found = mcnemar(flags((only_a, True), (only_b, False)), flags((only_a, False), (only_b, True)))
        point = binom.pmf(range(only_a + only_b + 1), only_a + only_b, 0.5)
        seen = point[only_a]
        wanted = point[point < seen - 1e-12].sum() + point[np.abs(point - seen) < 1e-12].sum() / 2
        assert found.mid_p == pytest.approx(wanted)


def test_models_that_never_disagree_do_not_differ() -> None:
    right = np.array([True, False])
    assert tuple(mcnemar(right, right)) == (0, 0, 1.0, 1.0)


def test_mcnemar_of_other_images_is_refused() -> None:
    with pytest.raises(DataError, match=r"^Two models must be compared on the same images, got \(2,\) and \(3,\); predict the"):
        mcnemar(np.ones(2, bool), np.ones(3, bool))
    with pytest.raises(DataError, match="on the same images"):
        mcnemar(np.ones(0, bool), np.ones(0, bool))


def test_differences_are_those_of_the_metrics() -> None:
    a, b = two()
    found = paired_bootstrap(a, b, decided(a), decided(b))
    one, other = estimates(a, decided(a)), estimates(b, decided(b))
    assert list(found) == list(one)
    for name, difference in found.items():
        assert difference.value == pytest.approx(float(one[name].value or 0) - float(other[name].value or 0)), name
    assert found["accuracy"].low is not None
    assert found["accuracy"].low > 0
    assert found["prevalence/c0"].reason == AGREE


def test_pairing_makes_intervals_narrower() -> None:
    a, b = two(240)
    found = paired_bootstrap(a, b, decided(a), decided(b), ["brier"])["brier"]
    apart = [estimates(part, decided(part))["brier"] for part in (a, b)]
    widths = [float(each.high or 0) - float(each.low or 0) for each in (*apart, found)]
    assert widths[2] < np.hypot(widths[0], widths[1])


def test_the_order_of_the_second_does_not_matter() -> None:
    a, b = two()
    order = np.random.default_rng(0).permutation(len(b))
    mixed = Cases(b.labels, b.y[order], b.prob[order], b.patient[order], b.image[order])
    names = ["accuracy", "macro_auroc"]
    assert paired_bootstrap(a, mixed, decided(a), decided(mixed), names) == paired_bootstrap(
        a, b, decided(a), decided(b), names
    )


def test_patients_are_drawn_and_not_images() -> None:
    a, b = two(60, films=1)
    five = [cases(x.y.repeat(5), x.prob.repeat(5, axis=0), x.labels.names, x.patient.repeat(5).tolist()) for x in (a, b)]
    once = paired_bootstrap(a, b, decided(a), decided(b), ["accuracy"])["accuracy"]
    found = paired_bootstrap(five[0], five[1], decided(five[0]), decided(five[1]), ["accuracy"])["accuracy"]
    assert found.to_json() == pytest.approx(once.to_json())


def test_equal_models_have_an_unknown_interval_and_the_reason() -> None:
    a, _ = two()
    found = paired_bootstrap(a, a, decided(a), decided(a), ["accuracy"])["accuracy"]
    assert (found.value, found.low, found.high, found.reason) == (0.0, None, None, AGREE)


def test_a_class_of_few_patients_shows_no_difference() -> None:
    prob = np.array([[0.8, 0.2], [0.3, 0.7]] * 15)
    a = cases([1] * 5 + [0] * 25, prob)
    found = paired_bootstrap(a, replace(a, prob=prob[::-1]), decided(a), decided(a)[::-1], ["sensitivity/sick", "accuracy"])
    assert found["sensitivity/sick"].reason == "5 patients cannot show how much patients differ."
    assert (found["sensitivity/sick"].low, found["accuracy"].reason) == (None, "")


def test_a_decision_for_each_image_of_the_second_is_wanted() -> None:
    a, b = two(12)
    with pytest.raises(DataError, match=r"needs one decision and 3 probabilities, got \(3,\) decisions"):
        paired_bootstrap(a, b, decided(a), decided(b)[:3])


def test_an_unknown_metric_is_refused() -> None:
    a, b = two(12)
    with pytest.raises(DataError, match=r"^'acuracy' is no metric; choose of \['accuracy', "):
        paired_bootstrap(a, b, decided(a), decided(b), ["acuracy"])


def test_only_the_same_images_can_be_paired() -> None:
    a, b = two(8)
    with pytest.raises(DataError, match=r"must know the same classes, got \['c0', 'c1', 'c2'\] and \['x', 'y', 'z'\]; train"):
        aligned(a, replace(b, labels=LabelSet(("x", "y", "z"))))
    with pytest.raises(DataError, match=r"on the same images, but i0, new stands on one side only; evaluate both"):
        aligned(a, replace(b, image=np.array(["new", *b.image[1:]])))
    with pytest.raises(DataError, match=r"^Each image must stand once to be paired, i1 stands more often\.$"):
        aligned(a, replace(b, image=np.array(["i1", *b.image[1:]])))
    with pytest.raises(DataError, match="on the same images, but there is none"):
        aligned(random_cases(0, 3), random_cases(0, 3))
    with pytest.raises(DataError, match=r"^An image must have one label on both sides, i0 has two; evaluate both on the same"):
        aligned(a, replace(b, y=(b.y + (np.arange(8) == 0)).astype(np.int32) % 3))
    with pytest.raises(DataError, match="must have one patient on both sides, i7 has two"):
        aligned(a, replace(b, patient=np.array([*b.patient[:-1], "other"])))
