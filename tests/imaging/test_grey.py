"""Colours: the marks and tints of films, and photographs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.data.phantoms import CLASSES, make_phantom
from lungwise.imaging.grey import PHOTOGRAPH
from lungwise.imaging.read import decode
from tests.conftest import Encode

Pixels = NDArray[np.uint8]
NOTE = "colour image converted to grey"


@pytest.fixture(scope="module")
def film() -> Pixels:
    grey = make_phantom(CLASSES[0], np.random.default_rng(1)).pixels
    return np.repeat(grey[..., None], 3, axis=2)


def scene(rng: np.random.Generator) -> Pixels:
    """Patches of any colour, as a photograph has."""
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((40, 40, 1), np.uint8))


def test_a_grey_film_in_three_channels_has_nothing_to_say(film: Pixels, encode: Encode) -> None:
    assert decode(encode(film)).warnings == ()


def test_a_tinted_film_is_a_film(film: Pixels, encode: Encode) -> None:
    tint = np.rint(film * [0.6, 0.8, 1.0] + [0, 0, 20] * (1 - film / 255.0)).astype(np.uint8)
    assert decode(encode(tint)).warnings == (NOTE,)


def test_a_film_with_coloured_marks_is_a_film(film: Pixels, encode: Encode) -> None:
    marked = film.copy()
    height, width = film.shape[:2]
    marked[height // 20 : height // 8, width // 2 : width // 2 + width // 6] = [255, 0, 0]
    assert decode(encode(marked)).warnings == (NOTE,)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_of_many_colours_is_a_photograph(encode: Encode, seed: int, kind: str) -> None:
    assert decode(encode(scene(np.random.default_rng(seed)), kind)).warnings == (NOTE, PHOTOGRAPH)


def test_alpha_does_not_hide_a_photograph(encode: Encode) -> None:
    picture = scene(np.random.default_rng(0))
    seen = np.full((*picture.shape[:2], 1), 255, np.uint8)
    assert PHOTOGRAPH in decode(encode(np.concatenate([picture, seen], axis=2))).warnings


def test_one_plain_colour_is_no_photograph(encode: Encode) -> None:
    assert PHOTOGRAPH not in decode(encode(np.full((50, 50, 3), [200, 30, 30], np.uint8))).warnings
