"""A quarter of the size: weights and activations as 8-bit whole numbers (Jacob et al. 2018, arXiv 1712.05877).

Static quantisation by ONNX Runtime in QDQ form: pairs of QuantizeLinear and DequantizeLinear stand around what is computed in
8 bits. Weights have a scale for each output channel; activations one for each tensor, whose range is what calibration images
reach. What costs much accuracy and saves little stays float32: the first convolution, products of two activations (attention),
softmax, normalisation, and everything after the embedding, so that ``head.npz`` still is the head.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import require


@dataclass(frozen=True)
class Plan:
    """What is computed in 8 bits.

    Args:
        made: the plan in words, for the card.
        kinds: kinds of nodes; ReLU and its capped form only together with what stands before them.
    """

    made: str
    kinds: tuple[str, ...]


PLANS = (
    Plan("8-bit matrix products, float32 convolutions", ("MatMul", "Gemm")),
    Plan("8-bit convolutions and matrix products", ("Conv", "MatMul", "Gemm", "Relu", "Clip")),
)
"""From the most careful on. A transformer's weights lie in its products, and their rounding hardly shows; that of convolutions
does, and networks of convolutions have no choice."""


class _Reader:
    """Calibration images one by one, in the form that ONNX Runtime asks for."""

    def __init__(self, images: NDArray[np.float32]) -> None:
        self._feeds: Iterator[dict[str, NDArray[np.float32]]] = ({"image": image[None]} for image in images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._feeds, None)


def to_int8(onnx: bytes, images: NDArray[np.float32], plan: Plan) -> bytes | None:
    """The same network in 8 bits.

    Weights are stored unsigned: with signed ones the kernels of x86 processors without VNNI add pairs of products in 16 bits,
    which saturate, and the answers would depend on the machine (ONNX Runtime, "Quantize ONNX models").

    Args:
        onnx: an ONNX file with float32 weights.
        images: float32 [n, size, size, 1], network inputs that give the ranges of the activations.
        plan: what becomes 8 bits.

    Returns:
        An ONNX file with the same input and outputs, all float32; None where the plan finds nothing in the network.
    """
    library = require("onnx", "train", "an int8 network")
    tools = require("onnxruntime.quantization", "train", "an int8 network")
    shapes = require("onnxruntime.quantization.shape_inference", "train", "an int8 network")
    with tempfile.TemporaryDirectory(prefix="lungwise-") as folder:
        raw, ready, done = (Path(folder) / f"{name}.onnx" for name in ("raw", "ready", "int8"))
        raw.write_bytes(onnx)
        # The symbolic shapes would need another package, and are for dynamic sizes, which a bundle's network has not.
        shapes.quant_pre_process(str(raw), str(ready), skip_symbolic_shape=True)
        model = library.load(str(ready))
        _name_nodes(model.graph)
        tools.quantize_static(
            model,
            str(done),
            _Reader(images),
            quant_format=tools.QuantFormat.QDQ,
            op_types_to_quantize=list(plan.kinds),
            per_channel=True,
            activation_type=tools.QuantType.QUInt8,
            # Signed, because for these alone ONNX Runtime widens the scale of a channel whose weights have died and whose bias
            # would not fit into 32 bits otherwise.
            weight_type=tools.QuantType.QInt8,
            nodes_to_exclude=_excluded(model.graph),
        )
        made = library.load(str(done))
        if not any(node.op_type == "QuantizeLinear" for node in made.graph.node):
            return None
        _store_unsigned(made.graph, library.numpy_helper)
        return bytes(made.SerializeToString())


def _store_unsigned(graph: Any, helper: Any) -> None:
    """Weights from -127 to 127 as 1 to 255 with the zero at 128: other bytes, the same numbers."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or not {node.input[0], *node.input[2:]} <= set(weights) or len(node.input) < 3:
            continue
        for name in (node.input[0], node.input[2]):
            values = helper.to_array(weights[name])
            if values.dtype == np.int8:
                weights[name].CopyFrom(helper.from_array((values.astype(np.int16) + 128).astype(np.uint8), name))


def _name_nodes(graph: Any) -> None:
    """Nodes are excluded by name, and a name is no duty in ONNX."""
    for place, node in enumerate(graph.node):
        node.name = node.name or f"node_{place}"


def _excluded(graph: Any) -> list[str]:
    """Names of the nodes that stay float32."""
    fixed = {tensor.name for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    products = [node for node in graph.node if node.op_type == "MatMul" and not fixed & set(node.input)]
    return sorted({node.name for node in (*convolutions[:1], *products, *_behind(graph, "embedding"))})


def _behind(graph: Any, tensor: str) -> list[Any]:
    """The nodes that depend on a tensor; ONNX lists nodes in the order in which they are computed."""
    reached, found = {tensor}, []
    for node in graph.node:
        if reached & set(node.input):
            reached |= set(node.output)
            found.append(node)
    return found
