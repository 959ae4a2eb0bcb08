"""Several runs in one table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lungwise.errors import RunError
from lungwise.evaluation.compare import COLUMNS, compare, read_metrics


def estimate(value: float | None) -> dict[str, float | None]:
    return {"value": value, "low": value and value - 0.02, "high": value and value + 0.02}


def write(folder: Path, accuracy: float | None, data: str = "a" * 64, **changes: Any) -> Path:
    part = {
        "images": 40,
        "accuracy": estimate(accuracy),
        "balanced_accuracy": estimate(0.7),
        "macro_auroc": estimate(0.9),
    }
    metrics = {
        "part": "test",
        "parts": {"test": part},
        "training": {"epochs_to_best": 4, "train_test_gap": 0.031},
        "targets": [{"met": True}, {"met": False}, {"met": None}],
        "data_fingerprint": data,
    }
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps({**metrics, **changes}))
    return folder


def test_the_best_run_stands_first(tmp_path: Path) -> None:
    runs = [write(tmp_path / name, value) for name, value in (("low", 0.6), ("high", 0.9), ("none", None), ("mid", 0.7))]
    assert [row["run"] for row in compare(runs)] == ["high", "mid", "low", "none"]


def test_a_row_says_it_all(tmp_path: Path) -> None:
    (row,) = compare([write(tmp_path / "a", 0.8)])
    assert tuple(row) == COLUMNS
    assert row["accuracy"].startswith("80.0 % [78.0,")
    assert row["AUROC"].startswith("0.900 [0.880,")
    assert (row["part"], row["images"], row["epochs to best"]) == ("test", "40", "4")
    assert (row["train-test gap"], row["targets met"]) == ("+3.1 points", "1 of 3")


def test_what_is_undefined_is_a_dash(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", None, training=None, targets=[])
    (row,) = compare([folder])
    assert [row[name] for name in ("accuracy", "epochs to best", "train-test gap", "targets met")] == ["–"] * 4


def test_an_unknown_gap_is_a_dash(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", 0.8, training={"epochs_to_best": 2, "train_test_gap": None})
    assert compare([folder])[0]["train-test gap"] == "–"


def test_a_gap_of_zero_is_a_number(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", 0.8, training={"epochs_to_best": 2, "train_test_gap": 0.0})
    assert compare([folder])[0]["train-test gap"] == "+0.0 points"


def test_runs_on_the_same_data_are_not_marked(tmp_path: Path) -> None:
    rows = compare([write(tmp_path / "a", 0.8), write(tmp_path / "b", 0.7)])
    assert [row["run"] for row in rows] == ["a", "b"]


def test_runs_on_different_data_are_marked(tmp_path: Path) -> None:
    rows = compare([write(tmp_path / "a", 0.8), write(tmp_path / "b", 0.7, "b" * 64), write(tmp_path / "c", 0.6, "")])
    assert [row["run"] for row in rows] == ["a (data aaaaaa)", "b (data bbbbbb)", "c (data unknown)"]


def test_the_current_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(tmp_path / "mine", 0.8))
    assert compare([Path()])[0]["run"] == "mine"


def test_a_run_without_metrics_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"has no metrics\.json; evaluate it first: lungwise evaluate .*\.$"):
        read_metrics(tmp_path)


def test_a_file_instead_of_a_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"has no metrics\.json"):
        read_metrics(tmp_path / "file")


@pytest.mark.parametrize("data", [b"", b'{"part": ', b"\xff\xfe"])
def test_damaged_metrics_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "metrics.json").write_bytes(data)
    with pytest.raises(RunError, match=r"metrics\.json is damaged \(.*\); evaluate the run again\.$"):
        read_metrics(tmp_path)
