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
PRECISIONS = {"fp32": "model.onnx", "fp16": "model_fp16.onnx", "int8": "model_int8.onnx"}
"""Every precision that a bundle can hold, with the file of its network; the first one is always there."""

Check = Literal["blank", "tiny", "inverted", "rotated", "lateral", "not-chest", "cut-off", "colour"]
"""What an image check can find fault with: those of :mod:`lungwise.imaging.quality`, and the colours of a photograph."""
LICENSE = r"^[a-z0-9][a-z0-9.-]{0,49}$"
"""How the Hugging Face Hub names licences."""


class DecisionSpec(BaseModel):
    """How probabilities become a class; see :class:`lungwise.evaluation.decision.Decision`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Literal["argmax", "youden", "sensitivity", "specificity", "cost"]
    positive: int
    threshold: float = Field(ge=0, le=1)
    fitted_on: str


class VariantSpec(BaseModel):
    """A smaller network of the bundle, and what it costs: measured on validation images against the float32 network.

    Args:
        made: how, in words.
        bytes: the size of its file.
        images: how many were compared.
        accuracy: of this network, 0 to 1.
        full_accuracy: of the float32 network on the same images.
        changed: images that it decides otherwise.
        largest: the largest change of a probability, 0 to 1.
        mean: the mean change of a probability, 0 to 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    made: str
    bytes: int = Field(gt=0)
    images: int = Field(gt=0)
    accuracy: float = Field(ge=0, le=1)
    full_accuracy: float = Field(ge=0, le=1)
    changed: int = Field(ge=0)
    largest: float = Field(ge=0, le=1)
    mean: float = Field(ge=0, le=1)


class NoveltySpec(BaseModel):
    """Which images the bundle does not assess; see :mod:`lungwise.inference.assess`.

    Args:
        checks: image checks that turn an image away.
        off: checks that do not, because they found fault with too many validation images, each with that share, 0 to 1.
        limit: largest distance that is assessed; None where ``novelty.npz`` is not there.
        fitted: training images that ``novelty.npz`` was made from.
        validation: validation images that the limit and the shares were measured on.
        rejected: share of these that checks and distance turn away together, 0 to 1; None where there were none.
        note: why there is no ``novelty.npz``; else empty.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    checks: tuple[Check, ...] = ()
    off: dict[Check, float] = Field(default_factory=dict)
    limit: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    fitted: int = Field(default=0, ge=0)
    validation: int = Field(default=0, ge=0)
    rejected: float | None = Field(default=None, ge=0, le=1)
    note: str = ""


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
        novelty: which images it does not assess; None in bundles from before it was looked for, which assess everything.
        variants: the smaller networks, "fp16" or "int8", each with what it costs.
        metrics: a summary of ``metrics.json``, for the model card: "part", "results" and, where known, "subgroups",
            "shortcuts" and "external" (evaluations on other data).
        provenance: recipe, data fingerprint and counts, environment.
        intended_use: the sentence that stands beside every result.
        license: of the model, as the Hugging Face Hub names licences ("cc-by-nc-4.0"); "other" where none was given.
        contact: whom to ask, in words; empty where nobody was named.
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
    novelty: NoveltySpec | None = None
    variants: dict[Literal["fp16", "int8"], VariantSpec] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)
    intended_use: str = INTENDED_USE
    license: str = Field(default="other", pattern=LICENSE)
    contact: str = ""
    files: dict[str, str] = Field(default_factory=dict)

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions that the bundle holds, "fp32" first."""
        return tuple(name for name in PRECISIONS if name == "fp32" or name in self.variants)

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
