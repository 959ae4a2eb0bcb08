"""What holds for every metric, interval and threshold, whatever the cases."""

from __future__ import annotations

import numpy as np
import sklearn.metrics as reference
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lungwise.evaluation.cases import Cases
from lungwise.evaluation.curves import Ranking
from lungwise.evaluation.decision import Decision, Rule, fit_decision
from lungwise.evaluation.intervals import Bootstrap
from lungwise.evaluation.metrics import confusion, statistics
from tests.evaluation.factory import scored

Flags = NDArray[np.bool_]
quick = settings(max_examples=80, deadline=None)


@st.composite
def binary(draw: st.DrawFn) -> Cases:
    """Two to forty cases of two classes; scores from a coarse grid, so that many are equal."""
    number = draw(st.integers(2, 40))
    y = draw(st.lists(st.integers(0, 1), min_size=number, max_size=number))
    score = draw(st.lists(st.integers(0, 20).map(lambda value: value / 20), min_size=number, max_size=number))
    patient = draw(st.lists(st.sampled_from("abcdefgh"), min_size=number, max_size=number))
    return scored(y, score, patient)


def resample(cases: Cases, seed: int) -> NDArray[np.float64]:
    return Bootstrap(cases.patient, resamples=1, seed=seed).weights().astype(np.float64)


def figures(cases: Cases, weights: NDArray[np.float64]) -> dict[str, float]:
    """Every metric of sick, with whatever is at least 0.5 called so."""
    called = (cases.prob[:, 1] >= 0.5).astype(np.int64)
    return {name: float(statistic(weights)[0]) for name, statistic in statistics(cases, called)}


@quick
@given(binary(), st.integers(0, 99))
def test_the_areas_equal_scikit_learns_for_any_weights(cases: Cases, seed: int) -> None:
    truth, score, weights = cases.y == 1, cases.prob[:, 1], resample(cases, seed)
    found = figures(cases, weights)
    if weights[0, truth].sum() == 0 or weights[0, ~truth].sum() == 0:
        assert np.isnan([found["auroc/sick"], found["auprc/sick"]]).all()
        return
    drawn = weights[0] > 0
    kept = {"sample_weight": weights[0, drawn]}
    wanted = reference.roc_auc_score(truth[drawn], score[drawn], **kept)
    np.testing.assert_allclose(found["auroc/sick"], wanted, atol=1e-12)
    wanted = reference.average_precision_score(truth[drawn], score[drawn], **kept)
    np.testing.assert_allclose(found["auprc/sick"], wanted, atol=1e-12)


@quick
@given(binary(), st.integers(0, 99))
def test_shares_equal_scikit_learns_for_any_weights(cases: Cases, seed: int) -> None:
    truth, called, weights = cases.y == 1, cases.prob[:, 1] >= 0.5, resample(cases, seed)
    kept = {"sample_weight": weights[0], "zero_division": np.nan}
    found = figures(cases, weights)
    np.testing.assert_allclose(found["sensitivity/sick"], reference.recall_score(truth, called, **kept))
    np.testing.assert_allclose(found["ppv/sick"], reference.precision_score(truth, called, **kept))
    np.testing.assert_allclose(found["f1/sick"], reference.f1_score(truth, called, **kept))


@quick
@given(binary(), st.integers(0, 99))
def test_a_weight_is_the_same_as_that_many_copies(cases: Cases, seed: int) -> None:
    weights = resample(cases, seed)
    rows = np.repeat(np.arange(len(cases)), weights[0].astype(int))
    copies = scored(cases.y[rows].tolist(), cases.prob[rows, 1].tolist())
    once = np.ones((1, len(copies)))
    decided = Decision().decide(cases.prob)
    for (name, weighted), (_, counted) in zip(statistics(cases, decided), statistics(copies, decided[rows]), strict=True):
        np.testing.assert_allclose(weighted(weights), counted(once), err_msg=name)


@quick
@given(binary())
def test_the_area_does_not_change_when_scores_are_bent(cases: Cases) -> None:
    truth, score, once = cases.y == 1, cases.prob[:, 1], np.ones((len(cases), 1))
    plain, bent, turned = (
        Ranking(truth, values, np.arange(len(cases)), len(cases))(once)[0] for values in (score, score**3, -score)
    )
    np.testing.assert_allclose(plain, bent)
    np.testing.assert_allclose(plain, 1 - turned)


@quick
@given(binary())
def test_the_confusion_matrix_counts_every_case_once(cases: Cases) -> None:
    table = np.array(confusion(cases, Decision().decide(cases.prob)))
    assert table.sum() == len(cases)
    assert table.sum(axis=1).tolist() == np.bincount(cases.y, minlength=2).tolist()


def youden(truth: Flags, called: Flags) -> float:
    return float((called & truth).sum() / truth.sum() - (called & ~truth).sum() / (~truth).sum())


@quick
@given(binary())
def test_no_threshold_has_a_larger_youden_index(cases: Cases) -> None:
    truth, score = cases.y == 1, cases.prob[:, 1]
    assume(truth.any() and not truth.all())
    best = max(youden(truth, score >= cut) for cut in [*score, 2.0])
    decision = fit_decision(cases)
    if best <= 1e-12:
        assert decision.rule == "argmax"
    else:
        np.testing.assert_allclose(youden(truth, decision.decide(cases.prob) == 1), best, atol=1e-9)


@quick
@given(binary(), st.floats(0.05, 0.99))
def test_the_wanted_sensitivity_is_always_kept(cases: Cases, wanted: float) -> None:
    decision = fit_decision(cases, Rule("sensitivity", wanted))
    if decision.rule == "sensitivity":
        truth, called = cases.y == 1, decision.decide(cases.prob) == 1
        assert (called & truth).sum() >= (wanted - 1e-9) * truth.sum()


@quick
@given(binary())
def test_the_order_of_cases_does_not_move_the_threshold(cases: Cases) -> None:
    order = np.random.default_rng(0).permutation(len(cases))
    assert fit_decision(scored(cases.y[order].tolist(), cases.prob[order, 1].tolist())) == fit_decision(cases)
