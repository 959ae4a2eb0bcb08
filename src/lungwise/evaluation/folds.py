"""A cross-validation's worth: each fold is calibrated and decides by its own validation part; tests are judged together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lungwise.errors import DataError
from lungwise.evaluation.calibration import Calibration, calibrated, fit_calibration
from lungwise.evaluation.calibration_report import describe
from lungwise.evaluation.cases import Cases, to_cases
from lungwise.evaluation.decision import Decision, Rule, fit_decision
from lungwise.evaluation.metrics import measure_decided, statistics

SHOWN = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")


@dataclass(frozen=True)
class FoldResult:
    """One fold, tested.

    Args:
        fold: its number, from 1.
        repeat: the number of the repeat, from 1.
        name: such as "fold 1/5" or "source cohen".
        raw: its test part as the model predicts it; that of a source may lack classes.
        cases: the same, calibrated.
        calibration: fitted on its own validation part.
        decision: chosen on its own validation part, after calibration.
        values: every metric by name, such as "accuracy" or "sensitivity/normal"; None where it is undefined.
    """

    fold: int
    repeat: int
    name: str
    raw: Cases
    cases: Cases
    calibration: Calibration
    decision: Decision
    values: dict[str, float | None]

    @property
    def decided(self) -> NDArray[np.int64]:
        """The column decided for, of each test image: int64 [n]."""
        return self.decision.decide(self.cases.prob)

    def to_json(self) -> dict[str, Any]:
        """Its numbers, with the metrics of ``SHOWN``; "counts" says how many images each class has in the test part."""
        numbers = np.bincount(self.cases.y, minlength=len(self.cases.labels)).tolist()
        return {
            "fold": self.fold,
            "repeat": self.repeat,
            "name": self.name,
            "images": len(self.cases),
            "patients": self.cases.patients,
            "counts": dict(zip(self.cases.labels, numbers, strict=True)),
            "calibration": self.calibration.to_json(),
            "decision": self.decision.to_json(),
            **{name: self.values[name] for name in SHOWN},
        }


def judge(table: pl.DataFrame, rule: Rule | None = None) -> list[FoldResult]:
    """Test every fold of a cross-validation with the calibration and the decision that its validation part gives.

    Args:
        table: columns of a run's predictions, and ``fold`` and ``repeat`` (integers from 1); test and validation images. Names
            are taken from ``fold_name``, where there is such a column.
        rule: how a threshold is chosen; Youden's by default.

    Raises:
        DataError: a column is missing, or a fold has no test or no validation images.
    """
    lost = [name for name in ("fold", "repeat") if name not in table.columns or table[name].has_nulls()]
    if lost:
        raise DataError(f"Predictions of folds must say '{lost[0]}' of every image; run the cross-validation again.")
    found = []
    for repeat, fold in table.select("repeat", "fold").unique().sort("repeat", "fold").iter_rows():
        rows = table.filter((pl.col("repeat") == repeat) & (pl.col("fold") == fold))
        test, validation = to_cases(rows, "test"), to_cases(rows, "validation")
        if not len(test) or not len(validation):
            raise DataError(
                f"Every fold must have test and validation images, fold {fold} of repeat {repeat} lacks some; run the "
                "cross-validation again."
            )
        calibration = fit_calibration(validation)
        sharp, decision = calibrated(test, calibration), fit_decision(calibrated(validation, calibration), rule)
        values = _values(sharp, decision)
        found.append(FoldResult(fold, repeat, _name(table, rows), test, sharp, calibration, decision, values))
    return found


def _name(table: pl.DataFrame, rows: pl.DataFrame) -> str:
    """What a fold is called: as its rows say, or its numbers."""
    if "fold_name" in rows.columns and rows["fold_name"][0] is not None:
        return str(rows["fold_name"][0])
    name = f"fold {rows['fold'][0]}/{table['fold'].n_unique()}"
    repeats = table["repeat"].n_unique()
    return name if repeats == 1 else f"{name}, repeat {rows['repeat'][0]}/{repeats}"


def pooled(folds: Sequence[FoldResult], prevalence: Mapping[str, float] | None = None) -> tuple[Cases, dict[str, Any]]:
    """All test parts together, each image decided for by the fold that did not know its patient.

    Args:
        folds: of all repeats.
        prevalence: of classes where the model is to be used, as for :func:`lungwise.evaluation.metrics.measure`.

    Returns:
        The cases; and all metrics with patient-level intervals. Resampling draws patients, so the several predictions that
        repeats make of one image never pass for several patients. "images" counts each image once, "predictions" all.
    """
    cases = _together([fold.cases for fold in folds])
    found = measure_decided(cases, np.concatenate([fold.decided for fold in folds]), prevalence=prevalence)
    return cases, {**found, "images": len(np.unique(cases.image)), "predictions": len(cases)}


def _together(parts: Sequence[Cases]) -> Cases:
    return Cases(
        parts[0].labels,
        np.concatenate([part.y for part in parts]),
        np.concatenate([part.prob for part in parts]),
        np.concatenate([part.patient for part in parts]),
        np.concatenate([part.image for part in parts]),
    )


def calibration_of_folds(folds: Sequence[FoldResult]) -> dict[str, Any]:
    """All test parts together before and after calibration, as :func:`lungwise.evaluation.calibration_report.describe`.

    Its "calibration" has the kind "folds", the reason in words, and "temperatures" (None where a fold has another kind).

    Args:
        folds: of all repeats.
    """
    each = [fold.calibration for fold in folds]
    before, after = (_together(parts) for parts in ([fold.raw for fold in folds], [fold.cases for fold in folds]))
    kinds = [found.kind for found in each]
    temperatures = [found.temperature if found.kind == "temperature" else None for found in each]
    known = [value for value in temperatures if value is not None]
    said = [f"a temperature in {len(known)} ({min(known):.2f} to {max(known):.2f})"] if known else []
    said += [f"a map of its own for each class in {kinds.count('dirichlet')}"] if "dirichlet" in kinds else []
    reasons = sorted({found.reason for found in each if found.kind == "none"})
    said += [f"nothing in {kinds.count('none')} ({reasons[0].removesuffix('.')})"] if reasons else []
    reason = f"Each of {len(folds)} folds was calibrated by its own validation part: {', '.join(said)}."
    alike = set(kinds) == {"none"}
    # What stands for all only says whether anything was changed.
    found = describe(before, after, Calibration(reason=reason) if alike else Calibration("temperature", median(known or [1.0])))
    return {**found, "calibration": {"kind": "none" if alike else "folds", "reason": reason, "temperatures": temperatures}}


def summary(folds: Sequence[FoldResult], division: dict[str, Any]) -> dict[str, Any]:
    """The folds one by one, and mean and standard deviation of every metric over them, ready for JSON.

    The deviation (n - 1) describes how much folds differ. It is no standard error: folds share training images, and no
    unbiased estimate of their mean's variance exists (Bengio and Grandvalet, JMLR 5, 2004).

    Args:
        folds: of all repeats.
        division: how the data were divided.
    """
    return {
        **division,
        "each": [fold.to_json() for fold in folds],
        "mean": {name: _spread([fold.values[name] for fold in folds]) for name in folds[0].values},
    }


def common_decision(folds: Sequence[FoldResult]) -> Decision:
    """One decision that stands for all: with the median of the thresholds, where folds have some."""
    chosen = [fold.decision for fold in folds if fold.decision.rule != "argmax"]
    if not chosen:
        return Decision()
    return Decision(chosen[0].rule, chosen[0].positive, median(decision.threshold for decision in chosen), "validation")


def describe_folds(folds: Sequence[FoldResult]) -> str:
    """The folds' decisions in one sentence."""
    chosen = [fold.decision for fold in folds if fold.decision.rule != "argmax"]
    if not chosen:
        return "The class with the largest probability is decided for."
    finding = folds[0].cases.labels.names[chosen[0].positive]
    low, high = min(found.threshold for found in chosen), max(found.threshold for found in chosen)
    rest = len(folds) - len(chosen)
    without = f"; in {rest} of {len(folds)} folds no threshold helped, and the larger probability decides" if rest else ""
    return (
        f"Every fold decides for {finding} from a threshold on that was chosen on its own validation part, between "
        f"{low:.3f} and {high:.3f}{without}."
    )


def _values(cases: Cases, decision: Decision) -> dict[str, float | None]:
    ones = np.ones((1, len(cases)))
    found = {name: float(statistic(ones)[0]) for name, statistic in statistics(cases, decision.decide(cases.prob))}
    return {name: value if np.isfinite(value) else None for name, value in found.items()}


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean and standard deviation of the folds in which a metric is defined, and how many these are."""
    known = [value for value in values if value is not None]
    return {
        "mean": fmean(known) if known else None,
        "sd": stdev(known) if len(known) > 1 else None,
        "folds": len(known),
    }
