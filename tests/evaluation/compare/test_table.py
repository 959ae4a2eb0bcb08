"""Several runs in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lungwise.evaluation.compare.runs import read_evaluated
from lungwise.evaluation.compare.table import COLUMNS, duration, figures, texts
from tests.evaluation.compare.factory import estimate, folds, part, write, write_folds
from tests.evaluation.factory import predictions


def rows(*folders: Path) -> list[dict[str, str]]:
    return texts([figures(run) for run in read_evaluated(folders)])


def with_accuracy(folder: Path, value: float | None, **changes: Any) -> Path:
    table = predictions({"test": 40})
    return write(folder, table, parts={"test": {**part(table), "accuracy": estimate(value)}}, **changes)


def test_a_row_says_it_all(tmp_path: Path) -> None:
    (row,) = rows(with_accuracy(tmp_path / "a", 0.8))
    assert tuple(row) == COLUMNS
    assert row["accuracy"].startswith("80.0 % [78.0,")
    assert row["AUROC"].startswith("0.900 [0.880,")
    assert (row["part"], row["images"], row["epochs to best"], row["epochs"]) == ("test", "40", "2", "3")
    assert (row["train-test gap"], row["targets met"]) == ("+3.1 points", "1 of 3")
    assert (row["time"], row["images/s"]) == ("6 s", "22")


def test_all_parts_stand_beside_each_other(tmp_path: Path) -> None:
    (row,) = rows(write(tmp_path / "a", predictions({"train": 10, "validation": 10, "test": 10})))
    assert row["train accuracy"].endswith(" %")
    assert row["validation accuracy"].endswith(" %")


def test_a_run_judged_on_validation_says_it_once(tmp_path: Path) -> None:
    (row,) = rows(write(tmp_path / "a", predictions({"validation": 10})))
    assert (row["part"], row["validation accuracy"]) == ("validation", "–")


def test_what_is_undefined_is_a_dash(tmp_path: Path) -> None:
    folder = with_accuracy(tmp_path / "a", None, training=None, targets=[])
    (folder / "history.jsonl").unlink()
    (row,) = rows(folder)
    names = ("accuracy", "epochs to best", "train-test gap", "targets met", "epochs", "time", "images/s")
    assert [row[name] for name in names] == ["–"] * 7


def test_an_interval_that_is_not_known_is_said_so(tmp_path: Path) -> None:
    table = predictions({"test": 4})
    folder = write(tmp_path / "a", parts={"test": {**part(table), "accuracy": {"value": 1.0, "low": None, "high": None}}})
    assert rows(folder)[0]["accuracy"] == "100.0 % [unknown]"


def test_a_gap_of_zero_is_a_number(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", training={"epochs_to_best": 2, "train_test_gap": 0.0})
    assert rows(folder)[0]["train-test gap"] == "+0.0 points"


def test_runs_on_the_same_data_are_not_marked(tmp_path: Path) -> None:
    assert {row["run"] for row in rows(write(tmp_path / "a"), write(tmp_path / "b"))} == {"a", "b"}


def test_runs_on_different_data_are_marked(tmp_path: Path) -> None:
    found = rows(
        with_accuracy(tmp_path / "a", 0.8),
        with_accuracy(tmp_path / "b", 0.7, data="b" * 64),
        with_accuracy(tmp_path / "c", 0.6, data=""),
    )
    assert [row["run"] for row in found] == ["a (data aaaaaa)", "b (data bbbbbb)", "c (data unknown)"]


def test_a_cross_validation_says_how_many_folds(tmp_path: Path) -> None:
    (row,) = rows(write_folds(tmp_path / "a", folds()))
    assert (row["part"], row["images"]) == ("test, 3 folds", "72")


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (0.4, "0 s"), (59.0, "59 s"), (60.0, "1.0 min"), (3599.0, "60.0 min"), (9000.0, "2.5 h")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
