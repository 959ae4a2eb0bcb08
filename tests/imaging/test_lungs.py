"""Lungs: found where phantoms have them, covered whole, and not made up where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.data.phantoms import CLASSES, Phantom, make_phantom
from lungwise.errors import ImageError
from lungwise.imaging.lungs import AREA, Lungs, average_lungs, find_lungs
from lungwise.imaging.preprocess import resize

SIDE = 96
FILMS = 6


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [make_phantom(label, np.random.default_rng([3, film])) for label in CLASSES for film in range(FILMS)]


@pytest.fixture(scope="module")
def found(phantoms: list[Phantom]) -> list[Lungs]:
    return [find_lungs(resize(phantom.pixels, SIDE)) for phantom in phantoms]


def small(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return resize(mask, SIDE) > 127


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_the_lungs_of_phantoms_are_found(phantoms: list[Phantom], found: list[Lungs]) -> None:
    overlap = {label: [] for label in CLASSES}
    for phantom, lungs in zip(phantoms, found, strict=True):
        assert lungs.found, lungs.doubts
        overlap[phantom.label].append(dice(lungs.mask(SIDE), small(phantom.lungs)))
    assert min(overlap["normal"]) > 0.85
    for label in CLASSES:
        assert np.mean(overlap[label]) > 0.8, overlap


def test_a_cover_holds_the_lungs_and_all_opacities(phantoms: list[Phantom], found: list[Lungs]) -> None:
    for phantom, lungs in zip(phantoms, found, strict=True):
        cover = lungs.cover(SIDE)
        for what, least in ((phantom.lungs, 0.93), (phantom.mask, 0.90)):
            inside = small(what)
            assert not inside.any() or (cover & inside).sum() / inside.sum() > least
        assert AREA[0] < cover.mean() < AREA[1]
        assert (cover & lungs.mask(SIDE)).sum() > 0.97 * lungs.mask(SIDE).sum()


def test_a_cover_is_never_smaller_than_the_average_one(found: list[Lungs]) -> None:
    average = average_lungs().cover(SIDE)
    for lungs in found:
        assert (lungs.cover(SIDE) & average).sum() > 0.9 * average.sum()


def test_the_same_film_gives_the_same_lungs_at_any_size(phantoms: list[Phantom], found: list[Lungs]) -> None:
    film = resize(phantoms[0].pixels, SIDE)
    np.testing.assert_array_equal(find_lungs(film).outlines[0], found[0].outlines[0])
    # 32 px is the smallest, 300 px larger than what is searched inside.
    for side in (32, 300):
        other = find_lungs(resize(phantoms[FILMS].pixels, side))
        assert dice(other.mask(SIDE), found[FILMS].mask(SIDE)) > 0.85


def test_brightness_and_contrast_hardly_matter(phantoms: list[Phantom], found: list[Lungs]) -> None:
    film = resize(phantoms[FILMS].pixels, SIDE)
    faint = (film * 0.5 + 60).astype(np.uint8)
    assert dice(find_lungs(faint).mask(SIDE), found[FILMS].mask(SIDE)) > 0.95


def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((SIDE, SIDE), np.uint8),
        np.full((SIDE, SIDE), 255, np.uint8),
        noise(),
        np.tile(np.arange(SIDE, dtype=np.uint8), (SIDE, 1)),
    ],
    ids=["black", "white", "noise", "ramp"],
)
def test_where_there_is_no_lung_the_average_stands_with_a_reason(picture: NDArray[np.uint8]) -> None:
    lungs = find_lungs(picture)
    assert not lungs.found
    assert lungs.doubts
    np.testing.assert_array_equal(lungs.cover(SIDE), average_lungs().cover(SIDE))


def test_the_average_lungs_are_two_and_plausible() -> None:
    left, right = average_lungs().outlines
    assert left[:, 0].max() < 0.5 < right[:, 0].min()
    assert AREA[0] < average_lungs().mask(SIDE).mean() < AREA[1]


@pytest.mark.parametrize(
    "array", [np.zeros((96, 90), np.uint8), np.zeros((20, 20), np.uint8), np.zeros((96, 96)), np.zeros((2, 96, 96), np.uint8)]
)
def test_what_is_no_square_is_refused(array: NDArray[np.uint8]) -> None:
    with pytest.raises(ImageError, match=r"must be uint8 \[S, S\] with S of at least 32, got"):
        find_lungs(array)
