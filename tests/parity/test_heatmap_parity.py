"""The closed-form Grad-CAM equals the gradient that TensorFlow computes through the Keras head."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from lungwise.bundle.head import head_of
from lungwise.inference.explain import grad_cam
from lungwise.models.classifier import build_classifier, with_features
from lungwise.recipe import Head, Model


def made(pool: str, width: int, norm: bool) -> keras.Model:
    """A network with such a head, its batch norm away from where it starts."""
    keras.utils.set_random_seed(1)
    head = Head.model_validate({"pool": pool, "width": width, "batch_norm": norm})
    model = build_classifier(Model(backbone="kaggle-cnn", image_size=96, head=head), 3)
    if width and norm:
        rng = np.random.default_rng(5)
        model.get_layer("hidden_norm").set_weights([rng.uniform(0.5, 2, width) * sign for sign in (-1, 1, 1, 1)])
    return with_features(model)


@pytest.mark.parametrize("column", [0, 2])
@pytest.mark.parametrize(("width", "norm"), [(0, False), (16, False), (16, True)])
@pytest.mark.parametrize("pool", ["average", "flatten"])
def test_closed_form_grad_cam_equals_tensorflows_gradient(pool: str, width: int, norm: bool, column: int) -> None:
    import tensorflow as tf

    model = made(pool, width, norm)
    features = tf.constant(np.random.default_rng(0).normal(size=(1, 3, 3, 256)).astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(features)
        x = embedding = model.get_layer("embedding")(features)
        for name in ("hidden", "hidden_norm", "logits"):
            if name in {layer.name for layer in model.layers}:
                x = model.get_layer(name)(x, training=False)
        target = x[:, column]
    gradient = tape.gradient(target, features).numpy()[0]
    maps, pooled, head = features.numpy()[0], embedding.numpy()[0], head_of(model)
    found = grad_cam(maps, pooled, head, pool, column)
    assert found.max() > 1e-3, "a map of zeros would equal anything"
    np.testing.assert_allclose(found, np.maximum(maps @ gradient.mean(axis=(0, 1)), 0), atol=1e-5)
