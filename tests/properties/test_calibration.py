"""What holds for every calibration, decision and conformal set, whatever the cases."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lungwise.answer import softmax
from lungwise.evaluation.calibration import Calibration, fit_calibration
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.conformal import fit_conformal
from lungwise.evaluation.decision import Rule, fit_decision
from lungwise.evaluation.logarithms import log_loss, log_prob
from lungwise.evaluation.reliability import Gaps, equal_mass
from lungwise.evaluation.temperature import fit_temperature
from tests.evaluation.factory import cases, scored
from tests.evaluation.test_temperature import alone, drawn

Matrix = NDArray[np.float64]
quick = settings(max_examples=60, deadline=None)
slow = settings(max_examples=12, deadline=None)
RULES = [Rule(), Rule("sensitivity", 0.9), Rule("specificity", specificity=0.9), Rule("cost", miss_cost=4.0),
         Rule("cost", miss_cost=0.2, prevalence=0.3)]  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> Matrix:
    """Probabilities of one to thirty images, with zeros, ones and ties."""
    classes = draw(st.integers(2, 5))
    row = st.lists(st.integers(0, 4), min_size=classes, max_size=classes).filter(any)
    raw = np.array(draw(st.lists(row, min_size=1, max_size=30)), np.float64)
    return np.asarray(raw / raw.sum(axis=1, keepdims=True))


@st.composite
def binary(draw: st.DrawFn) -> Cases:
    """Four to forty cases of two classes, both present; scores from a coarse grid, so that many are equal."""
    number = draw(st.integers(4, 40))
    y = draw(st.lists(st.integers(0, 1), min_size=number, max_size=number))
    assume(0 < sum(y) < number)
    return scored(y, draw(st.lists(st.integers(1, 19).map(lambda value: value / 20), min_size=number, max_size=number)))


@quick
@given(tables(), st.floats(0.05, 20))
def test_a_temperature_keeps_distributions_and_the_order_of_classes(prob: Matrix, temperature: float) -> None:
    found = Calibration("temperature", temperature).apply(prob)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    rows = np.arange(len(prob))
    assert (found[rows, prob.argmax(axis=1)] == found.max(axis=1)).all()
    for before, after in zip(prob, found, strict=True):
        assert (np.diff(after[np.argsort(before, kind="stable")]) >= -1e-15).all()


@quick
@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.floats(0.05, 20), st.floats(0.1, 10), st.floats(-3, 3))
def test_for_two_classes_calibration_is_monotone(scores: list[float], first: float, second: float, bias: float) -> None:
    score = np.sort(scores)
    prob = np.stack([1 - score, score], axis=1)
    for found in (
        Calibration("temperature", first),
        Calibration("dirichlet", matrix=((first, 0), (0, second)), bias=(bias, 0)),
    ):
        assert (np.diff(found.apply(prob)[:, 1]) >= -1e-15).all()


@quick
@given(st.integers(0, 10**6), st.integers(2, 5), st.floats(0.2, 5))
def test_a_known_temperature_is_found_within_its_error(seed: int, classes: int, heat: float) -> None:
    logits = np.random.default_rng(seed).normal(0, 2, (800, classes))
    found = fit_temperature(log_prob(softmax(heat * logits)), drawn(logits, seed + 1), alone(800))
    assert found.reason == ""
    error = np.log(found.high / found.low) / 2 / 1.96
    assert abs(np.log(found.value / heat)) < 5 * error


@slow
@given(st.integers(0, 10**6), st.integers(2, 3), st.floats(0.3, 3), st.integers(20, 120))
def test_on_validation_calibration_is_never_worse_than_before(seed: int, classes: int, heat: float, number: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 2, (number, classes))
    names = [f"c{column}" for column in range(classes)]
    validation = cases(drawn(logits, seed + 1), softmax(heat * logits), names)
    found = fit_calibration(validation)
    before, after = (log_loss(prob, validation.y).mean() for prob in (validation.prob, found.apply(validation.prob)))
    # A map of its own for each class has a penalty to pay, and is taken only where it gains more than noise.
    assert after <= before + 1e-9


@quick
@given(tables(), st.data())
def test_a_fit_ends_in_a_finite_map_or_a_reason(prob: Matrix, data: st.DataObject) -> None:
    y = data.draw(st.lists(st.integers(0, prob.shape[1] - 1), min_size=len(prob), max_size=len(prob)))
    many = cases(np.tile(y, 3), np.tile(prob, (3, 1)), [f"c{column}" for column in range(prob.shape[1])])
    found = fit_calibration(many)
    assert found.reason
    assert np.isfinite(found.apply(prob)).all()


@quick
@given(binary(), st.floats(0.2, 5), st.sampled_from(RULES), st.integers(0, 99))
def test_a_temperature_changes_no_decision(validation: Cases, temperature: float, rule: Rule, seed: int) -> None:
    calibration = Calibration("temperature", temperature)
    calibrated = cases(validation.y, calibration.apply(validation.prob))
    before, after = fit_decision(validation, rule), fit_decision(calibrated, rule)
    score = np.random.default_rng(seed).uniform(0.01, 0.99, 200)
    for prob in (validation.prob, np.stack([1 - score, score], axis=1)):
        assert (before.decide(prob) == after.decide(calibration.apply(prob))).all()


def expected_cost(validation: Cases, threshold: float, rule: Rule) -> float:
    called, truth = validation.prob[:, 1] >= threshold, validation.y == 1
    share = truth.mean() if rule.prevalence is None else rule.prevalence
    return float(share * rule.miss_cost * (~called)[truth].mean() + (1 - share) * called[~truth].mean())


@quick
@given(binary(), st.floats(0.05, 20), st.none() | st.floats(0.01, 0.99))
def test_no_threshold_costs_less(validation: Cases, cost: float, prevalence: float | None) -> None:
    rule = Rule("cost", miss_cost=cost, prevalence=prevalence)
    found = fit_decision(validation, rule)
    assume(found.rule == "cost")
    least = min(expected_cost(validation, cut, rule) for cut in [*validation.prob[:, 1], 2.0])
    assert expected_cost(validation, found.threshold, rule) <= least + 1e-9 * (1 + cost)


@quick
@given(binary(), st.floats(0.05, 0.99))
def test_the_wanted_specificity_is_always_kept(validation: Cases, wanted: float) -> None:
    found = fit_decision(validation, Rule("specificity", specificity=wanted))
    assume(found.rule == "specificity")
    spared = found.decide(validation.prob)[validation.y == 0] == 0
    assert spared.mean() >= wanted - 1e-9


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.05, 0.1, 0.2]), st.integers(5, 60))
def test_conformal_sets_hold_the_true_class_as_promised(seed: int, alpha: float, number: int) -> None:
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(150):
        y = np.r_[np.arange(2 * number) % 2, rng.integers(0, 3, 30)]
        prob = softmax(rng.normal(0, 1, (len(y), 3)) + 1.5 * np.eye(3)[y])
        found = fit_conformal(cases(y[: 2 * number], prob[: 2 * number], ("a", "b", "c")), alpha)
        held = found.sets(prob[2 * number :])[np.arange(30), y[2 * number :]]
        shares.append(held.mean())
    error = np.std(shares) / np.sqrt(len(shares))
    assert np.mean(shares) >= 1 - alpha - 4 * error


@quick
@given(tables(), st.floats(0.02, 0.5), st.floats(0.02, 0.5), st.data())
def test_a_smaller_alpha_makes_no_set_smaller(prob: Matrix, first: float, second: float, data: st.DataObject) -> None:
    y = data.draw(st.lists(st.integers(0, prob.shape[1] - 1), min_size=len(prob), max_size=len(prob)))
    validation = cases(y, prob, [f"c{column}" for column in range(prob.shape[1])])
    small, large = (fit_conformal(validation, alpha).sets(prob) for alpha in sorted((first, second)))
    assert (small | ~large).all()


@quick
@given(st.lists(st.integers(0, 10), min_size=1, max_size=60), st.integers(1, 15), st.integers(0, 99))
def test_bins_are_in_order_and_errors_are_shares(scores: list[int], bins: int, seed: int) -> None:
    score = np.array(scores) / 10
    found = equal_mass(score, bins)
    assert found.max() < bins
    order = np.argsort(score, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    assert (np.diff(found[order])[np.diff(score[order]) == 0] == 0).all()
    gaps = Gaps(score, np.random.default_rng(seed).random(len(score)) < 0.5, bins, np.arange(len(score)))
    once = np.ones((len(score), 1))
    assert 0 <= gaps.square(once)[0] <= gaps.ece(once)[0] <= 1
    assert gaps.noise() >= 0
