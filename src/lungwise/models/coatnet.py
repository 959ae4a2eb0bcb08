"""CoAtNet backbones: two convolutional stages, two transformer stages (Dai et al. 2021, arXiv 2106.04803, table 3)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import keras
from keras import layers

from lungwise.models.arithmetic import PAPER_LOGIT_COST, multiply_adds, parameter_count
from lungwise.models.blocks import BLOCKS, batch_norm, layer_norm
from lungwise.models.layout import FAMILY, Layout

__all__ = ["FAMILY", "PAPER_LOGIT_COST", "CoAtNet", "Layout", "coatnet", "multiply_adds", "parameter_count"]


@keras.saving.register_keras_serializable("lungwise")
class CoAtNet(keras.Model):
    """A CoAtNet backbone: image in, normalised last feature map out.

    Args:
        image_shape: (height, width, channels); height and width are multiples of 32.
        layout: what the network is made of; a dictionary of a :class:`Layout`'s values is taken as well.
        drop_path: stochastic depth rate of the last block; earlier blocks have proportionally less.

    Call with float32 ``[batch, height, width, channels]``; returns ``[batch, height / 32, width / 32, widths[4]]``.

    Raises:
        ValueError: the sides are not multiples of 32.
    """

    stage_prefixes = (("stem_",), ("s1_",), ("s2_",), ("s3_",), ("s4_", "norm"))

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        layout: Layout | dict[str, Any],
        drop_path: float = 0.0,
        **kwargs: Any,
    ) -> None:
        check_sides(image_shape)
        layout = layout if isinstance(layout, Layout) else layout_of(layout)
        image = layers.Input(image_shape, name="image")
        x = _stem(image, layout)
        plan = layout.plan()
        for done, (name, kind, width, stride) in enumerate(plan):
            x = BLOCKS[kind](x, width, stride, layout, drop_path * done / max(len(plan) - 1, 1), name)
        x = layer_norm(x, "norm")
        super().__init__(image, x, **kwargs)
        self.image_shape, self.layout, self.drop_path = tuple(image_shape), layout, drop_path

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        own = {"image_shape": self.image_shape, "layout": asdict(self.layout), "drop_path": self.drop_path}
        return {"name": self.name, "trainable": self.trainable, **own}


def layout_of(values: dict[str, Any]) -> Layout:
    """The layout that ``asdict`` took apart; lists, as JSON has them, become tuples."""
    tuples: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return Layout(**tuples)


def check_sides(image_shape: tuple[int, int, int]) -> None:
    """Refuse sides that five halvings do not divide."""
    if image_shape[0] % 32 or image_shape[1] % 32:
        raise ValueError(f"Height and width of a CoAtNet's images must be multiples of 32, got {tuple(image_shape[:2])}.")


def _stem(image: Any, layout: Layout) -> Any:
    """S0: two 3x3 convolutions, the first with stride 2."""
    x = layers.ZeroPadding2D(1, name="stem_pad")(image)
    x = layers.Conv2D(layout.stem or layout.widths[0], 3, 2, use_bias=False, name="stem_conv1")(x)
    x = batch_norm(x, "stem_norm", layout.activation)
    return layers.Conv2D(layout.widths[0], 3, padding="same", use_bias=False, name="stem_conv2")(x)


def coatnet(name: str, image_shape: tuple[int, int, int], drop_path: float = 0.0) -> CoAtNet:
    """Build a named member of the family (see ``FAMILY``) with random weights."""
    return CoAtNet(image_shape, FAMILY[name], drop_path, name=name.replace("-", "_"))
