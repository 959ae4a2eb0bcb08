"""Arrays as radiographs: 8 bits are grey as they are; deeper values need to be told what is black and what is white."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import ImageError
from lungwise.imaging.radiograph import Radiograph
from lungwise.imaging.read import MAX_PIXELS, MIN_SIDE


@dataclass(frozen=True, eq=False)
class Pixels:
    """Grey values of more than 8 bits, with what is black and what is white in them.

    Args:
        values: integer or floating [height, width].
        black: the value shown black, and all beyond it.
        white: the value shown white, and all beyond it. Less than ``black`` where high values are dark, as in MONOCHROME1.
    """

    values: NDArray[Any]
    black: float
    white: float


def from_array(pixels: NDArray[Any]) -> Radiograph:
    """Grey pixels, uint8 [height, width], as they are.

    Raises:
        ImageError: it is another array, too small or too large.
    """
    came = f"{pixels.dtype} {list(pixels.shape)}"
    if pixels.ndim == 2 and pixels.size and pixels.dtype != np.uint8 and pixels.dtype.kind in "iuf":
        raise ImageError(
            f"An array must be uint8 [height, width], got {came}, whose black and white are not known; "
            "say them: lungwise.Pixels(array, black=0, white=4095)."
        )
    if pixels.ndim != 2 or pixels.dtype != np.uint8 or not pixels.size:
        raise ImageError(f"An array must be uint8 [height, width], got {came}; convert it first.")
    _check_size(pixels)
    return Radiograph(np.ascontiguousarray(pixels))


def from_pixels(pixels: Pixels) -> Radiograph:
    """Stated black to 0 and stated white to 255, linear between, as DICOM's LINEAR_EXACT (PS3.3 C.11.2.1.3.2).

    Raises:
        ImageError: the values are no picture, or the range is none.
    """
    values, black, white = pixels.values, pixels.black, pixels.white
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf" or values.ndim != 2 or not values.size:
        came = f"{values.dtype} {list(values.shape)}" if isinstance(values, np.ndarray) else type(values).__name__
        raise ImageError(f"Pixels must be integer or floating [height, width], got {came}; convert them first.")
    _check_size(values)
    if not np.isfinite([black, white]).all() or black == white:
        raise ImageError(f"Black and white must be two different numbers, got {black} and {white}; state the values' range.")
    if not np.isfinite(values).all():
        raise ImageError("Pixels must be numbers, but some are not (NaN or infinite); replace them by the value of black.")
    share = (values.astype(np.float64) - black) / (white - black)
    return Radiograph(np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8))


def _check_size(values: NDArray[Any]) -> None:
    shape = list(values.shape)
    if min(shape) < MIN_SIDE:
        raise ImageError(f"An array must have at least {MIN_SIDE} pixels on each side, got {shape}; take the original.")
    if values.size > MAX_PIXELS:
        raise ImageError(f"An array must have at most {MAX_PIXELS} pixels, got {shape}; shrink it first.")
