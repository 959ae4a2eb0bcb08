"""Intervals by formula: Wilson's for shares, DeLong's for areas under ROC curves. They take every image for independent.

That is their limit: where a patient has several images they promise too much, and the bootstrap over patients of
:mod:`.intervals` is the one to read. They stand beside it because they need no resampling, and because Wilson's says
something honest where the data show no spread at all (a share of 0 or 1).
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from lungwise.errors import DataError

Scores = NDArray[np.float64]
Flags = NDArray[np.bool_]
Range = tuple[float, float]

Z95 = float(norm.ppf(0.975))
"""The normal quantile of a two-sided 95 % interval."""

NO_SPREAD = 1e-14
"""A variance up to this is rounding: many orders below what one image could contribute."""

_EDGE = 1e-9


class Components(NamedTuple):
    """An area under the ROC curve in one part a case (DeLong's structural components).

    Args:
        area: the mean of either.
        cases: float64 [cases of the class], the share of the others that each case scores above (ties count half).
        others: float64 [others], the share of the cases that score above each of the others.
    """

    area: float
    cases: Scores
    others: Scores


def wilson(hits: float, total: float) -> Range | None:
    """95 % interval of a share, None where there is nothing to share.

    Args:
        hits: how many have the property, 0 to ``total``.
        total: how many there are.

    Source:
        Wilson, JASA 22, 1927; recommended for all n by Brown, Cai and DasGupta, Statistical Science 16, 2001.

    Raises:
        DataError: ``hits`` is not between 0 and ``total``.
    """
    if not 0 <= hits <= total:
        raise DataError(f"A share needs 0 <= hits <= total, got {hits} of {total}; correct the counts.")
    if not total:
        return None
    share, spread = hits / total, Z95 * Z95 / total
    half = Z95 * sqrt(share * (1 - share) / total + spread / (4 * total))
    low, high = ((share + spread / 2 + sign * half) / (1 + spread) for sign in (-1, 1))
    # Rounding must not push an end past the share itself, nor a share of 0 or 1 past these.
    return max(0.0, min(low, share)), min(1.0, max(high, share))


def newcombe(area: float, cases: int, others: int) -> Range | None:
    """95 % interval of an area under the ROC curve from the numbers on both sides alone, None where one side is empty.

    It solves for the areas whose variance, by Hanley and McNeil's formula with equal numbers, puts the one found at their
    limit. So it has a width even where the area is 0 or 1.

    Args:
        area: 0 to 1.
        cases: how many are of the class.
        others: how many are not.

    Source:
        Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2", Statistics in
        Medicine 25, 2006, method 5.
    """
    if not cases or not others:
        return None
    extra = (cases + others) / 2 - 1

    def beyond(true: float) -> float:
        variance = true * (1 - true) * (1 + extra * (1 - true) / (2 - true) + extra * true / (1 + true)) / (cases * others)
        return (area - true) ** 2 - Z95 * Z95 * variance

    middle = min(max(area, _EDGE), 1 - _EDGE)
    low = brentq(beyond, 0.0, middle) if area > _EDGE else 0.0
    high = brentq(beyond, middle, 1.0) if area < 1 - _EDGE else 1.0
    return min(float(low), area), max(float(high), area)


def components(truth: Flags, score: Scores) -> Components:
    """DeLong's structural components by midranks, in the time of a sort.

    Args:
        truth: bool [n], both values present.
        score: float64 [n], finite, higher for the class.

    Source:
        DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988; Sun and Xu, IEEE Signal Processing Letters 21, 2014.

    Raises:
        DataError: lengths differ, a score is not finite, or a side is absent.
    """
    truth, score = np.asarray(truth, bool), np.asarray(score, np.float64)
    if truth.shape != score.shape or truth.ndim != 1:
        raise DataError(f"Each case needs one truth and one score, got {truth.shape} and {score.shape}; pass two columns.")
    if not np.isfinite(score).all():
        row = int(np.flatnonzero(~np.isfinite(score))[0])
        raise DataError(f"Scores must be finite numbers, number {row + 1} is {score[row]}; predict again.")
    if truth.all() or not truth.any():
        raise DataError("An area under the ROC curve needs cases of the class and others, one side is absent; add images.")
    yes, no = score[truth], score[~truth]
    ranks = rankdata(score)
    above = (ranks[truth] - rankdata(yes)) / len(no)
    below = 1 - (ranks[~truth] - rankdata(no)) / len(yes)
    return Components(float(above.mean()), above, below)


def delong(truth: Flags, score: Scores) -> Range | None:
    """95 % interval of an area under the ROC curve; None where it has no spread to go by.

    The interval is made on the logit scale and carried back, so it stays in (0, 1) and leans the right way near 1 (Pepe,
    "The Statistical Evaluation of Medical Tests for Classification and Prediction", 2003, section 5.2.4). An area of exactly
    0 or 1, or fewer than two images on one side, has no spread: None.

    Args:
        truth: bool [n].
        score: float64 [n], finite, higher for the class.

    Raises:
        DataError: as :func:`components`.
    """
    found = components(truth, score)
    variance = covariance(found, found)
    if variance is None or variance <= NO_SPREAD or not 0 < found.area < 1:
        return None
    half = Z95 * sqrt(variance) / (found.area * (1 - found.area))
    return float(expit(logit(found.area) - half)), float(expit(logit(found.area) + half))


def covariance(a: Components, b: Components) -> float | None:
    """Covariance of two areas on the same cases (variance of one with itself); None with fewer than two on a side."""
    if len(a.cases) < 2 or len(a.others) < 2:
        return None
    within, without = np.cov(a.cases, b.cases)[0, 1], np.cov(a.others, b.others)[0, 1]
    return float(within / len(a.cases) + without / len(a.others))
