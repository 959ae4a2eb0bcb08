"""ResNet50V2 from Keras, with ImageNet weights or none."""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers

from lungwise.errors import WeightsError
from lungwise.models.weights import RESNET50V2_MD5, RESNET50V2_URL, fetch


def resnet50v2(image_shape: tuple[int, int, int], weights: str = "none") -> keras.Model:
    """ResNet50V2 without its top (He et al. 2016, "Identity Mappings in Deep Residual Networks").

    Args:
        image_shape: (height, width, channels); 3 channels for ImageNet weights.
        weights: "none" for random ones, "imagenet" to download Keras' once, or the path of the ``..._notop.h5`` file
            that was fetched elsewhere.

    Returns:
        A model from float32 ``[batch, height, width, channels]`` to ``[batch, height / 32, width / 32, 2048]``.

    Raises:
        WeightsError: the weights cannot be downloaded or do not fit.
    """
    image = layers.Input(image_shape, name="image")
    model = keras.applications.ResNet50V2(include_top=False, weights=None, input_tensor=image, name="resnet50v2")
    if weights == "imagenet":
        instead = "go online, set model.weights to the path of a copy, or start from random weights with model.weights=none"
        weights = str(fetch(RESNET50V2_URL, RESNET50V2_MD5, instead))
    if weights != "none":
        load_into(model, Path(weights))
    return model


def load_into(model: keras.Model, path: Path) -> None:
    """Load a Keras weights file into a model; every misfit is a WeightsError."""
    if not path.is_file():
        raise WeightsError(f"model.weights must be 'none', 'imagenet' or a file, but there is no file {path}.")
    try:
        model.load_weights(path)
    except (ValueError, OSError) as cause:
        raise WeightsError(f"The weights in {path} do not fit the backbone {model.name}: {cause}") from cause
