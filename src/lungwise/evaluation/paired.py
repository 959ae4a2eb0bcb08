"""Are two models different? Paired tests and differences on the same images.

DeLong's and McNemar's tests take every image for independent. Where patients have several images, the interval of
:func:`paired_bootstrap`, which draws patients, is the one to believe.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm

from lungwise.errors import DataError, some
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.exact import NO_SPREAD, Z95, Flags, Scores, components, covariance
from lungwise.evaluation.intervals import RESAMPLES, Bootstrap, Estimate
from lungwise.evaluation.metric_table import MACRO, MetricTable, check
from lungwise.evaluation.scarce import entering, guarded

Columns = NDArray[np.int64]


class Difference(NamedTuple):
    """How much the first model differs from the second, with a 95 % interval; None where it is undefined.

    Args:
        difference: first minus second.
        low: lower end.
        high: upper end.
        p: two-sided p-value of no difference.
    """

    difference: float | None
    low: float | None
    high: float | None
    p: float | None

    def to_json(self) -> dict[str, float | None]:
        """The fields as a dictionary."""
        return self._asdict()


class McNemar(NamedTuple):
    """On how many images one model alone is right, and what that says.

    Args:
        only_a: images that the first alone decides rightly.
        only_b: images that the second alone decides rightly.
        p: exact two-sided p-value.
        mid_p: mid-p value: less strict, nearer to the nominal level.
    """

    only_a: int
    only_b: int
    p: float
    mid_p: float

    def to_json(self) -> dict[str, float]:
        """The fields as a dictionary."""
        return self._asdict()


def delong_test(truth: Flags, score_a: Scores, score_b: Scores) -> Difference:
    """Difference of two areas under ROC curves on the same images.

    Interval and p-value are None where the data show no spread of the difference (equal rankings, two perfect scores, fewer
    than two images on one side): nothing can be said of it then.

    Args:
        truth: bool [n], both values present.
        score_a: float64 [n], finite, of the first model.
        score_b: float64 [n], finite, of the second.

    Source:
        DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988; Sun and Xu, IEEE Signal Processing Letters 21, 2014.

    Raises:
        DataError: lengths differ, a score is not finite, or a side is absent.
    """
    a, b = components(truth, score_a), components(truth, score_b)
    difference = a.area - b.area
    own, other, shared = covariance(a, a), covariance(b, b), covariance(a, b)
    if own is None or other is None or shared is None:
        return Difference(difference, None, None, None)
    variance = own + other - 2 * shared
    if variance <= NO_SPREAD:
        return Difference(difference, None, None, None)
    error = sqrt(variance)
    p = 2 * float(norm.sf(abs(difference) / error))
    return Difference(difference, difference - Z95 * error, difference + Z95 * error, p)


def mcnemar(correct_a: Flags, correct_b: Flags) -> McNemar:
    """Exact test that two models are right equally often, from the images on which only one of them is right.

    Args:
        correct_a: bool [n], whether the first model is right.
        correct_b: bool [n], whether the second is.

    Source:
        McNemar, Psychometrika 12, 1947, with the exact binomial distribution; mid-p: Fagerland, Lydersen and Laake, BMC
        Medical Research Methodology 13:91, 2013.

    Raises:
        DataError: lengths differ or there is no image.
    """
    a, b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    if a.shape != b.shape or a.ndim != 1 or not a.size:
        raise DataError(f"Two models must be compared on the same images, got {a.shape} and {b.shape}; predict the same part.")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    point = float(binom.pmf(only_a, only_a + only_b, 0.5))
    if only_a == only_b:
        # With equal counts nothing is as extreme but the outcome itself; no disagreement at all says nothing.
        return McNemar(only_a, only_b, 1.0, 1 - point / 2 if only_a else 1.0)
    p = 2 * float(binom.cdf(min(only_a, only_b), only_a + only_b, 0.5))
    return McNemar(only_a, only_b, p, p - point)


def aligned(a: Cases, b: Cases) -> NDArray[np.int64]:
    """The rows of ``b`` in the order of the images of ``a``: int64 [n].

    Raises:
        DataError: classes, images, or an image's label or patient differ, or an image stands twice.
    """
    if a.labels != b.labels:
        raise DataError(f"Two models must know the same classes, got {list(a.labels)} and {list(b.labels)}; train one anew.")
    for cases in (a, b):
        names, times = np.unique(cases.image, return_counts=True)
        if (times > 1).any():
            raise DataError(f"Each image must stand once to be paired, {some(names[times > 1].tolist())} stands more often.")
    lost = sorted(set(a.image.tolist()) ^ set(b.image.tolist()))
    if lost or not len(a):
        what = f"{some(lost, 3)} stands on one side only" if lost else "there is none"
        raise DataError(f"Two models must be compared on the same images, but {what}; evaluate both on the same part.")
    rows = np.empty(len(a), np.int64)
    rows[np.argsort(a.image, kind="stable")] = np.argsort(b.image, kind="stable")
    for what, mine, theirs in (("label", a.y, b.y[rows]), ("patient", a.patient, b.patient[rows])):
        if (mine != theirs).any():
            image = a.image[np.flatnonzero(mine != theirs)[0]]
            raise DataError(f"An image must have one {what} on both sides, {image} has two; evaluate both on the same data.")
    return rows


def paired_bootstrap(
    a: Cases,
    b: Cases,
    decided_a: Columns,
    decided_b: Columns,
    names: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Difference (first minus second) of metrics, with 95 % intervals from resamples of patients, the same for both models.

    Args:
        a: cases of the first model.
        b: cases of the second: the same images, in any order.
        decided_a: int64 [n], columns that the first decides for, in the order of ``a``.
        decided_b: int64 [n], columns that the second decides for, in the order of ``b``.
        names: metrics as :class:`lungwise.evaluation.metric_table.MetricTable` names them, such as "accuracy", "macro_auroc" or
            "sensitivity/covid"; all by default.
        resamples: how many draws.
        seed: seed of the draws.

    Returns:
        Name to difference, in the order of ``names``; fields are None where one side is undefined, or with the reason where
        nothing can be said of the spread.

    Raises:
        DataError: the images differ (see :func:`aligned`), a metric's name is unknown, or as for all metrics.
    """
    check(b, decided_b)
    rows = aligned(a, b)
    second = Cases(b.labels, b.y[rows], b.prob[rows], b.patient[rows], b.image[rows])
    bootstrap = Bootstrap(a.patient, resamples, seed)
    decided_b = np.asarray(decided_b)[rows]
    first, other = MetricTable(a, decided_a, bootstrap.group), MetricTable(second, decided_b, bootstrap.group)
    unknown = [name for name in names or () if name not in first.names]
    if unknown:
        raise DataError(f"'{unknown[0]}' is no metric; choose of {list(first.names)}.")
    sample = bootstrap.sample(lambda weights: first(weights) - other(weights))
    numbers = [entering(part, decided, MACRO) for part, decided in ((a, decided_a), (second, decided_b))]
    return {
        name: guarded(sample.estimate(first.names.index(name)), min(found.get(name, a.patients) for found in numbers))
        for name in names or first.names
    }
