"""Does a group of images fare otherwise than the rest? Differences within classes, their intervals and their p-values.

A group that holds other classes than the rest fares otherwise for that reason alone. Here like is compared with like: in every
class the share of right decisions of the group with that of the rest, and these differences are put together by the weights
of Mantel and Haenszel (n_g n_r / (n_g + n_r) of each class; Greenland and Robins, Biometrics 41, 1985). A class that only one
side has takes no part.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lungwise.evaluation.exact import Z95

Flags = NDArray[np.bool_]
Reals = NDArray[np.float64]

PERMUTATIONS = 4999
_BLOCK = 2_000_000
"""Numbers that are worked on at a time."""


class Share(NamedTuple):
    """A share of right decisions.

    Args:
        value: from 0 to 1.
        low: 2.5 % end.
        high: 97.5 % end.
    """

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """The fields as a dictionary."""
        return self._asdict()


def share(right: Flags, patient: NDArray[np.str_], y: NDArray[np.int32] | None = None, weights: Reals | None = None) -> Share:
    """A share of right decisions with its 95 % interval: Wilson's, with as many images as the patients are worth.

    Images of one patient are alike; their number is divided by the design effect, the variance between patients over that of
    independent images (Kish, "Survey Sampling", 1965, section 8.2). Where there is no spread to go by (all right, all wrong,
    one patient) every patient counts once. So the interval has a width even at 0 and 1, where a bootstrap's has none.

    Args:
        right: bool [n], n > 0.
        patient: str [n].
        y: int32 [n], the classes, where ``weights`` are given.
        weights: float64 [classes], what each class counts, summing to 1; without it every image counts alike.
    """
    _, owner = np.unique(patient, return_inverse=True)
    patients = int(owner.max()) + 1
    if y is None or weights is None:
        y, weights = np.zeros(len(right), np.int32), np.ones(1)
    number = np.bincount(y, minlength=len(weights)).astype(np.float64)
    each = np.divide(np.bincount(y, right, len(weights)), number, out=np.zeros(len(weights)), where=number > 0)
    value = float(weights @ each)
    used = weights[y] > 0
    influence = np.divide(weights, number, out=np.zeros(len(weights)), where=number > 0)[y] * (right - each[y])
    spread = float((np.bincount(owner, influence) ** 2).sum()) * patients / max(patients - 1, 1)
    settled = spread < 1e-15 or patients == 1
    worth = float(len(np.unique(owner[used]))) if settled else min(value * (1 - value) / spread, float(used.sum()))
    low, high = _wilson(value, max(worth, 1.0))
    return Share(value, low, high)


def _wilson(value: float, number: float) -> tuple[float, float]:
    """Wilson's interval (JASA 22, 1927) of a share of a number that need not be whole."""
    extra = Z95 * Z95 / number
    half = Z95 * sqrt(max(value * (1 - value), 0.0) / number + extra / (4 * number))
    low, high = ((value + extra / 2 + sign * half) / (1 + extra) for sign in (-1, 1))
    return min(max(low, 0.0), value), max(min(high, 1.0), value)


def difference(right: Flags, y: NDArray[np.int32], patient: NDArray[np.str_], group: Flags) -> Share | None:
    """Share of right decisions of a group minus that of the rest, within classes, with its 95 % interval.

    The interval is made of those of the two sides (Newcombe, Statistics in Medicine 17, 1998; Zou and Donner, Statistics in
    Medicine 27, 2008).

    Args:
        right: bool [n].
        y: int32 [n], true classes.
        patient: str [n].
        group: bool [n], who belongs to the group.

    Returns:
        None where the two sides share no class.
    """
    weights = class_weights(y, group)
    if not weights.any():
        return None
    mine, theirs = (share(right[side], patient[side], y[side], weights) for side in (group, ~group))
    value = mine.value - theirs.value
    below = sqrt((mine.value - mine.low) ** 2 + (theirs.high - theirs.value) ** 2)
    above = sqrt((mine.high - mine.value) ** 2 + (theirs.value - theirs.low) ** 2)
    return Share(value, max(value - below, -1.0), min(value + above, 1.0))


def class_weights(y: NDArray[np.int32], group: Flags) -> Reals:
    """Mantel and Haenszel's weights of the classes, summing to 1, or all 0 where group and rest share no class."""
    classes = int(y.max()) + 1
    mine, rest = (np.bincount(y[side], minlength=classes).astype(np.float64) for side in (group, ~group))
    weights = np.divide(mine * rest, mine + rest, out=np.zeros(classes), where=mine + rest > 0)
    return np.asarray(weights / weights.sum() if weights.any() else weights)


def p_values(
    right: Flags, y: NDArray[np.int32], patient: NDArray[np.str_], group: NDArray[np.str_], seed: int = 0
) -> dict[tuple[str, int | None], float]:
    """Permutation p-values of "this group fares as the rest does".

    Names of groups are dealt anew among patients whose images have the same classes; a patient's images of one group stay
    together. A p-value is the share of deals, the true one included, whose difference is at least as large. Source: Good,
    "Permutation, Parametric, and Bootstrap Tests of Hypotheses", 2005; the smallest possible is 1 / (PERMUTATIONS + 1).

    Args:
        right: bool [n].
        y: int32 [n], true classes.
        patient: str [n].
        group: str [n], the name of each image's group.
        seed: seed of the deals.

    Returns:
        By group and class, and by group and None for all classes put together; absent where nothing can be compared.
    """
    names, code = np.unique(group, return_inverse=True)
    sums, place, strata = _cells(right, y, patient, code)
    member = np.eye(len(names))[place]
    true = _surplus(member.T @ sums)
    rng, draws = np.random.default_rng(seed), []
    size = max(1, _BLOCK // sums.size)
    for start in range(0, PERMUTATIONS, size):
        many = min(size, PERMUTATIONS - start)
        # Cells are sorted by stratum, so a random order within strata is a random order of numbers from stratum to stratum + 1.
        order = np.argsort(rng.random((many, len(strata))) + strata, axis=1)
        draws.append(_surplus(np.einsum("cg,dcs->dgs", member, sums[order])))
    dealt = np.concatenate(draws)
    middle = dealt.mean(axis=0)
    larger = (np.abs(dealt - middle) >= np.abs(true - middle) - 1e-9).sum(axis=0)
    p = (1 + larger) / (PERMUTATIONS + 1)
    compared = _compared(member.T @ sums)
    classes: list[int | None] = [None, *range(p.shape[1] - 1)]
    return {
        (str(names[g]), k): float(p[g, column])
        for g in range(len(names))
        for column, k in enumerate(classes)
        if compared[g, column]
    }


def _cells(
    right: Flags, y: NDArray[np.int32], patient: NDArray[np.str_], code: NDArray[np.int64]
) -> tuple[Reals, NDArray[np.int64], NDArray[np.int64]]:
    """A patient's images of one group, in one row: numbers and right ones by class; the group; the stratum, sorted."""
    classes = int(y.max()) + 1
    _, owner = np.unique(patient, return_inverse=True)
    pairs, cell = np.unique(np.stack([owner, code], axis=1), axis=0, return_inverse=True)
    sums = np.zeros((len(pairs), 2 * classes))
    np.add.at(sums, (cell.ravel(), y), 1)
    np.add.at(sums, (cell.ravel(), classes + y), right)
    _, strata = np.unique(sums[:, :classes] > 0, axis=0, return_inverse=True)
    order = np.argsort(strata.ravel(), kind="stable")
    return sums[order], pairs[order, 1], strata.ravel()[order]


def _surplus(totals: Reals) -> Reals:
    """Right decisions of each group above what the rest's shares would give it, over all classes and for each.

    Args:
        totals: float64 [..., groups, 2 classes], numbers, then right ones.

    Returns:
        float64 [..., groups, 1 + classes].
    """
    number, right = np.split(totals, 2, axis=-1)
    whole, hits = number.sum(axis=-2, keepdims=True), right.sum(axis=-2, keepdims=True)
    each = np.divide(right * whole - hits * number, whole, out=np.zeros_like(number), where=whole > 0)
    return np.concatenate([each.sum(axis=-1, keepdims=True), each], axis=-1)


def _compared(totals: Reals) -> Flags:
    """Where group and rest both have images, over all classes and for each: bool [groups, 1 + classes]."""
    number = np.split(totals, 2, axis=-1)[0]
    both = (number > 0) & (number.sum(axis=0) > number)
    return np.concatenate([both.any(axis=1, keepdims=True), both], axis=1)
