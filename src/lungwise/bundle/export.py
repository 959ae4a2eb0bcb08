"""From a Keras model to ONNX, proven equal before anything is written."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungwise.bundle.head import HeadWeights
from lungwise.errors import BundleError, require

OUTPUTS = ("logits", "features", "embedding")
FURTHER = ("attention",)
"""Outputs that only some networks have; see :func:`lungwise.models.classifier.with_features`."""
TOLERANCE = 1e-5
"""Largest allowed difference: of single logits and embeddings, absolute for values up to 1 and relative above; of the map of
features as a whole, relative. Normalisation over a nearly constant place makes rounding in float32 large there: ONNX Runtime
differs from itself by 1e-5 in a value of some maps between its levels of optimisation, while the rest agrees to 1e-6."""
_BATCHES = (1, 3, 16)


def to_onnx(explained: Any, name: str) -> bytes:
    """Convert a model to one ONNX file.

    Args:
        explained: a ``keras.Model`` with the outputs of ``OUTPUTS`` and some of ``FURTHER``; see
            :func:`lungwise.models.classifier.with_features`.
        name: how to call it in an error.

    Returns:
        The file's bytes; input ``image`` float32 [batch, size, size, 1].
    """
    explained(np.zeros((1, *explained.input_shape[1:]), np.float32))
    with tempfile.TemporaryDirectory(prefix="lungwise-") as folder:
        path = Path(folder) / "model.onnx"
        with warnings.catch_warnings():
            # Keras' converter asks NumPy 2 for the alias np.object that NumPy 1 had; the answer does not matter to it.
            warnings.filterwarnings("ignore", message="In the future `np.object`", category=FutureWarning)
            explained.export(path, format="onnx", verbose=False)
        if [child.name for child in path.parent.iterdir()] != ["model.onnx"]:
            raise BundleError(f"A bundle's model must be one ONNX file, but {name} was written in pieces; use a smaller model.")
        return path.read_bytes()


def prove(onnx: bytes, explained: Any, head: HeadWeights, samples: NDArray[np.float32]) -> float:
    """Compare ONNX Runtime with Keras on several batch sizes, and the head's arrays with both.

    Args:
        onnx: the ONNX file.
        explained: the Keras model that it was made from.
        head: the head as plain arrays.
        samples: float32 [n, size, size, 1], real inputs where there are some; repeated to fill a batch.

    Returns:
        The largest difference found.

    Raises:
        BundleError: it is larger than ``TOLERANCE``.
    """
    runtime = require("onnxruntime", "train", "export")
    session = runtime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    worst = 0.0
    for size in _BATCHES:
        batch = np.resize(samples, (size, *samples.shape[1:])).astype(np.float32)
        theirs = {key: np.asarray(value) for key, value in explained.predict_on_batch(batch).items()}
        names = [*OUTPUTS, *(name for name in FURTHER if name in theirs)]
        ours = dict(zip(names, session.run(names, {"image": batch}), strict=True))
        worst = max(worst, *(difference(ours[key], theirs[key]) for key in names if key != "features"))
        worst = max(worst, distance(ours["features"], theirs["features"]))
        worst = max(worst, difference(head.logits(theirs["embedding"]), theirs["logits"]))
    if not worst <= TOLERANCE:
        raise BundleError(
            f"ONNX must equal Keras, but they differ by {worst:.1e} (allowed {TOLERANCE:.0e}); nothing was written; train in "
            "float32 or report this model."
        )
    return worst


def difference(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> float:
    """Largest difference of two arrays, relative to the largest value of theirs where that is above 1.

    Arrays of different shapes, and values that are not finite, differ infinitely: NaN would slip through a comparison.
    """
    if ours.shape != theirs.shape or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return float("inf")
    scale = max(1.0, float(np.abs(theirs).max(initial=0.0)))
    return float(np.abs(ours.astype(np.float64) - theirs).max(initial=0.0)) / scale


def distance(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> float:
    """Euclidean distance of two arrays as a share of the length of theirs (or itself, where that is below 1)."""
    if ours.shape != theirs.shape or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return float("inf")
    length = max(1.0, float(np.linalg.norm(theirs.astype(np.float64))))
    return float(np.linalg.norm(ours.astype(np.float64) - theirs)) / length
