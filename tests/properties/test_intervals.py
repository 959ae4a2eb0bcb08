"""Whatever the cases: a figure lies within an interval that has a width, or the reason is said. Never a crash."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lungwise.errors import DataError
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.exact import components, delong, newcombe, wilson
from lungwise.evaluation.intervals import Bootstrap
from lungwise.evaluation.metric_table import BY_CLASS, OVERALL
from lungwise.evaluation.metrics import estimates, measure_decided
from lungwise.evaluation.paired import delong_test, mcnemar, paired_bootstrap
from lungwise.evaluation.prevalence import adjusted
from tests.evaluation.factory import cases as make
from tests.evaluation.factory import scored

quick = settings(max_examples=40, deadline=None)
MOST = {"brier": 2.0, "log_loss": 37.0}
LEAST = {"kappa": -1.0}


@st.composite
def any_cases(draw: st.DrawFn) -> tuple[Cases, NDArray[np.int64]]:
    """One to thirty cases of two to four classes, of one patient up to many; classes absent, scores alike, all of it."""
    number, classes = draw(st.integers(1, 30)), draw(st.integers(2, 4))
    column = st.integers(0, classes - 1)
    y = draw(st.one_of(st.lists(column, min_size=number, max_size=number), column.map(lambda c: [c] * number)))
    decided = draw(st.one_of(st.just(y), st.lists(column, min_size=number, max_size=number)))
    grid = st.lists(st.integers(0, 4), min_size=classes, max_size=classes).filter(sum)
    raw = draw(st.one_of(st.lists(grid, min_size=number, max_size=number), grid.map(lambda row: [row] * number)))
    patient = draw(st.lists(st.sampled_from("abcdefghijkl"[: draw(st.integers(1, 12))]), min_size=number, max_size=number))
    prob = np.array(raw, float) / np.array(raw, float).sum(axis=1, keepdims=True)
    return make(y, prob, [f"c{i}" for i in range(classes)], patient), np.array(decided)


def honest(found: dict[str, Any], least: float, most: float) -> None:
    """A figure within an interval that has a width, or with a reason."""
    value, low, high = (found[key] for key in ("value", "low", "high"))
    if value is None or low is None:
        assert low is None
        assert high is None
        assert found["reason"].endswith(".")
        return
    assert least - 1e-9 <= low <= value <= high <= most + 1e-9
    assert low < high


@quick
@given(any_cases())
def test_every_figure_is_honest(given_cases: tuple[Cases, NDArray[np.int64]]) -> None:
    cases, decided = given_cases
    part = measure_decided(cases, decided, prevalence={"c0": 0.03})
    json.dumps(part, allow_nan=False)
    for name in OVERALL:
        honest(part[name], LEAST.get(name, 0.0), MOST.get(name, 1.0))
    for found in part["classes"].values():
        for name in BY_CLASS:
            honest(found[name], 0.0, 1.0)
    for name in ("ppv", "npv"):
        honest(part["classes"]["c0"]["at_prevalence"][name], 0.0, 1.0)
    for found in part["exact"]["classes"].values():
        assert all(ends["low"] is None or 0 <= ends["low"] < ends["high"] <= 1 for ends in found.values())


@quick
@given(any_cases(), st.integers(0, 99))
def test_the_order_of_cases_does_not_matter(given_cases: tuple[Cases, NDArray[np.int64]], seed: int) -> None:
    cases, decided = given_cases
    order = np.random.default_rng(seed).permutation(len(cases))
    mixed = Cases(cases.labels, cases.y[order], cases.prob[order], cases.patient[order], cases.image[order])
    one, other = (estimates(*pair, resamples=60) for pair in ((cases, decided), (mixed, decided[order])))
    for name, found in one.items():
        assert found.to_json() == pytest.approx(other[name].to_json(), abs=1e-9), name


@quick
@given(any_cases(), st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(0, 29))
def test_what_is_no_number_is_a_sentence(given_cases: tuple[Cases, NDArray[np.int64]], bad: float, row: int) -> None:
    cases, decided = given_cases
    prob = cases.prob.copy()
    prob[row % len(cases), 0] = bad
    with pytest.raises(DataError, match=r"^Probabilities must be finite numbers, i\d+ has \[.*\]; predict again\.$"):
        measure_decided(replace(cases, prob=prob), decided)


@quick
@given(any_cases(), st.integers(0, 29), st.sampled_from([-3, -1, 4, 77]))
def test_an_unknown_class_is_a_sentence(given_cases: tuple[Cases, NDArray[np.int64]], row: int, column: int) -> None:
    cases, decided = given_cases
    wrong = decided.copy()
    wrong[row % len(cases)] = column
    with pytest.raises(DataError, match=rf"^Every decision must be a column of .*, i\d+ has {column}; correct it\.$"):
        measure_decided(cases, wrong)


@quick
@given(any_cases(), st.data())
def test_differences_are_honest_too(given_cases: tuple[Cases, NDArray[np.int64]], data: st.DataObject) -> None:
    cases, decided = given_cases
    other = np.array(data.draw(st.permutations(decided.tolist())))
    for name, found in paired_bootstrap(cases, cases, decided, other, resamples=80).items():
        if found.low is None or found.high is None or found.value is None:
            assert found.reason
        else:
            assert found.low <= found.value <= found.high, name
            assert found.low < found.high, name
    pair = mcnemar(decided == cases.y, other == cases.y)
    assert 0 <= pair.mid_p <= pair.p <= 1


scores = st.lists(st.tuples(st.booleans(), st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=25)


@quick
@given(scores)
def test_delong_is_honest_or_a_sentence(rows: Sequence[tuple[bool, int, int]]) -> None:
    truth, a, b = np.array([row[0] for row in rows]), *(np.array([float(row[i]) for row in rows]) for i in (1, 2))
    if truth.all() or not truth.any():
        with pytest.raises(DataError, match="one side is absent"):
            delong_test(truth, a, b)
        return
    area, ends, found = components(truth, a).area, delong(truth, a), delong_test(truth, a, b)
    assert ends is None or 0 <= ends[0] <= area <= ends[1] <= 1
    if found.low is None or found.high is None or found.p is None:
        assert found.low is found.high is found.p is None
    else:
        assert found.low < float(found.difference or 0) < found.high
        assert 0 <= found.p <= 1
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


@quick
@given(st.integers(1, 400), st.data())
def test_wilson_holds_the_share_and_narrows_with_more_images(total: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, total))
    low, high = wilson(hits, total) or (1.0, 0.0)
    more = wilson(3 * hits, 3 * total) or (1.0, 0.0)
    assert 0 <= low <= hits / total <= high <= 1
    assert more[1] - more[0] < high - low
    assert wilson(total - hits, total) == pytest.approx((1 - high, 1 - low))


@quick
@given(st.floats(0, 1), st.integers(1, 500), st.integers(1, 500))
def test_newcombe_holds_the_area_and_has_a_width(area: float, yes: int, no: int) -> None:
    low, high = newcombe(area, yes, no) or (1.0, 0.0)
    assert 0 <= low <= area <= high <= 1
    assert low < high


@quick
@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0.001, 0.999))
def test_predictive_values_are_bayes_rule(sensitivity: float, specificity: float, prevalence: float) -> None:
    ppv, npv = (float(value) for value in adjusted(sensitivity, specificity, prevalence))
    # The odds of the finding after a call are those before, times the likelihood ratio.
    odds = prevalence / (1 - prevalence)
    assert ppv / (1 - ppv) == pytest.approx(odds * sensitivity / (1 - specificity))
    assert (1 - npv) / npv == pytest.approx(odds * (1 - sensitivity) / specificity)


def test_one_case_is_measured() -> None:
    found = estimates(scored([1], [0.9]), np.array([1]))
    assert (found["accuracy"].value, found["accuracy"].high) == (1.0, 1.0)
    assert found["accuracy"].low == pytest.approx((wilson(1, 1) or (0.0,))[0])
    assert found["auroc/sick"].value is None


def test_a_bootstrap_of_nobody_draws_nothing() -> None:
    assert Bootstrap(np.array([], dtype=np.str_)).weights().shape[1] == 0
