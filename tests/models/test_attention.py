from __future__ import annotations

import keras
import numpy as np
import pytest

from lungwise.models.attention import RelativeAttention, log_offsets, relative_index


def test_relative_index_of_a_2_by_2_grid_worked_by_hand() -> None:
    # Rows of the table run over the vertical offset key - query from -1 to 1, and within it over the horizontal one.
    expected = [[4, 5, 7, 8], [3, 4, 6, 7], [1, 2, 4, 5], [0, 1, 3, 4]]
    np.testing.assert_array_equal(relative_index(2, 2), expected)


def test_relative_index_depends_on_the_offset_alone() -> None:
    index = relative_index(3, 5).reshape(3, 5, 3, 5)
    assert index[0, 0, 1, 2] == index[1, 2, 2, 4] == index[1, 0, 2, 2]
    assert index.max() == 5 * 9 - 1


def test_log_offsets_of_a_2_by_3_grid_worked_by_hand() -> None:
    found = log_offsets(2, 3)
    assert found.shape == (3 * 5, 2)
    np.testing.assert_allclose(found[0], [np.log(2), np.log(3)], rtol=1e-6)  # key one up and two left of the query
    np.testing.assert_array_equal(found[7], [0, 0])
    np.testing.assert_allclose(found[14], [-np.log(2), -np.log(3)], rtol=1e-6)


@pytest.mark.parametrize(("inner", "head_size"), [(0, 32), (32, 32), (48, 16)])
def test_attention_equals_its_formula(inner: int, head_size: int) -> None:
    layer = RelativeAttention(64, inner=inner, head_size=head_size)
    inner = inner or 64
    heads = inner // head_size
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 48)).astype("float32")
    found = np.asarray(layer(x))
    kernel, bias = layer.qkv.get_weights()
    tokens = x.reshape(2, 12, 48)
    query, key, value = np.split((tokens @ kernel + bias).reshape(2, 12, 3, heads, head_size).transpose(2, 0, 3, 1, 4), 3)
    table = np.asarray(layer.bias_table)[relative_index(3, 4)].transpose(2, 0, 1)
    scores = query[0] @ key[0].transpose(0, 1, 3, 2) / np.sqrt(head_size) + table
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    mixed = (weights @ value[0]).transpose(0, 2, 1, 3).reshape(2, 3, 4, inner)
    project, offset = layer.project.get_weights()
    np.testing.assert_allclose(found, mixed @ project + offset, atol=1e-5)


def test_positions_by_mlp_are_the_network_of_the_log_offsets() -> None:
    layer = RelativeAttention(64, position="mlp", position_width=8)
    layer.build((None, 2, 3, 64))
    (hidden, offset), (out, last) = layer.position_hidden.get_weights(), layer.position_out.get_weights()
    expected = np.maximum(log_offsets(2, 3) @ hidden + offset, 0) @ out + last
    np.testing.assert_allclose(np.asarray(layer._table()), expected, atol=1e-5)


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be a multiple of the head size 32, got 48\."):
        RelativeAttention(48)


def test_dropout_acts_in_training_alone() -> None:
    layer = RelativeAttention(32, dropout=0.5)
    x = keras.ops.ones((1, 4, 4, 32)) * keras.random.normal((1, 4, 4, 1), seed=0)
    np.testing.assert_array_equal(np.asarray(layer(x)), np.asarray(layer(x)))
    assert not np.array_equal(np.asarray(layer(x, training=True)), np.asarray(layer(x)))
