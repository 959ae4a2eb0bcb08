"""Half the size: weights stored as float16 and widened when the network is loaded.

Only the weights are rounded. Every number between them is computed in float32 as before, so nothing can overflow (float16
ends at 65,504, which the variances of layer normalisation can pass), and the graph keeps its inputs and outputs. ONNX Runtime
folds the casts away at loading, so a CPU computes exactly as fast as with float32; a network computed in float16 throughout is
slower there, because the kernels are missing and every value is cast forth and back.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lungwise.errors import require

MADE = "weights stored as float16, computed in float32"
_FEW = 256
"""Smaller constants (a bias, an epsilon, a shape) save nothing and stay as they are."""


def to_half(onnx: bytes) -> bytes:
    """The same network with its weights as float16.

    Args:
        onnx: an ONNX file with float32 weights.

    Returns:
        An ONNX file with the same input and outputs. Weights beyond float16's range stay float32.
    """
    library = require("onnx", "train", "a float16 network")
    model = library.load_from_string(onnx)
    graph, float32 = model.graph, library.TensorProto.FLOAT
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    fed = {value.name for value in graph.input}  # in old files a weight may also be an input, which must keep its type
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != float32 or tensor.name in fed:
            continue
        half = _halved(library.numpy_helper.to_array(tensor))
        if half is None:
            continue
        name, stored = tensor.name, f"{tensor.name}_float16"
        while stored in taken:
            stored += "_"
        taken.add(stored)
        tensor.CopyFrom(library.numpy_helper.from_array(half, stored))
        casts.append(library.helper.make_node("Cast", [stored], [name], name=f"{stored}_cast", to=float32))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def _halved(weights: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.float16]] | None:
    """Weights as float16, or None where that is not worth it or not possible."""
    if weights.size < _FEW or np.abs(weights).max() > np.finfo(np.float16).max:
        return None
    return weights.astype(np.float16)
