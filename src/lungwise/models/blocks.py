"""The two building blocks of the CoAtNet family: plain functions from tensor to tensor, every weight in a visible layer.

Feature maps are ``[batch, height, width, channels]`` throughout. What the paper leaves open, and what timm's pretrained
networks do otherwise, are values of a :class:`~lungwise.models.layout.Layout`, not copies of these functions.

Source: Dai et al., "CoAtNet: Marrying Convolution and Attention for All Data Sizes", 2021, arXiv 2106.04803.
"""

from __future__ import annotations

from typing import Any

from keras import layers

from lungwise.models.attention import attention
from lungwise.models.layers import ACTIVATIONS, DropPath, LayerScale
from lungwise.models.layout import Layout
from lungwise.models.norm import Activation, NormActivation, StridedDepthwise

EXPANSION = 4
"""Hidden width of MBConv and of the feed-forward network, as a multiple of the block's width (paper, table 3)."""
SQUEEZE = 0.25
"""Hidden width of squeeze-and-excitation, as a multiple of the block's width."""


def batch_norm(x: Any, name: str, activation: str = "", epsilon: float = 1e-5) -> Any:
    """Batch normalisation, with the constants that the pretrained checkpoints of the family use, and activation."""
    return NormActivation(activation, momentum=0.9, epsilon=epsilon, name=name)(x)


def layer_norm(x: Any, name: str) -> Any:
    """Layer normalisation over the channels."""
    return layers.LayerNormalization(epsilon=1e-6, name=name)(x)


def halve(x: Any, pool: str, name: str) -> Any:
    """Pool the map by 2."""
    pooling = layers.MaxPooling2D if pool == "max" else layers.AveragePooling2D
    return pooling(2, padding="same", name=name)(x)


def squeeze_excite(x: Any, hidden: int, activation: str, name: str) -> Any:
    """Scale each channel by a gate computed from the map's mean (Hu et al. 2018), every weight in a visible layer."""
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    gate = layers.Conv2D(hidden, 1, activation=ACTIVATIONS[activation], name=f"{name}_reduce")(gate)
    gate = layers.Conv2D(x.shape[-1], 1, activation="sigmoid", name=f"{name}_expand")(gate)
    return layers.Multiply(name=f"{name}_scale")([x, gate])


def shortcut(x: Any, width: int, stride: int, pool: str, bias: bool, name: str) -> Any:
    """Residual path: pool by 2 where the block strides, project to ``width`` channels where they differ."""
    if stride == 2:
        x = halve(x, pool, f"{name}_shortcut_pool")
    if x.shape[-1] == width:
        return x
    return layers.Conv2D(width, 1, use_bias=bias, name=f"{name}_shortcut_project")(x)


def depthwise(x: Any, stride: int, name: str) -> Any:
    """Depthwise 3x3 convolution; the strided one is padded alike on all sides, as PyTorch does it."""
    if stride == 2:
        return StridedDepthwise(3, centred=True, name=f"{name}_depthwise")(x)
    return layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_depthwise")(x)


def mbconv(x: Any, width: int, stride: int, layout: Layout, drop: float, name: str) -> Any:
    """Pre-normalised inverted bottleneck with squeeze-and-excitation (stages S1 and S2).

    Args:
        x: feature map.
        width: output channels.
        stride: 1 or 2.
        layout: which variant of the block.
        drop: stochastic depth rate of the branch.
        name: prefix of every layer.
    """
    hidden = EXPANSION * (width if layout.hidden_of == "output" else x.shape[-1])
    squeeze = int(SQUEEZE * (width if layout.hidden_of == "output" else hidden))
    at = {place: stride if layout.stride_at == place else 1 for place in ("pool", "expand", "depthwise")}

    residual = shortcut(x, width, stride, layout.pool, layout.output_bias, name)
    x = batch_norm(x, f"{name}_pre_norm", layout.activation if layout.pre_activation else "")
    if at["pool"] == 2:
        x = halve(x, "avg", f"{name}_pool")
    x = layers.Conv2D(hidden, 1, at["expand"], use_bias=False, name=f"{name}_expand")(x)
    x = batch_norm(x, f"{name}_expand_norm", layout.activation)
    x = depthwise(x, at["depthwise"], name)
    if layout.squeeze_early:
        x = squeeze_excite(x, squeeze, layout.squeeze_activation, f"{name}_se")
    x = batch_norm(x, f"{name}_depthwise_norm", layout.activation)
    if not layout.squeeze_early:
        x = squeeze_excite(x, squeeze, layout.squeeze_activation, f"{name}_se")
    x = layers.Conv2D(width, 1, use_bias=layout.output_bias, name=f"{name}_project")(x)
    return layers.Add(name=f"{name}_add")([residual, DropPath(drop, name=f"{name}_drop")(x)])


def transformer(x: Any, width: int, stride: int, layout: Layout, drop: float, name: str) -> Any:
    """Relative attention and feed-forward network, both pre-normalised with a residual (stages S3 and S4).

    Arguments as for :func:`mbconv`. A stride of 2 pools the attention's input and the shortcut alike.
    """
    residual = shortcut(x, width, stride, layout.pool, layout.shortcut_bias, name)
    inputs = x.shape[-1]
    x = layer_norm(x, f"{name}_attention_norm")
    if stride == 2:
        x = halve(x, layout.pool, f"{name}_attention_pool")
    x = attention(width, inputs, layout, f"{name}_attention")(x)
    x = _join(residual, x, layout, drop, f"{name}_attention")
    hidden = layer_norm(x, f"{name}_mlp_norm")
    hidden = layers.Dense(EXPANSION * width, name=f"{name}_mlp_expand")(hidden)
    hidden = Activation(layout.mlp_activation, name=f"{name}_mlp_act")(hidden)
    hidden = layers.Dense(width, name=f"{name}_mlp_project")(hidden)
    return _join(x, hidden, layout, drop, f"{name}_mlp")


def _join(residual: Any, branch: Any, layout: Layout, drop: float, name: str) -> Any:
    if layout.layer_scale:
        branch = LayerScale(layout.layer_scale, name=f"{name}_scale")(branch)
    return layers.Add(name=f"{name}_add")([residual, DropPath(drop, name=f"{name}_drop")(branch)])


BLOCKS = {"mbconv": mbconv, "transformer": transformer}
"""The kinds of block that a layout's plan names."""
