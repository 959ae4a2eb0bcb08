"""The temperature that fits best, its interval, and the cases that have none."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.evaluation.logarithms import log_prob
from lungwise.evaluation.temperature import fit_temperature

Matrix = NDArray[np.float64]


def alone(number: int) -> NDArray[np.str_]:
    return np.array([f"p{row}" for row in range(number)])


def drawn(logits: Matrix, seed: int) -> NDArray[np.int64]:
    """Classes drawn by the softmax of logits (Gumbel's trick)."""
    return np.asarray((logits + np.random.default_rng(seed).gumbel(size=logits.shape)).argmax(axis=1))


def test_by_hand() -> None:
    # 9 of 10 are right at odds of 3 to 1; odds of 9 to 1 are the square, so logits are doubled.
    logs = log_prob(np.tile([[0.75, 0.25], [0.25, 0.75]], (20, 1)))
    y = np.tile([0, 1], 20)
    y[:4] = 1 - y[:4]
    assert fit_temperature(logs, y, alone(40)).value == pytest.approx(0.5)


def test_nothing_changes_when_logits_are_moved_by_a_constant_a_row() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (200, 3))
    y = drawn(logits, 1)
    moved = logits + np.random.default_rng(2).normal(0, 5, (200, 1))
    np.testing.assert_allclose(fit_temperature(moved, y, alone(200))[:3], fit_temperature(logits, y, alone(200))[:3])


def test_copies_of_an_image_make_the_temperature_no_surer() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (100, 3))
    y = drawn(logits, 1)
    once = fit_temperature(logits, y, alone(100))
    thrice = fit_temperature(np.repeat(logits, 3, axis=0), np.repeat(y, 3), np.repeat(alone(100), 3))
    np.testing.assert_allclose(thrice[:3], once[:3])


def test_the_interval_covers() -> None:
    inside = 0
    for seed in range(300):
        logits = np.random.default_rng(seed).normal(0, 2, (150, 3))
        found = fit_temperature(1.5 * logits, drawn(logits, 1000 + seed), alone(150))
        assert found.reason == ""
        inside += found.low <= 1.5 <= found.high
    # 95 % of 300 are 285, with a standard deviation of 3.8.
    assert 285 - 3 * 3.8 <= inside <= 285 + 3 * 3.8


@pytest.mark.parametrize(
    ("prob", "y", "reason"),
    [
        pytest.param([[0.7, 0.3]] * 30, [0, 1] * 15, "has the same probabilities", id="one score for all"),
        pytest.param([[0.5, 0.5]] * 30, [0, 1] * 15, "has the same probabilities", id="uniform"),
        pytest.param(
            [[0.9, 0.1], [0.4, 0.6]] * 15, [0, 1] * 15, "decided rightly, so no temperature is too low", id="separated"
        ),
        pytest.param([[1.0, 0.0], [0.0, 1.0]] * 15, [0, 1] * 15, "decided rightly, so no temperature is too low", id="0 and 1"),
        pytest.param([[0.9, 0.1], [0.4, 0.6]] * 15, [1, 0] * 15, "say nothing right about validation", id="upside down"),
    ],
)
def test_where_none_can_be_told_it_says_why_and_stays_1(prob: list[list[float]], y: list[int], reason: str) -> None:
    found = fit_temperature(log_prob(np.array(prob)), np.array(y), alone(len(y)))
    assert reason in found.reason
    assert found[:3] == (1.0, 1.0, 1.0)


def test_of_few_images_the_best_is_told_but_not_to_be_believed() -> None:
    prob = np.array([[0.9, 0.1], [0.1, 0.9], [0.2, 0.8]] * 3)
    found = fit_temperature(log_prob(prob), np.array([0, 1, 0, 0, 1, 1, 0, 1, 1]), alone(9))
    assert found.high > 2 * found.value
    assert found.reason == (
        f"Validation is too small: the temperature {found.value:.2f} fits best, but half or double of it may be as good."
    )


def test_too_cold_to_be_believed() -> None:
    prob = np.full((40, 2), 0.5) + np.array([1e-4, -1e-4])
    prob[20:] = prob[20:, ::-1]
    y = np.repeat([0, 1], 20)
    y[0] = 1
    found = fit_temperature(log_prob(prob), y, alone(40))
    assert found.reason == "The best temperature on validation lies below 0.01: too cold to be believed."


def test_one_wrong_answer_of_infinite_confidence_does_not_break_it() -> None:
    prob = np.array([[1.0, 0.0]] * 30 + [[0.0, 1.0]] * 30)
    y = np.repeat([0, 1], 30)
    y[:6] = 1
    found = fit_temperature(log_prob(prob), y, alone(60))
    # Six of 60 wrong at 103 nats: odds of 9 to 1 are wanted.
    assert found.value == pytest.approx(-np.log(1.401298464324817e-45) / np.log(9))
