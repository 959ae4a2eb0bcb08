"""Films and heat maps of a report's worst mistakes: where the report, prepared pixels and a network meet."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lungwise.data.store import PreparedData, open_data
from lungwise.errors import DataError
from lungwise.evaluation.mistakes import Mistake, Pictures
from lungwise.inference.explain import grad_cam, overlay
from lungwise.inference.predictor import Predictor
from lungwise.training.run import Run, single_run

Grey = NDArray[np.uint8]
HeatMaps = Callable[[Grey, Sequence[int]], Sequence[NDArray[np.float32]]]
"""Stored squares uint8 [n, stored, stored] and columns to each image's Grad-CAM of its column."""

_SIDE, _QUALITY = 200, 85
"""A heat map gets a scale of 24 px beside it, and is 224 px wide then."""


def pictures_of(predictor: Predictor, data: PreparedData) -> Pictures:
    """Films and heat maps of a bundle that was asked about a prepared data set."""
    return _pictures(data, predictor.labels, predictor.heat_maps)


def run_pictures(folder: Path, *, heatmaps: bool = False) -> Pictures | None:
    """Films of a run's mistakes from the data set that it was trained on; None where that is gone or was prepared anew.

    Args:
        folder: a run directory, or that of a cross-validation.
        heatmaps: load the run's network with Keras and draw heat maps beside the films.

    Raises:
        RunError: heat maps are wanted of a directory that does not hold one model.
    """
    try:
        facts = json.loads((folder / "data.json").read_text(encoding="utf-8"))
        record = folder / "crossval.json"
        own = json.loads(record.read_text(encoding="utf-8"))["data_fingerprint"] if record.exists() else facts["fingerprint"]
        data = open_data(facts["folder"])
    except (OSError, ValueError, KeyError, DataError):
        return None  # A run outlives its data; and evaluate_run says in a sentence what is wrong with the directory.
    if data.fingerprint != own:
        return None
    return _pictures(data, tuple(data.labels), _of_keras(single_run(folder)) if heatmaps else None)


def _of_keras(run: Run) -> HeatMaps:
    """Heat maps of the run's own network, which is loaded when the first is asked for."""

    def maps(squares: Grey, columns: Sequence[int]) -> Sequence[NDArray[np.float32]]:
        from lungwise.bundle.head import head_of
        from lungwise.imaging.preprocess import Preprocess, to_input
        from lungwise.models.classifier import with_features
        from lungwise.training.fit import load_model

        model = with_features(load_model(run))
        spec, head, pool = Preprocess(**run.data["preprocess"]), head_of(model), run.recipe.model.head.pool
        found = model.predict_on_batch(np.stack([to_input(square, spec) for square in squares]))
        features, embedding = np.asarray(found["features"]), np.asarray(found["embedding"])
        return [grad_cam(features[row], embedding[row], head, pool, column) for row, column in enumerate(columns)]

    return maps


def _pictures(data: PreparedData, labels: Sequence[str], maps: HeatMaps | None) -> Pictures:
    def pictures(mistakes: Sequence[Mistake]) -> Mapping[str, Sequence[bytes]]:
        there = data.part("train", "validation", "test", "none")
        rows = dict(zip(there.manifest["image"].to_list(), there.rows.tolist(), strict=True))
        known = [mistake for mistake in mistakes if mistake.image in rows]
        if not known:
            return {}
        squares = np.stack([np.asarray(data.pixels[rows[mistake.image]]) for mistake in known])
        films = [np.asarray(cv2.resize(square, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8) for square in squares]
        found = {mistake.image: [_jpeg(film)] for mistake, film in zip(known, films, strict=True)}
        heats = maps(squares, [list(labels).index(mistake.decided) for mistake in known]) if maps else []
        for mistake, film, heat in zip(known, films, heats, strict=False):
            # The square is what the network saw, so the map covers it whole, however the film became a square.
            found[mistake.image].append(_jpeg(overlay(film, heat)))
        return found

    return pictures


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes())
