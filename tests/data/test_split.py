"""Who may learn from which image."""

from __future__ import annotations

import polars as pl
import pytest

from lungwise.data.split import Fractions, split_patients
from lungwise.errors import DataError


def rows(**patients: int) -> pl.DataFrame:
    """Two images of each patient: ``rows(normal=5)``."""
    return pl.DataFrame(
        [
            {"image": f"{label}{patient}{film}", "label": label, "patient": f"{label}{patient}", "split": ""}
            for label, number in patients.items()
            for patient in range(number)
            for film in "ab"
        ]
    )


def patients_of(table: pl.DataFrame, split: str, label: str) -> int:
    return table.filter((pl.col("split") == split) & (pl.col("label") == label))["patient"].n_unique()


@pytest.mark.parametrize("label", ["normal", "sick"])
def test_each_label_is_shared_out_by_the_fractions(label: str) -> None:
    done = split_patients(rows(normal=100, sick=20), Fractions(0.15, 0.2))
    number = 100 if label == "normal" else 20
    assert [patients_of(done, split, label) for split in ("test", "validation")] == [number * 0.2, number * 0.15]


def test_rows_keep_their_order_and_their_other_columns() -> None:
    table = rows(normal=5, sick=5)
    assert split_patients(table, Fractions()).drop("split").equals(table.drop("split"))


def test_the_same_seed_gives_the_same_split_and_another_another() -> None:
    table = rows(normal=50, sick=50)
    first = split_patients(table, Fractions(), seed=1)
    assert first.equals(split_patients(table, Fractions(), seed=1))
    assert not first.equals(split_patients(table, Fractions(), seed=2))


@pytest.mark.parametrize("fractions", [Fractions(0.15, 0.2), Fractions(0.45, 0.5), Fractions(0.1, 0.85), Fractions(0.9, 0.05)])
@pytest.mark.parametrize("number", [3, 4, 5, 10])
def test_the_smallest_class_still_stands_in_every_part(fractions: Fractions, number: int) -> None:
    done = split_patients(rows(normal=30, rare=number), fractions)
    assert all(patients_of(done, split, "rare") for split in ("train", "validation", "test"))


@pytest.mark.parametrize("number", [1, 2])
def test_a_class_with_too_few_patients_is_named(number: int) -> None:
    with pytest.raises(DataError) as caught:
        split_patients(rows(normal=10, rare=number), Fractions())
    assert str(caught.value) == (
        "Each class needs at least 3 patients, one for each of train, test, validation, but class 'rare' has "
        f"{number}; add patients or remove the class."
    )


def test_a_given_test_part_is_kept_and_lends_nothing() -> None:
    table = rows(normal=10, sick=10).with_columns(
        split=pl.when(pl.col("patient").str.ends_with("7")).then(pl.lit("test")).otherwise(pl.lit("train"))
    )
    done = split_patients(table, Fractions())
    assert done.filter(table["split"] == "test")["split"].unique().to_list() == ["test"]
    assert set(done.filter(table["split"] == "train")["split"]) == {"train", "validation"}


def test_a_given_training_part_alone_lends_no_test_part() -> None:
    done = split_patients(rows(normal=10, sick=10).with_columns(split=pl.lit("train")), Fractions())
    assert set(done["split"]) == {"train", "validation"}


def test_given_validation_and_test_parts_leave_nothing_to_do() -> None:
    table = rows(normal=3, sick=3).with_columns(
        split=pl.col("patient").str.slice(-1).replace_strict({"0": "train", "1": "validation", "2": "test"})
    )
    assert split_patients(table, Fractions()).equals(table)


def test_images_set_aside_stay_aside() -> None:
    table = rows(normal=10, sick=10).with_columns(
        split=pl.when(pl.col("patient") == "sick0").then(pl.lit("none")).otherwise(pl.col("split"))
    )
    assert split_patients(table, Fractions()).filter(pl.col("patient") == "sick0")["split"].to_list() == ["none", "none"]


def test_a_patient_of_the_given_test_part_is_not_moved_into_validation() -> None:
    """Their other images stay in training, where the audit reports them."""
    table = pl.concat(
        [rows(normal=8, sick=8).with_columns(split=pl.lit("train")), rows(sick=1).with_columns(split=pl.lit("test"))]
    )
    done = split_patients(table, Fractions(validation=0.8, test=0.1))
    assert set(done.filter(pl.col("patient") == "sick0")["split"]) == {"train", "test"}


def test_a_patient_with_two_labels_stands_in_one_part() -> None:
    table = pl.concat([rows(normal=9, sick=9), rows(normal=9).with_columns(label=pl.lit("sick"))])
    done = split_patients(table, Fractions())
    assert done.group_by("patient").agg(pl.col("split").n_unique())["split"].max() == 1


def test_previous_parts_are_kept() -> None:
    previous = {"normal3": "test", "normal4": "validation", "sick0": "train", "gone": "test"}
    done = split_patients(rows(normal=10, sick=10), Fractions(), previous=previous)
    found = dict(done.select("patient", "split").iter_rows())
    assert {patient: found[patient] for patient in ("normal3", "normal4", "sick0")} == {
        "normal3": "test", "normal4": "validation", "sick0": "train"
    }  # fmt: skip


@pytest.mark.parametrize(("validation", "test"), [(0, 0.2), (0.2, 0), (0.5, 0.5), (-0.1, 0.2), (1, 0.1), (0.7, 0.6)])
def test_shares_must_leave_some_for_training(validation: float, test: float) -> None:
    with pytest.raises(DataError) as caught:
        Fractions(validation, test)
    assert str(caught.value) == (
        "The shares of validation and test must lie between 0 and 1 and leave some for training, "
        f"got {validation} and {test}; lower them."
    )
