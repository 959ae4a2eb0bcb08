"""Changes of a film: each does what its name says, and the same again."""

from __future__ import annotations

import numpy as np
import pytest

from lungwise.evaluation.shortcuts.perturb import PERTURBATIONS, all_changed, exposed, half, jpeg, noisy, turned
from tests.evaluation.shortcuts.toy import toy

FILM = toy(20).squares[0]


@pytest.mark.parametrize("what", PERTURBATIONS, ids=lambda what: what.name)
def test_every_change_keeps_the_form_and_is_repeatable(what: object) -> None:
    change = what.change  # type: ignore[attr-defined]
    before = FILM.copy()
    changed = change(FILM, 3)
    assert changed.shape == FILM.shape
    assert changed.dtype == np.uint8
    assert (changed != FILM).any()
    np.testing.assert_array_equal(changed, change(FILM, 3))
    np.testing.assert_array_equal(FILM, before)


def test_jpeg_loses_more_at_lower_quality() -> None:
    losses = [np.abs(jpeg(FILM, quality).astype(int) - FILM).mean() for quality in (90, 50, 20)]
    assert losses == sorted(losses)


def test_half_size_takes_the_finest_detail() -> None:
    checkers = (np.indices((48, 48)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert np.abs(half(checkers).astype(int) - 127.5).max() < 2
    odd = np.full((33, 33), 7, np.uint8)
    np.testing.assert_array_equal(half(odd), odd)


def test_exposure_moves_and_stretches_and_stays_in_range() -> None:
    flat = np.full((8, 8), 100, np.uint8)
    assert (exposed(flat, 1.2, 15) == 115).all()
    assert exposed(FILM, 1.0, 15).astype(int).mean() == pytest.approx(FILM.mean() + 15, abs=1)
    assert exposed(FILM, 0.8, 0).std() == pytest.approx(0.8 * FILM.std(), rel=0.02)
    assert exposed(np.full((8, 8), 250, np.uint8), 1.0, 15).max() == 255


def test_noise_has_its_deviation_and_its_seed() -> None:
    flat = np.full((200, 200), 128, np.uint8)
    assert noisy(flat, 5, 0).std() == pytest.approx(5, rel=0.03)
    assert (noisy(flat, 5, 0) != noisy(flat, 5, 1)).any()
    squares = all_changed(np.stack([flat, flat]), lambda square, seed: noisy(square, 5, seed))
    assert (squares[0] != squares[1]).any()


def test_a_turn_goes_the_way_it_says() -> None:
    dot = np.zeros((101, 101), np.uint8)
    dot[48:53, 88:93] = 255  # 40 pixels to the right of the middle
    rows, columns = np.nonzero(turned(dot, 5) > 128)
    assert rows.mean() == pytest.approx(50 - 40 * np.sin(np.radians(5)), abs=0.5)
    assert columns.mean() == pytest.approx(50 + 40 * np.cos(np.radians(5)), abs=0.5)
