"""Are two runs different? Paired differences on the same cases, with tests that keep a patient's images together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from lungwise.errors import DataError
from lungwise.evaluation.compare.cases import Pair, matched
from lungwise.evaluation.compare.folds import fold_by_fold
from lungwise.evaluation.compare.runs import Evaluated
from lungwise.evaluation.decision import findings
from lungwise.evaluation.exact import Flags, Scores, components
from lungwise.evaluation.multiplicity import LEVEL, holm
from lungwise.evaluation.paired import delong_test, mcnemar, paired_bootstrap

METRICS = ("accuracy", "balanced_accuracy", "macro_auroc")
TESTED = ("accuracy", "macro_auroc")
"""Of which a p-value is given, each adjusted over all pairs."""


def compare_pairs(runs: Sequence[Evaluated], *, common: bool = False) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Every two runs that were tested on the same cases.

    Args:
        runs: the best first; a difference is the earlier one minus the later one.
        common: compare on the cases that both have, where they do not have the same.

    Returns:
        The pairs, ready for JSON: a, b, images, patients, note; accuracy, balanced_accuracy and macro_auroc, each with "a",
        "b", "difference", "low", "high" and, of the first and last, "p" and "adjusted_p"; "mcnemar"; "delong" by class;
        "folds" of cross-validations; "verdict". And those that cannot be paired: a, b, reason.
    """
    pairs, apart = [], []
    for a, b in combinations(runs, 2):
        try:
            pair = matched(a, b, common=common)
        except DataError as reason:
            apart.append({"a": a.name, "b": b.name, "reason": str(reason)})
            continue
        pairs.append({"a": a.name, "b": b.name, **compared(pair), "folds": fold_by_fold(a, b) if not pair.note else None})
    for metric in TESTED:
        for place, value in holm({place: pair[metric]["p"] for place, pair in enumerate(pairs)}).items():
            pairs[place][metric]["adjusted_p"] = value
    return [{**pair, "verdict": verdict(pair)} for pair in pairs], apart


def compared(pair: Pair) -> dict[str, Any]:
    """The differences of one pair (first minus second), with p-values that are not adjusted yet."""
    a, b = pair.a.cases, pair.b.cases
    right_a, right_b = pair.a.decided == a.y, pair.b.decided == a.y
    drawn = paired_bootstrap(a, b, pair.a.decided, pair.b.decided, METRICS)
    sides = [_values(cases, side.decided) for cases, side in ((a, pair.a), (b, pair.b))]
    found: dict[str, Any] = {}
    for metric in METRICS:
        one = drawn[metric]
        values = {"a": sides[0][metric], "b": sides[1][metric]}
        found[metric] = {**values, "difference": one.value, "low": one.low, "high": one.high}
    found["accuracy"]["p"] = swap_test(right_a, right_b, a.patient)
    found["macro_auroc"]["p"] = area_test(a.y, a.prob, b.prob, a.patient)
    present = [k for k in findings(a.labels) if 0 < (a.y == k).sum() < len(a)]
    return {
        "images": len(a),
        "patients": a.patients,
        "note": pair.note,
        **found,
        "mcnemar": mcnemar(right_a, right_b).to_json(),
        "delong": {a.labels.names[k]: delong_test(a.y == k, a.prob[:, k], b.prob[:, k]).to_json() for k in present},
    }


def _values(cases: Any, decided: NDArray[np.int64]) -> dict[str, float | None]:
    """The metrics of one side without intervals."""
    from lungwise.evaluation.metrics import statistics

    known, ones = dict(statistics(cases, decided)), np.ones((1, len(cases)))
    values = {metric: float(known[metric](ones)[0]) for metric in METRICS}
    return {metric: value if np.isfinite(value) else None for metric, value in values.items()}


def swap_test(right_a: Flags, right_b: Flags, patient: NDArray[np.str_]) -> float:
    """Exact two-sided p-value that two models are right equally often, when patients have several images.

    If the models were alike, exchanging their answers for any patient would change nothing. The surplus of right answers is
    compared with its distribution over all such exchanges (Fisher's randomisation test for pairs, "The Design of Experiments",
    1935, section 21, with patients as the pairs). With one image a patient it is McNemar's exact test.

    Args:
        right_a: bool [n], whether the first model is right.
        right_b: bool [n], whether the second is.
        patient: str [n].
    """
    _, owner = np.unique(patient, return_inverse=True)
    surplus = np.bincount(owner, right_a.astype(np.float64) - right_b)
    steps = np.abs(surplus[surplus != 0]).astype(np.int64)
    total = int(steps.sum())
    # chance[total + s] is the probability of a surplus of s.
    chance = np.zeros(2 * total + 1)
    chance[total] = 1.0
    for step in steps:
        chance = (np.roll(chance, step) + np.roll(chance, -step)) / 2
    seen = abs(int(surplus.sum()))
    at_least = np.abs(np.arange(-total, total + 1)) >= seen
    return min(1.0, float(chance[at_least].sum()))


def area_test(y: NDArray[np.int32], prob_a: Scores, prob_b: Scores, patient: NDArray[np.str_]) -> float | None:
    """Two-sided p-value that two models have the same mean AUROC over classes, when patients have several images.

    DeLong's components are added up by patient (Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics
    53, 1997). None where a class has no image, or the difference no spread.

    Args:
        y: int32 [n], true columns.
        prob_a: float64 [n, classes], of the first model.
        prob_b: float64 [n, classes], of the second.
        patient: str [n].
    """
    classes = prob_a.shape[1]
    if len(np.unique(y)) < classes:
        return None
    areas = [[_influence(y == k, prob[:, k]) for k in range(classes)] for prob in (prob_a, prob_b)]
    difference = float(np.mean([one[0] for one in areas[0]]) - np.mean([one[0] for one in areas[1]]))
    moved = np.mean([one[1] for one in areas[0]], axis=0) - np.mean([one[1] for one in areas[1]], axis=0)
    _, owner = np.unique(patient, return_inverse=True)
    each = np.bincount(owner, moved)
    variance = float((each**2).sum()) * len(each) / max(len(each) - 1, 1)
    if variance <= 1e-14 or len(each) < 2:
        return None
    return 2 * float(norm.sf(abs(difference) / sqrt(variance)))


def _influence(truth: Flags, score: Scores) -> tuple[float, Scores]:
    """An area, and what each image adds to its error."""
    found, influence = components(truth, score), np.empty(len(truth))
    influence[truth] = (found.cases - found.area) / len(found.cases)
    influence[~truth] = (found.others - found.area) / len(found.others)
    return found.area, influence


def verdict(pair: dict[str, Any]) -> str:
    """What a pair's adjusted p-values allow to say, differences first."""
    better: dict[str, list[str]] = {}
    none, unknown = [], []
    for metric, name in zip(TESTED, ("accuracy", "AUROC"), strict=True):
        found = pair[metric]
        if found["adjusted_p"] is None:
            unknown.append(name)
        elif found["adjusted_p"] < LEVEL:
            better.setdefault(pair["a"] if found["difference"] > 0 else pair["b"], []).append(name)
        else:
            none.append(name)
    said = [f"{side} is better in {' and '.join(names)}" for side, names in better.items()]
    said += [f"no difference in {' or '.join(none)} was shown"] if none else []
    return "; ".join(said + ([f"of {' and '.join(unknown)} nothing can be said"] if unknown else []))
