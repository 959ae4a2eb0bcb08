"""From probabilities to a decision. A threshold is chosen on validation by a stated rule, never on test.

Where probabilities are calibrated, the decision is chosen on calibrated ones. For two classes a calibration keeps the order
of the images, and thresholds lie in the middle of two scores in log-odds, which a temperature only stretches: the decisions
stay the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungwise.answer import FLOOR, decide
from lungwise.errors import DataError
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.logarithms import checked
from lungwise.labels import LabelSet

RULES = ("youden", "sensitivity", "specificity", "cost", "argmax")


@dataclass(frozen=True)
class Decision:
    """How a probability becomes a class.

    Args:
        rule: "youden", "sensitivity", "specificity" or "cost" for two classes, "argmax" for more (or where validation lacks
            a class).
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
        name: "youden" takes the threshold with the largest J = sensitivity + specificity - 1 (Youden, Cancer 3, 1950), which
            does not depend on how common the finding is; "sensitivity" takes the highest threshold that still finds the wanted
            share of the cases; "specificity" the lowest that still leaves the wanted share of the others alone (1 where too
            many of these score exactly 1); "cost" the one with the smallest expected cost
            (Metz, Seminars in Nuclear Medicine 8, 1978), which may be to call all or none; "argmax" takes no threshold. Among
            equals the middle one is taken.
        sensitivity: the wanted share for "sensitivity", in (0, 1).
        specificity: the wanted share for "specificity", in (0, 1).
        miss_cost: for "cost", what a missed case costs when a false alarm costs 1, above 0.
        prevalence: for "cost", how common the finding is where the model will be used, in (0, 1); None takes validation's.

    Raises:
        DataError: an unknown name, a share outside (0, 1), or a cost that is not above 0.
    """

    name: str = "youden"
    sensitivity: float = 0.95
    specificity: float = 0.95
    miss_cost: float = 1.0
    prevalence: float | None = None

    def __post_init__(self) -> None:
        if self.name not in RULES:
            known = f"{', '.join(RULES[:-1])} or {RULES[-1]}"
            raise DataError(f"A threshold's rule must be {known}, got '{self.name}'; correct --rule.")
        for name in ("sensitivity", "specificity", "prevalence"):
            share = getattr(self, name)
            if share is not None and not 0 < share < 1:
                what = "prevalence" if name == "prevalence" else f"wanted {name}"
                raise DataError(f"The {what} must lie between 0 and 1, got {share}; correct --{name}.")
        if not 0 < self.miss_cost < float("inf"):
            raise DataError(f"The cost of a miss must be a number above 0, got {self.miss_cost}; correct --miss-cost.")

    def to_json(self) -> dict[str, Any]:
        """The name and the numbers that it uses."""
        used = {"sensitivity": ["sensitivity"], "specificity": ["specificity"], "cost": ["miss_cost", "prevalence"]}
        return {"name": self.name, **{name: getattr(self, name) for name in used.get(self.name, [])}}


def findings(labels: LabelSet) -> list[int]:
    """The columns worth a table of their own: of two classes the finding's, else all."""
    return list(range(len(labels))) if labels.positive is None else [labels.positive]


def fit_decision(validation: Cases, rule: Rule | None = None) -> Decision:
    """Choose the decision on validation cases.

    A threshold exists with two classes only. With more, or where no threshold is better than none (J <= 0): the largest
    probability.

    Args:
        validation: the validation part, with calibrated probabilities where there is a calibration.
        rule: by default Youden's.

    Raises:
        DataError: probabilities that are no distribution.
    """
    rule, positive = rule or Rule(), validation.labels.positive
    if positive is None:
        return Decision()
    chosen = choose_threshold(checked(validation.prob)[:, positive], validation.y == positive, rule)
    return Decision() if chosen is None else Decision(rule.name, positive, chosen, "validation")


def choose_threshold(score: NDArray[np.float64], truth: NDArray[np.bool_], rule: Rule) -> float | None:
    """The threshold that a rule takes; None for argmax, where a side is absent, or where none is better than chance.

    Args:
        score: float64 [n], probabilities of the finding.
        truth: bool [n].
        rule: how to choose.
    """
    if rule.name == "argmax" or truth.all() or not truth.any():
        return None
    order = np.argsort(score)
    ordered = score[order]
    missed, spared = np.cumsum(truth[order]) / truth.sum(), np.cumsum(~truth[order]) / (~truth).sum()
    # A threshold can only lie between two different scores; below the first and above the last J is 0.
    cuts = np.flatnonzero(np.diff(ordered) > 0)
    if (spared - missed)[cuts].max(initial=0.0) <= 1e-12:
        return None
    return _threshold(ordered, cuts, _cut(rule, cuts, missed, spared, float(truth.mean())))


def _threshold(ordered: NDArray[np.float64], cuts: NDArray[np.int64], cut: int) -> float:
    """In the middle between two scores in log-odds; outside all scores, as far as half the gap to the next one inside."""
    if cut == -1:
        low, near = _log_odds(ordered[0]), _log_odds(ordered[cuts[0] + 1])
        return min(_share(low - (near - low) / 2), float(ordered[0]))
    if cut == len(ordered) - 1:
        near, high = _log_odds(ordered[cuts[-1]]), _log_odds(ordered[-1])
        return max(_share(high + (high - near) / 2), float(np.nextafter(ordered[-1], 1.0)))
    low, high = float(ordered[cut]), float(ordered[cut + 1])
    middle = _share((_log_odds(low) + _log_odds(high)) / 2)
    # Scores next to 0 or 1 can be closer than log-odds tell apart; the threshold must still divide them.
    return middle if low < middle <= high else high


def _cut(rule: Rule, cuts: NDArray[np.int64], missed: NDArray[np.float64], spared: NDArray[np.float64], common: float) -> int:
    """Which cut a rule takes: the index of the last score below the threshold, -1 for calling all.

    Args:
        rule: any but argmax.
        cuts: where thresholds can lie.
        missed: share of the cases at or below each score.
        spared: share of the others at or below each score.
        common: the finding's share on validation.
    """
    if rule.name == "sensitivity":
        return int(cuts[1 - missed[cuts] >= rule.sensitivity - 1e-12].max(initial=-1))
    if rule.name == "specificity":
        return int(cuts[spared[cuts] >= rule.specificity - 1e-12].min(initial=len(spared) - 1))
    if rule.name == "youden":
        worth = spared[cuts] - missed[cuts]
    else:
        share = common if rule.prevalence is None else rule.prevalence
        odds = rule.miss_cost * share / (1 - share)
        cuts = np.r_[-1, cuts, len(spared) - 1]
        worth = (np.r_[0.0, spared][cuts + 1] - odds * np.r_[0.0, missed][cuts + 1]) / (1 + odds)
    best = cuts[worth >= worth.max() - 1e-12]
    return int(best[len(best) // 2])


def _log_odds(p: float) -> float:
    clipped = min(max(float(p), FLOOR), float(np.nextafter(1.0, 0.0)))
    return float(np.log(clipped) - np.log1p(-clipped))


def _share(log_odds: float) -> float:
    return float(1 / (1 + np.exp(-log_odds)))
