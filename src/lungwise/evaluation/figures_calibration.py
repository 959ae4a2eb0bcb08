"""Reliability diagrams: what was said beside what was so, with the scores' histogram below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from lungwise.evaluation.cox import STEEPEST
from lungwise.evaluation.figures import INK, MUTED, PALETTE, draw, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (3.7, 5.1)
"""Narrow enough that its letters can be read on a telephone, two beside each other on a page."""


def reliability_diagrams(described: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """For each class two SVG elements of equal size, before and after calibration; to stand side by side where there is room.

    Args:
        described: as :func:`lungwise.evaluation.calibration_report.describe` gives it.
    """
    found = {}
    titles = ("before calibration", _after(described["calibration"]))
    for index, name in enumerate(described["before"]["classes"]):
        colour = PALETTE[index % len(PALETTE)]
        parts = (described[part]["classes"][name] for part in ("before", "after"))
        before, after = (reliability_diagram(part, name, title, colour) for part, title in zip(parts, titles, strict=True))
        found[name] = (before, after)
    return found


def reliability_diagram(found: Mapping[str, Any], name: str, title: str, colour: str = PALETTE[0]) -> str:
    """One class' reliability diagram: bins of equal mass with Wilson's intervals, and the histogram of its probabilities.

    Args:
        found: ece, slope, reliability and histogram of the class.
        name: the class.
        title: stands above.
        colour: of points and bars.
    """

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        ax.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=":")
        _points(ax, found["reliability"], colour)
        lines = [*wrap(plain(name), 34), title]
        ax.set_title("\n".join(lines), loc="left", fontsize=11, fontweight="bold")
        ax.text(0.03, 0.97, _words(found), transform=ax.transAxes, va="top", fontsize=9, color=INK, linespacing=1.5)
        ax.set_ylabel("observed share")
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(-0.02, 1.02)
        ax.set_aspect("equal")
        ax.tick_params(labelbottom=False)
        _bars(ax.inset_axes((0, -0.3, 1, 0.24)), found["histogram"], colour)

    return draw(_SIZE, 1, paint)


def _points(ax: Axes, bins: Sequence[Mapping[str, float]], colour: str) -> None:
    means, shares = [bin["mean"] for bin in bins], [bin["observed"] for bin in bins]
    low, high = ([bin[end] for bin in bins] for end in ("low", "high"))
    ax.vlines(means, low, high, color=colour, lw=2.5, alpha=0.35)
    ax.plot(means, shares, "-o", color=colour, lw=1, ms=4.5)


def _bars(ax: Axes, counts: Sequence[int], colour: str) -> None:
    width = 1 / len(counts)
    ax.bar([(place + 0.5) * width for place in range(len(counts))], counts, width=0.86 * width, color=colour, alpha=0.55)
    ax.set_xlim(-0.02, 1.02)
    ax.set_yticks([0, max(counts)])
    ax.set_ylabel("images")
    ax.set_xlabel("predicted probability")


def _words(found: Mapping[str, Any]) -> str:
    """The class' calibration error and slope, in two lines; the figure has no room for reasons."""
    return "\n".join(f"{word} {_estimate(found[key])}" for word, key in (("ECE", "ece"), ("slope", "slope")))


def _estimate(found: Mapping[str, Any]) -> str:
    if found["value"] is None:
        return "undefined"
    if found["low"] is None:
        return f"{found['value']:.2f}"
    high = "…" if found["high"] >= STEEPEST else f"{found['high']:.2f}"
    return f"{found['value']:.2f} [{found['low']:.2f}, {high}]"


def _after(calibration: Mapping[str, Any]) -> str:
    """What was done, in a few words."""
    if calibration["kind"] == "temperature":
        return f"temperature {calibration['temperature']:.2f}"
    names = {"none": "as the model answers", "dirichlet": "Dirichlet map", "folds": "each fold by its own"}
    return names[calibration["kind"]]
