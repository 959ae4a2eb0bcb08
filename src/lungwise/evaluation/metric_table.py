"""All metrics of some cases at once, as a function of how often each patient is counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import DataError
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.curves import Ranking
from lungwise.evaluation.intervals import Weights
from lungwise.evaluation.tally import Tally

Columns = NDArray[np.int64]
"""int64 [n], the column decided for."""

OVERALL = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc", "macro_auprc", "kappa", "brier", "log_loss")
BY_CLASS = ("sensitivity", "specificity", "ppv", "npv", "f1", "auroc", "auprc", "brier", "prevalence")
MACRO = {"balanced_accuracy": "sensitivity", "macro_f1": "f1", "macro_auroc": "auroc", "macro_auprc": "auprc"}
"""Means over classes, and of what. One that cannot be judged makes the mean undefined: a mean of the others would flatter."""
_AREAS = ("auroc", "auprc")


class MetricTable:
    """All metrics of some cases, for any weights of their patients.

    ``names`` says which row is which: "accuracy", "sensitivity/normal" and the like.

    Args:
        cases: at least one case.
        decided: int64 [n], the column decided for.
        group: int64 [n], to which patient each image belongs, from 0 on without gaps; each image to its own when None.

    Raises:
        DataError: no case, a probability that is no finite number, or a column that is none of the classes.
    """

    def __init__(self, cases: Cases, decided: Columns, group: NDArray[np.int64] | None = None) -> None:
        check(cases, decided)
        group = np.arange(len(cases)) if group is None else group
        patients, self.labels = int(group.max()) + 1, cases.labels
        self.tally = Tally(cases, np.asarray(decided, np.int64), group, patients)
        self.rankings = [Ranking(cases.y == c, cases.prob[:, c], group, patients) for c in range(len(cases.labels))]
        self.names = (*OVERALL, *(f"{key}/{label}" for label in cases.labels for key in BY_CLASS))

    def __call__(self, weights: Weights) -> NDArray[np.float64]:
        """Every metric: float64 [names, resamples], NaN where undefined.

        Args:
            weights: float64 [patients, resamples].
        """
        overall, classes = self.tally(weights)
        areas = np.array([ranking(weights) for ranking in self.rankings])
        classes |= {name: areas[:, place] for place, name in enumerate(_AREAS)}
        overall |= {name: classes[key].mean(axis=0) for name, key in MACRO.items()}
        by_class = np.stack([classes[key] for key in BY_CLASS], axis=1)
        return np.concatenate([[overall[name] for name in OVERALL], by_class.reshape(-1, weights.shape[1])])

    def one(self, name: str, weights: Weights) -> NDArray[np.float64]:
        """One metric alone, sparing the work for the others: float64 [resamples].

        Args:
            name: one of ``names``.
            weights: float64 [resamples, patients], the other way round than for all metrics.
        """
        key, _, label = name.partition("/")
        part, columns = MACRO.get(key, key), np.ascontiguousarray(weights.T)
        rows = slice(self.labels.index(label), self.labels.index(label) + 1) if label else slice(None)
        if part in _AREAS:
            found = np.array([ranking(columns)[_AREAS.index(part)] for ranking in self.rankings[rows]])
            return np.asarray(found.mean(axis=0))
        overall, classes = self.tally(columns)
        return np.asarray(classes[part][rows].mean(axis=0) if label or key in MACRO else overall[key])


def check(cases: Cases, decided: Columns) -> None:
    """Refuse what no metric can be made of, with a DataError."""
    decided, classes = np.asarray(decided), len(cases.labels)
    if not len(cases):
        raise DataError("Metrics need at least one image, but there is none; evaluate a part that has some.")
    if decided.shape != cases.y.shape or cases.prob.shape != (len(cases), classes):
        raise DataError(
            f"Every image needs one decision and {classes} probabilities, got {decided.shape} decisions and probabilities "
            f"{cases.prob.shape} for {len(cases)} images; predict again."
        )
    bad = np.flatnonzero(~np.isfinite(cases.prob).all(axis=1))
    if bad.size:
        raise DataError(
            f"Probabilities must be finite numbers, {cases.image[bad[0]]} has {cases.prob[bad[0]].tolist()}; predict again."
        )
    for what, columns in (("label", cases.y), ("decision", decided)):
        wrong = np.flatnonzero((columns < 0) | (columns >= classes))
        if wrong.size:
            image, column = cases.image[wrong[0]], columns[wrong[0]]
            raise DataError(f"Every {what} must be a column of {list(cases.labels)}, {image} has {column}; correct it.")
