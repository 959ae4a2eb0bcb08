"""A network with something to make smaller: two convolutions, one of them narrow, a ReLU, a product and the head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, load_from_string, numpy_helper

from lungwise.bundle.head import HeadWeights
from tests.bundle_factory import SIZE, make_head

WIDTH = 96
MIXED = 3
"""Channels of the last map, as wide as the head of the factory expects."""


def deep_head(classes: int = 2) -> HeadWeights:
    """The head that :func:`deep_onnx` ends in."""
    return make_head(hidden=0, classes=classes)


def deep_onnx(seed: int = 0, convolutions: bool = True) -> bytes:
    """The network; without ``convolutions`` it is only a pooling and products."""
    rng = np.random.default_rng(seed)
    head = deep_head()

    def draw(*shape: int) -> NDArray[np.float32]:
        return (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    constants = {
        "k1": draw(WIDTH, 1, 4, 4),
        "c1": np.zeros(WIDTH, np.float32),
        "k2": draw(WIDTH, 1, 3, 3),
        "c2": np.zeros(WIDTH, np.float32),
        "k3": draw(WIDTH, WIDTH, 1, 1),
        "c3": np.zeros(WIDTH, np.float32),
        "mix": draw(WIDTH, MIXED),
        "w2": head.w2,
        "b2": head.b2,
        "axes": np.array([1, 2], np.int64),
    }
    nodes = [
        helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "k1", "c1"], ["first"], strides=[4, 4]),
        helper.make_node("Relu", ["first"], ["positive"]),
        helper.make_node("Conv", ["positive", "k2", "c2"], ["narrow"], group=WIDTH, pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["narrow", "k3", "c3"], ["wide"]),
        helper.make_node("Relu", ["wide"], ["last"]),
        helper.make_node("Transpose", ["last"], ["rows"], perm=[0, 2, 3, 1]),
        helper.make_node("MatMul", ["rows", "mix"], ["features"]),
        helper.make_node("ReduceMean", ["features", "axes"], ["embedding"], keepdims=0),
        helper.make_node("MatMul", ["embedding", "w2"], ["f"]),
        helper.make_node("Add", ["f", "b2"], ["logits"]),
    ]
    if not convolutions:
        nodes = [
            helper.make_node("Identity", ["image"], ["features"]),
            helper.make_node("ReduceMean", ["features", "axes"], ["embedding"], keepdims=0),
            helper.make_node("MatMul", ["embedding", "row"], ["f"]),
            helper.make_node("Add", ["f", "b2"], ["logits"]),
        ]
        constants["row"] = head.w2[:1]
    outputs = (("logits", ["n", 2]), ("features", None), ("embedding", ["n", MIXED]))
    graph = helper.make_graph(
        nodes,
        "deep",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", SIZE, SIZE, 1])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape if convolutions else None) for name, shape in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return bytes(model.SerializeToString())


def loaded(onnx: bytes) -> ModelProto:
    """The file as a message."""
    return load_from_string(onnx)


def kinds(onnx: bytes) -> list[str]:
    """The kinds of its nodes, in order."""
    return [node.op_type for node in loaded(onnx).graph.node]
