"""The worst mistakes: images for which a wrong class was decided with the highest probability."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungwise.evaluation.cases import Cases

MOST = 8
"""A report shows so many at most."""


@dataclass(frozen=True)
class Mistake:
    """One wrong decision.

    Args:
        image: which one.
        truth: its label.
        decided: what was decided instead.
        probability: of the class decided for, calibrated.
    """

    image: str
    truth: str
    decided: str
    probability: float


Pictures = Callable[[Sequence[Mistake]], Mapping[str, Sequence[bytes]]]
"""Images to what can be shown of them: PNG or JPEG files of at most 224 px a side, the film first, then its heat map. An image
of which nothing is there is left out."""


def worst(cases: Cases, decided: NDArray[np.int64], most: int = MOST) -> list[Mistake]:
    """The wrong decisions with the highest probability of what was decided; an image stands for itself once.

    Args:
        cases: n cases, calibrated.
        decided: int64 [n], the column decided for.
        most: how many at most.
    """
    rows = np.flatnonzero(decided != cases.y)
    sure = cases.prob[rows, decided[rows]]
    found: dict[str, Mistake] = {}
    for row in rows[np.argsort(-sure, kind="stable")].tolist():
        image, column = str(cases.image[row]), int(decided[row])
        names = cases.labels.names
        found.setdefault(image, Mistake(image, names[int(cases.y[row])], names[column], float(cases.prob[row, column])))
        if len(found) == most:
            break
    return list(found.values())


def shown(mistakes: Sequence[Mistake], pictures: Pictures | None) -> list[tuple[Mistake, list[str]]]:
    """Every mistake with its pictures as ``data:`` addresses; none where there are none."""
    made = pictures(mistakes) if pictures and mistakes else {}
    return [(mistake, [_address(data) for data in made.get(mistake.image, ())]) for mistake in mistakes]


def _address(data: bytes) -> str:
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
