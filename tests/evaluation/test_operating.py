"""Operating points, worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lungwise.errors import DataError
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.decision import Rule, fit_decision
from lungwise.evaluation.metrics import measure
from lungwise.evaluation.operating import SHOWN, operating_points
from tests.evaluation.factory import cases, random_cases, scored


def three(y: list[int], first: list[float]) -> Cases:
    """Three classes; what the first leaves is shared by the others."""
    score = np.array(first)
    return cases(y, np.stack([score, (1 - score) / 2, (1 - score) / 2], axis=1), ("a", "b", "c"))


def test_the_threshold_is_validations_and_the_figures_are_tests() -> None:
    validation = three([0, 0, 1, 2], [0.8, 0.6, 0.3, 0.2])
    test = three([0, 0, 0, 1, 2, 2, 2], [0.9, 0.5, 0.1, 0.7, 0.2, 0.1, 0.1])
    found = operating_points(validation, test)
    point = found["classes"]["a"]
    assert 0.3 < point["threshold"] < 0.5
    assert point["images"] == {"validation": 2, "test": 3}
    assert point["validation"] == {"sensitivity": 1.0, "specificity": 1.0}
    values = {name: point["test"][name]["value"] for name in SHOWN}
    assert values == pytest.approx(
        {"sensitivity": 2 / 3, "specificity": 3 / 4, "ppv": 2 / 3, "npv": 3 / 4, "prevalence": 3 / 7}
    )
    assert all(one["low"] < one["value"] < one["high"] for one in point["test"].values())
    assert (found["rule"], found["fitted_on"]) == ({"name": "youden"}, "validation")
    assert found["interval"].endswith("threshold held fixed")
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_of_two_classes_it_is_the_decision() -> None:
    validation, test = (random_cases(80, 2, seed=seed) for seed in (0, 1))
    found = operating_points(validation, test)
    decision = fit_decision(validation)
    assert list(found["classes"]) == ["c1"]
    assert found["classes"]["c1"]["threshold"] == decision.threshold
    wanted = measure(test, decision)["classes"]["c1"]
    for name in SHOWN:
        assert found["classes"]["c1"]["test"][name] == wanted[name]


def test_a_rule_is_kept_for_every_class() -> None:
    validation = random_cases(200, 3)
    found = operating_points(validation, random_cases(60, 3, seed=1), Rule("sensitivity", 0.9))["classes"]
    assert list(found) == ["c0", "c1", "c2"]
    assert all(point["validation"]["sensitivity"] >= 0.9 for point in found.values())


@pytest.mark.parametrize(
    ("validation", "rule", "reason"),
    [
        pytest.param(three([1, 2], [0.1, 0.2]), None, "Validation has no image of this class", id="absent"),
        pytest.param(three([0, 0], [0.1, 0.2]), None, "Validation has images of this class only", id="alone"),
        pytest.param(three([0, 1, 0, 2], [0.5] * 4), None, "better than chance", id="constant"),
        pytest.param(three([0, 1], [0.9, 0.1]), Rule("argmax"), "The rule argmax has no threshold.", id="argmax"),
    ],
)
def test_where_there_is_no_threshold_it_says_why(validation: Cases, rule: Rule | None, reason: str) -> None:
    point = operating_points(validation, three([0, 1, 2], [0.9, 0.1, 0.1]), rule)["classes"]["a"]
    assert point["threshold"] is None
    assert reason in point["reason"]
    assert "test" not in point


def test_a_class_that_test_lacks_has_no_sensitivity() -> None:
    point = operating_points(three([0, 0, 1, 2], [0.8, 0.6, 0.3, 0.2]), three([1, 2], [0.1, 0.2]))["classes"]["a"]
    assert point["test"]["sensitivity"]["value"] is None
    assert point["test"]["specificity"]["value"] == 1.0


def test_one_test_case() -> None:
    point = operating_points(scored([0, 1], [0.2, 0.8]), scored([1], [0.9]))["classes"]["sick"]
    assert point["test"]["sensitivity"]["value"] == 1.0
    assert point["test"]["npv"]["value"] is None


def test_no_test_cases() -> None:
    point = operating_points(scored([0, 1], [0.2, 0.8]), scored([], []))["classes"]["sick"]
    assert point["test"]["sensitivity"]["value"] is None


def test_other_classes_are_refused() -> None:
    with pytest.raises(DataError, match=r"must have the same classes, got \['normal', 'sick'\] and \['a', 'b', 'c'\]; predict"):
        operating_points(scored([0], [0.1]), three([0], [0.1]))


def test_a_prevalence_is_of_one_finding() -> None:
    rule = Rule("cost", prevalence=0.1)
    with pytest.raises(DataError, match=r"can be stated for one finding, there are 3 classes; leave it out\.$"):
        operating_points(three([0, 1], [0.9, 0.1]), three([0, 1], [0.9, 0.1]), rule)
    assert operating_points(scored([0, 1], [0.2, 0.8]), scored([0, 1], [0.2, 0.8]), rule)["rule"]["prevalence"] == 0.1
