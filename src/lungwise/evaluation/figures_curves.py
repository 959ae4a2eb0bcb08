"""Precision-recall curves: how right a call is (PPV) at every sensitivity that a threshold could have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lungwise.evaluation.cases import Cases
from lungwise.evaluation.figures import MUTED, PALETTE, draw, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def precision_recall_points(cases: Cases, column: int) -> dict[str, list[float]]:
    """The curve of one class against the rest, from the highest threshold to the lowest; equal scores are one threshold.

    Args:
        cases: at least one.
        column: of the class.

    Returns:
        "recall" (sensitivity) and "precision" (PPV), 0 to 1; both empty where the class is absent.
    """
    truth, score = cases.y == column, cases.prob[:, column]
    if not truth.any():
        return {"recall": [], "precision": []}
    order = np.argsort(-score, kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(score[order])), len(score) - 1]
    hits = np.cumsum(truth[order])[ends]
    return {"recall": (hits / truth.sum()).tolist(), "precision": (hits / (ends + 1)).tolist()}


def precision_recall_curves(
    curves: Mapping[str, Mapping[str, Sequence[float]]], areas: Mapping[str, str], common: Mapping[str, float]
) -> str:
    """One curve a class against the rest, drawn in steps, and how right it would be to call everything.

    Args:
        curves: class to recall and precision.
        areas: texts of the legend.
        common: class to its share of the images.
    """

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        for index, (name, curve) in enumerate(curves.items()):
            colour = PALETTE[index % len(PALETTE)]
            ax.step(curve["recall"], curve["precision"], where="pre", color=colour, lw=2, label=f"{plain(name)}  {areas[name]}")
            ax.axhline(common[name], color=colour if len(curves) > 1 else MUTED, lw=1, ls=":")
        ax.set_xlabel("sensitivity (recall)")
        ax.set_ylabel("PPV (precision)")
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(-0.02, 1.02)
        ax.set_aspect("equal")
        # Steep curves can cross the legend, which must stay readable.
        legend = ax.legend(
            loc="lower left", title="average precision [95 % interval]", title_fontsize=9, fontsize=9, frameon=True
        )
        legend.get_frame().set(edgecolor="none", alpha=0.85)

    return draw((4.6, 4.4), 1, paint)
