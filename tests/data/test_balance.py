"""Classes of unequal size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from lungwise.data.balance import class_weights, downsample, effective_weights, oversample, plan
from lungwise.errors import DataError, RecipeError
from lungwise.recipe import Data, load_recipe

Y = np.array([0] * 6 + [1] * 3 + [2] * 3, np.int32)
PATIENTS = pl.Series(list("aaaabc" + "def" + "ggh"))
"""Class 0 has patients of 4, 1 and 1 films, class 1 three of one, class 2 two, of 2 and 1."""


def test_rare_classes_weigh_more() -> None:
    np.testing.assert_allclose(class_weights(Y, 3), [2 / 3, 4 / 3, 4 / 3], rtol=1e-6)


def test_weights_have_the_mean_one_over_the_images() -> None:
    assert class_weights(Y, 3)[Y].mean() == pytest.approx(1.0)


def test_downsampling_leaves_as_many_of_each_class_as_the_smallest_has() -> None:
    assert np.bincount(Y[downsample(Y, 3, seed=0)]).tolist() == [3, 3, 3]


def test_no_image_is_taken_twice_by_default() -> None:
    taken = downsample(Y, 3, seed=0)
    assert len(set(taken.tolist())) == len(taken)


def test_with_replacement_images_may_be_taken_twice() -> None:
    taken = [downsample(Y, 3, seed=seed, replace=True) for seed in range(10)]
    assert any(len(set(rows.tolist())) < len(rows) for rows in taken)


def test_the_seed_decides_the_draw() -> None:
    draws = {tuple(downsample(Y, 3, seed=seed)) for seed in range(10)}
    assert len(draws) > 1
    assert tuple(downsample(Y, 3, seed=3)) == tuple(downsample(Y, 3, seed=3))


def test_effective_weights_follow_the_paper() -> None:
    """By hand for beta 0.9: E = (1 - 0.9^n) / 0.1 is 4.68559 for 6 images and 2.71 for 3."""
    inverse = np.array([1 / 4.68559, 1 / 2.71, 1 / 2.71])
    np.testing.assert_allclose(effective_weights(Y, 3, 0.9), inverse * 12 / (inverse @ [6, 3, 3]), rtol=1e-6)


def test_effective_weights_lie_between_none_and_balanced() -> None:
    np.testing.assert_array_equal(effective_weights(Y, 3, 0.0), [1, 1, 1])
    np.testing.assert_allclose(effective_weights(Y, 3, 1 - 1e-15), class_weights(Y, 3), rtol=1e-6)
    assert class_weights(Y, 3)[0] < effective_weights(Y, 3, 0.9)[0] < 1


def test_oversampling_takes_as_many_of_each_class_as_the_largest_has() -> None:
    y = np.array([0] * 7 + [1] * 3, np.int32)
    taken = np.bincount(oversample(y, 2, seed=0))
    assert taken[:7].tolist() == [1] * 7
    assert sorted(taken[7:].tolist()) == [2, 2, 3]


def test_the_seed_decides_which_images_are_taken_once_more() -> None:
    y = np.array([0] * 7 + [1] * 3, np.int32)
    assert len({tuple(oversample(y, 2, seed)) for seed in range(10)}) == 3
    np.testing.assert_array_equal(oversample(y, 2, 4), oversample(y, 2, 4))


def planned(seed: int = 0, **data: object) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    rows, weights = plan(Y, PATIENTS, 3, Data.model_validate(data), seed)
    assert (rows.dtype, weights.dtype, len(rows)) == (np.int64, np.float32, len(weights))
    return rows, weights


def test_by_default_all_images_are_taken_and_classes_count_the_same() -> None:
    rows, weights = planned()
    assert rows.tolist() == list(range(12))
    assert weights.tobytes() == class_weights(Y, 3)[Y].tobytes()


@pytest.mark.parametrize("replace", [False, True])
def test_downsampled_images_weigh_one(replace: bool) -> None:
    rows, weights = planned(balance="downsample", replace=replace, seed=5)
    np.testing.assert_array_equal(rows, downsample(Y, 3, 5, replace=replace))
    assert set(weights) == {1.0}


def test_a_plan_may_weigh_by_effective_number_or_oversample_or_do_nothing() -> None:
    assert planned(balance="effective", beta=0.9)[1].tobytes() == effective_weights(Y, 3, 0.9)[Y].tobytes()
    np.testing.assert_array_equal(planned(balance="oversample", seed=3)[0], oversample(Y, 3, 3))
    rows, weights = planned(balance="none")
    assert (rows.tolist(), set(weights)) == (list(range(12)), {1.0})


def test_patients_of_a_class_count_the_same_and_classes_too() -> None:
    rows, weights = planned(per_patient=True)
    assert rows.tolist() == list(range(12))
    third = 4 / 3
    np.testing.assert_allclose(weights, [third / 4] * 4 + [third] * 5 + [1, 1, 2], rtol=1e-6)


def test_without_balance_every_patient_counts_the_same() -> None:
    rows, weights = planned(balance="none", per_patient=True)
    sums = np.bincount(PATIENTS.rank("dense").to_numpy()[rows] - 1, weights=weights)
    np.testing.assert_allclose(sums, 12 / 8, rtol=1e-6)


def test_effective_numbers_count_patients_too() -> None:
    weights = planned(balance="effective", beta=0.9, per_patient=True)[1]
    sums = np.bincount(Y, weights=weights)
    expected = np.array([3 / 2.71, 3 / 2.71, 2 / 1.9])
    np.testing.assert_allclose(sums, expected * 12 / expected.sum(), rtol=1e-6)


@pytest.mark.parametrize(("balance", "patients"), [("downsample", [2, 2, 2]), ("oversample", [3, 3, 3])])
def test_patients_are_drawn_with_all_their_films(balance: str, patients: list[int]) -> None:
    rows, weights = planned(balance=balance, per_patient=True)
    films = dict(PATIENTS.value_counts().iter_rows())
    taken = dict(PATIENTS[rows].value_counts().iter_rows())
    assert all(taken[name] % films[name] == 0 for name in taken)
    drawn = [sum(taken.get(name, 0) // films[name] for name in names) for names in ("abc", "def", "gh")]
    assert drawn == patients
    np.testing.assert_allclose(np.bincount(Y[rows], weights=weights), len(rows) / 3, rtol=1e-6)


def test_a_patient_with_films_of_two_classes_counts_in_each() -> None:
    y, patients = np.array([0, 0, 0, 1, 1, 1], np.int32), pl.Series(list("aabacc"))
    weights = plan(y, patients, 2, Data(per_patient=True), 0)[1]
    np.testing.assert_allclose(weights, [0.75, 0.75, 1.5, 1.5, 0.75, 0.75], rtol=1e-6)


def test_one_patient_of_236_films_does_not_outweigh_236_patients() -> None:
    y = np.array([0] * 472 + [1] * 10, np.int32)
    patients = pl.Series(["many"] * 236 + [f"p{number}" for number in range(246)])
    weights = plan(y, patients, 2, Data(per_patient=True), 0)[1]
    assert weights[:236].sum() == pytest.approx(weights[236])
    assert weights[y == 0].sum() == pytest.approx(weights[y == 1].sum())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (["data.replace=true"], "data.replace goes with data.balance = 'downsample' only, not with 'weights'"),
        (
            ["data.balance=oversample", "data.replace=true"],
            "data.replace goes with data.balance = 'downsample' only, not with 'oversample'",
        ),
        (["data.balance=none", "data.beta=0.9"], "data.beta goes with data.balance = 'effective' only, not with 'none'"),
        (["data.balance=effective", "data.beta=1"], "Input should be less than 1 (got 1 for data.beta)"),
        (
            ["data.balance=smote"],
            "Input should be 'weights', 'effective', 'downsample', 'oversample' or 'none' (got 'smote' for data.balance)",
        ),
    ],
)
def test_choices_that_do_not_go_together_are_refused_by_the_recipe(changes: list[str], sentence: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("quick", changes)
    assert str(caught.value) == f"In the recipe: {sentence}; correct it."


def test_the_default_beta_is_allowed_everywhere() -> None:
    """A run directory keeps all keys of its recipe."""
    assert load_recipe("quick", ["data.beta=0.999"]) == load_recipe("quick")
    assert load_recipe("quick", ["data.balance=effective"]).data.beta == 0.999


@pytest.mark.parametrize(
    "balance",
    [
        class_weights,
        lambda y, classes: downsample(y, classes, 0),
        lambda y, classes: oversample(y, classes, 0),
        lambda y, classes: effective_weights(y, classes, 0.9),
        lambda y, classes: plan(y, pl.Series(["p"] * len(y)), classes, Data(balance="none"), 0),
        lambda y, classes: plan(y, pl.Series(["p"] * len(y)), classes, Data(balance="none", per_patient=True), 0),
    ],
    ids=["weights", "downsample", "oversample", "effective", "plan", "plan per patient"],
)
def test_a_class_without_images_is_refused(balance: Callable[[NDArray[np.int32], int], object]) -> None:
    with pytest.raises(DataError) as caught:
        balance(np.array([0, 0, 2], np.int32), 3)
    assert str(caught.value) == "Every class must have training images, class number 1 has none; split again."
