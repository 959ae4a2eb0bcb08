"""A few numbers for a film that survive copying: what the near-duplicate search compares first.

A copy that was cropped by a few per cent differs from its film in some directions of feature space much more than in
others, and different films differ in others again. Linear discriminant analysis finds the directions in which films
differ most in units of what cropping does (Fisher 1936; the nuisance as within-class scatter as in Hastie, Tibshirani and
Friedman, The Elements of Statistical Learning, 4.3.3). It is fitted to the collection at hand, so nothing is learnt from
one hospital and used at another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import scipy.fft
import scipy.linalg
from numpy.typing import NDArray

from lungwise.data.pixels import Squares
from lungwise.imaging.preprocess import resize

SIDE = 32
"""Films are compared at this many pixels a side."""
KEPT = 16
"""The cosine coefficients kept in each direction; finer ones do not survive a crop by one pixel in 32."""
LENGTH = 128
"""Numbers in a signature."""
CROP = 0.03
"""Share of the width or height that a copy may have lost at each side."""
BLANK = 0.5
"""Films whose detail is weaker than this many grey levels (root mean square) have no signature."""
_SAMPLE, _CROPS = 2000, 512
_BLOCK = 512
Array = NDArray[np.float32]


def _smoothing(sigma: float) -> Array:
    """The matrix that blurs a column of SIDE pixels; mirrored at the ends."""
    line = np.arange(SIDE)
    steps = np.stack([line[:, None] - line, line[:, None] + line + 1, line[:, None] + line + 1 - 2 * SIDE])
    weights = np.exp(-0.5 * (steps / sigma) ** 2).sum(axis=0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


_FINE, _COARSE = _smoothing(1.0), _smoothing(4.0)
_COSINES = np.asarray(scipy.fft.dct(np.eye(SIDE), axis=0, norm="ortho")[:KEPT], np.float32)


def features(small: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Describe films independently of brightness and contrast.

    The middle band of spatial frequencies, each place divided by the local contrast, as cosine coefficients.

    Args:
        small: float32 [n, SIDE, SIDE], grey values 0 to 255.

    Returns:
        float32 [n, KEPT * KEPT], rows of length 1; bool [n], False where a film is blank (its row is 0).
    """
    band = _FINE @ small @ _FINE.T - _COARSE @ small @ _COARSE.T
    power = band * band
    mean = power.mean(axis=(1, 2), keepdims=True)
    band /= np.sqrt(_COARSE @ power @ _COARSE.T + np.float32(0.1) * mean + np.float32(1.0))
    vectors = np.asarray((_COSINES @ band @ _COSINES.T).reshape(len(small), -1), np.float32)
    textured = mean[:, 0, 0] > BLANK**2
    return _unit(vectors) * textured[:, None], textured


@dataclass(frozen=True)
class Description:
    """What is known of the films of a collection.

    Args:
        vectors: float32 [n, KEPT * KEPT], their `features`.
        textured: bool [n], False where a film is blank.
        digests: one each; equal squares have equal ones.
    """

    vectors: Array
    textured: NDArray[np.bool_]
    digests: list[bytes]


def describe(squares: Squares, progress: Callable[[float], None]) -> Description:
    """Describe all films; reads the pixels once, in order, and tells ``progress`` the share that is done."""
    n = len(squares)
    found = Description(np.zeros((n, KEPT * KEPT), np.float32), np.zeros(n, np.bool_), [])
    with ThreadPoolExecutor() as pool:
        starts = range(0, n, _BLOCK)
        for start, small in zip(starts, pool.map(lambda start: _shrunk(squares, start), starts), strict=True):
            rows = slice(start, start + len(small))
            found.vectors[rows], found.textured[rows] = features(small.astype(np.float32))
            found.digests.extend(hashlib.blake2b(film.tobytes(), digest_size=16).digest() for film in small)
            progress(rows.stop / n)
    return found


def _shrunk(squares: Squares, start: int) -> NDArray[np.uint8]:
    return np.stack([resize(square, SIDE) for square in squares[start : start + _BLOCK]])


@dataclass(frozen=True)
class Projection:
    """From features to signatures.

    Args:
        mean: float32 [d], the middle of the collection.
        directions: float32 [d, LENGTH].
    """

    mean: Array
    directions: Array

    def __call__(self, vectors: Array) -> Array:
        """Signatures: float32 [n, d] to [n, LENGTH], rows of length 1, so that a product is a similarity up to 1."""
        return _unit(np.asarray((vectors - self.mean) @ self.directions, np.float32))


def fit_projection(squares: Squares, vectors: Array, rows: NDArray[np.int64]) -> Projection:
    """Find the directions that tell films apart and that crops leave alone.

    Args:
        squares: uint8 [n, S, S].
        vectors: their features, float32 [n, d].
        rows: the rows to learn from, at least one; at most 2,000 of them are used, evenly spread.
    """
    sample = rows[np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(np.int64)]
    within = _crop_scatter(squares, sample)
    films = vectors[sample].astype(np.float64)
    weights = _weights(films, within)
    # A film of nothing, of weight 1, keeps the middle away from a collection that is one film many times over.
    mean = weights @ films / (weights.sum() + 1.0)
    spread = np.concatenate([(films - mean) * np.sqrt(weights)[:, None], -mean[None]])
    _, directions = scipy.linalg.eigh(spread.T @ spread, within, subset_by_index=(len(mean) - LENGTH, len(mean) - 1))
    return Projection(mean.astype(np.float32), np.ascontiguousarray(directions, np.float32))


def _crop_scatter(squares: Squares, sample: NDArray[np.int64]) -> NDArray[np.float64]:
    """How cropping moves features: float64 [d, d], from two random crops of each film, or 512 pairs in all."""
    rng = np.random.default_rng(0)
    scatter = np.zeros((KEPT * KEPT, KEPT * KEPT))
    films = np.resize(sample, max(len(sample), _CROPS))
    for block in np.array_split(films, -(-len(films) // _BLOCK)):
        one, _ = features(np.stack(list(_cropped(squares, block, rng))))
        two, _ = features(np.stack(list(_cropped(squares, block, rng))))
        scatter += (one - two).T.astype(np.float64) @ (one - two) / (2 * len(films))
    ridge = 0.01 * float(np.trace(scatter)) / len(scatter) + 1e-9
    return np.asarray(scatter + ridge * np.eye(len(scatter)), np.float64)


def _cropped(squares: Squares, rows: NDArray[np.int64], rng: np.random.Generator) -> Iterator[Array]:
    side = squares.shape[1]
    for row in rows:
        top, bottom, left, right = np.rint(rng.uniform(0.0, CROP, 4) * side).astype(int)
        part = squares[int(row)][top : side - bottom, left : side - right]
        yield cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)


def _weights(films: NDArray[np.float64], within: NDArray[np.float64]) -> NDArray[np.float64]:
    """One over the number of films that a crop could turn into this one: thousands of copies count as one film."""
    white = scipy.linalg.solve_triangular(np.linalg.cholesky(within), films.T, lower=True).T.astype(np.float32)
    power = (white * white).sum(axis=1)
    apart = power[:, None] + power - 2 * white @ white.T
    return np.asarray(1.0 / np.maximum((apart < 4.0 * 2.0 * films.shape[1]).sum(axis=1), 1), np.float64)


def _unit(vectors: Array) -> Array:
    length = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    return np.asarray(vectors / np.maximum(length, np.float32(1e-12)), np.float32)
