"""Weights as float16: half the size, the same network."""

from __future__ import annotations

import numpy as np
import onnxruntime
from onnx import TensorProto, numpy_helper

from lungwise.bundle.export import OUTPUTS
from lungwise.bundle.half import to_half
from tests.bundle.networks import deep_onnx, kinds, loaded
from tests.bundle_factory import SIZE


def run(onnx: bytes, images: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    return list(session.run(list(OUTPUTS), {"image": images}))


def test_answers_hardly_change_and_stay_float32() -> None:
    images = np.random.default_rng(1).uniform(-1, 1, (3, SIZE, SIZE, 1)).astype(np.float32)
    for ours, theirs in zip(run(to_half(deep_onnx()), images), run(deep_onnx(), images), strict=True):
        assert ours.dtype == np.float32
        assert np.abs(ours - theirs).max() < 2e-3 * np.abs(theirs).max()  # a weight's rounding is at most 2**-11 of it
        assert not np.array_equal(ours, theirs)


def test_large_weights_are_halved_and_small_ones_are_not() -> None:
    types = {tensor.name: tensor.data_type for tensor in loaded(to_half(deep_onnx())).graph.initializer}
    assert types["k3_float16"] == types["k1_float16"] == TensorProto.FLOAT16
    assert types["b2"] == types["c2"] == TensorProto.FLOAT
    assert types["axes"] == TensorProto.INT64
    assert kinds(to_half(deep_onnx())).count("Cast") == 4


def test_inputs_and_outputs_keep_their_names_and_types() -> None:
    before, after = loaded(deep_onnx()).graph, loaded(to_half(deep_onnx())).graph
    assert after.input == before.input
    assert after.output == before.output


def test_weights_beyond_float16_stay_as_they_are() -> None:
    model = loaded(deep_onnx())
    for tensor in model.graph.initializer:
        if tensor.name == "k3":
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(70_000), "k3"))
    names = {tensor.name for tensor in loaded(to_half(model.SerializeToString())).graph.initializer}
    assert "k3" in names
    assert "k1_float16" in names


def test_a_name_that_is_taken_is_not_taken_again() -> None:
    model = loaded(deep_onnx())
    model.graph.node[3].output[0] = model.graph.node[4].input[0] = "k3_float16"
    made = to_half(model.SerializeToString())
    assert "k3_float16_" in {tensor.name for tensor in loaded(made).graph.initializer}
    assert len(run(made, np.zeros((1, SIZE, SIZE, 1), np.float32))) == 3
