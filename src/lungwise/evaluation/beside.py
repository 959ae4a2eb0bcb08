"""The intervals by formula that stand beside the bootstrap's in ``metrics.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lungwise.evaluation.cases import Cases
from lungwise.evaluation.exact import Range, delong, newcombe, wilson
from lungwise.evaluation.intervals import Estimate

METHOD = "Wilson for shares, DeLong on the logit scale for AUROC (Newcombe where it has no spread), images independent"
CLUSTERED = (
    "Patients have several images here ({images} of {patients}), which these intervals take for independent; read the "
    "bootstrap's. width_ratio is its width over theirs, and its square the design effect."
)


def beside(cases: Cases, counts: list[list[int]], found: Mapping[str, Estimate]) -> dict[str, Any]:
    """Intervals by formula, as if each image were of another patient.

    Args:
        cases: n cases.
        counts: the confusion matrix, rows are the truth.
        found: every metric by name, with the bootstrap's interval.

    Returns:
        "method", "note" where patients have several images, "accuracy", and "classes"; each interval as low, high and
        width_ratio (the bootstrap's width over this one's), None where undefined.
    """
    table = np.array(counts)
    total = int(table.sum())
    by_class: dict[str, dict[str, Any]] = {}
    for column, label in enumerate(cases.labels):
        yes, called, hits = (int(n) for n in (table[column].sum(), table[:, column].sum(), table[column, column]))
        rest = total - yes - called + hits
        shares = {"sensitivity": (hits, yes), "specificity": (rest, total - yes), "ppv": (hits, called)}
        shares["npv"] = (rest, total - called)
        ranges = {key: wilson(*share) for key, share in shares.items()}
        ranges["auroc"] = _area(cases, column, found[f"auroc/{label}"])
        by_class[label] = {key: _ready(ends, found[f"{key}/{label}"]) for key, ends in ranges.items()}
    patients = cases.patients
    note = {"note": CLUSTERED.format(images=len(cases), patients=patients)} if patients < len(cases) else {}
    accuracy = _ready(wilson(int(np.trace(table)), total), found["accuracy"])
    return {"method": METHOD, **note, "accuracy": accuracy, "classes": by_class}


def _area(cases: Cases, column: int, estimate: Estimate) -> Range | None:
    if estimate.value is None:
        return None
    truth, score = cases.y == column, cases.prob[:, column]
    return delong(truth, score) or newcombe(estimate.value, int(truth.sum()), int((~truth).sum()))


def _ready(ends: Range | None, estimate: Estimate) -> dict[str, float | None]:
    if ends is None or estimate.low is None or estimate.high is None:
        return {"low": ends and ends[0], "high": ends and ends[1], "width_ratio": None}
    return {"low": ends[0], "high": ends[1], "width_ratio": (estimate.high - estimate.low) / (ends[1] - ends[0])}
