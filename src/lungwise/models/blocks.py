"""The building blocks of the CoAtNet family, written with ``keras.ops`` only so that every Keras backend runs them.

Blocks with nothing but standard layers are plain functions from tensor to tensor; a layer class exists only where
there are weights or behaviour that Keras lacks. Feature maps are ``[batch, height, width, channels]`` throughout.

Source: Dai et al., "CoAtNet: Marrying Convolution and Attention for All Data Sizes", 2021, arXiv 2106.04803.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

EXPANSION = 4
"""Hidden width of MBConv and of the feed-forward network, as a multiple of the block's width (paper, appendix A.1)."""
HEAD_SIZE = 32
"""Channels of one attention head (paper, table 3)."""
SQUEEZE = 0.25
"""Hidden width of squeeze-and-excitation, as a multiple of the block's width."""


@keras.saving.register_keras_serializable("lungwise")
def gelu(x: Any) -> Any:
    """Exact GELU written with ``erf``: Keras' own exports to ONNX as an operator (Erfc) that converters lack."""
    return x * 0.5 * (1.0 + ops.erf(x / math.sqrt(2.0)))


ACTIVATIONS = {"gelu": gelu, "silu": keras.activations.silu, "relu": keras.activations.relu}


@keras.saving.register_keras_serializable("lungwise")
class DropPath(layers.Layer):
    """Stochastic depth: in training, leave a residual branch out for whole samples (Huang et al. 2016).

    Args:
        rate: probability in [0, 1) that a sample's branch is dropped; kept branches are scaled by 1 / (1 - rate).
        seed: seed of this layer's own random stream.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        """Drop whole samples while training."""
        if not training or self.rate == 0.0:
            return x
        shape = (ops.shape(x)[0],) + (1,) * (len(x.shape) - 1)
        keep = keras.random.uniform(shape, seed=self.seed_generator) >= self.rate
        return x * (ops.cast(keep, x.dtype) / (1.0 - self.rate))

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable("lungwise")
class Standardise(layers.Layer):
    """Give each image mean 0 and deviation 1 over height and width, so that the network does not see the exposure.

    Sums run along rows first and along columns then: one sum over all pixels loses a digit in float32, and each
    inference engine loses another one.

    Args:
        epsilon: added to the variance, for images that are all one grey.
    """

    def __init__(self, epsilon: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.built = True

    def call(self, x: Any) -> Any:
        """Standardise ``[batch, height, width, channels]``."""
        centred = x - _plane_mean(x)
        return centred / ops.sqrt(_plane_mean(ops.square(centred)) + self.epsilon)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "epsilon": self.epsilon}


def _plane_mean(x: Any) -> Any:
    return ops.mean(ops.mean(x, axis=2, keepdims=True), axis=1, keepdims=True)


def relative_index(height: int, width: int) -> NDArray[np.int32]:
    """Row of the bias table for every (query, key) pair of a ``height`` x ``width`` grid.

    Returns:
        int32 [height * width, height * width], values in [0, (2 * height - 1) * (2 * width - 1)).
    """
    rows, columns = np.divmod(np.arange(height * width), width)
    down = rows[None, :] - rows[:, None] + height - 1
    right = columns[None, :] - columns[:, None] + width - 1
    return np.asarray(down * (2 * width - 1) + right, dtype=np.int32)


@keras.saving.register_keras_serializable("lungwise")
class RelativeAttention(layers.Layer):
    """Multi-head self-attention over a feature map with a learned bias for each relative position (paper, eq. 3).

    Args:
        width: output channels, a multiple of 32; there is one head for each 32 channels.
        dropout: dropout of the attention weights, in [0, 1).

    Call with a feature map ``[batch, height, width, channels]``; returns the same grid with ``width`` channels.
    """

    def __init__(self, width: int, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.dropout = dropout
        self.heads = width // HEAD_SIZE
        self.qkv = layers.Dense(3 * width, name="qkv", dtype=self.dtype_policy)
        self.project = layers.Dense(width, name="project", dtype=self.dtype_policy)
        self.drop = layers.Dropout(dropout, name="drop", dtype=self.dtype_policy)

    def build(self, shape: tuple[int, int, int, int]) -> None:
        """Make the weights for one grid: ``shape`` is (batch, height, width, channels)."""
        _, self.rows, self.columns, channels = shape
        self.qkv.build((None, None, channels))
        self.project.build((None, None, self.width))
        table = (2 * self.rows - 1) * (2 * self.columns - 1)
        initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        self.bias_table = self.add_weight(name="bias_table", shape=(table, self.heads), initializer=initializer)
        self.index = relative_index(self.rows, self.columns).reshape(-1)
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        """Attend over all positions of the grid."""
        tokens = self.rows * self.columns
        x = ops.reshape(x, (-1, tokens, x.shape[-1]))
        qkv = ops.reshape(self.qkv(x), (-1, tokens, 3, self.heads, HEAD_SIZE))
        query, key, value = (ops.transpose(qkv[:, :, i], (0, 2, 1, 3)) for i in range(3))
        scores = ops.matmul(query * HEAD_SIZE**-0.5, ops.transpose(key, (0, 1, 3, 2)))
        bias = ops.reshape(ops.take(self.bias_table, self.index, axis=0), (tokens, tokens, self.heads))
        scores = scores + ops.cast(ops.transpose(bias, (2, 0, 1)), scores.dtype)
        weights = self.drop(ops.softmax(scores, axis=-1), training=training)
        mixed = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        mixed = ops.reshape(mixed, (-1, self.rows, self.columns, self.width))
        return self.project(mixed)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The input's grid with ``width`` channels."""
        return (*shape[:-1], self.width)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "width": self.width, "dropout": self.dropout}


def batch_norm(x: Any, name: str) -> Any:
    """Batch normalisation with the constants that the pretrained checkpoints of the family use."""
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def squeeze_excite(x: Any, hidden: int, name: str) -> Any:
    """Scale each channel by a gate computed from the map's mean (Hu et al. 2018), every weight in a visible layer."""
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    gate = layers.Conv2D(hidden, 1, activation="silu", name=f"{name}_reduce")(gate)
    gate = layers.Conv2D(x.shape[-1], 1, activation="sigmoid", name=f"{name}_expand")(gate)
    return layers.Multiply(name=f"{name}_scale")([x, gate])


def shortcut(x: Any, width: int, pool: str, name: str) -> Any:
    """Residual path of a strided block: pool by 2, then project to ``width`` channels where they differ."""
    pooling = layers.MaxPooling2D if pool == "max" else layers.AveragePooling2D
    x = pooling(2, padding="same", name=f"{name}_shortcut_pool")(x)
    if x.shape[-1] == width:
        return x
    return layers.Conv2D(width, 1, name=f"{name}_shortcut_project")(x)


def mbconv(x: Any, width: int, stride: int, activation: str, pool: str, drop: float, name: str) -> Any:
    """Pre-normalised inverted bottleneck with squeeze-and-excitation (stages S1 and S2).

    Args:
        x: feature map; with stride 1 it must already have ``width`` channels.
        width: output channels; the hidden width is 4 times this.
        stride: 1 or 2, applied by the depthwise convolution.
        activation: a name in ``ACTIVATIONS``.
        pool: "max" or "avg", the pooling of the strided shortcut.
        drop: stochastic depth rate of the branch.
        name: prefix of every layer.
    """
    act = ACTIVATIONS[activation]
    hidden = EXPANSION * width
    residual = x if stride == 1 else shortcut(x, width, pool, name)
    x = batch_norm(x, f"{name}_pre_norm")
    x = layers.Conv2D(hidden, 1, use_bias=False, name=f"{name}_expand")(x)
    x = layers.Activation(act, name=f"{name}_expand_act")(batch_norm(x, f"{name}_expand_norm"))
    if stride == 2:
        # Symmetric padding: with "same" a strided window would sit off-centre on even sizes.
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    padding = "same" if stride == 1 else "valid"
    x = layers.DepthwiseConv2D(3, stride, padding=padding, use_bias=False, name=f"{name}_depthwise")(x)
    x = layers.Activation(act, name=f"{name}_depthwise_act")(batch_norm(x, f"{name}_depthwise_norm"))
    x = squeeze_excite(x, int(SQUEEZE * width), f"{name}_se")
    x = layers.Conv2D(width, 1, name=f"{name}_project")(x)
    return layers.Add(name=f"{name}_add")([residual, DropPath(drop, name=f"{name}_drop")(x)])


def transformer(x: Any, width: int, stride: int, activation: str, pool: str, drop: float, name: str) -> Any:
    """Relative attention and feed-forward network, both pre-normalised with a residual (stages S3 and S4).

    Arguments as for :func:`mbconv`. A stride of 2 pools the attention's input and the shortcut alike.
    """
    residual = x if stride == 1 else shortcut(x, width, pool, name)
    x = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_attention_norm")(x)
    if stride == 2:
        pooling = layers.MaxPooling2D if pool == "max" else layers.AveragePooling2D
        x = pooling(2, padding="same", name=f"{name}_attention_pool")(x)
    x = RelativeAttention(width, name=f"{name}_attention")(x)
    x = layers.Add(name=f"{name}_attention_add")([residual, DropPath(drop, name=f"{name}_attention_drop")(x)])
    hidden = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_mlp_norm")(x)
    hidden = layers.Dense(EXPANSION * width, activation=ACTIVATIONS[activation], name=f"{name}_mlp_expand")(hidden)
    hidden = layers.Dense(width, name=f"{name}_mlp_project")(hidden)
    return layers.Add(name=f"{name}_mlp_add")([x, DropPath(drop, name=f"{name}_mlp_drop")(hidden)])
