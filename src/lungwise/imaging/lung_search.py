"""Lay the drawn pair of lungs on a film and pull its outlines to the film's edges."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from lungwise.imaging.lung_shapes import Piece, Points, evenly, normals, pair, placed
from lungwise.imaging.preprocess import resize

Floats = NDArray[np.float32]

PRIOR = np.array([0.50, 0.12, 0.37, 0.68])
"""The usual pose; one that is far off must be paid for by contrast."""
_SPREAD = np.array([0.10, 0.12, 0.10, 0.17])
_HEIGHTS = (0.36, 0.52, 0.72, 1.0)  # a start from each range: a short pair fits by mistake, with a rib for its diaphragm
_SIDE, _COARSE = 128, 64
_REACH = np.array([0.03, 0.03, 0.03, 0.05])  # first steps of the search, and how far a lung goes from the pair's pose
_STEEP = 0.8  # contrast that is enough: the edge of a collimator is no better a border than that of a rib cage


def local_contrast(square: NDArray[np.uint8]) -> Floats:
    """The film less the mean of its surroundings, divided by their deviation: float32 [128, 128]."""
    grey = resize(np.ascontiguousarray(square), _SIDE).astype(np.float32)
    low, high = (float(limit) for limit in np.percentile(grey, [2, 98]))
    grey = np.clip((grey - np.float32(low)) / np.float32(max(high - low, 1.0)), 0.0, 1.0).astype(np.float32)
    apart = grey - blurred(grey, _SIDE / 6, _SIDE / 6)
    spread = np.sqrt(blurred(apart * apart, _SIDE / 5, _SIDE / 5))
    return np.asarray(apart / (spread + np.float32(0.25) * spread.mean() + np.float32(1e-3)), np.float32)


def blurred(picture: Floats, across: float, down: float) -> Floats:
    """A Gaussian blur by pixels; more down than across takes ribs away."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), across, sigmaY=down, borderType=cv2.BORDER_REFLECT), np.float32)


def candidates(detail: Floats) -> list[tuple[Points, float]]:
    """Poses of the pair that fit a film, a low, a middle and a tall one, with how well each does (-1 to 2)."""
    coarse = np.asarray(cv2.resize(blurred(detail, 3.0, 6.0), (_COARSE, _COARSE), interpolation=cv2.INTER_AREA), np.float32)
    poses = _grid()
    merit = sum(_darker(*(coarse.ravel()[places] for places in of_piece)) for of_piece in _grid_places()) - _price(poses)
    found = []
    for low, high in pairwise(_HEIGHTS):
        chosen = (poses[:, 3] >= low) & (poses[:, 3] < high)
        pose = _improved(poses[chosen][merit[chosen].argmax()], lambda tried: _merit(coarse, tried), _REACH)
        found.append((pose, float(_merit(coarse, pose[None])[0])))
    return found


def own_pose(fine: Floats, piece: Piece, pose: Points) -> Points:
    """One lung's own place and size, not far from the pair's: float64 [4]."""

    def merit(poses: Points) -> Points:
        apart = (poses - pose) / [0.03, 0.03, 0.04, 0.08]
        return np.asarray(_contrast(fine, piece, poses) - 0.08 * (apart**2).sum(axis=-1))

    return _improved(pose, merit, _REACH * [0.7, 0.7, 0.7, 1.0])


def settled(edges: Floats, outline: Points) -> Points:
    """An outline pulled to the edges around it, first from afar and then from near."""
    return _pulled(edges, evenly(_pulled(edges, outline, 0.06)), 0.03)


def clarity(edges: Floats, outline: Points) -> float:
    """Mean rise from just inside an outline to just outside, in local standard deviations."""
    return float(np.minimum(_rise(edges, outline, normals(outline)), _STEEP).mean())


@cache
def _grid() -> Points:
    """Poses to begin with, float64 [4900, 4]."""
    axes = np.linspace(0.38, 0.62, 7), np.linspace(-0.04, 0.32, 10), np.linspace(0.22, 0.50, 7), np.linspace(0.36, 0.96, 10)
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 4)


@cache
def _grid_places() -> list[tuple[NDArray[np.int32], ...]]:
    """The coarse picture's pixels inside, around and below each lung in every pose of the grid: int32 [4900, k] each."""
    return [tuple(_pixels(placed(points, _grid()), _COARSE) for points in _points(piece)) for piece in pair()]


@cache
def _steps() -> Points:
    """Rounds of shrinking steps, float64 [4, 120, 4]: random ones that are always the same, and one that stays."""
    steps = np.random.default_rng(0).normal(size=(4, 120, 4)) * (0.6 ** np.arange(4))[:, None, None]
    steps[:, 0] = 0.0
    return steps


def _improved(pose: Points, merit: Callable[[Points], Points], reach: Points) -> Points:
    """The best of the poses around a pose, round by round."""
    for steps in _steps():
        poses = pose + steps * reach
        pose = poses[merit(poses).argmax()]
    return pose


def _merit(picture: Floats, poses: Points) -> Points:
    """How well the pair fits in poses [n, 4], less the price of an unusual one: float64 [n]."""
    first, second = pair()
    return _contrast(picture, first, poses) + _contrast(picture, second, poses) - _price(poses)


def _price(poses: Points) -> Points:
    return np.asarray(0.06 * (((poses - PRIOR) / _SPREAD) ** 2).sum(axis=-1))


def _contrast(picture: Floats, piece: Piece, poses: Points) -> Points:
    """How well one lung fits in poses [n, 4]: float64 [n]."""
    return _darker(*(picture.ravel()[_pixels(placed(points, poses), len(picture))] for points in _points(piece)))


def _points(piece: Piece) -> tuple[Points, Points, Points]:
    return piece.inside, piece.around, piece.below


def _darker(inside: Floats, around: Floats, below: Floats) -> Points:
    """How much darker and more even a lung's inside is than what lies around and below: float64 [n]."""
    rest = (around.mean(axis=-1) + below.mean(axis=-1)) / 2
    return np.asarray(rest - inside.mean(axis=-1) - 0.3 * inside.std(axis=-1), np.float64)


def _pixels(points: Points, side: int) -> NDArray[np.int32]:
    """Flat numbers of the pixels at points [..., 2]; beyond the picture's edge, those on it."""
    places = np.clip(points * side, 0, side - 1).astype(np.int32)
    return np.asarray(places[..., 1] * side + places[..., 0], np.int32)


def _rise(edges: Floats, points: Points, outwards: Points) -> Floats:
    """How much brighter the picture is a little outwards of points [..., 2] than a little inwards: float32 [...]."""
    outer, inner = ((points + sign * 0.018 * outwards) * _SIDE - 0.5 for sign in (1, -1))
    flat = [place.reshape(-1, 2).astype(np.float32) for place in (outer, inner)]
    high, low = (
        cv2.remap(edges, place[:, :1], place[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for place in flat
    )
    return np.asarray((high - low).reshape(points.shape[:-1]), np.float32)


def _pulled(edges: Floats, outline: Points, reach: float, steps: int = 25) -> Points:
    """Move each point along its normal to the best path of steep and smooth steps (dynamic programming)."""
    outwards, ways = normals(outline), np.linspace(-reach, reach, steps)
    tried = outline[:, None] + outwards[:, None] * ways[None, :, None]
    price = 0.3 * (ways / reach) ** 2 - _rise(edges, tried, np.broadcast_to(outwards[:, None], tried.shape))
    bend = 0.02 * (np.arange(steps)[:, None] - np.arange(steps)) ** 2
    # The line is closed: go round twice and keep the middle, which the ends do not reach.
    total, came = np.zeros(steps), []
    for point in np.concatenate([price, price]):
        through = total + bend
        came.append(through.argmin(axis=1))
        total = through.min(axis=1) + point
    path = [int(total.argmin())]
    for before in came[:0:-1]:
        path.append(int(before[path[-1]]))
    count = len(outline)
    middle = np.array(path[::-1])[count // 2 : count // 2 + count]
    return np.asarray(outline + outwards * ways[np.roll(middle, count // 2)][:, None])
