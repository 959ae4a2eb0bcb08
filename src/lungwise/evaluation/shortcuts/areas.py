"""Which class is told from what, and is that much? The verdict on areas under ROC curves, of all classes and of each one.

A shortcut may give away one class of several, as a source does that has only that class; a mean over classes would hide it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lungwise.evaluation.intervals import Estimate
from lungwise.evaluation.shortcuts.check import CHANCE, CLEAR, NEAR, Severity, lower, text
from lungwise.evaluation.shortcuts.films import ALL

_GRAVER: tuple[Severity, ...] = ("error", "warning", "ok")


@dataclass(frozen=True)
class Told:
    """What is told best.

    Args:
        what: a class, or ``ALL`` for the mean over classes.
        part: the AUROC with something taken away.
        whole: the model's own AUROC.
        kept: how much of what the model has above chance is in the part; None where it has nothing.
    """

    what: str
    part: Estimate
    whole: Estimate
    kept: float | None

    @property
    def severity(self) -> Severity:
        """A warning when the part is clearly above chance; an error when it comes near the model's own."""
        if lower(self.part) <= CLEAR:
            return "ok"
        return "error" if self.kept is not None and self.kept >= NEAR else "warning"

    @property
    def apart(self) -> str:
        """What is told, in words: "the classes apart" or "'covid' from the others"."""
        return "the classes apart" if self.what == ALL else f"'{self.what}' from the others"

    @property
    def figures(self) -> str:
        """The part's AUROC, in words."""
        return f"AUROC {text(self.part)}"


def told_most(part: Mapping[str, Estimate], whole: Mapping[str, Estimate]) -> Told:
    """The class, or all, whose verdict is the gravest; among equals the one whose interval lies highest.

    Args:
        part: AUROC by class and ``ALL``, with something taken away.
        whole: the same of the model's own answers.
    """
    found = [Told(what, estimate, whole[what], kept(estimate, whole[what])) for what, estimate in part.items()]
    return gravest(found)


def gravest(found: list[Told]) -> Told:
    """The one with the gravest verdict; among equals the one whose interval lies highest."""
    return min(found, key=lambda told: (_GRAVER.index(told.severity), -lower(told.part)))


def kept(part: Estimate, whole: Estimate) -> float | None:
    """How much of what one AUROC has above chance another one has; None where the first has nothing."""
    if part.value is None or whole.value is None or whole.value <= CHANCE:
        return None
    return (part.value - CHANCE) / (whole.value - CHANCE)
