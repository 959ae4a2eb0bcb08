"""What holds for every balance, whatever the classes."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lungwise.data.balance import class_weights, downsample


@st.composite
def columns(draw: st.DrawFn) -> NDArray[np.int32]:
    """int32 [n]: label columns of two to five classes, each at least once, in any order."""
    sizes = draw(st.lists(st.integers(1, 40), min_size=2, max_size=5))
    y = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    return np.random.default_rng(draw(st.integers(0, 99))).permutation(y)


quick = settings(max_examples=60, deadline=None)


@quick
@given(columns())
def test_weights_give_every_class_the_same_sum(y: NDArray[np.int32]) -> None:
    classes = int(y.max()) + 1
    sums = np.bincount(y, weights=class_weights(y, classes)[y])
    np.testing.assert_allclose(sums, len(y) / classes, rtol=1e-5)


@quick
@given(columns(), st.integers(0, 2**31 - 1), st.booleans())
def test_downsampling_counts_are_equal(y: NDArray[np.int32], seed: int, replace: bool) -> None:
    classes = int(y.max()) + 1
    rows = downsample(y, classes, seed, replace=replace)
    assert set(np.bincount(y[rows], minlength=classes)) == {np.bincount(y).min()}
    assert np.all(np.diff(rows) >= 0)


@quick
@given(columns(), st.integers(0, 2**31 - 1))
def test_downsampling_takes_nothing_twice_and_all_of_the_smallest(y: NDArray[np.int32], seed: int) -> None:
    rows = downsample(y, int(y.max()) + 1, seed)
    assert len(np.unique(rows)) == len(rows)
    smallest = np.argmin(np.bincount(y))
    assert set(np.flatnonzero(y == smallest)) <= set(rows)
