"""Arrays of more than 8 bits are shown in the range that is stated, and never in a guessed one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.errors import ImageError
from lungwise.inference.pixels import Pixels, from_array, from_pixels
from lungwise.inference.predictor import Predictor

RAMP = np.linspace(0, 4095, 64 * 40).reshape(40, 64)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32, np.float64])
def test_black_and_white_are_as_stated(kind: type) -> None:
    values = RAMP.round().astype(kind)
    shown = from_pixels(Pixels(values, 0, 4095)).pixels
    assert (shown.dtype, shown[0, 0], shown[-1, -1]) == (np.uint8, 0, 255)
    np.testing.assert_array_equal(shown, np.rint(values.astype(np.float64) / 4095 * 255))


def test_values_beyond_the_range_are_black_or_white() -> None:
    shown = from_pixels(Pixels(RAMP, 1000, 2000)).pixels
    assert (shown[RAMP <= 1000] == 0).all()
    assert (shown[RAMP >= 2000] == 255).all()


def test_black_above_white_inverts() -> None:
    np.testing.assert_array_equal(from_pixels(Pixels(RAMP, 4095, 0)).pixels, 255 - from_pixels(Pixels(RAMP, 0, 4095)).pixels)


def test_eight_bits_in_their_own_range_are_as_they_are(predictor: Predictor, greys: list[NDArray[np.uint8]]) -> None:
    assert predictor.predict(Pixels(greys[0], 0, 255)).probabilities == predictor.predict(greys[0]).probabilities


@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.float32, np.float64])
def test_a_deep_array_without_a_range_is_refused_with_the_cure(kind: type) -> None:
    rule = (
        r"^An array must be uint8 \[height, width\], got \w+ \[40, 64\], whose black and white are not known; "
        r"say them: lungwise\.Pixels"
    )
    with pytest.raises(ImageError, match=rule):
        from_array(RAMP.astype(kind))


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (Pixels(RAMP, 5, 5), "Black and white must be two different numbers, got 5 and 5"),
        (Pixels(RAMP, 0, float("nan")), "Black and white must be two different numbers, got 0 and nan"),
        (Pixels(np.where(RAMP > 9, np.nan, RAMP), 0, 1), "Pixels must be numbers, but some are not"),
        (Pixels(RAMP[..., None], 0, 1), "must be integer or floating [height, width], got float64 [40, 64, 1]"),
        (Pixels(RAMP > 5, 0, 1), "must be integer or floating [height, width], got bool [40, 64]"),
        (Pixels([[1]], 0, 1), "must be integer or floating [height, width], got list"),  # type: ignore[arg-type]
        (Pixels(RAMP[:31], 0, 1), "must have at least 32 pixels on each side, got [31, 64]"),
        (Pixels(np.broadcast_to(np.float32(0), (8000, 8000)), 0, 1), "must have at most 50000000 pixels, got [8000, 8000]"),
    ],
)
def test_what_is_no_picture_is_refused(pixels: Pixels, said: str) -> None:
    with pytest.raises(ImageError) as caught:
        from_pixels(pixels)
    assert said in str(caught.value)


def test_too_large_an_array_is_refused_as_a_file_is() -> None:
    huge: NDArray[Any] = np.broadcast_to(np.uint8(0), (8000, 8000))
    with pytest.raises(
        ImageError, match=r"^An array must have at most 50000000 pixels, got \[8000, 8000\]; shrink it first\.$"
    ):
        from_array(huge)
