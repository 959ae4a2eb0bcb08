"""Classes of unequal size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.data.balance import class_weights, downsample
from lungwise.errors import DataError

Y = np.array([0] * 6 + [1] * 3 + [2] * 3, np.int32)


def test_rare_classes_weigh_more() -> None:
    np.testing.assert_allclose(class_weights(Y, 3), [2 / 3, 4 / 3, 4 / 3], rtol=1e-6)


def test_weights_have_the_mean_one_over_the_images() -> None:
    assert class_weights(Y, 3)[Y].mean() == pytest.approx(1.0)


def test_downsampling_leaves_as_many_of_each_class_as_the_smallest_has() -> None:
    assert np.bincount(Y[downsample(Y, 3, seed=0)]).tolist() == [3, 3, 3]


def test_no_image_is_taken_twice_by_default() -> None:
    taken = downsample(Y, 3, seed=0)
    assert len(set(taken.tolist())) == len(taken)


def test_with_replacement_images_may_be_taken_twice() -> None:
    taken = [downsample(Y, 3, seed=seed, replace=True) for seed in range(10)]
    assert any(len(set(rows.tolist())) < len(rows) for rows in taken)


def test_the_seed_decides_the_draw() -> None:
    draws = {tuple(downsample(Y, 3, seed=seed)) for seed in range(10)}
    assert len(draws) > 1
    assert tuple(downsample(Y, 3, seed=3)) == tuple(downsample(Y, 3, seed=3))


@pytest.mark.parametrize(
    "balance", [class_weights, lambda y, classes: downsample(y, classes, 0)], ids=["weights", "downsample"]
)
def test_a_class_without_images_is_refused(balance: Callable[[NDArray[np.int32], int], object]) -> None:
    with pytest.raises(DataError) as caught:
        balance(np.array([0, 0, 2], np.int32), 3)
    assert str(caught.value) == "Every class must have training images, class number 1 has none; split again."
