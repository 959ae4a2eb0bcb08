"""Self-attention over a feature map with a learned bias for each relative position (Dai et al. 2021, eq. 3)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from lungwise.models.layout import Layout


def relative_index(height: int, width: int) -> NDArray[np.int32]:
    """Row of the bias table for every (query, key) pair of a ``height`` x ``width`` grid.

    Returns:
        int32 [height * width, height * width], values in [0, (2 * height - 1) * (2 * width - 1)).
    """
    rows, columns = np.divmod(np.arange(height * width), width)
    down = rows[None, :] - rows[:, None] + height - 1
    right = columns[None, :] - columns[:, None] + width - 1
    return np.asarray(down * (2 * width - 1) + right, dtype=np.int32)


def log_offsets(height: int, width: int) -> NDArray[np.float32]:
    """Signed logarithm of the offset query - key, for each row of the bias table.

    Returns:
        float32 [(2 * height - 1) * (2 * width - 1), 2]: vertical and horizontal.
    """
    down, right = np.meshgrid(np.arange(height - 1, -height, -1), np.arange(width - 1, -width, -1), indexing="ij")
    offsets = np.stack([down, right], axis=-1).reshape(-1, 2)
    return np.asarray(np.sign(offsets) * np.log1p(np.abs(offsets)), dtype=np.float32)


@keras.saving.register_keras_serializable("lungwise")
class RelativeAttention(layers.Layer):
    """Multi-head self-attention with relative positions.

    Args:
        width: output channels.
        dropout: dropout of the attention weights, in [0, 1).
        inner: channels of all heads together, a multiple of ``head_size``; 0 means ``width``.
        head_size: channels of one head.
        position: "table" for one learned bias for each offset and head (the paper's), "mlp" for biases that a small network
            computes from the logarithm of the offset (timm's "rmlp"), which fit any grid.
        position_width: hidden width of that network.

    Call with a feature map ``[batch, height, width, channels]``; returns the same grid with ``width`` channels.
    """

    def __init__(
        self,
        width: int,
        dropout: float = 0.0,
        inner: int = 0,
        head_size: int = 32,
        position: str = "table",
        position_width: int = 512,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.width, self.dropout, self.inner = width, dropout, inner or width
        self.head_size, self.position, self.position_width = head_size, position, position_width
        if self.inner % head_size:
            raise ValueError(f"The width of attention must be a multiple of the head size {head_size}, got {self.inner}.")
        self.heads = self.inner // head_size
        policy = self.dtype_policy
        self.qkv = layers.Dense(3 * self.inner, name="qkv", dtype=policy)
        self.project = layers.Dense(width, name="project", dtype=policy)
        self.drop = layers.Dropout(dropout, name="drop", dtype=policy)
        if position == "mlp":
            self.position_hidden = layers.Dense(position_width, activation="relu", name="position_hidden", dtype=policy)
            self.position_out = layers.Dense(self.heads, name="position_out", dtype=policy)

    def build(self, shape: tuple[int, int, int, int]) -> None:
        """Make the weights for one grid: ``shape`` is (batch, height, width, channels)."""
        _, self.rows, self.columns, channels = shape
        self.qkv.build((None, None, channels))
        self.project.build((None, None, self.inner))
        self.index = relative_index(self.rows, self.columns).reshape(-1)
        if self.position == "mlp":
            self.offsets = log_offsets(self.rows, self.columns)
            self.position_hidden.build((None, 2))
            self.position_out.build((None, self.position_width))
        else:
            table = (2 * self.rows - 1) * (2 * self.columns - 1)
            initializer = keras.initializers.TruncatedNormal(stddev=0.02)
            self.bias_table = self.add_weight(name="bias_table", shape=(table, self.heads), initializer=initializer)
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        """Attend over all positions of the grid."""
        query, key, value = self._parts(x)
        weights = self.drop(self._weights(query, key), training=training)
        mixed = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        mixed = ops.reshape(mixed, (-1, self.rows, self.columns, self.inner))
        return self.project(mixed)

    def attended(self, x: Any) -> Any:
        """How much each position looks at each other one, the mean over heads, for the same ``x`` as :meth:`call`.

        Returns:
            ``[batch, tokens, tokens]``, queries along the rows, each of which sums to 1.
        """
        query, key, _ = self._parts(x)
        return ops.mean(self._weights(query, key), axis=1)

    def _parts(self, x: Any) -> Any:
        """Queries, keys and values, each ``[batch, heads, tokens, head_size]``."""
        tokens = self.rows * self.columns
        x = ops.reshape(x, (-1, tokens, x.shape[-1]))
        qkv = ops.reshape(self.qkv(x), (-1, tokens, 3, self.heads, self.head_size))
        return (ops.transpose(part, (0, 2, 1, 3)) for part in ops.unstack(qkv, 3, axis=2))

    def _weights(self, query: Any, key: Any) -> Any:
        """Softmax of the scores, ``[batch, heads, tokens, tokens]``."""
        tokens = self.rows * self.columns
        scores = ops.matmul(query * self.head_size**-0.5, ops.transpose(key, (0, 1, 3, 2)))
        bias = ops.reshape(ops.take(self._table(), self.index, axis=0), (tokens, tokens, self.heads))
        scores = scores + ops.cast(ops.transpose(bias, (2, 0, 1)), scores.dtype)
        return ops.softmax(scores, axis=-1)

    def _table(self) -> Any:
        if self.position == "table":
            return self.bias_table
        return self.position_out(self.position_hidden(ops.convert_to_tensor(self.offsets)))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The input's grid with ``width`` channels."""
        return (*shape[:-1], self.width)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        own = ("width", "dropout", "inner", "head_size", "position", "position_width")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def attention(width: int, inputs: int, layout: Layout, name: str) -> RelativeAttention:
    """The attention of a block that turns ``inputs`` channels into ``width``, as the layout asks for it."""
    return RelativeAttention(
        width,
        inner=width if layout.attention_of == "output" else inputs,
        head_size=layout.head_size,
        position=layout.position,
        position_width=layout.position_width,
        name=name,
    )
