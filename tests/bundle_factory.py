"""A tiny bundle without Keras: one convolution, pool and head, as ONNX and again as plain numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lungwise.bundle.head import HeadWeights
from lungwise.bundle.spec import BundleSpec, DecisionSpec, VariantSpec
from lungwise.bundle.store import read_bundle, write_bundle
from lungwise.imaging.preprocess import Preprocess
from lungwise.inference.predictor import Predictor

SIZE, GRID, CHANNELS = 32, 4, 3
PATCH = SIZE // GRID
LABELS = ("normal", "sick")
Array = NDArray[np.float32]


def make_head(pool: str = "average", hidden: int = 5, classes: int = 2, norm: bool = True, seed: int = 0) -> HeadWeights:
    """A head of random weights; ``hidden`` 0 is one without a hidden layer."""
    rng = np.random.default_rng(seed)
    width = CHANNELS if pool == "average" else GRID * GRID * CHANNELS

    def draw(*shape: int) -> Array:
        return rng.normal(size=shape).astype(np.float32)

    if not hidden:
        empty = np.zeros(0, np.float32)
        return HeadWeights(empty.reshape(0, 0), empty, empty, empty, draw(width, classes), draw(classes))
    scale, offset = (draw(hidden), draw(hidden)) if norm else (np.ones(hidden, np.float32), np.zeros(hidden, np.float32))
    return HeadWeights(draw(width, hidden), draw(hidden), scale, offset, draw(hidden, classes), draw(classes))


def kernels() -> tuple[Array, Array]:
    """The convolution: float32 [channels, patch, patch] and its bias [channels]."""
    rng = np.random.default_rng(7)
    weights = rng.normal(size=(CHANNELS, PATCH, PATCH)).astype(np.float32) / PATCH
    return weights, np.full(CHANNELS, 0.3, np.float32)


def numpy_forward(images: Array, head: HeadWeights, pool: str = "average") -> dict[str, Array]:
    """What the network of :func:`make_onnx` answers, from numpy alone and in double precision inside."""
    weights, bias = kernels()
    blocks = images[..., 0].astype(np.float64).reshape(len(images), GRID, PATCH, GRID, PATCH)
    features = np.maximum(np.einsum("nrycx,kyx->nrck", blocks, weights) + bias, 0)
    embedding, logits = numpy_head(features, head, pool)
    found = {"logits": logits, "features": features, "embedding": embedding}
    return {key: value.astype(np.float32) for key, value in found.items()}


def numpy_head(features: NDArray[Any], head: HeadWeights, pool: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Embedding and logits from feature maps [n, rows, columns, channels], in double precision."""
    embedding = features.mean(axis=(1, 2)) if pool == "average" else features.reshape(len(features), -1)
    value = embedding
    if head.w1.size:
        value = np.maximum(embedding @ head.w1.astype(np.float64) + head.b1, 0) * head.scale + head.offset
    return embedding, value @ head.w2.astype(np.float64) + head.b2


def make_onnx(
    head: HeadWeights, pool: str = "average", image: str = "image", names: tuple[str, ...] = ("logits", "features", "embedding")
) -> bytes:
    """The network as an ONNX file, with the outputs called ``names``."""
    weights, bias = kernels()
    shape = np.array([0, -1] if pool == "flatten" else [1, 2], np.int64)
    constants = {"kernel": weights[:, None], "bias": bias, "shape": shape, "w2": head.w2, "b2": head.b2}
    logits, features, embedding = names
    pooling = ("Reshape", {}) if pool == "flatten" else ("ReduceMean", {"keepdims": 0})
    nodes = [
        helper.make_node("Transpose", [image], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel", "bias"], ["convolved"], strides=[PATCH, PATCH]),
        helper.make_node("Relu", ["convolved"], ["positive"]),
        helper.make_node("Transpose", ["positive"], [features], perm=[0, 2, 3, 1]),
        helper.make_node(pooling[0], [features, "shape"], [embedding], **pooling[1]),
    ]
    last = embedding
    if head.w1.size:
        constants |= {"w1": head.w1, "b1": head.b1, "scale": head.scale, "offset": head.offset}
        steps = (("MatMul", "w1", "a"), ("Add", "b1", "b"), ("Relu", "", "c"), ("Mul", "scale", "d"), ("Add", "offset", "e"))
        for kind, constant, out in steps:
            nodes.append(helper.make_node(kind, [last, constant] if constant else [last], [out]))
            last = out
    nodes += [helper.make_node("MatMul", [last, "w2"], ["f"]), helper.make_node("Add", ["f", "b2"], [logits])]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(image, TensorProto.FLOAT, ["n", SIZE, SIZE, 1])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return bytes(model.SerializeToString())


def make_spec(**changes: Any) -> BundleSpec:
    """The specification of the tiny bundle, with some fields changed."""
    plain: dict[str, Any] = {
        "name": "tiny",
        "labels": LABELS,
        "preprocess": Preprocess(stored=40, size=SIZE),
        "decision": DecisionSpec(rule="argmax", positive=-1, threshold=0.5, fitted_on=""),
        "head": "average",
    }
    return BundleSpec(**{**plain, **changes})


def make_bundle(out: Path, head: HeadWeights | None = None, pool: str = "average", **changes: Any) -> Path:
    """Write the tiny bundle; ``changes`` are fields of its specification."""
    spec = make_spec(head=pool, **changes)
    head = head or make_head(pool, classes=len(spec.labels))
    return write_bundle(out, spec, make_onnx(head, pool), head)


def make_cost(**changes: Any) -> VariantSpec:
    """What a smaller network costs, with some fields changed."""
    plain = {"made": "weights as float16", "bytes": 10, "images": 200, "accuracy": 0.9, "full_accuracy": 0.905}
    return VariantSpec(**{**plain, "changed": 1, "largest": 0.02, "mean": 0.001, **changes})


def make_full(out: Path, **changes: Any) -> Path:
    """Write the tiny bundle with everything that a bundle may hold; its smaller networks are others, to be told apart."""
    spec = make_spec(variants={"fp16": make_cost(), "int8": make_cost()}, **changes)
    head = make_head(classes=len(spec.labels))
    half, eighth = (make_onnx(make_head(classes=len(spec.labels), seed=seed)) for seed in (1, 2))
    extras = {"novelty.npz": b"reference", "model_fp16.onnx": half, "model_int8.onnx": eighth}
    return write_bundle(out, spec, make_onnx(head), head, extras=extras)


def make_predictor(out: Path, head: HeadWeights | None = None, pool: str = "average", **changes: Any) -> Predictor:
    """A predictor of the tiny bundle, which is written to ``out`` first."""
    return Predictor(read_bundle(make_bundle(out, head, pool, **changes)), threads=1)


def youden(threshold: float, positive: int = 1) -> DecisionSpec:
    """The decision of a bundle with a fitted threshold."""
    return DecisionSpec(rule="youden", positive=positive, threshold=threshold, fitted_on="validation")
