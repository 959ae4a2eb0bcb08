"""Can the model say anything of this image? Image checks and novelty joined into plain reasons why it cannot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lungwise.bundle.store import Bundle
from lungwise.errors import BundleError
from lungwise.imaging.grey import PHOTOGRAPH
from lungwise.imaging.quality import judge
from lungwise.imaging.radiograph import Radiograph
from lungwise.inference.novelty import FILE, Novelty

Squares = NDArray[np.uint8]


def looks(squares: Squares, sizes: Sequence[tuple[int, int]], notes: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    """What image checks say against each of n images: name of the check to a plain reason.

    Args:
        squares: uint8 [n, stored, stored].
        sizes: width and height of each original, in pixels.
        notes: what the reader of each image noted.
    """
    found = []
    for said, noted in zip(judge(squares, sizes), notes, strict=True):
        reasons = dict(zip(said.checks, said.reasons, strict=True))
        found.append(reasons | ({"colour": "a colour photograph, not a film"} if PHOTOGRAPH in noted else {}))
    return found


class Assessor:
    """Says for which images a bundle gives no answer.

    Args:
        bundle: its specification says which image checks count and how far away an image may be. One from before there was
            such a block (``spec.novelty`` None) turns nothing away.

    Raises:
        BundleError: ``novelty.npz`` is missing or damaged.
    """

    def __init__(self, bundle: Bundle) -> None:
        spec = bundle.spec.novelty
        self._checks = frozenset(spec.checks) if spec else frozenset()
        self._limit = spec.limit if spec else None
        if self._limit is not None and FILE not in bundle.extras:
            raise BundleError(f"lungwise.json states a limit for {FILE}, but the bundle has no such file; export it again.")
        self._novelty = None if self._limit is None else Novelty.from_bytes(bundle.extras[FILE])

    def reasons(
        self, radiographs: Sequence[Radiograph], squares: Sequence[Squares], embeddings: NDArray[np.float32]
    ) -> list[tuple[str, ...]]:
        """Why the model cannot assess each image; an empty tuple where it can.

        Args:
            radiographs: n images as they were decoded.
            squares: n times uint8 [stored, stored], made from them.
            embeddings: float32 [n, ...], what the network says of them.
        """
        by_look = self._by_look(radiographs, squares)
        return [(*look, *far) for look, far in zip(by_look, self._by_distance(embeddings), strict=True)]

    def _by_look(self, radiographs: Sequence[Radiograph], squares: Sequence[Squares]) -> list[list[str]]:
        if not self._checks or not radiographs:
            return [[] for _ in radiographs]
        sizes = [(radiograph.width, radiograph.height) for radiograph in radiographs]
        found = looks(np.stack(squares), sizes, [radiograph.warnings for radiograph in radiographs])
        return [[reason for check, reason in said.items() if check in self._checks] for said in found]

    def _by_distance(self, embeddings: NDArray[np.float32]) -> list[list[str]]:
        limit = self._limit
        if self._novelty is None or limit is None:
            return [[] for _ in embeddings]
        return [[] if far <= limit else [_unlike(far, limit)] for far in self._novelty.distances(embeddings).tolist()]


def _unlike(distance: float, limit: float) -> str:
    return f"unlike the films that the model learnt from (distance {distance:.2f}, limit {limit:.2f})"
