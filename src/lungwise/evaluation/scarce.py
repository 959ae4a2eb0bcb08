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

SHARES = ("sensitivity", "specificity", "ppv", "npv", "prevalence")
WILSON = "The interval is Wilson's, with patients counted for images."
NEWCOMBE = "The interval is Newcombe's, with patients counted for images."
JOINED = "The interval joins the ends of those of its parts."


def entering(cases: Cases, decided: NDArray[np.int64], means: Mapping[str, str]) -> dict[str, int]:
    """How many patients enter each metric of classes and each mean over classes; all enter the others.

    Args:
        cases: n cases.
        decided: int64 [n], the column decided for.
        means: which metrics are means over classes, and of what.
    """
    found, fewest = {"accuracy": cases.patients}, cases.patients
    for column, label in enumerate(cases.labels):
        truth, called = cases.y == column, decided == column
        yes, no = _patients(cases, truth), _patients(cases, ~truth)
        found |= {f"sensitivity/{label}": yes, f"specificity/{label}": no}
        found |= {f"ppv/{label}": _patients(cases, called), f"npv/{label}": _patients(cases, ~called)}
        found |= {f"f1/{label}": _patients(cases, truth | called), f"prevalence/{label}": cases.patients}
        found |= {f"auroc/{label}": min(yes, no), f"auprc/{label}": min(yes, no)}
        fewest = min(fewest, yes, no)
    return {**found, **dict.fromkeys(means, fewest)}


def guarded(estimate: Estimate, patients: int) -> Estimate:
    """The same estimate, without its interval where fewer patients enter it than can show one."""
    if estimate.value is None or estimate.low is None or patients >= FEWEST:
        return estimate
    return Estimate(estimate.value, None, None, few(patients))


def filled(found: Estimates, cases: Cases, decided: NDArray[np.int64], means: Mapping[str, str]) -> Estimates:
    """The same estimates; where the bootstrap has no interval, or too few patients enter, with one by formula if there is one.

    Args:
        found: every metric by name.
        cases: n cases.
        decided: int64 [n], the column decided for.
        means: which metrics are means over classes, and of what.
    """
    numbers = entering(cases, decided, means)
    found = {name: guarded(estimate, numbers.get(name, cases.patients)) for name, estimate in found.items()}

    def fill(name: str, ends: Range | None, how: str) -> None:
        estimate = found[name]
        if estimate.value is not None and estimate.low is None and ends is not None:
            low, high = min(ends[0], estimate.value), max(ends[1], estimate.value)
            found[name] = Estimate(estimate.value, low, high, f"{estimate.reason} {how}")

    for name in ("accuracy", *(f"{key}/{label}" for label in cases.labels for key in SHARES)):
        fill(name, _share(found[name], numbers[name]), WILSON)
    for column, label in enumerate(cases.labels):
        area, truth = found[f"auroc/{label}"].value, cases.y == column
        sides = _patients(cases, truth), _patients(cases, ~truth)
        fill(f"auroc/{label}", None if area is None else newcombe(area, *sides), NEWCOMBE)
        fill(f"f1/{label}", _harmonic(found[f"sensitivity/{label}"], found[f"ppv/{label}"]), JOINED)
    for name, key in means.items():
        fill(name, _mean([found[f"{key}/{label}"] for label in cases.labels]), JOINED)
    return found


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
