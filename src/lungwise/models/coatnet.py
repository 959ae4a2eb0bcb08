"""CoAtNet backbones: two convolutional stages, two transformer stages (Dai et al. 2021, arXiv 2106.04803, table 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from lungwise.models.blocks import ACTIVATIONS, batch_norm, mbconv, transformer


@dataclass(frozen=True)
class Layout:
    """Blocks and widths of the stages S0 to S4, and the activation between them."""

    blocks: tuple[int, int, int, int, int]
    widths: tuple[int, int, int, int, int]
    activation: str = "gelu"


FAMILY = {
    "coatnet0": Layout((2, 2, 3, 5, 2), (64, 96, 192, 384, 768)),
    # Ours, for CPUs: CoAtNet's shape at a quarter of the width, swish instead of GELU, which costs half as much here.
    "coatnet-pico": Layout((2, 2, 2, 4, 2), (32, 48, 96, 192, 384), activation="silu"),
}
"""Named members of the family."""


@keras.saving.register_keras_serializable("lungwise")
class CoAtNet(keras.Model):
    """A CoAtNet backbone: image in, normalised last feature map out.

    Args:
        image_shape: (height, width, channels); height and width are multiples of 32.
        blocks: number of blocks of S0 (the stem's convolutions, always 2) to S4.
        widths: channels of S0 to S4; those of S3 and S4 are multiples of the head size 32.
        activation: "gelu" (the paper's), "silu" or "relu".
        pool: "max" (the paper's) or "avg", the pooling of strided shortcuts.
        drop_path: stochastic depth rate of the last block; earlier blocks have proportionally less.

    Call with float32 ``[batch, height, width, channels]``; returns ``[batch, height / 32, width / 32, widths[4]]``.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        blocks: tuple[int, int, int, int, int],
        widths: tuple[int, int, int, int, int],
        activation: str = "gelu",
        pool: str = "max",
        drop_path: float = 0.0,
        **kwargs: Any,
    ) -> None:
        image = layers.Input(image_shape, name="image")
        x = _stem(image, widths[0], activation)
        total, done = sum(blocks[1:]), 0
        for stage in range(1, 5):
            block = mbconv if stage <= 2 else transformer
            for index in range(blocks[stage]):
                drop = drop_path * done / max(total - 1, 1)
                stride = 2 if index == 0 else 1
                x = block(x, widths[stage], stride, activation, pool, drop, f"s{stage}_b{index}")
                done += 1
        x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
        super().__init__(image, x, **kwargs)
        self.image_shape, self.blocks, self.widths = tuple(image_shape), tuple(blocks), tuple(widths)
        self.activation, self.pool, self.drop_path = activation, pool, drop_path

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "image_shape": self.image_shape,
            "blocks": self.blocks,
            "widths": self.widths,
            "activation": self.activation,
            "pool": self.pool,
            "drop_path": self.drop_path,
        }


def _stem(image: Any, width: int, activation: str) -> Any:
    """S0: two 3x3 convolutions, the first with stride 2."""
    x = layers.ZeroPadding2D(1, name="stem_pad")(image)
    x = layers.Conv2D(width, 3, 2, use_bias=False, name="stem_conv1")(x)
    x = layers.Activation(ACTIVATIONS[activation], name="stem_act")(batch_norm(x, "stem_norm"))
    return layers.Conv2D(width, 3, padding="same", use_bias=False, name="stem_conv2")(x)


def coatnet(name: str, image_shape: tuple[int, int, int], drop_path: float = 0.0) -> CoAtNet:
    """Build a named member of the family (see ``FAMILY``) with random weights."""
    layout = FAMILY[name]
    return CoAtNet(
        image_shape, layout.blocks, layout.widths, layout.activation, drop_path=drop_path, name=name.replace("-", "_")
    )
