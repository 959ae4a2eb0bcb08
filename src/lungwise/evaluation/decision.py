"""From probabilities to a decision. A threshold is chosen on validation by a stated rule, never on test."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungwise.evaluation.cases import Cases


@dataclass(frozen=True)
class Decision:
    """How a probability becomes a class.

    Args:
        rule: "youden" for two classes, "argmax" for more (or where validation lacks a class).
        positive: with "youden", the column of the finding.
        threshold: with "youden", decide for the finding when its probability is at least this.
        fitted_on: "validation", or "" when nothing was fitted.
    """

    rule: str = "argmax"
    positive: int = -1
    threshold: float = 0.5
    fitted_on: str = ""

    def decide(self, prob: NDArray[np.floating]) -> NDArray[np.int64]:
        """Columns decided for, int64 [n], from probabilities [n, classes]."""
        if self.rule == "argmax":
            return np.asarray(prob.argmax(axis=1))
        return np.where(prob[:, self.positive] >= self.threshold, self.positive, 1 - self.positive)

    def to_json(self) -> dict[str, Any]:
        """The fields as a dictionary."""
        return asdict(self)


def fit_decision(validation: Cases) -> Decision:
    """Choose the decision on validation cases.

    With two classes: the threshold that maximises Youden's J = sensitivity + specificity - 1 (Youden 1950), which does
    not depend on how common the finding is; among equals the middle one in log-odds. With more classes: the largest
    probability.
    """
    positive = validation.labels.positive
    truth = validation.y == positive
    if positive is None or truth.all() or not truth.any():
        return Decision()
    score = validation.prob[:, positive]
    order = np.argsort(score)
    found = np.cumsum(~truth[order]) / (~truth).sum() - np.cumsum(truth[order]) / truth.sum()
    # A threshold can only lie between two different scores (or below the first: J = 0).
    cuts = np.flatnonzero(np.diff(score[order]) > 0)
    if cuts.size == 0:
        return Decision()
    best = cuts[found[cuts] >= found[cuts].max() - 1e-12]
    cut = int(best[len(best) // 2])
    low, high = (_log_odds(score[order][index]) for index in (cut, cut + 1))
    return Decision("youden", positive, float(1 / (1 + np.exp(-(low + high) / 2))), "validation")


def _log_odds(p: float) -> float:
    clipped = min(max(float(p), 1e-12), 1 - 1e-12)
    return float(np.log(clipped / (1 - clipped)))
