"""Batches for training, made from the memory-mapped pixels: shuffled, augmented, weighted, all from one seed."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lungwise.data.augment import augment
from lungwise.data.balance import plan
from lungwise.data.pixels import Squares
from lungwise.data.store import Subset
from lungwise.errors import DataError
from lungwise.imaging.preprocess import Preprocess, resize, scale
from lungwise.recipe import Augment, Recipe

MEMORY_BYTES = 2 * 10**9
"""Training squares up to this many bytes are kept in memory."""
Batch = tuple[NDArray[np.float32], NDArray[np.int32] | NDArray[np.float32], NDArray[np.float32]]
"""Images float32 [n, size, size, 1]; label columns int32 [n], or with mixup shares of the classes float32 [n, classes];
weights float32 [n]."""


class TrainingBatches:
    """The training part as batches; epoch ``e`` is the same whenever and wherever it is asked for.

    Args:
        part: the training images.
        recipe: its ``data``, ``fit.batch_size``, ``model`` and ``seed`` are used.
        spec: from stored squares to inputs.

    Raises:
        DataError: a class has no training image, or the batch is larger than the part.
    """

    def __init__(self, part: Subset, recipe: Recipe, spec: Preprocess) -> None:
        self.augmentation, self.mixup, self.spec = recipe.data.augment, recipe.data.mixup, spec
        self.classes = len(part.data.labels)
        self.batch_size, self.seed = recipe.fit.batch_size, recipe.seed
        patients = part.manifest["patient"]
        chosen, self.weights = plan(part.y, patients, self.classes, recipe.data, recipe.seed)
        self.y = part.y[chosen]
        # Over-sampling repeats rows; each is kept once.
        rows, self.places = np.unique(chosen, return_inverse=True)
        self.pixels, self.rows = part.data.pixels, part.rows[rows]
        check_size(self.pixels, spec.size)
        self.squares = self.load()
        if self.batch_size > len(self.y):
            raise DataError(
                f"A batch must not be larger than the training part, but fit.batch_size is {self.batch_size} and there "
                f"are {len(self.y)} images; lower it with --set fit.batch_size={len(self.y)}."
            )

    def __len__(self) -> int:
        """Batches of one epoch; the remainder that fills no batch is left to the next epoch's shuffle."""
        return len(self.y) // self.batch_size

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, counted from 0, from batch ``start`` on; each has a random stream of its own."""
        order = np.random.default_rng([self.seed, number]).permutation(len(self.y))[: len(self) * self.batch_size]
        for step, rows in enumerate(order.reshape(-1, self.batch_size)[start:], start=start):
            rng = np.random.default_rng([self.seed, number, step + 1])
            images = self.inputs(rows, rng)
            if self.mixup:
                yield mix(images, np.eye(self.classes, dtype=np.float32)[self.y[rows]], self.weights[rows], self.mixup, rng)
            else:
                yield images, self.y[rows], self.weights[rows]

    def load(self) -> NDArray[np.uint8] | None:
        """What fits into memory is shrunk once; more is read from disk as it is needed, so that memory stays flat."""
        keep = len(self.rows) * self.spec.size**2 <= MEMORY_BYTES
        return load_squares(self.pixels, self.rows, self.spec.size) if keep else None

    def inputs(self, positions: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
        """Inputs at positions of the plan: float32 [n, size, size, 1]."""
        squares = np.stack([self._variant(self._square(position), rng) for position in positions])
        return scale(squares, self.spec)[..., None]

    def _square(self, position: int) -> NDArray[np.uint8]:
        place = self.places[position]
        if self.squares is not None:
            return np.asarray(self.squares[place])
        return resize(np.asarray(self.pixels[self.rows[place]]), self.spec.size)

    def _variant(self, square: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        return square if self.augmentation == Augment() else augment(square, self.augmentation, rng)


def mix(
    images: NDArray[np.float32], y: NDArray[np.float32], weights: NDArray[np.float32], alpha: float, rng: np.random.Generator
) -> Batch:
    """Mixup (Zhang et al. 2018, arXiv 1710.09412): each image with a share of another one, and so its label and weight.

    Args:
        images: float32 [n, size, size, 1].
        y: float32 [n, classes], shares of the classes.
        weights: float32 [n].
        alpha: both parameters of the Beta distribution that the share is drawn from, once a batch.
        rng: the source of randomness.
    """
    share, other = np.float32(rng.beta(alpha, alpha)), rng.permutation(len(images))
    return tuple(share * values + (1 - share) * values[other] for values in (images, y, weights))  # type: ignore[return-value]


def check_size(pixels: Squares, size: int) -> None:
    """Refuse to enlarge: detail that was not stored cannot come back."""
    if size > pixels.shape[1]:
        raise DataError(
            f"The recipe wants images of {size} px, but the data set was prepared at {pixels.shape[1]} px; prepare it "
            f"again with --size {size}."
        )


def load_squares(pixels: Squares, rows: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    """Stored squares at the network's size.

    Args:
        pixels: uint8 [n, stored, stored], memory-mapped.
        rows: which rows.
        size: the network's side, at most ``stored``.

    Returns:
        uint8 [rows, size, size].
    """
    check_size(pixels, size)
    squares = np.empty((len(rows), size, size), np.uint8)
    for place, row in enumerate(rows):
        squares[place] = resize(np.asarray(pixels[row]), size)
    return squares


def plain_batches(part: Subset, spec: Preprocess, batch_size: int) -> Iterator[NDArray[np.float32]]:
    """The images of a part in order, unchanged, as float32 [n, size, size, 1]."""
    for index in range(math.ceil(len(part) / batch_size)):
        rows = part.rows[index * batch_size : (index + 1) * batch_size]
        yield scale(load_squares(part.data.pixels, rows, spec.size), spec)[..., None]
