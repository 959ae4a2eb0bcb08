"""Augmentation of training images: small changes of pose, exposure and device that a technician could have made.

No horizontal flip by default: the heart lies on the left, and mirroring makes a picture of a rare condition.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from lungwise.recipe import Augment

_LEAST_BLUR = 0.1
"""Pixels; less does not reach the neighbouring pixel."""


def augment(square: NDArray[np.uint8], spec: Augment, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One random variant of an image.

    Args:
        square: uint8 [side, side].
        spec: how far each change may go.
        rng: the source of randomness; the same state gives the same variant.

    Returns:
        uint8 [side, side]; borders that come into view repeat the edge.
    """
    side = square.shape[0]
    if spec.flip and rng.random() < 0.5:
        square = square[:, ::-1]
    matrix = _affine(spec, rng, side)
    pixels = cv2.warpAffine(
        np.ascontiguousarray(square), matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    contrast = 1.0 + rng.uniform(-spec.contrast, spec.contrast)
    brightness = 255.0 * rng.uniform(-spec.brightness, spec.brightness)
    gamma = math.exp(rng.uniform(-spec.gamma, spec.gamma))
    if spec.contrast or spec.brightness or spec.gamma:
        curve = (255.0 * (np.arange(256) / 255.0) ** gamma - 127.5) * contrast + 127.5 + brightness
        pixels = cv2.LUT(pixels, np.clip(np.rint(curve), 0, 255).astype(np.uint8))
    return _detector(np.asarray(pixels, dtype=np.uint8), spec, rng)


def _detector(pixels: NDArray[np.uint8], spec: Augment, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Sharpness and noise of another device, which a network otherwise takes for part of the illness."""
    if spec.blur:
        deviation = rng.uniform(0.0, spec.blur) * pixels.shape[0]
        if deviation > _LEAST_BLUR:
            pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), deviation), dtype=np.uint8)
    if spec.noise:
        deviation = 255.0 * rng.uniform(0.0, spec.noise)
        noisy = pixels + np.float32(deviation) * rng.standard_normal(pixels.shape, dtype=np.float32)
        pixels = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return pixels


def _affine(spec: Augment, rng: np.random.Generator, side: int) -> NDArray[np.float64]:
    """A 2 x 3 matrix about the centre: rotation, shear, zoom, shift, each drawn uniformly within its limit."""
    angle = math.radians(rng.uniform(-spec.rotation, spec.rotation))
    shear = rng.uniform(-spec.shear, spec.shear)
    zoom = 1.0 + rng.uniform(-spec.zoom, spec.zoom)
    shift = rng.uniform(-spec.shift, spec.shift, size=2) * side
    cos, sin, centre = zoom * math.cos(angle), zoom * math.sin(angle), (side - 1) / 2
    # Rotation times shear, written out: numpy's small matrices would take a tenth of the whole change.
    linear = ((cos, cos * shear - sin), (sin, sin * shear + cos))
    return np.array([(a, b, centre + move - (a + b) * centre) for (a, b), move in zip(linear, shift.tolist(), strict=True)])
