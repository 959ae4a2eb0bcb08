"""Smaller networks are measured on validation images, and refused where they cost too much."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from lungwise.answer import probabilities
from lungwise.bundle import variants
from lungwise.bundle.half import to_half
from lungwise.bundle.quantise import PLANS, Plan
from lungwise.bundle.spec import BundleSpec
from lungwise.bundle.variants import Validation, make_variants
from lungwise.errors import BundleError
from lungwise.imaging.views import mean_logits, to_inputs
from tests.bundle.networks import deep_onnx, loaded
from tests.bundle.test_half import run
from tests.bundle_factory import make_spec, youden

IMAGES = 60
SQUARES = np.random.default_rng(5).integers(0, 256, (IMAGES, 40, 40), dtype=np.uint8)
TRUTH = np.arange(IMAGES) % 2


def validation(count: int = IMAGES) -> Validation:
    return Validation(lambda places: SQUARES[places], TRUTH[:count])


def inputs(views: int = 1) -> NDArray[np.float32]:
    return np.concatenate([to_inputs(square, make_spec().preprocess, views) for square in SQUARES])


def damaged(value: float) -> bytes:
    """The network with a bias of the head set."""
    model = loaded(deep_onnx())
    for tensor in model.graph.initializer:
        if tensor.name == "b2":
            tensor.CopyFrom(numpy_helper.from_array(np.array([value, 0], np.float32), "b2"))
    return bytes(model.SerializeToString())


def answering(monkeypatch: pytest.MonkeyPatch, *networks: bytes) -> None:
    """Let float16 be made in these ways, one after the other."""

    def halves(*_: Any) -> Iterator[tuple[str, bytes]]:
        yield from (("made up", network) for network in networks)

    monkeypatch.setattr(variants, "_halves", halves)


@pytest.mark.parametrize("views", [1, 3])
def test_what_is_measured_is_the_change_of_calibrated_probabilities_and_decisions(views: int) -> None:
    spec = make_spec(views=views, temperature=0.7, decision=youden(0.4))
    onnx, found = make_variants(deep_onnx(), spec, ["fp16"], validation())["fp16"]
    assert onnx == to_half(deep_onnx())
    full, half = (probabilities(mean_logits(run(network, inputs(views))[0], views), 0.7) for network in (deep_onnx(), onnx))
    assert (found.images, found.bytes) == (IMAGES, len(onnx))
    assert found.largest == pytest.approx(np.abs(half - full).max(), abs=1e-9)
    assert found.mean == pytest.approx(np.abs(half - full).mean(), abs=1e-9)
    assert found.full_accuracy == ((full[:, 1] >= 0.4) == TRUTH).mean()
    assert found.accuracy == ((half[:, 1] >= 0.4) == TRUTH).mean()
    assert found.changed == ((half[:, 1] >= 0.4) != (full[:, 1] >= 0.4)).sum()


def test_int8_is_measured_too_and_says_how_it_was_made() -> None:
    made = make_variants(deep_onnx(), make_spec(), ["int8", "fp16"], validation())
    assert list(made) == ["fp16", "int8"]
    assert made["fp16"][1].made == "weights stored as float16, computed in float32"
    assert made["int8"][1].made == "8-bit convolutions and matrix products, ranges from 60 validation images"
    assert 0 < made["int8"][1].largest < 0.1
    assert made["int8"][1].bytes < len(deep_onnx()) / 2


def test_the_careful_way_is_taken_where_it_is_small_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def small(onnx: bytes, _: NDArray[np.float32], plan: Plan) -> bytes:
        asked.append(plan.made)
        return deep_onnx()

    monkeypatch.setattr(variants, "to_int8", small)
    padded = loaded(deep_onnx())
    padded.metadata_props.add(key="more", value="x" * len(deep_onnx()) * 2)
    assert make_variants(padded.SerializeToString(), make_spec(), ["int8"], validation())["int8"][1].made.startswith(asked[0])
    assert asked == [PLANS[0].made]


def halved() -> tuple[BundleSpec, NDArray[np.int64]]:
    """A decision by which the network puts half of the images into each class, and those classes."""
    prob = probabilities(run(deep_onnx(), inputs())[0])[:, 1]
    threshold = float(np.median(prob))
    return make_spec(decision=youden(threshold)), (prob >= threshold).astype(np.int64)


def test_a_changed_accuracy_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, decided = halved()
    answering(monkeypatch, damaged(50.0))
    with pytest.raises(
        BundleError,
        match=r"^fp16 may change the accuracy by at most 1 point and 2 % of the decisions on the validation images, but it "
        r"changes it by -50\.0 points and 30 of 60 decisions; nothing was written; leave it out of --variants\.$",
    ):
        make_variants(deep_onnx(), spec, ["fp16"], Validation(lambda places: SQUARES[places], decided))


def test_a_better_accuracy_is_another_classifier_and_refused_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, damaged(50.0))
    with pytest.raises(BundleError, match=r"it changes it by \+50\.0 points"):
        make_variants(
            deep_onnx(), halved()[0], ["fp16"], Validation(lambda places: SQUARES[places], np.zeros(IMAGES, np.int64))
        )


def test_decisions_that_change_both_ways_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, decided = halved()
    truth = np.zeros(IMAGES, np.int64)
    truth[np.flatnonzero(decided == 1)[::2]] = 1
    truth[np.flatnonzero(decided == 0)[::2]] = 1
    answering(monkeypatch, damaged(50.0))
    with pytest.raises(BundleError, match=r"it changes it by \+0\.0 points and 30 of 60 decisions"):
        make_variants(deep_onnx(), spec, ["fp16"], Validation(lambda places: SQUARES[places], truth))


def test_not_a_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, damaged(np.nan))
    with pytest.raises(BundleError, match="but it gives NaN or infinity; nothing was written"):
        make_variants(deep_onnx(), make_spec(), ["fp16"], validation())


def test_the_next_way_is_tried_where_one_costs_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, damaged(np.nan), damaged(50.0), deep_onnx())
    assert make_variants(deep_onnx(), halved()[0], ["fp16"], validation())["fp16"][0] == deep_onnx()


def test_a_float32_network_that_fails_is_named() -> None:
    with pytest.raises(BundleError, match="The float32 network must answer with numbers, but gives NaN or infinity"):
        make_variants(damaged(np.nan), make_spec(), ["fp16"], validation())


def test_a_network_with_nothing_to_make_smaller_is_refused() -> None:
    with pytest.raises(
        BundleError, match=r"This network has nothing that int8 could make smaller; leave it out of --variants\."
    ):
        make_variants(deep_onnx(convolutions=False), make_spec(), ["int8"], validation())


def test_without_images_nothing_is_made() -> None:
    with pytest.raises(BundleError, match="A variant needs validation images to be measured on, there are none"):
        make_variants(deep_onnx(), make_spec(), ["fp16"], validation(0))


@pytest.mark.parametrize("name", ["fp8", "fp32", "FP16", ""])
def test_an_unknown_variant_is_refused(name: str) -> None:
    with pytest.raises(BundleError, match=rf"^A variant must be one of fp16, int8, got '{name}'; correct --variants\.$"):
        make_variants(deep_onnx(), make_spec(), [name], validation())
