"""Cases and prediction tables made of a few numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lungwise.evaluation.cases import Cases
from lungwise.labels import LabelSet

TWO = ("normal", "sick")


def scored(y: Sequence[int], score: Sequence[float], patient: Sequence[str] | None = None) -> Cases:
    """Cases of two classes, normal (0) and sick (1), from the probability of sick."""
    sick = np.asarray(score, np.float64)
    return cases(y, np.stack([1 - sick, sick], axis=1), TWO, patient)


def cases(
    y: Sequence[int] | NDArray[Any], prob: NDArray[Any], labels: Sequence[str] = TWO, patient: Sequence[str] | None = None
) -> Cases:
    """Cases of any classes; each image is a patient of its own unless patients are given."""
    names = np.array([f"i{row}" for row in range(len(y))], dtype=np.str_)
    owners = names if patient is None else np.array(patient, dtype=np.str_)
    return Cases(LabelSet(tuple(labels)), np.asarray(y, np.int32), np.asarray(prob, np.float64), owners, names)


def random_cases(number: int, classes: int, seed: int = 0, films: int = 1) -> Cases:
    """Cases of a fair classifier, with ties among the probabilities and ``films`` images a patient."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, number)
    raw = np.round(rng.dirichlet(np.ones(classes), number) + 0.6 * np.eye(classes)[y], 1) + 0.01
    prob = raw / raw.sum(axis=1, keepdims=True)
    return cases(y, prob, [f"c{column}" for column in range(classes)], [f"p{row // films}" for row in range(number)])


def predictions(parts: Mapping[str, int], labels: Sequence[str] = TWO, seed: int = 0, **columns: Any) -> pl.DataFrame:
    """A predictions table with some images of each part, two a patient; ``columns`` replace its own."""
    rng = np.random.default_rng(seed)
    splits = [split for split, number in parts.items() for _ in range(number)]
    y = np.arange(len(splits)) % len(labels)
    raw = rng.dirichlet(np.ones(len(labels)), len(splits)) + 0.8 * np.eye(len(labels))[y]
    prob = raw / raw.sum(axis=1, keepdims=True)
    table = {
        "image": [f"i{row}.png" for row in range(len(splits))],
        "patient": [f"{split}{row // 2}" for row, split in enumerate(splits)],
        "source": ["clinic"] * len(splits),
        "split": splits,
        "label": [labels[column] for column in y],
        **{f"prob_{label}": prob[:, column] for column, label in enumerate(labels)},
    }
    return pl.DataFrame({**table, **columns})


def history(epochs: int) -> list[dict[str, Any]]:
    """An epoch log in which everything gets better until the last epoch but one."""
    values = [min(epoch, max(epochs - 1, 1)) / epochs for epoch in range(1, epochs + 1)]
    return [
        {"epoch": i, "loss": 1.5 - v, "val_loss": 1.6 - v, "accuracy": 0.4 + v / 2, "val_accuracy": 0.3 + v / 2, "seconds": 2.0}
        for i, v in enumerate(values, 1)
    ]
