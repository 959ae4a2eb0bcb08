"""CoAtNet-Lite: CoAtNet's two transformer stages on convolutional stages that already know ImageNet."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from lungwise.models.blocks import layer_norm, transformer
from lungwise.models.coatnet import FAMILY, check_sides
from lungwise.models.efficientnet import trunk

TRUNK_STAGES = 5
"""Stages of EfficientNet-Lite0 that are kept: up to 112 channels at a sixteenth of the image's side."""
STYLE = FAMILY["coatnet-pico"]
"""How the transformer blocks are made: with swish, as in our other networks for CPUs."""


@keras.saving.register_keras_serializable("lungwise")
class CoAtNetLite(keras.Model):
    """A CoAtNet whose S0 to S2 are EfficientNet-Lite0's first stages, and whose S3 and S4 are relative attention.

    A CoAtNet from scratch does not learn convolutions from a few hundred films; these are learnt already. S3 attends on the
    trunk's own grid (a sixteenth of the side), S4 on half of it.

    Args:
        image_shape: (height, width, channels); height and width are multiples of 32.
        widths: channels of S3 and S4, multiples of 32.
        blocks: number of blocks of S3 and S4.
        drop_path: stochastic depth rate of the last block; earlier blocks have proportionally less.

    Call with float32 ``[batch, height, width, channels]``; returns ``[batch, height / 32, width / 32, widths[1]]``. Values as
    for :class:`~lungwise.models.efficientnet.EfficientNetLite0`.

    Raises:
        ValueError: the sides are not multiples of 32.
    """

    stage_prefixes = (("stem_", "e1_"), ("e2_", "e3_"), ("e4_", "e5_"), ("s3_",), ("s4_", "norm"))

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        widths: tuple[int, int] = (192, 384),
        blocks: tuple[int, int] = (3, 2),
        drop_path: float = 0.0,
        **kwargs: Any,
    ) -> None:
        check_sides(image_shape)
        image = layers.Input(image_shape, name="image")
        x = trunk(image, TRUNK_STAGES, drop_path / 2)
        total, done = sum(blocks), 0
        for stage, width, count, first in zip((3, 4), widths, blocks, (1, 2), strict=True):
            for index in range(count):
                drop = drop_path * (0.5 + 0.5 * done / max(total - 1, 1))
                x = transformer(x, width, first if index == 0 else 1, STYLE, drop, f"s{stage}_b{index}")
                done += 1
        super().__init__(image, layer_norm(x, "norm"), **kwargs)
        self.image_shape, self.drop_path = tuple(image_shape), drop_path
        self.widths, self.blocks = tuple(widths), tuple(blocks)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        own = {name: getattr(self, name) for name in ("image_shape", "widths", "blocks", "drop_path")}
        return {"name": self.name, "trainable": self.trainable, **own}
