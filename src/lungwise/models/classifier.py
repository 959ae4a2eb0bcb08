"""Backbone and head put together: grey image in, logits out, with the feature map and embedding at hand."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from lungwise.models.cnn import KaggleCnn
from lungwise.models.coatnet import coatnet
from lungwise.models.coatnet_lite import CoAtNetLite
from lungwise.models.efficientnet import EfficientNetLite0
from lungwise.models.layers import DropPath, Standardise
from lungwise.models.pretrained import load_pretrained, made_for_photographs
from lungwise.models.resnet import resnet50v2
from lungwise.models.rollout import rollout_of
from lungwise.recipe import Head, Model

PHOTOGRAPH_DEVIATION = 0.5
"""About the deviation of a photograph's values between -1 and 1, which networks from ImageNet expect."""


def build_backbone(spec: Model) -> keras.Model:
    """The backbone that a recipe names, for images of its size and channels, with random weights."""
    shape = (spec.image_size, spec.image_size, spec.channels)
    if spec.backbone == "resnet50v2":
        return resnet50v2(shape)
    if spec.backbone == "kaggle-cnn":
        return KaggleCnn(shape, name="kaggle_cnn")
    if spec.backbone == "efficientnet-lite0":
        return EfficientNetLite0(shape, drop_path=spec.drop_path, name="efficientnet_lite0")
    if spec.backbone == "coatnet-lite":
        return CoAtNetLite(shape, drop_path=spec.drop_path, name="coatnet_lite")
    return coatnet(spec.backbone, shape, spec.drop_path)


def build_classifier(spec: Model, classes: int, *, pretrained: bool = True) -> keras.Model:
    """A classifier as a recipe describes it.

    The head returns logits; probabilities are made in one place, so that training and export cannot disagree.

    Args:
        spec: the recipe's section ``model``.
        classes: number of classes, at least 2.
        pretrained: load the weights that the recipe names; False when others follow at once.

    Returns:
        A model from float32 ``[batch, size, size, 1]`` to logits ``[batch, classes]`` in float32. Its layer "features"
        gives the last feature map and "embedding" the pooled one.

    Raises:
        WeightsError: the weights do not fit or cannot be had.
        MissingExtraError: the package that brings them is not installed.
    """
    backbone = build_backbone(spec)
    if spec.frozen:
        _freeze(backbone)
    image = layers.Input((spec.image_size, spec.image_size, 1), name="image")
    x = image
    if spec.standardise:
        deviation = PHOTOGRAPH_DEVIATION if made_for_photographs(spec.backbone) else 1.0
        x = Standardise(deviation=deviation, name="standardise", dtype="float32")(x)
    if spec.channels == 3:
        x = layers.Concatenate(name="grey_to_colour")([x] * 3)
    features = layers.Identity(name="features", dtype="float32")(backbone(x))
    model = keras.Model(image, _head(features, spec.head, classes), name="classifier")
    if pretrained:
        load_pretrained(backbone, spec.backbone, spec.weights)
    return model


def _freeze(backbone: keras.Model) -> None:
    """Let a backbone neither learn nor drop: batch norms keep their statistics, and the same image gives the same features.

    Calling it with ``training=False`` is not enough: within a model, Keras hands the model's own mode down to every layer.
    """
    backbone.trainable = False
    for layer in backbone.layers:
        if isinstance(layer, layers.Dropout | DropPath):
            layer.rate = 0.0


def _head(features: Any, spec: Head, classes: int) -> Any:
    """Pool, Dense, ReLU, batch norm, dropout, Dense: simple enough for a closed-form Grad-CAM."""
    pool = layers.GlobalAveragePooling2D if spec.pool == "average" else layers.Flatten
    x = pool(name="embedding")(features)
    if spec.width:
        x = layers.Dense(spec.width, activation="relu", name="hidden", dtype="float32")(x)
        if spec.batch_norm:
            x = layers.BatchNormalization(name="hidden_norm", dtype="float32")(x)
    x = layers.Dropout(spec.dropout, name="dropout", dtype="float32")(x)
    return layers.Dense(classes, name="logits", dtype="float32")(x)


def backbone_of(model: keras.Model) -> keras.Model:
    """The backbone within a classifier that :func:`build_classifier` made."""
    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


def with_features(model: keras.Model) -> keras.Model:
    """The same model with further outputs: last feature map (``features``), ``embedding`` and, after attention, its roll-out.

    The output ``attention`` is float32 ``[batch, last positions, first positions]``; see
    :class:`lungwise.models.rollout.Rollout`. Networks without attention lack it.
    """
    backbone = next((layer for layer in model.layers if isinstance(layer, keras.Model)), model)
    rolled = rollout_of(backbone)
    found = {layer.name: layer.output for layer in model.layers}
    if rolled is not None and backbone is not model:
        # Only the backbone's last map is part of the outer graph, so the graph is drawn again around one that gives both.
        both = keras.Model(backbone.input, [backbone.output, rolled], name="backbone_with_attention")

        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if layer is backbone:
                found[layer.name], found["attention"] = both(*args)
            else:
                found[layer.name] = layer(*args, **kwargs)
            return found[layer.name]

        bare = keras.Model(model.input, model.output)  # without optimiser and loss, which would be made anew
        model = keras.models.clone_model(bare, clone_function=lambda layer: layer, call_function=call)
    elif rolled is not None:
        found["attention"] = rolled
    names = ("logits", "features", "embedding", *(["attention"] if "attention" in found else []))
    return keras.Model(model.input, {name: found[name] for name in names}, name="explained")
