"""What ``lungwise.json`` says: everything that turns the network's output into an answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lungwise.answer import INTENDED_USE
from lungwise.imaging.preprocess import Preprocess

FORMAT = 1
"""Raised when an older reader would misunderstand a newer bundle."""


class DecisionSpec(BaseModel):
    """How probabilities become a class; see :class:`lungwise.evaluation.decision.Decision`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Literal["argmax", "youden", "sensitivity"]
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
        temperature: logits are divided by this before softmax.
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
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
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
