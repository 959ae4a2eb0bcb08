"""Films of which a large part is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.data.phantoms import CLASSES, make_phantom
from lungwise.imaging import cut_off
from lungwise.imaging.cut_off import CutOff, cut_reference, cut_scores
from lungwise.imaging.preprocess import resize
from lungwise.imaging.quality import assess, flags, measure, reference

Squares = NDArray[np.uint8]


@pytest.fixture(scope="module")
def films() -> Squares:
    rng = np.random.default_rng(7)
    return np.stack([resize(make_phantom(CLASSES[number % 3], rng).pixels, 96) for number in range(24)])


def cut(film: Squares, share: float, side: str) -> Squares:
    gone = round(share * len(film))
    left = len(film) - gone
    parts = {"top": film[gone:], "bottom": film[:left], "left": film[:, gone:], "right": film[:, :left]}
    return resize(np.ascontiguousarray(parts[side]), len(film))


def test_whole_films_are_not_cut_off(films: Squares) -> None:
    assert not flags(measure(films))["cut-off"].any()


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
def test_without_their_half_films_are_turned_away_and_with_nearly_all_of_them_not(films: Squares, side: str) -> None:
    half, most = (measure(np.stack([cut(film, share, side) for film in films])) for share in (0.5, 0.05))
    assert np.mean(np.any(list(flags(half).values()), axis=0)) >= 0.9
    assert not np.any(list(flags(most).values()), axis=0).any()


def test_the_score_grows_with_what_is_missing(films: Squares) -> None:
    scores = [measure(np.stack([cut(film, share, "top") for film in films])).cut.mean() for share in (0.0, 0.2, 0.4, 0.5)]
    assert scores == sorted(scores)


def test_it_is_said_in_words_and_only_where_nothing_else_is_wrong(films: Squares) -> None:
    pieces = [cut(film, share, "top") for film in films for share in (0.3, 0.4)]
    found = [assess(piece, 400, 400) for piece in pieces]
    told = [quality for quality in found if "cut-off" in quality.checks]
    assert told
    assert {quality.reasons for quality in told} == {("cut off: a large part of the lungs is outside of the picture",)}


def test_scores_by_hand() -> None:
    known = CutOff(np.float32([[1, -1], [0, 2], [0.5, 0]]), np.float32([2, -3, 0.25]), 0.0)
    # relu([1 * 3 + 0.5, -3 + 2 * 1]) = [3.5, 0]; relu([-1 + 0.5, 1]) = [0, 1]
    np.testing.assert_allclose(cut_scores(np.float32([[3, 1], [-1, 0]]), known), [7.25, -2.75])


def test_the_reference_is_small_fits_the_components_and_holds_no_picture() -> None:
    assert Path(cut_off.__file__).with_name("cut_off.npz").stat().st_size < 30_000
    known = cut_reference()
    assert known.hidden.shape[0] == len(reference().basis) + 1
    assert known.out.shape == (known.hidden.shape[1] + 1,)
    assert np.isfinite(known.limit)
