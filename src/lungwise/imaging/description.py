"""What the image checks see of a picture: 32 x 32 grey values without constant borders, as they are and as local contrast."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
THUMB, GRID = 64, 32
_BORDER = 4.0  # mean absolute deviation, in grey values, up to which an outer row or column is border


def without_border(thumbs: Bytes) -> tuple[Floats, Floats]:
    """Cut constant outer rows and columns off: padding, collimator shadow, paper.

    Args:
        thumbs: uint8 [n, 64, 64].

    Returns:
        float32 [n, 32, 32] of what is inside, stretched, and float32 [n], the share of the square that it fills. A
        picture that is border all over is kept whole, with share 0.
    """
    values = thumbs.astype(np.float32)
    rows = np.abs(values - values.mean(axis=2, keepdims=True)).mean(axis=2) > _BORDER
    columns = np.abs(values - values.mean(axis=1, keepdims=True)).mean(axis=1) > _BORDER
    films, content = np.empty((len(thumbs), GRID, GRID), np.float32), np.zeros(len(thumbs), np.float32)
    for i, film in enumerate(values):
        across, down = np.flatnonzero(columns[i]), np.flatnonzero(rows[i])
        if min(len(across), len(down)) > 1:
            film = film[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
            content[i] = film.size / THUMB**2
        shrinks = min(film.shape) >= GRID
        films[i] = cv2.resize(film, (GRID, GRID), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return films, content


def describe(films: Floats) -> Floats:
    """Grey values over the whole, and local contrast: float32 [n, 32, 32] to float32 [n, 2, 32, 32]."""
    whole = films - films.mean(axis=(1, 2), keepdims=True)
    whole /= films.std(axis=(1, 2), keepdims=True) + np.float32(1e-3)
    local = films - _blur(films)
    energy = np.sqrt(np.maximum(_blur(local * local), 0))
    # A share of the film's mean contrast keeps the noise of empty regions from being raised to structure.
    local = local / (energy + np.float32(0.15) * energy.mean(axis=(1, 2), keepdims=True) + np.float32(1e-3))
    local /= np.sqrt((local * local).mean(axis=(1, 2), keepdims=True)) + np.float32(1e-6)
    return np.stack([whole, local], axis=1)


@cache
def _kernel() -> Floats:
    """Gaussian blur (deviation 4 pixels, mirrored at the borders) of 32 values as a matrix, float32 [32, 32]."""
    blurred = cv2.GaussianBlur(np.eye(GRID, dtype=np.float32), (1, 33), 1.0, sigmaY=GRID / 8, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32)


def _blur(films: Floats) -> Floats:
    return np.asarray(_kernel() @ films @ _kernel().T, np.float32)
