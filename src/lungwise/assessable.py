"""What an export fits so that a bundle can say "cannot assess": what is usual, how far from it, and which checks count."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from lungwise.bundle.spec import BundleSpec, Check, NoveltySpec
from lungwise.data.store import PreparedData, Subset
from lungwise.errors import BundleError, require
from lungwise.imaging.views import to_inputs
from lungwise.inference.assess import looks
from lungwise.inference.engine import Engine
from lungwise.inference.engines import DEFAULT, open_engine
from lungwise.inference.novelty import Novelty, pooled

MOST = 2000
"""Images of a part that are looked at, at most; as many of each class as there are."""
FEWEST = 20
"""Images of a part without which no limit is fitted: it would say little."""
DIRECTIONS = 32
"""Widest directions that are kept; ``docs/cannot-assess.md`` compares with more and with other distances."""
QUANTILE, MARGIN = 0.99, 1.1
"""The limit is so many times the distance within which this share of the validation images lies. The margin is for films of
other days and wards, which lie further out than a validation part that was drawn from the same collection."""
MOST_FAILED = 0.05
"""An image check that finds fault with more than this share of the validation images does not suit the collection."""
CHECKS: tuple[Check, ...] = get_args(Check)
_BATCH = 16


def fit_assessable(onnx: bytes, spec: BundleSpec, data: PreparedData | None) -> tuple[NoveltySpec, Novelty | None]:
    """Fit what tells images that the model cannot assess.

    Args:
        onnx: the network.
        spec: how images become its inputs.
        data: the data set that it learnt from, or None where that is not at hand; then every image check counts.

    Returns:
        The block of the specification, and the reference; None, with a note that says why, where there is none.

    Raises:
        BundleError: a feature that the network gives is not a number.
    """
    if data is None:
        return NoveltySpec(checks=CHECKS, note="the data that it learnt from were not at hand, or had no validation part"), None
    train, validation = evenly(data.train), evenly(data.validation)
    failed = _failed(validation)
    off = {check: float(found.mean()) for check, found in failed.items() if found.sum() > MOST_FAILED * len(found)}
    turned_away = np.any([found for check, found in failed.items() if check not in off], axis=0)
    few = [len(part) for part in (train, validation) if len(part) < FEWEST]
    novelty, limit, note = None, None, f"a limit needs {FEWEST} images of each part, one has {few[0]}" if few else ""
    if not few:
        engine = open_engine(onnx, DEFAULT)
        novelty = fit(_features(engine, spec, train), train.y)
        distances = novelty.distances(_features(engine, spec, validation))
        limit = float(np.quantile(distances, QUANTILE, method="higher")) * MARGIN
        turned_away |= distances > limit
    return NoveltySpec(
        checks=tuple(check for check in CHECKS if check not in off),
        off=off,
        limit=limit,
        fitted=len(train) if novelty else 0,
        validation=len(validation),
        rejected=float(turned_away.mean()) if len(validation) else None,
        note=note,
    ), novelty


def fit(features: NDArray[np.floating[Any]], y: NDArray[np.integer[Any]]) -> Novelty:
    """The cloud of n images' features around the mean of their class.

    The covariance is shrunk (Ledoit and Wolf, 2004), so that fewer images than channels are no obstacle.

    Args:
        features: [n, channels].
        y: [n], the class of each; one with a single image only adds its place.

    Raises:
        BundleError: a feature is not a number.
    """
    covariance = require("sklearn.covariance", "train", "export")
    values = features.astype(np.float64)
    if not np.isfinite(values).all():
        raise BundleError("The network must give numbers, but a feature of a training image is not; its weights are damaged.")
    classes, places = np.unique(y, return_inverse=True)
    means = np.stack([values[places == place].mean(axis=0) for place in range(len(classes))])
    away = values - means[places]
    # A single image varies in nothing, and says so with a warning.
    cloud = covariance.LedoitWolf(assume_centered=True).fit(away).covariance_ if len(away) > 1 else away.T @ away
    spread, directions = (array[..., ::-1] for array in np.linalg.eigh(cloud))
    # Where nothing varies, the least step counts as far; a floor keeps it finite.
    spread = np.maximum(spread, max(1e-6 * float(spread[0]), 1e-12))
    k = min(DIRECTIONS, len(spread))
    rest = spread[k:].mean() if k < len(spread) else spread[-1]
    arrays = (means, directions[:, :k], np.sqrt(spread[:k]), np.sqrt([rest]))
    return Novelty(*(np.ascontiguousarray(array, dtype=np.float32) for array in arrays))


def evenly(part: Subset) -> Subset:
    """At most ``MOST`` images of a part, as many of each class as there are and room is."""
    rng, classes = np.random.default_rng(0), np.unique(part.y)
    each = MOST // max(1, len(classes))
    chosen = [rng.permutation(np.flatnonzero(part.y == column))[:each] for column in classes]
    return Subset(part.data, np.sort(part.rows[np.concatenate(chosen)]) if chosen else part.rows)


def _failed(part: Subset) -> dict[Check, NDArray[np.bool_]]:
    """Which images fail which check."""
    table = part.manifest
    notes = [text.split("; ") for text in table["notes"].fill_null("")] if "notes" in table.columns else [[]] * len(part)
    sizes = list(zip(table["width"].to_list(), table["height"].to_list(), strict=True))
    said: list[dict[str, str]] = []
    for start in range(0, len(part), _BATCH):
        block = slice(start, start + _BATCH)
        said += looks(_squares(part, part.rows[block]), sizes[block], notes[block])
    return {check: np.array([check in found for found in said], bool) for check in CHECKS}


def _features(engine: Engine, spec: BundleSpec, part: Subset) -> NDArray[np.float64]:
    """What the network makes of the images, as :meth:`Novelty.distances` takes it: float64 [n, channels]."""
    found = []
    for start in range(0, len(part), _BATCH):
        squares = _squares(part, part.rows[start : start + _BATCH])
        inputs = np.concatenate([to_inputs(square, spec.preprocess, 1) for square in squares])
        outputs = engine.run(inputs, ("features", "embedding"))
        found.append(pooled(outputs.embedding, outputs.features.shape[-1]))
    return np.concatenate(found)


def _squares(part: Subset, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    return np.stack([np.asarray(part.data.pixels[row]) for row in rows])
