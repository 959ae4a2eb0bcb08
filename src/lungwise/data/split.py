"""Who may learn from which image: train, validation and test, by patient, stratified by label, seeded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from lungwise.errors import DataError


@dataclass(frozen=True)
class Fractions:
    """Shares of the patients that go to validation and test; the rest is for training.

    Args:
        validation: in (0, 1).
        test: in (0, 1); together less than 1.
    """

    validation: float = 0.15
    test: float = 0.2

    def __post_init__(self) -> None:
        if not (0 < self.validation < 1 and 0 < self.test < 1 and self.validation + self.test < 1):
            raise DataError(
                "The shares of validation and test must lie between 0 and 1 and leave some for training, "
                f"got {self.validation} and {self.test}; lower them."
            )


def split_patients(
    table: pl.DataFrame, fractions: Fractions, seed: int = 0, previous: Mapping[str, str] | None = None
) -> pl.DataFrame:
    """Fill the column ``split`` where it is empty.

    A source that brings its own test or validation part keeps it; only what is missing is taken from the rest, and
    always whole patients. Within each label, patients are ordered by a seeded hash of their identifier and the first
    ones are taken, so that added rows move few patients, and none of those in ``previous``.

    Args:
        table: columns ``label``, ``patient`` and ``split`` ("" where open); readable images only.
        fractions: shares of the patients of each label.
        seed: another seed gives another split.
        previous: patient to split, from an earlier preparation, kept as it was.

    Returns:
        The same rows in the same order with ``split`` filled.

    Raises:
        DataError: a class has too few patients to appear in every part.
    """
    given = {name for name in table["split"].unique() if name in ("validation", "test")}
    wanted = {
        name: share for name, share in (("test", fractions.test), ("validation", fractions.validation)) if name not in given
    }
    free = table.filter(pl.col("split").is_in(["", "train"]))
    fixed = set(table.filter(pl.col("split").is_in(["validation", "test"]))["patient"])
    if "train" in table["split"]:
        # A given training part only ever lends a validation part; a test part would not be comparable with others'.
        wanted.pop("test", None)
    chosen: dict[str, str] = {}
    for label, patients in _patients_by_label(free).items():
        movable = [patient for patient in patients if patient not in fixed]
        chosen |= _assign(label, _ordered(movable, seed), wanted, dict(previous or {}))
    fallback = pl.col("patient").replace_strict(chosen, default="train", return_dtype=pl.String)
    return table.with_columns(split=pl.when(pl.col("split").is_in(["", "train"])).then(fallback).otherwise(pl.col("split")))


def _patients_by_label(table: pl.DataFrame) -> dict[str, list[str]]:
    """Patients under the rarest of their labels, so that each patient stands once."""
    frequency = dict(table.group_by("label").len().iter_rows())
    labels: dict[str, str] = {}
    for patient, label in table.select("patient", "label").unique().sort("patient", "label").iter_rows():
        if patient not in labels or frequency[label] < frequency[labels[patient]]:
            labels[patient] = label
    grouped: dict[str, list[str]] = {label: [] for label in sorted(frequency)}
    for patient, label in labels.items():
        grouped[label].append(patient)
    return grouped


def _ordered(patients: list[str], seed: int) -> list[str]:
    return sorted(patients, key=lambda patient: hashlib.sha256(f"{seed}:{patient}".encode()).digest())


def _assign(label: str, patients: list[str], wanted: Mapping[str, float], previous: Mapping[str, str]) -> dict[str, str]:
    """Part of each patient of one label: earlier assignments first, then the open places in hash order."""
    if wanted and len(patients) < len(wanted) + 1:
        raise DataError(
            f"Each class needs at least {len(wanted) + 1} patients, one for each of train, {', '.join(wanted)}, but class "
            f"'{label}' has {len(patients)}; add patients or remove the class."
        )
    chosen = {patient: previous[patient] for patient in patients if previous.get(patient) in ("train", *wanted)}
    open_patients = [patient for patient in patients if patient not in chosen]
    for name, share in wanted.items():
        empty = {"train", *wanted} - {name, *chosen.values()}
        places = max(1, round(share * len(patients))) - sum(part == name for part in chosen.values())
        places = max(0, min(places, len(open_patients) - len(empty)))
        chosen |= dict.fromkeys(open_patients[:places], name)
        open_patients = open_patients[places:]
    return chosen | dict.fromkeys(open_patients, "train")
