"""Training: recipe and data in, run directory out. Calling it again after an interruption continues the run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from lungwise.data.batches import check_size
from lungwise.data.store import PreparedData
from lungwise.errors import DataError, RunError, TrainingStoppedError
from lungwise.files import write_json
from lungwise.imaging.preprocess import Preprocess
from lungwise.models.classifier import build_classifier
from lungwise.recipe import Recipe
from lungwise.training.backend import one_operation_at_a_time
from lungwise.training.features import discard, keeps_features, on_features
from lungwise.training.optimise import averaged, loss, optimiser, set_frozen
from lungwise.training.predict import validate, write_predictions
from lungwise.training.progressive import Learner, at_size, grow, image_batches, shrunk
from lungwise.training.run import Progress, Run, environment, start_run
from lungwise.training.schedule import best_epoch, image_size, plateau_rate, should_stop, small_epochs, step_rate
from lungwise.training.state import restore, to_arrays, variables

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
        DataError: a part lacks a class or is too small, or the images were stored smaller than the recipe wants them.
        RunError: the directory does not fit, or the loss stops being a number.
        WeightsError: the weights that the recipe names cannot be had.
        TrainingStoppedError: ``stop`` answered True; the same call continues.
    """
    _check_parts(data)
    check_size(data.pixels, recipe.model.image_size)  # here, because training may begin with smaller images
    run = start_run(out, recipe, data)
    if run.finished:
        return run
    one_operation_at_a_time()
    learner, history = _begin(run, data, watcher, stop)
    _fit(run, learner, data, history, watcher or Silent(), stop)
    finished = _finish(run, learner.model, data, history)
    discard(run)
    return finished


def _begin(run: Run, data: PreparedData, watcher: Watcher | None, stop: Callable[[], bool]) -> tuple[Learner, History]:
    """What learns, as the last checkpoint left it or fresh, and the epochs behind it."""
    saved = run.load("last")
    arrays, history = saved or ({}, [])
    learner = _learner(run, data, len(history), watcher, stop)
    if saved:
        restore(learner.model, arrays, run, optimiser=True)
        run.write_history(history)
    return learner, history


def _learner(run: Run, data: PreparedData, epoch: int, watcher: Watcher | None, stop: Callable[[], bool]) -> Learner:
    """The model that steps and what it steps on: images, or where the backbone is frozen what it makes of them."""
    if keeps_features(run.recipe):
        return Learner(run, *on_features(run, build(run), data, watcher, stop))
    now = at_size(run, image_size(run.recipe, epoch))
    if now == run or run.recipe.model.weights == "none":
        return Learner(now, build(now), image_batches(now, data))
    return Learner(now, shrunk(build(run), now, partial(build, pretrained=False)), image_batches(now, data))


def build(run: Run, *, pretrained: bool = True, precision: str = "") -> keras.Model:
    """The run's model, seeded and compiled, with fresh weights.

    Args:
        run: the run directory.
        pretrained: load the weights that the recipe begins with; False where a checkpoint follows.
        precision: as in ``fit.precision``, which it replaces.
    """
    recipe = run.recipe
    keras.utils.set_random_seed(recipe.seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision or recipe.fit.precision)
    try:
        model = build_classifier(recipe.model, len(run.labels), pretrained=pretrained)
    finally:
        keras.config.set_dtype_policy(before)
    # XLA compiles convolutions for this family to code several times slower than oneDNN's on a CPU.
    made = optimiser(recipe.optimiser, model)
    model.compile(made, loss(recipe, len(run.labels)), metrics=["accuracy"], jit_compile=False)
    return model


def load_model(run: Run, checkpoint: str = "best") -> keras.Model:
    """The run's trained model, as it was when it wrote its predictions: in float32, whatever it was trained in.

    Raises:
        RunError: there is no such checkpoint, or it does not fit.
    """
    saved = run.load(checkpoint)
    if saved is None:
        at = f" with images of {run.recipe.model.image_size} px" if run.recipe.fit.progressive else ""
        raise RunError(f"{run.folder} has no finished epoch{at} yet; train it first: lungwise train DATA --out {run.folder}.")
    model = build(run, pretrained=False, precision="float32")
    restore(model, saved[0], run, optimiser=checkpoint == "last")
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


def _fit(run: Run, learner: Learner, data: PreparedData, history: History, watcher: Watcher, stop: Callable[[], bool]) -> None:
    """Epochs until the recipe's number is reached or validation stops improving; the images grow where the recipe says so."""
    recipe = run.recipe
    watcher.started(run, len(history), len(learner.batches))
    begun = run.progress()
    while len(history) < recipe.fit.epochs and not should_stop(history, recipe.fit):
        epoch = len(history)
        if (size := image_size(recipe, epoch)) != learner.size:
            grow(learner, at_size(run, size), data, partial(build, pretrained=False))
        set_frozen(learner.model, recipe, epoch)
        done = begun if begun.epoch == epoch else Progress(epoch)
        _one_epoch(learner, history, done, watcher, stop)
        best = _end_epoch(learner, data, history, done)
        run.save("last", to_arrays(variables(learner.model, optimiser=True)), history)
        run.write_history(history)
        watcher.epoch(history[-1], best)


def _end_epoch(learner: Learner, data: PreparedData, history: History, done: Progress) -> bool:
    """Validate, append the epoch to the history, and keep its weights if it is the best one at the final image size."""
    run, model, batches = learner.run, learner.model, learner.batches
    mean_loss, accuracy = np.mean(done.seen, axis=0).tolist()
    record: dict[str, Any] = {"epoch": done.epoch + 1, "loss": mean_loss, "accuracy": accuracy, "learning_rate": done.rate}
    if run.recipe.fit.progressive:
        record["image_size"] = run.recipe.model.image_size
    rate = len(batches) * batches.batch_size / max(done.seconds, 1e-9)
    with averaged(model, run.recipe):
        record |= validate(model, data.validation, Preprocess(**run.data["preprocess"]))
        _check_finite("validation loss", record["val_loss"], run, done.epoch, "validation")
        record |= {"seconds": round(done.seconds, 2), "images_per_second": round(rate, 2)}
        history.append(record)
        final = len(history) > small_epochs(run.recipe.fit)
        best = final and best_epoch(history, run.recipe.fit.monitor) == len(history)
        if best:
            run.save("best", to_arrays(variables(model, optimiser=False)), history)
    return best


def _one_epoch(learner: Learner, history: History, done: Progress, watcher: Watcher, stop: Callable[[], bool]) -> None:
    """Bring an epoch to its end from where ``done`` stands; saves in the middle now and then, and when asked to stop."""
    run, model, batches = learner.run, learner.model, learner.batches
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


def _finish(run: Run, model: keras.Model, data: PreparedData, history: History) -> Run:
    """Predict every part with the best weights, then record the environment."""
    saved = run.load("best")
    if saved is None:
        raise RunError(f"{run.folder} has no best epoch; train again into another directory.")
    if run.recipe.fit.precision == "float32":
        restore(model, saved[0], run, optimiser=False)
    else:
        # Weights are float32 in any case; a bundle computes so, and so must the predictions that its threshold comes from.
        model = load_model(run)
    seconds = sum(record["seconds"] for record in history)
    facts = {"recipe": run.recipe.name, "description": run.recipe.description, "kept_epoch": len(saved[1])}
    write_json(run.folder / "environment.json", {**facts, **environment(), "training_seconds": round(seconds, 1)})
    write_predictions(run, model, data)
    return run
