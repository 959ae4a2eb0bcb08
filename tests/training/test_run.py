"""The run directory resumes, or refuses what does not fit it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lungwise.data.prepare import Request, prepare
from lungwise.data.store import PreparedData
from lungwise.errors import LungwiseError, RunError
from lungwise.imaging.preprocess import Preprocess
from lungwise.recipe import load_recipe
from lungwise.training.run import Run, open_run, start_run

QUICK = load_recipe("quick")


@pytest.fixture
def data(two_classes: Path, tmp_path: Path) -> PreparedData:
    return prepare(two_classes, tmp_path / "data", Request(Preprocess(stored=32)))


@pytest.fixture
def run(data: PreparedData, tmp_path: Path) -> Run:
    return start_run(tmp_path / "run", QUICK, data)


def test_a_new_run_records_recipe_and_data(run: Run, data: PreparedData) -> None:
    found = open_run(run.folder)
    assert (found.recipe, found.labels, found.data["fingerprint"]) == (QUICK, ("NORMAL", "PNEUMONIA"), data.fingerprint)
    assert (found.finished, found.history()) == (False, [])


def test_the_same_recipe_and_data_open_it_again(run: Run, data: PreparedData) -> None:
    assert start_run(run.folder, QUICK, data) == run


def test_another_recipe_is_refused_with_the_difference(run: Run, data: PreparedData) -> None:
    with pytest.raises(RunError) as caught:
        start_run(run.folder, load_recipe("quick", ["fit.epochs=3"]), data)
    assert str(caught.value) == (
        f"{run.folder} was made by another recipe (fit.epochs is 8 there and 3 here); choose another --out, or train with "
        f"--recipe {run.folder / 'recipe.toml'}."
    )


def test_other_data_are_refused(run: Run, two_classes: Path, tmp_path: Path) -> None:
    other = prepare(two_classes, tmp_path / "other", Request(Preprocess(stored=32), seed=9))
    with pytest.raises(RunError, match=r"was trained on other data \(the fingerprints differ\); choose another --out\.$"):
        start_run(run.folder, QUICK, other)


def test_a_folder_with_other_files_is_left_alone(data: PreparedData, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(RunError, match=r"^A run needs a new or empty directory, but .*/mine holds other files; choose another"):
        start_run(tmp_path / "mine", QUICK, data)
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_run_in_place_of_a_file_is_one_sentence(data: PreparedData, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(LungwiseError, match=r"must be a directory, but a file is in its place; choose another --out\.$"):
        start_run(tmp_path / "file", QUICK, data)


def test_a_checkpoint_brings_back_arrays_and_history(run: Run) -> None:
    arrays, history = {"a/b": np.arange(6, dtype=np.float32).reshape(2, 3)}, [{"epoch": 1, "val_loss": 0.5}]
    run.save("last", arrays, history)
    loaded = run.load("last")
    assert loaded is not None
    np.testing.assert_array_equal(loaded[0]["a/b"], arrays["a/b"])
    assert (list(loaded[0]), loaded[1]) == (["a/b"], history)
    assert run.load("best") is None


@pytest.mark.parametrize("keep", [0, 10, 100, 300])
def test_a_damaged_checkpoint_is_named(run: Run, keep: int) -> None:
    run.save("last", {"a": np.zeros(100)}, [])
    path = run.folder / "checkpoints" / "last.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RunError, match=r"last\.npz is damaged \(.*\); remove it to train from the start\.$"):
        run.progress()
    with pytest.raises(RunError, match=r"last\.npz is damaged \(.*\); remove it to train from the start\.$"):
        run.load("last")


@pytest.mark.parametrize("file", ["recipe.toml", "data.json"])
def test_a_damaged_run_is_named(run: Run, file: str) -> None:
    (run.folder / file).write_text("{ not this")
    with pytest.raises(RunError, match=r"^The run directory .*/run is damaged \(.*\); train again into another one\.$"):
        open_run(run.folder)


def test_another_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        open_run(tmp_path)
    assert str(caught.value) == f"{tmp_path} is not a run directory; train one with lungwise train DATA --out {tmp_path}."


def test_a_start_that_was_killed_can_be_made_again(run: Run, data: PreparedData) -> None:
    (run.folder / "recipe.toml").unlink()
    (run.folder / ".recipe.4711.toml").write_text("half")
    assert start_run(run.folder, run.recipe, data).recipe == run.recipe
