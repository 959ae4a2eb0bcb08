"""Does the model need the lungs? Its answers with the lungs covered, and with everything else covered.

A covered film is none that the model has learnt from, so its decisions may tilt to one class. The verdicts therefore turn on
AUROC, which a common tilt does not touch, and each experiment is made twice: filled with black and with the film's own mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from lungwise.evaluation.shortcuts.areas import Told, kept, told_most
from lungwise.evaluation.shortcuts.check import (
    CHANCE,
    CLEAR,
    NEAR,
    Check,
    Picture,
    Row,
    Severity,
    estimates_json,
    lower,
    text,
    upper,
)
from lungwise.evaluation.shortcuts.films import ALL, Answers, Films, Model

HALF = 0.5
"""With less than this share of what it has above chance, a model that sees the lungs alone has lost its way."""
AHEAD = 0.05
"""The lungs alone must not surely be worse than all but the lungs by more than this AUROC (the interval's lower end)."""
FOUND = 0.5
"""Lungs must have been found on this share of the films for the experiments to say anything."""
FILLS = ("black", "mean")

What = Literal["lungs", "rest"]
_TITLES = {
    "lungs-covered": "Does the model still answer when the lungs are covered?",
    "only-lungs": "Does the model answer from the lungs alone?",
}


def covered(films: Films, what: What, fill: str) -> NDArray[np.uint8]:
    """Films with the lungs ("lungs") or everything but the lungs ("rest") filled: uint8 [n, S, S].

    Args:
        films: with their covers.
        what: what disappears.
        fill: "black", or "mean" for each film's own mean.
    """
    means = films.squares.reshape(len(films), -1).mean(axis=1) if fill == "mean" else np.zeros(len(films))
    value = np.rint(means).astype(np.uint8)[:, None, None]
    return np.where(films.covers if what == "lungs" else ~films.covers, value, films.squares)


def cover_all(films: Films, model: Model, what: What) -> dict[str, Answers]:
    """The model's answers with something covered, by fill."""
    return {fill: model.answer(films, covered(films, what, fill)) for fill in FILLS}


def lungs_covered_check(films: Films, told: Mapping[str, Answers], own: Answers, outline: Answers | None) -> Check:
    """Without lungs a model must not know the class; error where it keeps most of what it has above chance.

    Both fills must say so, because one alone may give the class away by chance.

    Args:
        films: the films.
        told: the model's answers by fill.
        own: its answers to the whole films.
        outline: what the shape of the covers tells by itself.
    """
    if unable := _unable("lungs-covered", films, own):
        return unable
    least = {what: min((answer.areas[what] for answer in told.values()), key=lower) for what in own.areas}
    most = told_most(least, own.areas)
    given = f"{most.figures} without lungs, {text(most.whole)} with them; 0.50 is guessing"
    if upper(most.part) < 1 - CLEAR:
        given += ", and below it the answers turn the wrong way round"
    message = {
        "ok": f"With the lungs covered the model can hardly tell the classes apart, as it should be ({given}).",
        "warning": f"With the lungs covered the model still tells {most.apart} to some degree ({given}): a part of its answer "
        "comes from elsewhere.",
    }.get(
        most.severity,
        f"With the lungs covered the model tells {most.apart} nearly as well as before ({given}): it does not need the lungs.",
    )
    shape = outline.areas[most.what] if outline is not None else None
    if most.severity != "ok" and shape is not None and lower(shape) > CLEAR:
        message += f" Part of that may be the size of the chest, which the covers give away (AUROC {text(shape)})."
    found = {"class": most.what, "outline": shape and shape.to_json()}
    return _check("lungs-covered", message, films, told, own, most, found)


def only_lungs_check(films: Films, told: Mapping[str, Answers], without: Mapping[str, Answers], own: Answers) -> Check:
    """A model must tell more from the lungs alone than from all but the lungs; a warning where it is the other way round.

    A film that is blank around the lungs is none that the model knows, so that it does worse than before proves nothing. But
    both halves are blanked in the same way, and the lungs must be the better one.

    Args:
        films: the films.
        told: the model's answers to the lungs alone, by fill.
        without: its answers to all but the lungs, by fill.
        own: its answers to the whole films.
    """
    if unable := _unable("only-lungs", films, own):
        return unable
    most = max(told, key=lambda fill: lower(told[fill].auroc))
    area = told[most].auroc
    ahead = {fill: without[fill].ahead(told[fill]) for fill in told}
    given = f"AUROC {text(area)} from the lungs alone, {text(own.auroc)} from the whole film; 0.50 is guessing"
    severity: Severity = "ok"
    message = f"From the lungs alone the model still answers ({given})."
    if min(lower(estimate) for estimate in ahead.values()) > AHEAD:
        severity = "warning"
        other = text(without[most].auroc)
        message = (
            f"The model tells more from what surrounds the lungs (AUROC {other}) than from the lungs themselves "
            f"({text(area)}); 0.50 is guessing."
        )
    elif upper(area) < CHANCE + HALF * ((own.auroc.value or CHANCE) - CHANCE):
        severity = "note"
        message = (
            f"From the lungs alone the model loses more than half of what it can do ({given}), but it does no better without "
            "them: it may not cope with covered films, so this says nothing."
        )
    found = Told(ALL, area, own.auroc, kept(area, own.auroc))
    check = _check("only-lungs", message, films, told, own, found, {"ahead_without_lungs": estimates_json(ahead)})
    return replace(check, severity=severity)


def _unable(name: str, films: Films, own: Answers) -> Check | None:
    """Why nothing can be said, if that is so."""
    share = float(films.found.mean())
    if share < FOUND:
        why = f"Lungs were found on only {share:.0%} of the films, so covering them says nothing; audit upright frontal films."
    elif lower(own.auroc) <= CLEAR:
        why = f"The model is not clearly better than guessing (AUROC {text(own.auroc)}), so there is nothing to take from it."
    else:
        return None
    return Check(name, _TITLES[name], "note", why, details={"lungs_found": share})


def _check(
    name: str, message: str, films: Films, told: Mapping[str, Answers], own: Answers, most: Told, more: Mapping[str, Any]
) -> Check:
    named = {"whole film": own, **{f"filled with {_fill(fill)}": answer for fill, answer in told.items()}}
    rows = [Row(what, answer.auroc, f"accuracy {text(answer.accuracy, percent=True)}") for what, answer in named.items()]
    if most.what != ALL:
        rows += [Row(f"{most.what}: {what}", answer.areas[most.what], "against the others") for what, answer in named.items()]
    details = {
        "accuracy": estimates_json({what: answer.accuracy for what, answer in named.items()}),
        "auroc": {what: estimates_json(answer.areas) for what, answer in named.items()},
        "kept_of_auroc_above_chance": most.kept,
        "lungs_found": float(films.found.mean()),
        "average_lungs_used": int((~films.found).sum()),
        "limits": {"clear": CLEAR, "near": NEAR, "half": HALF, "ahead": AHEAD, "found": FOUND},
        **more,
    }
    pictures = _pictures(films, "lungs" if name == "lungs-covered" else "rest")
    marks = {"guessing": CHANCE}
    return Check(name, _TITLES[name], most.severity, message, "AUROC", most.part, tuple(rows), marks, pictures, details)


def _fill(fill: str) -> str:
    return "black" if fill == "black" else "the film's mean"


def _pictures(films: Films, what: What) -> tuple[Picture, ...]:
    """One film in both fills, and where the lungs were found on some more."""
    one = films.first(1)
    shown = [Picture(f"covered with {_fill(fill)}", covered(one, what, fill)[0]) for fill in FILLS]
    if what == "lungs":
        shown += [Picture(_where(films, row), _outlined(films, row)) for row in range(min(6, len(films)))]
    return tuple(shown)


def _where(films: Films, row: int) -> str:
    return "what is covered: lungs found" if films.found[row] else "what is covered: lungs not found, average ones"


def _outlined(films: Films, row: int) -> NDArray[np.uint8]:
    shown = cv2.cvtColor(films.squares[row], cv2.COLOR_GRAY2BGR)
    lines, _ = cv2.findContours(films.covers[row].astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(shown, lines, -1, (0, 200, 120) if films.found[row] else (60, 60, 230), 1)
    return np.asarray(shown, np.uint8)
