"""Two cross-validations over the same folds, fold by fold."""

from __future__ import annotations

from math import sqrt
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t as student

from lungwise.evaluation.compare.runs import Evaluated

METRICS = ("accuracy", "balanced_accuracy", "macro_auroc")
ASSUMED = (
    "Folds share training images, so their differences are not independent. Interval and p-value enlarge the variance for it "
    "by test/training size (Nadeau and Bengio 2003; for repeated cross-validation Bouckaert and Frank 2004) and take the "
    "differences for normally distributed: an approximation. They speak of the recipes; the bootstrap over patients speaks of "
    "the trained models."
)
DESCRIBED = (
    "Every fold is another source. Sources are no random parts of one population, so their differences are shown and nothing "
    "is concluded from their spread."
)


def fold_by_fold(a: Evaluated, b: Evaluated) -> dict[str, Any] | None:
    """Differences (first minus second) of every fold, their mean, and what it says of the recipes.

    Args:
        a: a cross-validation.
        b: another, whose folds tested the same cases.

    Returns:
        None for single runs. "each" has repeat, fold, name and the differences; "mean" has of every metric "difference", "sd",
        "folds", "low", "high" and "p"; "assumes" says what these stand on.
    """
    if not a.folds or not b.folds:
        return None
    theirs = {(fold["repeat"], fold["fold"]): fold for fold in b.metrics["folds"]["each"]}
    each = [_one(fold, theirs[fold["repeat"], fold["fold"]]) for fold in a.metrics["folds"]["each"]]
    random = a.metrics["folds"].get("by") != "source"
    ratio = _size_ratio(a.metrics["folds"]["each"])
    mean = {metric: _corrected([fold[metric] for fold in each], ratio if random else None) for metric in METRICS}
    return {"each": each, "mean": mean, "assumes": ASSUMED if random else DESCRIBED}


def _one(mine: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    def minus(metric: str) -> float | None:
        return None if mine[metric] is None or other[metric] is None else mine[metric] - other[metric]

    name = mine.get("name") or f"fold {mine['fold']}"
    return {"repeat": mine["repeat"], "fold": mine["fold"], "name": name, **{metric: minus(metric) for metric in METRICS}}


def _size_ratio(folds: list[dict[str, Any]]) -> float:
    """Test images for each image that is not tested, on average over folds."""
    total: dict[int, int] = {}
    for fold in folds:
        total[fold["repeat"]] = total.get(fold["repeat"], 0) + fold["images"]
    return fmean(fold["images"] / max(total[fold["repeat"]] - fold["images"], 1) for fold in folds)


def _corrected(differences: list[float | None], ratio: float | None) -> dict[str, float | int | None]:
    """Mean with Nadeau and Bengio's corrected t interval.

    Source: Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52, 2003, section 5; Bouckaert and
    Frank, PAKDD 2004.

    Args:
        differences: of the folds, None where one is undefined.
        ratio: test size over training size; None gives no interval.
    """
    known = [value for value in differences if value is not None]
    number = len(known)
    mean, sd = (fmean(known) if known else None), (stdev(known) if number > 1 else None)
    found: dict[str, float | int | None] = {"difference": mean, "sd": sd, "folds": number, "low": None, "high": None, "p": None}
    if mean is None or sd is None or ratio is None or sd < 1e-12:
        return found
    error = sd * sqrt(1 / number + ratio)
    half = float(student.ppf(0.975, number - 1)) * error
    return {**found, "low": mean - half, "high": mean + half, "p": 2 * float(student.sf(abs(mean) / error, number - 1))}
