from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from lungwise.errors import WeightsError
from lungwise.models.classifier import backbone_of, build_classifier, with_features
from lungwise.recipe import Head, Model

TINY = Model(backbone="kaggle-cnn", image_size=32, head=Head(width=8, batch_norm=True))


def test_classifier_gives_logits_and_names_its_feature_map_and_embedding() -> None:
    model = with_features(build_classifier(TINY, 3))
    found = model(np.zeros((2, 32, 32, 1), "float32"))
    assert {key: tuple(value.shape) for key, value in found.items()} == {
        "logits": (2, 3), "features": (2, 1, 1, 256), "embedding": (2, 256),
    }  # fmt: skip


def test_embedding_is_the_mean_of_the_feature_map() -> None:
    model = with_features(build_classifier(TINY.model_copy(update={"image_size": 64}), 2))
    found = model(np.random.default_rng(0).random((2, 64, 64, 1), "float32"))
    np.testing.assert_allclose(np.asarray(found["features"]).mean(axis=(1, 2)), found["embedding"], atol=1e-6)


def test_three_channels_repeat_the_grey_image() -> None:
    model = build_classifier(TINY.model_copy(update={"channels": 3}), 2)
    assert model.input_shape == (None, 32, 32, 1)
    assert model.get_layer("kaggle_cnn").input_shape == (None, 32, 32, 3)


def test_the_backbone_is_found_within_the_classifier() -> None:
    assert backbone_of(build_classifier(TINY, 2)).name == "kaggle_cnn"


def test_frozen_backbone_trains_the_head_alone() -> None:
    model = build_classifier(TINY.model_copy(update={"frozen": True}), 2)
    assert {weight.path.split("/")[0] for weight in model.trainable_weights} == {"hidden", "hidden_norm", "logits"}


def test_frozen_backbone_keeps_its_batch_statistics() -> None:
    model = build_classifier(TINY.model_copy(update={"frozen": True}), 2)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    before = model.get_layer("kaggle_cnn").get_weights()
    model.train_on_batch(np.random.default_rng(0).random((4, 32, 32, 1), "float32"), np.array([0, 1, 0, 1]))
    for old, new in zip(before, model.get_layer("kaggle_cnn").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_flattened_head_without_pooling() -> None:
    spec = TINY.model_copy(update={"image_size": 64, "head": Head(pool="flatten", width=8)})
    found = with_features(build_classifier(spec, 2))(np.zeros((1, 64, 64, 1), "float32"))
    assert tuple(found["embedding"].shape) == (1, 2 * 2 * 256)


def test_resnet50v2_from_scratch_has_keras_parameters() -> None:
    model = build_classifier(Model(backbone="resnet50v2", image_size=64, channels=3, head=Head(width=0)), 3)
    assert model.get_layer("resnet50v2").count_params() == 23_564_800


def test_weights_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"there is no file .*lost\.weights\.h5"):
        build_classifier(TINY.model_copy(update={"weights": str(tmp_path / "lost.weights.h5")}), 2)


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")  # Keras says so before it refuses the file
def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    other = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(WeightsError, match=r"must fit the backbone kaggle_cnn.* 2 only in the file"):
        build_classifier(TINY.model_copy(update={"weights": str(tmp_path / "other.weights.h5")}), 2)


def test_own_weights_are_loaded(tmp_path: Path) -> None:
    first = build_classifier(TINY, 2).get_layer("kaggle_cnn")
    first.save_weights(tmp_path / "own.weights.h5")
    again = build_classifier(TINY.model_copy(update={"weights": str(tmp_path / "own.weights.h5")}), 2)
    for ours, theirs in zip(again.get_layer("kaggle_cnn").get_weights(), first.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("backbone", ["kaggle-cnn", "coatnet-pico"])
def test_a_frozen_backbone_gives_the_same_features_while_training(backbone: str) -> None:
    spec = Model(backbone=backbone, image_size=64, frozen=True, drop_path=0.0 if backbone == "kaggle-cnn" else 0.5)
    model = with_features(build_classifier(spec, 3))
    images = np.random.default_rng(0).normal(size=(4, 64, 64, 1)).astype(np.float32)
    one, other = (np.asarray(model(images, training=mode)["embedding"]) for mode in (True, False))
    np.testing.assert_allclose(one, other, atol=1e-6)
    assert not backbone_of(model).trainable_variables
