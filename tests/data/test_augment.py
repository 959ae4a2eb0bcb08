"""Small changes of pose, exposure and device."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.data.augment import augment
from lungwise.recipe import Augment

CHANGES = [
    {"rotation": 20}, {"shear": 0.2}, {"shift": 0.2}, {"zoom": 0.2}, {"brightness": 0.3}, {"contrast": 0.5},
    {"gamma": 0.8}, {"blur": 0.05}, {"noise": 0.1},
]  # fmt: skip


@pytest.fixture
def square() -> NDArray[np.uint8]:
    pixels = np.full((32, 32), 60, np.uint8)
    pixels[8:16, 4:10] = 200
    return pixels


def variant(square: NDArray[np.uint8], seed: int = 1, **limits: float) -> NDArray[np.uint8]:
    return augment(square, Augment.model_validate(limits), np.random.default_rng(seed))


def test_no_change_is_no_change(square: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(variant(square), square)


@pytest.mark.parametrize("limits", CHANGES, ids=lambda limits: next(iter(limits)))
def test_each_change_changes_the_picture_and_not_its_form(square: NDArray[np.uint8], limits: dict[str, float]) -> None:
    found = variant(square, **limits)
    assert (found.shape, found.dtype) == (square.shape, np.uint8)
    assert not np.array_equal(found, square)


@pytest.mark.parametrize("limits", CHANGES, ids=lambda limits: next(iter(limits)))
def test_the_same_randomness_gives_the_same_variant(square: NDArray[np.uint8], limits: dict[str, float]) -> None:
    np.testing.assert_array_equal(variant(square, 5, **limits), variant(square, 5, **limits))
    assert not np.array_equal(variant(square, 5, **limits), variant(square, 6, **limits))


@pytest.mark.parametrize("limits", CHANGES[:4], ids=lambda limits: next(iter(limits)))
def test_a_change_of_pose_invents_no_grey_values(square: NDArray[np.uint8], limits: dict[str, float]) -> None:
    found = variant(square, **limits)
    assert (found.min() >= 60, found.max() <= 200) == (True, True)


def test_a_flip_mirrors_left_and_right_half_of_the_time(square: NDArray[np.uint8]) -> None:
    found = [variant(square, seed, flip=True) for seed in range(40)]
    mirrored = sum(np.array_equal(one, square[:, ::-1]) for one in found)
    kept = sum(np.array_equal(one, square) for one in found)
    assert mirrored + kept == 40
    assert 10 <= mirrored <= 30


def test_nothing_is_mirrored_by_default(square: NDArray[np.uint8]) -> None:
    assert not any(np.array_equal(variant(square, seed), square[:, ::-1]) for seed in range(20))


def test_brightness_stays_within_its_limit(square: NDArray[np.uint8]) -> None:
    shifts = [int(variant(square, seed, brightness=0.1)[0, 0]) - 60 for seed in range(50)]
    assert max(map(abs, shifts)) <= 26
    assert min(shifts) < 0 < max(shifts)


def test_contrast_turns_about_the_middle_grey() -> None:
    pixels = np.repeat(np.array([[0, 127, 128, 255]], np.uint8), 4, axis=0)
    found = variant(pixels, 3, contrast=0.5)[0].astype(int)
    assert abs(found[1] - 127) <= 1
    assert abs(found[0] + found[3] - 255) <= 1


def test_the_picture_itself_is_not_changed(square: NDArray[np.uint8]) -> None:
    before = square.copy()
    variant(square, rotation=10, contrast=0.5, flip=True)
    np.testing.assert_array_equal(square, before)


def test_blur_softens_edges_and_noise_roughens_flats(square: NDArray[np.uint8]) -> None:
    def steepest(pixels: NDArray[np.uint8]) -> int:
        return int(np.abs(np.diff(pixels.astype(int), axis=1)).max())

    assert np.mean([steepest(variant(square, seed, blur=0.05)) for seed in range(20)]) < 0.8 * steepest(square)
    flat = np.full((64, 64), 100, np.uint8)
    deviations = [variant(flat, seed, noise=0.1).std() for seed in range(200)]
    assert max(deviations) < 0.1 * 255 + 1
    assert np.mean(deviations) == pytest.approx(0.05 * 255, rel=0.15)
