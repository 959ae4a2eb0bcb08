"""Are these numbers probabilities, and do they stand in the order of the labels?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lungwise.errors import DataError

ROW = "row in file"
"""The column of a table under way that says where each row stands in its file; the finished table has none."""
_TOLERANCE = 1e-3
"""As :func:`lungwise.evaluation.cases.to_cases`: what rounding to four decimals leaves."""
_MANY = 0.5
"""From this share of rows on, the fault is one of the whole table, and is named so."""
_CHANCE = 0.001
_GAIN = 0.15


def numbers(rows: pl.DataFrame, column: str, name: str) -> pl.Series:
    """A column as finite float64.

    Args:
        rows: the table; ``ROW`` says where each row stands.
        column: which.
        name: of the file, for the sentence.

    Raises:
        DataError: a value is absent, no number, or not finite; it is named.
    """
    given = rows[column]
    if given.dtype == pl.String:
        given = given.str.strip_chars()
    kind = given.dtype
    if not (kind.is_numeric() or kind == pl.String or kind == pl.Null):
        raise DataError(f"Column '{column}' of {name} must hold numbers, got {kind}; convert it.")
    values = given.cast(pl.Float64, strict=False)
    absent = given.is_null() | (given.cast(pl.String) == "")
    for wrong, what in ((absent, "none"), (values.is_null(), ""), (~values.is_finite(), "")):
        if wrong.any():
            row = int(wrong.arg_max() or 0)
            came = what or f"'{given[row]}'"
            raise DataError(
                f"Column '{column}' of {name} must hold a number in every row, row {rows[ROW][row]} has {came}; correct it."
            )
    return values.alias(column)


def check_probabilities(rows: pl.DataFrame, columns: Sequence[str], name: str) -> None:
    """Raise a DataError that names the first row which is no distribution, and says what the numbers look like instead.

    Args:
        rows: the table, ``columns`` as float64; ``ROW`` says where each row stands.
        columns: one for each class.
        name: of the file, for the sentence.
    """
    prob = rows.select(columns).to_numpy().astype(np.float64).reshape(-1, len(columns))
    outside = (prob < 0) | (prob > 1)
    off = outside.any(axis=1) | (np.abs(prob.sum(axis=1) - 1) >= _TOLERANCE)
    if not off.any():
        return
    row = int(off.argmax())
    where = f"row {rows[ROW][row]} of {name} ({rows['image'][row]})"
    shown = ", ".join(f"{value:.6g}" for value in prob[row])
    whole = _instead(prob, outside, off)
    if whole:
        looks, cure = whole
        raise DataError(f"Probabilities must sum to 1 in every row, but these look like {looks}: {where} has {shown}; {cure}.")
    if outside[row].any():
        column = int(outside[row].argmax())
        came = f"{prob[row, column]:.6g} in '{columns[column]}'"
        raise DataError(f"Probabilities must lie between 0 and 1, {where} has {came}; correct it.")
    total = prob[row].sum()
    cure = "write at least four decimals" if abs(total - 1) <= 0.02 else "correct it"
    raise DataError(f"Probabilities must sum to 1 in every row, {where} sums to {total:.6g} ({shown}); {cure}.")


def _instead(prob: NDArray[np.float64], outside: NDArray[np.bool_], off: NDArray[np.bool_]) -> tuple[str, str] | None:
    """What a table of numbers is that are no probabilities, and the cure; None where single rows are wrong."""
    totals = prob.sum(axis=1)
    if off.mean() < _MANY:
        return None
    if (prob >= 0).all() and np.abs(totals - 100).max() <= 1:
        return "percentages", "divide them by 100"
    if (prob <= 0).all() and np.abs(np.exp(prob).sum(axis=1) - 1).max() < _TOLERANCE:
        return "logarithms of probabilities", "give their exponentials"
    if outside.any(axis=1).mean() >= _MANY:
        return "logits", "give their softmax"
    if not outside.any() and np.abs(totals - 1).max() > 0.02:
        return "one sigmoid for each class", "the classes here exclude each other, so give the softmax of the logits"
    return None


def suspicious_order(y: NDArray[np.int32], prob: NDArray[np.float64], labels: Sequence[str]) -> str | None:
    """Say so when another order of the columns fits the truth far better than the one that their names give.

    The best order is the assignment that puts most decisions on the truth. It is reported when it is right for at least 15
    points more of the images, and when so large a surplus of images that only it decides rightly would come about by chance
    less than once in a thousand (one-sided sign test). A model that is merely bad gains little from any order.

    Args:
        y: int32 [n], true columns.
        prob: float64 [n, classes].
        labels: the classes, in column order.

    Returns:
        A sentence without its stop, or None.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.stats import binom

    called = prob.argmax(axis=1)
    counts = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(counts, (y, called), 1)
    true, column = linear_sum_assignment(counts, maximize=True)
    order = np.empty(len(labels), np.int64)
    order[column] = true
    straight, other = called == y, order[called] == y
    gained, lost = int((other & ~straight).sum()), int((straight & ~other).sum())
    if other.mean() - straight.mean() < _GAIN or binom.sf(gained - 1, gained + lost, 0.5) >= _CHANCE:
        return None
    swaps = ", ".join(f"prob_{labels[i]} as {labels[order[i]]}" for i in range(len(labels)) if order[i] != i)
    return (
        f"The columns of probabilities seem to be in the wrong order: as they are named, the largest probability is right for "
        f"{straight.mean():.1%} of the images, with {swaps} it would be for {other.mean():.1%}; check how they were written"
    )
