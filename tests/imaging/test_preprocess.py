"""One pure function from a Radiograph to the network's input."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from lungwise.imaging.preprocess import Preprocess, preprocess, resize, scale, to_input, to_square
from lungwise.imaging.radiograph import Radiograph

Fit = Literal["stretch", "pad", "crop"]


@pytest.fixture
def wide() -> Radiograph:
    pixels = np.full((40, 80), 100, np.uint8)
    pixels[:, :20] = 0
    pixels[:, 60:] = 255
    return Radiograph(pixels)


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("shape", [(40, 80), (80, 40), (64, 64), (33, 500), (41, 40)])
def test_every_shape_becomes_a_square(fit: Fit, shape: tuple[int, int]) -> None:
    square = to_square(Radiograph(np.full(shape, 7, np.uint8)), Preprocess(stored=32, fit=fit))
    assert (square.shape, square.dtype) == ((32, 32), np.uint8)


def test_stretch_keeps_all_of_the_picture(wide: Radiograph) -> None:
    assert to_square(wide, Preprocess(stored=40, fit="stretch"))[0, [0, 20, 39]].tolist() == [0, 100, 255]


def test_pad_puts_black_on_both_sides(wide: Radiograph) -> None:
    square = to_square(wide, Preprocess(stored=80, fit="pad"))
    assert square[[0, 19, 20, 59, 60, 79], 79].tolist() == [0, 0, 255, 255, 0, 0]


def test_crop_keeps_the_middle(wide: Radiograph) -> None:
    assert set(np.unique(to_square(wide, Preprocess(stored=40, fit="crop")))) == {100}


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    assert resize(pixels, 32) is pixels


@pytest.mark.parametrize("side", [16, 32, 50, 200])
def test_resizing_never_leaves_the_range_of_the_picture(side: int) -> None:
    pixels = np.random.default_rng(0).integers(60, 200, (48, 64), np.uint8)
    resized = resize(pixels, side)
    assert resized.shape == (side, side)
    assert (resized.min() >= pixels.min(), resized.max() <= pixels.max()) == (True, True)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_black_and_white_become_the_ends_of_the_range(low: float, high: float) -> None:
    found = scale(np.array([0, 255], np.uint8), Preprocess(low=low, high=high))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [low, high], rtol=0, atol=1e-5)


def test_the_input_has_one_channel(wide: Radiograph) -> None:
    found = preprocess(wide, Preprocess(stored=64, size=32))
    assert (found.shape, found.dtype) == ((32, 32, 1), np.float32)


def test_both_steps_at_once_are_the_two_steps(wide: Radiograph) -> None:
    spec = Preprocess(stored=64, size=48, low=-1)
    np.testing.assert_array_equal(preprocess(wide, spec), to_input(to_square(wide, spec), spec))


def test_the_radiograph_is_not_changed(wide: Radiograph) -> None:
    before: NDArray[np.uint8] = wide.pixels.copy()
    preprocess(wide, Preprocess(stored=32, size=32, fit="pad"))
    np.testing.assert_array_equal(wide.pixels, before)


@pytest.mark.parametrize("values", [{"stored": 16}, {"size": 4096}, {"fit": "squeeze"}, {"mean": 0.5}])
def test_a_specification_that_is_not_known_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Preprocess.model_validate(values)
