"""Do two films show the same exposure? Lay one on the other, then compare their fine detail.

Two exposures of one patient agree in the large (heart, diaphragm, position) but never in every rib and vessel; copies of
one exposure do, whatever was done to their brightness, size or margins. So films are aligned by scale and shift (what a
crop does) and compared in the band of detail that JPEG and half size leave intact.
"""

from __future__ import annotations

from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from lungwise.imaging.preprocess import resize

SIDE = 96
"""Films are laid on each other at this many pixels a side, after half as many."""
MARGIN = 3
"""Pixels along the edge that are not compared: filters see past it."""
FARTHEST = 0.35
"""Largest change of scale and largest shift (in half sides) that a copy may have."""
ENOUGH = 0.0005
"""Alignment ends when a step changes scales and shifts by less than this."""
ALIKE = 0.85
"""Pairs that agree less than this at half of SIDE are different films."""
HOPELESS = 0.4
"""No pair that is refused at half of SIDE gets a greater similarity."""
BLOCK = 12
"""Movement that is left after alignment is measured in blocks of this many pixels."""
STRANGE = 0.75
"""Pixels that half of a film must move for two films to have nothing in common."""
Array = NDArray[np.float32]


class _Plane:
    """A film at one size, local contrast evened out, with what alignment needs.

    Args:
        pixels: float32 [n, n], grey values.
        fine: blur of the detail that is too fine to last, in pixels.
        coarse: blur of what is too coarse to tell films apart.
    """

    def __init__(self, pixels: Array, fine: float, coarse: float) -> None:
        band = cv2.GaussianBlur(pixels, (0, 0), fine) - cv2.GaussianBlur(pixels, (0, 0), coarse)
        power = cv2.GaussianBlur(band * band, (0, 0), 4.0)
        contrast = np.sqrt(power + np.float32(0.05 * float(power.mean()) + 0.25))
        self.detail = np.asarray(band / contrast, np.float32)

    @cached_property
    def slopes(self) -> Array:
        """float32 [4, n * n]: how the film changes with x scale, x shift, y scale, y shift; 0 at the edge."""
        side = len(self.detail)
        across = cv2.Sobel(self.detail, cv2.CV_32F, 1, 0, scale=side / 16)
        down = cv2.Sobel(self.detail, cv2.CV_32F, 0, 1, scale=side / 16)
        place = ((2 * np.arange(side) + 1 - side) / side).astype(np.float32)
        slopes = np.stack([across * place, across, down * place[:, None], down])
        inner = np.zeros((side, side), np.float32)
        inner[MARGIN:-MARGIN, MARGIN:-MARGIN] = 1.0
        return (slopes * inner).reshape(4, -1)

    @cached_property
    def steps(self) -> Array:
        """float32 [4, 4]: the inverse of the slopes' products."""
        products = (self.slopes @ self.slopes.T).astype(np.float64)
        return np.linalg.inv(products + np.eye(4) * (1e-3 * np.trace(products) + 1e-6)).astype(np.float32)


class Film:
    """One stored square, made ready to be laid on others.

    Args:
        square: uint8 [S, S].
    """

    def __init__(self, square: NDArray[np.uint8]) -> None:
        self._pixels = resize(square, SIDE).astype(np.float32)

    @cached_property
    def whole(self) -> _Plane:
        """The film at SIDE pixels."""
        return _Plane(self._pixels, 0.7, 2.0)

    @cached_property
    def half(self) -> _Plane:
        """The film at half as many."""
        pixels = cv2.resize(self._pixels, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)
        return _Plane(np.asarray(pixels, np.float32), 1.0, 4.0)


def similarity(one: Film, two: Film) -> float:
    """How sure it is that two films show the same exposure: 1 for copies, below 0.5 for two exposures.

    Returns:
        Normalised cross-correlation of the fine detail of the films laid on each other (Lucas and Kanade 1981), reduced by
        what still moves: 0 when half of the film would have to move by `STRANGE` pixels. Between 0 and 1; a rough
        value below `HOPELESS` for films that differ already in the coarse.
    """
    place = _align(one.half, two.half, np.zeros(4, np.float32), 12)
    rough = _agreement(*_common(one.half, two.half, place))
    if rough < ALIKE:
        return max(0.0, rough) * HOPELESS
    first, second = _common(one.whole, two.whole, _align(one.whole, two.whole, place, 10))
    still = 1.0 - (_movement(first, second) / STRANGE) ** 2
    return max(0.0, _agreement(first, second)) * max(0.0, still)


def _align(one: _Plane, two: _Plane, place: Array, rounds: int) -> Array:
    """Scales and shifts (float32 [4], see `_laid`) that lay ``two`` on ``one``, by Gauss-Newton steps."""
    for _ in range(rounds):
        apart = one.detail - _laid(two, place)
        step = one.steps @ (one.slopes @ apart.ravel())
        place = np.clip(place + step, -FARTHEST, FARTHEST)
        if float(np.abs(step).max()) < ENOUGH:
            break
    return place


def _laid(plane: _Plane, place: Array) -> Array:
    """The film moved: position x (-1 to 1 across the film) shows what is at x + place[0] x + place[1]; y likewise."""
    side = len(plane.detail)
    middle, (wide, right, tall, low) = (side - 1) / 2, place.tolist()
    matrix = np.array(
        [[1 + wide, 0, right * side / 2 - wide * middle], [0, 1 + tall, low * side / 2 - tall * middle]], np.float32
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(plane.detail, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def _common(one: _Plane, two: _Plane, place: Array) -> tuple[Array, Array]:
    """The detail of both films where they overlap: float32 [h, w] each."""
    side = len(one.detail)
    down, across = _overlap(side, *place[2:].tolist()), _overlap(side, *place[:2].tolist())
    return one.detail[down, across], _laid(two, place)[down, across]


def _overlap(side: int, scale: float, shift: float) -> slice:
    """The pixels of the first film that lie on the second and that both know well."""
    middle, far = (side - 1) / 2, (side - 1) / 2 - MARGIN
    first = (-far - shift * side / 2) / (1 + scale) + middle
    last = (far - shift * side / 2) / (1 + scale) + middle
    return slice(max(MARGIN, int(np.ceil(first))), min(side - MARGIN, int(last) + 1))


def _agreement(first: Array, second: Array) -> float:
    """Normalised cross-correlation, -1 to 1."""
    power = float(np.vdot(first, first)) * float(np.vdot(second, second))
    return float(np.vdot(first, second)) / float(np.sqrt(power)) if power > 0 else 0.0


def _movement(first: Array, second: Array) -> float:
    """By how many pixels the blocks of one film would still have to move to lie on the other: the median.

    Two exposures differ by a breath and a turn, which no scale and shift takes back; noise moves nothing.
    """
    middle, apart = (first + second) / 2, first - second
    across, down = cv2.Sobel(middle, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(middle, cv2.CV_32F, 0, 1, scale=1 / 8)
    xx, yy, xy = _blocks(across * across) + 0.005, _blocks(down * down) + 0.005, _blocks(across * down)
    xe, ye = _blocks(across * apart), _blocks(down * apart)
    moves = np.hypot(yy * xe - xy * ye, xx * ye - xy * xe) / (xx * yy - xy * xy)
    detail = xx + yy
    return float(np.median(moves[detail >= 0.25 * detail.mean()]))


def _blocks(values: Array) -> Array:
    """Means of blocks of BLOCK x BLOCK pixels; what is left over at the end is left out."""
    high, wide = values.shape[0] // BLOCK, values.shape[1] // BLOCK
    whole = values[: high * BLOCK, : wide * BLOCK]
    return np.asarray(cv2.resize(whole, (wide, high), interpolation=cv2.INTER_AREA), np.float32)
