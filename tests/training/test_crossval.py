"""Cross-validation: every fold is a run, nothing of a fold's test part is learnt from, and the whole resumes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lungwise.data.store import PreparedData
from lungwise.errors import RunError, TrainingStoppedError
from lungwise.evaluation.evaluate import evaluate_run
from lungwise.training.backend import several_models
from lungwise.training.crossval import cross_validate
from lungwise.training.division import Division, LeaveOneSourceOut, divide
from lungwise.training.features import SHARED
from lungwise.training.fit import Silent, load_model
from lungwise.training.run import Run, open_run
from tests.factory import tiny_recipe, with_sources

RECIPE = tiny_recipe("fit.epochs=2")
DIVISION = Division(3, include_test=True)


class Counts(Silent):
    """A watcher that notes which run started at which epoch, and can interrupt."""

    def __init__(self, interrupt: tuple[int, int] | None = None) -> None:
        self.started_at: list[tuple[str, int]] = []
        self.interrupt = interrupt

    def started(self, run: Run, first_epoch: int, steps: int) -> None:
        self.started_at.append((run.folder.name, first_epoch))

    def step(self, epoch: int, step: int, logs: dict[str, float]) -> None:
        if self.interrupt == (len(self.started_at), epoch):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(small_data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-validation that was interrupted in the second fold's second epoch, and continued."""
    folder = tmp_path_factory.mktemp("cv") / "cv"
    with pytest.raises(KeyboardInterrupt):
        cross_validate(small_data, RECIPE, folder, DIVISION, Counts((2, 1)))
    assert not (folder / "predictions.parquet").exists()
    watcher, names = Counts(), []
    cross_validate(small_data, RECIPE, folder, DIVISION, watcher, begin=names.append)
    assert watcher.started_at == [("fold-2of3", 1), ("fold-3of3", 0)]
    assert names == ["fold 1/3", "fold 2/3", "fold 3/3"]
    return folder


def test_every_image_is_predicted_once_by_a_model_that_did_not_see_its_patient(whole: Path, small_data: PreparedData) -> None:
    table = pl.read_parquet(whole / "predictions.parquet")
    prob = [f"prob_{label}" for label in small_data.labels]
    assert table.columns == ["image", "patient", "source", "split", "label", *prob, "fold", "repeat", "fold_name"]
    assert table.filter(pl.col("split") == "test")["image"].sort().to_list() == small_data.manifest["image"].sort().to_list()
    for fold, view in enumerate(divide(small_data, DIVISION).views, start=1):
        run = open_run(whole / view.folder)
        assert run.finished
        own = pl.read_parquet(run.folder / "predictions.parquet")
        rows = table.filter(pl.col("fold") == fold)
        assert rows.drop("fold", "repeat", "fold_name").equals(own.filter(pl.col("split") != "train"))
        assert set(rows["fold_name"]) == {f"fold {fold}/3"}
        assert set(rows.filter(pl.col("split") == "test")["patient"]) == set(view.data.test.manifest["patient"])
        load_model(run)
    assert set(table["repeat"]) == {1}


def test_a_finished_cross_validation_is_not_trained_again(whole: Path, small_data: PreparedData) -> None:
    watcher = Counts()
    assert cross_validate(small_data, RECIPE, whole, DIVISION, watcher).finished
    assert watcher.started_at == []


def test_evaluation_gives_pooled_intervals_and_the_spread_of_the_folds(whole: Path, small_data: PreparedData) -> None:
    metrics = evaluate_run(whole)
    part, folds = metrics["parts"]["test"], metrics["folds"]
    table = pl.read_parquet(whole / "predictions.parquet").filter(pl.col("split") == "test")
    assert (part["images"], part["predictions"], part["patients"]) == (table.height, table.height, table["patient"].n_unique())
    assert [fold["name"] for fold in folds["each"]] == ["fold 1/3", "fold 2/3", "fold 3/3"]
    each = []
    for fold in (1, 2, 3):
        rows = table.filter(pl.col("fold") == fold)
        prob = rows.select(f"prob_{label}" for label in small_data.labels).to_numpy()
        truth = np.array([small_data.labels.index(label) for label in rows["label"]])
        each.append(float((prob.argmax(axis=1) == truth).mean()))
        assert folds["each"][fold - 1]["images"] == rows.height
    assert [fold["accuracy"] for fold in folds["each"]] == pytest.approx(each)
    assert folds["mean"]["accuracy"] == pytest.approx({"mean": np.mean(each), "sd": np.std(each, ddof=1), "folds": 3})
    weights = [fold["images"] / table.height for fold in folds["each"]]
    assert part["accuracy"]["value"] == pytest.approx(np.dot(weights, each))
    assert metrics["data_fingerprint"] == small_data.fingerprint
    assert "Fold by fold" in (whole / "report.html").read_text()
    assert json.loads((whole / "metrics.json").read_text()) == metrics


@pytest.mark.parametrize(
    ("division", "message"),
    [
        (Division(4, include_test=True), r"holds a cross-validation whose folds is 3, not 4; choose another --out"),
        (Division(3, repeats=2, include_test=True), r"whose repeats is 1, not 2"),
        (Division(3), r"whose include-test is True, not False"),
        (Division(3, include_test=True, by="image"), r"whose by is patient, not image"),
        (LeaveOneSourceOut(), r"whose by is patient, not source"),
    ],
)
def test_another_division_is_refused(
    whole: Path, small_data: PreparedData, division: Division | LeaveOneSourceOut, message: str
) -> None:
    with pytest.raises(RunError, match=message):
        cross_validate(with_sources(small_data, "a", "b"), RECIPE, whole, division)


def test_another_recipe_or_other_data_are_refused(whole: Path, small_data: PreparedData) -> None:
    with pytest.raises(RunError, match=r"another recipe \(fit\.epochs is 2 there and 3 here\)"):
        cross_validate(small_data, tiny_recipe(), whole, DIVISION)
    other = replace(small_data, facts={**small_data.facts, "fingerprint": "x"})
    with pytest.raises(RunError, match="was trained on other data"):
        cross_validate(other, RECIPE, whole, DIVISION)


def test_the_directory_of_a_single_run_is_refused(small_run: Path, small_data: PreparedData) -> None:
    with pytest.raises(RunError, match=r"needs a directory of its own, but .* holds a single run; choose another --out\.$"):
        cross_validate(small_data, tiny_recipe(), small_run, DIVISION)


@pytest.mark.parametrize("text", ["{", "[]", '{"division": 3}', '{"runs": []}', '"x"'])
def test_a_damaged_record_is_named(small_data: PreparedData, tmp_path: Path, text: str) -> None:
    (tmp_path / "crossval.json").write_text(text)
    with pytest.raises(RunError, match=r"crossval\.json is damaged \(.*\); train into another directory"):
        cross_validate(small_data, RECIPE, tmp_path, DIVISION)


def test_a_request_to_stop_ends_it_and_the_same_call_goes_on(small_data: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(TrainingStoppedError):
        cross_validate(small_data, RECIPE, tmp_path / "cv", DIVISION, stop=lambda: True)
    watcher = Counts((1, 1))
    with pytest.raises(KeyboardInterrupt):
        cross_validate(small_data, RECIPE, tmp_path / "cv", DIVISION, watcher)
    assert watcher.started_at == [("fold-1of3", 0)]


def test_folds_on_a_frozen_backbone_share_one_pass(
    small_data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lungwise.training import features

    passed: list[int] = []
    embed = features._embed
    monkeypatch.setattr(features, "_embed", lambda network, images: passed.append(len(images)) or embed(network, images))
    recipe = tiny_recipe("model.frozen=true", "data.augment={}", "fit.epochs=1")
    cross_validate(small_data, recipe, tmp_path / "cv", DIVISION)
    assert sum(passed) == small_data.manifest.height
    assert not (tmp_path / "cv" / SHARED).exists()
    assert not list((tmp_path / "cv").glob("*/features"))


def test_each_source_is_left_out_once_and_the_whole_resumes(small_data: PreparedData, tmp_path: Path) -> None:
    label, folder = pl.col("label"), tmp_path / "cv"
    recipe = tiny_recipe("model.frozen=true", "data.augment={}", "fit.epochs=1", "fit.batch_size=4")
    # Of three sources one holds all of a class, and one has but a part of the others.
    data = with_sources(small_data, "a", "b")
    alone = pl.when(label == "pneumonia").then(pl.lit("alone")).otherwise(pl.col("source")).alias("source")
    data = replace(data, manifest=data.manifest.with_columns(alone))
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        cross_validate(data, recipe, folder, LeaveOneSourceOut(), Counts((2, 0)), refused=said.append)
    assert len(said) == 1
    assert "without 'alone' class 'pneumonia' has 0" in said[0]
    watcher, names = Counts(), []
    cross_validate(data, recipe, folder, LeaveOneSourceOut(), watcher, begin=names.append)
    assert (watcher.started_at, names) == ([("source-2of2-b", 0)], ["source a", "source b"])
    record = json.loads((folder / "crossval.json").read_text())
    assert record["division"] == {
        "folds": 2, "repeats": 1, "include_test": True, "by": "source", "refused": {"alone": said[0]},
    }  # fmt: skip
    assert [run["folder"] for run in record["runs"]] == ["source-1of2-a", "source-2of2-b"]
    tested = pl.read_parquet(folder / "predictions.parquet").filter(pl.col("split") == "test")
    assert tested.group_by("fold_name").agg(pl.col("source").unique()).sort("fold_name").rows() == [
        ("source a", ["a"]), ("source b", ["b"]),
    ]  # fmt: skip
    metrics = evaluate_run(folder)
    assert [fold["name"] for fold in metrics["folds"]["each"]] == ["source a", "source b"]
    assert metrics["folds"]["refused"] == {"alone": said[0]}
    assert metrics["folds"]["mean"]["macro_auroc"] == {"mean": None, "sd": None, "folds": 0}
    assert metrics["parts"]["test"]["classes"]["pneumonia"]["sensitivity"]["value"] is None
    assert said[0].replace("'", "&#39;") in (folder / "report.html").read_text()
    for name in ("source-1of2-a", "source-2of2-b"):
        assert evaluate_run(folder / name)["parts"]["test"]["classes"]["pneumonia"]["auroc"]["value"] is None


def test_a_cross_validation_is_not_one_model(whole: Path, tmp_path: Path) -> None:
    from lungwise.pipeline import export_run

    with pytest.raises(
        RunError, match=r"cv is a cross-validation, which has one for every fold; take the directory of one "
    ) as e:
        export_run(whole, tmp_path / "model")
    assert f"fold, such as {whole}/fold-1of3, or train once on all images: lungwise train DATA" in str(e.value)
    assert not (tmp_path / "model").exists()


def test_nothing_is_said_of_functions_that_each_fold_traces_anew(caplog: pytest.LogCaptureFixture) -> None:
    import logging

    logger = logging.getLogger("tensorflow")
    with several_models():
        logger.warning("5 out of the last 7 calls to f triggered tf.function retracing.")
        logger.warning("something else")
    logger.warning("6 out of the last 8 calls to f triggered tf.function retracing.")
    assert [record.getMessage()[:9] for record in caplog.records] == ["something", "6 out of "]
