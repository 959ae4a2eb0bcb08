"""Batch norm with its activation, and other layers that have a faster way of training; see :mod:`lungwise.models.fused`."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from lungwise.models import fused
from lungwise.models.layers import ACTIVATIONS


@keras.saving.register_keras_serializable("lungwise")
class NormActivation(layers.BatchNormalization):
    """Batch normalisation, then an activation.

    Args:
        activation: a name of :data:`~lungwise.models.layers.ACTIVATIONS`, or "" for none.
        **kwargs: as for ``keras.layers.BatchNormalization``.
    """

    def __init__(self, activation: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activation

    def call(self, x: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise and activate ``[batch, height, width, channels]``."""
        if training and self.trainable and fused.worthwhile(x):
            y, mean, variance = fused.norm_activation(x, self.gamma, self.beta, self.epsilon, self.activation)
            self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1.0 - self.momentum))
            self.moving_variance.assign(self.moving_variance * self.momentum + variance * (1.0 - self.momentum))
            return y
        y = super().call(x, training=training, mask=mask)
        return ACTIVATIONS[self.activation](y) if self.activation else y

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "activation": self.activation}


@keras.saving.register_keras_serializable("lungwise")
class StridedDepthwise(layers.DepthwiseConv2D):
    """Depthwise convolution that halves even sides.

    Args:
        kernel_size: 3 or 5.
        centred: pad alike on all sides, as PyTorch does; otherwise as TensorFlow's "same" does, which on even sides puts one
            zero more below and to the right than above and to the left.
        **kwargs: name and the like.
    """

    def __init__(self, kernel_size: int, centred: bool, **kwargs: Any) -> None:
        own = {"kernel_size": kernel_size, "strides": 2, "padding": "valid", "use_bias": False}
        super().__init__(**{**kwargs, **own})
        self.centred = centred

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Convolve ``[batch, height, width, channels]``."""
        side = self.kernel_size[0]
        before = side // 2 if self.centred else (side - 2) // 2
        if training and fused.worthwhile(x):
            return fused.strided_depthwise(x, ops.cast(self.kernel, x.dtype), before)
        pad = (before, side - 2 - before)
        return super().call(ops.pad(x, ((0, 0), pad, pad, (0, 0))))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Half the sides."""
        return (shape[0], *(None if side is None else side // 2 for side in shape[1:3]), shape[3])

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "kernel_size": self.kernel_size[0], "centred": self.centred}


@keras.saving.register_keras_serializable("lungwise")
class Activation(layers.Layer):
    """An activation by name.

    Args:
        activation: a name of :data:`~lungwise.models.layers.ACTIVATIONS`.
    """

    def __init__(self, activation: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activation
        self.built = True

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Activate ``[batch, height, width, channels]``."""
        if training and fused.worthwhile(x):
            return fused.activated(x, self.activation)
        return ACTIVATIONS[self.activation](x)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "activation": self.activation}
