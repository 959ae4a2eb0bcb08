"""Pixels worked out by hand, so that no change of library or order of steps goes unseen."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from lungwise.imaging.preprocess import Preprocess, preprocess, resize, to_square
from lungwise.imaging.radiograph import Radiograph
from lungwise.imaging.read import decode
from tests.conftest import Encode

BLOCKS = np.kron(np.array([[0, 40, 80, 120], [160, 200, 240, 20]], np.uint8), np.ones((32, 32), np.uint8))
"""uint8 [64, 128]: eight flat blocks of 32 x 32."""

# Area averages of whole blocks; at 64 px two columns of BLOCKS meet in one, at 32 px two rows as well.
GOLDEN: list[tuple[Literal["stretch", "pad", "crop"], int, dict[tuple[int, int], int]]] = [
    ("stretch", 64, {(0, 0): 0, (0, 15): 0, (0, 16): 40, (31, 63): 120, (32, 0): 160, (63, 47): 240, (63, 63): 20}),
    ("stretch", 32, {(0, 0): 0, (0, 8): 40, (15, 31): 120, (16, 0): 160, (31, 23): 240, (31, 31): 20}),
    ("pad", 128, {(0, 0): 0, (31, 127): 0, (32, 32): 40, (63, 127): 120, (64, 0): 160, (95, 127): 20, (96, 0): 0}),
    ("pad", 32, {(0, 0): 0, (7, 31): 0, (8, 8): 40, (15, 31): 120, (16, 0): 160, (23, 31): 20, (24, 0): 0}),
    ("crop", 64, {(0, 0): 40, (0, 31): 40, (0, 32): 80, (32, 0): 200, (63, 63): 240}),
    ("crop", 32, {(0, 0): 40, (0, 16): 80, (16, 0): 200, (31, 31): 240}),
]


@pytest.mark.parametrize(("fit", "side", "pixels"), GOLDEN, ids=lambda value: str(value) if not isinstance(value, dict) else "")
def test_squares(fit: Literal["stretch", "pad", "crop"], side: int, pixels: dict[tuple[int, int], int]) -> None:
    square = to_square(Radiograph(BLOCKS), Preprocess(stored=side, fit=fit))
    assert {place: int(square[place]) for place in pixels} == pixels


def test_shrinking_takes_the_mean_of_the_area() -> None:
    stripes = np.tile(np.array([0, 100], np.uint8), (64, 32))  # every 2 x 2 area holds 0, 100, 0, 100
    assert set(np.unique(resize(stripes, 32))) == {50}


def test_growing_interpolates_between_the_centres_of_pixels() -> None:
    edge = np.repeat(np.array([[0, 200]], np.uint8), 2, axis=0)
    # Centres of four pixels lie at -0.25, 0.25, 0.75 and 1.25 of two: 0, a quarter, three quarters, 200.
    assert resize(edge, 4)[0].tolist() == [0, 50, 150, 200]


def test_grey_values_become_inputs() -> None:
    row = np.zeros((32, 32), np.uint8)
    row[0, :4] = [0, 51, 102, 255]
    unit = preprocess(Radiograph(row), Preprocess(stored=32, size=32))[0, :4, 0]
    signed = preprocess(Radiograph(row), Preprocess(stored=32, size=32, low=-1.0, high=1.0))[0, :4, 0]
    np.testing.assert_allclose(unit, [0.0, 0.2, 0.4, 1.0], atol=1e-7)
    np.testing.assert_allclose(signed, [-1.0, -0.6, -0.2, 1.0], atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", "L"), ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "LA"), ("PNG", "P"), ("TIFF", "L"), ("BMP", "RGB")],
)
def test_the_same_picture_in_any_lossless_form_is_the_same_input(encode: Encode, kind: str, mode: str) -> None:
    spec = Preprocess(stored=64, size=32)
    found = preprocess(decode(encode(BLOCKS, kind, mode)), spec)
    np.testing.assert_array_equal(found, preprocess(Radiograph(BLOCKS), spec))


def test_a_16_bit_form_of_full_range_is_the_same_input(encode: Encode) -> None:
    full = np.where(BLOCKS == 240, 255, BLOCKS).astype(np.uint8)
    spec = Preprocess(stored=64, size=32)
    found = preprocess(decode(encode(full.astype(np.uint16) * 257)), spec)
    np.testing.assert_array_equal(found, preprocess(Radiograph(full), spec))
