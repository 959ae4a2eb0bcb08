"""How sure is a number? Percentile intervals from a bootstrap that draws whole patients.

Images of one patient are alike, so drawing images would promise more certainty than there is. A resample is written as
a weight for each image (how often its patient was drawn); every metric is a function of such weights, and the estimate
itself is the metric at weight 1. Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]
"""float64 [resamples, images]."""
Statistic = Callable[[Weights], NDArray[np.float64]]
"""From weights to one value a resample, NaN where it is undefined."""

RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; None where it is undefined.

    Args:
        value: on the cases as they are.
        low: 2.5 % quantile over resamples.
        high: 97.5 % quantile over resamples.
    """

    value: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return "undefined"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def to_json(self) -> dict[str, Any]:
        """The fields as a dictionary."""
        return {"value": self.value, "low": self.low, "high": self.high}


class Bootstrap:
    """Patient-level resamples of some images, the same for every metric, so that metrics can be compared.

    Args:
        patient: str [n], who each image belongs to.
        resamples: how many draws.
        seed: seed of the draws.
    """

    def __init__(self, patient: NDArray[np.str_], resamples: int = RESAMPLES, seed: int = 0) -> None:
        _, self.group = np.unique(patient, return_inverse=True)
        self.resamples, self.seed = resamples, seed

    def weights(self) -> Weights:
        """How often each image stands in each resample: float64 [resamples, n]."""
        groups = int(self.group.max(initial=-1)) + 1
        rng = np.random.default_rng(self.seed)
        drawn = rng.multinomial(groups, np.full(groups, 1 / groups), size=self.resamples) if groups else np.zeros((0, 0))
        return drawn[:, self.group].astype(np.float64)

    def estimate(self, statistic: Statistic, weights: Weights | None = None) -> Estimate:
        """A statistic with its interval; pass ``weights()`` in to share them between many statistics."""
        value = float(statistic(np.ones((1, len(self.group))))[0]) if len(self.group) else float("nan")
        if not np.isfinite(value):
            return Estimate(None, None, None)
        draws = statistic(self.weights() if weights is None else weights)
        draws = draws[np.isfinite(draws)]
        low, high = np.quantile(draws, [0.025, 0.975]) if draws.size else (value, value)
        return Estimate(value, float(low), float(high))
