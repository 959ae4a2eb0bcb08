"""The way of many images through a predictor: decoding beside the network, and in a long batch networks beside each other."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from lungwise.inference.engines import DEFAULT
from lungwise.inference.inputs import Item
from lungwise.inference.result import Result
from lungwise.inference.stream import loaded, mapped

if TYPE_CHECKING:
    from lungwise.inference.predictor import Predictor

BATCH = 8
"""Images that are answered together, and inputs of one forward pass."""
FEW = 64
"""Images that are not worth loading the network a second time."""
LARGE = 200_000_000
"""Bytes of a network that keeps all cores busy with one batch, and fills the memory when it is loaded twice."""


def answers(predictor: Predictor, items: Iterable[Item], heatmaps: Path | None) -> Generator[tuple[Item, Result]]:
    """Each item with its answer, in order; see :meth:`lungwise.inference.predictor.Predictor.answers`."""
    with closing(loaded(items, predictor.make_ready, BATCH)) as batches:
        for batch in islice(batches, FEW // BATCH):
            yield from predictor.answer_batch(batch, heatmaps)
        rest = next(batches, None)
        if rest is None:
            return
        lean, callers = beside_each_other(predictor)
        answer = partial(lean.answer_batch, heatmaps=heatmaps)
        with closing(mapped(chain([rest], batches), answer, callers, callers + 1)) as answered:
            for pairs in answered:
                yield from pairs


def beside_each_other(predictor: Predictor) -> tuple[Predictor, int]:
    """A predictor for several callers at once, and how many.

    A batch on each core by itself wastes less than all cores on one batch, where threads wait for each other, and leaves them
    to the decoders in between. Another engine than ONNX Runtime divides its own work.
    """
    cores = predictor.engine.threads
    if predictor.engine.name != DEFAULT or cores == 1 or len(predictor.bundle.onnx) > LARGE:
        return predictor, 1
    return predictor.on_one_thread(), cores
