"""Learning rate and stopping follow from the history alone."""

from __future__ import annotations

import pytest

from lungwise.recipe import Recipe, parse_recipe
from lungwise.training.schedule import (
    best_epoch,
    epochs_without_improvement,
    image_size,
    plateau_rate,
    score,
    should_stop,
    small_epochs,
    step_rate,
)


def losses(*values: float) -> list[dict[str, float]]:
    return [{"val_loss": value, "val_accuracy": 1 - value} for value in values]


def recipe(**fit: object) -> Recipe:
    return parse_recipe({"name": "x", "optimiser": {"learning_rate": 0.1}, "fit": fit})


@pytest.mark.parametrize(("monitor", "expected"), [("val_loss", -0.25), ("val_accuracy", 0.75)])
def test_score_is_larger_when_better(monitor: str, expected: float) -> None:
    assert score({"val_loss": 0.25, "val_accuracy": 0.75}, monitor) == expected


@pytest.mark.parametrize(("values", "epoch"), [((3.0,), 1), ((3.0, 1.0, 2.0), 2), ((1.0, 1.0, 1.0), 1), ((3.0, 2.0, 1.0), 3)])
def test_the_best_epoch_is_the_first_of_equals(values: tuple[float, ...], epoch: int) -> None:
    assert best_epoch(losses(*values), "val_loss") == epoch


@pytest.mark.parametrize(("values", "epochs"), [((), 0), ((1.0,), 0), ((1.0, 2.0), 1), ((2.0, 1.0, 3.0, 4.0), 2)])
def test_epochs_without_improvement_are_counted_from_the_best(values: tuple[float, ...], epochs: int) -> None:
    assert epochs_without_improvement(losses(*values), "val_loss") == epochs


@pytest.mark.parametrize(("patience", "stops"), [(0, False), (1, True), (2, True), (3, False)])
def test_early_stopping_waits_for_its_patience(patience: int, stops: bool) -> None:
    assert should_stop(losses(1.0, 2.0, 3.0), recipe(early_stopping=patience).fit) is stops


def test_nothing_stops_before_the_first_epoch() -> None:
    assert not should_stop([], recipe(early_stopping=1).fit)


@pytest.mark.parametrize(
    ("values", "rate"),
    [
        ((), 0.1),
        ((1.0, 2.0), 0.1),
        ((1.0, 2.0, 2.0), 0.05),
        ((1.0, 2.0, 2.0, 2.0), 0.05),
        ((1.0, 2.0, 2.0, 2.0, 2.0), 0.025),
        ((1.0, 2.0, 0.5, 2.0), 0.1),
        ((1.0, 1.0, 1.0), 0.05),
    ],
)
def test_a_plateau_halves_the_rate(values: tuple[float, ...], rate: float) -> None:
    chosen = recipe(plateau={"patience": 2, "factor": 0.5})
    assert plateau_rate(losses(*values), chosen) == pytest.approx(rate)


def test_the_rate_of_a_plateau_has_a_minimum() -> None:
    chosen = recipe(plateau={"patience": 1, "factor": 0.1, "minimum": 0.004})
    assert plateau_rate(losses(*[1.0] * 9), chosen) == pytest.approx(0.004)


def test_a_rate_below_the_minimum_is_not_raised() -> None:
    chosen = recipe(plateau={"patience": 1, "minimum": 0.5})
    assert plateau_rate(losses(1.0, 1.0, 1.0), chosen) == 0.1


def test_a_resumed_training_has_the_rates_of_an_unbroken_one() -> None:
    history, chosen = losses(3.0, 2.0, 2.5, 2.6, 1.0, 1.5, 1.6, 1.7), recipe()
    unbroken = [plateau_rate(history[:epoch], chosen) for epoch in range(len(history))]
    assert [plateau_rate(list(history[:epoch]), chosen) for epoch in range(len(history))] == unbroken
    assert sorted(unbroken, reverse=True) == unbroken


def growing(*sizes: int, epochs: int, **fit: object) -> Recipe:
    """A recipe whose last size is 224."""
    values = {"progressive": list(sizes), "epochs": epochs, **fit}
    return parse_recipe({"name": "x", "model": {"image_size": 224}, "optimiser": {"learning_rate": 0.1}, "fit": values})


def sized(*records: tuple[int, float]) -> list[dict[str, float]]:
    return [{"image_size": size, "val_loss": loss, "val_accuracy": 1 - loss} for size, loss in records]


@pytest.mark.parametrize(
    ("sizes", "epochs", "parts"),
    [
        ((), 3, {224: 3}),
        ((96,), 2, {96: 1, 224: 1}),
        ((96,), 5, {96: 2, 224: 3}),
        ((96, 160), 3, {96: 1, 160: 1, 224: 1}),
        ((96, 160), 20, {96: 6, 160: 6, 224: 8}),
        ((64, 96, 128, 160, 192), 11, {64: 1, 96: 1, 128: 1, 160: 1, 192: 1, 224: 6}),
    ],
)
def test_every_size_has_an_equal_part_and_the_last_what_remains(
    sizes: tuple[int, ...], epochs: int, parts: dict[int, int]
) -> None:
    chosen = growing(*sizes, epochs=epochs)
    assert [image_size(chosen, epoch) for epoch in range(epochs)] == [size for size, part in parts.items() for _ in range(part)]
    assert small_epochs(chosen.fit) == epochs - parts[224]
    assert image_size(chosen, epochs) == 224  # where a finished training stands


def test_the_best_epoch_is_one_of_the_last_size() -> None:
    history = sized((96, 0.1), (96, 0.2), (224, 0.9), (224, 0.8), (224, 0.85))
    assert [best_epoch(history[:epochs], "val_loss") for epochs in range(1, 6)] == [1, 1, 3, 4, 4]


def test_early_stopping_does_not_see_smaller_sizes() -> None:
    fit = growing(96, epochs=8, early_stopping=2).fit
    history = sized(*[(96, 0.1 * epoch) for epoch in range(1, 5)], (224, 0.9), (224, 1.0), (224, 1.1))
    assert [should_stop(history[:epochs], fit) for epochs in range(8)] == [False] * 7 + [True]


def test_a_plateau_does_not_see_smaller_sizes() -> None:
    chosen = growing(96, epochs=8, plateau={"patience": 1, "factor": 0.5})
    history = sized(*[(96, 0.1 * epoch) for epoch in range(1, 5)], (224, 0.9), (224, 0.8), (224, 0.9))
    rates = [plateau_rate(history[:epochs], chosen) for epochs in range(8)]
    assert rates == pytest.approx([0.1] * 7 + [0.05])


def with_optimiser(**values: object) -> Recipe:
    return parse_recipe({"name": "x", "optimiser": {"learning_rate": 0.1, **values}, "fit": {"epochs": 12}})


def test_warm_up_rises_linearly() -> None:
    chosen = with_optimiser(warmup_epochs=2)
    rates = [step_rate(chosen, 0.1, progress) for progress in (0.0, 1.0, 2.0)]
    assert rates == pytest.approx([0.0, 0.05, 0.1], abs=1e-4)
    assert rates[0] > 0


def test_after_the_warm_up_a_plateau_keeps_the_rate_of_the_epoch() -> None:
    assert step_rate(with_optimiser(warmup_epochs=2), 0.03, 2.5) == 0.03


@pytest.mark.parametrize(("progress", "rate"), [(2.0, 0.1), (7.0, 0.05), (12.0, 0.0), (13.0, 0.0)])
def test_cosine_falls_from_the_rate_to_nothing(progress: float, rate: float) -> None:
    chosen = with_optimiser(warmup_epochs=2, schedule="cosine")
    assert step_rate(chosen, 1.0, progress) == pytest.approx(rate, abs=1e-12)


def test_a_warm_up_as_long_as_the_training_divides_by_nothing() -> None:
    assert step_rate(with_optimiser(warmup_epochs=12, schedule="cosine"), 1.0, 12.0) == pytest.approx(0.1)
