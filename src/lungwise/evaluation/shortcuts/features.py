"""What a film tells without its lungs: five groups of numbers for the probe. Each is float64 [n, k], n films."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from lungwise.evaluation.shortcuts.films import Films

Features = NDArray[np.float64]

CORNER = 0.12
"""Side of a corner's box, as a share of the square's."""
FRAME = 0.08
"""Width of the outer frame."""
RING = 0.22
"""How far from the edge text marks are looked for."""
_SIDE = 256  # marks are looked for at one size, so that letters have the same number of pixels in all data sets
_STROKE = 13  # letters' strokes are thinner than this, in pixels of that size
_BRIGHT, _CONTRAST = 150, 60  # grey values of a mark, and how much brighter than what surrounds it
_AREA = (6, 900)
_FLAT = 4.0  # deviation, in grey values, up to which a row is constant: padding, paper or collimator


def corners(films: Films) -> Features:
    """The four corners, 5 x 5 means each, and their deviations."""
    side = films.squares.shape[1]
    box = max(2, round(CORNER * side))
    ends = (slice(0, box), slice(side - box, side))
    boxes = [(down, across) for down in ends for across in ends]
    return np.stack([np.concatenate([_corner(square[place]) for place in boxes]) for square in films.squares])


def _corner(pixels: NDArray[np.uint8]) -> Features:
    means = cv2.resize(pixels.astype(np.float32), (5, 5), interpolation=cv2.INTER_AREA)
    return np.append(means.ravel(), pixels.std())


def borders(films: Films) -> Features:
    """The outer frame: twelve means along each side, its deviation, and how many rows are constant from outside."""
    return np.stack([_frame(square.astype(np.float32)) for square in films.squares])


def _frame(square: NDArray[np.float32]) -> Features:
    width = max(2, round(FRAME * len(square)))
    found = []
    for turned in (np.rot90(square, quarter) for quarter in range(4)):
        strip = turned[:width]
        along = cv2.resize(strip.mean(axis=0)[None], (12, 1), interpolation=cv2.INTER_AREA).ravel()
        varied = np.flatnonzero(turned.std(axis=1) > _FLAT)
        flat = varied[0] / len(square) if len(varied) else 1.0
        found += [*along, strip.std(), flat]
    return np.array(found, np.float64)


def size(films: Films) -> Features:
    """Width, height, their ratio and product of the original, as logarithms."""
    wide, high = np.log2(np.maximum(films.size, 1)).T
    return np.stack([wide, high, wide - high, wide + high], axis=1)


def greys(films: Films) -> Features:
    """Histogram and quantiles of the grey values outside the covered lungs.

    Those of the whole film would hold the lungs: an opacity makes a film brighter.
    """
    return np.stack([_greys(square[~cover]) for square, cover in zip(films.squares, films.covers, strict=True)])


def _greys(values: NDArray[np.uint8]) -> Features:
    if not values.size:
        values = np.zeros(1, np.uint8)
    counts = np.bincount(values >> 3, minlength=32) / values.size
    ends = [(values == 0).mean(), (values == 255).mean()]
    return np.concatenate([counts, np.percentile(values, [5, 25, 50, 75, 95]) / 255, [values.mean(), values.std()], ends])


def marks(films: Films) -> Features:
    """Letters and arrows: bright small shapes of high contrast in the outer ring, outside the covered lungs.

    Number, area and extent altogether, and area in each of twelve fields of the ring.
    """
    return np.stack([_marks(square, cover) for square, cover in zip(films.squares, films.covers, strict=True)])


def _marks(square: NDArray[np.uint8], cover: NDArray[np.bool_]) -> Features:
    _, found, middles = mark_map(square, cover)
    field = np.zeros((4, 4))
    for area, (x, y) in zip(found[:, cv2.CC_STAT_AREA], middles, strict=True):
        field[min(3, int(4 * y / _SIDE)), min(3, int(4 * x / _SIDE))] += area
    ring = np.ones((4, 4), bool)
    ring[1:3, 1:3] = False
    extent = found[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    spread = extent.mean(axis=0) if len(found) else np.zeros(2)
    return np.concatenate([[len(found), field.sum()], spread, np.log1p(field[ring])])


def mark_map(square: NDArray[np.uint8], cover: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.int32], Features]:
    """Where the marks are: bool [256, 256], their statistics as OpenCV has them [k, 5], and their middles [k, 2]."""
    film = np.asarray(cv2.resize(square, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR), np.uint8)
    lungs = cv2.resize(cover.astype(np.uint8), (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST) > 0
    stroke = cv2.getStructuringElement(cv2.MORPH_RECT, (_STROKE, _STROKE))
    raised = np.asarray(cv2.morphologyEx(film, cv2.MORPH_TOPHAT, stroke), np.uint8)
    reach = round(RING * _SIDE)
    near = np.ones((_SIDE, _SIDE), bool)
    near[reach:-reach, reach:-reach] = False
    bright = (raised > _CONTRAST) & (film > _BRIGHT) & near & ~lungs
    _, places, found, middles = cv2.connectedComponentsWithStats(bright.astype(np.uint8), connectivity=8)
    areas = found[:, cv2.CC_STAT_AREA]
    chosen = (areas >= _AREA[0]) & (areas <= _AREA[1])
    chosen[0] = False  # the background
    return chosen[places], np.asarray(found[chosen], np.int32), np.asarray(middles[chosen], np.float64)


GROUPS: dict[str, Callable[[Films], Features]] = {
    "corners": corners,
    "outer frame": borders,
    "original size": size,
    "grey values outside the lungs": greys,
    "text marks": marks,
}
"""Every group by its name for people."""


def outlines(films: Films) -> Features:
    """The shape of what is covered, at 12 x 12: what hiding the lungs gives away by itself."""
    small = (cv2.resize(cover.astype(np.float32), (12, 12), interpolation=cv2.INTER_AREA) for cover in films.covers)
    return np.stack([np.asarray(values, np.float64).ravel() for values in small])
