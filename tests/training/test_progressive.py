"""Images grow during training: everything learnt goes on, and a killed training still ends at the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.data.phantoms import write_phantoms
from lungwise.data.prepare import Request, prepare
from lungwise.data.store import PreparedData
from lungwise.errors import DataError, RunError
from lungwise.imaging.preprocess import Preprocess, resize, scale
from lungwise.models import classifier
from lungwise.models.attention import RelativeAttention
from lungwise.models.classifier import backbone_of
from lungwise.models.transfer import resize_table, table_grids
from lungwise.recipe import Model, Recipe
from lungwise.training import fit
from lungwise.training.fit import Silent, build, load_model, train
from lungwise.training.progressive import Learner, at_size, grow, image_batches
from lungwise.training.run import Run, open_run, start_run
from lungwise.training.state import restore, to_arrays, variables
from tests.factory import tiny_recipe

SMALL, LARGE = 64, 96
GRIDS = {"s3": (4, 6), "s4": (2, 3)}
"""Side of the feature map in S3 and S4 at both sizes."""
Arrays = dict[str, NDArray[Any]]


class Tiny(keras.Model):
    """As small as a network with two tables of relative positions can be, so that it is built in no time."""

    stage_prefixes = (("stem_",), ("s3_",), ("s4_", "norm"))

    def __init__(self, spec: Model) -> None:
        image = keras.Input((spec.image_size, spec.image_size, spec.channels))
        x = keras.layers.Conv2D(32, 16, 16, activation="relu", name="stem_conv")(image)
        x = keras.layers.Add(name="s3_add")([x, RelativeAttention(32, dropout=0.1, name="s3_b0_attention")(x)])
        x = RelativeAttention(32, name="s4_b0_attention")(keras.layers.MaxPooling2D(name="s4_pool")(x))
        super().__init__(image, keras.layers.BatchNormalization(name="norm")(x), name="tiny")


def growing(*overrides: str) -> Recipe:
    """Three epochs: one at 64 px, two at 96 px."""
    sizes = ["model.backbone=coatnet-pico", f"model.image_size={LARGE}", f"fit.progressive=[{SMALL}]"]
    learning = ["optimiser.name=adamw", "optimiser.ema=0.9", "optimiser.layer_decay=0.7", "fit.monitor=val_loss"]
    return tiny_recipe(*sizes, *learning, "data.augment.shift=0.1", *overrides)


@pytest.fixture(scope="module", autouse=True)
def tiny_backbone() -> Iterator[None]:
    """The recipes' CoAtNet is a :class:`Tiny`."""
    known = classifier.build_backbone

    def build_backbone(spec: Model) -> keras.Model:
        return Tiny(spec) if spec.backbone == "coatnet-pico" else known(spec)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "build_backbone", build_backbone)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """Twelve phantoms of each class at 96 px."""
    folder = tmp_path_factory.mktemp("larger")
    source = write_phantoms(folder / "phantoms", 12, 3)
    return prepare(source, folder / "data", Request(spec=Preprocess(stored=LARGE, size=LARGE)))


@pytest.fixture(scope="module")
def unbroken(data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(data, growing(), tmp_path_factory.mktemp("unbroken") / "run")


def saved(run: Run, name: str = "last") -> Arrays:
    found = run.load(name)
    assert found is not None
    return found[0]


def tables(arrays: Arrays) -> list[str]:
    return [name for name in arrays if "bias_table" in name]


def expected_growth(arrays: Arrays) -> Arrays:
    """What shall become of a checkpoint at the change of size."""
    grown = dict(arrays)
    for name in tables(arrays):
        before, after = next(grid for stage, grid in GRIDS.items() if stage in name)
        grown[name] = resize_table(arrays[name], (before, before), (after, after))
    return grown


def assert_equal(found: Arrays, expected: Arrays) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


class KilledAt(Silent):
    """A watcher that ends the process during step (epoch, step), or at the end of an epoch where step is None."""

    def __init__(self, epoch: int, step: int | None) -> None:
        self.at = (epoch, step)

    def step(self, epoch: int, step: int, logs: dict[str, float]) -> None:
        if (epoch, step) == self.at:
            raise KeyboardInterrupt

    def epoch(self, record: dict[str, Any], best: bool) -> None:
        if (record["epoch"] - 1, None) == self.at:
            raise KeyboardInterrupt


def test_the_history_says_the_size_of_each_epoch(unbroken: Run) -> None:
    assert [record["image_size"] for record in unbroken.history()] == [SMALL, LARGE, LARGE]
    assert unbroken.recipe.model.image_size == unbroken.data["preprocess"]["size"] == LARGE
    assert load_model(unbroken).input_shape == (None, LARGE, LARGE, 1)


@pytest.mark.slow
def test_killed_at_every_kind_of_moment_it_ends_at_the_same_bits(
    data: PreparedData, unbroken: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = [
        (0.0, (0, 1)),  # in the middle of the small epoch, whose first step is saved
        (1e9, (0, None)),  # exactly at the change of size
        (0.0, (1, 1)),  # in the middle of the first large epoch, whose first step is saved
        (1e9, (2, None)),  # when all is trained and nothing predicted
    ]
    for seconds, moment in moments:
        monkeypatch.setattr(fit, "SAVE_SECONDS", seconds)
        with pytest.raises(KeyboardInterrupt):
            train(data, growing(), tmp_path / "run", KilledAt(*moment))
    run = train(data, growing(), tmp_path / "run")
    for checkpoint in ("last", "best"):
        assert_equal(saved(run, checkpoint), saved(unbroken, checkpoint))
    predicted = [(one.folder / "predictions.parquet").read_bytes() for one in (run, unbroken)]
    assert predicted[0] == predicted[1]
    keys = ("epoch", "image_size", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
    ours, theirs = ([[record[key] for key in keys] for record in one.history()] for one in (run, unbroken))
    assert ours == theirs


@pytest.fixture(scope="module")
def at_the_change(data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was killed when its only small epoch was done; do not write into it."""
    folder = tmp_path_factory.mktemp("change") / "run"
    with pytest.raises(KeyboardInterrupt):
        train(data, growing(), folder, KilledAt(0, None))
    return open_run(folder)


def test_weights_moments_averages_and_shares_go_on_and_tables_are_interpolated(data: PreparedData, at_the_change: Run) -> None:
    run, before = at_the_change, saved(at_the_change)
    kinds = {"momentum", "velocity", "average"}
    kept = {kind for kind in kinds for name in tables(before) if name.startswith("optimiser") and kind in name}
    assert kept == kinds
    assert min(np.abs(before[name]).max() for name in tables(before)) > 0
    small = at_size(run, SMALL)
    learner = Learner(small, build(small), image_batches(small, data))
    restore(learner.model, before, run, optimiser=True)
    assert_equal(to_arrays(variables(learner.model, optimiser=True)), before)
    shares = learner.model.optimizer.shares
    grow(learner, run, data, build)
    assert (learner.size, learner.model.input_shape) == (LARGE, (None, LARGE, LARGE, 1))
    after = to_arrays(variables(learner.model, optimiser=True))
    assert_equal(after, expected_growth(before))
    steps = next(value for name, value in after.items() if name.endswith("iteration"))
    assert steps == len(learner.batches)
    assert learner.model.optimizer.shares == shares
    assert len(set(shares)) > 1
    assert min(after[name].min() for name in tables(after) if "velocity" in name) >= 0  # else the next step is no number


def test_the_last_checkpoint_of_another_size_loads_and_the_best_is_not_there_yet(at_the_change: Run) -> None:
    model = load_model(at_the_change, "last")
    assert_equal(to_arrays(variables(model, optimiser=True)), expected_growth(saved(at_the_change)))
    with pytest.raises(RunError, match=r"run has no finished epoch with images of 96 px yet; train it first: lungwise train"):
        load_model(at_the_change)


def test_a_checkpoint_of_another_shape_is_refused(at_the_change: Run) -> None:
    model, arrays = build(at_the_change), saved(at_the_change)
    before = model.get_weights()
    table = next(name for name in tables(arrays) if name.startswith("model"))
    kernel = next(name for name in arrays if name.endswith("logits/kernel"))
    for name, shape, sentence in [
        (table, (50, 1), "must come from square images, but its 50 rows are no such table"),
        (table, (49, 3), r"has the shape \(49, 3\) in the file and \(121, 1\) in the model; train again into"),
        (kernel, (8, 4), r"has the shape \(8, 4\) in the file and \(8, 3\) in the model; train again into"),
    ]:
        with pytest.raises(RunError, match=rf"^The checkpoint of .* does not fit.*{name}.*{sentence}"):
            restore(model, {**arrays, name: np.zeros(shape, np.float32)}, at_the_change, optimiser=True)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_small_epochs_see_the_stored_pixels_shrunk_and_the_same_images(data: PreparedData, tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", growing("data.augment={}"), data)
    large, small = (image_batches(at_size(run, size), data) for size in (LARGE, SMALL))
    (images, y, _), (shrunk, same, _) = next(large.epoch(0)), next(small.epoch(0))
    np.testing.assert_array_equal(y, same)
    assert (images.shape[1:], shrunk.shape[1:]) == ((LARGE, LARGE, 1), (SMALL, SMALL, 1))
    pixels = np.rint(255 * images[0, :, :, 0]).astype(np.uint8)
    np.testing.assert_array_equal(shrunk[0, :, :, 0], scale(resize(pixels, SMALL), Preprocess(size=SMALL)))


def test_training_begins_from_weights_that_fit_the_final_size(data: PreparedData, unbroken: Run, tmp_path: Path) -> None:
    for name, weights in (("npz", unbroken.folder / "checkpoints" / "best.npz"), ("h5", tmp_path / "all.weights.h5")):
        if name == "h5":  # such a file fits one size only
            backbone_of(load_model(unbroken)).save_weights(weights)
        run = start_run(tmp_path / name, growing(f"model.weights={weights}"), data)
        learner, history = fit._begin(run, data, None, lambda: False)
        assert (learner.size, history) == (SMALL, [])
        whole = {variable.path: variable for variable in backbone_of(load_model(unbroken)).variables}
        grids = table_grids(backbone_of(learner.model))
        assert len(grids) == 2
        for variable in backbone_of(learner.model).trainable_variables:
            value = np.asarray(whole[variable.path])
            if variable.path in grids:
                side = {2: 3, 4: 6}[grids[variable.path][0]]
                value = resize_table(value, (side, side), grids[variable.path])
            np.testing.assert_array_equal(variable, value, err_msg=variable.path)


def test_stages_that_are_frozen_stay_so_while_images_grow_and_learn_when_they_may(data: PreparedData, tmp_path: Path) -> None:
    frozen = ["model.freeze_stages=1", "fit.unfreeze_epoch=3", "optimiser.ema=0", "optimiser.name=adam"]
    stems: list[NDArray[Any]] = []

    class Sees(Silent):
        def epoch(self, record: dict[str, Any], best: bool) -> None:
            arrays = saved(open_run(tmp_path / "run"))
            stems.append(next(value for name, value in arrays.items() if name.endswith("stem_conv/kernel")))

    run = train(data, growing(*frozen, "fit.precision=mixed_bfloat16"), tmp_path / "run", Sees())
    assert [record["image_size"] for record in run.history()] == [SMALL, LARGE, LARGE]
    np.testing.assert_array_equal(stems[0], stems[1])
    assert np.abs(stems[2] - stems[1]).max() > 0


# The choice of the epoch, with a network that has no tables and losses made up.


def test_losses_at_another_size_choose_nothing(
    small_data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([0.1, 0.2, 0.3, 0.4, 0.2, 0.3, 0.4, 0.5, 1.0, 1.1, 1.2, 1.3])  # the larger the images, the worse
    monkeypatch.setattr(fit, "validate", lambda *_: {"val_loss": next(losses), "val_accuracy": 0.5})
    best: list[int] = []

    class Sees(Silent):
        def epoch(self, record: dict[str, Any], is_best: bool) -> None:
            best.extend([record["epoch"]] * is_best)

    sizes = ["model.image_size=40", "fit.progressive=[32,36]", "fit.epochs=12", "fit.monitor=val_loss"]
    recipe = tiny_recipe(*sizes, "fit.early_stopping=2", "fit.plateau={factor=0.5, patience=1}")
    run = train(small_data, recipe, tmp_path / "run", Sees())
    history = run.history()
    assert [record["image_size"] for record in history] == [*[32] * 4, *[36] * 4, *[40] * 3]
    assert [record["learning_rate"] for record in history] == pytest.approx([*[1e-3] * 10, 5e-4])
    kept = run.load("best")
    assert kept is not None
    assert (best, len(kept[1])) == ([9], 9)


def test_images_stored_too_small_for_the_last_size_are_refused_at_once(small_data: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"wants images of 64 px, but .* 40 px; prepare it again with --size 64"):
        train(small_data, tiny_recipe("model.image_size=64", "fit.progressive=[32]"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
