"""The person on a made-up film: outlines of lungs, heart, trunk and bones, and how they differ from one to the next.

Lengths are in units of half the image's height; x = 0 is the spine and x > 0 the patient's left, on the image's right.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = NDArray[np.float64]

# The left lung, clockwise from the apex; a point given twice makes a corner. Third column: moves with the diaphragm.
# fmt: off
LUNG = np.array([
    (0.27, -0.84, 0), (0.42, -0.77, 0), (0.55, -0.58, 0), (0.65, -0.28, 0), (0.71, 0.05, 0), (0.74, 0.38, 0),
    (0.745, 0.62, 0.4), (0.745, 0.62, 0.4), (0.66, 0.50, 0.8), (0.52, 0.415, 1), (0.37, 0.39, 1), (0.22, 0.42, 1),
    (0.08, 0.47, 0.8), (0.08, 0.47, 0.8), (0.08, 0.10, 0), (0.10, -0.30, 0), (0.11, -0.60, 0), (0.16, -0.79, 0)])
WALL = LUNG[:7, 1], LUNG[:7, 0]  # heights, and how far from the spine the lung reaches there
DOME = slice(7 * 8, 12 * 8 + 1)  # the diaphragm's part of the smoothed outline
_HEART = np.array([
    (-0.09, -0.30), (-0.13, -0.12), (-0.20, 0.06), (-0.215, 0.25), (-0.15, 0.46), (0.10, 0.54), (0.38, 0.52), (0.46, 0.43),
    (0.44, 0.31), (0.36, 0.14), (0.25, -0.02), (0.19, -0.12), (0.185, -0.20), (0.15, -0.26), (0.195, -0.34), (0.185, -0.43),
    (0.11, -0.48), (0.105, -0.70), (0.13, -1.30), (-0.13, -1.30), (-0.10, -0.70)])
TORSO = np.array([
    (0.22, -1.5), (0.23, -1.06), (0.34, -0.93), (0.72, -0.84), (1.02, -0.72), (1.16, -0.50), (1.10, -0.25), (0.94, -0.02),
    (0.91, 0.30), (0.90, 0.75), (0.95, 1.6)])
# fmt: on
ARM = np.array([(0.94, -0.62), (1.20, -0.15), (1.34, 0.9)])
CLAVICLE = np.array([(0.07, -0.57), (0.22, -0.63), (0.45, -0.70), (0.66, -0.79), (0.92, -0.80)])
SCAPULA = np.array([(0.80, -0.70), (0.95, -0.62), (0.86, -0.30), (0.73, 0.02), (0.67, -0.05), (0.66, -0.45)])
TRACHEA = np.array([(0.0, -1.3), (0.0, -0.7), (0.012, -0.28)])
VERTEBRAE = [np.array([(x, y - 0.03), (x, y + 0.03)]) for y in np.arange(-1.1, 1.2, 0.135) for x in (-0.03, 0.03)]
SIDES = np.array([(-1.0, 1.0), (1.0, 1.0)])  # mirrored to the patient's right, and as drawn


def curve(points: Points, closed: bool = True) -> Points:
    """A smooth line (Catmull-Rom) through the points: float64 [n, 2] to [8 n, 2] (8 n - 8 when open)."""
    ends = np.concatenate([points[-1:], points, points[:2]] if closed else [points[:1], points, points[-1:]])
    a, b, c, d = (ends[i : len(ends) - 3 + i, None, :] for i in range(4))
    t = np.linspace(0.0, 1.0, 8, endpoint=not closed)[None, :, None]
    bend = 2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    return np.asarray((bend / 2).reshape(-1, 2), np.float64)


class Body:
    """One person's frame size, build and outlines, which all films of this person share."""

    def __init__(self, rng: np.random.Generator) -> None:
        height = int(rng.integers(272, 305))
        self.size = (height, int(height * rng.uniform(1.0, 1.2)))
        self.build = (rng.uniform(0.93, 1.08), rng.uniform(0.93, 1.05), rng.uniform(0.94, 1.12))
        breath, width = rng.uniform(-0.07, 0.04), rng.uniform(0.85, 1.18)
        self.lungs = []
        for side, wide, rise in zip(SIDES, (1.04, 1.0), (0.07, 0.0), strict=True):
            outline = LUNG[:, :2] * side * [wide, 1.0] + rng.normal(0.0, 0.010, (len(LUNG), 2))
            outline[:, 1] += (breath - rise - rng.uniform(0.0, 0.03)) * LUNG[:, 2]
            outline[[7, 13]] = outline[[6, 12]]
            self.lungs.append(outline)
        heart = _HEART + rng.normal(0.0, 0.008, _HEART.shape) + [0.0, 0.5 * breath]
        heart[:, 0] *= np.where(_HEART[:, 1] > -0.2, width, 1.0)
        self.heart = curve(heart)
        self.ribs, self.vessels = _ribs(rng), _vessels(rng)


def _ribs(rng: np.random.Generator) -> tuple[list[Points], list[Points]]:
    """Ribs 1 to 9 of both sides: the halves behind (from the spine to the wall) and in front (falling inwards)."""
    behind, before = list[Points](), list[Points]()
    slope, gap = rng.uniform(0.8, 1.5), rng.uniform(0.142, 0.158)
    for rib in np.repeat(np.arange(9), 2):
        side = SIDES[len(behind) % 2]
        root = -0.86 + gap * rib + rng.normal(0.0, 0.006)
        turn = root + slope * (0.10 + 0.022 * rib)
        wall = np.interp(turn, *WALL) + 0.02
        arch = [(0.07, root), (0.4 * wall, root - 0.035), (0.78 * wall, root + 0.02), (wall, turn)]
        fall = [(wall, turn), (0.93 * wall, turn + 0.1), (0.7 * wall, turn + 0.19 * slope), (0.25, turn + 0.27 * slope)]
        behind.append(curve(np.array(arch), closed=False) * side)
        before.append(curve(np.array(fall), closed=False) * side)
    return behind, before


def _vessels(rng: np.random.Generator) -> list[Points]:
    """Vessels of both lungs from the hilum outwards: lines [n, 4, 2] for each of four generations, thick to thin."""
    side = np.repeat([-1.0, 1.0], 7)
    start = np.column_stack([side * 0.15, rng.uniform(-0.16, 0.06, 14)])
    angle = np.tile(np.linspace(-1.3, 1.3, 7), 2) + rng.normal(0.0, 0.15, 14)
    levels = []
    for _ in range(4):
        bends = angle[:, None] + rng.normal(0.0, 0.22, (len(angle), 3)).cumsum(axis=1)
        steps = np.stack([side[:, None] * np.cos(bends), np.sin(bends)], axis=-1) * rng.uniform(0.04, 0.09, (len(angle), 1, 1))
        lines = start[:, None] + np.pad(steps.cumsum(axis=1), ((0, 0), (1, 0), (0, 0)))
        levels.append(lines)
        start, side = np.repeat(lines[:, -1], 2, axis=0), np.repeat(side, 2)
        angle = np.repeat(bends[:, -1], 2) + rng.uniform(0.15, 0.6, len(side)) * np.tile([-1.0, 1.0], len(bends))
    return levels
