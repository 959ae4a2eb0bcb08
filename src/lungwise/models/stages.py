"""The layers of a backbone stage by stage, so that training can freeze some or let them learn at rates of their own."""

from __future__ import annotations

import keras

_RESNET50V2 = (("conv1_",), ("conv2_",), ("conv3_",), ("conv4_",), ("conv5_", "post_"))


def stages(backbone: keras.Model) -> list[list[keras.layers.Layer]]:
    """A backbone's layers in five stages, from the image to the last feature map.

    Every layer with weights is in exactly one stage. To freeze the first three::

        for layer in itertools.chain(*stages(backbone)[:3]):
            layer.trainable = False

    Args:
        backbone: one of ours, or Keras' ResNet50V2.

    Returns:
        Five lists, each the layers of one stage: for a CoAtNet the stem and S1 to S4.

    Raises:
        ValueError: the backbone's layers do not follow a known naming.
    """
    prefixes = getattr(backbone, "stage_prefixes", _RESNET50V2)
    found: list[list[keras.layers.Layer]] = [
        [layer for layer in backbone.layers if layer.name.startswith(prefix)] for prefix in prefixes
    ]
    known = {layer.name for stage in found for layer in stage}
    left = [layer.name for layer in backbone.layers if layer.weights and layer.name not in known]
    if left or not all(found):
        raise ValueError(f"The stages of a backbone must hold all its weights, but {backbone.name} has others: {left[:3]}.")
    return found
