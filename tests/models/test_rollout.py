"""The roll-out of attention against its formula, and as an output of whole networks."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.models.attention import RelativeAttention
from lungwise.models.classifier import build_classifier, with_features
from lungwise.models.coatnet import CoAtNet, Layout
from lungwise.models.coatnet_lite import CoAtNetLite
from lungwise.models.rollout import Rollout, rollout_of
from lungwise.recipe import Head, Model

TINY = Layout((2, 1, 1, 2, 1), (8, 8, 16, 32, 32), mixed=(1, 16))


def weights_of(layer: RelativeAttention, x: NDArray[np.float32]) -> NDArray[np.floating]:
    """Softmax of the layer's scores, mean over heads, from its weights alone."""
    kernel, bias = layer.qkv.get_weights()
    tokens = layer.rows * layer.columns
    made = (x.reshape(len(x), tokens, -1) @ kernel + bias).reshape(len(x), tokens, 3, layer.heads, layer.head_size)
    query, key = made[:, :, 0].transpose(0, 2, 1, 3), made[:, :, 1].transpose(0, 2, 3, 1)
    table = np.asarray(layer.bias_table)[layer.index].reshape(tokens, tokens, layer.heads).transpose(2, 0, 1)
    scores = np.exp(query @ key / np.sqrt(layer.head_size) + table)
    return np.asarray((scores / scores.sum(-1, keepdims=True)).mean(axis=1))


def two_stages() -> tuple[list[RelativeAttention], list[NDArray[np.float32]]]:
    """Two attentions on a 2 x 4 grid and one on the 1 x 2 grid after it, with inputs far from uniform attention."""
    rng, found, inputs = np.random.default_rng(3), [], []
    for rows, columns in ((2, 4), (2, 4), (1, 2)):
        layer = RelativeAttention(16, head_size=8)
        x = rng.normal(size=(3, rows, columns, 16)).astype("float32")
        layer(x)
        layer.bias_table.assign(rng.normal(size=layer.bias_table.shape))
        found.append(layer)
        inputs.append(3 * x)
    return found, inputs


def test_attended_is_the_mean_of_the_heads_weights() -> None:
    layers, inputs = two_stages()
    np.testing.assert_allclose(np.asarray(layers[0].attended(inputs[0])), weights_of(layers[0], inputs[0]), atol=1e-5)


def test_rollout_is_the_product_with_a_mean_over_squares_between_the_grids() -> None:
    layers, inputs = two_stages()
    one, two, three = (
        0.5 * (weights_of(layer, x) + np.eye(layer.rows * layer.columns)) for layer, x in zip(layers, inputs, strict=True)
    )
    # Positions of the 2 x 4 grid: 0 to 3 above, 4 to 7 below; each half of it becomes one.
    halves = np.zeros((2, 8))
    halves[0, [0, 1, 4, 5]] = halves[1, [2, 3, 6, 7]] = 0.25
    found = np.asarray(Rollout(layers)(inputs))
    assert (found.shape, found.dtype) == ((3, 2, 8), np.float32)
    np.testing.assert_allclose(found, three @ halves @ two @ one, atol=1e-5)


def test_each_position_shares_itself_out_whole() -> None:
    layers, inputs = two_stages()
    found = np.asarray(Rollout(layers)(inputs))
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "shape"),
    [
        (lambda: CoAtNet((64, 96, 1), TINY), (6, 24)),
        (lambda: CoAtNetLite((64, 64, 1), widths=(32, 64), blocks=(1, 1)), (4, 16)),
    ],
    ids=["coatnet", "coatnet-lite"],
)
def test_a_network_with_attention_has_a_rollout_from_its_third_stage(backbone: Any, shape: tuple[int, int]) -> None:
    assert tuple(rollout_of(backbone()).shape) == (None, *shape)


def small(backbone: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    spec = Model.model_validate({"backbone": backbone, "image_size": 64, "standardise": True, "head": Head(width=8)})
    return build_classifier(spec, 3)


def test_further_outputs_leave_the_answer_and_the_weights_as_they_are() -> None:
    model = small("coatnet-pico")
    # Drawing the graph again must not make the optimiser again: ours is not known to Keras by name.
    model.compile("sgd", "mse")
    image = np.random.default_rng(0).random((2, 64, 64, 1), "float32")
    for _ in range(2):
        explained = with_features(model)
        found = explained(image)
        np.testing.assert_array_equal(np.asarray(found["logits"]), np.asarray(model(image)))
        assert found["attention"].shape == (2, 4, 16)
    assert {weight.path for weight in explained.weights} == {weight.path for weight in model.weights}


def test_later_weights_reach_the_rollout() -> None:
    model = small("coatnet-pico")
    explained, image = with_features(model), np.random.default_rng(0).random((1, 64, 64, 1), "float32")
    before = np.asarray(explained(image)["attention"])
    layer = next(layer for layer in model.layers if isinstance(layer, keras.Model)).get_layer("s3_b0_attention")
    layer.bias_table.assign(9 * np.random.default_rng(0).normal(size=layer.bias_table.shape))
    assert np.abs(np.asarray(explained(image)["attention"]) - before).max() > 0.005


def test_a_convolutional_network_has_none() -> None:
    assert set(with_features(small("kaggle-cnn")).output) == {"logits", "features", "embedding"}
