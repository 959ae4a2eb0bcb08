"""Changes to a film that should not change what is read from it: uint8 [S, S] in, uint8 [S, S] out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Square = NDArray[np.uint8]
Change = Callable[[Square, int], Square]
"""From a square and its number (a seed) to the changed square."""


@dataclass(frozen=True)
class Perturbation:
    """One change.

    Args:
        name: for people.
        kind: "unseen" by a reader (must change nothing), "mild" (as between two X-ray rooms), "harsh" (a fault of the
            picture: reported, never judged).
        change: the function.
    """

    name: str
    kind: Literal["unseen", "mild", "harsh"]
    change: Change


def jpeg(square: Square, quality: int) -> Square:
    """Compressed as JPEG at a quality of 0 to 100, and decoded."""
    _, coded = cv2.imencode(".jpg", square, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.uint8)


def half(square: Square) -> Square:
    """Half as many pixels a side, and back."""
    side = len(square)
    small = cv2.resize(square, (max(1, side // 2),) * 2, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def exposed(square: Square, contrast: float, brightness: float) -> Square:
    """Grey values stretched around the film's mean, and shifted by so many."""
    grey = square.astype(np.float32)
    return _rounded((grey - grey.mean()) * np.float32(contrast) + grey.mean() + np.float32(brightness))


def noisy(square: Square, deviation: float, seed: int) -> Square:
    """Gaussian noise of so many grey values added."""
    noise = np.random.default_rng(seed).standard_normal(square.shape, dtype=np.float32)
    return _rounded(square.astype(np.float32) + np.float32(deviation) * noise)


def turned(square: Square, degrees: float) -> Square:
    """Turned counter-clockwise about the middle; what comes in at the edge repeats the edge."""
    middle = (len(square) - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), degrees, 1.0)
    size = (len(square), len(square))
    return np.asarray(cv2.warpAffine(square, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _rounded(grey: NDArray[np.float32]) -> Square:
    return np.rint(np.clip(grey, 0, 255)).astype(np.uint8)


PERTURBATIONS = (
    Perturbation("JPEG, quality 90", "unseen", lambda square, seed: jpeg(square, 90)),
    Perturbation("JPEG, quality 50", "mild", lambda square, seed: jpeg(square, 50)),
    Perturbation("JPEG, quality 20", "harsh", lambda square, seed: jpeg(square, 20)),
    Perturbation("half size and back", "mild", lambda square, seed: half(square)),
    Perturbation("brighter by 15 grey values", "mild", lambda square, seed: exposed(square, 1.0, 15)),
    Perturbation("darker by 15 grey values", "mild", lambda square, seed: exposed(square, 1.0, -15)),
    Perturbation("contrast × 1.2", "mild", lambda square, seed: exposed(square, 1.2, 0)),
    Perturbation("contrast × 0.8", "mild", lambda square, seed: exposed(square, 0.8, 0)),
    Perturbation("noise of 5 grey values", "mild", lambda square, seed: noisy(square, 5, seed)),
    Perturbation("turned by 5° to the left", "mild", lambda square, seed: turned(square, 5)),
    Perturbation("turned by 5° to the right", "mild", lambda square, seed: turned(square, -5)),
    Perturbation("inverted", "harsh", lambda square, seed: 255 - square),
)
"""Every change of the audit, in the order of the report."""


def all_changed(squares: NDArray[np.uint8], change: Change) -> NDArray[np.uint8]:
    """Every square changed, each with its number as seed: uint8 [n, S, S]."""
    return np.stack([change(square, number) for number, square in enumerate(squares)])
