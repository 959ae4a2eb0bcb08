"""How the weights move: optimiser, learning rates of the stages, averaged weights, loss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lungwise.models.classifier import backbone_of
from lungwise.models.stages import stages
from lungwise.recipe import Optimiser, Recipe


class _StageRates:
    """Gives every variable a share of the learning rate (Howard and Ruder 2018, discriminative fine-tuning)."""

    shares: list[float]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move one variable by its own learning rate."""
        share = self.shares[self._get_variable_index(variable)]  # type: ignore[attr-defined]
        super().update_step(gradient, variable, learning_rate * share)  # type: ignore[misc]


class _AdamW(_StageRates, keras.optimizers.AdamW):
    pass


class _Adam(_StageRates, keras.optimizers.Adam):
    pass


class _RmsProp(_StageRates, keras.optimizers.RMSprop):
    pass


def optimiser(spec: Optimiser, model: keras.Model) -> keras.optimizers.Optimizer:
    """The recipe's optimiser, built for all variables of a model.

    Args:
        spec: the recipe's section ``optimiser``.
        model: a classifier with all its layers trainable.
    """
    options: dict[str, Any] = {"global_clipnorm": spec.clip_norm or None, "name": spec.name}
    if spec.ema:
        options |= {"use_ema": True, "ema_momentum": spec.ema}
    if spec.name == "adamw":
        made: Any = _AdamW(spec.learning_rate, spec.weight_decay, **options)
        # Decay pulls kernels only; scales, offsets and position biases are left alone, as is usual.
        made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "bias_table"])
    else:
        made = {"adam": _Adam, "rmsprop": _RmsProp}[spec.name](spec.learning_rate, **options)
    made.build(model.trainable_variables)
    made.shares = _shares(spec.layer_decay, model)
    return made


def _shares(decay: float, model: keras.Model) -> list[float]:
    """Of each trainable variable its share of the learning rate: 1 in the head, ``decay`` less with every stage below."""
    if decay == 1.0:
        return [1.0] * len(model.trainable_variables)
    found = stages(backbone_of(model))
    share = {
        id(variable): decay ** (len(found) - depth)
        for depth, stage in enumerate(found)
        for layer in stage
        for variable in layer.trainable_variables
    }
    return [share.get(id(variable), 1.0) for variable in model.trainable_variables]


def set_frozen(model: keras.Model, recipe: Recipe, epoch: int) -> None:
    """Let the stages learn that shall learn in an epoch, counted from 0; frozen batch norms keep their statistics."""
    count = recipe.model.freeze_stages
    if not count:
        return
    frozen = not 0 < recipe.fit.unfreeze_epoch <= epoch + 1
    layers = [layer for stage in stages(backbone_of(model))[:count] for layer in stage]
    if any(layer.trainable is frozen for layer in layers):
        for layer in layers:
            layer.trainable = not frozen
        model.make_train_function(force=True)


@contextmanager
def averaged(model: keras.Model, recipe: Recipe) -> Iterator[None]:
    """Inside, the model has its averaged weights, where the recipe keeps an average; afterwards its own again."""
    if not recipe.optimiser.ema or int(model.optimizer.iterations.numpy()) == 0:
        yield
        return
    # Only variables that learn have an average.
    variables = model.trainable_variables
    own: list[NDArray[Any]] = [np.asarray(keras.ops.convert_to_numpy(variable)) for variable in variables]
    model.optimizer.finalize_variable_values(variables)
    try:
        yield
    finally:
        for variable, value in zip(variables, own, strict=True):
            variable.assign(value)


def loss(recipe: Recipe, classes: int) -> Any:
    """Cross-entropy on logits against label columns or shares of classes, with label smoothing where asked for."""
    smoothing = recipe.fit.label_smoothing
    if smoothing == 0.0 and not recipe.data.mixup:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def smoothed(y: Any, logits: Any) -> Any:
        if not recipe.data.mixup:
            y = keras.ops.one_hot(keras.ops.cast(keras.ops.reshape(y, (-1,)), "int32"), classes)
        target = y * (1.0 - smoothing) + smoothing / classes
        return keras.ops.categorical_crossentropy(target, logits, from_logits=True)

    return smoothed
