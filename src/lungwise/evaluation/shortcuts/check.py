"""What one check of the shortcut audit says: a number with its interval, a verdict, and what to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lungwise.evaluation.exact import wilson
from lungwise.evaluation.intervals import AGREE, Bootstrap, Estimate, Weights

Severity = Literal["error", "warning", "note", "ok"]
"""An error: the result can be had without reading lungs. A warning wants a look. A note: this could not be measured."""

RESAMPLES = 2000
"""Resamples of each interval: the ends then move by a tenth of the interval's width, which no verdict here turns on."""
CLEAR = 0.60
"""An AUROC counts as clearly above chance when its interval lies above this. Chance is 0.50; the margin is for the many
figures that are looked at, each of which has its own chance to come out high, and for what nobody would care about."""
NEAR = 0.75
"""Of what a model has above chance (its AUROC less 0.5), the share that makes something without lungs "near the model's own":
then at most a quarter of what the model can do needs a lung."""
UNKNOWN = Estimate(None, None, None)
CHANCE = 0.5

_ORDER: tuple[Severity, ...] = ("error", "warning", "note", "ok")


@dataclass(frozen=True)
class Row:
    """One line of a check's figure: a name, its estimate, and what else is worth knowing of it."""

    name: str
    estimate: Estimate
    remark: str = ""


@dataclass(frozen=True, eq=False)
class Picture:
    """What a check showed the model or the probe: uint8 [h, w], or [h, w, 3] in OpenCV's order of colours."""

    caption: str
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Check:
    """What one check found.

    Args:
        name: stable, such as "probe".
        title: what was asked, for people.
        severity: the verdict.
        message: the verdict as one sentence that a doctor understands, with its full stop.
        quantity: what the estimate is, such as "AUROC".
        estimate: the number that the verdict turns on; all None where nothing was measured.
        rows: everything that was measured, for the figure.
        marks: values to compare with, for the figure: name to value.
        pictures: examples.
        details: figures that a reader can check, JSON types only; with the limits of the verdict.
    """

    name: str
    title: str
    severity: Severity
    message: str
    quantity: str = ""
    estimate: Estimate = UNKNOWN
    rows: tuple[Row, ...] = ()
    marks: Mapping[str, float] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The check in JSON types, without its pictures."""
        found = self.estimate.to_json()
        return {
            "name": self.name,
            "severity": self.severity,
            "message": self.message,
            "quantity": self.quantity,
            **{key: found[key] for key in ("value", "low", "high")},
            "rows": [{"name": row.name, **row.estimate.to_json(), "remark": row.remark} for row in self.rows],
            "details": dict(self.details),
        }


def worst(checks: Sequence[Check]) -> Severity:
    """The gravest verdict; "ok" of none."""
    return min((check.severity for check in checks), key=_ORDER.index, default="ok")


def lower(estimate: Estimate) -> float:
    """The interval's lower end; the value where all resamples agree, minus infinity where nothing is known."""
    return _end(estimate, estimate.low, float("-inf"))


def upper(estimate: Estimate) -> float:
    """The interval's upper end; the value where all resamples agree, infinity where nothing is known."""
    return _end(estimate, estimate.high, float("inf"))


def _end(estimate: Estimate, end: float | None, unknown: float) -> float:
    if end is not None:
        return end
    return estimate.value if estimate.value is not None and AGREE in estimate.reason else unknown


def text(estimate: Estimate, percent: bool = False) -> str:
    """An estimate as "0.91 [0.88, 0.94]" or "91 % [88, 94]"."""
    if estimate.value is None:
        return "unknown"
    scale, digits, unit = (100, 0, " %") if percent else (1, 2, "")
    ends = [f"{scale * end:.{digits}f}" for end in (estimate.low, estimate.high) if end is not None]
    return f"{scale * estimate.value:.{digits}f}{unit}" + (f" [{', '.join(ends)}]" if ends else "")


def estimates_json(found: Mapping[str, Estimate]) -> dict[str, Any]:
    """Estimates by name in JSON types."""
    return {name: estimate.to_json() for name, estimate in found.items()}


def share(hit: NDArray[np.bool_], patient: NDArray[np.str_]) -> Estimate:
    """The share of images with a property, with its patient-level interval (Wilson's where all or none have it).

    Args:
        hit: bool [n].
        patient: str [n].
    """
    bootstrap = Bootstrap(patient, RESAMPLES)
    hits, films = (np.bincount(bootstrap.group, weights, bootstrap.patients) for weights in (hit.astype(float), None))

    def figures(weights: Weights) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray([(hits @ weights) / (films @ weights)])

    return bounded(bootstrap.sample(figures).estimate(0), bootstrap.patients)


def bounded(estimate: Estimate, patients: int) -> Estimate:
    """A share with Wilson's interval, patients counted for images, where the bootstrap has none."""
    if estimate.value is None or estimate.low is not None:
        return estimate
    ends = wilson(min(estimate.value, 1.0) * patients, patients)
    return estimate if ends is None else Estimate(estimate.value, *ends, estimate.reason)
