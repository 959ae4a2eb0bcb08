"""From a run's predictions to its numbers: calibrate, decide, measure. Validation is fitted on, test is only measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lungwise.evaluation import calibration_report
from lungwise.evaluation.calibration import Calibration, calibrated, fit_calibration
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.conformal import Conformal, fit_conformal
from lungwise.evaluation.decision import Decision, Rule, fit_decision
from lungwise.evaluation.metrics import measure
from lungwise.evaluation.operating import operating_points

NO_VALIDATION = Calibration(reason="There was no validation part.")
READY = Calibration(reason="The bundle's probabilities are calibrated already, by the validation part of its training data.")


@dataclass(frozen=True)
class Judged:
    """What predictions are worth.

    Args:
        cases: each part, calibrated.
        decision: how calibrated probabilities become classes.
        parts: all metrics of each part.
        more: "calibration" (before and after only where there are test and validation images), and where there are such
            parts, "conformal" and "operating_points".
    """

    cases: Mapping[str, Cases]
    decision: Decision
    parts: dict[str, dict[str, Any]]
    more: dict[str, Any]


def judged(raw: Mapping[str, Cases], rule: Rule, prevalence: Mapping[str, float]) -> Judged:
    """Calibrate on validation, choose the decision on calibrated validation, and measure everything calibrated.

    Args:
        raw: the parts that there are, as the model predicts them; "validation" is fitted on.
        rule: how the threshold is chosen.
        prevalence: of classes where the model is to be used, for PPV and NPV.

    Raises:
        DataError: bad probabilities or an unknown class.
    """
    validation = raw.get("validation")
    calibration = NO_VALIDATION if validation is None else fit_calibration(validation)
    cases = {split: calibrated(found, calibration) for split, found in raw.items()}
    decision = fit_decision(cases["validation"], rule) if validation is not None else Decision()
    more: dict[str, Any] = {"calibration": {"calibration": calibration.to_json(), "notes": []}}
    if validation is not None:
        conformal = fit_conformal(cases["validation"])
        more["conformal"] = conformal.to_json()
        if "test" in cases:
            more["calibration"] = calibration_report.describe(raw["test"], cases["test"], calibration)
            more["conformal"] = conformal.describe(cases["test"])
            more["operating_points"] = operating_points(cases["validation"], cases["test"], for_each(rule, cases["test"]))
    return Judged(cases, decision, _parts(cases, decision, prevalence), more)


def measured(
    cases: Mapping[str, Cases], decision: Decision, conformal: Conformal | None, prevalence: Mapping[str, float]
) -> Judged:
    """Measure what a bundle answers; nothing is fitted.

    Args:
        cases: the parts that there are, calibrated already.
        decision: the bundle's.
        conformal: the bundle's, where it has one.
        prevalence: of classes where the model is to be used, for PPV and NPV.
    """
    chosen = next(iter(cases.values()))
    more: dict[str, Any] = {"calibration": calibration_report.describe(chosen, chosen, READY)}
    if conformal is not None:
        more["conformal"] = conformal.describe(chosen)
    return Judged(cases, decision, _parts(cases, decision, prevalence), more)


def for_each(rule: Rule, cases: Cases) -> Rule:
    """The rule for a table of every class against the rest, of which a stated prevalence can only speak with two classes."""
    return rule if cases.labels.positive is not None else replace(rule, prevalence=None)


def _parts(cases: Mapping[str, Cases], decision: Decision, prevalence: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    return {split: measure(found, decision, prevalence=prevalence) for split, found in cases.items()}


def patients_by_class(cases: Cases) -> dict[str, int]:
    """Label to the number of patients with an image of it."""
    return {label: len(np.unique(cases.patient[cases.y == column])) for column, label in enumerate(cases.labels)}
