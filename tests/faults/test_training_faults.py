"""Training that is refused, stopped or runs out of room: one sentence, exit code 2 or 130, and nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungwise.cli.progress import TrainingProgress
from lungwise.data.store import PreparedData
from lungwise.training.run import open_run
from tests.cli.test_main import lungwise
from tests.factory import TINY, with_sources

Change = Callable[[Path], object]


def recipe(*changes: str) -> list[str]:
    return ["--recipe", "kaggle-cnn", *(text for change in (*TINY, *changes) for text in ("--set", change))]


def refused(*arguments: object) -> str:
    """The one sentence with which a command is refused."""
    result = lungwise(*arguments, code=2)
    said = result.stderr.splitlines()[-1]
    assert said.startswith("Error: ")
    assert said.endswith(".")
    assert "Traceback" not in result.output
    return said.removeprefix("Error: ")


def drafts(folder: Path) -> list[str]:
    """Files that something began to write and did not finish."""
    return [path.name for path in folder.rglob(".*") if path.name != ".features"]


def same_weights(one: Path, other: Path) -> None:
    ours, theirs = open_run(one).load("last"), open_run(other).load("last")
    assert ours is not None
    assert theirs is not None
    for name, value in ours[0].items():
        np.testing.assert_array_equal(theirs[0][name], value, err_msg=name)


@pytest.fixture
def copy(small_run: Path, tmp_path: Path) -> Path:
    """A finished run that may be damaged."""
    return shutil.copytree(small_run, tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("optimiser.lr=1", "A recipe has no key 'optimiser.lr'; known here are: name, learning_rate, "),
        (
            "fit.epochs=many",
            "Input should be a valid integer, unable to parse string as an integer (got 'many' for fit.epochs)",
        ),
        ("seed=1.5", "(got 1.5 for seed); correct it."),
        ("data.augment.flip=perhaps", "(got 'perhaps' for data.augment.flip); correct it."),
        ("model.head.pool=max", "Input should be 'average' or 'flatten' (got 'max' for model.head.pool); correct it."),
        ("fit=3", "(got 3 for fit); correct it."),
        ("fit.epochs.x=3", "--set fit.epochs.x=3: 'epochs' is a value, not a section; correct the key."),
        ("fit.epochs", "--set takes KEY=VALUE, for example optimiser.learning_rate=1e-4, got 'fit.epochs'."),
        (
            "model.image_size=64",
            "wants images of 64 px, but the data set was prepared at 40 px; prepare it again with --size 64.",
        ),
        ("model.weights=/no.npz", "must be 'none', 'imagenet', 'timm/...' or a file, but there is no file /no.npz."),
        ("fit.batch_size=500", "than the training part, but fit.batch_size is 500 and there are "),
    ],
)
def test_a_recipe_that_cannot_be_trained_leaves_nothing(
    small_data: PreparedData, tmp_path: Path, change: str, said: str
) -> None:
    out = tmp_path / "run"
    assert said in refused("train", small_data.folder, "--out", out, *recipe(change))
    assert not out.exists()


def test_an_image_size_that_the_network_cannot_halve_leaves_nothing(small_data: PreparedData, tmp_path: Path) -> None:
    size = "model.image_size=40"
    said = refused("train", small_data.folder, "--recipe", "coatnet-pico", "--out", tmp_path / "run", "--set", size)
    assert said.startswith("In the recipe: model.image_size must be a multiple of 32 for coatnet-pico")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("options", [[], ["--folds", 2, "--include-test"], ["--leave-one-source-out"]])
def test_what_was_refused_before_it_learnt_does_not_stand_in_the_way(
    small_data: PreparedData, tmp_path: Path, options: list[object]
) -> None:
    from lungwise.data.manifest import write_manifest

    data = shutil.copytree(small_data.folder, tmp_path / "data")
    write_manifest(data / "manifest.parquet", with_sources(small_data, "a", "b").manifest)
    out = tmp_path / "out"
    out.mkdir()
    for size in (500, 400):
        assert f"fit.batch_size is {size} " in refused("train", data, "--out", out, *recipe(f"fit.batch_size={size}"), *options)
        assert list(out.iterdir()) == []


def test_weights_of_another_network_leave_nothing(small_data: PreparedData, small_run: Path, tmp_path: Path) -> None:
    weights = small_run / "checkpoints" / "best.npz"
    changes = ("--set", f"model.weights={weights}", "--set", "model.image_size=32")
    said = refused("train", small_data.folder, "--recipe", "coatnet-pico", "--out", tmp_path / "run", *changes)
    assert said.startswith("The weights must fit the backbone coatnet_pico, but ")
    assert " are only in the model (stem_conv1/kernel, " in said
    assert " only in the file (block1_conv/kernel, " in said
    assert len(said) < 600
    assert not (tmp_path / "run").exists()


def test_a_run_of_other_data_or_another_recipe_is_left_as_it_is(
    small_data: PreparedData, small_run: Path, copy: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(small_data.folder, tmp_path / "data")
    facts = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**facts, "fingerprint": "x"}))
    assert refused("train", data, "--out", copy, *recipe()) == (
        f"{copy} was trained on other data (the fingerprints differ); choose another --out."
    )
    said = refused("train", small_data.folder, "--out", copy, *recipe("fit.epochs=9"))
    assert f"{copy} was made by another recipe (fit.epochs is 3 there and 9 here); choose another --out" in said
    for path in small_run.rglob("*.*"):
        assert (copy / path.relative_to(small_run)).read_bytes() == path.read_bytes()


def wide(path: Path) -> None:
    """Another number of classes in the last layer than the run has labels."""
    with np.load(path) as packed:
        arrays = dict(packed)
    changed = {
        name: np.zeros((8, 5), "float32") if name.endswith("/logits/kernel") else value for name, value in arrays.items()
    }
    with path.open("wb") as file:
        np.savez(file, **changed)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def text(content: str) -> Change:
    return lambda path: path.write_text(content)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("checkpoints/last.npz", cut, r"last\.npz is damaged \(.*\); remove it to train from the start\.$"),
        ("checkpoints/last.npz", one_array, r"last\.npz is damaged \(.*\); remove it to train from the start\.$"),
        (
            "checkpoints/last.npz",
            wide,
            r"logits/kernel has the shape \(8, 5\) in the file and \(8, 3\) in the model; train again",
        ),
        ("checkpoints/best.npz", cut, r"best\.npz is damaged \(.*\); train again into another directory\.$"),
        (
            "checkpoints/best.npz",
            wide,
            r"logits/kernel has the shape \(8, 5\) in the file and \(8, 3\) in the model; train again",
        ),
        ("recipe.toml", text("name = "), r"^The run directory .* is damaged \(.*\); train again into another one\.$"),
        ("recipe.toml", text("future = 1"), r"recipe\.toml must be a recipe of this version of lungwise, but is none \("),
        ("data.json", text("["), r"^The run directory .* is damaged \(.*\); train again into another one\.$"),
        (
            "data.json",
            text("[]"),
            r"damaged \(data\.json lacks fingerprint, folder, labels, preprocess, kind and \d more\); train",
        ),
        ("data.json", text("3"), r"^The run directory .* is damaged \(.*\); train again into another one\.$"),
    ],
)
def test_a_damaged_run_is_neither_continued_nor_changed(
    small_data: PreparedData, copy: Path, name: str, change: Change, said: str
) -> None:
    (copy / "predictions.parquet").unlink()
    change(copy / name)
    before = (copy / name).read_bytes()
    import re

    assert re.search(said, refused("train", small_data.folder, "--out", copy, *recipe()))
    assert (copy / name).read_bytes() == before
    assert not (copy / "predictions.parquet").exists()


@pytest.mark.parametrize("content", ["{\n", "[1]\n", "3\n"])
def test_a_damaged_history_is_named(small_data: PreparedData, copy: Path, content: str) -> None:
    (copy / "history.jsonl").write_text(content)
    said = refused("train", small_data.folder, "--out", copy, *recipe(), "--json")
    assert said.startswith(f"{copy / 'history.jsonl'} is damaged (")
    assert said.endswith("); train again into another directory.")


@pytest.mark.parametrize("name", ["environment.json", "metrics.json"])
@pytest.mark.parametrize("content", ["{}", "[]"])
def test_a_run_with_damaged_results_is_not_exported(copy: Path, tmp_path: Path, name: str, content: str) -> None:
    (copy / name).write_text(content)
    said = refused("export", copy, "--out", tmp_path / "model")
    assert f"metrics.json or environment.json in {copy} is missing or damaged (" in said
    assert not (tmp_path / "model").exists()


class Disk:
    """Takes the place of ``os.replace``: the disk is full from the n-th file called ``name`` on, until ``room``."""

    def __init__(self, name: str, after: int = 0, number: int = errno.ENOSPC) -> None:
        self.name, self.after, self.number, self.room, self.replace = name, after, number, False, os.replace

    def __call__(self, source: Any, target: Any) -> None:
        if not self.room and Path(target).name == self.name:
            if self.after == 0:
                raise OSError(self.number, os.strerror(self.number), str(target))
            self.after -= 1
        self.replace(source, target)


@pytest.mark.parametrize(
    ("name", "after"),
    [("data.json", 0), ("recipe.toml", 0), ("best.npz", 0), ("last.npz", 1), ("history.jsonl", 2), ("environment.json", 0),
     ("predictions.parquet", 0)],
)  # fmt: skip
def test_a_disk_that_fills_up_is_one_sentence_and_the_same_command_goes_on(
    small_data: PreparedData, small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, after: int
) -> None:
    disk = Disk(name, after)
    monkeypatch.setattr(os, "replace", disk)
    out = tmp_path / "run"
    said = refused("train", small_data.folder, "--out", out, *recipe())
    assert said == f"There is no room left to write {next_to(out, name)}; free some space or choose another --out."
    assert drafts(tmp_path) == []
    assert not next_to(out, name).exists() or after
    disk.room = True
    lungwise("train", small_data.folder, "--out", out, *recipe())
    same_weights(out, small_run)


def next_to(out: Path, name: str) -> Path:
    return out / "checkpoints" / name if name.endswith(".npz") else out / name


def test_embeddings_that_find_no_room_are_one_sentence(
    small_data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("14848 requested and 992 written")  # as NumPy says it

    monkeypatch.setattr(np, "save", full)
    options = ["--folds", 2, "--include-test"]
    frozen = recipe("model.frozen=true", "data.augment={}")
    said = refused("train", small_data.folder, "--out", tmp_path / "cv", *frozen, *options)
    assert said.startswith(f"There is no room left to write {tmp_path / 'cv' / '.features'}/")
    assert list((tmp_path / "cv" / ".features").iterdir()) == []
    monkeypatch.undo()
    lungwise("train", small_data.folder, "--out", tmp_path / "cv", *frozen, *options)


@pytest.mark.parametrize("options", [[], ["--folds", 2]])
def test_a_read_only_place_is_one_sentence(
    small_data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[object]
) -> None:
    def deny(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", deny)  # root may write everywhere
    said = refused("train", small_data.folder, "--out", tmp_path / "run", *recipe(), *options)
    assert said == f"{tmp_path / 'run'} must be writable, but it is read-only here; choose another --out."
    assert not (tmp_path / "run").exists()


def test_a_run_that_became_read_only_is_one_sentence_and_stays(
    small_data: PreparedData, small_run: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copy / "predictions.parquet").unlink()
    monkeypatch.setattr(os, "replace", Disk("history.jsonl", number=errno.EROFS))
    said = refused("train", small_data.folder, "--out", copy, *recipe())
    assert said == f"{copy / 'history.jsonl'} must be writable, but it is read-only here; choose another --out."
    same_weights(copy, small_run)


def test_folds_stopped_with_ctrl_c_say_so_and_the_same_command_goes_on(
    small_data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["train", small_data.folder, "--out", tmp_path / "cv", "--folds", 2, "--include-test",
               *recipe("model.frozen=true", "data.augment={}", "fit.epochs=2")]  # fmt: skip
    epochs: list[int] = []

    def interrupt(self: TrainingProgress, record: dict[str, Any], best: bool) -> None:
        epochs.append(record["epoch"])
        if len(epochs) == 3:  # the first of the second fold
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "epoch", interrupt)
        said = lungwise(*command, code=130).stderr
    assert said.splitlines()[-1] == "Interrupted; what is finished is kept, and the same command continues after it."
    assert "Traceback" not in said
    assert drafts(tmp_path) == []
    again = lungwise(*command).stderr
    assert "continuing after epoch 1" in again
    assert "epoch   1/2" not in again
    assert (tmp_path / "cv" / "predictions.parquet").exists()
