"""From a Radiograph to the network's input: one pure function, whoever asks.

Training store, prediction from Python, command line and service all call these functions with the ``Preprocess`` that
is kept in the data set and in the bundle, so that the same image gives the same array everywhere.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from lungwise.imaging.radiograph import Radiograph


class Preprocess(BaseModel):
    """How a radiograph becomes a network input, in two steps: stored square, then network square.

    Args:
        stored: side of the square that the data set keeps, in pixels.
        size: side of the network's input, in pixels, at most ``stored``.
        fit: "stretch" both sides to the square, "pad" the shorter with black, or "crop" the longer.
        low: input value of black.
        high: input value of white.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stored: int = Field(default=256, ge=32, le=2048)
    size: int = Field(default=256, ge=32, le=2048)
    fit: Literal["stretch", "pad", "crop"] = "stretch"
    low: float = 0.0
    high: float = 1.0


def enough(spec: Preprocess) -> int:
    """Pixels of the shorter side that a reader must deliver: twice the stored square, so that scaled decoding loses nothing."""
    return 2 * spec.stored


def to_square(radiograph: Radiograph, spec: Preprocess) -> NDArray[np.uint8]:
    """The square that a prepared data set keeps.

    Returns:
        uint8 [stored, stored].
    """
    pixels = radiograph.pixels
    height, width = pixels.shape
    if spec.fit == "pad":
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        pixels = np.pad(pixels, ((top, side - height - top), (left, side - width - left)))
    elif spec.fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        pixels = pixels[top : top + side, left : left + side]
    return resize(pixels, spec.stored)


def resize(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resize a uint8 image to ``side`` x ``side``: area averages where it shrinks, bilinear where it grows."""
    if pixels.shape == (side, side):
        return pixels
    shrinks = min(pixels.shape) >= side
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=interpolation), dtype=np.uint8)


def to_input(square: NDArray[np.uint8], spec: Preprocess) -> NDArray[np.float32]:
    """The network's input from a stored square.

    Args:
        square: uint8 [stored, stored].
        spec: the data set's or bundle's specification.

    Returns:
        float32 [size, size, 1] in [low, high].
    """
    return scale(resize(square, spec.size), spec)[..., None]


def scale(pixels: NDArray[np.uint8], spec: Preprocess) -> NDArray[np.float32]:
    """Grey values 0..255 to float32 in [low, high], any shape."""
    step = np.float32((spec.high - spec.low) / 255.0)
    return pixels.astype(np.float32) * step + np.float32(spec.low)


def preprocess(radiograph: Radiograph, spec: Preprocess) -> NDArray[np.float32]:
    """Both steps at once: float32 [size, size, 1] in [low, high]."""
    return to_input(to_square(radiograph, spec), spec)
