"""Can the class be told without a lung? A simple classifier on what surrounds them, cross-validated by patient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lungwise.evaluation.shortcuts.areas import Told, gravest, told_most
from lungwise.evaluation.shortcuts.check import CHANCE, CLEAR, NEAR, Check, Picture, Row, estimates_json, text
from lungwise.evaluation.shortcuts.features import FRAME, GROUPS, Features, mark_map, outlines
from lungwise.evaluation.shortcuts.films import ALL, Answers, Films, answers

FOLDS = 5
TOGETHER = "all surroundings together"
_TITLE = "Can the class be told from what is not lung?"
_SEED = 0


@dataclass(frozen=True, eq=False)
class Probes:
    """What the probe answers from each group of features, and from the outlines of the covered lungs.

    Args:
        groups: by the group's name; ``TOGETHER`` is the last.
        outline: from the shape of the covers alone.
    """

    groups: Mapping[str, Answers]
    outline: Answers


def probe(films: Films, progress: Callable[[str], None] = lambda step: None) -> Probes | None:
    """Ask the probe about every group; None where a class has too few patients to be cross-validated."""
    folds = min(FOLDS, *(len(np.unique(films.patient[films.y == column])) for column in films.present))
    if folds < 2:
        return None
    found = {}
    for name, make in GROUPS.items():
        progress(f"the probe: {name}")
        found[name] = make(films)
    progress(f"the probe: {TOGETHER}")
    found[TOGETHER] = np.concatenate(list(found.values()), axis=1)
    told = {name: cross_validated(features, films, folds) for name, features in found.items()}
    return Probes(told, cross_validated(outlines(films), films, folds))


def cross_validated(features: Features, films: Films, folds: int) -> Answers:
    """Out-of-fold answers of the mean of a logistic regression and boosted trees; a patient is in one fold only.

    The mean of both is taken, because choosing the better of two would be one more chance to be lucky.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    score = np.zeros((len(films), len(films.labels)))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=_SEED)
    for train, test in splitter.split(features, films.y, films.patient):
        classes = np.unique(films.y[train])
        if len(classes) < 2:
            score[test, classes] = 1.0
            continue
        # Columns of the classes that this fold can learn; others keep the score 0.
        score[np.ix_(test, classes)] = _told(features[train], films.y[train], features[test])
    return answers(films, score, score.argmax(axis=1))


def _told(train: Features, y: NDArray[np.int64], test: Features) -> NDArray[np.float64]:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    # Strong penalties: there are hundreds of features and often no more films.
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=2000, tol=1e-3))
    trees = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=7, min_samples_leaf=8, l2_regularization=1.0, early_stopping=False, random_state=_SEED
    )
    with threadpool_limits(1):  # on so few films threads wait for each other longer than they work
        told = [model.fit(train, y).predict_proba(test) for model in (linear, trees)]
    return np.asarray((told[0] + told[1]) / 2, np.float64)


def probe_check(films: Films, probes: Probes | None, own: Answers) -> Check:
    """The verdict: warning where some group tells the class clearly, error where it comes near the model's own result.

    Args:
        films: the films.
        probes: what :func:`probe` found.
        own: the model's answers to the same films.
    """
    if probes is None:
        few = "A class has a single patient here, so whether surroundings give the class away cannot be cross-validated."
        return Check("probe", _TITLE, "note", few)
    most = {name: told_most(told.areas, own.areas) for name, told in probes.groups.items()}
    told = gravest(list(most.values()))
    best = next(name for name, group in most.items() if group is told)
    rows = [Row(name, group.auroc, f"accuracy {text(group.accuracy, percent=True)}") for name, group in probes.groups.items()]
    if told.what != ALL:
        rows.append(Row(f"{best}: {told.what}", told.part, "this class against the others"))
    details = {
        "group": best,
        "class": told.what,
        "kept_of_the_models_auroc_above_chance": told.kept,
        "auroc": {name: estimates_json(group.areas) for name, group in probes.groups.items()},
        "model_auroc": estimates_json(own.areas),
        "accuracy": estimates_json({name: group.accuracy for name, group in probes.groups.items()}),
        "most_frequent_class": films.majority,
        "limits": {"clear": CLEAR, "near": NEAR},
    }
    marks = {"guessing": CHANCE, "the model": own.auroc.value or CHANCE}
    message = _message(told, best)
    name = "AUROC without lungs"
    return Check("probe", _TITLE, told.severity, message, name, told.part, tuple(rows), marks, _pictures(films), details)


def _message(told: Told, best: str) -> str:
    given = f"{told.figures}, where 0.50 is guessing and the model itself has {text(told.whole)}"
    if told.severity == "ok":
        return f"From everything around the lungs the class cannot clearly be told (best: {best}, {given})."
    if told.severity == "warning":
        return (
            f"Without seeing a lung, a simple classifier tells {told.apart} by {best} ({given}); the model may learn that "
            "instead of the illness."
        )
    return (
        f"Without seeing a lung, a simple classifier comes near the model's own result, telling {told.apart} by {best} "
        f"({given}); on such films a good result does not show that lungs are read."
    )


def _pictures(films: Films) -> tuple[Picture, ...]:
    """What the probe sees of one film of each class, at most three: all but the lungs, marks framed."""
    found = []
    for column in films.present[:3]:
        row = int(np.flatnonzero(films.y == column)[0])
        shown = _seen(films.squares[row], films.covers[row])
        found.append(
            Picture(f"{films.labels.names[column]}: what the probe may use; the frame and text marks in orange", shown)
        )
    return tuple(found)


def _seen(square: NDArray[np.uint8], cover: NDArray[np.bool_]) -> NDArray[np.uint8]:
    bright, _, _ = mark_map(square, cover)
    side = len(bright)
    film = cv2.resize(np.where(cover, np.uint8(40), square), (side, side), interpolation=cv2.INTER_LINEAR)
    shown = cv2.cvtColor(film, cv2.COLOR_GRAY2BGR)
    shown[bright] = (0, 140, 255)
    width = round(FRAME * side)
    cv2.rectangle(shown, (width, width), (side - width, side - width), (0, 140, 255), 1)
    return np.asarray(shown, np.uint8)
