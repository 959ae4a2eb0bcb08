"""What holds for every balance, whatever the classes."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lungwise.data.balance import class_weights, downsample, effective_weights, oversample, plan
from lungwise.recipe import Data


@st.composite
def columns(draw: st.DrawFn) -> NDArray[np.int32]:
    """int32 [n]: label columns of two to five classes, each at least once, in any order."""
    sizes = draw(st.lists(st.integers(1, 40), min_size=2, max_size=5))
    y = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    return np.random.default_rng(draw(st.integers(0, 99))).permutation(y)


@st.composite
def films(draw: st.DrawFn) -> tuple[NDArray[np.int32], pl.Series]:
    """Label columns and a patient for each; patients may have films of several classes."""
    y = draw(columns())
    patients = draw(st.lists(st.integers(0, 15), min_size=len(y), max_size=len(y)))
    return y, pl.Series([f"p{patient}" for patient in patients], dtype=pl.String)


@st.composite
def specs(draw: st.DrawFn) -> Data:
    balance = draw(st.sampled_from(["weights", "effective", "downsample", "oversample", "none"]))
    beta = draw(st.floats(0, 1, exclude_max=True)) if balance == "effective" else 0.999
    replace = balance == "downsample" and draw(st.booleans())
    return Data(balance=balance, beta=beta, replace=replace, per_patient=draw(st.booleans()))


seeds = st.integers(0, 2**31 - 1)
quick = settings(max_examples=60, deadline=None)


@quick
@given(columns())
def test_weights_give_every_class_the_same_sum(y: NDArray[np.int32]) -> None:
    classes = int(y.max()) + 1
    sums = np.bincount(y, weights=class_weights(y, classes)[y])
    np.testing.assert_allclose(sums, len(y) / classes, rtol=1e-5)


@quick
@given(columns(), seeds, st.booleans())
def test_downsampling_counts_are_equal(y: NDArray[np.int32], seed: int, replace: bool) -> None:
    classes = int(y.max()) + 1
    rows = downsample(y, classes, seed, replace=replace)
    assert set(np.bincount(y[rows], minlength=classes)) == {np.bincount(y).min()}
    assert np.all(np.diff(rows) >= 0)


@quick
@given(columns(), seeds)
def test_downsampling_takes_nothing_twice_and_all_of_the_smallest(y: NDArray[np.int32], seed: int) -> None:
    rows = downsample(y, int(y.max()) + 1, seed)
    assert len(np.unique(rows)) == len(rows)
    smallest = np.argmin(np.bincount(y))
    assert set(np.flatnonzero(y == smallest)) <= set(rows)


@quick
@given(columns(), seeds)
def test_oversampling_takes_whole_copies_and_at_most_one_more(y: NDArray[np.int32], seed: int) -> None:
    largest = np.bincount(y).max()
    taken = np.bincount(oversample(y, int(y.max()) + 1, seed), minlength=len(y))
    assert set(np.bincount(y, weights=taken)) == {largest}
    for column in range(int(y.max()) + 1):
        of_class = taken[y == column]
        assert of_class.min() == largest // len(of_class)
        assert of_class.max() - of_class.min() <= 1


@quick
@given(columns(), st.floats(0, 1, exclude_max=True))
def test_effective_weights_have_mean_one_and_favour_small_classes(y: NDArray[np.int32], beta: float) -> None:
    weights = effective_weights(y, int(y.max()) + 1, beta)
    np.testing.assert_allclose(weights[y].mean(), 1, rtol=1e-5)
    assert np.all(np.diff(weights[np.argsort(np.bincount(y))]) <= 1e-6)


@quick
@given(films(), specs(), seeds)
def test_a_plan_takes_training_images_only_with_mean_weight_one(
    case: tuple[NDArray[np.int32], pl.Series], spec: Data, seed: int
) -> None:
    y, patients = case
    rows, weights = plan(y, patients, int(y.max()) + 1, spec, seed)
    assert (rows.dtype, weights.dtype, rows.shape) == (np.int64, np.float32, weights.shape)
    assert rows.min() >= 0
    assert rows.max() < len(y)
    assert np.all(np.diff(rows) >= 0)
    assert np.all(weights > 0)
    np.testing.assert_allclose(weights.mean(dtype=np.float64), 1, rtol=1e-5)
    assert set(y[rows]) == set(y)


@quick
@given(films(), specs(), seeds)
def test_the_seed_alone_decides_a_plan(case: tuple[NDArray[np.int32], pl.Series], spec: Data, seed: int) -> None:
    y, patients = case
    first, again = (plan(y, patients, int(y.max()) + 1, spec, seed) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


@quick
@given(films(), specs(), seeds)
def test_drawn_patients_of_a_class_have_the_same_total_weight(
    case: tuple[NDArray[np.int32], pl.Series], spec: Data, seed: int
) -> None:
    y, patients = case
    spec = spec.model_copy(update={"per_patient": True})
    rows, weights = plan(y, patients, int(y.max()) + 1, spec, seed)
    taken = pl.DataFrame({"y": y[rows], "patient": patients[rows], "row": rows, "weight": weights.astype(np.float64)})
    totals = taken.group_by("y", "patient").agg(pl.col("weight").sum(), copies=pl.len() / pl.col("row").n_unique())
    one = (totals["weight"] / totals["copies"]).to_numpy()
    for column in set(y):
        of_class = one[totals["y"].to_numpy() == column]
        np.testing.assert_allclose(of_class, of_class[0], rtol=1e-4)


@quick
@given(films(), seeds, st.sampled_from(["weights", "downsample", "oversample"]), st.booleans())
def test_balanced_classes_have_the_same_total_weight(
    case: tuple[NDArray[np.int32], pl.Series], seed: int, balance: str, per_patient: bool
) -> None:
    y, patients = case
    rows, weights = plan(
        y, patients, int(y.max()) + 1, Data.model_validate({"balance": balance, "per_patient": per_patient}), seed
    )
    np.testing.assert_allclose(np.bincount(y[rows], weights=weights), len(rows) / (y.max() + 1), rtol=1e-4)


@quick
@given(columns(), seeds, st.sampled_from(["weights", "effective", "downsample", "oversample", "none"]))
def test_patients_of_one_film_change_nothing_in_weights_and_counts(y: NDArray[np.int32], seed: int, balance: str) -> None:
    patients = pl.Series([f"p{row}" for row in range(len(y))])
    images, patients_plan = (
        plan(y, patients, int(y.max()) + 1, Data.model_validate({"balance": balance, "per_patient": chosen}), seed)
        for chosen in (False, True)
    )
    np.testing.assert_array_equal(np.bincount(y[images[0]]), np.bincount(y[patients_plan[0]]))
    np.testing.assert_allclose(
        np.bincount(y[images[0]], weights=images[1]), np.bincount(y[patients_plan[0]], weights=patients_plan[1]), rtol=1e-4
    )
