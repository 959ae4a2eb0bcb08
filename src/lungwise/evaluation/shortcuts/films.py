"""What the audit looks at: films with what is known of them, and what a model answers to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lungwise.errors import DataError
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.intervals import Estimate
from lungwise.evaluation.metrics import estimates
from lungwise.evaluation.paired import paired_bootstrap
from lungwise.evaluation.shortcuts.check import RESAMPLES
from lungwise.labels import LabelSet

Squares = NDArray[np.uint8]
Predict = Callable[[Squares], NDArray[np.float64]]
"""From stored squares uint8 [n, S, S] to probabilities float64 [n, classes]."""
Decide = Callable[[NDArray[np.float64]], NDArray[np.int64]]
"""From probabilities float64 [n, classes] to columns int64 [n]."""

MIN_FILMS = 20
"""With fewer films intervals reach from useless to perfect, and every verdict would be a guess."""
ALL = "all classes"
"""Stands for the mean over classes among the names of classes."""
COLUMNS = ("image", "patient", "source", "label", "width", "height")


@dataclass(frozen=True, eq=False)
class Films:
    """Films of the test part.

    Args:
        squares: uint8 [n, S, S], as a data set keeps them.
        covers: bool [n, S, S], where the lungs are, with room to spare.
        found: bool [n], whether the film's own lungs were found; else the average ones are covered.
        labels: the model's classes.
        y: int64 [n], column of each true class.
        image: str [n].
        patient: str [n].
        source: str [n], "" where it is not known.
        size: float64 [n, 2], width and height of the original in pixels.
    """

    squares: Squares
    covers: NDArray[np.bool_]
    found: NDArray[np.bool_]
    labels: LabelSet
    y: NDArray[np.int64]
    image: NDArray[np.str_]
    patient: NDArray[np.str_]
    source: NDArray[np.str_]
    size: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.y)

    @property
    def present(self) -> NDArray[np.int64]:
        """Columns of the classes that the films have, at least two."""
        return np.unique(self.y)

    @property
    def majority(self) -> float:
        """How often the most frequent class is right."""
        return float(np.bincount(self.y).max() / len(self))

    def first(self, number: int) -> Films:
        """The first films; they are in random order."""
        return Films(
            self.squares[:number],
            self.covers[:number],
            self.found[:number],
            self.labels,
            self.y[:number],
            self.image[:number],
            self.patient[:number],
            self.source[:number],
            self.size[:number],
        )


def films_of(
    table: pl.DataFrame, squares: Squares, covers: NDArray[np.bool_], found: NDArray[np.bool_], labels: LabelSet
) -> Films:
    """Films from rows of a manifest and what belongs to each row.

    Args:
        table: n rows with the columns of ``COLUMNS``.
        squares: uint8 [n, S, S].
        covers: bool [n, S, S].
        found: bool [n].
        labels: the model's classes.

    Raises:
        DataError: a column is missing, there are fewer than ``MIN_FILMS`` films, or only one class.
    """
    lost = [name for name in COLUMNS if name not in table.columns]
    if lost:
        raise DataError(f"A shortcut audit needs the columns {list(COLUMNS)}, '{lost[0]}' is missing; prepare the data again.")
    if table.height < MIN_FILMS:
        raise DataError(f"A shortcut audit needs at least {MIN_FILMS} films in the test part, got {table.height}; add films.")
    y = np.array([labels.index(label) for label in table["label"]], np.int64)
    if len(np.unique(y)) < 2:
        raise DataError(
            f"A shortcut audit needs films of two classes, all {table.height} are '{table['label'][0]}'; add others."
        )
    image, patient, source = (table[name].fill_null("").to_numpy().astype(np.str_) for name in ("image", "patient", "source"))
    return Films(
        squares, covers, found, labels, y, image, patient, source, table.select("width", "height").to_numpy().astype(float)
    )


@dataclass(frozen=True, eq=False)
class Answers:
    """What somebody answers to films, restricted to the classes that the films have.

    Args:
        cases: truth and scores.
        decided: int64 [n].
    """

    cases: Cases
    decided: NDArray[np.int64]

    @cached_property
    def _found(self) -> dict[str, Estimate]:
        return estimates(self.cases, self.decided, RESAMPLES)

    @property
    def accuracy(self) -> Estimate:
        """Share of right decisions, with its interval."""
        return self._found["accuracy"]

    @property
    def auroc(self) -> Estimate:
        """Mean over classes of the area under the ROC curve against the rest, with its interval; 0.5 is chance."""
        return self._found["macro_auroc"]

    @property
    def areas(self) -> dict[str, Estimate]:
        """The AUROC of all classes, and with more than two also of each one against the others."""
        names = self.cases.labels.names if len(self.cases.labels) > 2 else ()
        return {ALL: self.auroc} | {name: self._found[f"auroc/{name}"] for name in names}

    def loss(self, other: Answers) -> Estimate:
        """How much less often the other is right on the same films, with the interval of the paired difference."""
        return self._ahead(other, "accuracy")

    def ahead(self, other: Answers) -> Estimate:
        """How much larger the AUROC is than the other's on the same films, with the interval of the paired difference."""
        return self._ahead(other, "macro_auroc")

    def _ahead(self, other: Answers, name: str) -> Estimate:
        return paired_bootstrap(self.cases, other.cases, self.decided, other.decided, [name], RESAMPLES)[name]


@dataclass(frozen=True)
class Model:
    """A model as the audit sees it: it answers squares, and its probabilities become decisions."""

    predict: Predict
    decide: Decide

    def answer(self, films: Films, squares: Squares) -> Answers:
        """The answers to changed squares of some films, uint8 [n, S, S].

        Raises:
            DataError: the probabilities are not one finite number for each film and class.
        """
        prob = np.asarray(self.predict(squares), np.float64)
        if prob.shape != (len(films), len(films.labels)) or not np.isfinite(prob).all():
            raise DataError(
                f"A model must answer {len(films)} films with {len(films.labels)} finite probabilities each, got "
                f"{list(prob.shape)}{'' if np.isfinite(prob).all() else ' with some that are no numbers'}; export it again."
            )
        return answers(films, prob, np.asarray(self.decide(prob), np.int64))


def answers(films: Films, score: NDArray[np.float64], decided: NDArray[np.int64]) -> Answers:
    """Answers from scores of all classes, float64 [n, classes], and decisions, int64 [n].

    Classes that no film has cannot be judged and are left out; a decision for one of them is wrong and stays so.
    """
    present = films.present
    y = np.searchsorted(present, films.y)
    known = np.isin(decided, present)
    place = np.searchsorted(present, np.where(known, decided, present[0]))
    chosen = np.where(known, place, (y + 1) % len(present))
    labels = LabelSet(tuple(films.labels.names[column] for column in present))
    cases = Cases(labels, y.astype(np.int32), score[:, present], films.patient, films.image)
    return Answers(cases, chosen.astype(np.int64))
