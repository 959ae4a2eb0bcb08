"""The fast way of training a layer computes what the plain way computes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from lungwise.models import fused
from lungwise.models.norm import Activation, NormActivation, StridedDepthwise

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the fast way is TensorFlow's")
SHAPE = (3, 8, 8, 4)


def stepped(layer: keras.Layer, monkeypatch: pytest.MonkeyPatch, *, fast: bool, dtype: str = "float32") -> list[Any]:
    """Output of a training call, gradients by input and weights, and the weights that do not learn."""
    monkeypatch.setattr(fused, "FROM", 1 if fast else 10**9)
    rng = np.random.default_rng(0)
    layer.build(SHAPE)
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(1.0, 0.5, weight.shape))
    x = tf.constant(rng.normal(0.5, 2.0, SHAPE), dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
        weighted = tf.reduce_sum(tf.cast(y, tf.float32) * rng.normal(size=y.shape).astype(np.float32))
    gradients = tape.gradient(weighted, [x, *(weight.value for weight in layer.trainable_weights)])
    values = [y, *gradients, *(weight.value for weight in layer.non_trainable_weights)]
    return [np.asarray(tf.cast(value, tf.float32)) for value in values]


def made(kind: str) -> keras.Layer:
    """A fresh layer."""
    name, _, option = kind.partition(":")
    if name == "norm":
        return NormActivation(option, momentum=0.9, epsilon=1e-3)
    if name == "activation":
        return Activation(option)
    size, centred = option.split(",")
    return StridedDepthwise(int(size), centred == "centred")


KINDS = [
    *(f"norm:{activation}" for activation in ("", "gelu", "silu", "relu", "relu6")),
    *(f"activation:{activation}" for activation in ("gelu", "silu", "relu", "relu6")),
    "depthwise:3,centred",
    "depthwise:3,same",
    "depthwise:5,same",
]


@pytest.mark.parametrize("kind", KINDS)
def test_fast_way_equals_plain_way(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = stepped(made(kind), monkeypatch, fast=True)
    plain = stepped(made(kind), monkeypatch, fast=False)
    assert len(fast) == len(plain) >= 2
    for ours, keras_own in zip(fast, plain, strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["norm:gelu", "activation:silu", "depthwise:5,same"])
def test_fast_way_in_bfloat16_is_as_near_to_float32_as_its_rounding(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = made(kind)
    layer.dtype_policy = "mixed_bfloat16"
    for ours, exact in zip(
        stepped(layer, monkeypatch, fast=True, dtype="bfloat16"), stepped(made(kind), monkeypatch, fast=False), strict=True
    ):
        assert np.abs(ours - exact).max() < 0.03 * max(np.abs(exact).max(), 1.0)


def test_fast_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("norm_activation", "activated", "strided_depthwise"):
        own = getattr(fused, name)
        monkeypatch.setattr(fused, name, lambda *given, own=own, name=name: calls.append(name) or own(*given))
    for kind in ("norm:gelu", "activation:gelu", "depthwise:3,centred"):
        stepped(made(kind), monkeypatch, fast=False)
        assert not calls
    for kind in ("norm:gelu", "activation:gelu", "depthwise:3,centred"):
        stepped(made(kind), monkeypatch, fast=True)
    assert calls == ["norm_activation", "activated", "strided_depthwise"]


def test_inference_and_frozen_norms_take_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "FROM", 1)
    monkeypatch.setattr(fused, "norm_activation", lambda *_: pytest.fail("the fast way was taken"))
    layer = NormActivation("relu")
    layer.build(SHAPE)
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    expected = np.maximum(x / np.sqrt(1.0 + layer.epsilon), 0)
    np.testing.assert_allclose(np.asarray(layer(x, training=False)), expected, atol=1e-6)
    layer.trainable = False
    np.testing.assert_allclose(np.asarray(layer(x, training=True)), expected, atol=1e-6)


@pytest.mark.parametrize(("size", "centred"), [(3, False), (5, False)])
def test_strided_depthwise_pads_as_tensorflow_does(size: int, centred: bool) -> None:
    ours, keras_own = StridedDepthwise(size, centred), keras.layers.DepthwiseConv2D(size, 2, padding="same", use_bias=False)
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    ours.build(SHAPE)
    keras_own.build(SHAPE)
    keras_own.kernel.assign(ours.kernel)
    np.testing.assert_allclose(np.asarray(ours(x)), np.asarray(keras_own(x)), atol=1e-5)
    assert ours.compute_output_shape(SHAPE) == (3, 4, 4, 4)


@pytest.mark.parametrize("kind", ["norm:silu", "activation:gelu", "depthwise:5,same"])
def test_layers_are_saved_with_every_argument(kind: str) -> None:
    layer = made(kind)
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
