"""Does the source give the label away? Then a classifier may learn scanners and text marks instead of lungs."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import chi2_contingency
from scipy.stats.contingency import association

from lungwise.data.audit.finding import Finding, Severity

STRONG_GAIN = 0.1
"""An error from here on: the accuracy that knowing only the source adds to always answering the most frequent class."""
NOTABLE_V = 0.1
"""A warning from here on, where chance does not explain it: Cramér's V of a weak association (Cohen 1988, w = 0.1)."""
_CHANCE = 0.01


def confounding(listed: pl.DataFrame) -> list[Finding]:
    """Association of class and source, overall and in every part of the split.

    The oracle knows the source alone and answers with the source's most frequent class; where its accuracy is far above
    that of the most frequent class of all, a classifier can look good without looking at a lung. Cramér's V (1946) is 0
    where class and source are independent and 1 where one decides the other.

    Args:
        listed: manifest rows with the columns label, source, split and path.
    """
    if listed["source"].n_unique() < 2 or listed["label"].n_unique() < 2:
        return []
    parts = {"all": listed} | {
        split: rows for split in ("train", "validation", "test") if (rows := listed.filter(pl.col("split") == split)).height
    }
    measured = {name: measure(rows) for name, rows in parts.items()}
    verdicts = {name: _severity(found) for name, found in measured.items()}
    if not any(verdicts.values()):
        return []
    severity: Severity = "error" if "error" in verdicts.values() else "warning"
    worst = _telling(measured)
    found = measured[worst]
    where = "" if worst == "all" else f" of the {worst} part"
    message = (
        f"the source gives the class away: knowing only the source is right for {found['oracle_accuracy']:.0%} of the "
        f"images{where}, always answering the most frequent class for {found['majority_accuracy']:.0%} (Cramér's V "
        f"{found['cramers_v']:.2f})"
    )
    alone = found["classes_of_own_sources"]
    if alone:
        message += f"; all of its images of {', '.join(alone)} come from sources without any other class"
    evidence = {"parts": measured, "strong_gain": STRONG_GAIN, "notable_v": NOTABLE_V}
    repair = (
        "add images of every class from every source, or train and test with one source left out (leave_one_source_out), and "
        "report accuracy within sources"
    )
    concerned = parts[worst].filter(pl.col("label").is_in(alone)) if alone else parts[worst]
    images = tuple(concerned["path"].sort())
    return [Finding("source-confounding", severity, len(images), message, images, evidence=evidence, repair=repair)]


def measure(rows: pl.DataFrame) -> dict[str, Any]:
    """Association of class and source in some rows.

    Returns:
        ``oracle_accuracy``, ``majority_accuracy``, ``cramers_v`` (None with one class or source), ``p_value`` of the
        chi-squared test, ``counts`` (source to label to number), ``classes_of_own_sources``.
    """
    table = rows.group_by("source", "label").len().pivot("label", index="source", values="len").fill_null(0).sort("source")
    labels = sorted(name for name in table.columns if name != "source")
    counts = table.select(labels).to_numpy().astype(np.int64)
    total = int(counts.sum())
    several = min(counts.shape) > 1
    return {
        "images": total,
        "oracle_accuracy": float(counts.max(axis=1).sum() / total),
        "majority_accuracy": float(counts.sum(axis=0).max() / total),
        "cramers_v": float(association(counts, method="cramer")) if several else None,
        "p_value": float(chi2_contingency(counts).pvalue) if several else None,
        "counts": {source: dict(zip(labels, row, strict=True)) for source, *row in table.select("source", *labels).iter_rows()},
        "classes_of_own_sources": _alone(counts, labels),
    }


def _alone(counts: NDArray[np.int64], labels: list[str]) -> list[str]:
    """Classes that share no source with another class, where there are several sources."""
    if len(counts) < 2:
        return []
    pure = (counts > 0).sum(axis=1) == 1
    return [label for column, label in enumerate(labels) if pure[counts[:, column] > 0].all()]


def _severity(found: dict[str, Any]) -> Severity | None:
    if found["p_value"] is None or found["p_value"] >= _CHANCE:
        return None  # in a small collection an association of this size comes about by chance
    if found["classes_of_own_sources"] or found["oracle_accuracy"] - found["majority_accuracy"] >= STRONG_GAIN:
        return "error"
    return "warning" if found["cramers_v"] >= NOTABLE_V else None


def _telling(measured: dict[str, dict[str, Any]]) -> str:
    """The part to speak of: the test part where it is confounded, because results come from there."""
    order = ["test", "all", "validation", "train"]
    faulty = [name for name in order if name in measured and _severity(measured[name])]
    return faulty[0]
