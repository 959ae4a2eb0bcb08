"""The grey-scale mathematics of DICOM: lookup tables, rescale and windows, as pure functions on arrays.

Every window maps to [0, 1]; the standard's output range y_min..y_max is a matter of the last step, to 8 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_EXPONENT = 700.0
"""Largest exponent that float64 holds is 709; a sigmoid is 0 or 1 long before."""


@final
@dataclass(frozen=True, eq=False)
class Lut:
    """A lookup table (PS3.3 C.11.1.1 for the modality, C.11.2.1.1 for the values of interest).

    Args:
        entries: uint16 [n], output values.
        first: input value that maps to ``entries[0]``.
        bits: significant bits of an entry, 8 to 16; white is ``2 ** bits - 1``.
    """

    entries: NDArray[np.uint16]
    first: int
    bits: int


@final
@dataclass(frozen=True)
class Rescale:
    """Stored value to modality units: ``slope * stored + intercept`` (PS3.3 C.11.1.1.2); the slope may be negative."""

    slope: float = 1.0
    intercept: float = 0.0


@final
@dataclass(frozen=True)
class Window:
    """One window (PS3.3 C.11.2.1.2).

    Args:
        center: in modality units.
        width: in modality units; at least 1 for LINEAR, above 0 for the others.
        function: "LINEAR", "LINEAR_EXACT" or "SIGMOID".
    """

    center: float
    width: float
    function: str = "LINEAR"


def window_linear(values: FloatArray, center: float, width: float) -> FloatArray:
    """LINEAR, the default window (PS3.3 C.11.2.1.2.1): ``(x - (c - 0.5)) / (w - 1) + 0.5``, clipped.

    Args:
        values: float64, any shape, in modality units.
        center: window centre, same units.
        width: window width, same units, at least 1; a width of 1 is a threshold.

    Returns:
        float64 in [0, 1], same shape.
    """
    if width == 1:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def window_linear_exact(values: FloatArray, center: float, width: float) -> FloatArray:
    """LINEAR_EXACT (PS3.3 C.11.2.1.3.2): ``(x - c) / w + 0.5``, clipped.

    Args:
        values: float64, any shape, in modality units.
        center: window centre, same units.
        width: window width, same units, above 0.

    Returns:
        float64 in [0, 1], same shape.
    """
    return np.clip((values - center) / width + 0.5, 0.0, 1.0)


def window_sigmoid(values: FloatArray, center: float, width: float) -> FloatArray:
    """SIGMOID (PS3.3 C.11.2.1.3.1): ``1 / (1 + exp(-4 (x - c) / w))``.

    Args:
        values: float64, any shape, in modality units.
        center: value that becomes mid-grey, same units.
        width: window width, same units, above 0.

    Returns:
        float64 in (0, 1), same shape.
    """
    exponent = np.clip(-4.0 * (values - center) / width, -_EXPONENT, _EXPONENT)
    return np.asarray(1.0 / (1.0 + np.exp(exponent)), dtype=np.float64)


WINDOWS: dict[str, Callable[[FloatArray, float, float], FloatArray]] = {
    "LINEAR": window_linear,
    "LINEAR_EXACT": window_linear_exact,
    "SIGMOID": window_sigmoid,
}
"""Values of (0028,1056) VOI LUT Function (PS3.3 C.11.2.1.3)."""


def apply_lut(values: FloatArray, lut: Lut) -> FloatArray:
    """Look values up; those outside the table take its first or last entry (PS3.3 C.11.1.1, C.11.2.1.1).

    Args:
        values: float64, any shape, rounded to the nearest integer before the look-up.
        lut: the table.

    Returns:
        float64 in [0, 2 ** bits - 1], same shape.
    """
    index = np.clip(np.rint(values) - lut.first, 0, len(lut.entries) - 1).astype(np.intp)
    return np.asarray(lut.entries[index], dtype=np.float64)


def to_modality(values: FloatArray, modality: Lut | Rescale) -> FloatArray:
    """Stored values to modality units, float64, same shape (PS3.3 C.11.1)."""
    if isinstance(modality, Lut):
        return apply_lut(values, modality)
    return np.asarray(values * modality.slope + modality.intercept, dtype=np.float64)


def to_display(values: FloatArray, voi: Lut | Window) -> FloatArray:
    """Modality units to [0, 1], float64, same shape (PS3.3 C.11.2)."""
    if isinstance(voi, Lut):
        return np.clip(apply_lut(values, voi) / (2.0**voi.bits - 1.0), 0.0, 1.0)
    window = WINDOWS[voi.function]
    return window(values, voi.center, voi.width)


def stretch(values: FloatArray, low: float, high: float) -> FloatArray:
    """Map ``low``..``high`` to [0, 1] linearly and clip; all 0 when the range is empty."""
    if high <= low:
        return np.zeros_like(values)
    return np.clip((values - low) / (high - low), 0.0, 1.0)
