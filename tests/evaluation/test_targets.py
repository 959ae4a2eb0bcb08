"""The original's three targets, met, missed and unknown."""

from __future__ import annotations

from typing import Any

import pytest

from lungwise.evaluation.targets import learning, targets


def log(*accuracies: float, validation: tuple[float, ...] | None = None) -> list[dict[str, Any]]:
    pairs = zip(accuracies, validation or accuracies, strict=True)
    return [{"accuracy": a, "val_accuracy": v, "seconds": 1.25} for a, v in pairs]


def test_the_best_epoch_is_the_first_of_equals() -> None:
    found = learning(log(0.5, 0.6, 0.7, 0.8, validation=(0.4, 0.7, 0.6, 0.7)), None, None)
    assert (found["epochs"], found["epochs_to_best"], found["seconds"]) == (4, 2, 5.0)


def test_training_converged_when_it_is_within_one_point_of_its_best() -> None:
    assert learning(log(0.5, 0.895, 0.89, 0.9), None, None)["converged_at"] == 2
    assert learning(log(0.5, 0.88, 0.9), None, None)["converged_at"] == 3


def test_the_gap_is_training_minus_test() -> None:
    assert learning(log(0.9), 0.95, 0.85)["train_test_gap"] == pytest.approx(0.1)


@pytest.mark.parametrize(("train", "test"), [(None, 0.9), (0.9, None), (None, None)])
def test_a_gap_needs_both_accuracies(train: float | None, test: float | None) -> None:
    assert learning(log(0.9), train, test)["train_test_gap"] is None


def test_no_epochs_have_no_best() -> None:
    assert learning([], None, None) == {
        "epochs": 0,
        "epochs_to_best": None,
        "converged_at": None,
        "train_test_gap": None,
        "seconds": 0,
    }


def table(test: float | None, converged: int | None, gap: float | None) -> list[tuple[str, bool | None]]:
    rows = targets(test, {"converged_at": converged, "train_test_gap": gap})
    return [(row["got"], row["met"]) for row in rows]


def test_what_is_wanted_is_said() -> None:
    rows = targets(0.9, {"converged_at": 3, "train_test_gap": 0.0})
    assert [(row["target"], row["wanted"]) for row in rows] == [
        ("test accuracy", "at least 85%"),
        ("training accuracy converged", "within 20 epochs"),
        ("gap between training and test accuracy", "small: at most 5 points"),
    ]


def test_all_met_at_the_edge() -> None:
    assert table(0.85, 20, 0.05) == [
        ("85.0%", True),
        ("within one point of its best at epoch 20", True),
        ("+5.0 points", True),
    ]


def test_all_missed() -> None:
    assert [met for _, met in table(0.849, 21, 0.0501)] == [False, False, False]


def test_a_test_part_that_is_better_than_training_has_a_small_gap() -> None:
    assert table(0.9, 1, -0.03)[2] == ("-3.0 points", True)


def test_what_is_not_known_is_neither_met_nor_missed() -> None:
    assert table(None, None, None) == [("no test part", None), ("no epochs", None), ("not known", None)]
