"""What ``lungwise.json`` says: everything that turns the network's output into an answer."""

from __future__ import annotations

from math import isfinite
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lungwise.answer import INTENDED_USE
from lungwise.imaging.preprocess import Preprocess
from lungwise.imaging.views import MOST

FORMAT = 1
"""Raised when an older reader would misunderstand a newer bundle."""


class DecisionSpec(BaseModel):
    """How probabilities become a class; see :class:`lungwise.evaluation.decision.Decision`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Literal["argmax", "youden", "sensitivity", "specificity", "cost"]
    positive: int
    threshold: float = Field(ge=0, le=1)
    fitted_on: str


class BundleSpec(BaseModel):
    """The contents of ``lungwise.json``.

    Args:
        format: version of this layout.
        name: the model's name.
        labels: the classes, in column order.
        preprocess: from radiograph to network input.
        views: views of an image whose logits are averaged; see :mod:`lungwise.imaging.views`. Bundles that do not say have one.
        temperature: logits are divided by this before softmax; see :func:`lungwise.answer.probabilities`.
        calibration_matrix: [classes][classes], or empty: in the place of a temperature a linear map of log-probabilities.
        calibration_bias: [classes], or empty; belongs to the matrix.
        conformal_alpha: the share of true classes that conformal sets may miss.
        conformal_quantiles: label to the largest 1 - p that is still in the set, 0 to 1; empty without sets.
        decision: from probabilities to a class.
        head: "average" or "flatten", how the last feature map becomes the embedding.
        synthetic: whether it was trained on phantoms.
        metrics: a summary of ``metrics.json``, for the model card.
        provenance: recipe, data fingerprint and counts, environment.
        intended_use: the sentence that stands beside every result.
        files: SHA-256 of every file of the bundle; its own is taken with zeros in that place.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    name: str
    labels: tuple[str, ...] = Field(min_length=2)
    preprocess: Preprocess
    views: int = Field(default=1, ge=1, le=MOST)
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    calibration_matrix: tuple[tuple[float, ...], ...] = ()
    calibration_bias: tuple[float, ...] = ()
    conformal_alpha: float = Field(default=0.1, gt=0, lt=1)
    conformal_quantiles: dict[str, float] = Field(default_factory=dict)
    decision: DecisionSpec
    head: Literal["average", "flatten"]
    synthetic: bool = False
    metrics: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)
    intended_use: str = INTENDED_USE
    files: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> BundleSpec:
        if self.format != FORMAT:
            raise ValueError(f"format must be {FORMAT} for this version of Lungwise, got {self.format}")
        if self.decision.rule != "argmax" and not (len(self.labels) == 2 and self.decision.positive in (0, 1)):
            raise ValueError("a threshold needs two classes and the column of the finding")
        return self

    @model_validator(mode="after")
    def _calibrated(self) -> BundleSpec:
        number, rows = len(self.labels), self.calibration_matrix
        if rows or self.calibration_bias:
            shapes = {len(rows), len(self.calibration_bias), *(len(row) for row in rows)}
            finite = all(map(isfinite, (*self.calibration_bias, *(entry for row in rows for entry in row))))
            if shapes != {number} or not finite or self.temperature != 1:
                raise ValueError(
                    f"a calibration's map must be a matrix of {number} rows and columns with a bias of {number} numbers, all "
                    "finite, in the place of a temperature"
                )
        return self

    @model_validator(mode="after")
    def _sets(self) -> BundleSpec:
        found = self.conformal_quantiles
        if found and (set(found) != set(self.labels) or not all(0 <= value <= 1 for value in found.values())):
            raise ValueError(
                f"conformal quantiles must be numbers from 0 to 1, one for each of {list(self.labels)}, got {found}"
            )
        return self
