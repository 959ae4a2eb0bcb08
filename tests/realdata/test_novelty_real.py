"""What a reference of real films says of other films, and of pictures that are none, with features that need no training.

The network is a fixed one: coarse grey values and edges. That shows that fitting, limit and checks hold on real films;
``benchmarks/novelty.py`` measures trained bundles.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from lungwise.assessable import MARGIN, QUANTILE, fit
from lungwise.imaging.cut_off import cut_reference
from lungwise.imaging.grey import PHOTOGRAPH
from lungwise.imaging.preprocess import Preprocess, resize, to_square
from lungwise.imaging.quality import flags, measure
from lungwise.imaging.read import SUFFIXES, read
from lungwise.inference.novelty import Novelty

pytestmark = pytest.mark.realdata
Squares = NDArray[np.uint8]
FOLDERS = ("kermany/test/NORMAL", "kermany/test/PNEUMONIA")


def load(folder: Path, number: int) -> Squares:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)[:number]
    return np.stack([to_square(read(file), Preprocess(stored=224, size=224)) for file in files])


@pytest.fixture(scope="module")
def children(real: Path) -> Squares:
    return np.concatenate([load(real / folder, 300) for folder in FOLDERS])


def features(squares: Squares) -> NDArray[np.float64]:
    """Coarse grey values and the strength of edges there, with mean and contrast taken away: float64 [n, 128]."""
    rows = []
    for square in squares:
        small = cv2.GaussianBlur(resize(square, 64), (0, 0), 1).astype(np.float64)
        small = (small - small.mean()) / (small.std() + 1)
        edges = np.hypot(cv2.Sobel(small, cv2.CV_64F, 1, 0), cv2.Sobel(small, cv2.CV_64F, 0, 1))
        coarse = [cv2.resize(plane, (8, 8), interpolation=cv2.INTER_AREA) for plane in (small, edges)]
        rows.append(np.concatenate(coarse).ravel())
    return np.array(rows)


def split(squares: Squares) -> tuple[Novelty, float, NDArray[np.float64]]:
    """A reference of a half, its limit from a quarter, and the distances of the last quarter."""
    order = np.random.default_rng(0).permutation(len(squares))
    half, quarter = len(order) // 2, 3 * len(order) // 4
    found = features(squares[order])
    known = fit(found[:half], np.zeros(half, np.int64))
    limit = MARGIN * float(np.quantile(known.distances(found[half:quarter]), QUANTILE, method="higher"))
    return known, limit, known.distances(found[quarter:])


def test_films_like_those_of_training_are_near_and_others_far(children: Squares) -> None:
    known, limit, near = split(children)
    assert (near > limit).mean() <= 0.02
    for strange in (255 - children, np.rot90(children, 1, axes=(1, 2))):
        assert np.mean(known.distances(features(strange)) > limit) >= 0.95


@pytest.mark.parametrize("folder", FOLDERS)
def test_hardly_a_whole_film_counts_as_cut_off(real: Path, folder: str) -> None:
    assert flags(measure(load(real / folder, 400)))["cut-off"].mean() <= 0.01


@pytest.mark.parametrize("top", [True, False])
def test_films_without_their_half_are_turned_away(children: Squares, top: bool) -> None:
    halves = np.stack([resize(np.ascontiguousarray(film[112:] if top else film[:112]), 224) for film in children])
    found = measure(halves)
    assert np.any(list(flags(found).values()), axis=0).mean() >= 0.85
    assert (measure(children).cut > cut_reference().limit).mean() <= 0.01


def test_no_real_film_is_taken_for_a_photograph(real: Path) -> None:
    files = [file for folder in ("originals", "covidx9a/images") for file in sorted((real / folder).iterdir())]
    notes = pl.Series([PHOTOGRAPH in read(file, 448).warnings for file in files if file.suffix.lower() in SUFFIXES])
    assert len(notes) > 300
    assert notes.sum() == 0
