"""Small layers of our networks that Keras lacks, written with ``keras.ops`` only so that every backend runs them."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("lungwise")
def gelu(x: Any) -> Any:
    """Exact GELU written with ``erf``: Keras' own exports to ONNX as an operator (Erfc) that converters lack."""
    return x * 0.5 * (1.0 + ops.erf(x / math.sqrt(2.0)))


ACTIVATIONS = {
    "gelu": gelu,
    "silu": keras.activations.silu,
    "relu": keras.activations.relu,
    "relu6": keras.activations.relu6,
}


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
class LayerScale(layers.Layer):
    """Scale each channel of a residual branch by a learned factor that starts small (Touvron et al. 2021).

    Args:
        start: the factors' first value.
    """

    def __init__(self, start: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start = start

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make one factor for each channel."""
        self.gamma = self.add_weight(name="gamma", shape=(shape[-1],), initializer=keras.initializers.Constant(self.start))
        self.built = True

    def call(self, x: Any) -> Any:
        """Scale ``[..., channels]``."""
        return x * self.gamma

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "start": self.start}


@keras.saving.register_keras_serializable("lungwise")
class Standardise(layers.Layer):
    """Give each image the same mean and deviation over height and width, so that the network does not see the exposure.

    Sums run along rows first and along columns then: one sum over all pixels loses a digit in float32, and each
    inference engine loses another one.

    Args:
        epsilon: added to the variance, for images that are all one grey.
        deviation: the deviation that every image gets; its mean is 0. Networks that learnt on photographs between -1
            and 1 expect about 0.5.
    """

    def __init__(self, epsilon: float = 1e-3, deviation: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.deviation = deviation
        self.built = True

    def call(self, x: Any) -> Any:
        """Standardise ``[batch, height, width, channels]``."""
        centred = x - _plane_mean(x)
        standard = centred / ops.sqrt(_plane_mean(ops.square(centred)) + self.epsilon)
        return standard if self.deviation == 1.0 else standard * self.deviation

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "epsilon": self.epsilon, "deviation": self.deviation}


def _plane_mean(x: Any) -> Any:
    return ops.mean(ops.mean(x, axis=2, keepdims=True), axis=1, keepdims=True)
