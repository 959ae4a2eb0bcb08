"""What evaluation works on: true labels, probabilities and patients of some images. No model, no pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lungwise.errors import DataError
from lungwise.labels import LabelSet

_PREFIX = "prob_"
_COLUMNS = ("image", "patient", "split", "label")


@dataclass(frozen=True)
class Cases:
    """Predictions with their truth.

    Args:
        labels: the classes, in column order.
        y: int32 [n], column of each true label.
        prob: float64 [n, classes], rows sum to 1.
        patient: str [n]; resampling keeps a patient's images together.
        image: str [n].
    """

    labels: LabelSet
    y: NDArray[np.int32]
    prob: NDArray[np.float64]
    patient: NDArray[np.str_]
    image: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.y)

    @property
    def patients(self) -> int:
        """Number of different patients."""
        return len(np.unique(self.patient))


def read_predictions(path: Path) -> pl.DataFrame:
    """Read a run's ``predictions.parquet``; an absent or damaged file is a DataError."""
    try:
        table = pl.read_parquet(path)
    except FileNotFoundError as cause:
        raise DataError(f"{path} does not exist: the run is not finished; train it to its end first.") from cause
    except pl.exceptions.PolarsError as cause:
        raise DataError(f"{path} cannot be read ({cause}); train again into another directory.") from cause
    _check_columns(table)
    return table


def _check_columns(table: pl.DataFrame) -> None:
    lost = [name for name in _COLUMNS if name not in table.columns or table[name].has_nulls()]
    if lost:
        raise DataError(f"Predictions must say {list(_COLUMNS)} of every image, but '{lost[0]}' is missing; predict again.")


def to_cases(table: pl.DataFrame, split: str | None = None) -> Cases:
    """Cases from a predictions table.

    Args:
        table: columns image, patient, split, label and ``prob_<label>`` for each class, in column order.
        split: keep this part only.

    Raises:
        DataError: a column is missing or empty, an unknown label, or probabilities that are no distribution.
    """
    _check_columns(table)
    names = [column.removeprefix(_PREFIX) for column in table.columns if column.startswith(_PREFIX)]
    labels = LabelSet(tuple(names))
    rows = table if split is None else table.filter(pl.col("split") == split)
    prob = rows.select(_PREFIX + name for name in names).to_numpy().astype(np.float64).reshape(-1, len(names))
    off = np.flatnonzero(~(np.abs(prob.sum(axis=1) - 1.0) < 1e-3) | (prob < 0).any(axis=1))
    if off.size:
        row = int(off[0])
        raise DataError(
            f"Probabilities of an image must be >= 0 and sum to 1, got {prob[row].tolist()} for {rows['image'][row]}."
        )
    return Cases(
        labels,
        np.array([labels.index(label) for label in rows["label"]], dtype=np.int32),
        prob,
        rows["patient"].to_numpy().astype(np.str_),
        rows["image"].to_numpy().astype(np.str_),
    )
