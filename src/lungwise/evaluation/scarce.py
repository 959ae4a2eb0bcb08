"""What to say where resampling says nothing: too few patients, or all of them alike.

A perfect share, one patient, or a class of three patients give resamples that agree, and an interval without width would be a
lie. Then formulas step in that know a width from numbers alone, with patients counted in the place of images: as if all
images of a patient told the same, which is the careful side. Figures without such a formula get no interval, and the reason.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lungwise.evaluation.cases import Cases
from lungwise.evaluation.exact import Range, newcombe, wilson
from lungwise.evaluation.intervals import FEWEST, Estimate, few

Estimates = dict[str, Estimate]

WILSON = "The interval is Wilson's, with patients counted for images."
NEWCOMBE = "The interval is Newcombe's, with patients counted for images."
JOINED = "The interval joins the ends of those of its parts."


def filled(found: Estimates, cases: Cases, decided: NDArray[np.int64], means: Mapping[str, str]) -> Estimates:
    """The same estimates; where the bootstrap has no interval, or too few patients enter, with one by formula if there is one.

    Args:
        found: every metric by name.
        cases: n cases.
        decided: int64 [n], the column decided for.
        means: which metrics are means over classes, and of what.
    """
    found, fewest = dict(found), len(cases)
    for column, label in enumerate(cases.labels):
        truth, called = cases.y == column, decided == column
        wholes = {"sensitivity": truth, "specificity": ~truth, "ppv": called, "npv": ~called, "prevalence": truth | ~truth}
        for key, whole in wholes.items():
            number = _patients(cases, whole)
            found[f"{key}/{label}"] = _filled(found[f"{key}/{label}"], number, _share(found[f"{key}/{label}"], number), WILSON)
        sides = _patients(cases, truth), _patients(cases, ~truth)
        area = found[f"auroc/{label}"]
        ends = None if area.value is None else newcombe(area.value, *sides)
        found[f"auroc/{label}"] = _filled(area, min(sides), ends, NEWCOMBE)
        found[f"auprc/{label}"] = _filled(found[f"auprc/{label}"], min(sides), None, "")
        ends = _harmonic(found[f"sensitivity/{label}"], found[f"ppv/{label}"])
        found[f"f1/{label}"] = _filled(found[f"f1/{label}"], _patients(cases, truth | called), ends, JOINED)
        fewest = min(fewest, *sides)
    number = cases.patients
    found["accuracy"] = _filled(found["accuracy"], number, _share(found["accuracy"], number), WILSON)
    for name, key in means.items():
        found[name] = _filled(found[name], fewest, _mean([found[f"{key}/{label}"] for label in cases.labels]), JOINED)
    return found


def _filled(estimate: Estimate, patients: int, ends: Range | None, how: str) -> Estimate:
    """An estimate that so many patients enter, with these ends where it has none worth believing."""
    value = estimate.value
    if value is None:
        return estimate
    if patients < FEWEST and estimate.low is not None:
        estimate = Estimate(value, None, None, few(patients))
    if estimate.low is not None or ends is None:
        return estimate
    return Estimate(value, min(ends[0], value), max(ends[1], value), f"{estimate.reason} {how}")


def _patients(cases: Cases, rows: NDArray[np.bool_]) -> int:
    return len(np.unique(cases.patient[rows]))


def _share(estimate: Estimate, patients: int) -> Range | None:
    return None if estimate.value is None else wilson(min(estimate.value, 1.0) * patients, patients)


def _harmonic(first: Estimate, second: Estimate) -> Range:
    """Ends of F1, which grows with sensitivity and PPV; one that is undefined could be anything."""
    low, high = ((first.low or 0.0, second.low or 0.0), tuple(1.0 if e.high is None else e.high for e in (first, second)))
    return (2 * low[0] * low[1] / sum(low) if sum(low) else 0.0), (2 * high[0] * high[1] / sum(high) if sum(high) else 0.0)


def _mean(parts: list[Estimate]) -> Range | None:
    low, high = ([part.low for part in parts], [part.high for part in parts])
    if None in low or None in high:
        return None
    return float(np.mean(np.array(low, float))), float(np.mean(np.array(high, float)))
