"""Every metric that is made of sums over images: one sparse product gives them for thousands of resamples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lungwise.evaluation.cases import Cases
from lungwise.evaluation.intervals import Weights

Found = dict[str, NDArray[np.float64]]

LEAST = float(np.finfo(np.float64).eps)
"""The probability that stands for 0 in a logarithm: a case that was held impossible costs 36, not everything."""


class Tally:
    """Sums of each patient: images by truth and decision, squared errors, log losses.

    Args:
        cases: n cases.
        decided: int64 [n], the column decided for.
        group: int64 [n], to which patient each image belongs, 0 to ``patients`` - 1.
        patients: how many there are.
    """

    def __init__(self, cases: Cases, decided: NDArray[np.int64], group: NDArray[np.int64], patients: int) -> None:
        self.classes = classes = len(cases.labels)
        truth = cases.y.astype(np.int64)
        rows = np.arange(len(cases))
        error = cases.prob.copy()
        error[rows, truth] -= 1
        loss = -np.log(np.maximum(cases.prob[rows, truth], LEAST))
        height = classes * classes + classes + 1
        place = [truth * classes + decided, *(np.full(len(cases), classes**2 + column) for column in range(classes))]
        place.append(np.full(len(cases), height - 1))
        value = np.concatenate([np.ones(len(cases)), *(error**2).T, loss])
        sums = (value, (np.concatenate(place), np.tile(group, classes + 2)))
        self.sums = csr_array(sums, shape=(height, patients))

    def __call__(self, weights: Weights) -> tuple[Found, Found]:
        """Metrics by name, NaN where undefined.

        Args:
            weights: float64 [patients, resamples].

        Returns:
            Those of all classes together, float64 [resamples]; and those of each, float64 [classes, resamples].
        """
        sums = self.sums @ weights
        cells = sums[: self.classes**2].reshape(self.classes, self.classes, -1)
        truth, called, hits = cells.sum(axis=1), cells.sum(axis=0), np.einsum("iir->ir", cells)
        total = truth.sum(axis=0)
        rest = total - truth - called + hits
        with np.errstate(invalid="ignore", divide="ignore"):
            accuracy, chance = hits.sum(axis=0) / total, (truth * called).sum(axis=0) / total**2
            errors = sums[self.classes**2 : -1] / total
            overall = {
                "accuracy": accuracy,
                "kappa": (accuracy - chance) / (1 - chance),
                "brier": errors.sum(axis=0),
                "log_loss": sums[-1] / total,
            }
            return overall, {
                "sensitivity": hits / truth,
                "specificity": rest / (total - truth),
                "ppv": hits / called,
                "npv": rest / (total - called),
                "f1": 2 * hits / (truth + called),
                "brier": errors,
                "prevalence": truth / total,
            }
