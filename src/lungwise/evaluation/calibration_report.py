"""What calibration did: every measure of it before and after, on cases that had no part in the fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import DataError
from lungwise.evaluation import cox
from lungwise.evaluation.calibration import Calibration, mean_of
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.decision import findings
from lungwise.evaluation.intervals import RESAMPLES, Bootstrap, Estimate, Weights
from lungwise.evaluation.logarithms import checked, log_loss
from lungwise.evaluation.reliability import Gaps, number_of_bins
from lungwise.evaluation.tally import LEAST

Matrix = NDArray[np.float64]

BARS = 20
"""Bars of a histogram of scores, each 0.05 wide."""
LOSSES = ("log_loss", "brier")
_WORK, _LEAST = 10_000_000, 500
"""Images times resamples that are worked through, and the fewest resamples."""


def describe(
    before: Cases, after: Cases, calibration: Calibration, seed: int = 0, resamples: int | None = None
) -> dict[str, Any]:
    """Calibration before and after, ready for ``metrics.json``.

    ``before`` and ``after`` of the result hold log_loss (nats), brier (sum over classes, 0 to 2), ece (top label), ece_debiased
    (the same as a root mean square with chance's share taken off), classwise_ece, and for each class ece, intercept, slope,
    reliability (bins) and histogram; ``change`` is after minus before, on the same resamples. Of two classes the finding
    stands for both.

    Args:
        before: test cases as the model predicts them, at least one.
        after: the same cases, calibrated.
        calibration: what was done to them.
        seed: seed of the bootstrap.
        resamples: of the bootstrap; by default 2,000, with more than 5,000 images fewer, down to 500, because every one fits
            two lines a class.

    Raises:
        DataError: no cases, other cases, or probabilities that are no distribution.
    """
    if not len(before) or len(before) != len(after) or (before.y != after.y).any():
        came = f"{len(before)} and {len(after)}"
        raise DataError(f"Calibration is measured on the same images before and after, at least one, got {came}; pass both.")
    affordable = min(RESAMPLES, max(_LEAST, _WORK // len(before)))
    bootstrap = Bootstrap(before.patient, resamples or affordable, seed)
    first = _Measures(before, bootstrap).measured()
    second = first if calibration.kind == "none" else _Measures(after, bootstrap).measured()
    changes = bootstrap.sample(mean_of(_losses(after) - _losses(before), bootstrap.group))
    change = {name: changes.estimate(row) for row, name in enumerate(LOSSES)}
    return {
        "calibration": calibration.to_json(),
        "images": len(before),
        "patients": before.patients,
        "bins": number_of_bins(len(before)),
        "before": first,
        "after": second,
        "change": {name: found.to_json() for name, found in change.items()},
        "notes": _notes(calibration, change["log_loss"]),
        "interval": f"{bootstrap.method}; percentiles less the noise of resampling for calibration errors; Wilson's for bins",
    }


def _losses(cases: Cases) -> Matrix:
    """Each case's log loss, and Brier's score (Monthly Weather Review 78, 1950): float64 [2, n]."""
    truth = np.eye(len(cases.labels))[cases.y]
    return np.stack([log_loss(cases.prob, cases.y, LEAST), ((cases.prob - truth) ** 2).sum(axis=1)])


def _notes(calibration: Calibration, change: Estimate) -> list[str]:
    """What a reader must know, in sentences."""
    if calibration.kind == "none":
        return [f"Nothing was calibrated. {calibration.reason}".strip()]
    if change.low is None or change.high is None:
        return []
    if change.low > 0:
        return [
            f"Calibration made the probabilities worse here (log loss by {change}): these images are not like the validation "
            "images it was fitted on, so none of these probabilities should be believed as they stand."
        ]
    if change.high < 0:
        return [f"Calibration made the probabilities better here (log loss by {change})."]
    return [f"Calibration changed little here: the log loss by {change}, which may be chance."]


class _Measures:
    """Every measure of some cases, from the same resamples."""

    def __init__(self, cases: Cases, bootstrap: Bootstrap) -> None:
        prob, group, bins = checked(cases.prob), bootstrap.group, number_of_bins(len(cases))
        columns = findings(cases.labels)
        self.names = [cases.labels.names[column] for column in columns]
        self.top = Gaps(prob.max(axis=1), prob.argmax(axis=1) == cases.y, bins, group)
        self.each = [Gaps(prob[:, column], cases.y == column, bins, group) for column in columns]
        self.lines = [cox.Line(cases.y == column, cox.log_odds(prob, column), group) for column in columns]
        self.losses = mean_of(_losses(cases), group)
        self.sample = bootstrap.sample(self.figures)

    def figures(self, weights: Weights) -> Matrix:
        """Losses, top-label and class-wise errors, then ece, intercept and slope a class: float64 [figures, resamples]."""
        each = [gaps.ece(weights) for gaps in self.each]
        rows = [self.top.ece(weights), self.top.square(weights), np.mean(each, axis=0)]
        lines = [line(weights) for line in self.lines]
        by_class = [np.stack([ece, *line]) for ece, line in zip(each, lines, strict=True)]
        return np.concatenate([self.losses(weights), np.stack(rows), *by_class])

    def measured(self) -> dict[str, Any]:
        """The measures as a dictionary."""
        plain = [self.sample.estimate(row).to_json() for row in range(len(self.sample.values))]
        number = len(LOSSES)
        found: dict[str, Any] = dict(zip(LOSSES, plain, strict=False))
        found["ece"] = self.error(number)
        found["ece_debiased"] = self.error(number + 1, self.top.noise(), root=True)
        found["classwise_ece"] = self.error(number + 2)
        found["classes"] = {}
        for place, (name, gaps) in enumerate(zip(self.names, self.each, strict=True)):
            row = number + 3 + 3 * place
            found["classes"][name] = {
                "ece": self.error(row),
                "intercept": plain[row + 1],
                "slope": plain[row + 2],
                "reliability": gaps.curve(),
                "histogram": np.histogram(gaps.score, BARS, (0, 1))[0].tolist(),
            }
        return found

    def error(self, row: int, noise: float = 0.0, *, root: bool = False) -> dict[str, Any]:
        """An error that cannot be negative; resampling adds noise to it once more, so its interval is moved back by that.

        Args:
            row: which figure.
            noise: taken off the error.
            root: give square roots.
        """
        plain, draws = self.sample.estimate(row), self.sample.draws[row]
        value = float(self.sample.values[row])
        ends = [] if plain.low is None else (np.quantile(draws, [0.025, 0.975]) - draws.mean() + value).tolist()
        found = [max(number - noise, 0.0) for number in (value, *ends)]
        found = np.sqrt(found).tolist() if root else found
        low, high = found[1:] if ends else (None, None)
        return Estimate(found[0], low, high, plain.reason).to_json()
