"""Which engine, precision, threads and batch are fastest for a bundle on this machine: measured once, then remembered."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from lungwise.bundle.spec import BundleSpec
from lungwise.bundle.store import Bundle
from lungwise.errors import LungwiseError
from lungwise.imaging.views import to_inputs
from lungwise.inference.cores import hardware_threads, usable_cores
from lungwise.inference.engine import Array, Engine
from lungwise.inference.engines import AUTO, DEFAULT, installed, open_engine, wanted_engine
from lungwise.inference.remembered import recall, remember
from lungwise.inference.samples import film_like

TOLERANCE = {"float32": 1e-4, "bfloat16": 0.01}
"""How far an engine may move a probability away from ONNX Runtime's; see :func:`moved`."""
BATCHES = (4, 8, 16)
Key = TypeVar("Key", str, int)
_TIMED = 2
_WORTH = 1.05
"""A setting must be faster than the plain one by this factor: less may be chance."""


class Settled(BaseModel):
    """What was found.

    Args:
        engine: to be opened with :func:`lungwise.inference.engines.open_engine`.
        threads: of one forward pass.
        batch: inputs of one forward pass.
        rate: images a second with them, without decoding.
        rates: engine to images a second with batches of 8, for those that came into question.
        moves: engine to how far it moves a probability at most, for those that could be loaded; see :func:`moved`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: str
    threads: int = Field(ge=1)
    batch: int = Field(ge=1)
    rate: float = Field(gt=0)
    rates: dict[str, float]
    moves: dict[str, float]


def settle(
    bundle: Bundle, engine: str = AUTO, threads: int = 0, squares: NDArray[np.uint8] | None = None, *, again: bool = False
) -> Settled:
    """Find what is fastest, from memory or by measuring for some seconds.

    An engine comes into question when it is installed, can load the network, and moves no probability further than its
    precision's ``TOLERANCE``.

    Args:
        bundle: what is to be run.
        engine: one that is to be taken in any case, or "auto"; see :func:`lungwise.inference.engines.wanted_engine`.
        threads: a number that is to be taken in any case, or 0.
        squares: uint8 [n, stored, stored], real images to measure on; made-up ones where there are none.
        again: measure even if it is remembered.

    Raises:
        LungwiseError: the engine that is to be taken cannot be had.
        BundleError: the bundle's network cannot be run.
    """
    engine = wanted_engine(engine)
    key = (bundle.sha256, bundle.precision, engine, threads, usable_cores(), hardware_threads())
    known = None if again else recall(key, Settled)
    if known is None:
        known = _measure(bundle, engine, threads, _inputs(bundle.spec, squares))
        remember(key, known)
    return known


def moved(theirs: Array, reference: Array, spec: BundleSpec) -> float:
    """How far other logits move a calibrated probability at most, were the image undecided.

    A network that is sure of the images at hand hides what rounding does to others: the softmax is flat there. It is steepest
    at 1/2, where two logits that come apart by d move a probability by tanh(d / 4).

    Args:
        theirs: float32 [n, classes], logits.
        reference: float32 [n, classes], the same from ONNX Runtime.
        spec: how logits become probabilities.

    Returns:
        0 to 1.
    """
    change = theirs.astype(np.float64) - reference
    if spec.calibration_matrix:
        change = change @ np.array(spec.calibration_matrix).T
    return float(np.tanh(np.ptp(change / spec.temperature, axis=1).max(initial=0.0) / 4))


def _inputs(spec: BundleSpec, squares: NDArray[np.uint8] | None) -> Array:
    """As many inputs as the largest batch takes."""
    number = max(BATCHES)
    if squares is None or not len(squares):
        squares = film_like(number, spec.preprocess.stored)
    chosen = squares[np.arange(number) % len(squares)]
    return np.concatenate([to_inputs(square, spec.preprocess, 1) for square in chosen])


def _measure(bundle: Bundle, name: str, threads: int, inputs: Array) -> Settled:
    engines, moves = _candidates(bundle, name, threads or usable_cores(), inputs)
    few = inputs[: BATCHES[1]]
    rates = _rates(dict.fromkeys(engines, few), engines)
    best = max(rates, key=lambda other: rates[other] * (_WORTH if other == DEFAULT else 1))
    engine = engines[best]
    if not threads and hardware_threads() > engine.threads:
        wide = open_engine(bundle.onnx, best, hardware_threads())
        both = _rates({"cores": few, "threads": few}, {"cores": engine, "threads": wide})
        engine = wide if both["threads"] > _WORTH * both["cores"] else engine
    sizes = _rates({size: inputs[:size] for size in BATCHES}, dict.fromkeys(BATCHES, engine), turns=1)
    batch = max(sizes, key=lambda size: sizes[size])
    return Settled(engine=best, threads=engine.threads, batch=batch, rate=sizes[batch], rates=rates, moves=moves)


def _candidates(bundle: Bundle, name: str, threads: int, inputs: Array) -> tuple[dict[str, Engine], dict[str, float]]:
    """The engines that come into question, loaded, and how far each moves a probability."""
    plain = open_engine(bundle.onnx, DEFAULT, threads)
    truth = plain.run(inputs, ()).logits
    if name == DEFAULT:
        return {DEFAULT: plain}, {DEFAULT: 0.0}
    engines, moves = {DEFAULT: plain} if name == AUTO else {}, {DEFAULT: 0.0}
    for other in [other for other in installed() if other != DEFAULT] if name == AUTO else [name]:
        try:
            engine = open_engine(bundle.onnx, other, threads)
            moves[other] = moved(engine.run(inputs, ()).logits, truth, bundle.spec)
        except LungwiseError:
            if name != AUTO:
                raise
            continue  # not for this processor, or not for this network
        if name != AUTO or moves[other] <= TOLERANCE[engine.precision]:
            engines[other] = engine
    return engines, moves


def _rates(batches: Mapping[Key, Array], engines: Mapping[Key, Engine], turns: int = 2) -> dict[Key, float]:
    """Images a second, of the quickest pass: what else the machine does can only make one slower. All take turns."""
    times: dict[Key, list[float]] = {key: [] for key in batches}
    for _ in range(turns):
        for key, batch in batches.items():
            # Not timed: OpenVINO compiles for each new size, and ONNX Runtime's threads look for work a while after a call.
            engines[key].run(batch, ())
            for _ in range(_TIMED):
                begin = time.perf_counter()
                engines[key].run(batch, ())
                times[key].append(time.perf_counter() - begin)
    return {key: len(batches[key]) / min(found) for key, found in times.items()}
