"""Smaller networks for a bundle: made, measured against the float32 network on validation images, refused if they cost much."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungwise.answer import decide, probabilities
from lungwise.bundle.half import MADE, to_half
from lungwise.bundle.quantise import PLANS, to_int8
from lungwise.bundle.spec import PRECISIONS, BundleSpec, VariantSpec
from lungwise.errors import BundleError, require
from lungwise.imaging.views import mean_logits, to_inputs

MOST_LOST = 0.01
"""Largest change of the accuracy, up or down. A card's 95 % intervals are seldom narrower than two points, so that a smaller
change lies well within what the card says; a larger one, also for the better, is another classifier than the one evaluated."""
MOST_CHANGED = 0.02
"""Largest share of decisions that change: gains and losses that cancel out are no proof that the network is the same."""
CALIBRATION = 128
"""Validation images whose activations give the ranges of 8-bit numbers, spread evenly over the part."""
_INPUTS = 16
"""Inputs of one forward pass."""

Made = tuple[bytes, VariantSpec]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Validation:
    """The validation part of the data that the model learnt from.

    Args:
        squares: uint8 [n, stored, stored] of the images at some places, int64 [n].
        y: int64 [images], the true columns.
    """

    squares: Callable[[NDArray[np.int64]], NDArray[np.uint8]]
    y: NDArray[np.integer[Any]]


@dataclass(frozen=True)
class _Answers:
    """What a network says of the validation images: calibrated probabilities [n, classes] and decided columns [n]."""

    prob: NDArray[np.float64]
    decided: NDArray[np.int64]


def check_wanted(wanted: Sequence[str]) -> None:
    """Refuse names that are no variant, before any work is done."""
    unknown = [name for name in wanted if name not in PRECISIONS or name == "fp32"]
    if unknown:
        raise BundleError(
            f"A variant must be one of {', '.join(list(PRECISIONS)[1:])}, got '{unknown[0]}'; correct --variants."
        )


def make_variants(onnx: bytes, spec: BundleSpec, wanted: Sequence[str], validation: Validation) -> dict[str, Made]:
    """Make smaller networks and measure what each costs.

    Args:
        onnx: the float32 network.
        spec: the bundle's specification: how images become inputs and outputs become decisions.
        wanted: "fp16", "int8".
        validation: the images to measure on.

    Returns:
        Name to file and measurement.

    Raises:
        BundleError: there are no images, or a variant costs more than ``MOST_LOST`` or ``MOST_CHANGED``, or is not a number.
    """
    check_wanted(wanted)
    if not len(validation.y):
        raise BundleError("A variant needs validation images to be measured on, there are none; export without --variants.")
    full = _answers(onnx, spec, validation)
    if full is None:
        raise BundleError("The float32 network must answer with numbers, but gives NaN or infinity on a validation image.")
    makers = {"fp16": _halves, "int8": _eights}
    return {name: _first_good(name, makers[name](onnx, spec, validation), full, spec, validation) for name in sorted(wanted)}


def _halves(onnx: bytes, spec: BundleSpec, validation: Validation) -> Iterator[tuple[str, bytes]]:
    yield MADE, to_half(onnx)


def _eights(onnx: bytes, spec: BundleSpec, validation: Validation) -> Iterator[tuple[str, bytes]]:
    number = min(CALIBRATION, len(validation.y))
    chosen = np.linspace(0, len(validation.y) - 1, number).astype(np.int64)
    images = np.concatenate([to_inputs(square, spec.preprocess, 1) for square in validation.squares(chosen)])
    for plan in PLANS:
        made = to_int8(onnx, images, plan)
        # Above half the size float16 is as small and closer, so that the next plan is worth its cost.
        if made is not None and len(made) < len(onnx) / 2:
            yield f"{plan.made}, ranges from {number} validation images", made


def _first_good(
    name: str, tries: Iterator[tuple[str, bytes]], full: _Answers, spec: BundleSpec, validation: Validation
) -> Made:
    """The first way to make a variant that does not cost too much."""
    found, costs = False, ""
    for made, onnx in tries:
        found, answers = True, _answers(onnx, spec, validation)
        if answers is None:
            costs = "it gives NaN or infinity"
            continue
        measured = _measured(made, len(onnx), answers, full, validation)
        lost = measured.accuracy - measured.full_accuracy
        if abs(lost) <= MOST_LOST and measured.changed <= MOST_CHANGED * measured.images:
            return onnx, measured
        costs = f"it changes it by {100 * lost:+.1f} points and {measured.changed} of {measured.images} decisions"
    if not found:
        raise BundleError(f"This network has nothing that {name} could make smaller; leave it out of --variants.")
    raise BundleError(
        f"{name} may change the accuracy by at most {100 * MOST_LOST:g} point and {100 * MOST_CHANGED:g} % of the decisions on "
        f"the validation images, but {costs}; nothing was written; leave it out of --variants."
    )


def _answers(onnx: bytes, spec: BundleSpec, validation: Validation) -> _Answers | None:
    """Ask a network about all validation images; None where anything that it gives is not a number."""
    runtime = require("onnxruntime", "train", "export")
    session = runtime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    names, each = [output.name for output in session.get_outputs()], max(1, _INPUTS // spec.views)
    logits = []
    for start in range(0, len(validation.y), each):
        places = np.arange(start, min(start + each, len(validation.y)), dtype=np.int64)
        inputs = [to_inputs(square, spec.preprocess, spec.views) for square in validation.squares(places)]
        outputs = dict(zip(names, session.run(names, {"image": np.concatenate(inputs)}), strict=True))
        if not all(np.isfinite(values).all() for values in outputs.values()):
            return None
        logits.append(mean_logits(outputs["logits"], spec.views))
    prob = probabilities(np.concatenate(logits), spec.temperature, spec.calibration_matrix, spec.calibration_bias)
    rule = spec.decision
    return _Answers(prob, decide(prob, rule.rule, rule.positive, rule.threshold))


def _measured(made: str, size: int, answers: _Answers, full: _Answers, validation: Validation) -> VariantSpec:
    change = np.abs(answers.prob - full.prob)
    return VariantSpec(
        made=made,
        bytes=size,
        images=len(validation.y),
        accuracy=float((answers.decided == validation.y).mean()),
        full_accuracy=float((full.decided == validation.y).mean()),
        changed=int((answers.decided != full.decided).sum()),
        largest=float(change.max()),
        mean=float(change.mean()),
    )
