"""The bootstrap draws patients, not images."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.evaluation.intervals import Bootstrap, Estimate, Statistic, Weights


def mean_of(values: NDArray[np.floating]) -> Statistic:
    """The weighted mean of one value an image."""

    def statistic(weights: Weights) -> NDArray[np.float64]:
        return np.asarray(weights @ values / weights.sum(axis=1))

    return statistic


def owners(patients: int, films: int) -> NDArray[np.str_]:
    return np.repeat([f"p{number}" for number in range(patients)], films)


def width(estimate: Estimate) -> float:
    return float(estimate.high or 0) - float(estimate.low or 0)


def test_a_patient_is_drawn_whole() -> None:
    patient = np.array(["b", "a", "b", "c", "a", "b"])
    weights = Bootstrap(patient, resamples=50).weights()
    for name in "abc":
        own = weights[:, patient == name]
        assert (own == own[:, :1]).all()


def test_as_many_patients_are_drawn_as_there_are() -> None:
    weights = Bootstrap(owners(7, 3), resamples=250).weights()
    assert weights.shape == (250, 21)
    assert (weights[:, ::3].sum(axis=1) == 7).all()


def test_every_patient_is_drawn_once_on_average() -> None:
    mean = Bootstrap(owners(10, 1), resamples=4000).weights().mean(axis=0)
    np.testing.assert_allclose(mean, 1, atol=0.08)


def test_resamples_are_the_same_each_time_and_others_with_another_seed() -> None:
    first, again, other = (Bootstrap(owners(20, 2), seed=seed).weights() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_first_resamples_do_not_depend_on_how_many_follow() -> None:
    few, many = (Bootstrap(owners(9, 2), resamples=number).weights() for number in (30, 330))
    np.testing.assert_array_equal(many[:30], few)


def test_resamples_are_those_of_one_multinomial_draw() -> None:
    drawn = np.random.default_rng(3).multinomial(8, np.full(8, 1 / 8), size=250)
    np.testing.assert_array_equal(Bootstrap(owners(8, 1), resamples=250, seed=3).weights(), drawn)


def test_the_order_of_images_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    values, patient = rng.normal(size=40), owners(10, 4)
    order = rng.permutation(40)
    one = Bootstrap(patient).estimate(mean_of(values))
    two = Bootstrap(patient[order]).estimate(mean_of(values[order]))
    assert (one.value, one.low, one.high) == pytest.approx((two.value, two.low, two.high))


def test_the_value_is_that_of_the_images_as_they_are() -> None:
    values = np.array([0.0, 1, 1, 0, 1])
    found = Bootstrap(owners(5, 1)).estimate(mean_of(values))
    assert found.value == pytest.approx(0.6)
    assert 0.0 <= float(found.low or 0) < 0.6 < float(found.high or 0) <= 1.0


def test_weights_that_are_shared_give_the_same_estimate() -> None:
    bootstrap, values = Bootstrap(owners(12, 2)), np.random.default_rng(0).normal(size=24)
    assert bootstrap.estimate(mean_of(values)) == bootstrap.estimate(mean_of(values), bootstrap.weights())


def test_a_statistic_gets_float_weights_in_pieces_of_any_number() -> None:
    seen: list[Weights] = []

    def statistic(weights: Weights) -> NDArray[np.float64]:
        seen.append(weights)
        return np.asarray(weights.sum(axis=1))

    Bootstrap(owners(4, 1), resamples=250).estimate(statistic)
    assert {piece.dtype for piece in seen} == {np.dtype(np.float64)}
    assert sum(len(piece) for piece in seen) == 1 + 250


def test_alike_images_of_a_patient_make_the_interval_wider() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=30), 10)
    by_patient = Bootstrap(owners(30, 10)).estimate(mean_of(values))
    by_image = Bootstrap(owners(300, 1)).estimate(mean_of(values))
    assert by_patient.value == by_image.value
    assert width(by_patient) > 2.5 * width(by_image)


def test_more_patients_make_the_interval_narrower() -> None:
    values = np.random.default_rng(0).normal(size=400)
    few, many = Bootstrap(owners(40, 1)).estimate(mean_of(values[:40])), Bootstrap(owners(400, 1)).estimate(mean_of(values))
    assert 2 < width(few) / width(many) < 5


def test_95_percent_intervals_cover_the_truth_about_that_often() -> None:
    rng, covered = np.random.default_rng(0), 0
    for seed in range(200):
        right = (rng.uniform(size=(80, 1)) < 0.7).repeat(2, axis=1).ravel().astype(float)
        found = Bootstrap(owners(80, 2), resamples=300, seed=seed).estimate(mean_of(right))
        covered += float(found.low or 0) <= 0.7 <= float(found.high or 0)
    assert 0.90 <= covered / 200 <= 0.985


def test_a_constant_has_no_width() -> None:
    found = Bootstrap(owners(6, 2)).estimate(mean_of(np.full(12, 0.25)))
    assert (found.value, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))


def test_an_undefined_statistic_is_none() -> None:
    found = Bootstrap(owners(3, 1)).estimate(lambda weights: np.full(len(weights), np.nan))
    assert found == Estimate(None, None, None)


def test_no_images_are_undefined() -> None:
    bootstrap = Bootstrap(np.array([], dtype=np.str_))
    assert bootstrap.weights().shape == (2000, 0)
    assert bootstrap.estimate(mean_of(np.zeros(0))) == Estimate(None, None, None)


def test_one_patient_has_no_spread() -> None:
    values = np.array([0.0, 1.0])
    assert (Bootstrap(owners(1, 2)).weights() == 1).all()
    assert Bootstrap(owners(1, 2)).estimate(mean_of(values)) == Estimate(0.5, 0.5, 0.5)


def test_undefined_resamples_are_left_out() -> None:
    def first_only(weights: Weights) -> NDArray[np.float64]:
        return np.where(weights[:, 0] > 0, weights[:, 0], np.nan)

    found = Bootstrap(owners(2, 1)).estimate(first_only)
    assert (found.value, found.low, found.high) == (1.0, 1.0, 2.0)


def test_where_all_resamples_are_undefined_the_value_stands_alone() -> None:
    found = Bootstrap(owners(3, 1), resamples=0).estimate(mean_of(np.array([0.0, 0.0, 1.5])))
    assert found == Estimate(0.5, 0.5, 0.5)


def test_an_estimate_as_text_and_json() -> None:
    assert str(Estimate(0.5, 0.25, 0.75)) == "0.500 [0.250, 0.750]"
    assert str(Estimate(None, None, None)) == "undefined"
    assert Estimate(0.5, 0.25, 0.75).to_json() == {"value": 0.5, "low": 0.25, "high": 0.75}
