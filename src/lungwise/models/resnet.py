"""ResNet50V2 as Keras has it."""

from __future__ import annotations

import keras
from keras import layers


def resnet50v2(image_shape: tuple[int, int, int]) -> keras.Model:
    """ResNet50V2 without its top, with random weights (He et al. 2016, "Identity Mappings in Deep Residual Networks").

    Its ImageNet weights were learnt on values between -1 and 1 (``input_range``).

    Args:
        image_shape: (height, width, channels).

    Returns:
        A model from float32 ``[batch, height, width, channels]`` to ``[batch, height / 32, width / 32, 2048]``.
    """
    image = layers.Input(image_shape, name="image")
    made = keras.applications.ResNet50V2(include_top=False, weights=None, input_tensor=image)
    # Keras' own takes a list of one image; ours takes the image, as every other backbone does.
    return keras.Model(image, made.output, name="resnet50v2")
