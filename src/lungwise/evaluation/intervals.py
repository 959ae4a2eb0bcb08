"""How sure is a number? BCa intervals from a bootstrap that draws whole patients.

Images of one patient are alike, so drawing images would promise more certainty than there is. A resample is written as a
weight for each patient (how often it was drawn); every metric is a function of such weights, and the estimate itself is the
metric at weight 1.

The interval is bias-corrected and accelerated (BCa): its two quantiles are moved by how far the resamples lie to one side of
the estimate, and by how skewed the influence of single patients is (the jackknife that leaves out one patient at a time).
The quantiles start from Student's t and not from the normal distribution, because resamples of few patients spread too
little. Percentile intervals fall short where figures are good: tests/properties/test_intervals_coverage.py has both.

Sources: Efron, "Better bootstrap confidence intervals", JASA 82, 1987; Efron and Tibshirani, "An Introduction to the
Bootstrap", 1993, ch. 13 and 14; Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69,
2015 (the wider quantiles).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import t as student

from lungwise.errors import several

Weights = NDArray[np.float64]
"""float64: of patients [patients, resamples], or of images [resamples, images] in a :data:`Statistic`."""
Counts = NDArray[np.uint16]
"""uint16 [resamples, images]: a quarter of what weights would take of memory."""
Figures = Callable[[Weights], NDArray[np.float64]]
"""From weights of patients [patients, resamples] to several figures of each resample [figures, resamples], NaN: undefined."""
Statistic = Callable[[Weights], NDArray[np.float64]]
"""From weights of images [resamples, images] to one value a resample, NaN where it is undefined."""

RESAMPLES = 2_000
FEWEST = 6
"""No resample of patients goes beyond the outermost of them, and five lie on one side of the truth in 2 / 2**5 = 6 of 100."""
METHOD = "95 % BCa bootstrap over patients, {resamples} resamples"

AGREE = "Resamples of the patients agree on this figure, so how sure it is remains unknown."
EMPTY = "No image enters this figure, so it is undefined."
RARE = "The figure is undefined in {share:.0f} % of the resamples, because too few patients enter it."

_CELLS = 320_000
"""Weights worked on at a time (resamples times patients): few enough for the processor's cache."""
_LEAST, _MOST = 8, 1000
"""Bounds of the resamples worked on at a time."""
_LEFT_OUT = 1000
"""The jackknife leaves out one patient at a time, or one of this many groups where there are more patients."""
_WORKERS = min(8, os.cpu_count() or 1)
_UNDEFINED = 0.025
"""With more undefined resamples than this, a whole tail of the interval could be missing."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; None where it is undefined.

    Args:
        value: on the cases as they are; None where no case enters it.
        low: lower end.
        high: upper end.
        reason: why something is None, or why the interval is not the bootstrap's; else "".
    """

    value: float | None
    low: float | None
    high: float | None
    reason: str = ""

    def __str__(self) -> str:
        if self.value is None:
            return "undefined"
        if self.low is None or self.high is None:
            return f"{self.value:.3f} [unknown]"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def to_json(self) -> dict[str, Any]:
        """The fields as a dictionary, without an empty reason."""
        found: dict[str, Any] = {"value": self.value, "low": self.low, "high": self.high}
        return {**found, "reason": self.reason} if self.reason else found


@dataclass(frozen=True)
class Sample:
    """What resampling found of several figures.

    Args:
        values: float64 [figures], on the cases as they are.
        draws: float64 [figures, resamples].
        left_out: float64 [figures, groups], each without one patient (or one group of them, where there are very many).
        patients: how many there are.
    """

    values: NDArray[np.float64]
    draws: NDArray[np.float64]
    left_out: NDArray[np.float64]
    patients: int

    def estimate(self, row: int) -> Estimate:
        """One figure with its interval, or with the reason why it has none."""
        value, draws = float(self.values[row]), self.draws[row]
        if not np.isfinite(value):
            return Estimate(None, None, None, EMPTY)
        if self.patients < FEWEST:
            return Estimate(value, None, None, few(self.patients))
        known = draws[np.isfinite(draws)]
        if len(known) < (1 - _UNDEFINED) * len(draws) or not len(known):
            return Estimate(value, None, None, RARE.format(share=100 * (1 - len(known) / max(len(draws), 1))))
        low, high = bca(value, known, self.left_out[row], self.patients)
        return Estimate(value, low, high) if high - low > _tie(value) else Estimate(value, None, None, AGREE)


def few(patients: int) -> str:
    """Why so few patients give no interval, in a sentence."""
    return f"{several(patients, 'patient', 'patients')} cannot show how much patients differ."


def bca(value: float, draws: NDArray[np.float64], left_out: NDArray[np.float64], patients: int) -> tuple[float, float]:
    """Ends of the 95 % BCa interval with Student's quantiles; the value itself always lies inside.

    Args:
        value: the estimate.
        draws: float64 [resamples], finite.
        left_out: float64 [groups], the estimate without each patient; NaN where it is undefined.
        patients: at least 2.
    """
    aside, tie = draws - value, _tie(value)
    below = (aside < -tie).mean() + (np.abs(aside) <= tie).mean() / 2
    bias = ndtri(np.clip(below, 1 / (len(draws) + 1), len(draws) / (len(draws) + 1)))
    z = bias + np.array([-1, 1]) * student.ppf(0.975, patients - 1) * np.sqrt(patients / (patients - 1))
    room = 1 - _acceleration(left_out) * z
    # Beyond the pole of the formula the quantile is the outermost one.
    moved = np.where(room > 0, bias + z / np.where(room > 0, room, 1.0), np.copysign(np.inf, z))
    low, high = np.quantile(draws, ndtr(moved))
    return min(float(low), value), max(float(high), value)


def _tie(value: float) -> float:
    """Figures nearer than this to such a value are equal: the rest is rounding."""
    return 1e-12 * max(1.0, abs(value))


def _acceleration(left_out: NDArray[np.float64]) -> float:
    """A sixth of the skewness of the sum of the patients' influences, 0 where none has any."""
    known = left_out[np.isfinite(left_out)]
    influence = known.mean() - known if len(known) else known
    square = float((influence**2).sum())
    return float((influence**3).sum()) / (6 * square**1.5) if square > _tie(0.0) ** 2 else 0.0


class Bootstrap:
    """Patient-level resamples of some images, the same for every metric, so that metrics can be compared.

    The draws depend on the patients' number and the seed only, not on how many processors there are.

    Args:
        patient: str [n], who each image belongs to.
        resamples: how many draws.
        seed: seed of the draws.
    """

    def __init__(self, patient: NDArray[np.str_], resamples: int = RESAMPLES, seed: int = 0) -> None:
        names, self.group = np.unique(patient, return_inverse=True)
        self.patients, self.resamples, self.seed = len(names), resamples, seed
        self._block = min(max(_CELLS // max(self.patients, 1), _LEAST), _MOST)
        # Without the only patient there would be nothing to compute a figure from.
        self._groups = min(self.patients, _LEFT_OUT) if self.patients > 1 else 0

    @property
    def method(self) -> str:
        """How intervals are made, in a line."""
        return METHOD.format(resamples=self.resamples)

    def sample(self, figures: Figures) -> Sample:
        """Figures as they are, of every resample, and without each patient.

        Args:
            figures: called with float64 [patients, b] for several b, from several threads; patients in the sorted order of
                their names, as in ``group``.
        """
        values = figures(np.ones((self.patients, 1)))[:, 0]
        drawn = _each(lambda start: figures(self._drawn(start)), self._starts(self.resamples))
        left_out = _each(lambda start: figures(self._without(start)), self._starts(self._groups))
        none = np.zeros((len(values), 0))
        return Sample(values, np.hstack([none, *drawn]), np.hstack([none, *left_out]), self.patients)

    def weights(self) -> Counts:
        """How often each image stands in each resample: uint16 [resamples, n]."""
        counts = np.zeros((self.resamples, len(self.group)), np.uint16)
        for start in self._starts(self.resamples):
            counts[start : start + self._block] = self._drawn(start).T[:, self.group]
        return counts

    def estimate(self, statistic: Statistic, weights: Counts | None = None) -> Estimate:
        """Any statistic of the images with its interval; pass ``weights()`` in to share them between many statistics."""
        if not self.patients:
            return Estimate(None, None, None, EMPTY)
        counts, none = self.weights() if weights is None else weights, np.zeros(0)
        step = max(_CELLS // len(self.group), _LEAST)
        blocks = (counts[start : start + step].astype(np.float64) for start in range(0, len(counts), step))
        draws = np.concatenate([none, *(statistic(block) for block in blocks)])
        left_out = (self._without(start).T[:, self.group] for start in self._starts(self._groups))
        without = np.concatenate([none, *(statistic(block) for block in left_out)])
        return Sample(statistic(np.ones((1, len(self.group)))), draws[None], without[None], self.patients).estimate(0)

    def _starts(self, number: int) -> range:
        return range(0, number if self.patients else 0, self._block)

    def _drawn(self, start: int) -> Weights:
        """Weights of the resamples from ``start`` on, one block: float64 [patients, b]."""
        rng, number = np.random.default_rng([self.seed, start]), min(self._block, self.resamples - start)
        counts = np.empty((number, self.patients))
        for row in counts:
            row[:] = np.bincount(rng.integers(0, self.patients, self.patients), minlength=self.patients)
        return np.ascontiguousarray(counts.T)

    def _without(self, start: int) -> Weights:
        """Weights 1 but for one group of patients each, from group ``start`` on: float64 [patients, b]."""
        member = np.arange(self.patients) % self._groups
        left = member[:, None] == np.arange(start, min(start + self._block, self._groups))
        return np.where(left, 0.0, 1.0)


def _each(work: Callable[[int], NDArray[np.float64]], starts: range) -> list[NDArray[np.float64]]:
    """The work of every block, on all processors where there are several blocks."""
    if len(starts) < 2:
        return [work(start) for start in starts]
    with ThreadPoolExecutor(_WORKERS) as pool:
        return list(pool.map(work, starts))
