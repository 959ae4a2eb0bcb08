"""Toy films in milliseconds: two dark ovals on grey, an opacity in the sick, and shortcuts that can be planted."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lungwise.evaluation.decision import Decision
from lungwise.evaluation.shortcuts.films import Films, Model
from lungwise.labels import LabelSet

SIDE = 48
LABELS = LabelSet(("normal", "sick"))
ARGMAX = Decision().decide
Squares = NDArray[np.uint8]
Prob = NDArray[np.float64]


def lungs() -> NDArray[np.bool_]:
    """bool [48, 48], the same for all films."""
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    for middle in (15, 33):
        cv2.ellipse(drawn, (middle, 24), (7, 15), 0, 0, 360, (1,), -1)
    return drawn.astype(bool)


LUNGS = lungs()


def toy(number: int = 120, seed: int = 0, plant: str = "", share: float = 1.0) -> Films:
    """Films of two classes in turn, one or two of each patient.

    Args:
        number: how many.
        seed: of everything drawn.
        plant: "corner" marks, "border" frames or "histogram" darkens, in the sick only; "size" makes their originals larger.
        share: of the sick that have it.
    """
    rng = np.random.default_rng(seed)
    y = np.arange(number) // 2 % 2
    squares = np.stack([_film(rng, bool(sick), plant if sick and rng.random() < share else "") for sick in y])
    size = rng.normal(500, 20, (number, 2)) + 100.0 * (plant == "size") * y[:, None]
    patient = np.array([f"p{film // 2 if film % 3 else film}-{label}" for film, label in enumerate(y)], np.str_)
    names = np.array([f"i{film}" for film in range(number)], np.str_)
    source = np.array([("east", "west")[film // 4 % 2] for film in range(number)], np.str_)
    covers = np.broadcast_to(LUNGS, squares.shape)
    return Films(squares, covers, np.ones(number, bool), LABELS, y.astype(np.int64), names, patient, source, size)


def _film(rng: np.random.Generator, sick: bool, plant: str) -> Squares:
    grey = np.full((SIDE, SIDE), 150.0) + rng.normal(0, 8)
    grey[LUNGS] -= 80
    if sick:
        row, column = (rng.choice(values) for values in (np.arange(14, 34), (13, 15, 17, 31, 33, 35)))
        blob = np.zeros((SIDE, SIDE), np.float32)
        cv2.circle(blob, (int(column), int(row)), 4, (60.0,), -1)
        grey += cv2.GaussianBlur(blob, (0, 0), 1.0) * LUNGS
    grey = grey + rng.normal(0, 4, grey.shape)
    if plant == "corner":
        grey[2:5, 2:8] = 255
    elif plant == "border":
        grey[:3], grey[-3:] = 0, 0
    elif plant == "histogram":
        grey = grey * 0.8 + 10
    return np.rint(np.clip(grey, 0, 255)).astype(np.uint8)


def _prob(score: Prob) -> Prob:
    """Two columns from log odds of being sick."""
    sick = 1 / (1 + np.exp(-np.clip(score, -30, 30)))
    return np.stack([1 - sick, sick], axis=1)


def read_lungs(squares: Squares) -> Prob:
    """A model that looks at nothing but lungs: the brightest place against the median, by the spread of the film."""
    found = []
    for square in squares:
        soft = cv2.GaussianBlur(square.astype(np.float32), (0, 0), 1.5)
        inside = soft[cv2.erode(LUNGS.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0]
        found.append((np.percentile(inside, 97) - np.median(inside)) / (np.median(soft[~LUNGS]) - np.median(inside) + 20))
    return _prob(40 * (np.array(found, np.float64) - 0.18))


def read_corner(squares: Squares) -> Prob:
    """A model that looks at nothing but the upper left corner."""
    grey = squares[:, 2:5, 2:8].mean(axis=(1, 2)) - squares[:, :8, -12:].mean(axis=(1, 2))
    return _prob((grey - 40) / 10)


def read_frame(squares: Squares) -> Prob:
    """A model that looks at nothing but the frame above and below."""
    return _prob((60 - squares[:, [0, 1, -2, -1]].mean(axis=(1, 2))) / 5)


def guess(squares: Squares) -> Prob:
    """A model that answers by chance, the same for equal films."""
    return _prob(np.array([np.random.default_rng(int(square.sum())).normal() for square in squares]))


def model(predict: object) -> Model:
    return Model(predict, ARGMAX)  # type: ignore[arg-type]
