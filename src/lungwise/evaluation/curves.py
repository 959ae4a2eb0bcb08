"""Areas under ROC and precision-recall curves of thousands of resamples from one sort of the scores.

Sorting does not depend on weights. So the scores are sorted once, and written as sparse sums that take the weights of patients
to the weight at every threshold; running sums over these give both areas of all resamples together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lungwise.evaluation.intervals import Weights

Flags = NDArray[np.bool_]
Scores = NDArray[np.float64]
Areas = tuple[NDArray[np.float64], NDArray[np.float64]]

_TINY = float(np.finfo(np.float64).tiny)


class Ranking:
    """The scores of one class against the rest, ready for any weights.

    Args:
        truth: bool [n].
        score: float64 [n], finite, higher for the class.
        group: int64 [n], to which patient each image belongs, 0 to ``patients`` - 1.
        patients: how many there are.
    """

    def __init__(self, truth: Flags, score: Scores, group: NDArray[np.int64], patients: int) -> None:
        thresholds, place = np.unique(-score, return_inverse=True)
        # Only scores that a case of the class has move a sum: the others count at the next of them.
        held = np.zeros(len(thresholds), bool)
        held[place[truth]] = True
        step = np.cumsum(held) - held
        steps = int(held.sum())
        tied = ~truth & held[place]
        rows, before = step[place], ~truth & (step[place] < steps)
        self.cases = _sums(rows[truth], group[truth], steps, patients)
        self.others = _sums(rows[before], group[before], steps, patients)
        ties, tie_rows = np.unique(rows[tied], return_inverse=True)
        self.ties, self.tied = ties, _sums(tie_rows, group[tied], len(ties), patients)
        self.rest = _sums(np.zeros((~truth).sum(), np.int64), group[~truth], 1, patients)

    def __call__(self, weights: Weights) -> Areas:
        """Area under the ROC curve, and average precision.

        The first is the chance that a case of the class scores above one that is not; ties count half. The second is the
        precision at each threshold, weighted by the sensitivity gained there; equal scores are one threshold.

        Args:
            weights: float64 [patients, resamples].

        Returns:
            Both as float64 [resamples], NaN where only one side is present.
        """
        cases, rest = self.cases @ weights, (self.rest @ weights)[0]
        hits, alarms = np.cumsum(cases, axis=0), np.cumsum(self.others @ weights, axis=0)
        total = cases.sum(axis=0)
        halves = (cases[self.ties] * (self.tied @ weights)).sum(axis=0) / 2
        above = total * rest - np.einsum("tr,tr->r", cases, alarms) + halves
        # In place, because fresh memory costs more than the arithmetic; what nobody reached has no precision and no weight.
        alarms += hits
        np.divide(hits, np.maximum(alarms, _TINY, out=alarms), out=alarms)
        with np.errstate(invalid="ignore", divide="ignore"):
            area, precision = above / (total * rest), np.einsum("tr,tr->r", cases, alarms) / total
        return area, np.where(rest > 0, precision, np.nan)


def _sums(rows: NDArray[np.int64], columns: NDArray[np.int64], height: int, width: int) -> csr_array:
    return csr_array((np.ones(len(rows)), (rows, columns)), shape=(height, width))
