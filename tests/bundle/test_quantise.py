"""Networks in 8 bits: what becomes small, what stays, and that it is the same network."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from lungwise.bundle.quantise import PLANS, Plan, to_int8
from tests.bundle.networks import deep_onnx, loaded
from tests.bundle.test_half import run
from tests.bundle_factory import SIZE

IMAGES = np.random.default_rng(1).uniform(-1, 1, (8, SIZE, SIZE, 1)).astype(np.float32)


def made(plan: Plan) -> bytes:
    found = to_int8(deep_onnx(), IMAGES, plan)
    assert found is not None
    return found


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.made)
def test_it_is_the_same_network_within_the_rounding_of_8_bits(plan: Plan) -> None:
    for ours, theirs in zip(run(made(plan), IMAGES), run(deep_onnx(), IMAGES), strict=True):
        assert ours.dtype == np.float32
        assert np.abs(ours - theirs).max() < 0.05 * np.abs(theirs).max()
        assert not np.array_equal(ours, theirs)


def test_inputs_and_outputs_keep_their_names_and_types() -> None:
    before, after = loaded(deep_onnx()).graph, loaded(made(PLANS[1])).graph
    for ours, theirs in ((after.input, before.input), (after.output, before.output)):
        assert [(one.name, one.type.tensor_type.elem_type) for one in ours] == [
            (one.name, one.type.tensor_type.elem_type) for one in theirs
        ]


def weights(onnx: bytes) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in loaded(onnx).graph.initializer}


def test_the_first_convolution_and_the_head_stay_float32() -> None:
    found = weights(made(PLANS[1]))
    assert found["k1"].dtype == found["w2"].dtype == np.float32
    assert "k3" not in found
    assert "mix" not in found


def test_weights_are_unsigned_with_a_scale_for_each_channel() -> None:
    found = weights(made(PLANS[1]))
    assert found["k3_quantized"].dtype == np.uint8
    assert found["k3_quantized"].min() >= 1
    assert found["k3_scale"].shape == (96,)
    assert set(found["k3_zero_point"].tolist()) == {128}
    types = {tensor.data_type for tensor in loaded(made(PLANS[1])).graph.initializer}
    assert TensorProto.INT8 not in types


def test_the_careful_plan_leaves_convolutions_alone() -> None:
    found = weights(made(PLANS[0]))
    assert {"k1", "k2", "k3"} <= set(found)
    assert "mix" not in found


def test_a_network_with_nothing_to_quantise_gives_none() -> None:
    assert to_int8(deep_onnx(convolutions=False), IMAGES, PLANS[1]) is None


def test_a_dead_channel_keeps_its_bias() -> None:
    model = loaded(deep_onnx())
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor).copy()
        if tensor.name == "k3":
            values[0] = 1e-9
        if tensor.name == "c3":
            values[0] = 2.0
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx = model.SerializeToString()
    found = to_int8(onnx, IMAGES, PLANS[1])
    assert found is not None
    ours, theirs = run(found, IMAGES)[1], run(onnx, IMAGES)[1]
    assert np.abs(ours - theirs).max() < 0.05 * np.abs(theirs).max()


def test_a_product_of_two_activations_stays_float32() -> None:
    model = loaded(deep_onnx())
    product = next(place for place, node in enumerate(model.graph.node) if node.op_type == "MatMul")
    model.graph.initializer.append(numpy_helper.from_array(np.array([3], np.int64), "last_axis"))
    model.graph.node[product].input[0] = "attended"
    for node in reversed(
        [
            helper.make_node("Transpose", ["rows"], ["turned"], perm=[0, 1, 3, 2]),
            helper.make_node("MatMul", ["rows", "turned"], ["both"], name="attention"),
            helper.make_node("ReduceMean", ["both", "last_axis"], ["shares"]),
            helper.make_node("Mul", ["rows", "shares"], ["attended"]),
        ]
    ):
        model.graph.node.insert(product, node)
    found = to_int8(model.SerializeToString(), IMAGES, PLANS[0])
    assert found is not None
    sources = {output: node.op_type for node in loaded(found).graph.node for output in node.output}
    products = {
        node.name: [sources.get(name) for name in node.input] for node in loaded(found).graph.node if node.op_type == "MatMul"
    }
    assert "DequantizeLinear" not in products.pop("attention")
    assert list(products.values()) == [["DequantizeLinear", "DequantizeLinear"]]
