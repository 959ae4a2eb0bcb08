"""PPV and NPV where a class is as common as in practice, and not as in a collected test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import DataError
from lungwise.evaluation.intervals import Estimate, Sample
from lungwise.labels import LabelSet

Values = NDArray[np.float64]


UNSURE = "Resamples cannot judge sensitivity or specificity."
JOINED = "The interval joins those of sensitivity and specificity."


def check_prevalence(prevalence: Mapping[str, float], labels: LabelSet) -> None:
    """Refuse a prevalence of an unknown class, or one that is not between 0 and 1, with a DataError."""
    for label, share in prevalence.items():
        labels.index(label)
        if not 0 < share < 1:
            raise DataError(f"A prevalence must lie between 0 and 1, got {share} for {label}; give a share such as 0.02.")


def adjusted(sensitivity: Values | float, specificity: Values | float, prevalence: float) -> tuple[Values, Values]:
    """PPV and NPV at another prevalence, by Bayes' rule; NaN where nothing would be called so.

    It holds where sensitivity and specificity do not change with the prevalence: the same mix of mild and severe cases, the
    same kinds of others.

    Args:
        sensitivity: 0 to 1.
        specificity: 0 to 1, of the same shape.
        prevalence: share of the class among images, in (0, 1).

    Source:
        Altman and Bland, "Diagnostic tests 2: predictive values", BMJ 309, 1994.
    """
    sens, spec = np.asarray(sensitivity, np.float64), np.asarray(specificity, np.float64)
    hits, alarms = sens * prevalence, (1 - spec) * (1 - prevalence)
    missed, cleared = (1 - sens) * prevalence, spec * (1 - prevalence)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(hits / (hits + alarms)), np.asarray(cleared / (cleared + missed))


def at_prevalence(
    label: str, prevalence: float, names: Sequence[str], sample: Sample, found: Mapping[str, Estimate]
) -> dict[str, Any]:
    """PPV and NPV of one class at a prevalence, with intervals from the same resamples, ready for JSON.

    Args:
        label: the class.
        prevalence: its share, in (0, 1).
        names: the rows of ``sample``.
        sample: what resampling found.
        found: every metric by name, for where the resamples agree.
    """
    keys = [f"{key}/{label}" for key in ("sensitivity", "specificity")]
    rows = [names.index(key) for key in keys]
    parts = [part[rows] for part in (sample.values, sample.draws, sample.left_out)]
    values, draws, left_out = (np.stack(adjusted(part[0], part[1], prevalence)) for part in parts)
    both = Sample(values, draws, left_out, sample.patients)
    # Both grow with sensitivity and with specificity, so their ends lie where those have theirs.
    sides = [[getattr(found[key], side) for key in keys] for side in ("low", "high")]
    estimates = {}
    for row, name in enumerate(("ppv", "npv")):
        estimate = both.estimate(row)
        reason = estimate.reason or (UNSURE if any(found[key].reason for key in keys) else "")
        if estimate.value is not None and reason:
            low, high = (float(adjusted(side[0], side[1], prevalence)[row]) for side in sides)
            ends = [value if np.isfinite(value) else outer for value, outer in ((low, 0.0), (high, 1.0))]
            low, high = min(ends[0], estimate.value), max(ends[1], estimate.value)
            estimate = Estimate(estimate.value, low, high, f"{reason} {JOINED}")
        estimates[name] = estimate.to_json()
    return {"prevalence": prevalence, **estimates}
