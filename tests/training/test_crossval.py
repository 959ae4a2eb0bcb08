"""Cross-validation: every fold is a run, nothing of a fold's test part is learnt from, and the whole resumes."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lungwise.data.store import PreparedData
from lungwise.errors import DataError, RunError, TrainingStoppedError
from lungwise.evaluation.evaluate import evaluate_run
from lungwise.training.crossval import BY_IMAGE, Division, FoldView, cross_validate, fold_views
from lungwise.training.features import SHARED
from lungwise.training.fit import Silent, load_model
from lungwise.training.run import Run, open_run
from tests.factory import tiny_recipe

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


def parts(view: FoldView) -> dict[str, set[str]]:
    return {name: set(view.data.part(name).manifest["patient"]) for name in ("train", "validation", "test")}


def test_a_fold_is_the_same_pixels_under_another_split(small_data: PreparedData) -> None:
    views = fold_views(small_data, Division(3, repeats=2, include_test=True))
    assert [(view.repeat, view.fold, view.folder) for view in views[:4]] == [
        (1, 1, "repeat-1of2-fold-1of3"), (1, 2, "repeat-1of2-fold-2of3"), (1, 3, "repeat-1of2-fold-3of3"),
        (2, 1, "repeat-2of2-fold-1of3"),
    ]  # fmt: skip
    assert len({view.data.fingerprint for view in views} | {small_data.fingerprint}) == 7
    for view in views:
        found = parts(view)
        assert sum(len(names) for names in found.values()) == len(set().union(*found.values()))
        assert view.data.pixels is small_data.pixels
        assert view.data.facts["counts"]["test"] == dict(view.data.test.manifest.group_by("label").len().iter_rows())
    for repeat in (1, 2):
        tested = Counter(name for view in views if view.repeat == repeat for name in view.data.test.manifest["image"])
        assert tested == Counter(small_data.manifest["image"])


def test_the_test_part_stays_out_unless_it_is_asked_for(small_data: PreparedData) -> None:
    held_out = set(small_data.test.manifest["image"])
    for view in fold_views(small_data, Division(2)):
        assert not held_out & set(view.data.part("train", "validation", "test").manifest["image"])


def test_folds_do_not_depend_on_the_recipe_and_are_the_same_again(small_data: PreparedData) -> None:
    first, again = (fold_views(small_data, DIVISION) for _ in range(2))
    assert [view.data.fingerprint for view in first] == [view.data.fingerprint for view in again]


def test_what_is_known_of_the_replaced_split_is_not_said_of_the_folds(small_data: PreparedData) -> None:
    torn = {"check": "patient-across-splits", "severity": "error", "message": "x", "count": 1}
    other = {"check": "resolution", "severity": "note", "message": "y", "count": 1}
    data = replace(small_data, facts={**small_data.facts, "audit": [torn, other]})
    assert fold_views(data, DIVISION)[0].data.facts["audit"] == [other]
    assert fold_views(data, Division(3, by="image"))[0].data.facts["audit"] == [torn, other]


def test_by_image_tears_patients_and_says_so(small_data: PreparedData) -> None:
    views = fold_views(small_data, Division(3, include_test=True, by="image"))
    assert any(parts(view)["train"] & parts(view)["test"] for view in views)
    for view in views:
        assert BY_IMAGE in view.data.facts["notes"]
        assert view.data.manifest.drop("split").equals(small_data.manifest.drop("split"))


def test_every_image_is_predicted_once_by_a_model_that_did_not_see_its_patient(whole: Path, small_data: PreparedData) -> None:
    table = pl.read_parquet(whole / "predictions.parquet")
    prob = [f"prob_{label}" for label in small_data.labels]
    assert table.columns == ["image", "patient", "source", "split", "label", *prob, "fold", "repeat"]
    assert table.filter(pl.col("split") == "test")["image"].sort().to_list() == small_data.manifest["image"].sort().to_list()
    for fold, view in enumerate(fold_views(small_data, DIVISION), start=1):
        run = open_run(whole / view.folder)
        assert run.finished
        own = pl.read_parquet(run.folder / "predictions.parquet")
        rows = table.filter(pl.col("fold") == fold)
        assert rows.drop("fold", "repeat").equals(own.filter(pl.col("split") != "train"))
        assert set(rows.filter(pl.col("split") == "test")["patient"]) == parts(view)["test"]
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
    ],
)
def test_another_division_is_refused(whole: Path, small_data: PreparedData, division: Division, message: str) -> None:
    with pytest.raises(RunError, match=message):
        cross_validate(small_data, RECIPE, whole, division)


def test_another_recipe_or_other_data_are_refused(whole: Path, small_data: PreparedData) -> None:
    with pytest.raises(RunError, match=r"another recipe \(fit\.epochs is 2 there and 3 here\)"):
        cross_validate(small_data, tiny_recipe(), whole, DIVISION)
    other = replace(small_data, facts={**small_data.facts, "fingerprint": "x"})
    with pytest.raises(RunError, match="was trained on other data"):
        cross_validate(other, RECIPE, whole, DIVISION)


def test_the_directory_of_a_single_run_is_refused(small_run: Path, small_data: PreparedData) -> None:
    with pytest.raises(RunError, match=r"needs a directory of its own, but .* holds a single run; choose another --out\.$"):
        cross_validate(small_data, tiny_recipe(), small_run, DIVISION)


def test_a_damaged_record_is_named(small_data: PreparedData, tmp_path: Path) -> None:
    (tmp_path / "crossval.json").write_text("{")
    with pytest.raises(RunError, match=r"crossval\.json is damaged \(.*\); train into another directory"):
        cross_validate(small_data, RECIPE, tmp_path, DIVISION)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"folds": 1}, "at least 2 folds, got 1"),
        ({"repeats": 0}, "at least once, got 0 repeats"),
        ({"folds": 40}, r"at least 40 patients for 40 folds .* has \d+; take fewer folds or add patients"),
        ({"by": "hospital"}, r"by patient or by image, got 'hospital'; correct --by"),
    ],
)
def test_a_bad_division_is_one_sentence(small_data: PreparedData, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        fold_views(small_data, Division(**arguments))  # type: ignore[arg-type]


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
