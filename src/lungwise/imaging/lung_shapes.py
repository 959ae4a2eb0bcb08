"""A drawn pair of lungs: its outline, points inside, around and below, and how it is placed on a film.

Lengths are shares of the square's side; x runs to the right and y down. A pose is (x of the spine, y of the apex, half
width of the pair, height); in the drawing the spine is at x = 0, the apex at y = 0 and the lowest point at y = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

POINTS = 48
"""Points of an outline."""
# From the apex along the wall to the lowest point, along the diaphragm and up beside heart and spine.
# fmt: off
_LEFT = np.array([
    (0.22, 0.03), (0.38, 0.00), (0.58, 0.06), (0.76, 0.20), (0.88, 0.40), (0.95, 0.60), (0.99, 0.80), (1.00, 0.98),
    (0.86, 0.90), (0.66, 0.84), (0.48, 0.84), (0.44, 0.78), (0.40, 0.62), (0.27, 0.48), (0.22, 0.36), (0.20, 0.20)])
_RIGHT = np.array([
    (0.22, 0.03), (0.38, 0.00), (0.58, 0.06), (0.76, 0.20), (0.88, 0.40), (0.95, 0.60), (0.99, 0.78), (1.00, 0.93),
    (0.86, 0.84), (0.66, 0.78), (0.45, 0.78), (0.24, 0.84), (0.24, 0.70), (0.25, 0.50), (0.22, 0.36), (0.20, 0.20)])
# fmt: on


@dataclass(frozen=True)
class Piece:
    """One drawn lung.

    Args:
        outline: float64 [48, 2].
        inside: float64 [k, 2], spread over the lung but for its rim.
        around: float64 [48, 2], just outside the outline.
        below: float64 [24, 2], under the diaphragm.
    """

    outline: Points
    inside: Points
    around: Points
    below: Points


@cache
def pair() -> tuple[Piece, Piece]:
    """The patient's right lung, which is on the image's left, and the left one."""
    return _piece(_RIGHT, -1.0), _piece(_LEFT, 1.0)


def _piece(drawn: Points, side: float) -> Piece:
    outline = evenly(drawn * [side, 1.0])
    inside = _raster(side, np.linspace(0.2, 1.0, 13), np.linspace(0.02, 0.98, 13))
    shape = outline.astype(np.float32)
    deep = np.array([cv2.pointPolygonTest(shape, (float(x), float(y)), True) > 0.03 for x, y in inside])
    below = _raster(side, np.linspace(0.25, 0.95, 6), np.linspace(1.06, 1.40, 4))
    return Piece(outline, inside[deep], outline + 0.07 * normals(outline), below)


def _raster(side: float, across: Points, down: Points) -> Points:
    return np.stack(np.meshgrid(side * across, down), axis=-1).reshape(-1, 2)


def evenly(line: Points) -> Points:
    """``POINTS`` evenly spaced points on a closed line."""
    closed = np.concatenate([line, line[:1]])
    along = np.r_[0.0, np.cumsum(np.hypot(*np.diff(closed, axis=0).T))]
    places = np.linspace(0.0, along[-1], POINTS, endpoint=False)
    return np.stack([np.interp(places, along, closed[:, axis]) for axis in (0, 1)], axis=1)


def normals(outline: Points) -> Points:
    """Unit normals that point outwards, float64 [k, 2]."""
    along = np.roll(outline, -1, axis=0) - np.roll(outline, 1, axis=0)
    across = np.stack([along[:, 1], -along[:, 0]], axis=1)
    x, y = outline.T
    turn = np.sign(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
    return np.asarray(turn * across / (np.linalg.norm(across, axis=1, keepdims=True) + 1e-9))


def placed(points: Points, poses: Points) -> Points:
    """Points [k, 2] of the drawing in poses [..., 4]: float64 [..., k, 2]."""
    return np.asarray(poses[..., None, :2] + points * poses[..., None, 2:])
