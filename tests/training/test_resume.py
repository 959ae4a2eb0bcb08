"""Training that is killed at any moment goes on to the same weights, bit for bit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungwise.data.store import PreparedData
from lungwise.errors import TrainingStoppedError
from lungwise.training import fit
from lungwise.training.fit import Silent, train
from lungwise.training.run import open_run
from tests.factory import TINY, tiny_recipe

CHANGES = ["data.mixup=0.3", "data.augment.rotation=10", "optimiser.ema=0.9", "optimiser.layer_decay=0.7", "fit.epochs=2"]
GROWING = [*CHANGES, "model.image_size=40", "fit.progressive=[32]"]
"""An epoch at 32 px and one at 40 px."""
STEPS = 8
"""Steps of two epochs of the tiny recipe, and one more for what comes behind them."""


def _slow(*values: object) -> object:
    return pytest.param(*values, marks=pytest.mark.slow)


class Killed(BaseException):
    """The process ends here."""


class KilledAt(Silent):
    """A watcher during whose n-th call the process is killed."""

    def __init__(self, call: int) -> None:
        self.left = call

    def _count(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1

    def step(self, epoch: int, step: int, logs: dict[str, float]) -> None:
        self._count()

    def epoch(self, record: dict[str, Any], best: bool) -> None:
        self._count()


def last(folder: Path) -> dict[str, Any]:
    saved = open_run(folder).load("last")
    if saved is None:
        raise FileNotFoundError(folder)
    return saved[0]


Unbroken = Callable[[list[str]], Path]


@pytest.fixture(scope="module")
def unbroken(small_data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    """``unbroken(CHANGES)``: the run of such a recipe, trained once."""
    place = tmp_path_factory.mktemp("unbroken")

    def run(changes: list[str]) -> Path:
        name = "growing" if changes == GROWING else "plain"
        return train(small_data, tiny_recipe(*changes), place / name).folder

    return run


def assert_same(one: Path, other: Path) -> None:
    expected, found = last(one), last(other)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert (one / "predictions.parquet").read_bytes() == (other / "predictions.parquet").read_bytes()
    for ours, theirs in zip(open_run(one).history(), open_run(other).history(), strict=True):
        assert {key: ours[key] for key in ("loss", "val_loss")} == {key: theirs[key] for key in ("loss", "val_loss")}


@pytest.mark.parametrize("changes", [CHANGES, pytest.param(GROWING, marks=pytest.mark.slow)], ids=["plain", "growing"])
@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_at_random_moments_end_at_the_same_weights(
    small_data: PreparedData,
    unbroken: Unbroken,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kills: int,
    changes: list[str],
) -> None:
    rng = np.random.default_rng(kills)
    killed = number = 0
    while killed < kills:
        folder = tmp_path / f"run{number}"
        number += 1
        while not (folder / "predictions.parquet").exists():  # killed again and again until it comes to its end
            monkeypatch.setattr(fit, "SAVE_SECONDS", rng.choice([0.0, 1e9]))  # checkpoints at every step, or every epoch
            try:
                train(small_data, tiny_recipe(*changes), folder, KilledAt(int(rng.integers(0, STEPS))))
            except Killed:
                killed += 1
        assert_same(unbroken(changes), folder)


@pytest.mark.parametrize(
    ("after", "changes"), [(1, CHANGES), (3, GROWING), _slow(3, CHANGES), _slow(4, CHANGES), _slow(4, GROWING)]
)
def test_a_training_that_is_asked_to_stop_saves_and_goes_on(
    small_data: PreparedData, unbroken: Unbroken, tmp_path: Path, after: int, changes: list[str]
) -> None:
    def stop_after(steps: int) -> Callable[[], bool]:
        calls = iter(range(1, 10**6))
        return lambda: next(calls) >= steps

    with pytest.raises(TrainingStoppedError, match=r"^Training was stopped in epoch \d after step \d of \d; call it again"):
        train(small_data, tiny_recipe(*changes), tmp_path / "run", stop=stop_after(after))
    seen: list[tuple[int, int]] = []

    class Sees(Silent):
        def step(self, epoch: int, step: int, logs: dict[str, float]) -> None:
            seen.append((epoch, step))

    train(small_data, tiny_recipe(*changes), tmp_path / "run", Sees())
    steps = max(step for _, step in seen) + 1
    assert len(seen) == 2 * steps - after  # nothing that was done is done again
    assert_same(unbroken(changes), tmp_path / "run")


@pytest.mark.slow
def test_two_processes_train_the_same_coatnet(small_data: PreparedData, tmp_path: Path) -> None:
    changes = ["model.backbone=coatnet-pico", "model.drop_path=0.2", "fit.epochs=1", "data.augment.rotation=10"]
    arguments = [part for change in [*TINY, *changes] for part in ("--set", change)]
    for name in ("a", "b"):
        command = [sys.executable, "-m", "lungwise", "train", str(small_data.folder), "--recipe", "kaggle-cnn", *arguments]
        subprocess.run([*command, "--out", str(tmp_path / name)], check=True, capture_output=True)
    assert_same(tmp_path / "a", tmp_path / "b")
