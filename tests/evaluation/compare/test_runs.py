"""What is compared is read whole, under a name of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lungwise.errors import RunError
from lungwise.evaluation.compare.runs import learned, read_evaluated, read_metrics, unique
from tests.evaluation.compare.factory import folds, part, write, write_folds
from tests.evaluation.factory import predictions


def test_the_best_run_stands_first(tmp_path: Path) -> None:
    table = predictions({"test": 40})
    values = (("low", 0.6), ("high", 0.9), ("none", None), ("mid", 0.7))
    parts = {name: {"test": {**part(table), "accuracy": {"value": value}}} for name, value in values}
    runs = [write(tmp_path / name, table, parts=parts[name]) for name in parts]
    assert [run.name for run in read_evaluated(runs)] == ["high", "mid", "low", "none"]


def test_a_run_is_what_its_files_say(tmp_path: Path) -> None:
    (run,) = read_evaluated([write(tmp_path / "a")])
    assert (run.recipe, run.folds, len(run.history), run.part["images"]) == ("quick", 0, 3, 40)
    table = run.predictions()
    assert table is not None
    assert table.height == 48


def test_a_folder_with_figures_alone_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "a")
    for name in ("history.jsonl", "environment.json", "predictions.parquet"):
        (folder / name).unlink()
    (run,) = read_evaluated([folder])
    assert (run.recipe, run.history, run.predictions()) == ("", (), None)
    assert set(learned(run).values()) == {None}


def test_learning_is_summed_up(tmp_path: Path) -> None:
    (run,) = read_evaluated([write(tmp_path / "a")])
    assert learned(run) == {"epochs": 3, "seconds": 6.0, "seconds_per_epoch": 2.0, "images_per_second": 22.0}


def test_folds_are_summed_up_by_their_median(tmp_path: Path) -> None:
    (run,) = read_evaluated([write_folds(tmp_path / "a", folds())])
    assert run.folds == 3
    assert learned(run) == {"epochs": 3, "seconds": 18.0, "seconds_per_epoch": 2.0, "images_per_second": None}


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


@pytest.mark.parametrize("name", ["history.jsonl", "environment.json"])
def test_other_damaged_files_are_refused_by_their_name(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "a")
    (folder / name).write_text('{"epoch": 1, "lo')
    with pytest.raises(RunError, match=rf"{name} is damaged \(.*\); train again into another directory\.$"):
        read_evaluated([folder])


def test_the_current_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(tmp_path / "mine"))
    assert read_evaluated([Path()])[0].name == "mine"


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/r/a", "/r/b"], ["a", "b"]),
        (["/x/run", "/y/run", "/y/other"], ["x/run", "y/run", "other"]),
        (["/x/1/run", "/y/1/run"], ["x/1/run", "y/1/run"]),
        (["/x/run", "/x/run", "/x/run"], ["/x/run", "/x/run (2)", "/x/run (3)"]),
        (["/"], ["/"]),
    ],
)
def test_names_tell_runs_apart(paths: list[str], names: list[str]) -> None:
    found = unique([Path(path) for path in paths])
    assert len(set(found)) == len(paths)
    assert [name.replace("//", "/") for name in found] == names


def test_metrics_are_read_as_they_are(tmp_path: Path) -> None:
    folder = write(tmp_path / "a")
    assert read_metrics(folder) == json.loads((folder / "metrics.json").read_text())
