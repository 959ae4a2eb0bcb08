"""The network in ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

from lungwise.errors import BundleError
from lungwise.inference.engine import OnnxEngine
from tests.bundle_factory import CHANNELS, GRID, SIZE, make_head, make_onnx, numpy_forward

BATCH = np.random.default_rng(2).uniform(0, 1, (3, SIZE, SIZE, 1)).astype(np.float32)


@pytest.mark.parametrize("pool", ["average", "flatten"])
def test_the_outputs_are_those_of_the_network(pool: str) -> None:
    head = make_head(pool)
    outputs = OnnxEngine(make_onnx(head, pool), threads=1).run(BATCH)
    for name, expected in numpy_forward(BATCH, head, pool).items():
        np.testing.assert_allclose(getattr(outputs, name), expected, rtol=1e-5, atol=1e-5)


def test_shapes_and_types() -> None:
    outputs = OnnxEngine(make_onnx(make_head())).run(BATCH)
    assert [value.shape for value in outputs] == [(3, 2), (3, GRID, GRID, CHANNELS), (3, CHANNELS)]
    assert {value.dtype for value in outputs} == {np.dtype(np.float32)}


@pytest.mark.parametrize("data", [b"", b"no network", make_onnx(make_head())[:300]])
def test_what_is_no_network_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"^model\.onnx cannot be loaded \((.|\n)*\); export the bundle again\.$"):
        OnnxEngine(data)


def test_a_network_without_a_feature_map_is_refused() -> None:
    data = make_onnx(make_head(), names=("logits", "map", "embedding"))
    with pytest.raises(BundleError, match=r"must have the outputs .*, it lacks \['features'\]; export it again\.$"):
        OnnxEngine(data)


def test_a_network_with_another_input_is_refused() -> None:
    with pytest.raises(BundleError, match=r"must have the one input 'image', it has \['x'\]; export it again\.$"):
        OnnxEngine(make_onnx(make_head(), image="x"))


def test_a_batch_of_another_size_is_refused() -> None:
    with pytest.raises(BundleError, match=r"model\.onnx cannot take float32 \[1, 64, 64, 1\]"):
        OnnxEngine(make_onnx(make_head())).run(np.zeros((1, 64, 64, 1), np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_logit_that_is_no_number_is_refused(value: float) -> None:
    head = make_head()
    head.b2[0] = value
    with pytest.raises(BundleError, match=r"a logit is not; its weights are damaged\.$"):
        OnnxEngine(make_onnx(head)).run(BATCH)
