"""The report's pictures, each from numbers that were computed before; matplotlib is imported only to draw."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lungwise.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0f766e", "#b45309", "#6d28d9", "#be123c", "#1d4ed8", "#4d7c0f", "#0e7490", "#a21caf")
INK, MUTED, GRID = "#1f2933", "#66757f", "#e3e8ec"
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "legend.frameon": False,
    "svg.hashsalt": "lungwise",
    "svg.fonttype": "path",
}


def plain(name: str) -> str:
    """A class name as matplotlib shows it to the letter: no mathematics between dollars, not hidden from legends."""
    return f" {name}".replace("$", r"\$") if name.startswith("_") else name.replace("$", r"\$")


def draw(size: tuple[float, float], panels: int, paint: Any) -> str:
    """Draw with ``paint(axes)`` on ``panels`` axes side by side and return one SVG element.

    Args:
        size: width and height in inches.
        panels: number of axes.
        paint: called with the list of axes.
    """
    matplotlib = require("matplotlib", "train", "drawing a report")
    figure_class: type[Figure] = require("matplotlib.figure", "train", "drawing a report").Figure
    with matplotlib.rc_context(_STYLE):
        figure = figure_class(figsize=size, layout="constrained")
        axes = figure.subplots(1, panels, squeeze=False)[0]
        paint(list(axes))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]


def learning_curves(history: Sequence[dict[str, Any]], best: int) -> str:
    """Loss and accuracy of training and validation over epochs, with the epoch that was kept (0: not known)."""
    ticker = require("matplotlib.ticker", "train", "drawing a report")

    def paint(axes: list[Axes]) -> None:
        epochs = [record["epoch"] for record in history]
        for ax, key, title in ((axes[0], "loss", "Loss"), (axes[1], "accuracy", "Accuracy")):
            ax.plot(epochs, [record[key] for record in history], color=PALETTE[1], marker="o", ms=3, label="training")
            values = [record[f"val_{key}"] for record in history]
            ax.plot(epochs, values, color=PALETTE[0], marker="o", ms=3, label="validation")
            if best:
                ax.axvline(best, color=MUTED, lw=1, ls=":")
                ax.plot([best], [values[best - 1]], "o", ms=9, mfc="none", mec=PALETTE[0], label=f"kept: epoch {best}")
            ax.set_title(title, loc="left", fontsize=11, fontweight="bold")
            ax.set_xlabel("epoch")
            ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        axes[0].set_ylim(bottom=0)
        axes[1].legend(loc="best")

    return draw((9.2, 3.2), 2, paint)


def confusion_matrix(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Counts and row shares, row = truth, column = decision."""

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        shares = [[value / max(sum(row), 1) for value in row] for row in counts]
        ax.imshow(shares, cmap="GnBu", vmin=0, vmax=1.15)
        ax.grid(visible=False)
        for i, row in enumerate(counts):
            for j, value in enumerate(row):
                colour = "white" if shares[i][j] > 0.62 else INK
                ax.text(j, i - 0.08, f"{value}", ha="center", va="center", color=colour, fontsize=14, fontweight="bold")
                ax.text(j, i + 0.22, f"{shares[i][j]:.0%}", ha="center", va="center", color=colour, fontsize=9)
        names = [plain(label) for label in labels]
        ax.set_xticks(range(len(labels)), names)
        ax.set_yticks(range(len(labels)), names, rotation=90, va="center")
        ax.set_xlabel("decided")
        ax.set_ylabel("true")
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)

    side = 2.4 + 0.8 * len(labels)
    return draw((side, side), 1, paint)


def roc_curves(curves: dict[str, dict[str, list[float]]], areas: dict[str, str]) -> str:
    """One ROC curve a class against the rest; ``areas`` are the texts of the legend."""

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        ax.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=":")
        for index, (name, curve) in enumerate(curves.items()):
            colour = PALETTE[index % len(PALETTE)]
            ax.plot(curve["fpr"], curve["tpr"], color=colour, lw=2, label=f"{plain(name)}  {areas[name]}")
        ax.set_xlabel("false positive rate (1 − specificity)")
        ax.set_ylabel("sensitivity")
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(-0.02, 1.02)
        ax.set_aspect("equal")
        ax.legend(loc="lower right", title="AUROC [95 % interval]", title_fontsize=9, fontsize=9)

    return draw((4.6, 4.4), 1, paint)


def class_intervals(classes: dict[str, dict[str, dict[str, float | None]]], metrics: Sequence[str]) -> str:
    """Each class' metrics as points with their 95 % intervals."""

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        step = 0.8 / max(len(classes), 1)
        for index, (name, found) in enumerate(classes.items()):
            for place, metric in enumerate(metrics):
                value, low, high = (found[metric][key] for key in ("value", "low", "high"))
                if value is None or low is None or high is None:
                    continue
                y, colour = place + (index - (len(classes) - 1) / 2) * step, PALETTE[index % len(PALETTE)]
                ax.plot([low, high], [y, y], color=colour, lw=3, alpha=0.35, solid_capstyle="round")
                ax.plot([value], [y], "o", color=colour, ms=6, label=plain(name) if place == 0 else None)
        ax.set_yticks(range(len(metrics)), [metric.upper() if len(metric) < 4 else metric for metric in metrics])
        ax.invert_yaxis()
        ax.set_xlim(right=1.01)
        ax.set_xlabel("value with 95 % interval")
        # Above the axes, where no point can be hidden, whatever the values are.
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=len(classes), borderaxespad=0)

    return draw((5.6, 1.2 + 0.24 * len(metrics) * max(len(classes), 2)), 1, paint)


def score_histogram(scores: Sequence[float], truth: Sequence[bool], threshold: float, finding: str, other: str) -> str:
    """Probabilities of the finding among cases with and without it, and where the threshold lies (two classes)."""

    def paint(axes: list[Axes]) -> None:
        (ax,) = axes
        bins = [i / 25 for i in range(26)]
        for flag, name, colour in ((False, other, PALETTE[0]), (True, finding, PALETTE[1])):
            chosen = [score for score, is_true in zip(scores, truth, strict=True) if is_true is flag]
            ax.hist(chosen, bins=bins, color=colour, alpha=0.6, label=f"truly {plain(name)}")
        ax.axvline(threshold, color=INK, lw=1.2, ls="--", label=f"threshold {threshold:.3f}")
        ax.set_xlabel(f"probability of {plain(finding)}")
        ax.set_ylabel("images")
        ax.legend(loc="upper center")

    return draw((5.2, 3.4), 1, paint)
