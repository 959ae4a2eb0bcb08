"""From the network's logits to an answer: the one place for probabilities and decisions, whichever door they leave by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

INTENDED_USE = "Research use only. Not a medical device; not for diagnosis or for decisions about patients."
"""The sentence that stands beside every result."""

FLOOR = float(np.finfo(np.float32).smallest_subnormal)
"""The smallest number above 0 in float32 (1.4e-45): a network's softmax that says 0 means less than this."""


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities from logits.

    Args:
        logits: float [n, classes].
        temperature: logits are divided by this first, above 0.

    Returns:
        float64 [n, classes], so that rows sum to 1 within rounding.
    """
    scaled = logits.astype(np.float64) / temperature
    shifted = np.exp(scaled - scaled.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def probabilities(
    logits: NDArray[np.floating], temperature: float = 1.0, matrix: Sequence[Sequence[float]] = (), bias: Sequence[float] = ()
) -> NDArray[np.float64]:
    """Calibrated probabilities from logits, as the evaluation calibrates stored probabilities: by their logarithms.

    Args:
        logits: float [n, classes].
        temperature: logarithms are divided by it, above 0; 1 together with a matrix.
        matrix: [classes][classes], or empty: a linear map of the logarithms (Dirichlet calibration), row = class to be.
        bias: [classes], added by that map.

    Returns:
        float64 [n, classes], so that rows sum to 1 within rounding. Without a temperature or a map this is the softmax.
    """
    plain = softmax(logits)
    if temperature == 1.0 and not len(matrix):
        return plain
    logs = np.log(np.maximum(plain, FLOOR))
    return softmax(logs @ np.array(matrix).T + np.array(bias) if len(matrix) else logs, temperature)


def in_set(prob: NDArray[np.floating], quantiles: Sequence[float]) -> NDArray[np.bool_]:
    """Which classes stand in each image's conformal set: those whose 1 - p is at most the class's quantile.

    Args:
        prob: float [n, classes], calibrated.
        quantiles: [classes], 0 to 1.

    Returns:
        bool [n, classes]; a row can be all False.
    """
    return np.asarray(1 - prob <= np.array(quantiles))


def decide(prob: NDArray[np.floating], rule: str, positive: int, threshold: float) -> NDArray[np.int64]:
    """Columns decided for.

    Args:
        prob: float [n, classes].
        rule: "argmax" takes the largest probability; with any other, two classes are divided by the threshold.
        positive: the column of the finding.
        threshold: the finding is decided for when its probability is at least this.

    Returns:
        int64 [n].
    """
    if rule == "argmax":
        return np.asarray(prob.argmax(axis=1))
    return np.where(prob[:, positive] >= threshold, positive, 1 - positive)
