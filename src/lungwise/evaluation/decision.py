"""From probabilities to a decision. A threshold is chosen on validation by a stated rule, never on test."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungwise.answer import decide
from lungwise.errors import DataError
from lungwise.evaluation.cases import Cases


@dataclass(frozen=True)
class Decision:
    """How a probability becomes a class.

    Args:
        rule: "youden" or "sensitivity" for two classes, "argmax" for more (or where validation lacks a class).
        positive: with a threshold, the column of the finding.
        threshold: decide for the finding when its probability is at least this.
        fitted_on: "validation", or "" when nothing was fitted.
    """

    rule: str = "argmax"
    positive: int = -1
    threshold: float = 0.5
    fitted_on: str = ""

    def decide(self, prob: NDArray[np.floating]) -> NDArray[np.int64]:
        """Columns decided for, int64 [n], from probabilities [n, classes]."""
        return decide(prob, self.rule, self.positive, self.threshold)

    def to_json(self) -> dict[str, Any]:
        """The fields as a dictionary."""
        return asdict(self)


@dataclass(frozen=True)
class Rule:
    """By which rule a threshold is chosen.

    Args:
        name: "youden" takes the threshold with the largest J = sensitivity + specificity - 1 (Youden 1950), which does
            not depend on how common the finding is, among equals the middle one; "sensitivity" takes the highest
            threshold that still finds the wanted share of the cases; "argmax" takes no threshold.
        sensitivity: the wanted share for "sensitivity", in (0, 1).

    Raises:
        DataError: an unknown name, or a share outside (0, 1).
    """

    name: str = "youden"
    sensitivity: float = 0.95

    def __post_init__(self) -> None:
        if self.name not in ("youden", "sensitivity", "argmax"):
            raise DataError(f"A threshold's rule must be youden, sensitivity or argmax, got '{self.name}'; correct --rule.")
        if not 0 < self.sensitivity < 1:
            raise DataError(f"The wanted sensitivity must lie between 0 and 1, got {self.sensitivity}; correct --sensitivity.")


def fit_decision(validation: Cases, rule: Rule | None = None) -> Decision:
    """Choose the decision on validation cases.

    A threshold exists with two classes only. With more, or where no threshold is better than none (J <= 0): the largest
    probability.

    Args:
        validation: the validation part.
        rule: by default Youden's.
    """
    rule = rule or Rule()
    positive = validation.labels.positive
    truth = validation.y == positive
    if rule.name == "argmax" or positive is None or truth.all() or not truth.any():
        return Decision()
    score = validation.prob[:, positive]
    order = np.argsort(score)
    found = np.cumsum(~truth[order]) / (~truth).sum() - np.cumsum(truth[order]) / truth.sum()
    # A threshold can only lie between two different scores; below the first and above the last J is 0.
    cuts = np.flatnonzero(np.diff(score[order]) > 0)
    if found[cuts].max(initial=0.0) <= 1e-12:
        return Decision()
    cut = _cut(rule, cuts, found, np.cumsum(truth[order]) / truth.sum())
    low, high = float(score[order][cut]) if cut >= 0 else 0.0, float(score[order][cut + 1])
    middle = float(1 / (1 + np.exp(-(_log_odds(low) + _log_odds(high)) / 2)))
    # Scores next to 0 or 1 can be closer than log-odds tell apart; the threshold must still divide them.
    return Decision(rule.name, positive, middle if low < middle <= high else high, "validation")


def _cut(rule: Rule, cuts: NDArray[np.int64], found: NDArray[np.float64], missed: NDArray[np.float64]) -> int:
    """Which cut between sorted scores the rule takes, -1 below all; ``missed`` is the share of cases at or below each."""
    if rule.name == "sensitivity":
        kept = cuts[1 - missed[cuts] >= rule.sensitivity - 1e-12]
        return int(kept[-1]) if len(kept) else -1
    best = cuts[found[cuts] >= found[cuts].max() - 1e-12]
    return int(best[len(best) // 2])


def _log_odds(p: float) -> float:
    clipped = min(max(float(p), 1e-12), 1 - 1e-12)
    return float(np.log(clipped / (1 - clipped)))
