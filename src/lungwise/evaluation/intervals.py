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

Counts = NDArray[np.uint16]
"""uint16 [resamples, images]: a quarter of what weights would take of memory."""
Weights = NDArray[np.float64]
"""float64 [resamples, images]."""
Statistic = Callable[[Weights], NDArray[np.float64]]
"""From weights to one value a resample, NaN where it is undefined."""

RESAMPLES = 2000
_BLOCK = 100
"""Resamples that are worked on at a time: a hundred thousand images then need tens of megabytes, not gigabytes."""


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

    def weights(self) -> Counts:
        """How often each image stands in each resample: uint16 [resamples, n]."""
        groups = int(self.group.max(initial=-1)) + 1
        rng = np.random.default_rng(self.seed)
        counts = np.zeros((self.resamples, len(self.group)), np.uint16)
        for start in range(0, self.resamples if groups else 0, _BLOCK):
            block = counts[start : start + _BLOCK]
            block[:] = rng.multinomial(groups, np.full(groups, 1 / groups), size=len(block))[:, self.group]
        return counts

    def estimate(self, statistic: Statistic, weights: Counts | None = None) -> Estimate:
        """A statistic with its interval; pass ``weights()`` in to share them between many statistics."""
        value = float(statistic(np.ones((1, len(self.group))))[0]) if len(self.group) else float("nan")
        if not np.isfinite(value):
            return Estimate(None, None, None)
        counts = self.weights() if weights is None else weights
        blocks = (counts[start : start + _BLOCK] for start in range(0, len(counts), _BLOCK))
        draws = np.concatenate([np.zeros(0), *(statistic(block.astype(np.float64)) for block in blocks)])
        draws = draws[np.isfinite(draws)]
        low, high = np.quantile(draws, [0.025, 0.975]) if draws.size else (value, value)
        return Estimate(value, float(low), float(high))
