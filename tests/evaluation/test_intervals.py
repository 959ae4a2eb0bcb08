"""The bootstrap draws patients, not images."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from lungwise.evaluation.intervals import AGREE, EMPTY, Bootstrap, Estimate, Sample, Statistic, Weights, bca


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


def test_how_often_a_patient_is_drawn_has_the_binomial_distribution() -> None:
    counts = Bootstrap(owners(8, 1), resamples=4000, seed=3).weights()
    found = np.bincount(counts.ravel(), minlength=9)[:5] / counts.size
    np.testing.assert_allclose(found, scipy.stats.binom.pmf(range(5), 8, 1 / 8), atol=0.01)


def test_draws_do_not_depend_on_the_number_of_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    bootstrap = Bootstrap(owners(200, 1), resamples=3000)
    several = bootstrap.sample(lambda weights: weights[:2])
    monkeypatch.setattr("lungwise.evaluation.intervals._WORKERS", 1)
    np.testing.assert_array_equal(bootstrap.sample(lambda weights: weights[:2]).draws, several.draws)


def test_the_order_of_images_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    values, patient = rng.normal(size=40), owners(10, 4)
    order = rng.permutation(40)
    one = Bootstrap(patient).estimate(mean_of(values))
    two = Bootstrap(patient[order]).estimate(mean_of(values[order]))
    assert (one.value, one.low, one.high) == pytest.approx((two.value, two.low, two.high))


def test_the_value_is_that_of_the_images_as_they_are() -> None:
    values = np.array([0.0, 1, 1, 0, 1, 0, 1, 1])
    found = Bootstrap(owners(8, 1)).estimate(mean_of(values))
    assert found.value == pytest.approx(0.625)
    assert 0.0 <= float(found.low or 0) < 0.625 < float(found.high or 0) <= 1.0


def test_weights_that_are_shared_give_the_same_estimate() -> None:
    bootstrap, values = Bootstrap(owners(12, 2)), np.random.default_rng(0).normal(size=24)
    assert bootstrap.estimate(mean_of(values)) == bootstrap.estimate(mean_of(values), bootstrap.weights())


def test_a_statistic_gets_float_weights_in_pieces_of_any_number() -> None:
    seen: list[Weights] = []

    def statistic(weights: Weights) -> NDArray[np.float64]:
        seen.append(weights)
        return np.asarray(weights.sum(axis=1))

    Bootstrap(owners(4, 2), resamples=250).estimate(statistic)
    assert {piece.dtype for piece in seen} == {np.dtype(np.float64)}
    assert {piece.shape[1] for piece in seen} == {8}
    assert sum(len(piece) for piece in seen) == 1 + 250 + 4


def test_figures_are_made_of_weights_of_patients() -> None:
    values = np.random.default_rng(0).normal(size=40)
    bootstrap = Bootstrap(owners(10, 4), resamples=300)
    sums = values.reshape(10, 4).sum(axis=1)
    sample = bootstrap.sample(lambda weights: np.stack([sums @ weights / (4 * weights.sum(axis=0)), weights[0]]))
    assert sample.draws.shape == (2, 300)
    assert sample.left_out.shape == (2, 10)
    by_image = bootstrap.estimate(mean_of(values))
    assert sample.estimate(0).to_json() == pytest.approx(by_image.to_json())


def test_the_jackknife_leaves_out_one_patient_at_a_time() -> None:
    sample = Bootstrap(owners(6, 2), resamples=10).sample(lambda weights: weights)
    np.testing.assert_array_equal(sample.left_out, 1 - np.eye(6))


def test_many_patients_are_left_out_in_groups() -> None:
    left_out = Bootstrap(owners(2500, 1), resamples=10).sample(lambda weights: weights).left_out
    assert left_out.shape == (2500, 1000)
    assert ((left_out == 0).sum(axis=1) == 1).all()
    assert set((left_out == 0).sum(axis=0).tolist()) == {2, 3}


def skewed(number: int) -> NDArray[np.float64]:
    return np.random.default_rng(4).exponential(size=number)


def test_the_interval_is_scipys_bca_where_many_patients_share_the_influence() -> None:
    """With thousands of normal values Student's quantile is the normal one, and only the correction by skewness is left."""
    values = np.random.default_rng(4).normal(size=1000) ** 2 / 10 + np.random.default_rng(5).normal(size=1000)
    found = Bootstrap(owners(1000, 1), resamples=9999).estimate(mean_of(values))
    wanted = scipy.stats.bootstrap((values,), np.mean, n_resamples=9999, method="BCa", random_state=0, batch=500)
    assert (found.low, found.high) == pytest.approx(tuple(wanted.confidence_interval), abs=0.006)


def test_the_acceleration_and_bias_are_scipys() -> None:
    values = skewed(60)
    drawn = np.random.default_rng(0).choice(values, (4000, 60)).mean(axis=1)
    left_out = (values.sum() - values) / 59
    low, high = bca(float(values.mean()), drawn, left_out, 60)
    wanted = scipy.stats.bootstrap((values,), np.mean, n_resamples=4000, method="BCa", random_state=0).confidence_interval
    # Never narrower than BCa with the normal quantile, and leaning to the same side.
    assert low < wanted.low < wanted.high < high
    assert (high - values.mean()) / (values.mean() - low) > 1.2


def test_few_patients_make_the_interval_wider() -> None:
    """The same draws, as if they came of fewer patients."""
    draws, left_out = np.random.default_rng(0).normal(size=5000), np.zeros(6)
    few, many = ((high - low) / 3.92 for low, high in (bca(0.0, draws, left_out, number) for number in (8, 8000)))
    assert many == pytest.approx(1.0, abs=0.05)
    assert few == pytest.approx(scipy.stats.t.ppf(0.975, 7) * np.sqrt(8 / 7) / 1.96, abs=0.1)


def test_beyond_the_pole_of_the_formula_the_end_is_the_outermost_draw() -> None:
    draws, left_out = np.linspace(0, 1, 101), np.r_[np.zeros(20), 9.0]
    assert bca(0.5, draws, left_out, 3)[0] == pytest.approx(0.0)
    assert bca(0.5, draws, -left_out, 3)[1] == pytest.approx(1.0)


def test_the_value_lies_within_its_interval() -> None:
    assert bca(2.0, np.linspace(0, 1, 50), np.zeros(3), 3)[1] == 2.0
    assert bca(-1.0, np.linspace(0, 1, 50), np.zeros(3), 3)[0] == -1.0


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


def test_a_constant_has_an_unknown_width_and_the_reason() -> None:
    found = Bootstrap(owners(6, 2)).estimate(mean_of(np.full(12, 0.25)))
    assert found.value == pytest.approx(0.25)
    assert (found.low, found.high, found.reason) == (None, None, AGREE)


def test_an_undefined_statistic_is_none() -> None:
    found = Bootstrap(owners(3, 1)).estimate(lambda weights: np.full(len(weights), np.nan))
    assert found == Estimate(None, None, None, EMPTY)


def test_no_images_are_undefined() -> None:
    bootstrap = Bootstrap(np.array([], dtype=np.str_))
    assert bootstrap.weights().shape == (2000, 0)
    assert bootstrap.estimate(mean_of(np.zeros(0))) == Estimate(None, None, None, EMPTY)


def test_one_patient_has_no_interval() -> None:
    values = np.array([0.0, 1.0])
    assert (Bootstrap(owners(1, 2)).weights() == 1).all()
    reason = "1 patient cannot show how much patients differ."
    assert Bootstrap(owners(1, 2)).estimate(mean_of(values)) == Estimate(0.5, None, None, reason)


@pytest.mark.parametrize(("patients", "known"), [(2, False), (5, False), (6, True)])
def test_fewer_than_six_patients_have_no_interval(patients: int, known: bool) -> None:
    found = Bootstrap(owners(patients, 1)).estimate(mean_of(np.arange(float(patients))))
    assert (found.low is not None) == known
    assert found.reason == ("" if known else f"{patients} patients cannot show how much patients differ.")


def left(share: float) -> Sample:
    """A figure that is undefined in a share of a thousand resamples."""
    draws = np.where(np.arange(1000) < 1000 * share, np.nan, np.linspace(0, 1, 1000))
    return Sample(np.array([0.5]), draws[None], np.linspace(0, 1, 9)[None], 9)


def test_few_undefined_resamples_are_left_out() -> None:
    found = left(0.02).estimate(0)
    assert found.low is not None
    assert found.reason == ""


def test_many_undefined_resamples_leave_no_interval() -> None:
    found = left(0.12).estimate(0)
    assert (found.value, found.low, found.high) == (0.5, None, None)
    assert found.reason == "The figure is undefined in 12 % of the resamples, because too few patients enter it."
    assert left(1.0).estimate(0).low is None


def test_without_resamples_the_value_stands_alone() -> None:
    found = Bootstrap(owners(3, 1), resamples=0).estimate(mean_of(np.array([0.0, 0.0, 1.5])))
    assert (found.value, found.low, found.high) == (0.5, None, None)


def test_an_estimate_as_text_and_json() -> None:
    assert str(Estimate(0.5, 0.25, 0.75)) == "0.500 [0.250, 0.750]"
    assert str(Estimate(None, None, None)) == "undefined"
    assert str(Estimate(0.5, None, None, AGREE)) == "0.500 [unknown]"
    assert Estimate(0.5, 0.25, 0.75).to_json() == {"value": 0.5, "low": 0.25, "high": 0.75}
    assert Estimate(0.5, None, None, AGREE).to_json() == {"value": 0.5, "low": None, "high": None, "reason": AGREE}


def test_the_method_says_its_resamples() -> None:
    assert Bootstrap(owners(2, 1), resamples=77).method == "95 % BCa bootstrap over patients, 77 resamples"
