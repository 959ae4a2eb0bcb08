"""The picture of one check: every row with its interval, and the values to compare with."""

from __future__ import annotations

import base64
from textwrap import shorten
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from lungwise.evaluation.figures import INK, MUTED, PALETTE, draw, plain
from lungwise.evaluation.shortcuts.check import Check, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIDE, _QUALITY = 224, 82
_COLOURS = {"error": "#be123c", "warning": "#b45309", "ok": PALETTE[0], "note": "#1d4ed8"}


def intervals(check: Check) -> str:
    """One SVG element: a line a row with its 95 % interval, dotted lines for what to compare with; "" without rows."""
    rows = [row for row in check.rows if row.estimate.value is not None]
    if not rows:
        return ""

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        for place, row in enumerate(rows):
            _line(ax, place, row, _COLOURS[check.severity])
        for name, value in check.marks.items():
            ax.axvline(value, color=MUTED, lw=1.2, ls=":")
            ax.text(value, -0.75, plain(name), ha="center", va="bottom", fontsize=8, color=MUTED)
        ax.set_yticks(range(len(rows)), [plain(shorten(row.name, 32, placeholder="…")) for row in rows])
        ax.set_ylim(len(rows) - 0.4, -0.9)
        low = min([0.0 if row.estimate.low is None else row.estimate.low for row in rows] + [0.45])
        ax.set_xlim(max(0.0, low - 0.05), 1.02)
        ax.set_xlabel(f"{check.quantity} with 95 % interval")
        ax.tick_params(axis="y", length=0, labelcolor=INK)

    return draw((4.6, 1.0 + 0.27 * len(rows)), 1, paint)


def _line(ax: Axes, place: int, row: Row, colour: str) -> None:
    value, low, high = row.estimate.value, row.estimate.low, row.estimate.high
    if low is not None and high is not None:
        ax.plot([low, high], [place, place], color=colour, lw=4, alpha=0.3, solid_capstyle="round")
    if value is not None:
        ax.plot([value], [place], "o", color=colour, ms=6)


def embedded(pixels: NDArray[np.uint8]) -> str:
    """A picture as JPEG in base64, 224 pixels a side."""
    small = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA if len(pixels) > _SIDE else cv2.INTER_LINEAR)
    _, coded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return base64.b64encode(coded.tobytes()).decode()
