"""Keras, ONNX and every way into the predictor give the same answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import keras
import numpy as np
import polars as pl
import pytest

from lungwise.bundle.export import prove, to_onnx
from lungwise.bundle.head import head_of
from lungwise.data.store import PreparedData
from lungwise.errors import BundleError
from lungwise.inference.predictor import load
from lungwise.models.classifier import build_classifier, with_features
from lungwise.models.layout import FAMILY, Five
from lungwise.pipeline import bundle_predictions, evaluate_bundle, export_run
from lungwise.recipe import Head, Model


@pytest.fixture(scope="module")
def bundle(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_run(small_run, tmp_path_factory.mktemp("bundle") / "model")


def test_bundle_reproduces_the_runs_test_predictions(bundle: Path, small_run: Path, small_data: PreparedData) -> None:
    ours = bundle_predictions(load(bundle), small_data)
    theirs = pl.read_parquet(small_run / "predictions.parquet")
    assert ours["image"].equals(theirs["image"])
    columns = [f"prob_{label}" for label in small_data.labels]
    np.testing.assert_allclose(ours.select(columns).to_numpy(), theirs.select(columns).to_numpy(), atol=1e-5)


def test_file_bytes_and_training_store_give_the_same_probabilities(bundle: Path, small_data: PreparedData) -> None:
    predictor = load(bundle)
    row = small_data.test.manifest.row(0, named=True)
    file = Path(small_data.facts["root"]) / row["path"]
    stored = predictor.probabilities(small_data.pixels[small_data.test.rows[:1]])[0]
    grey = np.asarray(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE))
    for image in (file, str(file), file.read_bytes(), grey):
        found = predictor.predict(image).probabilities
        np.testing.assert_allclose([found[label] for label in predictor.labels], stored, atol=1e-6)


def test_bundle_evaluated_on_its_data_agrees_with_the_run(bundle: Path, small_data: PreparedData, tmp_path: Path) -> None:
    metrics = evaluate_bundle(load(bundle), small_data, tmp_path / "report")
    assert metrics["parts"]["test"]["images"] == len(small_data.test)
    assert metrics["training"] is None
    assert "synthetic phantoms" in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.parametrize(
    ("backbone", "blocks"),
    [
        ("kaggle-cnn", None),
        # One block of every kind, and one behind it; the whole network has more of the same and takes its time.
        ("coatnet-pico", (2, 2, 1, 2, 1)),
        pytest.param("coatnet-pico", None, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("head", [Head(width=16, batch_norm=True), Head(width=0)], ids=["hidden", "linear"])
def test_onnx_equals_keras_on_several_batch_sizes(
    backbone: str, blocks: Five | None, head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    if blocks:
        monkeypatch.setitem(FAMILY, backbone, replace(FAMILY[backbone], blocks=blocks, widths=(8, 16, 32, 64, 96)))
    keras.utils.set_random_seed(0)
    model = with_features(build_classifier(Model.model_validate({"backbone": backbone, "image_size": 64, "head": head}), 3))
    samples = np.random.default_rng(0).random((4, 64, 64, 1), "float32")
    assert prove(to_onnx(model, "test"), model, head_of(model), samples) <= 1e-5


def test_export_that_differs_is_refused() -> None:
    spec = Model(backbone="kaggle-cnn", image_size=32, head=Head(width=4))
    one, other = (with_features(build_classifier(spec, 2)) for _ in range(2))
    samples = np.random.default_rng(0).random((2, 32, 32, 1), "float32")
    with pytest.raises(BundleError, match=r"ONNX must equal Keras, but they differ by .*; nothing was written"):
        prove(to_onnx(one, "test"), other, head_of(other), samples)


@pytest.mark.parametrize("pool", ["average", "flatten"])
def test_closed_form_grad_cam_equals_tensorflows_gradient(pool: str) -> None:
    import tensorflow as tf

    from lungwise.inference.explain import grad_cam

    keras.utils.set_random_seed(1)
    head = Head.model_validate({"pool": pool, "width": 16, "batch_norm": True})
    model = with_features(build_classifier(Model(backbone="kaggle-cnn", image_size=96, head=head), 3))
    features = tf.constant(np.random.default_rng(0).normal(size=(1, 3, 3, 256)).astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(features)
        x = embedding = model.get_layer("embedding")(features)
        for name in ("hidden", "hidden_norm", "logits"):
            x = model.get_layer(name)(x)
        target = x[:, 2]
    alpha = tape.gradient(target, features).numpy().mean(axis=(1, 2))[0]
    expected = np.maximum(features.numpy()[0] @ alpha, 0)
    found = grad_cam(features.numpy()[0], embedding.numpy()[0], head_of(model), pool, 2)
    np.testing.assert_allclose(found, expected, atol=1e-5)
