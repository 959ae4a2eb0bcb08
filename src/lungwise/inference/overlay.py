"""A heat map as colours over its radiograph, with a plain colour bar."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Fit = Literal["stretch", "pad", "crop"]
_STRONGEST = 0.55
"""The opacity of the colours where the map is strongest."""


def overlay(pixels: NDArray[np.uint8], heat: NDArray[np.float32], fit: Fit = "stretch") -> NDArray[np.uint8]:
    """A heat map laid over the image, with a colour scale beside it.

    Args:
        pixels: uint8 [height, width].
        heat: float32 [rows, columns], at least 0; it is scaled to its own maximum.
        fit: how the image became the network's square; see :class:`lungwise.imaging.preprocess.Preprocess`.

    Returns:
        uint8 [height, width + scale, 3], BGR.
    """
    height, width = pixels.shape
    peak = float(heat.max(initial=0.0))
    scaled = heat / peak if peak > 0 else heat
    share = np.clip(_lay_out(scaled, height, width, fit), 0, 1)
    alpha = (_STRONGEST * share)[..., None]
    grey = np.repeat(pixels[..., None], 3, axis=2).astype(np.float32)
    laid = grey * (1 - alpha) + colours(share) * alpha
    return np.hstack([np.rint(laid).astype(np.uint8), _scale(height, max(24, width // 16))])


def _lay_out(heat: NDArray[np.float32], height: int, width: int, fit: Fit) -> NDArray[np.float32]:
    """A map of the network's square, resized to where that square lies on the image: float32 [height, width]."""
    if fit == "stretch":
        return np.asarray(cv2.resize(heat, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)
    side = max(height, width) if fit == "pad" else min(height, width)
    square = np.asarray(cv2.resize(heat, (side, side), interpolation=cv2.INTER_CUBIC), dtype=np.float32)
    top, left = abs(side - height) // 2, abs(side - width) // 2
    if fit == "pad":
        return square[top : top + height, left : left + width]
    canvas = np.zeros((height, width), np.float32)
    canvas[top : top + side, left : left + side] = square
    return canvas


def colours(share: NDArray[np.floating]) -> NDArray[np.float32]:
    """Colours of shares in [0, 1] on the "inferno" scale, float32 [..., 3], BGR."""
    steps = np.rint(np.asarray(share) * 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(steps, cv2.COLORMAP_INFERNO), dtype=np.float32)


def _scale(height: int, width: int) -> NDArray[np.uint8]:
    """A colour bar: weakest at the bottom, strongest at the top, on black."""
    bar = np.zeros((height, width, 3), np.uint8)
    ramp = np.linspace(1, 0, max(height - 2 * width // 3, 2), dtype=np.float32)[:, None]
    top = (height - ramp.shape[0]) // 2
    bar[top : top + ramp.shape[0], width // 3 : 2 * width // 3] = colours(np.repeat(ramp, width - 2 * (width // 3), axis=1))[
        :, : 2 * width // 3 - width // 3
    ]
    return bar
