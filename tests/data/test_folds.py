"""Cross-validation by patient and by source."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from lungwise.data.folds import Fold, SourceFolds, k_folds, leave_one_source_out
from lungwise.errors import DataError


def manifest(*classes: tuple[str, str, int], films: int = 1, split: str = "train") -> pl.DataFrame:
    """Patients of some (label, source, number): ``manifest(("normal", "a", 5))``."""
    rows = [
        {
            "image": f"{label}-{source}-{number}-{film}",
            "label": label,
            "patient": f"{label}-{source}-{number}",
            "source": source,
        }
        for label, source, patients in classes
        for number in range(patients)
        for film in range(films)
    ]
    return pl.DataFrame(rows).with_columns(split=pl.lit(split), status=pl.lit("ok"))


def patients(table: pl.DataFrame, fold: Fold, part: str, label: str) -> int:
    found = table.with_columns(fold.split).filter((pl.col("split") == part) & (pl.col("label") == label))
    return found["patient"].n_unique()


TWO = manifest(("normal", "a", 50), ("sick", "b", 20), films=2)


def test_every_patient_is_tested_once() -> None:
    folds = k_folds(TWO, 5)
    tested = np.concatenate([fold.rows("test") for fold in folds])
    assert sorted(tested.tolist()) == list(range(TWO.height))


def test_each_label_is_shared_out_evenly_and_training_lends_a_validation_part() -> None:
    for fold in k_folds(TWO, 5, validation=0.25):
        found = {part: [patients(TWO, fold, part, label) for label in ("normal", "sick")] for part in fold.split.unique()}
        assert found == {"test": [10, 4], "validation": [10, 4], "train": [30, 12]}


def test_each_source_of_a_label_is_shared_out_evenly() -> None:
    table = manifest(("normal", "a", 20), ("normal", "b", 10), ("normal", "c", 5), ("sick", "d", 5))
    for fold in k_folds(table, 5):
        tested = table[fold.rows("test")]
        assert dict(tested.group_by("source").len().iter_rows()) == {"a": 4, "b": 2, "c": 1, "d": 1}


def test_folds_say_their_names_and_classes() -> None:
    folds = k_folds(TWO, 2, repeats=2)
    names = [fold.name for fold in folds]
    assert names == ["fold 1/2, repeat 1/2", "fold 2/2, repeat 1/2", "fold 1/2, repeat 2/2", "fold 2/2, repeat 2/2"]
    assert {fold.classes for fold in folds} == {("normal", "sick")}
    assert [fold.name for fold in k_folds(TWO, 2)] == ["fold 1/2", "fold 2/2"]


def test_a_fold_fits_the_manifest() -> None:
    fold = k_folds(TWO, 5)[0]
    assert (fold.split.name, fold.split.dtype, len(fold.split)) == ("split", pl.String(), TWO.height)
    assert fold.rows("test").dtype == np.int64
    assert (
        TWO.with_columns(fold.split)
        .filter(pl.col("split") == "test")
        .equals(TWO[fold.rows("test")].with_columns(split=pl.lit("test")))
    )


def test_the_first_repeat_does_not_depend_on_the_number_of_repeats() -> None:
    once, twice = k_folds(TWO, 3), k_folds(TWO, 3, repeats=2)
    assert [fold.split.to_list() for fold in once] == [fold.split.to_list() for fold in twice[:3]]
    assert once[0].split.to_list() != twice[3].split.to_list()


def test_the_seed_decides() -> None:
    assert k_folds(TWO, 3, seed=1)[0].split.equals(k_folds(TWO, 3, seed=1)[0].split)
    assert not k_folds(TWO, 3, seed=1)[0].split.equals(k_folds(TWO, 3, seed=2)[0].split)


def test_validation_parts_differ_between_folds() -> None:
    chosen = [set(fold.rows("validation").tolist()) for fold in k_folds(TWO, 5)]
    assert len(set.union(*chosen)) > 2 * len(chosen[0])


def aside(table: pl.DataFrame) -> pl.DataFrame:
    """The manifest with patients 0 in its test part, 1 set aside, 2 unreadable and 3 missing."""
    number = pl.col("patient").str.split("-").list.last()
    return table.with_columns(
        split=number.replace_strict({"0": "test", "1": "none", "2": "none"}, default="train"),
        status=number.replace_strict({"2": "damaged", "3": "missing"}, default="ok"),
    )


@pytest.mark.parametrize(("include_test", "left_out"), [(False, {"0", "1", "2", "3"}), (True, {"1", "2", "3"})])
def test_only_readable_images_outside_the_test_part_take_part(include_test: bool, left_out: set[str]) -> None:
    table = aside(TWO)
    for fold in k_folds(table, 3, include_test=include_test):
        without = table.filter(fold.split == "none")["patient"]
        assert {name.split("-")[2] for name in without} == left_out


def test_rows_that_take_no_part_may_name_another_group() -> None:
    """Unreadable images share no picture with anybody, so their patient stands in a group of its own there."""
    table = aside(TWO).with_columns(
        group=pl.when(pl.col("status") == "ok").then(pl.lit("g") + pl.col("patient")).otherwise(pl.col("patient"))
    )
    table = pl.concat(
        [table, table.filter(pl.col("patient") == "sick-b-7").with_columns(status=pl.lit("x"), group=pl.lit("y"))]
    )
    assert len(k_folds(table, 3)) == 3


def test_a_patient_of_very_many_films_upsets_one_fold_only() -> None:
    many = manifest(("sick", "b", 1), films=236).with_columns(patient=pl.lit("many"))
    table = pl.concat([manifest(("normal", "a", 100)), manifest(("sick", "b", 60), films=2), manifest(("sick", "c", 19)), many])
    folds = k_folds(table, 5)
    sick = [(table[fold.rows("test")]["label"] == "sick").sum() for fold in folds]
    assert [patients(table, fold, "test", "sick") for fold in folds] == [16] * 5
    assert sorted(sick)[-1] >= 236
    assert max(sorted(sick)[:4]) - min(sick) <= 2


def test_large_patients_are_dealt_to_different_folds() -> None:
    large = pl.concat([manifest(("sick", name, 1), films=32 * 2**turn) for turn, name in enumerate("vwxyz")])
    table = pl.concat([large, manifest(("sick", "a", 45), ("normal", "a", 50))])
    assert (
        sorted(table[fold.rows("test")].filter(pl.col("source") != "a")["source"].n_unique() for fold in k_folds(table))
        == [1] * 5
    )


def test_groups_are_not_torn_apart() -> None:
    table = TWO.with_columns(group=pl.col("patient").str.replace("-[ab]-[0-4]$", "-first"))
    for fold in k_folds(table, 3):
        assert table.with_columns(fold.split).group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1


@pytest.mark.parametrize("seed", range(3))
def test_a_tenth_more_patients_move_few_of_the_others(seed: int) -> None:
    """At most 10 of 100; about 3 are usual in a collection of this size, where a plain shuffle would move 80."""
    table = manifest(("normal", "a", 330), ("sick", "b", 220))
    late = pl.col("patient").str.ends_with("7")

    def places(rows: pl.DataFrame) -> dict[str, int]:
        return {
            rows["patient"][row]: turn for turn, fold in enumerate(k_folds(rows, 5, seed)) for row in fold.rows("test").tolist()
        }

    before, after = places(table.filter(~late)), places(table)
    assert 0 < sum(after[patient] != place for patient, place in before.items()) <= 0.1 * len(before)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"k": 1}, "Cross-validation needs at least 2 folds, got 1; raise the number of folds."),
        ({"repeats": 0}, "Cross-validation must be done at least once, got 0 repeats; raise the number of repeats."),
        ({"validation": 0.0}, "The share of validation must lie between 0 and 1, got 0.0; correct it."),
        ({"validation": 1.0}, "The share of validation must lie between 0 and 1, got 1.0; correct it."),
        (
            {"k": 21},
            "Each class needs at least 21 patients for 21 folds with train, validation and test, but class 'sick' has 20; take "
            "fewer folds or add patients.",
        ),
    ],
)
def test_bad_arguments_are_one_sentence(options: dict[str, float], sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        k_folds(TWO, **options)  # type: ignore[arg-type]
    assert str(caught.value) == sentence


@pytest.mark.parametrize(("k", "needed"), [(2, 4), (3, 3), (4, 4)])
def test_the_fewest_patients_that_fill_every_part(k: int, needed: int) -> None:
    for fold in k_folds(manifest(("normal", "a", 9), ("sick", "b", needed)), k):
        assert set(fold.split) == {"train", "validation", "test"}
    with pytest.raises(DataError, match=f"at least {needed} patients for {k} folds .* class 'sick' has {needed - 1};"):
        k_folds(manifest(("normal", "a", 9), ("sick", "b", needed - 1)), k)


def test_one_patient_cannot_be_divided() -> None:
    with pytest.raises(DataError, match=r"Each class needs at least 5 patients for 5 folds .* class 'sick' has 1;"):
        k_folds(manifest(("sick", "b", 1), films=30))


@pytest.mark.parametrize("divide", [k_folds, leave_one_source_out])
def test_without_readable_images_nothing_can_be_divided(divide: object) -> None:
    with pytest.raises(DataError) as caught:
        divide(TWO.with_columns(split=pl.lit("none")))  # type: ignore[operator]
    assert str(caught.value) == ("Folds need readable images, but none of the 140 rows may take part; prepare them again.")


SOURCES = manifest(("normal", "a", 10), ("sick", "a", 10), ("normal", "b", 8), ("sick", "b", 8), ("sick", "c", 6), films=2)


def test_each_source_is_the_test_part_once() -> None:
    folds = leave_one_source_out(SOURCES)
    assert isinstance(folds, SourceFolds)
    assert [fold.name for fold in folds] == ["source a", "source b", "source c"]
    assert [fold.classes for fold in folds] == [("normal", "sick"), ("normal", "sick"), ("sick",)]
    for fold, source in zip(folds, "abc", strict=True):
        assert ((fold.split == "test") == (SOURCES["source"] == source)).all()
        for label in ("normal", "sick"):
            assert patients(SOURCES, fold, "train", label) > patients(SOURCES, fold, "validation", label) > 0
    assert (len(folds), folds.refused) == (3, {})


def test_patients_of_the_held_out_source_are_not_learnt_from_elsewhere() -> None:
    both = SOURCES.filter(pl.col("patient") == "sick-c-0").with_columns(source=pl.lit("a"), image=pl.lit("other"))
    table = pl.concat([SOURCES, both])
    of_c = next(fold for fold in leave_one_source_out(table) if fold.name == "source c")
    assert of_c.split[-2:].to_list() == ["none", "none"]
    assert (of_c.split == "none").sum() == 2


def test_groups_of_the_held_out_source_are_not_learnt_from_elsewhere() -> None:
    table = SOURCES.with_columns(group=pl.col("patient").replace({"sick-a-3": "sick-c-0"}))
    of_c = next(fold for fold in leave_one_source_out(table) if fold.name == "source c")
    assert set(table.filter(of_c.split == "none")["patient"]) == {"sick-a-3"}


def test_images_of_every_split_are_tested_but_none_that_were_set_aside() -> None:
    for fold, source in zip(leave_one_source_out(aside(SOURCES)), "abc", strict=True):
        number = {name.split("-")[2] for name in SOURCES.filter(fold.split == "test", source=source)["patient"]}
        assert "0" in number
        assert not number & {"1", "2", "3"}


def test_a_source_that_cannot_be_left_out_is_refused_by_name() -> None:
    table = manifest(("normal", "a", 10), ("normal", "b", 1), ("sick", "b", 10), ("sick", "c", 5))
    folds = leave_one_source_out(table)
    assert [fold.name for fold in folds] == ["source b", "source c"]
    assert folds.refused == {
        "a": "Leaving a source out must leave 2 patients of every class, one for each of train and validation, but without "
        "'a' class 'normal' has 1; add images of this class from another source."
    }


def test_sources_of_one_class_each_cannot_be_left_out() -> None:
    with pytest.raises(DataError) as caught:
        leave_one_source_out(TWO)
    assert str(caught.value) == (
        "Leaving a source out must leave 2 patients of every class, one for each of train and validation, but without 'a' "
        "class 'normal' has 0; add images of this class from another source."
    )


def test_one_source_cannot_be_left_out() -> None:
    with pytest.raises(DataError) as caught:
        leave_one_source_out(manifest(("normal", "a", 5), ("sick", "a", 5)))
    assert str(caught.value) == (
        "Leaving one source out needs at least two sources, but all 10 images come from 'a'; use k folds, or name the sources "
        "in the column 'source'."
    )
