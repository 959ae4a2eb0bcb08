"""From the network's logits to an answer: the one place for probabilities and decisions, whichever door they leave by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

INTENDED_USE = "Research use only. Not a medical device; not for diagnosis or for decisions about patients."
"""The sentence that stands beside every result."""


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
