"""Dirichlet calibration: a linear map of log-probabilities with off-diagonal and intercept regularisation (ODIR).

q = softmax(W log p + b). With no off-diagonal entries it is vector scaling; with one value on the diagonal and no b it is
temperature scaling. For two classes it is beta calibration. Sources: Kull et al., "Beyond temperature scaling", NeurIPS
2019; Kull, Silva Filho and Flach, "Beta calibration", AISTATS 2017.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lungwise.answer import softmax
from lungwise.errors import require
from lungwise.evaluation.logarithms import log_loss

Matrix = NDArray[np.float64]
Rows = NDArray[np.int64]

STRENGTHS = ((0.001, 0.001), (0.01, 0.01), (0.1, 0.1), (1.0, 1.0), (10.0, 0.001))
"""Penalties of off-diagonal entries and of intercepts that are tried; the last leaves vector scaling with free intercepts."""

_DIAGONAL = (0.01, 100.0)
_OTHERS = (-100.0, 100.0)


class LinearMap(NamedTuple):
    """A map of log-probabilities.

    Args:
        matrix: float64 [classes, classes].
        bias: float64 [classes].
    """

    matrix: Matrix
    bias: Matrix

    def apply(self, logs: Matrix) -> Matrix:
        """Probabilities float64 [n, classes] from log-probabilities float64 [n, classes]."""
        return softmax(logs @ self.matrix.T + self.bias)


def patient_folds(y: NDArray[np.integer], patient: NDArray[np.str_], folds: int) -> Iterator[tuple[Rows, Rows]]:
    """Rows to learn from and rows to judge by, ``folds`` times, stratified by class, a patient on one side only.

    Args:
        y: int [n], columns of the true classes; each class has at least ``folds`` images.
        patient: str [n].
        folds: at least 2.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    yield from StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(np.zeros(len(y)), y, patient)


def fit_map(logs: Matrix, y: NDArray[np.integer], strength: tuple[float, float]) -> LinearMap:
    """The map with the smallest log loss and ODIR penalty.

    For two classes only differences between rows matter, so the off-diagonal entries stay 0 and the diagonal above it: the
    map is then monotone.

    Args:
        logs: float64 [n, classes], log-probabilities.
        y: int [n], columns of the true classes.
        strength: penalty of the mean squared off-diagonal entry, and of the mean squared intercept.
    """
    from scipy.optimize import minimize

    classes = logs.shape[1]
    others = (0.0, 0.0) if classes == 2 else _OTHERS
    entries = [_DIAGONAL if row == column else others for row in range(classes) for column in range(classes)]
    start = np.r_[np.eye(classes).ravel(), np.zeros(classes)]
    found: Any = minimize(
        _penalised,
        start,
        args=(logs, np.eye(classes)[y], strength),
        jac=True,
        method="L-BFGS-B",
        bounds=entries + [_OTHERS] * classes,
        options={"maxiter": 1000},
    )
    return LinearMap(found.x[: classes * classes].reshape(classes, classes), found.x[classes * classes :])


def _penalised(flat: Matrix, logs: Matrix, truth: Matrix, strength: tuple[float, float]) -> tuple[float, Matrix]:
    """Mean log loss with penalties, and its gradient."""
    images, classes = logs.shape
    matrix, bias = flat[: classes * classes].reshape(classes, classes), flat[classes * classes :]
    scaled = logs @ matrix.T + bias
    scaled -= scaled.max(axis=1, keepdims=True)
    raised = np.exp(scaled)
    total = raised.sum(axis=1, keepdims=True)
    side, number = matrix * (1 - np.eye(classes)), classes * (classes - 1)
    loss = (np.log(total).sum() - (scaled * truth).sum()) / images
    loss += strength[0] * (side**2).sum() / number + strength[1] * (bias**2).mean()
    error = (raised / total - truth) / images
    slope = error.T @ logs + 2 * strength[0] * side / number
    return float(loss), np.r_[slope.ravel(), error.sum(axis=0) + 2 * strength[1] * bias / classes]


def fit_dirichlet(logs: Matrix, y: NDArray[np.integer], patient: NDArray[np.str_], folds: int = 3) -> LinearMap:
    """The map whose strength of penalty has the smallest log loss by cross-validation over patients.

    Args:
        logs: float64 [n, classes], log-probabilities.
        y: int [n], columns of the true classes; each class has at least ``folds`` images.
        patient: str [n].
        folds: of the inner cross-validation.
    """
    losses = np.zeros(len(STRENGTHS))
    threads = require("threadpoolctl", "train", "calibrating")
    # A dozen numbers are no work for several threads: waking them would take a hundred times as long as the sums.
    with threads.threadpool_limits(1, user_api="blas"):
        for learn, judge in patient_folds(y, patient, folds):
            for index, strength in enumerate(STRENGTHS):
                prob = fit_map(logs[learn], y[learn], strength).apply(logs[judge])
                losses[index] += log_loss(prob, y[judge]).sum()
        return fit_map(logs, y, STRENGTHS[int(losses.argmin())])
