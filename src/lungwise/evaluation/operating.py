"""Operating points: for each class against the rest, a threshold chosen on validation and what it does on test."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import DataError
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.decision import Rule, choose_threshold, findings
from lungwise.evaluation.intervals import EMPTY, Bootstrap, Estimate
from lungwise.evaluation.logarithms import checked
from lungwise.evaluation.metrics import estimates
from lungwise.labels import LabelSet

SHOWN = ("sensitivity", "specificity", "ppv", "npv", "prevalence")


def operating_points(validation: Cases, test: Cases, rule: Rule | None = None, seed: int = 0) -> dict[str, Any]:
    """One threshold a class, chosen on validation, measured on test; ready for JSON.

    Each class is called against the rest, so an image can have several calls or none: the table says what a reader of one
    class can expect, not how the classifier decides between them. Of two classes the finding stands for both.

    Args:
        validation: the validation part, calibrated where there is a calibration.
        test: the test part, with the same classes and the same calibration.
        rule: how thresholds are chosen; Youden's by default. A prevalence can be stated for two classes only.
        seed: seed of the bootstrap.

    Returns:
        rule, fitted_on, interval, and classes: label to threshold (None where validation gives none, with the reason),
        cases of it in either part, and estimates on validation (value only) and test.

    Raises:
        DataError: the parts have different classes, or a prevalence is stated for more than two.
    """
    rule = rule or Rule()
    if validation.labels != test.labels:
        came = f"{list(validation.labels)} and {list(test.labels)}"
        raise DataError(f"Validation and test must have the same classes, got {came}; predict both with one model.")
    columns = findings(test.labels)
    if rule.prevalence is not None and len(columns) > 1:
        raise DataError(f"A prevalence can be stated for one finding, there are {len(columns)} classes; leave it out.")
    return {
        "rule": rule.to_json(),
        "fitted_on": "validation",
        "classes": {test.labels.names[column]: _point(validation, test, column, rule, seed) for column in columns},
        "interval": f"{Bootstrap(test.patient).method}, threshold held fixed",
    }


def _point(validation: Cases, test: Cases, column: int, rule: Rule, seed: int) -> dict[str, Any]:
    """The operating point of one class."""
    truth, name = validation.y == column, test.labels.names[column]
    threshold = choose_threshold(checked(validation.prob)[:, column], truth, rule)
    found: dict[str, Any] = {
        "threshold": threshold,
        "reason": _why_none(rule, truth) if threshold is None else "",
        "images": {"validation": int(truth.sum()), "test": int((test.y == column).sum())},
    }
    if threshold is None:
        return found
    called = validation.prob[:, column] >= threshold
    seen = {"sensitivity": float(called[truth].mean()), "specificity": float((~called[~truth]).mean())}
    against = _against_rest(test, column)
    measured = estimates(against, (against.prob[:, 1] >= threshold).astype(np.int64), seed=seed) if len(test) else {}
    none = Estimate(None, None, None, EMPTY)
    return {**found, "validation": seen, "test": {key: measured.get(f"{key}/{name}", none).to_json() for key in SHOWN}}


def _against_rest(cases: Cases, column: int) -> Cases:
    """The same cases with two classes, the rest and the one of this column."""
    name, score = cases.labels.names[column], checked(cases.prob)[:, column]
    prob = np.stack([1 - score, score], axis=1)
    return replace(cases, labels=LabelSet((f"not {name}", name)), y=(cases.y == column).astype(np.int32), prob=prob)


def _why_none(rule: Rule, truth: NDArray[np.bool_]) -> str:
    if rule.name == "argmax":
        return "The rule argmax has no threshold."
    if not truth.any():
        return "Validation has no image of this class, so no threshold can be chosen."
    if truth.all():
        return "Validation has images of this class only, so no threshold can be chosen."
    return "On validation no threshold tells this class from the rest better than chance."
