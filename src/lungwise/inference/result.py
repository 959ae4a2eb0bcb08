"""The answer for one image, the same from every door."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lungwise.files import defuse

CSV_COLUMNS = ("path", "status", "decision")


@dataclass(frozen=True)
class Result:
    """The answer for one image.

    Args:
        path: the file, or a name for bytes and arrays.
        status: "ok"; "cannot assess", an answer without a class because the image is none that the model can judge; or "error",
            the image could not be read.
        decision: the class decided for; None unless the status is "ok".
        probabilities: class to probability; empty unless the status is "ok".
        reasons: why there is no decision.
        warnings: what a reader should know of the image.
        heatmap: path of the written heat map, or None.
        model: name of the bundle.
        bundle_sha256: which bundle exactly.
        intended_use: the sentence that stands beside every result.
        conformal_set: the classes that cannot be left out at the bundle's stated risk, none where the image fits no class;
            None where the bundle has no quantiles, and unless the status is "ok".
    """

    path: str
    status: str
    decision: str | None
    probabilities: dict[str, float]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    heatmap: str | None
    model: str
    bundle_sha256: str
    intended_use: str
    conformal_set: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return {
            "path": self.path,
            "status": self.status,
            "decision": self.decision,
            "probabilities": self.probabilities,
            "conformal_set": None if self.conformal_set is None else list(self.conformal_set),
            "reasons": list(self.reasons),
            "warnings": list(self.warnings),
            "heatmap": self.heatmap,
            "model": self.model,
            "bundle_sha256": self.bundle_sha256,
            "intended_use": self.intended_use,
        }

    def to_json(self) -> str:
        """One line of JSON; NaN cannot occur."""
        return json.dumps(self.to_dict(), allow_nan=False, ensure_ascii=False)


def set_text(result: Result) -> str:
    """The conformal set as "A; B", "(none)" where it is empty, "" where there is none."""
    return "" if result.conformal_set is None else "; ".join(result.conformal_set) or "(none)"


def csv_header(labels: tuple[str, ...]) -> list[str]:
    """Column names of :func:`csv_row`."""
    texts = ("conformal_set", "reasons", "warnings", "heatmap", "model", "bundle_sha256")
    return [*CSV_COLUMNS, *(f"prob_{label}" for label in labels), *texts]


def csv_row(result: Result, labels: tuple[str, ...]) -> list[str]:
    """One image as cells; text that a spreadsheet would run as a formula is defused."""
    probabilities = [f"{result.probabilities[label]:.6f}" if result.probabilities else "" for label in labels]
    said = ("; ".join(result.reasons), "; ".join(result.warnings))
    texts = (set_text(result), *said, result.heatmap or "", result.model, result.bundle_sha256)
    cells = [result.path, result.status, result.decision or ""]
    return [*map(defuse, cells), *probabilities, *map(defuse, texts)]
