from __future__ import annotations

import keras
import numpy as np
import pytest

from lungwise.models.blocks import DropPath, RelativeAttention, Standardise, gelu, relative_index


def test_gelu_is_the_exact_one() -> None:
    x = np.linspace(-6, 6, 101).astype("float32")
    np.testing.assert_allclose(gelu(x), keras.activations.gelu(x, approximate=False), atol=1e-6)


def test_relative_index_of_a_2_by_2_grid_worked_by_hand() -> None:
    # Rows of the table run over the vertical offset key - query from -1 to 1, and within it over the horizontal one.
    expected = [[4, 5, 7, 8], [3, 4, 6, 7], [1, 2, 4, 5], [0, 1, 3, 4]]
    np.testing.assert_array_equal(relative_index(2, 2), expected)


def test_relative_index_depends_on_the_offset_alone() -> None:
    index = relative_index(3, 5).reshape(3, 5, 3, 5)
    assert index[0, 0, 1, 2] == index[1, 2, 2, 4] == index[1, 0, 2, 2]
    assert index.max() == 5 * 9 - 1


def test_attention_equals_its_formula() -> None:
    layer = RelativeAttention(64)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 48)).astype("float32")
    found = np.asarray(layer(x))
    kernel, bias = layer.qkv.get_weights()
    tokens = x.reshape(2, 12, 48)
    query, key, value = np.split((tokens @ kernel + bias).reshape(2, 12, 3, 2, 32).transpose(2, 0, 3, 1, 4), 3)
    table = np.asarray(layer.bias_table)[relative_index(3, 4)].transpose(2, 0, 1)
    scores = query[0] @ key[0].transpose(0, 1, 3, 2) / np.sqrt(32) + table
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    mixed = (weights @ value[0]).transpose(0, 2, 1, 3).reshape(2, 3, 4, 64)
    project, offset = layer.project.get_weights()
    np.testing.assert_allclose(found, mixed @ project + offset, atol=1e-5)


def test_drop_path_leaves_inference_alone_and_keeps_the_mean_in_training() -> None:
    layer = DropPath(0.25, seed=3)
    x = np.ones((4000, 1, 1, 2), "float32")
    np.testing.assert_array_equal(layer(x, training=False), x)
    dropped = np.asarray(layer(x, training=True))
    np.testing.assert_allclose(np.unique(dropped), [0.0, 1 / 0.75], rtol=1e-6)
    assert dropped.mean() == pytest.approx(1.0, abs=0.05)
    np.testing.assert_array_equal(dropped[..., 0], dropped[..., 1])


def test_standardised_images_have_mean_0_and_deviation_1() -> None:
    rng = np.random.default_rng(0)
    x = (0.7 + 0.1 * rng.random((3, 300, 200, 1))).astype("float32")
    found = np.asarray(Standardise(epsilon=0.0)(x), np.float64)
    exact = (x - x.mean((1, 2), keepdims=True, dtype=np.float64)) / x.std((1, 2), keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(found, exact, atol=5e-6)


def test_standardised_image_of_one_grey_is_all_zero() -> None:
    np.testing.assert_array_equal(np.asarray(Standardise()(np.full((1, 8, 8, 1), 0.5, "float32"))), 0.0)
