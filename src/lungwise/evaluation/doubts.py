"""Why a reader should not believe the figures as they stand, the strongest reasons first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Weight = Literal["grave", "doubt"]

FEW = 50
"""With fewer patients of a class its sensitivity is known to no better than about 14 points either way."""
MEASURED = ("accuracy", "balanced_accuracy", "macro_auroc")


@dataclass(frozen=True)
class Doubt:
    """One reason.

    Args:
        weight: "grave" where the figures can be good although the model is not.
        text: one sentence or more, with its full stop.
    """

    weight: Weight
    text: str


def doubts(metrics: Mapping[str, Any]) -> list[Doubt]:
    """All reasons that a run's metrics give, grave ones first.

    Args:
        metrics: the contents of ``metrics.json``.
    """
    found = [*_data(metrics), *_shortcuts(metrics), *_unlike(metrics), *_numbers(metrics)]
    return sorted(found, key=lambda doubt: doubt.weight != "grave")


def conclusion(metrics: Mapping[str, Any]) -> str:
    """What the reasons amount to, in one sentence."""
    found = doubts(metrics)
    if any(doubt.weight == "grave" for doubt in found):
        return "These figures can be good although the model is not; do not rely on them before the points below are settled."
    if found:
        return "These figures hold with the reservations below, and for images like these only."
    return "Nothing was found that speaks against these figures; they hold for images like these only."


def _data(metrics: Mapping[str, Any]) -> Iterator[Doubt]:
    """What the audit of the data calls an error; confounding already as a warning."""
    findings = list(metrics["audit"])
    findings.sort(key=lambda finding: "confounding" not in finding.get("check", ""))
    for finding in findings:
        error = finding["severity"] == "error"
        if error or (finding["severity"] == "warning" and "confounding" in finding.get("check", "")):
            yield Doubt("grave" if error else "doubt", f"The data: {finding['message']}.")


def _shortcuts(metrics: Mapping[str, Any]) -> Iterator[Doubt]:
    audit = metrics.get("shortcuts") or {"checks": []}
    for check in audit["checks"]:
        if check["severity"] in ("error", "warning"):
            yield Doubt("grave" if check["severity"] == "error" else "doubt", f"Shortcuts: {check['message']}")


def _unlike(metrics: Mapping[str, Any]) -> Iterator[Doubt]:
    """Test images that are unlike validation images, as probabilities and sets show."""
    calibration = metrics.get("calibration") or {}
    change = calibration.get("change", {}).get("log_loss", {})
    if change.get("low") is not None and change["low"] > 0:
        yield Doubt("grave", " ".join(calibration["notes"]))
    conformal = metrics.get("conformal") or {}
    always = conformal.get("always", [])
    # The first notes speak of classes with too few validation images, which is no sign of unlikeness.
    for note in conformal.get("notes", [])[len(always) :]:
        yield Doubt("grave", note)


def _numbers(metrics: Mapping[str, Any]) -> Iterator[Doubt]:
    """Too few patients, no separate test part, intervals that nobody can know."""
    part, name = metrics["parts"][metrics["part"]], metrics["part"]
    if name != "test":
        yield Doubt("grave", "There is no test part: the model was chosen on these validation images, which flatters it.")
    few = [(label, number) for label, number in metrics.get("patients_by_class", {}).items() if number < FEW]
    if few:
        said = ", ".join(f"{number} of {label}" for label, number in few)
        text = f"Few {name} patients ({said}): read the ends of the intervals, not the figures in the middle."
        yield Doubt("doubt", text)
    unknown = [key.replace("_", " ").replace("macro auroc", "AUROC") for key in MEASURED if part[key]["low"] is None]
    for label, found in part["classes"].items():
        unknown += [f"{key} of {label}" for key in ("sensitivity", "specificity") if found[key]["low"] is None]
    if unknown:
        yield Doubt("doubt", f"Too few images to know an interval for: {', '.join(unknown)}.")
    always = (metrics.get("conformal") or {}).get("always", [])
    if always:
        yield Doubt("doubt", f"Validation has too few images of {', '.join(always)} to promise sets for it.")
