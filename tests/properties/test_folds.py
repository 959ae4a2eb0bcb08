"""What holds for every cross-validation, whatever the collection."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lungwise.data.folds import Fold, k_folds, leave_one_source_out
from lungwise.data.groups import groups
from lungwise.errors import DataError

PARTS = {"train", "validation", "test"}
NAMES = ["image", "label", "patient", "source", "split", "status"]


@st.composite
def manifests(draw: st.DrawFn, linked: bool = True) -> pl.DataFrame:
    """Two or three classes of 10 to 16 patients; some patients have many films, some rows take no part, some groups."""
    rows = []
    for label in "abc"[: draw(st.integers(2, 3))]:
        sources = "xyz"[: draw(st.integers(1, 3))]
        for patient in range(draw(st.integers(10, 16))):
            name, source = f"{label}{patient}", draw(st.sampled_from(sources))
            split = (
                draw(st.sampled_from(["train", "validation"]))
                if patient < 8
                else draw(st.sampled_from(["train", "test", "none"]))
            )
            for film in range(draw(st.sampled_from([1, 1, 1, 2, 3, 9]))):
                rows.append((f"{name}{film}", label, name, source, split, "damaged" if split == "none" else "ok"))
    table = pl.DataFrame(rows, schema=dict.fromkeys(NAMES, pl.String), orient="row")
    links = draw(st.lists(st.tuples(*[st.integers(0, table.height - 1)] * 2), max_size=2)) if linked else []
    return table.with_columns(groups(table["patient"], links))


seeds = st.integers(0, 1000)
counts = st.integers(2, 5)
quick = settings(max_examples=25, deadline=None)


def places(table: pl.DataFrame, folds: list[Fold]) -> dict[str, int]:
    """Patient to the number of the fold that tests them."""
    return {patient: turn for turn, fold in enumerate(folds) for patient in table["patient"].filter(fold.split == "test")}


@quick
@given(manifests(), counts, seeds, st.booleans())
def test_parts_are_disjoint_by_group_and_hold_every_class(table: pl.DataFrame, k: int, seed: int, include_test: bool) -> None:
    for fold in k_folds(table, k, seed, include_test=include_test):
        done = table.with_columns(fold.split).filter(pl.col("split") != "none")
        assert done.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1
        for label in table["label"].unique():
            assert set(done.filter(pl.col("label") == label)["split"]) == PARTS


@quick
@given(manifests(), counts, seeds, st.integers(1, 3), st.booleans())
def test_every_row_that_takes_part_is_tested_once_a_repeat(
    table: pl.DataFrame, k: int, seed: int, repeats: int, include_test: bool
) -> None:
    used = np.flatnonzero(~table["split"].is_in(["none"] if include_test else ["none", "test"]).to_numpy())
    folds = k_folds(table, k, seed, repeats, include_test=include_test)
    assert len(folds) == k * repeats
    for repeat in range(repeats):
        rows = [fold.rows("test") for fold in folds[repeat * k : (repeat + 1) * k]]
        np.testing.assert_array_equal(np.sort(np.concatenate(rows)), used)
    for fold in folds:
        np.testing.assert_array_equal(np.flatnonzero((fold.split != "none").to_numpy()), used)


@quick
@given(manifests(linked=False), counts, seeds)
def test_patients_of_a_label_differ_by_one_at_most(table: pl.DataFrame, k: int, seed: int) -> None:
    folds = k_folds(table, k, seed, include_test=True)
    for label in table["label"].unique():
        found = [table.filter((fold.split == "test") & (table["label"] == label))["patient"].n_unique() for fold in folds]
        assert max(found) - min(found) <= 1


@quick
@given(manifests(linked=False), counts, seeds)
def test_patients_of_a_source_and_size_differ_by_one_at_most(table: pl.DataFrame, k: int, seed: int) -> None:
    place = places(table, k_folds(table, k, seed, include_test=True))
    kinds: dict[tuple[str, str, int], Counter[int]] = {}
    for patient, label, source, films in (
        table.filter(pl.col("split") != "none").group_by("patient", "label", "source").len().iter_rows()
    ):
        kinds.setdefault((label, source, films.bit_length()), Counter())[place[patient]] += 1
    assert all(max(found.values()) - min(found[turn] for turn in range(k)) <= 1 for found in kinds.values())


@quick
@given(manifests(), counts, seeds, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(table: pl.DataFrame, k: int, seed: int, random: object) -> None:
    order = list(range(table.height))
    random.shuffle(order)  # type: ignore[attr-defined]
    for ours, theirs in zip(k_folds(table, k, seed), k_folds(table[order], k, seed), strict=True):
        assert ours.split[order].to_list() == theirs.split.to_list()


@quick
@given(manifests(), counts, seeds)
def test_the_seed_alone_decides(table: pl.DataFrame, k: int, seed: int) -> None:
    again = [fold.split.to_list() for fold in k_folds(table, k, seed, 2)]
    assert [fold.split.to_list() for fold in k_folds(table, k, seed, 2)] == again


@quick
@given(st.integers(5, 60), st.integers(0, 20), st.integers(2, 5), seeds)
def test_an_added_patient_moves_fewer_than_k_others(number: int, added: int, k: int, seed: int) -> None:
    """Proof: one patient more shifts each of the k - 1 cuts between folds by one patient at most."""
    rows = [(f"{name}", "a", f"{name}", "x", "train", "ok") for name in range(number + added)]
    table = pl.DataFrame(rows, schema=dict.fromkeys(NAMES, pl.String), orient="row")
    before, after = places(table[:number], k_folds(table[:number], k, seed)), places(table, k_folds(table, k, seed))
    assert sum(after[patient] != place for patient, place in before.items()) <= (k - 1) * added


@quick
@given(manifests(), seeds)
def test_a_held_out_source_is_tested_whole_and_learnt_from_never(table: pl.DataFrame, seed: int) -> None:
    try:
        folds = leave_one_source_out(table, seed)
    except DataError as cause:
        assert "source" in str(cause)  # noqa: PT017
        assume(False)
    used = table["split"] != "none"
    assert {fold.name.removeprefix("source ") for fold in folds} | set(folds.refused) == set(table.filter(used)["source"])
    for fold in folds:
        source = fold.name.removeprefix("source ")
        assert ((fold.split == "test") == (used & (table["source"] == source))).all()
        test, rest = table.filter(fold.split == "test"), table.filter(fold.split.is_in(["train", "validation"]))
        assert not set(test["group"]) & set(rest["group"])
        assert fold.classes == tuple(sorted(set(test["label"])))
        done = table.with_columns(fold.split)
        for label in table.filter(used)["label"].unique():
            assert set(done.filter(pl.col("label") == label)["split"]) >= {"train", "validation"}
        assert (
            done.filter(pl.col("split").is_in(["train", "validation"]))
            .group_by("group")
            .agg(pl.col("split").n_unique())["split"]
            .max()
            == 1
        )
