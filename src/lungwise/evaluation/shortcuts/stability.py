"""Does the decision survive what must not matter: compression, size, exposure, noise, a small turn?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lungwise.evaluation.intervals import Estimate
from lungwise.evaluation.shortcuts.check import Check, Picture, Row, Severity, lower, share, text
from lungwise.evaluation.shortcuts.films import Answers, Films, Model
from lungwise.evaluation.shortcuts.perturb import PERTURBATIONS, Perturbation, all_changed

LOSS = 0.05
"""A warning where accuracy surely falls by more than this (the interval's lower end): five films in a hundred then change
from right to wrong for no reason in the patient."""
GRAVE = 0.15
"""An error where a change that no reader sees surely costs more than this: the model reads the file, not the film."""
_TITLE = "Does the decision survive what must not matter?"


@dataclass(frozen=True, eq=False)
class Changed:
    """What one change does.

    Args:
        what: the change.
        unchanged: share of decisions that stay.
        accuracy: afterwards.
        loss: of accuracy.
    """

    what: Perturbation
    unchanged: Estimate
    accuracy: Estimate
    loss: Estimate

    @property
    def severity(self) -> Severity:
        """Harsh changes are reported and never judged."""
        if self.what.kind == "harsh" or lower(self.loss) <= LOSS:
            return "ok"
        return "error" if self.what.kind == "unseen" and lower(self.loss) > GRAVE else "warning"


def stability(films: Films, model: Model, own: Answers, progress: Callable[[str], None] = lambda step: None) -> list[Changed]:
    """Ask the model about every change of the films.

    Args:
        films: the films.
        model: the model.
        own: its answers to the films as they are.
        progress: told the name of each step.
    """
    found = []
    for what in PERTURBATIONS:
        progress(f"the answers to films changed: {what.name}")
        answer = model.answer(films, all_changed(films.squares, what.change))
        same = share(answer.decided == own.decided, films.patient)
        found.append(Changed(what, same, answer.accuracy, own.loss(answer)))
    return found


def stability_check(films: Films, found: list[Changed], own: Answers) -> Check:
    """The verdict: the gravest of all changes that are judged."""
    judged = [change for change in found if change.what.kind != "harsh"]
    faulty = [change for change in judged if change.severity != "ok"]
    severity: Severity = "error" if any(change.severity == "error" for change in faulty) else "warning" if faulty else "ok"
    least = max([change for change in judged if change.severity == severity], key=lambda change: lower(change.loss))
    given = (
        f"{least.what.name}: {text(least.unchanged, percent=True)} of the decisions stay, accuracy "
        f"{text(least.accuracy, percent=True)} instead of {text(own.accuracy, percent=True)}"
    )
    message = {
        "ok": f"Compression, size, exposure, noise and small turns hardly change what the model decides (most: {given}).",
        "warning": f"The model changes its mind where a reader would not ({given}).",
        "error": f"A change that no reader can see overturns the model's decisions ({given}): it reads the file, not the film.",
    }[severity]
    rows = tuple(Row(change.what.name, change.unchanged, _remark(change)) for change in found)
    details = {
        "films": len(films),
        "changes": [
            {
                "name": change.what.name,
                "kind": change.what.kind,
                "severity": change.severity,
                "unchanged": change.unchanged.to_json(),
                "accuracy": change.accuracy.to_json(),
                "loss": change.loss.to_json(),
            }
            for change in found
        ],
        "limits": {"loss": LOSS, "grave": GRAVE},
    }
    shown = tuple(Picture(change.what.name, change.what.change(films.squares[0], 0)) for change in found)
    return Check("stability", _TITLE, severity, message, "decisions unchanged", least.unchanged, rows, {}, shown, details)


def _remark(change: Changed) -> str:
    """The accuracy afterwards, and whether the change counts."""
    kind = {"unseen": "", "mild": "", "harsh": "; not judged"}[change.what.kind]
    return f"accuracy {text(change.accuracy, percent=True)}{kind}"
