"""What surrounds the lungs: each group sees what it is meant to, and none sees a lung."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lungwise.evaluation.shortcuts.features import GROUPS, mark_map, outlines
from lungwise.evaluation.shortcuts.films import Films
from tests.evaluation.shortcuts import toy


@pytest.fixture(scope="module")
def few() -> Films:
    return toy.toy(20)


@pytest.mark.parametrize("name", GROUPS)
def test_no_group_sees_a_lung(few: Films, name: str) -> None:
    other = np.where(few.covers, np.uint8(0), few.squares)
    hidden, plain = (GROUPS[name](films) for films in (replace(few, squares=other), few))
    assert plain.shape[0] == 20
    assert np.isfinite(plain).all()
    np.testing.assert_array_equal(hidden, plain)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("corners", np.s_[:, :4, -4:]),
        ("outer frame", np.s_[:, :, :3]),
        ("grey values outside the lungs", np.s_[:, 44:, :]),
        ("text marks", np.s_[:, 3:5, 40:44]),
    ],
)
def test_each_group_sees_its_own(few: Films, name: str, place: tuple[slice, ...]) -> None:
    changed = few.squares.copy()
    changed[place] = 255
    before, after = GROUPS[name](few), GROUPS[name](replace(few, squares=changed))
    assert (before != after).any(axis=1).all()
    assert (GROUPS["original size"](few) == GROUPS["original size"](replace(few, squares=changed))).all()


def test_the_original_size_is_seen(few: Films) -> None:
    wide, high, ratio, area = GROUPS["original size"](replace(few, size=np.tile([512.0, 256.0], (20, 1))))[0]
    assert (wide, high, ratio, area) == (9, 8, 1, 17)


def test_letters_are_found_near_the_border_only() -> None:
    square = np.full((256, 256), 90, np.uint8)
    square[20:40, 30:34] = 250  # a stroke in the ring
    square[120:140, 128:132] = 250  # one in the middle
    square[60:200, 5:60] = 250  # a bright field is no letter
    bright, found, middles = mark_map(square, np.zeros((256, 256), bool))
    assert len(found) == 1
    assert bright[30, 31]
    assert middles[0].tolist() == pytest.approx([31.5, 29.5])
    covered = np.zeros((256, 256), bool)
    covered[:60] = True
    assert len(mark_map(square, covered)[1]) == 0


def test_a_film_that_is_covered_all_over_has_no_grey_values(few: Films) -> None:
    whole = replace(few, covers=np.ones_like(few.covers))
    assert np.isfinite(GROUPS["grey values outside the lungs"](whole)).all()


def test_outlines_are_the_covers_and_nothing_else(few: Films) -> None:
    found = outlines(few)
    assert found.shape == (20, 144)
    assert (found == found[0]).all()
