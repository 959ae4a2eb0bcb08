"""The classifier's head as plain arrays: what the heat map needs besides the feature map."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import BundleError

Array = NDArray[np.float32]
_NAMES = ("w1", "b1", "scale", "offset", "w2", "b2")
_DAMAGE = (ValueError, KeyError, TypeError, OSError, EOFError, MemoryError, RuntimeError)
"""What NumPy and zipfile raise on damaged files; MemoryError where a header promises more than any memory holds."""


@dataclass(frozen=True)
class HeadWeights:
    """Embedding e to logits: ``hidden = relu(e @ w1 + b1)``, ``logits = (hidden * scale + offset) @ w2 + b2``.

    Without a hidden layer ``w1``, ``b1``, ``scale`` and ``offset`` are empty and ``logits = e @ w2 + b2``.

    Args:
        w1: float32 [embedding, hidden].
        b1: float32 [hidden].
        scale: float32 [hidden], batch normalisation folded to a factor (1 without).
        offset: float32 [hidden], and to an addend (0 without).
        w2: float32 [hidden or embedding, classes].
        b2: float32 [classes].
    """

    w1: Array
    b1: Array
    scale: Array
    offset: Array
    w2: Array
    b2: Array

    def to_bytes(self) -> bytes:
        """As an ``.npz`` file of plain arrays."""
        buffer = io.BytesIO()
        np.savez(buffer, w1=self.w1, b1=self.b1, scale=self.scale, offset=self.offset, w2=self.w2, b2=self.b2)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> HeadWeights:
        """Read what :meth:`to_bytes` wrote; pickled objects, compressed arrays and any other shape or type are refused.

        Raises:
            BundleError: it is anything else.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                # Stored arrays are no larger than the file, compressed ones could be a thousand times as large.
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise ValueError("its arrays are compressed")
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                arrays = [file[name] for name in _NAMES]
            _check(arrays)
        except (*_DAMAGE, zipfile.BadZipFile) as cause:
            raise BundleError(f"head.npz of the bundle is damaged ({cause}); export it again.") from cause
        return cls(*arrays)

    def logits(self, embedding: Array) -> Array:
        """Logits [n, classes] from embeddings [n, embedding]."""
        if self.w1.size == 0:
            return np.asarray(embedding @ self.w2 + self.b2, dtype=np.float32)
        return np.asarray((self._hidden(embedding) * self.scale + self.offset) @ self.w2 + self.b2, dtype=np.float32)

    def gradient(self, embedding: Array, column: int) -> Array:
        """Derivative of one class' logit by the embedding: float32 [n, embedding]."""
        if self.w1.size == 0:
            return np.broadcast_to(self.w2[:, column], embedding.shape)
        outer = (self._hidden(embedding) > 0) * (self.scale * self.w2[:, column])
        return np.asarray(outer @ self.w1.T, dtype=np.float32)

    def _hidden(self, embedding: Array) -> Array:
        return np.asarray(np.maximum(embedding @ self.w1 + self.b1, 0.0), dtype=np.float32)


def _check(arrays: Sequence[NDArray[Any]]) -> None:
    """Raise a ValueError unless the arrays fit each other as :class:`HeadWeights` says."""
    w1, b1, scale, offset, w2, b2 = arrays
    hidden = w2.shape[:1] if w1.size else (0,)
    shapes = [array.shape for array in (b1, scale, offset, b2)]
    if w1.ndim != 2 or w2.ndim != 2 or shapes != [hidden, hidden, hidden, w2.shape[1:]] or (w1.size and w1.shape[1:] != hidden):
        raise ValueError(f"its arrays do not fit each other: {[array.shape for array in arrays]}")
    if any(array.dtype != np.float32 or not np.isfinite(array).all() for array in arrays):
        raise ValueError("its arrays must hold numbers in float32")


def head_of(model: Any) -> HeadWeights:
    """The head's weights of a classifier built by :func:`lungwise.models.classifier.build_classifier`.

    Args:
        model: a ``keras.Model`` with layers "logits" and, where it has them, "hidden" and "hidden_norm".
    """
    layers = {layer.name: layer for layer in model.layers}
    w2, b2 = (np.asarray(value, np.float32) for value in layers["logits"].get_weights())
    empty = np.zeros(0, np.float32)
    if "hidden" not in layers:
        return HeadWeights(empty.reshape(0, 0), empty, empty, empty, w2, b2)
    w1, b1 = (np.asarray(value, np.float32) for value in layers["hidden"].get_weights())
    scale, offset = np.ones_like(b1), np.zeros_like(b1)
    if "hidden_norm" in layers:
        norm = layers["hidden_norm"]
        gamma, beta, mean, variance = (np.asarray(value, np.float32) for value in norm.get_weights())
        scale = gamma / np.sqrt(variance + norm.epsilon)
        offset = beta - mean * scale
    return HeadWeights(w1, b1, scale, offset, w2, b2)
