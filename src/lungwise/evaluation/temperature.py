"""The one temperature that fits some cases best, and how sure it is.

Source: Guo et al., "On calibration of modern neural networks", ICML 2017. The log loss is convex in 1/T, so the
temperature is the root of its slope; the interval is the sandwich formula with sums over patients (Liang and Zeger,
"Longitudinal data analysis using generalized linear models", Biometrika 73, 1986).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lungwise.answer import softmax
from lungwise.evaluation.exact import Z95

Matrix = NDArray[np.float64]

TEMPERATURES = (0.01, 1000.0)
"""Where a temperature is looked for."""
WIDEST = 2.0
"""A temperature is believed when its 95 % interval reaches at most this factor up and down."""


class TemperatureFit(NamedTuple):
    """A temperature, and what is wrong with it.

    Args:
        value: the best one; 1 where there is none.
        low: lower end of its 95 % interval.
        high: upper end.
        reason: in one sentence, why it is not to be believed; "" when it is.
    """

    value: float = 1.0
    low: float = 1.0
    high: float = 1.0
    reason: str = ""


def fit_temperature(logs: Matrix, y: NDArray[np.integer], patient: NDArray[np.str_]) -> TemperatureFit:
    """The temperature with the smallest log loss.

    Args:
        logs: float64 [n, classes], log-probabilities or logits, n >= 1.
        y: int [n], columns of the true classes.
        patient: str [n]; images of one patient count as one when the interval is made.
    """
    from scipy.optimize import brentq

    if np.ptp(logs, axis=0).max() == 0:
        return TemperatureFit(reason="Every validation image has the same probabilities, so no temperature can be told.")
    if (logs[np.arange(len(y)), y] == logs.max(axis=1)).all():
        return TemperatureFit(reason="Every validation image is decided rightly, so no temperature is too low for it.")
    coldest, hottest = (1 / limit for limit in TEMPERATURES)
    if _slopes(hottest, logs, y).sum() >= 0:
        return TemperatureFit(reason="The probabilities say nothing right about validation, so no temperature mends them.")
    if _slopes(coldest, logs, y).sum() <= 0:
        return TemperatureFit(
            reason=f"The best temperature on validation lies below {TEMPERATURES[0]}: too cold to be believed."
        )
    inverse = float(brentq(lambda beta: _slopes(beta, logs, y).sum(), hottest, coldest, xtol=1e-12, rtol=1e-12))
    factor = float(np.exp(Z95 * _log_error(inverse, logs, y, patient)))
    if not factor <= WIDEST:
        why = f"Validation is too small: the temperature {1 / inverse:.2f} fits best, but half or double of it may be as good."
        return TemperatureFit(1 / inverse, 1 / inverse / factor, factor / inverse, why)
    return TemperatureFit(1 / inverse, 1 / inverse / factor, factor / inverse)


def _slopes(inverse: float, logs: Matrix, y: NDArray[np.integer]) -> Matrix:
    """Each case's derivative of its log loss by 1/T: float64 [n]."""
    return np.asarray((softmax(logs, 1 / inverse) * logs).sum(axis=1) - logs[np.arange(len(y)), y])


def _log_error(inverse: float, logs: Matrix, y: NDArray[np.integer], patient: NDArray[np.str_]) -> float:
    """Standard error of log T, with images of one patient taken together."""
    prob = softmax(logs, 1 / inverse)
    centred = logs - (prob * logs).sum(axis=1, keepdims=True)
    bend = float((prob * centred**2).sum())
    _, group = np.unique(patient, return_inverse=True)
    sums = np.bincount(group, _slopes(inverse, logs, y))
    if len(sums) < 2 or bend <= 0:
        return float("inf")
    meat = float((sums**2).sum()) * len(sums) / (len(sums) - 1)
    return float(np.sqrt(meat) / bend / inverse)
