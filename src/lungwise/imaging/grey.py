"""Decoded pixels of any depth and colour as one 8-bit grey picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lungwise.errors import ImageError
from lungwise.imaging.radiograph import Radiograph

PHOTOGRAPH = "its colours are those of a photograph"
"""Noted of a colour image whose colours are neither marks on a film nor the tint of one."""
_COLOUR_TOLERANCE = 16
_OFF_TINT, _LEAST_COLOURED = 8.0, 0.25
"""Grey values by which a colour differs visibly from a tint, and the share of such places from which on it is a photograph."""
_THUMB = 64
_BLOCK = 2**20
"""Pixels that are mapped at a time, because numpy needs eight bytes for each."""


def to_radiograph(pixels: NDArray[np.generic], inverted: bool, name: str) -> Radiograph:
    """Any decoded array to 8-bit grey, saying what was changed.

    Args:
        pixels: uint8 or uint16 [height, width] or [height, width, 3 or 4], in OpenCV's order of colours.
        inverted: whether white is 0 in deep pixels.
        name: how to call the image in an error.

    Raises:
        ImageError: the pixels are of another type.
    """
    notes = []
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"An image must have 8 or 16 bits a pixel, {name} has {pixels.dtype}; convert it first.")
    if pixels.dtype == np.uint16:
        alpha = (pixels[..., 3:] // 257).astype(np.uint8) if pixels.ndim == 3 else None
        pixels = full_range(pixels if alpha is None else pixels[..., :3])
        pixels = 255 - pixels if inverted else pixels
        pixels = pixels if alpha is None else np.concatenate([pixels, alpha], axis=2)
        notes.append("16-bit image without a window: its darkest to brightest value was mapped to black to white")
    if pixels.ndim == 3:
        pixels, said = _grey(pixels.astype(np.uint8, copy=False))
        notes += said
    return Radiograph(np.ascontiguousarray(pixels, dtype=np.uint8), tuple(notes))


def full_range(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Map the darkest value to 0 and the brightest to 255, linearly.

    Args:
        pixels: any shape, integer or float.

    Returns:
        uint8, same shape; all 0 when the input is constant.
    """
    low, high = float(pixels.min()), float(pixels.max())
    scale = 255.0 / (high - low) if high > low else 0.0
    mapped = np.empty(pixels.shape, np.uint8)
    rows = max(1, _BLOCK * len(pixels) // pixels.size)
    for at in range(0, len(pixels), rows):
        mapped[at : at + rows] = np.rint((pixels[at : at + rows].astype(np.float64) - low) * scale)
    return mapped


def _grey(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], list[str]]:
    """Luminance (ITU-R BT.601) of a BGR or BGRA image laid on black, and what is to be said of its colours."""
    blue, green, red, *alpha = cv2.split(pixels)
    if alpha and alpha[0].min() < 255:
        blue, green, red = (cv2.multiply(plane, alpha[0], scale=1 / 255) for plane in (blue, green, red))
        pixels = np.asarray(cv2.merge([blue, green, red]))
    spread = cv2.subtract(cv2.max(cv2.max(blue, green), red), cv2.min(cv2.min(blue, green), red))
    coloured = cv2.countNonZero(cv2.threshold(spread, _COLOUR_TOLERANCE, 255, cv2.THRESH_BINARY)[1]) > 0.01 * spread.size
    if not coloured and not spread.any():
        return np.asarray(blue, dtype=np.uint8), []  # grey three times over
    code = cv2.COLOR_BGR2GRAY if pixels.shape[2] == 3 else cv2.COLOR_BGRA2GRAY
    said = ["colour image converted to grey"] if coloured else []
    said += [PHOTOGRAPH] if coloured and _photographic(pixels) else []
    return np.asarray(cv2.cvtColor(pixels, code), dtype=np.uint8), said


def _photographic(pixels: NDArray[np.uint8]) -> bool:
    """Whether a BGR or BGRA image has many colours at the same brightness.

    A film that was photographed or printed has one tint, which changes smoothly with brightness; a cubic takes it away. Marks
    on a film are strong in colour but small.
    """
    small = cv2.resize(pixels, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)[..., :3]
    luma, *chroma = cv2.split(cv2.cvtColor(small, cv2.COLOR_BGR2YCrCb).astype(np.float64))
    powers = np.vander(luma.ravel() / 255, 4)
    colours = np.stack([plane.ravel() for plane in chroma], axis=1)
    left = colours - powers @ np.linalg.lstsq(powers, colours, rcond=None)[0]
    return bool((np.hypot(*left.T) > _OFF_TINT).mean() > _LEAST_COLOURED)
