"""Training steps of a few layers in one pass over memory, for TensorFlow on CPUs; other backends take Keras' operations.

Keras composes batch norm and GELU of a dozen element-wise operations, each of which reads and writes the whole feature map; on
a CPU that costs more than the convolutions. Here batch norm is TensorFlow's fused kernel (oneDNN), activations are compiled by
XLA into one loop forward and one backward, and only the input of a norm is kept for the backward pass: the activation's own
input is made anew from it. Inference takes the plain operations, which is what goes into a bundle.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import keras

FROM = 50_000
"""Elements of a feature map, for one image, from which compiling pays."""


def worthwhile(x: Any) -> bool:
    """Whether a feature map ``[batch, height, width, channels]`` shall take this module's way: TensorFlow, and large."""
    sides = x.shape[1:]
    return keras.backend.backend() == "tensorflow" and None not in sides and math.prod(sides) >= FROM


def norm_activation(x: Any, gamma: Any, beta: Any, epsilon: float, activation: str) -> tuple[Any, Any, Any]:
    """Batch norm by the batch's own statistics, then an activation.

    Args:
        x: float32 or bfloat16 ``[batch, height, width, channels]``.
        gamma: float32 scale of each channel.
        beta: float32 offset of each channel.
        epsilon: added to the variance.
        activation: a name of ``SLOPES``, or "" for none.

    Returns:
        The activated map in the type of ``x``; mean and biased variance of each channel, float32, without gradients.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def run(x: Any, gamma: Any, beta: Any) -> Any:
        made = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=epsilon, is_training=True
        )

        # The kernel divides by n - 1; Keras and the pretrained networks here divide by n.
        count = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), tf.float32)
        variance = made.batch_variance * ((count - 1.0) / count)

        def gradient(dy: Any, *_: Any) -> tuple[Any, Any, Any]:
            if activation:
                slope = gamma * tf.math.rsqrt(variance + epsilon)
                dy = _compiled(_back(activation))(x, dy, slope, beta - made.batch_mean * slope)
            dx, dgamma, dbeta, _, _ = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=dy,
                x=x,
                scale=gamma,
                reserve_space_1=made.reserve_space_1,
                reserve_space_2=made.reserve_space_2,
                reserve_space_3=made.reserve_space_3,
                epsilon=epsilon,
                is_training=True,
            )
            return dx, dgamma, dbeta

        y = _compiled(ACTIVATE[activation])(made.y) if activation else made.y
        return (y, made.batch_mean, variance), gradient

    return run(x, tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta))  # type: ignore[no-any-return]


def activated(x: Any, activation: str) -> Any:
    """An activation of its own, compiled; keeps only ``x`` for the backward pass."""
    import tensorflow as tf

    @tf.custom_gradient
    def run(x: Any) -> Any:
        return _compiled(ACTIVATE[activation])(x), lambda dy: _compiled(_back(activation))(x, dy, 1.0, 0.0)

    return run(x)


def strided_depthwise(x: Any, kernel: Any, before: int) -> Any:
    """Depthwise convolution with stride 2 that halves the sides, with a fast gradient.

    oneDNN has no fast kernel for the input's gradient in bfloat16; a plain convolution of the spread-out gradient is one.

    Args:
        x: ``[batch, height, width, channels]`` with even sides.
        kernel: ``[k, k, channels, 1]`` in the type of ``x``.
        before: zeros above and to the left, less than k; as many follow below and to the right as are needed.
    """
    import tensorflow as tf

    side = kernel.shape[0]
    padding = _both_sides(before, side - 2 - before)

    @tf.custom_gradient
    def run(x: Any, kernel: Any) -> Any:
        y = tf.nn.depthwise_conv2d(x, kernel, (1, 2, 2, 1), padding)

        def gradient(dy: Any) -> tuple[Any, Any]:
            back = _both_sides(side - 1 - before, before)
            dx = tf.nn.depthwise_conv2d(_spread(dy), kernel[::-1, ::-1], (1, 1, 1, 1), back)
            dkernel = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                input=x,
                filter_sizes=tf.shape(kernel),
                out_backprop=dy,
                strides=[1, 2, 2, 1],
                padding="EXPLICIT",
                explicit_paddings=[zeros for pair in padding for zeros in pair],
            )
            return dx, dkernel

        return y, gradient

    return run(x, kernel)


def _both_sides(before: int, after: int) -> list[list[int]]:
    return [[0, 0], [before, after], [before, after], [0, 0]]


def _spread(x: Any) -> Any:
    """Zeros between the pixels: twice the height and width."""
    import tensorflow as tf

    count, height, width, channels = tf.unstack(tf.shape(x))
    cells = tf.reshape(x, (count, height, 1, width, 1, channels))
    cells = tf.pad(cells, ((0, 0), (0, 0), (0, 1), (0, 0), (0, 1), (0, 0)))
    return tf.reshape(cells, (count, 2 * height, 2 * width, channels))


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    import tensorflow as tf

    return tf.function(function, jit_compile=True)  # type: ignore[no-any-return]


def _gelu(x: Any) -> Any:
    import tensorflow as tf

    wide = tf.cast(x, tf.float32)
    return tf.cast(0.5 * wide * (1.0 + tf.math.erf(wide * math.sqrt(0.5))), x.dtype)


def _silu(x: Any) -> Any:
    import tensorflow as tf

    wide = tf.cast(x, tf.float32)
    return tf.cast(wide / (1.0 + tf.exp(-wide)), x.dtype)


def _relu(x: Any) -> Any:
    import tensorflow as tf

    return tf.maximum(x, tf.zeros([], x.dtype))


def _relu6(x: Any) -> Any:
    import tensorflow as tf

    return tf.clip_by_value(x, tf.zeros([], x.dtype), tf.constant(6, x.dtype))


def _gelu_slope(x: Any) -> Any:
    import tensorflow as tf

    normal = tf.exp(-0.5 * x * x) * (1.0 / math.sqrt(2.0 * math.pi))
    return 0.5 * (1.0 + tf.math.erf(x * math.sqrt(0.5))) + x * normal


def _silu_slope(x: Any) -> Any:
    import tensorflow as tf

    gate = 1.0 / (1.0 + tf.exp(-x))
    return gate * (1.0 + x * (1.0 - gate))


def _relu_slope(x: Any) -> Any:
    import tensorflow as tf

    return tf.cast(x > 0.0, tf.float32)


def _relu6_slope(x: Any) -> Any:
    import tensorflow as tf

    return tf.cast((x > 0.0) & (x < 6.0), tf.float32)


ACTIVATE = {"gelu": _gelu, "silu": _silu, "relu": _relu, "relu6": _relu6}
"""Each activation, in the type of its input, computed in float32."""
SLOPES = {"gelu": _gelu_slope, "silu": _silu_slope, "relu": _relu_slope, "relu6": _relu6_slope}
"""The derivative of each activation, float32."""


@cache
def _back(activation: str) -> Callable[..., Any]:
    """The gradient of ``activation(slope x + offset)`` by its argument."""

    def back(x: Any, dy: Any, slope: Any, offset: Any) -> Any:
        import tensorflow as tf

        wide = tf.cast(x, tf.float32) * slope + offset
        return tf.cast(tf.cast(dy, tf.float32) * SLOPES[activation](wide), x.dtype)

    return back
