"""Probabilities as arrays: checked, and as logarithms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lungwise.answer import FLOOR
from lungwise.errors import DataError

Matrix = NDArray[np.float64]

_TOLERANCE = 1e-3


def checked(prob: NDArray[np.floating]) -> Matrix:
    """The same probabilities as float64 [n, classes].

    Args:
        prob: float [n, classes], rows >= 0 that sum to 1 (within 0.001).

    Raises:
        DataError: another shape, or a row that is no distribution (NaN included).
    """
    found = np.asarray(prob, np.float64)
    if found.ndim != 2 or found.shape[1] < 2:
        raise DataError(f"Probabilities must be a table of images by classes, got the shape {found.shape}; predict again.")
    off = np.flatnonzero(~(np.abs(found.sum(axis=1) - 1.0) < _TOLERANCE) | (found < 0).any(axis=1))
    if off.size:
        row = int(off[0])
        raise DataError(
            f"Probabilities of an image must be >= 0 and sum to 1, got {found[row].tolist()} in row {row + 1}; predict again."
        )
    return found


def log_prob(prob: NDArray[np.floating]) -> Matrix:
    """Natural logarithms, which are the logits up to a constant a row; 0 counts as the smallest float32, 1.4e-45.

    Args:
        prob: as for :func:`checked`.

    Returns:
        float64 [n, classes], finite.

    Raises:
        DataError: as :func:`checked`.
    """
    return np.log(np.maximum(checked(prob), FLOOR))


def log_loss(prob: NDArray[np.floating], y: NDArray[np.integer], least: float = FLOOR) -> Matrix:
    """Each case's log loss, -log p(true class), in nats: float64 [n].

    Args:
        prob: as for :func:`checked`.
        y: int [n], columns of the true classes.
        least: the probability that stands for 0.
    """
    return np.asarray(-np.log(np.maximum(checked(prob)[np.arange(len(y)), y], least)))
