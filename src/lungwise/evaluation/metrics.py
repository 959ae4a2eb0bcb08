"""How good are the decisions and probabilities? Every metric works on weighted cases; see :mod:`.intervals`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungwise.evaluation.cases import Cases
from lungwise.evaluation.decision import Decision
from lungwise.evaluation.intervals import Bootstrap, Statistic, Weights

Flags = NDArray[np.bool_]


def ratio(weights: Weights, part: Flags, whole: Flags) -> NDArray[np.float64]:
    """Weighted share of ``part`` within ``whole``, for each resample; NaN where ``whole`` is empty."""
    below = weights @ whole.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((weights @ (part & whole).astype(np.float64)) / below)


def f1(weights: Weights, truth: Flags, called: Flags) -> NDArray[np.float64]:
    """Harmonic mean of sensitivity and PPV of one class: 2 TP / (cases of it + calls of it)."""
    total = weights @ (truth.astype(np.float64) + called.astype(np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(2 * (weights @ (truth & called).astype(np.float64)) / total)


def auroc(weights: Weights, truth: Flags, score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area under the ROC curve: the chance that a case of the class scores above one that is not (ties count half).

    Args:
        weights: float64 [resamples, n].
        truth: bool [n].
        score: float64 [n], higher for the class.

    Returns:
        float64 [resamples], NaN where only one side is present.
    """
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) > 0]) if score.size else np.zeros(0, np.int64)
    sorted_weights = weights[:, order]
    yes = np.add.reduceat(sorted_weights * truth[order], starts, axis=1)
    no = np.add.reduceat(sorted_weights * ~truth[order], starts, axis=1)
    below = np.cumsum(no, axis=1) - 0.5 * no
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((yes * below).sum(axis=1) / (yes.sum(axis=1) * no.sum(axis=1)))


def _mean(statistics: list[Statistic], weights: Weights) -> NDArray[np.float64]:
    return np.asarray(np.mean([statistic(weights) for statistic in statistics], axis=0))


def class_statistics(cases: Cases, decided: NDArray[np.int64], column: int) -> dict[str, Statistic]:
    """The metrics of one class against the rest."""
    truth, called, everyone = cases.y == column, decided == column, np.ones(len(cases), bool)
    return {
        "sensitivity": partial(ratio, part=called, whole=truth),
        "specificity": partial(ratio, part=~called, whole=~truth),
        "ppv": partial(ratio, part=truth, whole=called),
        "npv": partial(ratio, part=~truth, whole=~called),
        "f1": partial(f1, truth=truth, called=called),
        "auroc": partial(auroc, truth=truth, score=cases.prob[:, column]),
        "prevalence": partial(ratio, part=truth, whole=everyone),
    }


def statistics(cases: Cases, decided: NDArray[np.int64]) -> Iterator[tuple[str, Statistic]]:
    """Every metric by name, for example ``accuracy`` and ``sensitivity/normal``."""
    everyone = np.ones(len(cases), bool)
    by_class = {name: class_statistics(cases, decided, column) for column, name in enumerate(cases.labels)}
    yield "accuracy", partial(ratio, part=decided == cases.y, whole=everyone)
    for name, key in (("balanced_accuracy", "sensitivity"), ("macro_f1", "f1"), ("macro_auroc", "auroc")):
        yield name, partial(_mean, [found[key] for found in by_class.values()])
    for label, found in by_class.items():
        for key, statistic in found.items():
            yield f"{key}/{label}", statistic


def confusion(cases: Cases, decided: NDArray[np.int64]) -> list[list[int]]:
    """Counts, row = true class, column = decision."""
    classes = len(cases.labels)
    table = np.zeros((classes, classes), dtype=int)
    np.add.at(table, (cases.y, decided), 1)
    counts: list[list[int]] = table.tolist()
    return counts


def measure(cases: Cases, decision: Decision, seed: int = 0) -> dict[str, Any]:
    """All metrics of some cases with patient-level 95 % intervals, ready for JSON.

    Args:
        cases: at least one case.
        decision: how probabilities become classes.
        seed: seed of the bootstrap.
    """
    return measure_decided(cases, decision.decide(cases.prob), seed)


def measure_decided(cases: Cases, decided: NDArray[np.int64], seed: int = 0) -> dict[str, Any]:
    """As :func:`measure`, for decisions that were made already.

    Args:
        cases: at least one case.
        decided: int64 [n], the column decided for.
        seed: seed of the bootstrap.
    """
    bootstrap = Bootstrap(cases.patient, seed=seed)
    weights = bootstrap.weights()
    overall: dict[str, Any] = {}
    by_class: dict[str, dict[str, Any]] = {name: {} for name in cases.labels}
    for name, statistic in statistics(cases, decided):
        key, _, label = name.partition("/")
        (by_class[label] if label else overall)[key] = bootstrap.estimate(statistic, weights).to_json()
    return {
        "images": len(cases),
        "patients": cases.patients,
        **overall,
        "classes": by_class,
        "confusion": confusion(cases, decided),
        "interval": f"95 % percentile bootstrap over patients, {bootstrap.resamples} resamples",
    }


def roc_points(cases: Cases, column: int) -> dict[str, list[float]]:
    """The ROC curve of one class: false positive rate and sensitivity, from (0, 0) to (1, 1)."""
    truth, score = cases.y == column, cases.prob[:, column]
    order = np.argsort(-score, kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(score[order])), len(score) - 1]
    hits, alarms = np.cumsum(truth[order])[ends], np.cumsum(~truth[order])[ends]
    yes, no = max(int(truth.sum()), 1), max(int((~truth).sum()), 1)
    return {"fpr": [0.0, *(alarms / no).tolist()], "tpr": [0.0, *(hits / yes).tolist()]}
