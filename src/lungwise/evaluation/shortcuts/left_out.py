"""Does the model work on a source that it never saw? The drop against training on all sources."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import DataError, RunError, some
from lungwise.evaluation.cases import Cases, read_predictions
from lungwise.evaluation.compare import read_metrics
from lungwise.evaluation.folds import judge
from lungwise.evaluation.shortcuts.check import Check, Row, Severity, lower, text
from lungwise.evaluation.shortcuts.films import Answers

DROP = 0.05
"""A warning where accuracy on a new source surely falls by more than this (the interval's lower end)."""
GRAVE = 0.15
"""An error from here on: more than one film in seven is right only because its source is known."""
_TITLE = "Does it work on a source that it never saw?"
_NAME = "left-out-source"

Names = NDArray[np.str_]


def possible(label: Names, source: Names) -> dict[str, str]:
    """Which sources can be left out of training: source to "" or to the class that would have no film left.

    Args:
        label: str [n], of all films that take part.
        source: str [n].
    """
    found = {}
    for name in np.unique(source).tolist():
        lost = sorted(set(label.tolist()) - set(label[source != name].tolist()))
        found[name] = lost[0] if lost else ""
    return found


def not_left_out(label: Names, source: Names, command: str) -> Check:
    """What to say where no source was left out of training, or none can be.

    Args:
        label: str [n], of all films that take part.
        source: str [n].
        command: the command that does it.
    """
    sources = possible(label, source)
    if len(sources) < 2:
        one = f"All films come from one source ('{next(iter(sources), '')}'), so how the model does on another is unknown."
        return Check(_NAME, _TITLE, "note", one)
    lost = {name: found for name, found in sources.items() if found}
    if len(lost) == len(sources):
        reason = some([f"without '{name}' no film of '{found}' is left" for name, found in lost.items()])
        never = (
            "Nobody can test this model on a source that it never saw, because classes come from sources of their own "
            f"({reason}): how it does in another hospital is unknown."
        )
        return Check(_NAME, _TITLE, "warning", never, details={"cannot_be_left_out": lost})
    untested = f"The model was not tested on a source that it never saw; {command}"
    return Check(_NAME, _TITLE, "note", untested, details={"cannot_be_left_out": lost})


def left_out_check(folder: Path, mixed: Cases, decided: NDArray[np.int64]) -> Check:
    """The drop of accuracy where the film's source was left out of training, against the model that knows all sources.

    Args:
        folder: of a finished and evaluated leave-one-source-out cross-validation.
        mixed: the model's cases on the test part.
        decided: int64 [n], what it decides.

    Raises:
        RunError: the folder is no such cross-validation, or was not evaluated.
        DataError: it has no film of the test part, or other classes.
    """
    each = sources_of(folder)
    alone = _alone(folder)
    if alone.cases.labels != mixed.labels:
        raise DataError(
            f"Both models must know the same classes, got {list(alone.cases.labels)} in {folder} and {list(mixed.labels)}."
        )
    place = {image: row for row, image in enumerate(alone.cases.image.tolist())}
    rows = np.array([row for row, image in enumerate(mixed.image.tolist()) if image in place], np.int64)
    if not len(rows):
        raise DataError(f"{folder} must hold predictions of the test part's films, but it has none; train it on these data.")
    there = np.array([place[image] for image in mixed.image[rows].tolist()])
    known = Answers(_rows(mixed, rows), decided[rows])
    new = Answers(_rows(alone.cases, there), alone.decided[there])
    drop = known.loss(new)
    severity: Severity = "error" if lower(drop) > GRAVE else "warning" if lower(drop) > DROP else "ok"
    given = f"accuracy {text(new.accuracy, True)} instead of {text(known.accuracy, True)} on the same {len(rows)} films"
    message = {
        "ok": f"On films from a source that it never saw the model does about as well ({given}).",
        "warning": f"On films from a source that it never saw the model does worse ({given}).",
        "error": f"On films from a source that it never saw much of the result is gone ({given}): it was the source.",
    }[severity]
    pair = (Row("knowing all sources", known.accuracy), Row("source never seen", new.accuracy))
    details = {"loss": drop.to_json(), "films": len(rows), "sources": each, "limits": {"drop": DROP, "grave": GRAVE}}
    return Check(_NAME, _TITLE, severity, message, "accuracy on a source never seen", new.accuracy, pair, {}, (), details)


def sources_of(folder: Path) -> list[Mapping[str, object]]:
    """What a leave-one-source-out cross-validation says of every source: name, images, accuracy.

    Raises:
        RunError: the folder is none, or was not evaluated.
    """
    folds = read_metrics(folder).get("folds") or {}
    if folds.get("by") != "source":
        raise RunError(
            f"{folder} must be a cross-validation that leaves one source out, but it is another run; train one with lungwise "
            "train DATA --leave-one-source-out --out RUN."
        )
    return [{key: fold[key] for key in ("name", "images", "accuracy")} for fold in folds["each"]]


def _alone(folder: Path) -> Answers:
    """What the models answer that never saw the film's source; each decides as its own validation part says."""
    folds = judge(read_predictions(folder / "predictions.parquet"))
    cases = [fold.cases for fold in folds]
    whole = Cases(
        cases[0].labels,
        np.concatenate([part.y for part in cases]),
        np.concatenate([part.prob for part in cases]),
        np.concatenate([part.patient for part in cases]),
        np.concatenate([part.image for part in cases]),
    )
    return Answers(whole, np.concatenate([fold.decided for fold in folds]))


def _rows(cases: Cases, rows: NDArray[np.int64]) -> Cases:
    return Cases(cases.labels, cases.y[rows], cases.prob[rows], cases.patient[rows], cases.image[rows])
