"""Where did the network look? Heat maps from the one forward pass that made the prediction.

The head is pool, Dense, ReLU, batch norm, Dense, so the derivative of a logit by the feature map has a closed form and
needs no automatic differentiation. After convolutions alone the map is Grad-CAM. Behind a transformer's global attention the
last map's positions are mixed from the whole film, and Grad-CAM does not say from where.

Source: Selvaraju et al., "Grad-CAM", 2017, arXiv 1610.02391.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lungwise.bundle.head import HeadWeights
from lungwise.inference.overlay import Fit, overlay

__all__ = ["Fit", "grad_cam", "overlay"]


def grad_cam(
    features: NDArray[np.float32], embedding: NDArray[np.float32], head: HeadWeights, pool: str, column: int
) -> NDArray[np.float32]:
    """The Grad-CAM of one class for one image.

    Args:
        features: float32 [rows, columns, channels], the last feature map.
        embedding: float32 [channels], or [rows * columns * channels] for a flattened map.
        head: the head's weights.
        pool: "average" or "flatten".
        column: the class.

    Returns:
        float32 [rows, columns], at least 0, in logit units a position.
    """
    weights = _gradient(features, embedding, head, pool, column).mean(axis=(0, 1))
    return np.asarray(np.maximum(features @ weights, 0.0), dtype=np.float32)


def _gradient(
    features: NDArray[np.float32], embedding: NDArray[np.float32], head: HeadWeights, pool: str, column: int
) -> NDArray[np.float32]:
    """Derivative of a class' logit by the feature map: float32 [rows, columns, channels], or [1, 1, channels]."""
    gradient = head.gradient(embedding[None], column)[0]
    if pool == "flatten":
        return np.asarray(gradient.reshape(features.shape), dtype=np.float32)
    return np.asarray(gradient[None, None] / (features.shape[0] * features.shape[1]), dtype=np.float32)
