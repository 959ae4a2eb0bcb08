"""Cox's recalibration line of one class: are its probabilities too high or too extreme?

The log-odds of the truth are regressed on the log-odds that were said. Slope 1 is right, below 1 the probabilities are too
extreme, above 1 too timid; the intercept, with the slope held at 1, is above 0 where they are too low on the whole. Sources:
Cox, "Two further applications of a model for binary regression", Biometrika 45, 1958; Van Calster et al., "Calibration: the
Achilles heel of predictive analytics", BMC Medicine 17, 2019.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from lungwise.answer import FLOOR
from lungwise.evaluation.intervals import Weights

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]

STEEPEST = 10.0
"""Slopes are cut here: what is steeper says no more than that few cases scored on the wrong side."""
_STEPS, _HALVINGS = 100, 40
_CLOSE, _ROUNDING, _TINY = 1e-8, 1e-12, 1e-300


def log_odds(prob: Vector, column: int) -> Vector:
    """Log-odds of one class against the rest: float64 [n], finite.

    The rest is summed, not taken from 1, so that a class which is all but certain keeps its differences.

    Args:
        prob: float64 [n, classes].
        column: the class.
    """
    rest = np.delete(prob, column, axis=1).sum(axis=1)
    return np.asarray(np.log(np.maximum(prob[:, column], FLOOR)) - np.log(np.maximum(rest, FLOOR)))


class Line:
    """Intercept and slope of one class, for any weights of patients.

    The intercept, with slope 1, is undefined where a side is absent. The slope is undefined also where scores part the sides
    wholly; a resample in which they do has no largest slope and counts as 10 (or -10), where every slope is cut.

    Args:
        truth: bool [n].
        said: float64 [n], log-odds.
        group: int [n], to which patient each image belongs, from 0 on.
    """

    def __init__(self, truth: Flags, said: Vector, group: NDArray[np.integer]) -> None:
        self.truth, self.said, self.group = truth, said, group
        ones, start = np.ones((len(said), 1)), np.array([[0.0], [1.0]])
        self.mixed = bool(truth.any() and not truth.all())
        self.sloped = self.mixed and not _parted(ones, truth, said).any()
        self.offset = _solve(ones, start, truth, said, slope=False) if self.mixed else start
        self.both = _solve(ones, start, truth, said, slope=True) if self.sloped else start

    def __call__(self, weights: Weights) -> Vector:
        """Intercept and slope: float64 [2, resamples], NaN where undefined.

        Args:
            weights: float64 [patients, resamples].
        """
        each = weights[self.group]
        cases = self.truth @ each
        both = (cases > 0) & (cases < each.sum(axis=0))
        found = np.full((2, weights.shape[1]), np.nan)
        if self.mixed:
            found[0, both] = _solve(each[:, both], self.offset, self.truth, self.said, slope=False)[0]
        if self.sloped:
            parted = _parted(each, self.truth, self.said)
            found[1, both] = np.where(parted > 0, STEEPEST, -STEEPEST)[both]
            fits = both & (parted == 0)
            slopes = _solve(each[:, fits], self.both, self.truth, self.said, slope=True)[1]
            found[1, fits] = np.clip(slopes, -STEEPEST, STEEPEST)
        return found


def _parted(weights: Weights, truth: Flags, said: Vector) -> NDArray[np.int64]:
    """Whether the drawn cases all score above the others (1), below (-1) or neither (0): int64 [resamples]."""
    drawn, score = weights > 0, said[:, None]
    lowest = [np.where(drawn & side[:, None], score, np.inf).min(axis=0) for side in (truth, ~truth)]
    highest = [np.where(drawn & side[:, None], score, -np.inf).max(axis=0) for side in (truth, ~truth)]
    return np.where(lowest[0] >= highest[1], 1, np.where(highest[0] <= lowest[1], -1, 0))


def _solve(weights: Weights, start: Vector, truth: Flags, said: Vector, *, slope: bool) -> Vector:
    """Intercept and slope with the largest likelihood, by Newton's method with shortened steps: float64 [2, resamples].

    Args:
        weights: float64 [n, resamples].
        start: float64 [2, 1].
        truth: bool [n].
        said: float64 [n], log-odds.
        slope: whether the slope is fitted too, or stays at 1.
    """
    happened, score, reach = truth.astype(np.float64)[:, None], said[:, None], np.abs(said).max()

    def loss(at: Vector) -> Vector:
        line = at[0] + score * at[1]
        return np.asarray((weights * (np.logaddexp(0, line) - happened * line)).sum(axis=0))

    at = np.repeat(start, weights.shape[1], axis=1)
    for _ in range(_STEPS):
        prob = expit(at[0] + score * at[1])
        step, gain = _step(weights * (happened - prob), weights * (prob * (1 - prob)), said, slope=slope)
        # A step that moves no log-odds by more than 1 cannot overshoot (Bach, Electronic Journal of Statistics 4, 2010).
        if (np.abs(step[0]) + np.abs(step[1]) * reach > 1).any():
            _shorten(step, at, loss)
        at += step
        # Beyond the cut it does not matter how much steeper it is.
        if ((gain < _CLOSE) | (np.abs(at[1]) > 3 * STEEPEST)).all():
            break
    return at


def _shorten(step: Vector, at: Vector, loss: Callable[[Vector], Vector]) -> None:
    """Halve each step until it does not make the loss larger."""
    now = loss(at)
    for _ in range(_HALVINGS):
        worse = loss(at + step) > now + _ROUNDING * np.maximum(now, 1)
        if not worse.any():
            break
        step[:, worse] /= 2


def _step(error: Vector, spread: Vector, said: Vector, *, slope: bool) -> tuple[Vector, Vector]:
    """Newton's step and the gain in log-likelihood that it promises, from weighted errors and variances [n, resamples]."""
    pull, bend = error.sum(axis=0), np.maximum(spread.sum(axis=0), _TINY)
    if not slope:
        return np.stack([pull / bend, np.zeros(len(bend))]), pull**2 / bend
    mixed, square, pulled = said @ spread, said**2 @ spread, said @ error
    area = np.maximum(bend * square - mixed**2, _TINY)
    step = np.asarray(np.stack([square * pull - mixed * pulled, bend * pulled - mixed * pull]) / area)
    return step, step[0] * pull + step[1] * pulled
