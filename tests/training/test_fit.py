from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lungwise.data.store import PreparedData, open_data
from lungwise.errors import DataError, RunError
from lungwise.training.fit import Silent, load_model, train
from lungwise.training.predict import predictions
from lungwise.training.run import open_run
from tests.factory import tiny_recipe


class StopsAt(Silent):
    """A watcher during whose step the process is interrupted, as by Ctrl-C."""

    def __init__(self, epoch: int, step: int) -> None:
        self.at = (epoch, step)

    def step(self, epoch: int, step: int, logs: dict[str, float]) -> None:
        if (epoch, step) == self.at:
            raise KeyboardInterrupt


def weights(folder: Path) -> dict[str, Any]:
    saved = open_run(folder).load("last")
    assert saved is not None
    return saved[0]


def test_run_directory_holds_what_the_contract_says(small_run: Path) -> None:
    names = {path.name for path in small_run.iterdir()}
    assert names == {
        "recipe.toml", "data.json", "history.jsonl", "checkpoints", "predictions.parquet", "environment.json",
        "metrics.json", "report.html",
    }  # fmt: skip
    records = [json.loads(line) for line in (small_run / "history.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"} <= set(records[0])


def test_predictions_cover_every_image_with_probabilities_that_sum_to_one(small_run: Path, small_data: PreparedData) -> None:
    table = pl.read_parquet(small_run / "predictions.parquet")
    assert table["image"].sort().to_list() == small_data.manifest["image"].sort().to_list()
    columns = [f"prob_{label}" for label in small_data.labels]
    assert table.columns == ["image", "patient", "source", "split", "label", *columns]
    np.testing.assert_allclose(table.select(columns).to_numpy().sum(axis=1), 1.0)


def test_saved_run_reproduces_its_predictions_exactly(small_run: Path, small_data: PreparedData) -> None:
    run = open_run(small_run)
    again = predictions(run, load_model(run), small_data)
    assert again.equals(pl.read_parquet(small_run / "predictions.parquet"))


def test_interrupted_training_continues_to_the_same_weights(small_run: Path, small_data: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(small_data, tiny_recipe(), tmp_path / "run", StopsAt(1, 1))
    assert len(open_run(tmp_path / "run").history()) == 1
    train(small_data, tiny_recipe(), tmp_path / "run")
    unbroken, resumed = weights(small_run), weights(tmp_path / "run")
    assert unbroken.keys() == resumed.keys()
    for name, value in unbroken.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)


def test_finished_run_is_not_trained_again(small_run: Path, small_data: PreparedData) -> None:
    train(small_data, tiny_recipe(), small_run, StopsAt(0, 0))


def test_run_of_another_recipe_is_refused_and_the_difference_named(small_run: Path, small_data: PreparedData) -> None:
    with pytest.raises(RunError, match=r"another recipe \(optimiser\.learning_rate is 0\.001 there and 0\.5 here\)"):
        train(small_data, tiny_recipe("optimiser.learning_rate=0.5"), small_run)


def test_run_on_other_data_is_refused(small_run: Path, small_data: PreparedData, tmp_path: Path) -> None:
    other = PreparedData(small_data.folder, small_data.manifest, small_data.pixels, {**small_data.facts, "fingerprint": "x"})
    with pytest.raises(RunError, match=r"trained on other data .* choose another --out"):
        train(other, tiny_recipe(), small_run)


def test_directory_with_other_files_is_refused(small_data: PreparedData, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("chapter 1")
    with pytest.raises(RunError, match="needs a new or empty directory"):
        train(small_data, tiny_recipe(), tmp_path)


def test_loss_that_is_no_number_stops_with_its_place(small_data: PreparedData, tmp_path: Path) -> None:
    recipe = tiny_recipe("optimiser.name=adam", "optimiser.learning_rate=1.0", "model.input_range=[1e38, 3e38]")
    with pytest.raises(RunError, match=r"The loss must stay a number, but it became nan in epoch 1, step \d+; no epoch was"):
        train(small_data, recipe, tmp_path / "run")


def test_batch_larger_than_the_training_part_is_refused(small_data: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fit\.batch_size is 4000 and there are \d+ images"):
        train(small_data, tiny_recipe("fit.batch_size=4000"), tmp_path / "run")


def test_image_size_above_the_prepared_one_is_refused(small_data: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"wants images of 64 px, but .* 40 px; prepare it again with --size 64"):
        train(small_data, tiny_recipe("model.image_size=64"), tmp_path / "run")


def test_validation_part_that_lacks_a_class_is_refused(small_data: PreparedData, tmp_path: Path) -> None:
    counts = {**small_data.facts["counts"], "validation": {"normal": 3}}
    data = PreparedData(small_data.folder, small_data.manifest, small_data.pixels, {**small_data.facts, "counts": counts})
    with pytest.raises(DataError, match="every class in the validation part, but it has none of COVID-19, pneumonia"):
        train(data, tiny_recipe(), tmp_path / "run")


def test_damaged_checkpoint_is_named(small_run: Path, tmp_path: Path) -> None:
    shutil.copytree(small_run, tmp_path / "run")
    checkpoint = tmp_path / "run" / "checkpoints" / "best.npz"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"best\.npz is damaged"):
        load_model(open_run(tmp_path / "run"))


def test_early_stopping_ends_before_the_last_epoch(small_data: PreparedData, tmp_path: Path) -> None:
    recipe = tiny_recipe("fit.epochs=30", "fit.early_stopping=1", "optimiser.learning_rate=0.1", "fit.monitor=val_loss")
    run = train(small_data, recipe, tmp_path / "run")
    assert 1 < len(run.history()) < 30


@pytest.mark.parametrize("change", ["optimiser.name=adamw", "fit.label_smoothing=0.1", "fit.precision=mixed_bfloat16"])
def test_other_choices_of_a_recipe_train_too(small_data: PreparedData, tmp_path: Path, change: str) -> None:
    run = train(small_data, tiny_recipe("fit.epochs=1", "data.balance=downsample", change), tmp_path / "run")
    assert np.isfinite(run.history()[0]["val_loss"])


def test_a_run_in_bfloat16_predicts_in_float32_as_its_bundle_will(small_data: PreparedData, tmp_path: Path) -> None:
    run = train(small_data, tiny_recipe("fit.epochs=1", "fit.precision=mixed_bfloat16"), tmp_path / "run")
    model = load_model(run)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert predictions(run, model, small_data).equals(pl.read_parquet(run.folder / "predictions.parquet"))


def test_prepared_data_open_again_as_they_were(small_data: PreparedData) -> None:
    again = open_data(small_data.folder)
    assert again.fingerprint == small_data.fingerprint
    assert again.facts["synthetic"] is True


def test_checkpoint_names_do_not_depend_on_what_else_the_process_built(small_run: Path) -> None:
    run = open_run(small_run)
    first = load_model(run)
    second = load_model(run)
    for ours, theirs in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
