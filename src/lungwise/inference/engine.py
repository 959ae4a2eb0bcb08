"""What runs a bundle's network: one face for every engine, so that all refuse the same things with the same words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import BundleError

Array = NDArray[np.float32]
INPUT = "image"
STANDARD = ("logits", "features", "embedding")
"""The outputs that every network of a bundle has; it may have more."""
_NONE: Array = np.zeros(0, np.float32)
_NONE.flags.writeable = False


class Outputs(NamedTuple):
    """One forward pass. What was not asked for is an array without elements.

    Args:
        logits: float32 [n, classes].
        features: float32 [n, rows, columns, channels], the last feature map.
        embedding: float32 [n, channels], the pooled map.
        further: other outputs that were asked for, name to float32 [n, ...].
    """

    logits: Array = _NONE
    features: Array = _NONE
    embedding: Array = _NONE
    further: Mapping[str, Array] = MappingProxyType({})

    def of_views(self, logits: Array, views: int) -> Outputs:
        """These logits, and the rest of the first of each image's views, which lie together."""
        further = {name: value[::views] for name, value in self.further.items()}
        return Outputs(logits, self.features[::views], self.embedding[::views], further)


def joined(parts: Sequence[Outputs]) -> Outputs:
    """The outputs of several batches as those of one."""
    if not parts:
        return Outputs()
    logits, features, embedding = (np.concatenate([getattr(part, name) for part in parts]) for name in STANDARD)
    further = {name: np.concatenate([part.further[name] for part in parts]) for name in parts[0].further}
    return Outputs(logits, features, embedding, further)


class Refused(Exception):  # noqa: N818 - it never reaches a user; the engine's face turns it into a BundleError.
    """An engine's library did not do what it was asked.

    Args:
        reason: in the library's words; made one line.
    """

    def __init__(self, reason: object) -> None:
        super().__init__(" ".join(str(reason).split()) or "it gave no reason")


class Engine(ABC):
    """A loaded network. Safe to call from several threads.

    Args:
        onnx: the ONNX file.
        threads: threads of one forward pass; at least 1.

    Attributes:
        name: as in ``Predictor(bundle, engine=name)``.
        precision: of the arithmetic, "float32" or "bfloat16"; inputs and outputs are float32.
        threads: threads of one forward pass.
        outputs: names of the outputs that the network has.

    Raises:
        BundleError: the file is no network of a bundle.
    """

    name: str
    precision: str = "float32"

    def __init__(self, onnx: bytes, threads: int) -> None:
        self.threads = threads
        try:
            inputs, self.outputs = self._load(onnx)
        except Refused as cause:
            raise BundleError(f"model.onnx cannot be loaded ({cause}); export the bundle again.") from cause
        if list(inputs) != [INPUT]:
            raise BundleError(f"model.onnx must have the one input '{INPUT}', it has {list(inputs)}; export it again.")
        lost = [name for name in STANDARD if name not in self.outputs]
        if lost:
            raise BundleError(f"model.onnx must have the outputs {list(STANDARD)}, it lacks {lost}; export it again.")

    def run(self, batch: Array, wanted: Sequence[str] = STANDARD) -> Outputs:
        """One forward pass.

        Args:
            batch: float32 [n, size, size, 1].
            wanted: names from ``outputs``; what is not named is not copied. Logits always come.

        Raises:
            BundleError: the network does not take such a batch, has no such output, or a logit is not a number.
        """
        lost = [name for name in wanted if name not in self.outputs]
        if lost:
            raise BundleError(f"model.onnx has no output {lost}, only {list(self.outputs)}; export the bundle again.")
        names = tuple(dict.fromkeys(("logits", *wanted)))
        try:
            if batch.dtype != np.float32 or not len(batch):
                raise Refused("it must be float32 and hold an image")  # some engines would convert it, others not
            found = dict(zip(names, self._forward(batch, names), strict=True))
        except Refused as cause:
            said = f"{batch.dtype} {list(batch.shape)} ({cause})"
            raise BundleError(f"model.onnx cannot take {said}; export the bundle again.") from cause
        if not np.isfinite(found["logits"]).all():
            raise BundleError("The network must answer with numbers, but a logit is not; its weights are damaged.")
        logits, features, embedding = (found.pop(name, _NONE) for name in STANDARD)
        return Outputs(logits, features, embedding, MappingProxyType(found))

    @abstractmethod
    def _load(self, onnx: bytes) -> tuple[Sequence[str], Sequence[str]]:
        """Load the network and name its inputs and outputs.

        Raises:
            Refused: it is none.
        """

    @abstractmethod
    def _forward(self, batch: Array, wanted: Sequence[str]) -> Sequence[Array]:
        """The wanted outputs in that order, as arrays of their own.

        Raises:
            Refused: the network does not take the batch.
        """
