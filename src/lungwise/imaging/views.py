"""Test-time augmentation: a few views of every image, whose logits are averaged (as Krizhevsky et al. 2012, section 4.1).

A view is the image moved as little as another positioning of the patient would move it. None is mirrored: the heart lies on
the left, and its mirror image is another anatomy. The views are a fixed list, so that training, evaluation and every way to ask
a bundle average over the same ones.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lungwise.imaging.preprocess import Preprocess, resize, scale


class Change(NamedTuple):
    """How a view differs from the image.

    Args:
        angle: degrees against the clock.
        zoom: factor of the size.
        right: shift to the right as a share of the side.
        down: shift downwards as a share of the side.
    """

    angle: float = 0.0
    zoom: float = 1.0
    right: float = 0.0
    down: float = 0.0


CHANGES = (
    Change(),
    *(Change(angle=3.0), Change(angle=-3.0)),
    *(Change(right=0.03), Change(right=-0.03)),
    *(Change(zoom=1.05), Change(zoom=0.95)),
    *(Change(down=0.03), Change(down=-0.03)),
    *(Change(2.0, 1.03, 0.02, 0.02), Change(-2.0, 0.97, -0.02, -0.02)),
    *(Change(2.0, 0.97, -0.02, 0.02), Change(-2.0, 1.03, 0.02, -0.02)),
    *(Change(angle=5.0), Change(angle=-5.0)),
    Change(zoom=1.025),
)
"""The views in their order. Opposite changes follow each other, so that with an odd number of views no direction prevails."""
MOST = len(CHANGES)


def views(square: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """The first views of an image.

    Borders that come into view repeat the edge, as in the augmentation of training images: a black rim would be an edge that no
    radiograph has, and an image that was padded with black has black edges to repeat.

    Args:
        square: uint8 [side, side], at the network's size.
        number: how many, from 1 to ``MOST``.

    Returns:
        uint8 [number, side, side]; the first is the image itself.

    Raises:
        ValueError: so many views there are not.
    """
    if not 1 <= number <= MOST:
        raise ValueError(f"An image has 1 to {MOST} views, got {number}.")
    return np.stack([square, *(_moved(square, change) for change in CHANGES[1:number])])


def to_inputs(square: NDArray[np.uint8], spec: Preprocess, number: int) -> NDArray[np.float32]:
    """The network's inputs for the views of a stored square, as :func:`lungwise.imaging.preprocess.to_input` for the image.

    Args:
        square: uint8 [stored, stored].
        spec: the data set's or bundle's specification.
        number: how many views.

    Returns:
        float32 [number, size, size, 1] in [low, high].
    """
    return scale(views(resize(square, spec.size), number), spec)[..., None]


def mean_logits(logits: NDArray[np.float32], number: int) -> NDArray[np.float32]:
    """One answer an image from those to its views.

    Args:
        logits: float32 [images * number, classes], the views of each image together.
        number: views of an image.

    Returns:
        float32 [images, classes].
    """
    each = logits.reshape(len(logits) // number, number, logits.shape[1])
    return np.asarray(each.mean(axis=1, dtype=np.float64), np.float32)


def _moved(square: NDArray[np.uint8], change: Change) -> NDArray[np.uint8]:
    side = len(square)
    centre = (side - 1) / 2
    matrix = cv2.getRotationMatrix2D((centre, centre), change.angle, change.zoom)
    matrix[:, 2] += np.array([side * change.right, side * change.down])
    moved = cv2.warpAffine(
        np.ascontiguousarray(square), matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved, np.uint8)
