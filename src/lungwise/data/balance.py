"""Classes of unequal size: weights, fewer images of the large classes or more of the small. Only ever on the training part."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.utils import resample
from sklearn.utils.class_weight import compute_class_weight

from lungwise.errors import DataError
from lungwise.recipe import Data

Plan = tuple[NDArray[np.int64], NDArray[np.float32]]


def plan(y: NDArray[np.int32], patients: pl.Series, classes: int, spec: Data, seed: int) -> Plan:
    """Which training images an epoch takes, and how much each counts.

    With ``spec.per_patient`` the patient is the sample, not the image: classes are compared, drawn and weighted by their
    patients, a drawn patient brings all films, and the films share the patient's weight equally. So one patient with 236
    films counts as much as another with one. A patient with films of two classes counts in each.

    Args:
        y: int [n], columns of the training labels; every class occurs.
        patients: String [n], the patient of each image.
        classes: number of classes.
        spec: ``balance``, ``per_patient``, ``beta`` and ``replace`` are used.
        seed: seed of the draws.

    Returns:
        Positions in ``y``, int64 [m], ascending, with repetitions where images are taken more than once; and the weight of
        each, float32 [m], with mean 1.

    Raises:
        DataError: a class has no image.
    """
    _check_all_present(y, classes)
    if spec.per_patient:
        return _by_patient(y, patients, classes, spec, seed)
    chosen = _drawn(y, classes, spec, seed)
    return chosen, _class_weights(y, classes, spec)[y[chosen]]


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


def effective_weights(y: NDArray[np.int32], classes: int, beta: float) -> NDArray[np.float32]:
    """Weights by the effective number of samples, E = (1 - beta^n) / (1 - beta) for a class of n images.

    A class counts by how much new its images can still tell: beta 0 leaves classes as they are, beta towards 1 weighs them
    like :func:`class_weights`. Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019,
    equations 2 and 12; here scaled to mean 1 over the images, so that the learning rate means the same.

    Args:
        y: int [n], columns of the training labels; every class occurs.
        classes: number of classes.
        beta: in [0, 1).

    Returns:
        float32 [classes], with mean 1 over the images.
    """
    _check_all_present(y, classes)
    number = np.bincount(y, minlength=classes)
    # expm1 keeps its digits where beta is so near 1 that 1 - beta^n would lose them.
    inverse = 1 / -np.expm1(number * math.log(beta)) if beta > 0 else np.ones(classes)
    return np.asarray(inverse * len(y) / (inverse * number).sum(), dtype=np.float32)


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


def oversample(y: NDArray[np.int32], classes: int, seed: int) -> NDArray[np.int64]:
    """Positions of as many images of each class as the largest has: whole copies of a class, then a draw for the rest.

    Args:
        y: int [n], columns of the training labels.
        classes: number of classes.
        seed: seed of the draw.

    Returns:
        int64 [classes x largest], sorted; how often two images of one class are taken differs by one at most.
    """
    _check_all_present(y, classes)
    largest = int(np.bincount(y, minlength=classes).max())
    taken = []
    for column in range(classes):
        rows = np.flatnonzero(y == column)
        copies, rest = divmod(largest, len(rows))
        taken.append(np.repeat(rows, copies))
        if rest:  # scikit-learn draws at least one
            taken.append(resample(rows, n_samples=rest, replace=False, random_state=seed + column))
    return np.sort(np.concatenate(taken)).astype(np.int64)


def _drawn(y: NDArray[np.int32], classes: int, spec: Data, seed: int) -> NDArray[np.int64]:
    if spec.balance == "downsample":
        return downsample(y, classes, seed, replace=spec.replace)
    if spec.balance == "oversample":
        return oversample(y, classes, seed)
    return np.arange(len(y), dtype=np.int64)


def _class_weights(y: NDArray[np.int32], classes: int, spec: Data) -> NDArray[np.float32]:
    if spec.balance == "weights":
        return class_weights(y, classes)
    if spec.balance == "effective":
        return effective_weights(y, classes, spec.beta)
    return np.ones(classes, np.float32)


def _by_patient(y: NDArray[np.int32], patients: pl.Series, classes: int, spec: Data, seed: int) -> Plan:
    """The plan over pairs of patient and class, handed on to their films."""
    # Sorted by class and patient, so that the draw does not depend on the order of the images.
    pairs = (
        pl.DataFrame({"y": y, "patient": patients})
        .with_row_index("row")
        .group_by("y", "patient")
        .agg("row")
        .sort("y", "patient")
    )
    of_pair = pairs["y"].to_numpy()
    drawn = _drawn(of_pair, classes, spec, seed)
    films = pairs["row"].list.len().to_numpy()
    weights = _class_weights(of_pair, classes, spec).astype(np.float64)[of_pair] / films
    rows = pairs[drawn]["row"].explode().to_numpy().astype(np.int64)
    each = np.repeat(weights[drawn], films[drawn])
    order = np.argsort(rows, kind="stable")
    return rows[order], (each[order] / each.mean()).astype(np.float32)


def _check_all_present(y: NDArray[np.int32], classes: int) -> None:
    absent = np.flatnonzero(np.bincount(y, minlength=classes) == 0)
    if absent.size:
        raise DataError(f"Every class must have training images, class number {absent[0]} has none; split again.")
