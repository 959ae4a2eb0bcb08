"""Where are the lungs on a frontal film? A drawn pair of lungs is laid on the film and pulled to its edges.

Three steps, all classical: (1) the pair is tried at thousands of places and sizes on a coarse picture of local contrast, and
kept where its inside is darker than what surrounds it and than what lies below; (2) each lung is moved and stretched by
itself; (3) each outline moves along its normals to the strongest edge from dark to bright, by dynamic programming (after
Amini, Weymouth and Jain, IEEE PAMI 12, 1990). It knows outlines, not tissue: an opaque lung is found by its surroundings
and by the other lung. A film must stand upright with dark air; :mod:`.quality` knows which do not. It serves to cover lungs
in experiments, not to measure them; ``docs/shortcuts.md`` says how well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lungwise.errors import ImageError
from lungwise.imaging.lung_search import PRIOR, blurred, candidates, clarity, local_contrast, own_pose, settled
from lungwise.imaging.lung_shapes import Points, pair, placed

MIN_SIDE = 32
"""Smallest square, in pixels, that is searched."""
MIN_CLARITY = 0.25
"""Mean contrast across the outlines, in local standard deviations, below which no lung counts as found."""
MIN_FIT = 0.15
"""How much darker and more even than their surroundings the lungs must be, in local standard deviations: noise reaches 0.12."""
AREA = (0.10, 0.55)
"""Share of the square that both lungs may take together."""
MIN_RATIO = 0.35
"""Smaller lung's area over the larger one's, at least."""
CENTRE = (0.28, 0.72)
"""Where the middle of both lungs must lie, across and down."""
SPARE = 0.03
"""How far a cover reaches beyond the lungs, as a share of the side: what outlines miss at apex and wall."""


@dataclass(frozen=True)
class Lungs:
    """The lungs of one film.

    Args:
        outlines: float64 [48, 2] each, x and y as shares of the side, the lung on the image's left first.
        clarity: mean contrast across the outlines that were found, in local standard deviations, about 0 to 0.8.
        doubts: why the film's own outlines are implausible, so that the average pair stands here; else empty.
    """

    outlines: tuple[Points, Points]
    clarity: float
    doubts: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        """Whether the outlines are the film's own."""
        return not self.doubts

    def mask(self, side: int) -> NDArray[np.bool_]:
        """The lungs as pixels, bool [side, side]."""
        return _filled(self.outlines, side).astype(bool)

    def cover(self, side: int) -> NDArray[np.bool_]:
        """A region that holds the lungs with room to spare, and says little of what is in them: bool [side, side].

        An outline shrinks where a lung is opaque, so its shape would tell the illness. This is the same convex pair for all
        films, stretched over the film's own outlines and never smaller than over the average ones, widened by ``SPARE``.
        Parts of heart, ribs and, on small chests, of what surrounds them are in it.
        """
        reached = np.concatenate([*self.outlines, *average_lungs().outlines])
        (left, top), (right, bottom) = reached.min(axis=0), reached.max(axis=0)
        pose = np.array([(left + right) / 2, top, (right - left) / 2, bottom - top])
        first, second = (piece.outline for piece in pair())
        both = np.concatenate([first, second * [-1.0, 1.0]])
        hull = cv2.convexHull(both.astype(np.float32))[:, 0].astype(np.float64)
        reach = max(1, round(SPARE * side))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        drawn = _filled([placed(hull, pose), placed(hull * [-1.0, 1.0], pose)], side)
        return np.asarray(cv2.dilate(drawn, disc), np.uint8).astype(bool)


def _filled(outlines: Sequence[Points], side: int) -> NDArray[np.uint8]:
    """Closed lines as a picture of ones, uint8 [side, side]."""
    drawn = np.zeros((side, side), np.uint8)
    for outline in outlines:
        # OpenCV draws in sixteenths of a pixel (shift 4), and the middle of a pixel is a whole number.
        cv2.fillPoly(drawn, [np.rint((outline * side - 0.5) * 16).astype(np.int32)], (1,), cv2.LINE_8, 4)
    return drawn


def average_lungs(clarity: float = 0.0, doubts: tuple[str, ...] = ()) -> Lungs:
    """The drawn pair in its usual pose."""
    first, second = (placed(piece.outline, PRIOR) for piece in pair())
    return Lungs((first, second), clarity, doubts)


def find_lungs(square: NDArray[np.uint8]) -> Lungs:
    """Find the lungs of an upright frontal film.

    Args:
        square: uint8 [S, S], S at least 32, air dark and bone bright.

    Returns:
        Their outlines; the average pair, with reasons, where what was found is implausible.

    Raises:
        ImageError: the array is not of this kind.
    """
    if square.ndim != 2 or square.shape[0] != square.shape[1] or len(square) < MIN_SIDE or square.dtype != np.uint8:
        raise ImageError(
            f"A square to find lungs on must be uint8 [S, S] with S of at least {MIN_SIDE}, got {square.dtype} "
            f"{list(square.shape)}; prepare it."
        )
    detail = local_contrast(square)
    fine, edges = blurred(detail, 1.5, 3.0), blurred(detail, 1.5, 1.5)
    tried = []
    for pose, merit in candidates(detail):
        first, second = (settled(edges, placed(piece.outline, own_pose(fine, piece, pose))) for piece in pair())
        clear = (clarity(edges, first) + clarity(edges, second)) / 2
        # Of equals the taller is right more often: ribs pass for a diaphragm, a diaphragm never for a rib.
        tried.append((0.6 * clear + 0.5 * merit + 0.3 * min(float(pose[3]), 0.75), merit, Lungs((first, second), clear)))
    _, merit, best = max(tried, key=lambda one: one[0])
    doubts = _doubts(best, merit)
    return average_lungs(best.clarity, doubts) if doubts else best


def _doubts(lungs: Lungs, merit: float) -> tuple[str, ...]:
    """What is implausible about two outlines."""
    areas = [float(cv2.contourArea(outline.astype(np.float32))) for outline in lungs.outlines]
    left, right = (outline.mean(axis=0) for outline in lungs.outlines)
    middle = (left + right) / 2
    found = {
        "nothing dark where lungs would be": merit < MIN_FIT,
        "hardly an edge where the outlines lie": lungs.clarity < MIN_CLARITY,
        "lungs too small or too large": not AREA[0] <= sum(areas) <= AREA[1],
        "one lung much smaller than the other": min(areas) < MIN_RATIO * max(areas),
        "lungs far from the middle": bool((middle < CENTRE[0]).any() or (middle > CENTRE[1]).any()),
        "lungs not side by side": bool(right[0] - left[0] < 0.15 or abs(right[1] - left[1]) > 0.15),
    }
    return tuple(reason for reason, true in found.items() if true)
