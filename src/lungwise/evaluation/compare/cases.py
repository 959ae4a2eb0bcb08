"""Were two runs tested on the same cases? Only then can their difference be seen apart from the difference of the cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lungwise.errors import DataError, several
from lungwise.evaluation.calibration import Calibration, calibrated
from lungwise.evaluation.cases import Cases, to_cases
from lungwise.evaluation.compare.runs import Evaluated
from lungwise.evaluation.decision import Decision

_KEY = "case"


@dataclass(frozen=True)
class Tested:
    """A run's tested cases with its decisions.

    Args:
        cases: what it was tested on; of a cross-validation every fold's test part, its images named after repeat and fold.
        decided: int64 [n], the column decided for.
        fold: str [n], "repeat/fold", or "" in a single run.
    """

    cases: Cases
    decided: NDArray[np.int64]
    fold: NDArray[np.str_]


@dataclass(frozen=True)
class Pair:
    """Two runs on the same cases, in the same order.

    Args:
        a: the first.
        b: the second; its classes stand in the order of the first's.
        note: what had to be done to bring them together, "" if nothing.
    """

    a: Tested
    b: Tested
    note: str


def as_tested(run: Evaluated) -> Tested:
    """The part that a run is judged by, with the decisions that its evaluation made.

    Raises:
        DataError: there are no predictions, or they do not fit the metrics.
    """
    table = run.predictions()
    if table is None:
        raise DataError(f"of {run.name} only the figures are known: its folder has no predictions.parquet")
    if not run.folds:
        cases = calibrated(to_cases(table, run.metrics["part"]), _calibration(run.metrics.get("calibration")))
        _check(len(cases) == run.part["images"], run)
        decided = Decision(**run.metrics["decision"]).decide(cases.prob)
        _check_accuracy(run, cases, decided)
        return Tested(cases, decided, np.full(len(cases), "", dtype=np.str_))
    _check({"fold", "repeat"} <= set(table.columns), run)
    cases = to_cases(table, "test")
    rows = table.filter(pl.col("split") == "test")
    fold = rows.select(pl.format("{}/{}", "repeat", "fold"))[:, 0].to_numpy().astype(np.str_)
    decided = np.full(len(cases), -1, np.int64)
    for found in run.metrics["folds"]["each"]:
        here = fold == f"{found['repeat']}/{found['fold']}"
        cases.prob[here] = _calibration(found).apply(cases.prob[here])
        decided[here] = Decision(**found["decision"]).decide(cases.prob[here])
    _check_accuracy(run, cases, decided)
    names = np.array([f"{place}: {image}" for place, image in zip(fold, cases.image, strict=True)], dtype=np.str_)
    return Tested(Cases(cases.labels, cases.y, cases.prob, cases.patient, names), decided, fold)


def _calibration(found: Mapping[str, Any] | None) -> Calibration:
    """What the evaluation made of the stored probabilities; nothing, where an older version did not calibrate."""
    return Calibration.from_json(found["calibration"]) if found and "calibration" in found else Calibration()


def _check_accuracy(run: Evaluated, cases: Cases, decided: NDArray[np.int64]) -> None:
    """The decisions made anew must be those that the metrics speak of."""
    value = run.part["accuracy"]["value"]
    _check(value is not None and abs(float((decided == cases.y).mean()) - value) < 1e-9, run)


def _check(fits: bool, run: Evaluated) -> None:
    if not fits:
        raise DataError(f"metrics.json and predictions.parquet of {run.name} do not belong together; evaluate it again")


def matched(a: Evaluated, b: Evaluated, *, common: bool = False) -> Pair:
    """Two runs on the same cases.

    Args:
        a: the first.
        b: the second.
        common: take the cases that both have, where they do not have the same.

    Raises:
        DataError: with the reason why they cannot be paired, as the end of a sentence.
    """
    if bool(a.folds) != bool(b.folds):
        raise DataError("one is a cross-validation and the other a single run, which test other models on other cases")
    if a.metrics["part"] != b.metrics["part"]:
        raise DataError(f"one is judged on {a.metrics['part']}, the other on {b.metrics['part']}")
    first, second = as_tested(a), as_tested(b)
    if set(first.cases.labels) != set(second.cases.labels):
        raise DataError(f"they know other classes: {list(first.cases.labels)} and {list(second.cases.labels)}")
    return paired(first, _ordered_as(second, first), common=common)


def _ordered_as(side: Tested, other: Tested) -> Tested:
    """The same with its classes in the order of another side's."""
    labels, found = other.cases.labels, side.cases
    order = np.array([found.labels.index(label) for label in labels])
    place = np.argsort(order)
    cases = Cases(labels, place[found.y].astype(np.int32), found.prob[:, order], found.patient, found.image)
    return Tested(cases, place[side.decided], side.fold)


def paired(a: Tested, b: Tested, *, common: bool = False) -> Pair:
    """Bring the cases of two sides, with the same classes, into one order.

    Raises:
        DataError: with the reason why this cannot be done, as the end of a sentence.
    """
    _, mine, theirs = np.intersect1d(a.cases.image, b.cases.image, return_indices=True)
    alone = len(a.cases) - len(mine), len(b.cases) - len(mine)
    if not len(mine):
        raise DataError("they were tested on other images" if not a.fold[0] else "their folds test other images")
    if any(alone) and not common:
        what = "images" if not a.fold[0] else "images of the same fold"
        raise DataError(
            f"only {len(mine)} {what} are the same, {alone[0]} stand on the first side alone and {alone[1]} on the second; "
            "--common compares them on those that both have"
        )
    first, second = _rows(a, mine), _rows(b, theirs)
    other = np.flatnonzero(first.cases.y != second.cases.y)
    if other.size:
        images = several(len(other), "image has", "images have")
        raise DataError(f"{images} another label on either side, the first is {first.cases.image[other[0]]}")
    notes = [f"on the {len(mine)} images that both have ({alone[0]} and {alone[1]} left out)"] if any(alone) else []
    patient = _patients(first.cases, second.cases)
    if (first.cases.patient != second.cases.patient).any():
        notes.append("patients as the side with fewer of them tells them apart")
    return Pair(_owned(first, patient), _owned(second, patient), "; ".join(notes))


def _rows(side: Tested, rows: NDArray[np.intp]) -> Tested:
    found = side.cases
    cases = Cases(found.labels, found.y[rows], found.prob[rows], found.patient[rows], found.image[rows])
    return Tested(cases, side.decided[rows], side.fold[rows])


def _patients(a: Cases, b: Cases) -> NDArray[np.str_]:
    """Whose images they are, by the side that puts more of them together: resampling then never parts a patient's images.

    Raises:
        DataError: each side puts images together that the other parts.
    """
    joint = len(np.unique(np.stack([a.patient, b.patient], axis=1), axis=0))
    if joint == b.patients:
        return a.patient
    if joint == a.patients:
        return b.patient
    raise DataError("they tell patients apart differently, and neither side's patients contain the other's")


def _owned(side: Tested, patient: NDArray[np.str_]) -> Tested:
    cases = Cases(side.cases.labels, side.cases.y, side.cases.prob, patient, side.cases.image)
    return Tested(cases, side.decided, side.fold)
