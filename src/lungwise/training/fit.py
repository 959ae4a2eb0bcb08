"""Training: recipe and data in, run directory out. Calling it again after an interruption continues the run."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from lungwise.answer import softmax
from lungwise.data.batches import TrainingBatches
from lungwise.data.store import PreparedData, Subset
from lungwise.errors import DataError, RunError
from lungwise.files import write_json
from lungwise.imaging.preprocess import Preprocess
from lungwise.models.classifier import build_classifier
from lungwise.recipe import Optimiser, Recipe
from lungwise.training.predict import predict_logits, write_predictions
from lungwise.training.run import Run, environment, start_run
from lungwise.training.schedule import best_epoch, plateau_rate, should_stop, step_rate

History = list[dict[str, Any]]


_STREAM = re.compile(r"seed_generator(_\d+)?")


class Watcher(Protocol):
    """Who is told how training goes; see :class:`Silent`."""

    def started(self, run: Run, first_epoch: int, steps: int) -> None:
        """Training begins with this epoch (from 0)."""

    def step(self, epoch: int, step: int, logs: dict[str, float]) -> None:
        """One step is done."""

    def epoch(self, record: dict[str, Any], best: bool) -> None:
        """One epoch is done and saved."""


class Silent:
    """A watcher that does nothing."""

    def started(self, run: Run, first_epoch: int, steps: int) -> None:
        """See :class:`Watcher`."""

    def step(self, epoch: int, step: int, logs: dict[str, float]) -> None:
        """See :class:`Watcher`."""

    def epoch(self, record: dict[str, Any], best: bool) -> None:
        """See :class:`Watcher`."""


def train(data: PreparedData, recipe: Recipe, out: Path | str, watcher: Watcher | None = None) -> Run:
    """Train one model.

    Args:
        data: a prepared data set with a training and a validation part.
        recipe: how to train.
        out: the run directory, new or begun by the same recipe and data.
        watcher: who is told how it goes.

    Returns:
        The finished run; predictions of all parts come from the epoch that is best on validation.

    Raises:
        DataError: a part lacks a class or is too small.
        RunError: the directory does not fit, or the loss stops being a number.
        WeightsError: the weights that the recipe names cannot be had.
    """
    _check_parts(data)
    run = start_run(out, recipe, data)
    if run.finished:
        return run
    batches = TrainingBatches(data.train, recipe, Preprocess(**run.data["preprocess"]))
    model = build(run)
    history = _restore(run, model)
    _fit(run, model, data, batches, history, watcher or Silent())
    return _finish(run, model, data, history)


def build(run: Run) -> keras.Model:
    """The run's model, seeded and compiled, with fresh weights."""
    recipe = run.recipe
    keras.utils.set_random_seed(recipe.seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.fit.precision)
    try:
        model = build_classifier(recipe.model, len(run.labels))
    finally:
        keras.config.set_dtype_policy(before)
    # XLA compiles convolutions for this family to code several times slower than oneDNN's on a CPU.
    model.compile(_optimiser(recipe.optimiser), _loss(recipe, len(run.labels)), metrics=["accuracy"], jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def load_model(run: Run, checkpoint: str = "best") -> keras.Model:
    """The run's trained model, as it was when it wrote its predictions.

    Raises:
        RunError: there is no such checkpoint, or it does not fit.
    """
    saved = run.load(checkpoint)
    if saved is None:
        raise RunError(f"{run.folder} has no finished epoch yet; train it first: lungwise train DATA --out {run.folder}.")
    model = build(run)
    _assign(_variables(model, optimiser=checkpoint == "last"), saved[0], run)
    return model


def _check_parts(data: PreparedData) -> None:
    for name in ("train", "validation"):
        found = data.facts["counts"].get(name, {})
        absent = [label for label in data.labels if label not in found]
        if absent:
            raise DataError(
                f"Training needs images of every class in the {name} part, but it has none of {', '.join(absent)}; prepare "
                "the data set again with more images or with --resplit."
            )


def _optimiser(spec: Optimiser) -> keras.optimizers.Optimizer:
    clip = spec.clip_norm or None
    if spec.name == "adamw":
        optimiser = keras.optimizers.AdamW(spec.learning_rate, spec.weight_decay, global_clipnorm=clip, name=spec.name)
        # Decay pulls kernels only; scales, offsets and position biases are left alone, as is usual.
        optimiser.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "bias_table"])
        return optimiser
    kinds = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop}
    return kinds[spec.name](spec.learning_rate, global_clipnorm=clip, name=spec.name)


def _loss(recipe: Recipe, classes: int) -> Any:
    """Cross-entropy on logits against integer labels, with label smoothing where the recipe asks for it."""
    smoothing = recipe.fit.label_smoothing
    if smoothing == 0.0:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def smoothed(y: Any, logits: Any) -> Any:
        target = keras.ops.one_hot(keras.ops.cast(keras.ops.reshape(y, (-1,)), "int32"), classes)
        target = target * (1.0 - smoothing) + smoothing / classes
        return keras.ops.categorical_crossentropy(target, logits, from_logits=True)

    return smoothed


def _variables(model: keras.Model, *, optimiser: bool) -> dict[str, Any]:
    """Every variable under a name that tells where it belongs; numbered, because names may repeat."""
    # Keras counts the names of random streams over the whole process, so that count says nothing of the place.
    named = {f"model/{i}/{_STREAM.sub('seed', variable.path)}": variable for i, variable in enumerate(model.variables)}
    if optimiser:
        named |= {f"optimiser/{i}/{variable.path}": variable for i, variable in enumerate(model.optimizer.variables)}
    return named


def _assign(variables: dict[str, Any], arrays: dict[str, NDArray[Any]], run: Run) -> None:
    missing, unused = sorted(variables.keys() - arrays.keys()), sorted(arrays.keys() - variables.keys())
    if missing or unused:
        raise RunError(
            f"The checkpoint of {run.folder} does not fit this version's model: only in the model {missing[:3]}, only in "
            f"the file {unused[:3]}; train again into another directory."
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])


def _restore(run: Run, model: keras.Model) -> History:
    """Continue from the last checkpoint, if there is one."""
    saved = run.load("last")
    if saved is None:
        return []
    arrays, history = saved
    _assign(_variables(model, optimiser=True), arrays, run)
    run.write_history(history)
    return history


def _fit(
    run: Run, model: keras.Model, data: PreparedData, batches: TrainingBatches, history: History, watcher: Watcher
) -> None:
    """Epochs until the recipe's number is reached or validation stops improving."""
    recipe, monitor = run.recipe, run.recipe.fit.monitor
    watcher.started(run, len(history), len(batches))
    while len(history) < recipe.fit.epochs and not should_stop(history, recipe.fit):
        epoch, begin = len(history), time.perf_counter()
        logs = _one_epoch(run, model, batches, epoch, plateau_rate(history, recipe), watcher)
        seconds = time.perf_counter() - begin
        record: dict[str, Any] = {"epoch": epoch + 1, **logs, **_validate(run, model, data.validation)}
        record |= {"seconds": round(seconds, 2), "images_per_second": round(len(batches) * batches.batch_size / seconds, 2)}
        history.append(record)
        best = best_epoch(history, monitor) == len(history)
        if best:
            run.save("best", _arrays(_variables(model, optimiser=False)), history)
        run.save("last", _arrays(_variables(model, optimiser=True)), history)
        run.write_history(history)
        watcher.epoch(record, best)


def _one_epoch(
    run: Run, model: keras.Model, batches: TrainingBatches, epoch: int, rate: float, watcher: Watcher
) -> dict[str, float]:
    seen: list[tuple[float, float]] = []
    for step, (x, y, weight) in enumerate(batches.epoch(epoch)):
        now = step_rate(run.recipe, rate, epoch + step / len(batches))
        model.optimizer.learning_rate.assign(now)
        logs = {key: float(value) for key, value in model.train_on_batch(x, y, weight, return_dict=True).items()}
        seen.append((logs["loss"], logs["accuracy"]))
        if not math.isfinite(logs["loss"]):
            kept = f"epoch {epoch} is kept in {run.folder / 'checkpoints'}" if epoch else "no epoch was finished"
            raise RunError(
                f"The loss must stay a number, but it became {logs['loss']} in epoch {epoch + 1}, step {step + 1}; {kept}; "
                "lower optimiser.learning_rate or set optimiser.clip_norm."
            )
        watcher.step(epoch, step, logs)
    loss, accuracy = np.mean(seen, axis=0)
    return {"loss": float(loss), "accuracy": float(accuracy), "learning_rate": now}


def _validate(run: Run, model: keras.Model, part: Subset) -> dict[str, float]:
    """Loss and accuracy on unweighted, unaugmented validation images."""
    probabilities = softmax(predict_logits(model, part, Preprocess(**run.data["preprocess"])))
    own = probabilities[np.arange(len(part)), part.y]
    return {
        "val_loss": float(-np.log(np.maximum(own, 1e-12)).mean()),
        "val_accuracy": float((probabilities.argmax(axis=1) == part.y).mean()),
    }


def _arrays(variables: dict[str, Any]) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(keras.ops.convert_to_numpy(variable)) for name, variable in variables.items()}


def _finish(run: Run, model: keras.Model, data: PreparedData, history: History) -> Run:
    """Predict every part with the best weights, then record the environment."""
    saved = run.load("best")
    if saved is None:
        raise RunError(f"{run.folder} has no best epoch; train again into another directory.")
    _assign(_variables(model, optimiser=False), saved[0], run)
    seconds = sum(record["seconds"] for record in history)
    facts = {"recipe": run.recipe.name, "description": run.recipe.description, "kept_epoch": len(saved[1])}
    write_json(run.folder / "environment.json", {**facts, **environment(), "training_seconds": round(seconds, 1)})
    write_predictions(run, model, data)
    return run
