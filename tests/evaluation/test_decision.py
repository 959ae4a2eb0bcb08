"""The threshold, worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from lungwise.errors import DataError
from lungwise.evaluation.decision import Decision, Rule, findings, fit_decision
from lungwise.labels import LabelSet
from tests.evaluation.factory import cases, scored


def between(low: float, high: float) -> float:
    """The probability in the middle of two, in log-odds."""
    odds = math.sqrt(low / (1 - low) * high / (1 - high))
    return odds / (1 + odds)


@pytest.mark.parametrize(
    ("y", "score", "threshold"),
    [
        pytest.param([0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.8, 0.9], between(0.3, 0.8), id="separable"),
        # J: 1/3 above 0.2, 1 - 1/2 above the tie.
        pytest.param([0, 0, 0, 1, 1], [0.2, 0.5, 0.5, 0.5, 0.9], between(0.5, 0.9), id="tie above which J is largest"),
        # J: 1/2, 0 and 1/2: of the two best, the upper one.
        pytest.param([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], between(0.3, 0.4), id="equals"),
        # J: 1/4, 1/2, 3/4, 3/4 - 1/2, 1 - 1/2: the finding is rare and its threshold stays.
        pytest.param([0, 0, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], between(0.3, 0.4), id="more normal than sick"),
        pytest.param([1, 0, 1, 0, 0], [0.8, 0.1, 0.9, 0.3, 0.2], between(0.3, 0.8), id="any order"),
    ],
)
def test_the_threshold_has_the_largest_youden_index(y: Sequence[int], score: Sequence[float], threshold: float) -> None:
    found = fit_decision(scored(y, score))
    assert (found.rule, found.positive, found.fitted_on) == ("youden", 1, "validation")
    assert found.threshold == pytest.approx(threshold)


def test_the_finding_is_the_class_that_is_not_normal() -> None:
    prob = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    found = fit_decision(cases([0, 0, 1], prob, ("covid", "normal")))
    assert (found.rule, found.positive) == ("youden", 0)
    assert found.threshold == pytest.approx(between(0.2, 0.7))


@pytest.mark.parametrize(
    ("y", "score"),
    [
        pytest.param([0, 0, 0], [0.1, 0.2, 0.3], id="only normal"),
        pytest.param([1, 1], [0.1, 0.2], id="only sick"),
        pytest.param([0, 1, 0, 1], [0.4] * 4, id="one score for all"),
        pytest.param([1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4], id="upside down"),
        pytest.param([], [], id="no cases"),
    ],
)
def test_where_no_threshold_helps_the_largest_probability_decides(y: Sequence[int], score: Sequence[float]) -> None:
    assert fit_decision(scored(y, score)) == Decision("argmax", -1, 0.5, "")


def test_more_than_two_classes_take_the_largest_probability() -> None:
    prob = np.array([[0.6, 0.2, 0.2], [0.1, 0.7, 0.2], [0.3, 0.3, 0.4]])
    found = fit_decision(cases([0, 1, 2], prob, ("a", "b", "normal")))
    assert found == Decision()
    assert found.decide(prob).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("wanted", "threshold"),
    [
        pytest.param(0.25, between(0.7, 0.8), id="one of four may be enough"),
        pytest.param(0.5, between(0.5, 0.6), id="exactly the wanted share"),
        pytest.param(0.51, between(0.3, 0.4), id="a little more takes one more"),
        pytest.param(0.99, between(0.1, 0.2), id="all"),
    ],
)
def test_the_highest_threshold_with_the_wanted_sensitivity_is_taken(wanted: float, threshold: float) -> None:
    y, score = [0, 1, 0, 1, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    found = fit_decision(scored(y, score), Rule("sensitivity", wanted))
    assert (found.rule, found.positive, found.fitted_on) == ("sensitivity", 1, "validation")
    assert found.threshold == pytest.approx(threshold)


@pytest.mark.parametrize("lowest", [0.0, 0.1])
def test_the_wanted_sensitivity_is_kept_even_when_all_must_be_called(lowest: float) -> None:
    validation = scored([1, 0, 0, 1, 1, 1], [lowest, 0.2, 0.3, 0.6, 0.7, 0.8])
    found = fit_decision(validation, Rule("sensitivity", 0.95))
    assert found.rule == "sensitivity"
    assert found.decide(validation.prob).tolist() == [1] * 6


def test_a_rule_may_ask_for_no_threshold() -> None:
    assert fit_decision(scored([0, 1], [0.1, 0.2]), Rule("argmax")) == Decision()


def test_an_unknown_rule_is_refused() -> None:
    known = "youden, sensitivity, specificity, cost or argmax"
    with pytest.raises(DataError, match=rf"must be {known}, got 'f1'; correct --rule\.$"):
        Rule("f1")


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_wanted_sensitivity_is_a_share(share: float) -> None:
    with pytest.raises(DataError, match=r"must lie between 0 and 1, got .*; correct --sensitivity\.$"):
        Rule("sensitivity", share)


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_a_wanted_specificity_is_a_share(share: float) -> None:
    with pytest.raises(DataError, match=r"The wanted specificity must lie between 0 and 1, got .*; correct --specificity\.$"):
        Rule("specificity", specificity=share)


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_a_prevalence_is_a_share(share: float) -> None:
    with pytest.raises(DataError, match=r"The prevalence must lie between 0 and 1, got .*; correct --prevalence\.$"):
        Rule("cost", prevalence=share)


@pytest.mark.parametrize("cost", [0.0, -1.0, float("inf"), float("nan")])
def test_a_cost_is_a_number_above_0(cost: float) -> None:
    with pytest.raises(DataError, match=r"The cost of a miss must be a number above 0, got .*; correct --miss-cost\.$"):
        Rule("cost", miss_cost=cost)


@pytest.mark.parametrize(
    ("wanted", "threshold"),
    [
        pytest.param(0.25, between(0.1, 0.2), id="one of four may be enough"),
        pytest.param(0.5, between(0.3, 0.4), id="exactly the wanted share"),
        pytest.param(0.51, between(0.5, 0.6), id="a little more takes one more"),
        pytest.param(0.99, between(0.7, 0.8), id="all"),
    ],
)
def test_the_lowest_threshold_with_the_wanted_specificity_is_taken(wanted: float, threshold: float) -> None:
    y, score = [0, 1, 0, 1, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    found = fit_decision(scored(y, score), Rule("specificity", specificity=wanted))
    assert (found.rule, found.positive, found.fitted_on) == ("specificity", 1, "validation")
    assert found.threshold == pytest.approx(threshold)


def test_the_wanted_specificity_is_kept_even_when_none_can_be_called() -> None:
    validation = scored([0, 1, 1, 0], [0.1, 0.3, 0.6, 0.9])
    found = fit_decision(validation, Rule("specificity", specificity=0.95))
    assert found.decide(validation.prob).tolist() == [0] * 4
    # Half the gap in log-odds beyond the last score.
    low, high = (math.log(p / (1 - p)) for p in (0.6, 0.9))
    assert found.threshold == pytest.approx(1 / (1 + math.exp(-(high + (high - low) / 2))))


def test_above_a_score_of_1_there_is_no_threshold() -> None:
    found = fit_decision(scored([0, 1, 1, 0], [0.1, 0.3, 0.6, 1.0]), Rule("specificity", specificity=0.95))
    assert found.threshold == 1.0


@pytest.mark.parametrize(
    ("cost", "prevalence", "threshold"),
    [
        # Validation: normal 0.1 0.2 0.3 0.5, sick 0.4 0.6; above 0.3 one false alarm, above 0.5 one miss.
        pytest.param(1.0, 0.5, between(0.3, 0.4), id="alike: 1/4 of the normal against 1/2 of the sick"),
        pytest.param(0.4, 0.5, between(0.5, 0.6), id="false alarms weigh more"),
        pytest.param(1.0, 0.2, between(0.5, 0.6), id="rare"),
        pytest.param(9.0, 0.2, between(0.3, 0.4), id="rare but costly"),
        # The share of the sick is 1/3: a miss of one of two costs 1/6, an alarm of one of four 1/6; of equals the middle.
        pytest.param(1.1, None, between(0.3, 0.4), id="as common as on validation"),
        pytest.param(0.9, None, between(0.5, 0.6), id="as common as on validation, misses cheaper"),
    ],
)
def test_the_threshold_with_the_smallest_expected_cost_is_taken(
    cost: float, prevalence: float | None, threshold: float
) -> None:
    validation = scored([0, 0, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    found = fit_decision(validation, Rule("cost", miss_cost=cost, prevalence=prevalence))
    assert (found.rule, found.fitted_on) == ("cost", "validation")
    assert found.threshold == pytest.approx(threshold)


@pytest.mark.parametrize(("cost", "calls"), [(1e6, [1] * 6), (1e-6, [0] * 6)])
def test_costs_can_ask_for_calling_all_or_none(cost: float, calls: list[int]) -> None:
    validation = scored([1, 0, 0, 1, 1, 0], [0.1, 0.2, 0.3, 0.6, 0.7, 0.8])
    assert fit_decision(validation, Rule("cost", miss_cost=cost)).decide(validation.prob).tolist() == calls


def test_below_all_scores_the_threshold_leaves_half_a_gap() -> None:
    found = fit_decision(scored([1, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.7, 0.8]), Rule("sensitivity", 0.95))
    low, near = (math.log(p / (1 - p)) for p in (0.1, 0.2))
    assert found.threshold == pytest.approx(1 / (1 + math.exp(-(low - (near - low) / 2))))


def test_a_rule_says_the_numbers_it_uses() -> None:
    assert Rule().to_json() == {"name": "youden"}
    assert Rule("specificity", specificity=0.9).to_json() == {"name": "specificity", "specificity": 0.9}
    assert Rule("cost", miss_cost=5.0).to_json() == {"name": "cost", "miss_cost": 5.0, "prevalence": None}


def test_not_a_number_is_refused() -> None:
    with pytest.raises(DataError, match="must be >= 0 and sum to 1"):
        fit_decision(scored([0, 1], [float("nan"), 0.5]))


def test_findings_are_all_classes_or_the_one_of_two() -> None:
    assert findings(LabelSet(("covid", "normal"))) == [0]
    assert findings(LabelSet(("covid", "normal", "other"))) == [0, 1, 2]


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (1e-20, 1e-15), (0.0, 1e-300), (1 - 2**-52, 1.0), (0.5, 0.5 + 2**-52)])
def test_the_threshold_divides_scores_however_close(low: float, high: float) -> None:
    found = fit_decision(scored([0, 0, 1, 1], [low, low, high, high]))
    assert low < found.threshold <= high
    assert found.decide(np.array([[1 - low, low], [1 - high, high]])).tolist() == [0, 1]


def test_a_probability_at_the_threshold_is_the_finding() -> None:
    decision = Decision("youden", 1, 0.3, "validation")
    assert decision.decide(np.array([[0.7, 0.3], [0.71, 0.29]])).tolist() == [1, 0]


def test_the_finding_may_be_the_first_column() -> None:
    decision = Decision("youden", 0, 0.3, "validation")
    assert decision.decide(np.array([[0.3, 0.7], [0.29, 0.71]])).tolist() == [0, 1]


@pytest.mark.parametrize(("threshold", "calls"), [(0.0, [1, 1, 1]), (1.0, [0, 0, 1])])
def test_a_threshold_at_the_edge(threshold: float, calls: list[int]) -> None:
    prob = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    assert Decision("youden", 1, threshold).decide(prob).tolist() == calls


def test_no_cases_have_no_decisions() -> None:
    assert Decision().decide(np.zeros((0, 2))).tolist() == []
    assert Decision("youden", 1).decide(np.zeros((0, 2))).tolist() == []


def test_it_is_written_with_all_fields() -> None:
    decision = Decision("youden", 1, 0.25, "validation")
    assert decision.to_json() == {"rule": "youden", "positive": 1, "threshold": 0.25, "fitted_on": "validation"}
    assert Decision(**decision.to_json()) == decision
