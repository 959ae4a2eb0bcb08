"""What holds for every split, whatever the collection."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from lungwise.data.groups import groups
from lungwise.data.split import Fractions, split_patients

PARTS = {"train", "validation", "test"}


@st.composite
def collections(draw: st.DrawFn, fewest: int = 3) -> pl.DataFrame:
    """Two to four classes of at least ``fewest`` patients from one to three sources, with one to three films each."""
    rows = []
    for label in "abcd"[: draw(st.integers(2, 4))]:
        sources = "xyz"[: draw(st.integers(1, 3))]
        for patient in range(draw(st.integers(fewest, 12))):
            name, source = f"{label}{patient}", draw(st.sampled_from(sources))
            rows += [(f"{name}{film}", label, name, source) for film in range(draw(st.integers(1, 3)))]
    columns = ["image", "label", "patient", "source"]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row").with_columns(split=pl.lit(""))


@st.composite
def grouped(draw: st.DrawFn) -> pl.DataFrame:
    """Collections of at least nine patients a class, some of whom share pictures, within and across classes."""
    table = draw(collections(fewest=9))
    rows = st.integers(0, table.height - 1)
    links = draw(st.lists(st.tuples(rows, rows), max_size=3))
    return table.with_columns(groups(table["patient"], links))


@st.composite
def shares(draw: st.DrawFn) -> Fractions:
    validation = draw(st.floats(0.01, 0.9))
    return Fractions(validation, draw(st.floats(0.01, 0.99 - validation)))


seeds = st.integers(0, 1000)
quick = settings(max_examples=60, deadline=None)


def parts(table: pl.DataFrame) -> dict[str, str]:
    return dict(table.select("patient", "split").iter_rows())


@quick
@given(collections(), shares(), seeds)
def test_parts_are_disjoint_by_patient(table: pl.DataFrame, fractions: Fractions, seed: int) -> None:
    done = split_patients(table, fractions, seed)
    assert done.group_by("patient").agg(pl.col("split").n_unique())["split"].to_list() == [1] * done["patient"].n_unique()


@quick
@given(collections(), shares(), seeds)
def test_every_class_stands_in_every_part(table: pl.DataFrame, fractions: Fractions, seed: int) -> None:
    done = split_patients(table, fractions, seed)
    for label in table["label"].unique():
        assert set(done.filter(pl.col("label") == label)["split"]) == PARTS


@quick
@given(collections(), shares(), seeds, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(table: pl.DataFrame, fractions: Fractions, seed: int, random: object) -> None:
    order = list(range(table.height))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert parts(split_patients(table[order], fractions, seed)) == parts(split_patients(table, fractions, seed))


@quick
@given(collections(), seeds, st.data())
def test_previous_parts_are_kept(table: pl.DataFrame, seed: int, data: st.DataObject) -> None:
    patients = sorted(set(table["patient"]))
    previous = data.draw(st.dictionaries(st.sampled_from(patients), st.sampled_from(sorted(PARTS))))
    done = parts(split_patients(table, Fractions(), seed, previous))
    assert {patient: done[patient] for patient in previous} == previous


@quick
@given(collections(), collections(fewest=0), shares(), seeds)
def test_added_rows_move_nobody_who_was_there(
    table: pl.DataFrame, added: pl.DataFrame, fractions: Fractions, seed: int
) -> None:
    before = parts(split_patients(table, fractions, seed))
    new = added.with_columns(patient=pl.lit("new") + pl.col("patient")).filter(pl.col("label").is_in(table["label"].implode()))
    after = parts(split_patients(pl.concat([table, new]), fractions, seed, before))
    assert {patient: after[patient] for patient in before} == before


@quick
@given(collections(), collections(fewest=0), shares(), seeds)
def test_a_patient_added_to_labels_of_one_source_moves_three_at_most(
    table: pl.DataFrame, added: pl.DataFrame, fractions: Fractions, seed: int
) -> None:
    """Proof: one patient more shifts the end of the test places by one patient, and that of the validation places by two."""
    before = parts(split_patients(table.drop("source"), fractions, seed))
    new = added.with_columns(patient=pl.lit("new") + pl.col("patient")).filter(pl.col("label").is_in(table["label"].implode()))
    after = parts(split_patients(pl.concat([table, new]).drop("source"), fractions, seed))
    assert sum(after[patient] != part for patient, part in before.items()) <= 3 * new["patient"].n_unique()


@quick
@given(grouped(), shares(), seeds)
def test_parts_are_disjoint_by_group_and_hold_every_class(table: pl.DataFrame, fractions: Fractions, seed: int) -> None:
    done = split_patients(table, fractions, seed)
    assert done.group_by("group").agg(pl.col("split").n_unique())["split"].to_list() == [1] * done["group"].n_unique()
    for label in table["label"].unique():
        assert set(done.filter(pl.col("label") == label)["split"]) == PARTS


@quick
@given(grouped(), seeds, st.data())
def test_nobody_goes_from_test_to_training(table: pl.DataFrame, seed: int, data: st.DataObject) -> None:
    patients = sorted(set(table["patient"]))
    previous = data.draw(st.dictionaries(st.sampled_from(patients), st.sampled_from(sorted(PARTS))))
    done = parts(split_patients(table, Fractions(), seed, previous))
    assert all(done[patient] == "test" for patient, part in previous.items() if part == "test")
    assert all(done[patient] != "train" for patient, part in previous.items() if part == "validation")


@quick
@given(collections(), shares(), seeds)
def test_groups_of_single_patients_and_sources_of_single_labels_change_nothing(
    table: pl.DataFrame, fractions: Fractions, seed: int
) -> None:
    plain = parts(split_patients(table.drop("source"), fractions, seed))
    assert parts(split_patients(table.with_columns(source=pl.col("label")), fractions, seed)) == plain
    assert parts(split_patients(table.drop("source").with_columns(group=pl.col("patient")), fractions, seed)) == plain
