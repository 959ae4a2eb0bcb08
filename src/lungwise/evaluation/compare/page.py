"""A comparison as one page without network: table, differences, learning curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from lungwise.answer import INTENDED_USE
from lungwise.errors import require
from lungwise.evaluation.compare.runs import Evaluated
from lungwise.evaluation.compare.table import COLUMNS, texts
from lungwise.evaluation.compare.words import pair_texts
from lungwise.evaluation.figures import INK, MUTED, PALETTE, draw, plain
from lungwise.evaluation.multiplicity import LEVEL
from lungwise.evaluation.wording import change, p_value, points

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN = 8
"""Curves in one picture: as many as there are colours."""


def page(found: dict[str, Any], runs: Sequence[Evaluated]) -> str:
    """The page as HTML.

    Args:
        found: of :func:`lungwise.evaluation.compare.compare`.
        runs: those compared, in the same order.
    """
    jinja2 = require("jinja2", "train", "writing a comparison")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"points": points, "change": change, "p_value": p_value}
    text = resources.files("lungwise.evaluation").joinpath("templates", "compare.html").read_text(encoding="utf-8")
    rows = texts(found["runs"])
    # What all rows share is said once above them.
    same = {name: rows[0][name] for name in ("part", "images") if len({row[name] for row in rows}) == 1}
    pictures = {"learning": curves(runs), "differences": differences(found["pairs"])}
    return str(
        environment.from_string(text).render(
            found=found,
            columns=[name for name in COLUMNS if name not in same and any(row[name] != "–" for row in rows)],
            same=same,
            rows=rows,
            pairs=list(zip(pair_texts(found["pairs"]), found["pairs"], strict=True)),
            figures=pictures,
            left_out=max(sum(bool(run.history) for run in runs) - _SHOWN, 0),
            intended_use=INTENDED_USE,
        )
    )


def curves(runs: Sequence[Evaluated]) -> str:
    """Loss and accuracy of the first runs over epochs as an SVG element, "" where no training is known."""
    known = [run for run in runs if run.history][:_SHOWN]
    if not known:
        return ""
    ticker = require("matplotlib.ticker", "train", "drawing a comparison")

    def paint(axes: list[Axes]) -> None:
        for ax, key, title in ((axes[0], "loss", "Loss"), (axes[1], "accuracy", "Accuracy")):
            for colour, run in zip(PALETTE, known, strict=False):
                _curve(ax, run, key, colour)
            ax.set_title(title, loc="left", fontsize=11, fontweight="bold")
            ax.set_xlabel("epoch")
            ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        _cut_outliers(axes[0], known)
        # Below the axes, where names of any length hide nothing.
        axes[0].figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=9)

    return draw((9.2, 3.6 + 0.1 * len(known)), 2, paint)


def _curve(ax: Axes, run: Evaluated, key: str, colour: str) -> None:
    """Validation as a full line and training as a dashed one; of a cross-validation one thin line a fold."""
    for number, records in enumerate(_by_fold(run)):
        epochs = [record["epoch"] for record in records]
        label = plain(run.name) if number == 0 else None
        width, alpha = (0.8, 0.6) if run.folds else (1.8, 1.0)
        values = [record[f"val_{key}"] for record in records]
        ax.plot(epochs, values, color=colour, label=label, lw=width, alpha=alpha)
        if not run.folds:
            ax.plot(epochs, [record[key] for record in records], color=colour, ls="--", lw=1, alpha=0.7)
    kept = (run.metrics.get("training") or {}).get("kept_epoch")
    if kept:
        ax.plot([kept], [run.history[kept - 1][f"val_{key}"]], "o", ms=7, mfc="none", mec=colour)


def _by_fold(run: Evaluated) -> Iterator[list[dict[str, Any]]]:
    places = sorted({(record.get("repeat", 1), record.get("fold", 1)) for record in run.history})
    for place in places:
        yield [record for record in run.history if (record.get("repeat", 1), record.get("fold", 1)) == place]


def _cut_outliers(ax: Axes, runs: Sequence[Evaluated]) -> None:
    """Losses of a bad first epoch must not press all others flat: the axis ends at thrice the largest loss at a run's end."""
    last = max(max(records[-1]["val_loss"], records[-1]["loss"]) for run in runs for records in _by_fold(run))
    top = max(record[key] for run in runs for record in run.history for key in ("loss", "val_loss"))
    ax.set_ylim(0, min(1.05 * top, max(3 * last, 1e-6)))


def differences(pairs: Sequence[dict[str, Any]]) -> str:
    """Every pair's difference in accuracy and AUROC with its interval, as an SVG element, "" without pairs."""
    if not pairs:
        return ""

    def paint(axes: list[Axes]) -> None:
        for ax, metric, title, times in (
            (axes[0], "accuracy", "Accuracy, points", 100.0),
            (axes[1], "macro_auroc", "AUROC", 1.0),
        ):
            for place, pair in enumerate(pairs):
                found = pair[metric]
                if found["difference"] is None:
                    continue
                colour = PALETTE[0] if found["adjusted_p"] is not None and found["adjusted_p"] < LEVEL else MUTED
                if found["low"] is not None:
                    ax.plot([times * found["low"], times * found["high"]], [place] * 2, color=colour, lw=3, alpha=0.4)
                ax.plot([times * found["difference"]], [place], "o", color=colour, ms=6)
            ax.axvline(0, color=INK, lw=1)
            ax.set_title(title, loc="left", fontsize=11, fontweight="bold")
            ax.set_ylim(len(pairs) - 0.5, -0.5)
            ax.set_yticks(range(len(pairs)), [""] * len(pairs))
        axes[0].set_yticks(range(len(pairs)), [plain(f"{pair['a']} − {pair['b']}") for pair in pairs])

    return draw((9.2, 1.3 + 0.34 * len(pairs)), 2, paint)
