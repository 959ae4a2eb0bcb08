"""The small convolutional network of the Kaggle notebook that the original project started from."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers


@keras.saving.register_keras_serializable("lungwise")
class KaggleCnn(keras.Model):
    """Five blocks of convolution, batch norm and max pooling; image in, last feature map out.

    Args:
        image_shape: (height, width, channels).
        filters: channels of the blocks.
        dropouts: dropout after each block's convolution.

    Call with float32 ``[batch, height, width, channels]``; returns ``[batch, height / 32, width / 32, filters[-1]]``,
    rounded up.
    """

    @property
    def stage_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Beginnings of the layer names of each block."""
        return tuple((f"block{index}_",) for index in range(1, len(self.filters) + 1))

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        filters: tuple[int, ...] = (32, 64, 64, 128, 256),
        dropouts: tuple[float, ...] = (0.0, 0.1, 0.0, 0.2, 0.2),
        **kwargs: Any,
    ) -> None:
        image = layers.Input(image_shape, name="image")
        x = image
        for index, (width, dropout) in enumerate(zip(filters, dropouts, strict=True), start=1):
            x = layers.Conv2D(width, 3, padding="same", activation="relu", name=f"block{index}_conv")(x)
            x = layers.Dropout(dropout, name=f"block{index}_dropout")(x)
            x = layers.BatchNormalization(name=f"block{index}_norm")(x)
            x = layers.MaxPooling2D(2, padding="same", name=f"block{index}_pool")(x)
        super().__init__(image, x, **kwargs)
        self.image_shape, self.filters, self.dropouts = tuple(image_shape), tuple(filters), tuple(dropouts)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "image_shape": self.image_shape,
            "filters": self.filters,
            "dropouts": self.dropouts,
        }
