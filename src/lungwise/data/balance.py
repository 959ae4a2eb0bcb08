"""Classes of unequal size: weights, or fewer images of the larger classes. Only ever on the training part."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import resample
from sklearn.utils.class_weight import compute_class_weight

from lungwise.errors import DataError


def class_weights(y: NDArray[np.int32], classes: int) -> NDArray[np.float32]:
    """Weights that make every class count the same ("balanced": n / (classes x images of the class)).

    Args:
        y: int [n], columns of the training labels; every class occurs.
        classes: number of classes.

    Returns:
        float32 [classes], with mean 1 over the images.
    """
    _check_all_present(y, classes)
    return np.asarray(compute_class_weight("balanced", classes=np.arange(classes), y=y), dtype=np.float32)


def downsample(y: NDArray[np.int32], classes: int, seed: int, *, replace: bool = False) -> NDArray[np.int64]:
    """Positions of as many images of each class as the smallest has.

    Args:
        y: int [n], columns of the training labels.
        classes: number of classes.
        seed: seed of the draw.
        replace: draw with replacement, as the original project did; by default no image is taken twice.

    Returns:
        int64 [classes x smallest], sorted.
    """
    _check_all_present(y, classes)
    smallest = int(np.bincount(y, minlength=classes).min())
    drawn = [
        resample(np.flatnonzero(y == column), n_samples=smallest, replace=replace, random_state=seed + column)
        for column in range(classes)
    ]
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def _check_all_present(y: NDArray[np.int32], classes: int) -> None:
    absent = np.flatnonzero(np.bincount(y, minlength=classes) == 0)
    if absent.size:
        raise DataError(f"Every class must have training images, class number {absent[0]} has none; split again.")
