"""Films that stand in a collection more than once, recompressed, resized, brighter or cropped by a little.

Signatures (:mod:`lungwise.data.audit.signature`) say which few pairs of all could be copies; their pixels
(:mod:`lungwise.data.audit.confirm`) say whether they are. What is not found: mirrored, turned, inverted or strongly
cropped copies.

The search compares every signature with every other, as products of matrices: time grows with the square of the number of
films. `benchmarks/duplicates.py` measures it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree

from lungwise.data.audit.confirm import Film, similarity
from lungwise.data.audit.signature import describe, fit_projection
from lungwise.data.groups import group_pairs
from lungwise.data.pixels import Squares
from lungwise.errors import DataError

THRESHOLD = 0.7
"""Least similarity of copies. Among 2,567 Kermany films (half of the training patients), two exposures reached 0.42 and the
least of 3,300 planted copies had 0.87; phantoms, whose anatomy varies less, reach 0.66 without being copies."""
LIKELY, CANDIDATES = 0.7, 10
"""A film is compared with the most alike of the films behind it whose product of signatures is greater, at most so many."""
POSSIBLE, POSSIBLES = 0.5, 3
"""As far as it has fewer such, also with less likely ones: copies that were cropped by more than 3 % are often among them."""
TRIES = 2
"""Two groups of copies are of different films after this many refused pairs between them."""
_TILE = 2048
_BATCH = 64
Array = NDArray[np.float32]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """Films that show the same exposure.

    Args:
        rows: int64 [m, 2], the first of a pair before the second.
        similarity: float32 [m], 1 for equal pixels.
    """

    rows: Index
    similarity: Array

    def __len__(self) -> int:
        return len(self.rows)


def near_duplicates(
    squares: Squares, *, threshold: float = THRESHOLD, progress: Callable[[float], None] = lambda share: None
) -> Pairs:
    """Find copies and near-copies among films.

    Pairs link the copies of a film without a circle: a film that stands in the collection k times has k - 1 pairs, equal
    squares being linked to the first of them; `group_pairs` gives the groups. Blank squares take no part.

    Args:
        squares: uint8 [n, S, S], may be memory-mapped; each row is read about once, in order, and again if it has candidates.
        threshold: least similarity of a pair, above 0 and at most 1.
        progress: told the share of the work that is done, 0 to 1.

    Returns:
        The pairs, sorted by row.

    Raises:
        DataError: ``squares`` are no squares of bytes, or ``threshold`` is out of range.
    """
    _check(squares, threshold)
    if len(squares) < 2:
        return _pairs([])
    known = describe(squares, lambda share: progress(0.3 * share))
    textured = np.flatnonzero(known.textured)
    copies = _equal(squares, known.digests, textured)
    rows = np.setdiff1d(textured, [copy for _, copy, _ in copies])
    if len(rows) < 2:
        return _pairs(copies)
    signatures = fit_projection(squares, known.vectors, rows)(known.vectors[rows])
    found = [_joined(stripe) for stripe in _candidates(signatures, lambda share: progress(0.3 + 0.3 * share))]
    ends, products = np.concatenate([ends for ends, _ in found]), np.concatenate([products for _, products in found])
    near = _confirmed(squares, rows[ends], products, threshold, lambda share: progress(0.6 + 0.4 * share))
    return _pairs([*copies, *near])


def _check(squares: Squares, threshold: float) -> None:
    shape, kind = squares.shape, squares[:1].dtype
    if len(shape) != 3 or shape[1] != shape[2] or kind != np.uint8:
        raise DataError(
            f"Near-duplicates are searched among squares, uint8 [n, side, side], got {kind} of shape {shape}; pass a "
            "prepared data set's pixels."
        )
    if not 0.0 < threshold <= 1.0:
        raise DataError(
            f"The least similarity of near-duplicates must be above 0 and at most 1, got {threshold}; use {THRESHOLD}."
        )


def _pairs(found: list[tuple[int, int, float]]) -> Pairs:
    found = sorted((min(one, two), max(one, two), alike) for one, two, alike in found)
    rows = np.array([(one, two) for one, two, _ in found], np.int64).reshape(-1, 2)
    return Pairs(rows, np.array([alike for _, _, alike in found], np.float32))


def _equal(squares: Squares, digests: list[bytes], rows: Index) -> list[tuple[int, int, float]]:
    """Squares with the same pixels as an earlier one, with the first such."""
    first, found = dict[bytes, int](), []
    for row in rows.tolist():
        earlier = first.setdefault(digests[row], row)
        if earlier != row and np.array_equal(squares[earlier], squares[row]):
            found.append((earlier, row, 1.0))
    return found


Hits = tuple[Index, Array]
"""Ends int64 [k, 2] and products float32 [k] of pairs that could be copies."""


def _candidates(signatures: Array, progress: Callable[[float], None]) -> Iterator[list[Hits]]:
    """For each stripe of films, the most alike of the films behind them, tile by tile."""
    n = len(signatures)
    for top in range(0, n, _TILE):
        stripe = signatures[top : top + _TILE]
        yield [_hits(stripe @ signatures[left : left + _TILE].T, top, left) for left in range(top, n, _TILE)]
        progress(1.0 - (max(0, n - top - _TILE) / n) ** 2)


def _hits(products: Array, top: int, left: int) -> Hits:
    """The pairs of a tile above LIKELY, at most CANDIDATES a row (more only where products are equal), and each row's best."""
    if left < top + len(products):
        rows, columns = np.arange(top, top + len(products)), np.arange(left, left + products.shape[1])
        products[columns <= rows[:, None]] = -1.0
    above = products > LIKELY
    crowded = np.flatnonzero(above.sum(axis=1) > CANDIDATES)
    if len(crowded):
        least = np.partition(products[crowded], -CANDIDATES, axis=1)[:, -CANDIDATES, None]
        above[crowded] &= products[crowded] >= least
    rows, best = np.arange(len(products)), products.argmax(axis=1)
    above[rows, best] = products[rows, best] > POSSIBLE
    down, across = np.nonzero(above)
    return np.stack([down + top, across + left], axis=1), products[down, across]


def _joined(tiles: list[Hits]) -> Hits:
    """The best of each row over all tiles of a stripe: CANDIDATES that are likely, POSSIBLES that are not."""
    ends, products = np.concatenate([ends for ends, _ in tiles]), np.concatenate([products for _, products in tiles])
    order = np.lexsort((-products, ends[:, 0]))
    ends, products = ends[order], products[order]
    rank = np.arange(len(ends)) - np.searchsorted(ends[:, 0], ends[:, 0])
    keep = rank < np.where(products > LIKELY, CANDIDATES, POSSIBLES)
    return ends[keep], products[keep]


def _confirmed(
    squares: Squares, likely: Index, products: Array, threshold: float, progress: Callable[[float], None]
) -> list[tuple[int, int, float]]:
    """Compare the pixels of likely pairs, in rounds: each takes the fewest pairs that would link all that is still apart."""
    films, places = np.unique(likely, return_inverse=True)
    ends, n = places.reshape(likely.shape), len(films)
    linked, refused, found = np.zeros((0, 2), np.int64), np.zeros((0, 2), np.int64), list[tuple[int, int, float]]()
    with ThreadPoolExecutor() as pool:
        while len(chosen := _worth_comparing(ends, products, group_pairs(linked, n), refused)):
            pairs = likely[chosen]
            batches = [pairs[start : start + _BATCH] for start in range(0, len(pairs), _BATCH)]
            alike = np.array([value for batch in pool.map(lambda batch: _compared(squares, batch), batches) for value in batch])
            same = alike >= threshold
            linked, refused = np.concatenate([linked, ends[chosen[same]]]), np.concatenate([refused, ends[chosen[~same]]])
            found += [(*pair, value) for pair, value in zip(pairs[same].tolist(), alike[same].tolist(), strict=True)]
            progress((len(linked) + len(refused)) / len(ends))
    progress(1.0)
    return found


def _worth_comparing(ends: Index, products: Array, group: Index, refused: Index) -> Index:
    """Which pairs to look at: a tree of the best pairs between groups that were not refused `TRIES` times; int64 [k]."""
    n = int(group.max(initial=-1)) + 1
    between = _between(group, ends, n)
    lost, times = np.unique(_between(group, refused, n), return_counts=True)
    open_ = (group[ends[:, 0]] != group[ends[:, 1]]) & ~np.isin(between, lost[times >= TRIES])
    tried = np.isin(ends @ [len(group), 1], refused @ [len(group), 1])
    rows = np.flatnonzero(open_ & ~tried)
    rows = rows[np.argsort(-products[rows], kind="stable")]
    keys, best = np.unique(between[rows], return_index=True)
    # Zero would be no edge; what is left of 2 is smallest for the most alike.
    graph = coo_array((2.0 - products[rows[best]].astype(np.float64), (keys // max(n, 1), keys % max(n, 1))), shape=(n, n))
    tree = minimum_spanning_tree(graph.tocsr()).tocoo()
    return np.asarray(rows[best[np.searchsorted(keys, tree.row.astype(np.int64) * n + tree.col)]], np.int64)


def _between(group: Index, ends: Index, n: int) -> Index:
    """One number for the two groups of a pair, whichever way round."""
    groups = np.sort(group[ends], axis=1)
    return np.asarray(groups[:, 0] * n + groups[:, 1], np.int64)


def _compared(squares: Squares, pairs: Index) -> list[float]:
    films = {row: Film(squares[row]) for row in np.unique(pairs).tolist()}
    return [similarity(films[one], films[two]) for one, two in pairs.tolist()]
