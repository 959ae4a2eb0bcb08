"""Grad-CAM against a derivative by brute force, and the picture made of it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.bundle.head import HeadWeights
from lungwise.inference.explain import grad_cam, overlay
from tests.bundle_factory import CHANNELS, GRID, make_head, numpy_head


def brute_force(features: NDArray[np.float32], head: HeadWeights, pool: str, column: int) -> NDArray[np.float64]:
    """Selvaraju et al. 2017, equations 1 and 2, with central differences through pool and head."""
    gradient, step = np.zeros(features.shape), 1e-5
    for place in np.ndindex(features.shape):
        moved = np.zeros(features.shape)
        moved[place] = step
        higher, lower = (numpy_head((features + sign * moved)[None], head, pool)[1][0, column] for sign in (1, -1))
        gradient[place] = (higher - lower) / (2 * step)
    return np.maximum(features.astype(np.float64) @ gradient.mean(axis=(0, 1)), 0)


@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("hidden", [0, 5])
@pytest.mark.parametrize("pool", ["average", "flatten"])
def test_it_equals_the_derivative_by_finite_differences(pool: str, hidden: int, norm: bool, column: int) -> None:
    head = make_head(pool, hidden, norm=norm, seed=4)
    features = np.random.default_rng(6).uniform(0, 2, (GRID, GRID, CHANNELS)).astype(np.float32)
    embedding = numpy_head(features[None], head, pool)[0][0].astype(np.float32)
    found = grad_cam(features, embedding, head, pool, column)
    assert (found.shape, found.dtype) == ((GRID, GRID), np.float32)
    np.testing.assert_allclose(found, brute_force(features, head, pool, column), rtol=1e-3, atol=1e-5)


def test_a_map_that_is_not_square_keeps_its_shape() -> None:
    features = np.random.default_rng(0).uniform(0, 1, (2, 5, CHANNELS)).astype(np.float32)
    found = grad_cam(features, features.mean(axis=(0, 1)), make_head(), "average", 0)
    assert found.shape == (2, 5)


def test_what_speaks_against_the_class_is_not_shown() -> None:
    head = make_head(hidden=0)
    head.w2[:] = [[-1, 1]] * CHANNELS
    features = np.ones((GRID, GRID, CHANNELS), np.float32)
    assert not grad_cam(features, np.ones(CHANNELS, np.float32), head, "average", 0).any()
    assert (grad_cam(features, np.ones(CHANNELS, np.float32), head, "average", 1) > 0).all()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (40, 700), (700, 40), (33, 57)])
def test_the_picture_has_the_image_and_a_scale(height: int, width: int) -> None:
    heat = np.random.default_rng(0).uniform(0, 1, (4, 4)).astype(np.float32)
    found = overlay(np.full((height, width), 90, np.uint8), heat)
    assert (found.shape, found.dtype) == ((height, width + max(24, width // 16), 3), np.uint8)


def test_a_zero_map_leaves_the_image_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    found = overlay(pixels, np.zeros((4, 4), np.float32))
    np.testing.assert_array_equal(found[:, :50], np.repeat(pixels[..., None], 3, axis=2))


def test_the_picture_does_not_depend_on_the_unit_of_the_map() -> None:
    pixels = np.full((40, 40), 90, np.uint8)
    heat = np.eye(4, dtype=np.float32)
    np.testing.assert_array_equal(overlay(pixels, heat), overlay(pixels, 1000 * heat))


def test_colour_is_where_the_map_is_strong() -> None:
    heat = np.zeros((4, 4), np.float32)
    heat[0, 3] = 1
    colour = np.ptp(overlay(np.full((40, 40), 90, np.uint8), heat)[:, :40].astype(int), axis=2)
    assert colour[5, 35] > 50
    assert colour[20:, :20].max() == 0


def reach(fit: Literal["stretch", "pad", "crop"], height: int, width: int) -> tuple[list[int], list[int]]:
    """First and last row, and column, that a map of ones colours on a black image."""
    found = overlay(np.zeros((height, width), np.uint8), np.ones((4, 4), np.float32), fit)[:, :width].any(axis=2)
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    return [int(rows[0]), int(rows[-1])], [int(columns[0]), int(columns[-1])]


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_a_square_that_holds_the_whole_image_colours_it_all(fit: Literal["stretch", "pad"]) -> None:
    assert reach(fit, 40, 60) == ([0, 39], [0, 59])


def test_a_cropped_square_colours_only_what_the_network_saw() -> None:
    assert reach("crop", 40, 60) == ([0, 39], [10, 49])
    assert reach("crop", 60, 40) == ([10, 49], [0, 39])


def test_a_padded_square_is_cut_to_the_image() -> None:
    # The hot row lies in the padding above a wide image, so nothing of the image is hot.
    heat = np.zeros((8, 8), np.float32)
    heat[0] = 1
    pixels = np.full((32, 128), 90, np.uint8)
    np.testing.assert_array_equal(overlay(pixels, heat, "pad")[:, :128], np.full((32, 128, 3), 90))
    assert (overlay(pixels, heat, "stretch")[0, :128] != 90).any()
