"""Predictions of a Keras model on prepared images, for validation and for the run's predictions file."""

from __future__ import annotations

import math
from collections.abc import Iterator

import keras
import numpy as np
import polars as pl
from numpy.typing import NDArray

from lungwise.answer import softmax
from lungwise.data.batches import check_size, plain_batches
from lungwise.data.store import PreparedData, Subset
from lungwise.errors import RunError
from lungwise.files import write_whole
from lungwise.imaging.preprocess import Preprocess
from lungwise.imaging.views import mean_logits, to_inputs
from lungwise.training.features import FrozenClassifier
from lungwise.training.run import Run

BATCH = 64
"""Inputs of one forward pass; views count as inputs, so that memory does not grow with them."""


def predict_logits(model: keras.Model, part: Subset, spec: Preprocess, views: int = 1) -> NDArray[np.float32]:
    """Logits of every image of a part, averaged over its views.

    Args:
        model: a classifier. One with a frozen backbone has embeddings of the first view only: for more views, the images
            themselves go through the whole model.
        part: the images.
        spec: from stored squares to inputs.
        views: how many; see :mod:`lungwise.imaging.views`.

    Returns:
        float32 [n, classes].
    """
    if isinstance(model, FrozenClassifier) and views > 1:
        model = model.whole
    if isinstance(model, FrozenClassifier):
        batches = model.batches(part, BATCH)
    else:
        batches = plain_batches(part, spec, BATCH) if views == 1 else _view_batches(part, spec, views)
    outputs = [np.asarray(model.predict_on_batch(batch)) for batch in batches]
    return mean_logits(np.concatenate(outputs), views) if outputs else np.zeros((0, model.output_shape[-1]), np.float32)


def _view_batches(part: Subset, spec: Preprocess, views: int) -> Iterator[NDArray[np.float32]]:
    """All views of some images at a time, in order: float32 [images * views, size, size, 1]."""
    check_size(part.data.pixels, spec.size)
    each = max(1, BATCH // views)
    for start in range(0, len(part), each):
        squares = [np.asarray(part.data.pixels[row]) for row in part.rows[start : start + each]]
        yield np.concatenate([to_inputs(square, spec, views) for square in squares])


def validate(model: keras.Model, part: Subset, spec: Preprocess) -> dict[str, float]:
    """Loss and accuracy on unweighted, unaugmented images, for the choice of the epoch.

    One view of each image must do, whatever the recipe's ``predict.views``: every epoch would take as many passes.

    Args:
        model: a classifier.
        part: the validation images.
        spec: from stored squares to inputs.

    Returns:
        "val_loss", which is NaN where a logit is no number, and "val_accuracy".
    """
    logits = predict_logits(model, part, spec)
    probabilities = softmax(logits)
    own = np.maximum(probabilities[np.arange(len(part)), part.y], 1e-12)
    return {
        "val_loss": float(-np.log(own).mean()) if np.isfinite(logits).all() else math.nan,
        "val_accuracy": float((probabilities.argmax(axis=1) == part.y).mean()),
    }


def predictions(run: Run, model: keras.Model, data: PreparedData) -> pl.DataFrame:
    """Probabilities of every readable image that takes part, from as many views as the recipe says.

    All parts are asked alike, so that thresholds and calibration are chosen on what a bundle will answer.

    Returns:
        Columns image, patient, source, split, label and ``prob_<label>`` for each class.
    """
    part, spec = data.part("train", "validation", "test"), Preprocess(**run.data["preprocess"])
    probabilities = softmax(predict_logits(model, part, spec, run.recipe.predict.views))
    if not np.isfinite(probabilities).all():
        bad = part.manifest["image"][int(np.flatnonzero(~np.isfinite(probabilities).all(axis=1))[0])]
        raise RunError(
            f"A prediction must be a number, but it is not for {bad}; lower optimiser.learning_rate and train again."
        )
    columns = {f"prob_{name}": probabilities[:, column] for column, name in enumerate(run.labels)}
    return part.manifest.select("image", "patient", "source", "split", "label").with_columns(
        pl.Series(name, values) for name, values in columns.items()
    )


def write_predictions(run: Run, model: keras.Model, data: PreparedData) -> None:
    """Write ``predictions.parquet``; its presence marks the run as finished."""
    write_whole(run.folder / "predictions.parquet", predictions(run, model, data).write_parquet)
