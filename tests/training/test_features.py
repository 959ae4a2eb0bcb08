"""A frozen backbone sees every image once, and the head learns as it would from the images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from lungwise.data.store import PreparedData
from lungwise.errors import RecipeError, RunError, TrainingStoppedError
from lungwise.imaging.preprocess import Preprocess
from lungwise.recipe import Recipe, load_recipe
from lungwise.training import features, fit
from lungwise.training.features import FrozenClassifier, Stored, keeps_features, on_features
from lungwise.training.fit import Silent, build, load_model, train
from lungwise.training.predict import predict_logits, predictions
from lungwise.training.run import open_run, start_run
from tests.factory import TINY, tiny_recipe

AUGMENT = "data.augment={rotation=10, shift=0.1}"


def frozen(*overrides: str) -> Recipe:
    """The tiny recipe with a frozen backbone and no augmentation."""
    return tiny_recipe("model.frozen=true", "data.augment={}", *overrides)


class Listens(Silent):
    """A watcher that counts the inputs that passed the backbone."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, int]] = []

    def computed(self, done: int, total: int) -> None:
        self.heard.append((done, total))


class Interrupted(Listens):
    """The process is interrupted after so many inputs."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def computed(self, done: int, total: int) -> None:
        super().computed(done, total)
        if done >= self.after:
            raise KeyboardInterrupt


def saved(folder: Path, name: str = "best") -> dict[str, NDArray[Any]]:
    found = open_run(folder).load(name)
    assert found is not None
    return found[0]


@pytest.fixture(scope="module")
def run_folder(small_data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frozen") / "run"
    train(small_data, frozen(), folder)
    return folder


def never() -> bool:
    return False


def embeddings_of(data: PreparedData, recipe: Recipe, folder: Path, watcher: object = None) -> tuple[Any, Any]:
    run = start_run(folder, recipe, data)
    return on_features(run, build(run), data, watcher, never)


def test_the_head_on_stored_embeddings_gives_the_whole_models_logits(small_data: PreparedData, tmp_path: Path) -> None:
    for pool in ("average", "flatten"):
        recipe = frozen(f"model.head.pool={pool}", "model.head.batch_norm=true")
        head, _ = embeddings_of(small_data, recipe, tmp_path / pool)
        part, spec = small_data.part("train", "validation", "test"), Preprocess(**open_run(tmp_path / pool).data["preprocess"])
        ours, theirs = predict_logits(head, part, spec), predict_logits(head.whole, part, spec)
        assert np.abs(theirs).max() > 1e-3
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)


def test_for_more_views_the_images_go_through_the_whole_model(small_data: PreparedData, tmp_path: Path) -> None:
    head, _ = embeddings_of(small_data, frozen(), tmp_path / "run")
    part, spec = small_data.test, Preprocess(**open_run(tmp_path / "run").data["preprocess"])
    ours, theirs = (predict_logits(model, part, spec, views=3) for model in (head, head.whole))
    np.testing.assert_array_equal(ours, theirs)
    assert np.abs(ours - predict_logits(head, part, spec)).max() > 1e-5


def test_the_same_head_is_learnt_as_from_the_images(
    small_data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A backbone with batch norms and without dropout; the head has both.
    recipe = frozen("model.backbone=efficientnet-lite0", "model.head.batch_norm=true", "model.head.dropout=0.5", "fit.epochs=2")
    train(small_data, recipe, tmp_path / "fast")
    monkeypatch.setattr(fit, "keeps_features", lambda recipe: False)
    train(small_data, recipe, tmp_path / "slow")
    for checkpoint in ("best", "last"):
        ours, theirs = saved(tmp_path / "fast", checkpoint), saved(tmp_path / "slow", checkpoint)
        assert list(ours) == list(theirs)
        for name, value in ours.items():
            np.testing.assert_allclose(value, theirs[name], atol=1e-4, rtol=0, err_msg=name)
    begun = {variable.path: variable for variable in build(open_run(tmp_path / "fast")).trainable_variables}
    kernel = next(name for name in ours if name.endswith("logits/kernel") and name.startswith("model"))
    assert np.abs(ours[kernel] - np.asarray(begun["logits/kernel"])).max() > 1e-3
    histories = [open_run(tmp_path / name).history() for name in ("fast", "slow")]
    for key in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
        np.testing.assert_allclose(*([record[key] for record in history] for history in histories), atol=1e-4)


def test_a_finished_run_looks_as_any_other_and_keeps_no_embeddings(run_folder: Path) -> None:
    assert {path.name for path in run_folder.iterdir()} == {
        "recipe.toml", "data.json", "history.jsonl", "checkpoints", "predictions.parquet", "environment.json",
    }  # fmt: skip
    assert len(open_run(run_folder).history()) == 3


def test_the_whole_model_of_a_finished_run_reproduces_its_predictions(run_folder: Path, small_data: PreparedData) -> None:
    run = open_run(run_folder)
    model = load_model(run)
    assert not isinstance(model, FrozenClassifier)
    again, written = predictions(run, model, small_data), pl.read_parquet(run_folder / "predictions.parquet")
    columns = [f"prob_{label}" for label in run.labels]
    assert again.drop(columns).equals(written.drop(columns))
    np.testing.assert_allclose(again.select(columns).to_numpy(), written.select(columns).to_numpy(), atol=1e-5)


def test_every_image_passes_the_backbone_once_in_all_epochs(
    small_data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = []
    embed = features._embed
    monkeypatch.setattr(features, "_embed", lambda network, images: passed.append(len(images)) or embed(network, images))
    train(small_data, frozen("fit.epochs=5"), tmp_path / "run")
    assert sum(passed) == len(small_data.part("train", "validation", "test"))


def test_a_pass_that_was_killed_goes_on_where_it_was(
    small_data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "CHUNK", 10)
    total = len(small_data.part("train", "validation", "test"))
    with pytest.raises(KeyboardInterrupt):
        train(small_data, frozen(), tmp_path / "run", Interrupted(20))
    files = sorted((tmp_path / "run" / "features").iterdir())
    stamps = [file.stat().st_mtime_ns for file in files]
    assert len(files) == 2
    passed = []
    embed = features._embed
    monkeypatch.setattr(features, "_embed", lambda network, images: passed.append(len(images)) or embed(network, images))
    listens = Listens()
    head, _ = embeddings_of(small_data, frozen(), tmp_path / "run", listens)
    assert sum(passed) == total - 20
    assert listens.heard[0] == (10, total)
    assert listens.heard[-1] == (total, total)
    assert [file.stat().st_mtime_ns for file in files] == stamps
    unbroken, _ = embeddings_of(small_data, frozen(), tmp_path / "other")
    rows = small_data.part("train", "validation", "test").rows
    np.testing.assert_allclose(head.stored.take(rows), unbroken.stored.take(rows), atol=1e-6)


def test_a_training_that_was_killed_does_not_pass_the_images_again(small_data: PreparedData, tmp_path: Path) -> None:
    class StopsInEpoch2(Listens):
        def step(self, epoch: int, step: int, logs: dict[str, float]) -> None:
            if epoch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(small_data, frozen(), tmp_path / "run", StopsInEpoch2())
    files = list((tmp_path / "run" / "features").iterdir())
    stamps = [file.stat().st_mtime_ns for file in files]
    with pytest.raises(KeyboardInterrupt):
        train(small_data, frozen(), tmp_path / "run", StopsInEpoch2())
    assert [file.stat().st_mtime_ns for file in files] == stamps
    train(small_data, frozen(), tmp_path / "run")
    assert not (tmp_path / "run" / "features").exists()


def test_a_request_to_stop_is_heard_between_files(
    small_data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "CHUNK", 10)
    with pytest.raises(TrainingStoppedError, match=r"^Training was stopped after 10 of \d+ images; call it again to go on\.$"):
        train(small_data, frozen(), tmp_path / "run", stop=lambda: True)


def test_augmented_copies_are_drawn_from_and_the_plain_images_validate(small_data: PreparedData, tmp_path: Path) -> None:
    recipe = frozen(AUGMENT, "model.augmented_copies=3")
    head, batches = embeddings_of(small_data, recipe, tmp_path / "run")
    assert (head.stored.variants, batches.stored.variants) == (1, 3)
    np.testing.assert_array_equal(batches.stored.rows, small_data.train.rows)
    row = small_data.train.rows[:1]
    variants = np.concatenate([batches.stored.take(row, variant) for variant in range(3)])
    assert len(np.unique(variants.round(5), axis=0)) == 3
    first, again, other = (next(batches.epoch(number))[0] for number in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    trained = train(small_data, recipe, tmp_path / "run")
    assert np.isfinite(trained.history()[-1]["val_loss"])


def test_new_variants_every_epoch_need_the_images(small_data: PreparedData) -> None:
    assert keeps_features(frozen())
    assert keeps_features(frozen(AUGMENT, "model.augmented_copies=1"))
    assert not keeps_features(frozen(AUGMENT))
    assert not keeps_features(tiny_recipe())


@pytest.mark.parametrize(
    "changes", [["model.augmented_copies=2"], ["model.augmented_copies=2", "model.frozen=true", "data.augment={}"]]
)
def test_copies_without_a_frozen_backbone_or_augmentation_are_refused(changes: list[str]) -> None:
    with pytest.raises(
        RecipeError, match=r"model\.augmented_copies goes with model\.frozen = true and some data\.augment only"
    ):
        load_recipe("kaggle-cnn", [*TINY, *changes])


def test_other_pixels_or_weights_are_not_taken_for_these(small_data: PreparedData, tmp_path: Path) -> None:
    (tmp_path / features.SHARED).mkdir()
    first, _ = embeddings_of(small_data, frozen(), tmp_path / "a")
    listing = set((tmp_path / features.SHARED).iterdir())
    embeddings_of(small_data, frozen("model.head.width=4", "optimiser.learning_rate=0.1"), tmp_path / "same")
    assert set((tmp_path / features.SHARED).iterdir()) == listing
    other = replace(small_data, facts={**small_data.facts, "fingerprint": "x"})
    for number, (data, change) in enumerate(
        [(other, "seed=1"), (small_data, "seed=2"), (small_data, "model.standardise=true")]
    ):
        embeddings_of(data, frozen(change), tmp_path / f"b{number}")
    assert len(list((tmp_path / features.SHARED).iterdir())) == 4 * len(listing)
    assert first.stored.variants == 1


@pytest.mark.parametrize(
    "change", ["optimiser.ema=0.9", "data.mixup=0.2", "fit.label_smoothing=0.1", "data.balance=oversample"]
)
def test_other_choices_of_a_recipe_train_a_head_too(small_data: PreparedData, tmp_path: Path, change: str) -> None:
    run = train(small_data, frozen("fit.epochs=1", change), tmp_path / "run")
    assert np.isfinite(run.history()[0]["val_loss"])


@pytest.mark.parametrize("damage", ["short", "other"])
def test_a_damaged_file_is_named(small_data: PreparedData, tmp_path: Path, damage: str) -> None:
    embeddings_of(small_data, frozen(), tmp_path / "run")
    path = next((tmp_path / "run" / "features").iterdir())
    if damage == "short":
        path.write_bytes(path.read_bytes()[:200])
    else:
        np.save(path, np.zeros(3))
    with pytest.raises(RunError, match=rf"{path.name} (is damaged|must be float32 \(\d+, 1, \d+\), got float64)"):
        embeddings_of(small_data, frozen(), tmp_path / "run")


def test_rows_are_found_across_files() -> None:
    values = np.arange(2 * 5 * 3, dtype=np.float32).reshape(5, 2, 3)
    stored = Stored(np.array([2, 3, 5, 8, 9]), [values[:2], values[2:4], values[4:]])
    np.testing.assert_array_equal(stored.take(np.array([9, 2, 5, 9])), values[[4, 0, 2, 4], 0])
    np.testing.assert_array_equal(stored.take(np.array([3, 8]), np.array([1, 0])), values[[1, 3], [1, 0]])


@pytest.mark.slow
def test_a_head_trained_on_embeddings_is_exported_and_predicts(run_folder: Path, tmp_path: Path) -> None:
    from lungwise.inference.predictor import load
    from lungwise.pipeline import export_run

    bundle = load(export_run(run_folder, tmp_path / "bundle"))
    assert bundle.spec.labels == open_run(run_folder).labels
