"""Pairs as rows of texts, the same in the terminal, in Markdown, in LaTeX and on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lungwise.evaluation.wording import change, p_value, points

PAIR_COLUMNS = (
    "pair",
    "images",
    "accuracy",
    "adjusted p",
    "balanced accuracy",
    "AUROC",
    "adjusted p of AUROC",
    "only first right",
    "only second right",
    "McNemar p",
    "DeLong p",
    "verdict",
)


def pair_texts(pairs: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """One row a pair, under the names of ``PAIR_COLUMNS``; differences are first minus second."""
    return [dict(zip(PAIR_COLUMNS, _texts(pair), strict=True)) for pair in pairs]


def _texts(pair: dict[str, Any]) -> tuple[str, ...]:
    images = f"{pair['images']} of {pair['patients']} patients" if pair["patients"] < pair["images"] else str(pair["images"])
    areas = [f"{p_value(found['p'])} ({label})" for label, found in pair["delong"].items()]
    return (
        f"{pair['a']} − {pair['b']}" + (f" ({pair['note']})" if pair["note"] else ""),
        images,
        points(pair["accuracy"]),
        p_value(pair["accuracy"]["adjusted_p"]),
        points(pair["balanced_accuracy"]),
        change(pair["macro_auroc"]),
        p_value(pair["macro_auroc"]["adjusted_p"]),
        str(pair["mcnemar"]["only_a"]),
        str(pair["mcnemar"]["only_b"]),
        p_value(pair["mcnemar"]["p"]),
        ", ".join(areas) or "–",
        pair["verdict"],
    )
