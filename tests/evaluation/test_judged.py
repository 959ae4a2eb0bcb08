"""Calibration, decision and measurement in their order: fitted on validation, measured on test."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lungwise.answer import softmax
from lungwise.evaluation import calibration_report
from lungwise.evaluation.calibration import Calibration, calibrated, fit_calibration
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.conformal import Conformal, fit_conformal
from lungwise.evaluation.decision import Decision, Rule, fit_decision
from lungwise.evaluation.judged import NO_VALIDATION, READY, judged, measured, patients_by_class
from lungwise.evaluation.metrics import measure
from lungwise.evaluation.operating import operating_points
from tests.evaluation.factory import cases, scored


def drawn(number: int, seed: int, classes: int = 2, sharpness: float = 3.0) -> Cases:
    """Cases whose probabilities are too sure by a factor of ``sharpness`` in their logarithms."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(number, classes)) * 1.5
    y = [rng.choice(classes, p=row) for row in softmax(logits)]
    return cases(y, softmax(sharpness * logits), [f"c{column}" for column in range(classes)])


def test_everything_is_fitted_on_calibrated_validation_and_measured_on_calibrated_test() -> None:
    raw = {"test": drawn(150, 1), "validation": drawn(200, 2)}
    found = judged(raw, Rule("sensitivity", 0.9), {})
    calibration = fit_calibration(raw["validation"])
    assert calibration.kind == "temperature"
    assert calibration.temperature > 1.5
    sharp = {name: calibrated(part, calibration) for name, part in raw.items()}
    assert found.decision == fit_decision(sharp["validation"], Rule("sensitivity", 0.9))
    assert found.parts["test"] == measure(sharp["test"], found.decision)
    np.testing.assert_array_equal(found.cases["test"].prob, sharp["test"].prob)
    assert found.more["calibration"] == calibration_report.describe(raw["test"], sharp["test"], calibration)
    assert found.more["operating_points"] == operating_points(sharp["validation"], sharp["test"], Rule("sensitivity", 0.9))
    assert found.more["conformal"] == fit_conformal(sharp["validation"]).describe(sharp["test"])
    assert found.more["calibration"]["after"]["log_loss"]["value"] < found.more["calibration"]["before"]["log_loss"]["value"]
    json.dumps(found.more, allow_nan=False)


def test_a_stated_prevalence_does_not_stop_a_table_of_many_classes() -> None:
    raw = {"test": drawn(60, 1, 3), "validation": drawn(90, 2, 3)}
    found = judged(raw, Rule("cost", miss_cost=3.0, prevalence=0.2), {})
    assert found.more["operating_points"]["rule"] == {"name": "cost", "miss_cost": 3.0, "prevalence": None}


def test_without_validation_nothing_is_fitted() -> None:
    test = drawn(40, 1)
    found = judged({"test": test}, Rule(), {})
    assert (found.decision, found.cases["test"].prob.tolist()) == (Decision(), test.prob.tolist())
    assert found.more == {"calibration": {"calibration": NO_VALIDATION.to_json(), "notes": []}}


def test_without_test_it_is_fitted_and_not_measured() -> None:
    found = judged({"validation": drawn(200, 2)}, Rule(), {})
    assert Calibration.from_json(found.more["calibration"]["calibration"]).kind == "temperature"
    assert "before" not in found.more["calibration"]
    assert set(found.more["conformal"]) == {"alpha", "quantiles", "sizes", "fitted_on"}
    assert "operating_points" not in found.more


@pytest.mark.parametrize("conformal", [None, Conformal(0.2, {"c0": 0.6, "c1": 0.7}, {"c0": 50, "c1": 50})])
def test_a_bundles_answers_are_measured_as_they_are(conformal: Conformal | None) -> None:
    raw, decision = {"test": drawn(60, 1), "validation": drawn(60, 2)}, Decision("youden", 1, 0.7, "validation")
    found = measured(raw, decision, conformal, {})
    assert (found.decision, found.cases) == (decision, raw)
    assert found.more["calibration"]["calibration"] == READY.to_json()
    assert found.more["calibration"]["before"] == found.more["calibration"]["after"]
    assert ("conformal" in found.more) == (conformal is not None)
    if conformal:
        assert found.more["conformal"] == conformal.describe(raw["test"])


def test_patients_are_counted_class_by_class() -> None:
    assert patients_by_class(scored([0, 0, 1, 1], [0.1] * 4, ["a", "a", "a", "b"])) == {"normal": 1, "sick": 2}
