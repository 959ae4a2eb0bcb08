"""How good are the decisions and probabilities? All metrics of some cases, with intervals, ready for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from lungwise.evaluation.beside import beside
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.decision import Decision
from lungwise.evaluation.intervals import RESAMPLES, Bootstrap, Estimate, Sample, Statistic
from lungwise.evaluation.metric_table import BY_CLASS, MACRO, OVERALL, Columns, MetricTable
from lungwise.evaluation.prevalence import at_prevalence, check_prevalence
from lungwise.evaluation.scarce import filled


def statistics(cases: Cases, decided: Columns) -> Iterator[tuple[str, Statistic]]:
    """Every metric by name, for example ``accuracy`` and ``sensitivity/normal``, as a function of weights of images."""
    table = MetricTable(cases, decided)
    for name in table.names:
        yield name, partial(table.one, name)


def resampled(cases: Cases, decided: Columns, bootstrap: Bootstrap) -> tuple[tuple[str, ...], Sample]:
    """The names of all metrics, and what resampling patients found of them."""
    table = MetricTable(cases, decided, bootstrap.group)
    return table.names, bootstrap.sample(table)


def estimates(cases: Cases, decided: Columns, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Estimate]:
    """Every metric by name with its patient-level 95 % interval.

    Args:
        cases: at least one case.
        decided: int64 [n], the column decided for.
        resamples: how many draws.
        seed: seed of the draws.

    Raises:
        DataError: no case, a probability that is no finite number, or a column that is none of the classes.
    """
    names, sample = resampled(cases, decided, Bootstrap(cases.patient, resamples, seed))
    return _estimates(cases, decided, names, sample)


def _estimates(cases: Cases, decided: Columns, names: tuple[str, ...], sample: Sample) -> dict[str, Estimate]:
    return filled({name: sample.estimate(row) for row, name in enumerate(names)}, cases, decided, MACRO)


def confusion(cases: Cases, decided: Columns) -> list[list[int]]:
    """Counts, row = true class, column = decision."""
    classes = len(cases.labels)
    table = np.zeros((classes, classes), dtype=int)
    np.add.at(table, (cases.y, decided), 1)
    counts: list[list[int]] = table.tolist()
    return counts


def measure(cases: Cases, decision: Decision, seed: int = 0, prevalence: Mapping[str, float] | None = None) -> dict[str, Any]:
    """All metrics of some cases with patient-level 95 % intervals, ready for JSON.

    Args:
        cases: at least one case.
        decision: how probabilities become classes.
        seed: seed of the bootstrap.
        prevalence: how common classes are where the model is to be used, in (0, 1): adds PPV and NPV there.

    Raises:
        DataError: no case, a bad probability, or a prevalence of an unknown class or outside (0, 1).
    """
    return measure_decided(cases, decision.decide(cases.prob), seed, prevalence)


def measure_decided(
    cases: Cases, decided: Columns, seed: int = 0, prevalence: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """As :func:`measure`, for decisions that were made already.

    Args:
        cases: at least one case.
        decided: int64 [n], the column decided for.
        seed: seed of the bootstrap.
        prevalence: of classes where the model is to be used, in (0, 1).
    """
    check_prevalence(prevalence or {}, cases.labels)
    bootstrap = Bootstrap(cases.patient, seed=seed)
    names, sample = resampled(cases, decided, bootstrap)
    found = _estimates(cases, decided, names, sample)
    overall = {name: found[name].to_json() for name in OVERALL}
    by_class: dict[str, dict[str, Any]] = {}
    for label in cases.labels:
        share = (prevalence or {}).get(label)
        adjusted = None if share is None else at_prevalence(label, share, names, sample, found)
        by_class[label] = {**{key: found[f"{key}/{label}"].to_json() for key in BY_CLASS}, "at_prevalence": adjusted}
    counts = confusion(cases, decided)
    return {
        "images": len(cases),
        "patients": cases.patients,
        **overall,
        "classes": by_class,
        "confusion": counts,
        "interval": bootstrap.method,
        "exact": beside(cases, counts, found),
    }


def roc_points(cases: Cases, column: int) -> dict[str, list[float]]:
    """The ROC curve of one class: false positive rate and sensitivity, from (0, 0) to (1, 1)."""
    truth, score = cases.y == column, cases.prob[:, column]
    order = np.argsort(-score, kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(score[order])), len(score) - 1]
    hits, alarms = np.cumsum(truth[order])[ends], np.cumsum(~truth[order])[ends]
    yes, no = max(int(truth.sum()), 1), max(int((~truth).sum()), 1)
    return {"fpr": [0.0, *(alarms / no).tolist()], "tpr": [0.0, *(hits / yes).tolist()]}
