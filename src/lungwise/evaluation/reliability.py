"""Do probabilities mean what they say? Scores in bins of equal mass beside the share that was really so."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from lungwise.evaluation.exact import wilson
from lungwise.evaluation.intervals import Weights

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]

MOST_BINS, IMAGES_A_BIN = 15, 20


def number_of_bins(images: int) -> int:
    """How many bins are used for so many images: one for every 20, at least 1, at most 15."""
    return min(max(images // IMAGES_A_BIN, 1), MOST_BINS)


def equal_mass(score: Vector, bins: int) -> NDArray[np.int64]:
    """The bin of each case, from 0: as many cases in each as equal scores, which stay together, allow.

    Args:
        score: float64 [n], n >= 1.
        bins: how many; fewer are made where scores are equal.
    """
    edges = np.unique(np.quantile(score, np.arange(1, bins) / bins, method="inverted_cdf"))
    _, found = np.unique(np.searchsorted(edges, score, side="left"), return_inverse=True)
    return np.asarray(found, np.int64)


class Gaps:
    """How far scores lie from the truth, bin by bin, for any weights of patients.

    Args:
        score: float64 [n], what was said.
        truth: bool [n].
        bins: how many bins of equal mass.
        group: int [n], to which patient each image belongs, from 0 on.
    """

    def __init__(self, score: Vector, truth: Flags, bins: int, group: NDArray[np.integer]) -> None:
        self.score, self.truth = score, truth
        self.bin = equal_mass(score, bins)
        self._sizes = np.bincount(self.bin)
        place = (self.bin, group)
        shape = (len(self._sizes), int(group.max()) + 1)
        self._images = csr_array((np.ones(len(score)), place), shape=shape)
        self._gaps = csr_array((score - truth, place), shape=shape)

    def ece(self, weights: Weights) -> Vector:
        """Expected calibration error: the mean distance of score and observed share; it counts noise as an error.

        Source: Naeini, Cooper and Hauskrecht, AAAI 2015; Guo et al., ICML 2017.

        Args:
            weights: float64 [patients, resamples].

        Returns:
            float64 [resamples], 0 to 1, NaN without patients.
        """
        with np.errstate(invalid="ignore"):
            return np.asarray(np.abs(self._gaps @ weights).sum(axis=0) / (self._images @ weights).sum(axis=0))

    def square(self, weights: Weights) -> Vector:
        """The mean squared distance of score and observed share, noise included: float64 [resamples], as :meth:`ece`.

        Args:
            weights: float64 [patients, resamples].
        """
        mass = self._images @ weights
        with np.errstate(invalid="ignore"):
            return np.asarray(((self._gaps @ weights) ** 2 / np.maximum(mass, 1)).sum(axis=0) / mass.sum(axis=0))

    def noise(self) -> float:
        """What chance alone adds to :meth:`square`.

        Source: Kumar, Liang and Ma, "Verified uncertainty calibration", NeurIPS 2019, section 4.1. A bin of one image says
        nothing and adds nothing.
        """
        share = np.bincount(self.bin, self.truth) / self._sizes
        noise = self._sizes * share * (1 - share) / np.maximum(self._sizes - 1, 1)
        return float(noise.sum() / len(self.score))

    def curve(self) -> list[dict[str, Any]]:
        """Each bin's mean score, observed share with Wilson's 95 % interval, and number of images."""
        means, hits = np.bincount(self.bin, self.score) / self._sizes, np.bincount(self.bin, self.truth)
        found = []
        for mean, number, images in zip(means.tolist(), hits.astype(int).tolist(), self._sizes.tolist(), strict=True):
            low, high = wilson(number, images) or (0.0, 1.0)
            found.append({"mean": mean, "observed": number / images, "low": low, "high": high, "images": images})
        return found
