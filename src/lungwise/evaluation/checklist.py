"""What reporting guidelines ask of such a study, answered as far as a run knows; the rest only its authors know.

Sources: TRIPOD+AI, Collins et al., BMJ 385, 2024 (e078378); CLAIM, Mongan, Moy and Kahn, Radiology: Artificial Intelligence
2(2), 2020 (e200029). The questions are in our own words; the numbers are those of the guidelines' items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNKNOWN = "Not known to the software: state it yourself."


@dataclass(frozen=True)
class Item:
    """One question and its answer.

    Args:
        question: in our own words.
        tripod: items of TRIPOD+AI, or "–".
        claim: items of CLAIM, or "–".
        answer: where the report answers it, or ``UNKNOWN``.
    """

    question: str
    tripod: str
    claim: str
    answer: str

    @property
    def known(self) -> bool:
        """Whether the report answers it."""
        return self.answer != UNKNOWN


def checklist(metrics: Mapping[str, Any], data: Mapping[str, Any], recipe: str, environment: Mapping[str, Any]) -> list[Item]:
    """The items, in the order of a paper.

    Args:
        metrics: the contents of ``metrics.json``.
        data: counts, audit, missing, unreadable, fingerprint.
        recipe: the recipe's text, or "".
        environment: packages and machine, or {}.
    """
    return [*_before(), *_data(metrics, data), *_model(metrics, recipe, environment), *_results(metrics, data), *_after()]


def _before() -> list[Item]:
    return [
        Item("For whom and for which task in care is the model meant?", "3a, 3b, 4", "3, 4, 6", UNKNOWN),
        Item("Was an ethics committee asked, and who paid?", "17, 18a, 18b", "42", UNKNOWN),
        Item("Was the study registered, and where is its protocol?", "18c, 18d", "40, 41", UNKNOWN),
    ]


def _data(metrics: Mapping[str, Any], data: Mapping[str, Any]) -> list[Item]:
    counts = bool(data.get("counts"))
    said = "How it was made: images of each part and class." if counts else UNKNOWN
    lost = f"How it was made: {data.get('missing', 0)} missing, {data.get('unreadable', 0)} unreadable images left out."
    folds = metrics.get("folds")
    parts = f"Fold by fold: divided by {folds['by']}." if folds else "Parts compared."
    return [
        Item("Where and when were the images taken, and of whom?", "5a, 5b, 6a", "5, 7", UNKNOWN),
        Item("Who was included, and who was left out?", "6b, 20a", "8, 33", UNKNOWN),
        Item("How many images has each part and class?", "21", "19, 20", said),
        Item("What was missing or unreadable?", "11", "13", lost if counts else UNKNOWN),
        Item("How were images prepared for the network?", "7", "9", "The recipe and data.json." if counts else UNKNOWN),
        Item("Who decided what is true, how, and without knowing the model?", "8a, 8b, 8c", "14–18", UNKNOWN),
        Item("Why this number of patients?", "10", "19", UNKNOWN),
        Item("How were the parts divided, and do they share patients?", "12a", "20, 21", f"{parts} {_audit(metrics)}"),
        Item("How were people's identities protected?", "–", "12", UNKNOWN),
    ]


def _audit(metrics: Mapping[str, Any]) -> str:
    number = len(metrics["audit"])
    return f"The audit of the data has {number} finding{'' if number == 1 else 's'}, which stand in the report."


def _model(metrics: Mapping[str, Any], recipe: str, environment: Mapping[str, Any]) -> list[Item]:
    trained = "How it was made: the recipe." if recipe else UNKNOWN
    chosen = "How it learned: the epoch that was best on validation." if metrics.get("training") else UNKNOWN
    calibration = (metrics.get("calibration") or {}).get("calibration", {}).get("reason", "")
    return [
        Item("What goes in, what comes out, of which structure is the model?", "9, 12c, 15, 22", "22", trained),
        Item("How was it trained, from which initial weights?", "12c, 13", "24, 25", trained),
        Item("How was the final model chosen?", "12c", "26, 27", chosen if not metrics.get("folds") else trained),
        Item("With which software?", "18f", "23", "How it was made: made with." if environment.get("packages") else UNKNOWN),
        Item("How does a probability become a decision?", "12g, 15", "–", "Results by class: the sentence below the table."),
        Item("Were probabilities calibrated?", "12e", "–", "Do probabilities mean what they say?" if calibration else UNKNOWN),
    ]


def _results(metrics: Mapping[str, Any], data: Mapping[str, Any]) -> list[Item]:
    groups, shortcuts = metrics.get("subgroups"), metrics.get("shortcuts")
    fair = "Whom it serves how well." if groups else UNKNOWN
    robust = "Does it read lungs?" if shortcuts else UNKNOWN
    outside = bool(metrics.get("folds")) and metrics["folds"].get("by") == "source"
    external = "Fold by fold: each source was left out in turn." if outside else UNKNOWN
    return [
        Item("Who are the patients of each part: age, sex, illness?", "20b, 20c", "34", UNKNOWN),
        Item(
            "How good is it, with which uncertainty?",
            "12e, 23a",
            "28, 29, 35, 36",
            "Results by class; every interval says how.",
        ),
        Item("How good is it for groups of patients?", "3c, 14, 23b", "30", fair),
        Item("Does it use what it should use?", "–", "30, 31", robust),
        Item("How good is it elsewhere, on images of another origin?", "12d, 16", "32", external),
        Item("Where does it fail?", "–", "37", "Results by class: the confusion matrix; Worst mistakes."),
    ]


def _after() -> list[Item]:
    return [
        Item("What limits the study?", "26", "38", "Verdict: the reasons for doubt. Others are yours to state."),
        Item("What should happen with poor images, and who may use it?", "27a, 27b", "39", UNKNOWN),
        Item("What do the results mean beside earlier work?", "25, 27c", "39", UNKNOWN),
        Item("Can others have data, code and model?", "18e, 18f", "–", UNKNOWN),
        Item("Were patients or the public involved?", "19", "–", UNKNOWN),
    ]
