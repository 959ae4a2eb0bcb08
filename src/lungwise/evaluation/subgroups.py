"""Does a model serve everyone alike? Results by source, view, sex, age band or any other column, the worst group first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lungwise.errors import some
from lungwise.evaluation.cases import Cases
from lungwise.evaluation.groupings import Grouping, groups_of
from lungwise.evaluation.metrics import estimates
from lungwise.evaluation.multiplicity import LEVEL, holm
from lungwise.evaluation.subgroup_tests import class_weights, difference, p_values
from lungwise.evaluation.wording import p_value, points

SMALL = 20
"""A group of fewer patients, or with fewer outside it, is shown with its intervals and gets no verdict."""
METHOD = (
    "A difference compares a group with all other images within the same true class, so that another mix of classes is no "
    "difference (Mantel and Haenszel's weights). Its interval stands for itself alone; its p-value comes from dealing the "
    "groups anew among patients, and is adjusted by Holm's method for all the comparisons of this table. Groups of fewer than "
    f"{SMALL} patients get no verdict. No difference shown does not mean none: look at the width of the interval."
)
"""How to read the groups, for a report."""


def by_columns(
    cases: Cases, decided: NDArray[np.int64], table: pl.DataFrame, groupings: Sequence[Grouping]
) -> list[dict[str, Any]]:
    """As :func:`subgroups`, for groupings of a table that has ``image`` and their columns.

    Raises:
        DataError: as :func:`lungwise.evaluation.groupings.groups_of`.
    """
    names = [item.column if item.width is None else f"{item.column} by {item.width:g}" for item in groupings]
    groups = {name: groups_of(table, item, cases.image) for name, item in zip(names, groupings, strict=True)}
    return subgroups(cases, decided, groups)


def subgroups(
    cases: Cases, decided: NDArray[np.int64], groups: Mapping[str, NDArray[np.str_]], seed: int = 0
) -> list[dict[str, Any]]:
    """Results of each group, and whether they differ from those of all other images.

    Args:
        cases: at least one.
        decided: int64 [n], the column decided for.
        groups: column name to the group of each case, str [n].
        seed: of the resamples and permutations.

    Returns:
        One dictionary a group, column by column, the lowest accuracy first: ``column``, ``group``, ``images``, ``patients``,
        ``accuracy``, ``balanced_accuracy``, ``macro_auroc``, ``classes`` (images, sensitivity, specificity and auroc by label),
        ``differences`` ("accuracy" and "sensitivity/LABEL", each difference, low, high, p, adjusted_p), ``small`` and ``note``.
        Every p-value is adjusted for all comparisons of the list.
    """
    found: list[dict[str, Any]] = []
    for column, group in groups.items():
        tested = p_values(decided == cases.y, cases.y, cases.patient, group, seed)
        rows = [_row(cases, decided, column, name, group == name, tested, seed) for name in np.unique(group).tolist()]
        found += sorted(rows, key=lambda row: float(row["accuracy"]["value"]))
    _adjust(found)
    for row in found:
        row["note"] = _note(row)
    return found


def _row(
    cases: Cases,
    decided: NDArray[np.int64],
    column: str,
    name: str,
    inside: NDArray[np.bool_],
    tested: dict[tuple[str, int | None], float],
    seed: int,
) -> dict[str, Any]:
    rows = np.flatnonzero(inside)
    part = Cases(cases.labels, cases.y[rows], cases.prob[rows], cases.patient[rows], cases.image[rows])
    right = decided == cases.y
    smaller = min(_patients(cases, inside), _patients(cases, ~inside))
    differences = {"accuracy": _compared(cases, right, inside, np.ones(len(cases), bool), tested.get((name, None)))}
    for k, label in enumerate(cases.labels):
        differences[f"sensitivity/{label}"] = _compared(cases, right, inside, cases.y == k, tested.get((name, k)))
    return {
        "column": column,
        "group": name,
        "images": len(np.unique(part.image)),
        "patients": part.patients,
        **_figures(part, decided[rows], seed),
        "differences": {key: value for key, value in differences.items() if value},
        "small": smaller < SMALL,
        "lone": [str(cases.labels.names[k]) for k in np.unique(part.y) if not (cases.y[~inside] == k).any()],
    }


def _patients(cases: Cases, rows: NDArray[np.bool_]) -> int:
    return len(np.unique(cases.patient[rows]))


def _compared(
    cases: Cases, right: NDArray[np.bool_], inside: NDArray[np.bool_], these: NDArray[np.bool_], p: float | None
) -> dict[str, Any] | None:
    """The difference among some cases, without a p-value where a side has too few patients."""
    if not (inside & these).any() or not (~inside & these).any():
        return None
    found = difference(right[these], cases.y[these], cases.patient[these], inside[these])
    if found is None:
        return None
    shared = these & (class_weights(cases.y, inside)[cases.y] > 0)
    few = min(_patients(cases, inside & shared), _patients(cases, ~inside & shared)) < SMALL
    return {"difference": found.value, "low": found.low, "high": found.high, "p": None if few else p, "adjusted_p": None}


def _figures(part: Cases, decided: NDArray[np.int64], seed: int) -> dict[str, Any]:
    """The group's own figures with their intervals, as everywhere else."""
    found = {name: estimate.to_json() for name, estimate in estimates(part, decided, seed=seed).items()}
    numbers = np.bincount(part.y, minlength=len(part.labels)).tolist()
    classes = {
        label: {"images": number, **{key: found[f"{key}/{label}"] for key in ("sensitivity", "specificity", "auroc")}}
        for label, number in zip(part.labels, numbers, strict=True)
    }
    return {**{name: found[name] for name in ("accuracy", "balanced_accuracy", "macro_auroc")}, "classes": classes}


def _adjust(found: list[dict[str, Any]]) -> None:
    """Holm's adjustment over all comparisons; of two groups that are each other's rest, a class is compared once."""
    together = {column: sum(row["column"] == column for row in found) for column in {row["column"] for row in found}}
    keys: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in found:
        for metric, one in row["differences"].items():
            key = (row["column"], "" if together[row["column"]] == 2 else row["group"], metric)
            keys.setdefault(key, []).append(one)
    adjusted = holm({key: ones[0]["p"] for key, ones in keys.items()})
    for key, ones in keys.items():
        for one in ones:
            one["adjusted_p"] = adjusted[key]


def _note(row: dict[str, Any]) -> str:
    """What can be said of a group, in words."""
    lone = row.pop("lone")
    alone = f"; {some(lone)}: in no other group and not compared" if lone else ""
    if not row["differences"]:
        return f"cannot be compared: no other group has its classes ({some(lone)})"
    if row["small"]:
        return f"fewer than {SMALL} patients here or elsewhere: no verdict{alone}"
    if all(one["p"] is None for one in row["differences"].values()):
        return f"fewer than {SMALL} patients of any class that others have: no verdict{alone}"
    shown = [
        (key, one) for key, one in row["differences"].items() if one["adjusted_p"] is not None and one["adjusted_p"] < LEVEL
    ]
    if not shown:
        return f"no difference from the rest was shown{alone}"
    said = [
        f"{'worse' if one['difference'] < 0 else 'better'} than the rest in {key.replace('/', ' for ')} "
        f"({points(one)}, adjusted p {p_value(one['adjusted_p'])})"
        for key, one in shown
    ]
    return "; ".join(said) + alone
