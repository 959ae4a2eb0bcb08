"""Is a large part of the lungs outside of the picture? A small network on the components that :mod:`.quality` takes.

``cut_off.npz``, which ``tools/make_cut_off_reference.py`` makes, holds its weights. It learnt from whole films of Kermany et
al., Cell 172 (2018), CC BY 4.0, and of the NIH Clinical Center's ChestX-ray8, Wang et al., CVPR 2017, and from the same films
of which a third to a half was cut away at the top, at the bottom or at a side. No picture is in that file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from lungwise.imaging.description import Floats


@dataclass(frozen=True)
class CutOff:
    """What ``cut_off.npz`` holds.

    Args:
        hidden: float32 [components + 1, h], first layer; the last row is its bias.
        out: float32 [h + 1], second layer; the last entry is its bias.
        limit: log odds above which a film counts as cut off.
    """

    hidden: Floats
    out: Floats
    limit: float


@cache
def cut_reference() -> CutOff:
    """The shipped reference, read once."""
    with np.load(Path(__file__).with_name("cut_off.npz"), allow_pickle=False) as file:
        return CutOff(file["hidden"].astype(np.float32), file["out"].astype(np.float32), float(file["limit"]))


def cut_scores(components: Floats, known: CutOff) -> Floats:
    """Log odds that much of the lungs is missing, from components float32 [n, components]: float32 [n]."""
    middle = np.maximum(components @ known.hidden[:-1] + known.hidden[-1], 0)
    return np.asarray(middle @ known.out[:-1] + known.out[-1], np.float32)
