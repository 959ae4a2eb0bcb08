"""Training: recipe and data in, run directory out. Calling it again after an interruption continues the run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from lungwise.answer import softmax
from lungwise.data.batches import TrainingBatches
from lungwise.data.store import PreparedData, Subset
from lungwise.errors import DataError, RunError, TrainingStoppedError
from lungwise.files import write_json
from lungwise.imaging.preprocess import Preprocess
from lungwise.models.classifier import build_classifier
from lungwise.recipe import Recipe
from lungwise.training.backend import one_operation_at_a_time
from lungwise.training.features import discard, keeps_features, on_features
from lungwise.training.optimise import averaged, loss, optimiser, set_frozen
from lungwise.training.predict import predict_logits, write_predictions
from lungwise.training.run import Progress, Run, environment, start_run
from lungwise.training.schedule import best_epoch, plateau_rate, should_stop, step_rate
from lungwise.training.state import assign, to_arrays, variables

History = list[dict[str, Any]]
SAVE_SECONDS = 300.0
"""Longest work in the middle of an epoch that a killed process loses."""


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


def train(
    data: PreparedData,
    recipe: Recipe,
    out: Path | str,
    watcher: Watcher | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Train one model.

    Args:
        data: a prepared data set with a training and a validation part.
        recipe: how to train.
        out: the run directory, new or begun by the same recipe and data.
        watcher: who is told how it goes.
        stop: asked after every step; when it answers True, a checkpoint is written and training ends.

    Returns:
        The finished run; predictions of all parts come from the epoch that is best on validation.

    Raises:
        DataError: a part lacks a class or is too small.
        RunError: the directory does not fit, or the loss stops being a number.
        WeightsError: the weights that the recipe names cannot be had.
        TrainingStoppedError: ``stop`` answered True; the same call continues.
    """
    _check_parts(data)
    run = start_run(out, recipe, data)
    if run.finished:
        return run
    one_operation_at_a_time()
    model, batches = _learner(run, data, watcher, stop)
    history = _restore(run, model)
    _fit(run, model, data, batches, history, watcher or Silent(), stop)
    finished = _finish(run, model, data, history)
    discard(run)
    return finished


def _learner(
    run: Run, data: PreparedData, watcher: Watcher | None, stop: Callable[[], bool]
) -> tuple[keras.Model, TrainingBatches]:
    """The model that steps and what it steps on: images, or where the backbone is frozen what it makes of them."""
    model = build(run)
    if keeps_features(run.recipe):
        return on_features(run, model, data, watcher, stop)
    return model, TrainingBatches(data.train, run.recipe, Preprocess(**run.data["preprocess"]))


def build(run: Run, *, pretrained: bool = True) -> keras.Model:
    """The run's model, seeded and compiled, with fresh weights.

    Args:
        run: the run directory.
        pretrained: load the weights that the recipe begins with; False where a checkpoint follows.
    """
    recipe = run.recipe
    keras.utils.set_random_seed(recipe.seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.fit.precision)
    try:
        model = build_classifier(recipe.model, len(run.labels), pretrained=pretrained)
    finally:
        keras.config.set_dtype_policy(before)
    # XLA compiles convolutions for this family to code several times slower than oneDNN's on a CPU.
    made = optimiser(recipe.optimiser, model)
    model.compile(made, loss(recipe, len(run.labels)), metrics=["accuracy"], jit_compile=False)
    return model


def load_model(run: Run, checkpoint: str = "best") -> keras.Model:
    """The run's trained model, as it was when it wrote its predictions.

    Raises:
        RunError: there is no such checkpoint, or it does not fit.
    """
    saved = run.load(checkpoint)
    if saved is None:
        raise RunError(f"{run.folder} has no finished epoch yet; train it first: lungwise train DATA --out {run.folder}.")
    model = build(run, pretrained=False)
    assign(variables(model, optimiser=checkpoint == "last"), saved[0], run)
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


def _restore(run: Run, model: keras.Model) -> History:
    """Continue from the last checkpoint, if there is one."""
    saved = run.load("last")
    if saved is None:
        return []
    arrays, history = saved
    assign(variables(model, optimiser=True), arrays, run)
    run.write_history(history)
    return history


def _fit(
    run: Run,
    model: keras.Model,
    data: PreparedData,
    batches: TrainingBatches,
    history: History,
    watcher: Watcher,
    stop: Callable[[], bool],
) -> None:
    """Epochs until the recipe's number is reached or validation stops improving."""
    recipe, monitor = run.recipe, run.recipe.fit.monitor
    watcher.started(run, len(history), len(batches))
    begun = run.progress()
    while len(history) < recipe.fit.epochs and not should_stop(history, recipe.fit):
        epoch = len(history)
        set_frozen(model, recipe, epoch)
        done = begun if begun.epoch == epoch else Progress(epoch)
        _one_epoch(run, model, batches, history, done, watcher, stop)
        mean_loss, accuracy = np.mean(done.seen, axis=0).tolist()
        record: dict[str, Any] = {"epoch": epoch + 1, "loss": mean_loss, "accuracy": accuracy, "learning_rate": done.rate}
        rate = len(batches) * batches.batch_size / max(done.seconds, 1e-9)
        with averaged(model, recipe):
            record |= _validate(run, model, data.validation, epoch)
            record |= {"seconds": round(done.seconds, 2), "images_per_second": round(rate, 2)}
            history.append(record)
            best = best_epoch(history, monitor) == len(history)
            if best:
                run.save("best", to_arrays(variables(model, optimiser=False)), history)
        run.save("last", to_arrays(variables(model, optimiser=True)), history)
        run.write_history(history)
        watcher.epoch(record, best)


def _one_epoch(
    run: Run,
    model: keras.Model,
    batches: TrainingBatches,
    history: History,
    done: Progress,
    watcher: Watcher,
    stop: Callable[[], bool],
) -> None:
    """Bring an epoch to its end from where ``done`` stands; saves in the middle now and then, and when asked to stop."""
    epoch, rate = len(history), plateau_rate(history, run.recipe)
    saved = time.perf_counter()
    begin = saved - done.seconds
    for step, (x, y, weight) in enumerate(batches.epoch(epoch, done.steps), start=done.steps):
        done.rate = step_rate(run.recipe, rate, epoch + step / len(batches))
        model.optimizer.learning_rate.assign(done.rate)
        logs = {key: float(value) for key, value in model.train_on_batch(x, y, weight, return_dict=True).items()}
        _check_finite("loss", logs["loss"], run, epoch, f"step {step + 1}")
        done.seen.append((logs["loss"], logs["accuracy"]))
        done.seconds = time.perf_counter() - begin
        watcher.step(epoch, step, logs)
        stopping = stop()
        if stopping or (done.steps < len(batches) and time.perf_counter() - saved > SAVE_SECONDS):
            run.save("last", to_arrays(variables(model, optimiser=True)), history, done)
            saved = time.perf_counter()
        if stopping:
            raise TrainingStoppedError(
                f"Training was stopped in epoch {epoch + 1} after step {step + 1} of {len(batches)}; call it again to go on."
            )


def _check_finite(what: str, value: float, run: Run, epoch: int, where: str) -> None:
    if not math.isfinite(value):
        kept = f"epoch {epoch} is kept in {run.folder / 'checkpoints'}" if epoch else "no epoch was finished"
        raise RunError(
            f"The {what} must stay a number, but it became {value} in epoch {epoch + 1}, {where}; {kept}; "
            "lower optimiser.learning_rate or set optimiser.clip_norm."
        )


def _validate(run: Run, model: keras.Model, part: Subset, epoch: int) -> dict[str, float]:
    """Loss and accuracy on unweighted, unaugmented validation images."""
    logits = predict_logits(model, part, Preprocess(**run.data["preprocess"]))
    _check_finite("validation loss", float(logits.sum()), run, epoch, "validation")
    probabilities = softmax(logits)
    own = probabilities[np.arange(len(part)), part.y]
    return {
        "val_loss": float(-np.log(np.maximum(own, 1e-12)).mean()),
        "val_accuracy": float((probabilities.argmax(axis=1) == part.y).mean()),
    }


def _finish(run: Run, model: keras.Model, data: PreparedData, history: History) -> Run:
    """Predict every part with the best weights, then record the environment."""
    saved = run.load("best")
    if saved is None:
        raise RunError(f"{run.folder} has no best epoch; train again into another directory.")
    assign(variables(model, optimiser=False), saved[0], run)
    seconds = sum(record["seconds"] for record in history)
    facts = {"recipe": run.recipe.name, "description": run.recipe.description, "kept_epoch": len(saved[1])}
    write_json(run.folder / "environment.json", {**facts, **environment(), "training_seconds": round(seconds, 1)})
    write_predictions(run, model, data)
    return run
