"""Attention roll-out: what every position of the last map was mixed from (Abnar & Zuidema 2020, arXiv 2005.00928)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from lungwise.models.attention import RelativeAttention


class Rollout(layers.Layer):
    """Multiply the attention of consecutive transformer blocks to shares of the first one's positions.

    Half of a position comes from itself, through the block's residual, the other half from where its heads look on average.
    Where a stage halves the grid, four positions become one. The products are small, so nothing but the result need leave the
    network: with 14 x 14 and 7 x 7 positions, 196 x 196 and 49 x 49 matrices.

    Args:
        attentions: the blocks' attention layers in order; they stay the network's own.

    Call with the list of the attentions' inputs; returns ``[batch, last positions, first positions]`` in float32, rows that
    sum to 1.
    """

    def __init__(self, attentions: Sequence[RelativeAttention], **kwargs: Any) -> None:
        super().__init__(**kwargs, dtype="float32", autocast=False)
        self.attentions = list(attentions)
        self.built = True

    def call(self, inputs: Sequence[Any]) -> Any:
        """The roll-out of the attentions' inputs."""
        shares, grid = None, (0, 0)
        for layer, x in zip(self.attentions, inputs, strict=True):
            mixed = ops.cast(layer.attended(x), "float32")
            mixed = 0.5 * (mixed + ops.eye(mixed.shape[-1]))
            if shares is not None and grid != (layer.rows, layer.columns):
                shares = _halved(shares, grid)
            shares, grid = mixed if shares is None else ops.matmul(mixed, shares), (layer.rows, layer.columns)
        return shares

    def compute_output_shape(self, shapes: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Positions of the last grid by those of the first."""
        first, last = shapes[0], shapes[-1]
        return (first[0], _positions(last), _positions(first))


def _positions(shape: tuple[int | None, ...]) -> int:
    return int(shape[1] or 0) * int(shape[2] or 0)


def _halved(shares: Any, grid: tuple[int, int]) -> Any:
    """Mean over squares of 2 x 2 positions of ``[batch, rows * columns, ...]``."""
    rows, columns, width = grid[0] // 2, grid[1] // 2, shares.shape[-1]
    squares = ops.mean(ops.reshape(shares, (-1, rows, 2, columns, 2, width)), axis=(2, 4))
    return ops.reshape(squares, (-1, rows * columns, width))


def rollout_of(backbone: keras.Model) -> Any:
    """The roll-out of a backbone's attention as a tensor of its graph; None where it has no attention."""
    attentions = [layer for layer in backbone.layers if isinstance(layer, RelativeAttention)]
    return Rollout(attentions, name="rollout")([layer.input for layer in attentions]) if attentions else None
