"""Predictions of a Keras model on prepared images, for validation and for the run's predictions file."""

from __future__ import annotations

import keras
import numpy as np
import polars as pl
from numpy.typing import NDArray

from lungwise.answer import softmax
from lungwise.data.batches import plain_batches
from lungwise.data.store import PreparedData, Subset
from lungwise.errors import RunError
from lungwise.files import write_whole
from lungwise.imaging.preprocess import Preprocess
from lungwise.training.features import FrozenClassifier
from lungwise.training.run import Run

BATCH = 64


def predict_logits(model: keras.Model, part: Subset, spec: Preprocess) -> NDArray[np.float32]:
    """Logits of every image of a part: float32 [n, classes]."""
    batches = model.batches(part, BATCH) if isinstance(model, FrozenClassifier) else plain_batches(part, spec, BATCH)
    outputs = [np.asarray(model.predict_on_batch(batch)) for batch in batches]
    return np.concatenate(outputs) if outputs else np.zeros((0, model.output_shape[-1]), np.float32)


def predictions(run: Run, model: keras.Model, data: PreparedData) -> pl.DataFrame:
    """Probabilities of every readable image that takes part.

    Returns:
        Columns image, patient, source, split, label and ``prob_<label>`` for each class.
    """
    part = data.part("train", "validation", "test")
    probabilities = softmax(predict_logits(model, part, Preprocess(**run.data["preprocess"])))
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
