"""How far is an image from those that the model learnt from? Its distance in the space of the network's last features.

The features of the training images form a cloud around the mean of each class. Along its widest directions a step is measured
in standard deviations of the cloud, along all others together in their mean deviation: Mahalanobis' distance to the nearest
class, as Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples", 2018, arXiv 1807.03888, with the
covariance kept as a few directions and a rest, as in Tipping and Bishop, "Probabilistic Principal Component Analysis", 1999.
``docs/cannot-assess.md`` compares it with nearest neighbours (Sun et al. 2022, arXiv 2204.06507) and the relative distance (Ren
et al. 2021, arXiv 2106.09022).

``novelty.npz`` of a bundle holds these means, directions and deviations, and no image and no single image's features.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import BundleError

FILE = "novelty.npz"
Array = NDArray[np.float32]
_DAMAGE = (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Novelty:
    """The cloud of the training images' features.

    Args:
        means: float32 [classes, channels], one for each class that was there.
        directions: float32 [channels, k], orthonormal, the widest first; k is at least 1 and at most the channels.
        deviations: float32 [k], standard deviation along each, above 0.
        rest: float32 [1], standard deviation along any other direction, above 0.
    """

    means: Array
    directions: Array
    deviations: Array
    rest: Array

    def __post_init__(self) -> None:
        channels, k = self.directions.shape if self.directions.ndim == 2 else (0, 0)
        shapes = (self.means.shape[1:], self.deviations.shape, self.rest.shape)
        values = (self.means, self.directions, self.deviations, self.rest)
        fits = shapes == ((channels,), (k,), (1,)) and 1 <= k <= channels and len(self.means) > 0
        if not fits or not all(np.isfinite(value).all() for value in values) or not min(*self.deviations, *self.rest) > 0:
            raise ValueError("means, directions and deviations do not fit together or are not numbers above 0")

    def distances(self, embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
        """The distance of each image from the nearest class.

        Args:
            embeddings: [n, channels], or [n, rows * columns * channels] of a flattened map, whose places are averaged.

        Returns:
            float64 [n], 0 and above; training images lie about 1. Infinite where a feature is not a finite number.
        """
        features = pooled(embeddings, self.means.shape[1])
        # What is not a number, or too large to be squared, is as far away as can be.
        usable = np.abs(features).max(axis=1) < 1e100
        away = np.where(usable.reshape(-1, 1), features, 0.0)[:, None] - self.means
        along = away @ self.directions.astype(np.float64)
        beside = np.maximum((away * away).sum(axis=2) - (along * along).sum(axis=2), 0.0)
        squared = ((along / self.deviations) ** 2).sum(axis=2) + beside / float(self.rest[0]) ** 2
        return np.where(usable, np.sqrt(squared.min(axis=1) / features.shape[1]), np.inf)

    def to_bytes(self) -> bytes:
        """As an ``.npz`` file of plain arrays."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{field.name: getattr(self, field.name) for field in fields(self)})
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Novelty:
        """Read what :meth:`to_bytes` wrote; pickled objects are refused.

        Raises:
            BundleError: it is something else, or damaged.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                return cls(*(file[field.name].astype(np.float32) for field in fields(cls)))
        except _DAMAGE as cause:
            raise BundleError(f"{FILE} of the bundle is damaged ({cause}); export it again.") from cause


def pooled(embeddings: NDArray[np.floating], channels: int) -> NDArray[np.float64]:
    """Embeddings [n, places * channels] averaged over the places: float64 [n, channels].

    Raises:
        BundleError: the network gives another number of features.
    """
    if embeddings.ndim != 2 or not embeddings.shape[1] or embeddings.shape[1] % channels:
        raise BundleError(
            f"{FILE} must be of the bundle's own network with {channels} channels, got {list(embeddings.shape)}; export again."
        )
    places = embeddings.shape[1] // channels
    return np.asarray(embeddings.astype(np.float64).reshape(len(embeddings), places, channels).mean(axis=1))
