"""Who may learn from which image."""

from __future__ import annotations

import polars as pl
import pytest

from lungwise.data.groups import groups
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


def sourced(**sources: int) -> pl.DataFrame:
    """One class "normal" from several sources, and one "sick" from one of its own: ``sourced(a=100, b=40)``."""
    parts = [
        rows(normal=number).with_columns(patient=pl.lit(source) + pl.col("patient"), source=pl.lit(source))
        for source, number in sources.items()
    ]
    return pl.concat([*parts, rows(sick=20).with_columns(source=pl.lit("z"))])


def of_source(table: pl.DataFrame, source: str) -> list[int]:
    """Patients of a source in test, validation and train."""
    found = table.filter(pl.col("source") == source)
    return [found.filter(pl.col("split") == split)["patient"].n_unique() for split in ("test", "validation", "train")]


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


def test_each_source_of_a_label_is_shared_out_by_the_fractions() -> None:
    done = split_patients(sourced(a=100, b=40, c=20), Fractions(0.15, 0.2))
    assert [of_source(done, name) for name in "abc"] == [[20, 15, 65], [8, 6, 26], [4, 3, 13]]


def test_sources_too_small_for_every_part_are_taken_together() -> None:
    """With shares of 0.15 and 0.2 a source needs four patients; b and c have five together."""
    done = split_patients(sourced(a=100, b=2, c=3), Fractions(0.15, 0.2))
    assert of_source(done, "a") == [20, 15, 65]
    assert [b + c for b, c in zip(of_source(done, "b"), of_source(done, "c"), strict=True)] == [1, 1, 3]


def test_what_is_still_too_small_joins_the_largest_source() -> None:
    done = split_patients(sourced(a=30, b=97, c=3), Fractions(0.15, 0.2))
    assert of_source(done, "a") == [6, 4, 20]
    assert [b + c for b, c in zip(of_source(done, "b"), of_source(done, "c"), strict=True)] == [20, 15, 65]


def test_sources_that_are_all_small_are_split_like_one() -> None:
    table = sourced(a=1, b=1, c=1)
    assert split_patients(table, Fractions()).equals(
        split_patients(table.drop("source"), Fractions()).select(*table.columns[:4], table["source"]).select(table.columns)
    )


def test_one_source_for_each_label_splits_as_without_sources() -> None:
    table = rows(normal=50, sick=9)
    done = split_patients(table.with_columns(source=pl.col("label") + "s"), Fractions())
    assert done.drop("source").equals(split_patients(table, Fractions()))


def test_known_places_do_not_change_between_releases() -> None:
    """Fingerprints of prepared data sets depend on this order."""
    done = split_patients(rows(normal=12, sick=6), Fractions(0.15, 0.2), seed=0)
    found = {split: sorted(set(done.filter(pl.col("split") == split)["patient"])) for split in ("test", "validation")}
    assert found == {"test": ["normal5", "normal8", "sick3"], "validation": ["normal1", "normal4", "sick2"]}


def test_a_group_stands_in_one_part() -> None:
    table = rows(normal=12, sick=12)
    links = [(2 * patient, 2 * patient + 3) for patient in (0, 1, 5, 14)]
    done = split_patients(table.with_columns(groups(table["patient"], links)), Fractions(0.3, 0.3))
    assert done["group"].n_unique() == 20
    assert done.group_by("group").agg(pl.col("split").n_unique())["split"].to_list() == [1] * 20


def test_patients_of_one_group_count_as_one() -> None:
    table = rows(normal=10, rare=4).with_columns(
        group=pl.when(pl.col("label") == "rare")
        .then(pl.col("patient").replace({"rare1": "rare0", "rare3": "rare2"}))
        .otherwise(pl.col("patient"))
    )
    with pytest.raises(DataError, match="but class 'rare' has 2; add patients or remove the class"):
        split_patients(table, Fractions())


@pytest.mark.parametrize(
    ("before", "part"),
    [
        (("train",), "train"),
        (("validation",), "validation"),
        (("train", "validation"), "validation"),
        (("train", "test"), "test"),
        (("validation", "test", "train"), "test"),
        (("none", "validation"), "validation"),
    ],
)
def test_a_group_follows_its_members_and_never_from_test_to_training(before: tuple[str, ...], part: str) -> None:
    names = ["normal1", "normal2", "normal3", "normal4"]
    table = rows(normal=20, sick=20).with_columns(
        group=pl.when(pl.col("patient").is_in(names)).then(pl.lit("normal1")).otherwise(pl.col("patient"))
    )
    done = split_patients(table, Fractions(), previous=dict(zip(names, before, strict=False)))
    assert set(done.filter(pl.col("group") == "normal1")["split"]) == {part}


def test_the_group_of_a_given_test_part_lends_nothing() -> None:
    table = rows(normal=8, sick=8).with_columns(
        split=pl.when(pl.col("patient") == "sick0").then(pl.lit("test")).otherwise(pl.lit("train")),
        group=pl.when(pl.col("patient").is_in(["sick0", "sick1"])).then(pl.lit("sick0")).otherwise(pl.col("patient")),
    )
    done = split_patients(table, Fractions(validation=0.8, test=0.1))
    assert set(done.filter(pl.col("patient") == "sick1")["split"]) == {"train"}
    assert set(done.filter(pl.col("patient") == "sick0")["split"]) == {"test"}


def test_a_class_keeps_every_part_when_earlier_parts_fill_its_sources() -> None:
    table = pl.concat([sourced(a=3).filter(pl.col("label") == "normal"), sourced(b=3)])
    previous = dict.fromkeys(["anormal0", "anormal1", "anormal2"], "train") | dict.fromkeys(["bnormal0", "bnormal1"], "test")
    done = split_patients(table, Fractions(0.3, 0.3), previous=previous)
    assert [patients_of(done, split, "normal") for split in ("train", "validation", "test")] == [3, 1, 2]


@pytest.mark.parametrize("seed", range(5))
def test_a_tenth_more_patients_move_few_of_the_others(seed: int) -> None:
    """At most 5 of 100; 1 to 2 are usual in a collection of this size."""
    table = sourced(a=300, b=150, c=50)
    parts = dict(split_patients(table, Fractions(), seed).select("patient", "split").iter_rows())
    added = sourced(a=30, b=15, c=5).filter(pl.col("label") == "normal").with_columns(patient=pl.lit("new") + pl.col("patient"))
    more = pl.concat([table, added])
    after = dict(split_patients(more, Fractions(), seed).select("patient", "split").iter_rows())
    assert sum(after[patient] != part for patient, part in parts.items()) <= 0.05 * len(parts)


@pytest.mark.parametrize(("validation", "test"), [(0, 0.2), (0.2, 0), (0.5, 0.5), (-0.1, 0.2), (1, 0.1), (0.7, 0.6)])
def test_shares_must_leave_some_for_training(validation: float, test: float) -> None:
    with pytest.raises(DataError) as caught:
        Fractions(validation, test)
    assert str(caught.value) == (
        "The shares of validation and test must lie between 0 and 1 and leave some for training, "
        f"got {validation} and {test}; lower them."
    )
