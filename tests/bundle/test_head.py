"""The head as plain arrays: logits, gradient, and what is read back."""

from __future__ import annotations

import io
import pickle
import tracemalloc
from dataclasses import astuple
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.bundle.head import HeadWeights, head_of
from lungwise.errors import BundleError
from tests.bundle_factory import CHANNELS, make_head, numpy_head

HEADS = [
    pytest.param(make_head(hidden=0, classes=3), id="no hidden layer"),
    pytest.param(make_head(hidden=6, classes=3, norm=False), id="hidden layer"),
    pytest.param(make_head(hidden=6, classes=3), id="hidden layer and batch norm"),
]


@pytest.fixture
def embedding() -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(4, CHANNELS)).astype(np.float32)


def logits_of(head: HeadWeights, embedding: NDArray[np.floating]) -> NDArray[np.float64]:
    return numpy_head(embedding[:, None, None, :].astype(np.float64), head, "average")[1]


@pytest.mark.parametrize("head", HEADS)
def test_logits_equal_the_formula(head: HeadWeights, embedding: NDArray[np.float32]) -> None:
    found = head.logits(embedding)
    assert (found.dtype, found.shape) == (np.float32, (4, 3))
    np.testing.assert_allclose(found, logits_of(head, embedding), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("head", HEADS)
def test_the_gradient_equals_finite_differences(head: HeadWeights, embedding: NDArray[np.float32], column: int) -> None:
    found = head.gradient(embedding, column)
    assert found.shape == embedding.shape
    step = 1e-5
    for unit in range(CHANNELS):
        moved = np.zeros(CHANNELS)
        moved[unit] = step
        higher, lower = (logits_of(head, embedding + sign * moved)[:, column] for sign in (1, -1))
        np.testing.assert_allclose(found[:, unit], (higher - lower) / (2 * step), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_bytes_read_back_are_the_same_arrays(head: HeadWeights) -> None:
    again = HeadWeights.from_bytes(head.to_bytes())
    for ours, theirs in zip(astuple(head), astuple(again), strict=True):
        assert ours.dtype == theirs.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs)


def test_the_same_head_has_the_same_bytes() -> None:
    assert make_head().to_bytes() == make_head().to_bytes()


def npz(**arrays: NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def test_pickled_objects_inside_are_refused() -> None:
    data = npz(**dict.fromkeys(("w1", "b1", "scale", "offset", "w2", "b2"), np.array([{"a": 1}], dtype=object)))
    with pytest.raises(BundleError, match=r"head\.npz of the bundle is damaged \(Object arrays cannot be loaded"):
        HeadWeights.from_bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no arrays", id="text"),
        pytest.param(pickle.dumps({"w1": 1}), id="pickle"),
        pytest.param(make_head().to_bytes()[:200], id="cut off"),
        pytest.param(b"PK\x03\x04" + bytes(40), id="damaged zip"),
        pytest.param(npz(w1=np.zeros(3)), id="arrays missing"),
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"^head\.npz of the bundle is damaged \(.*\); export it again\.$"):
        HeadWeights.from_bytes(data)


def test_a_single_array_is_refused() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    with pytest.raises(BundleError, match=r"^head\.npz of the bundle is damaged"):
        HeadWeights.from_bytes(buffer.getvalue())


def saved(head: HeadWeights, **changes: Any) -> bytes:
    """The head's file with other arrays."""
    buffer = io.BytesIO()
    names = ("w1", "b1", "scale", "offset", "w2", "b2")
    np.savez(buffer, **{**dict(zip(names, astuple(head), strict=True)), **changes})
    return buffer.getvalue()


@pytest.mark.parametrize("hidden", [0, 5])
def test_what_is_saved_by_hand_is_read(hidden: int) -> None:
    head = make_head(hidden=hidden)
    np.testing.assert_array_equal(HeadWeights.from_bytes(saved(head)).w2, head.w2)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("w1", (3, 4)), ("w1", (3,)), ("b1", (4,)), ("scale", (5, 1)), ("offset", ()), ("w2", (4, 2)), ("w2", (5,)), ("b2", (3,))],
)
def test_arrays_that_do_not_fit_each_other_are_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(BundleError, match=r"damaged \(its arrays do not fit each other: \[.*\]\); export it again\.$"):
        HeadWeights.from_bytes(saved(make_head(), **{name: np.zeros(shape, np.float32)}))


@pytest.mark.parametrize("kind", [np.float64, np.int32, np.complex64, "U3", "V4"])
def test_arrays_of_another_type_are_refused(kind: Any) -> None:
    with pytest.raises(BundleError, match=r"its arrays must hold numbers in float32"):
        HeadWeights.from_bytes(saved(make_head(), b2=np.zeros(2, kind)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_numbers_are_refused(value: float) -> None:
    with pytest.raises(BundleError, match=r"its arrays must hold numbers in float32"):
        HeadWeights.from_bytes(saved(make_head(), b2=np.array([0, value], np.float32)))


def test_compressed_arrays_are_refused_before_they_are_inflated() -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, w1=np.zeros(50_000_000, np.float32))
    tracemalloc.start()
    with pytest.raises(BundleError, match=r"damaged \(its arrays are compressed\)"):
        HeadWeights.from_bytes(buffer.getvalue())
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_an_array_that_promises_more_than_any_memory_is_refused() -> None:
    data = saved(make_head())
    header = b"'shape': (2,), }"
    assert header in data
    with pytest.raises(BundleError, match=r"^head\.npz of the bundle is damaged"):
        HeadWeights.from_bytes(data.replace(header, b"'shape':(9**19,)"))
    with pytest.raises(BundleError, match=r"^head\.npz of the bundle is damaged"):
        HeadWeights.from_bytes(data.replace(b"'shape': (2,), }            ", b"'shape': (9999999999999,), } "))


def layer(name: str, *weights: NDArray[np.float32], epsilon: float = 0.0) -> SimpleNamespace:
    return SimpleNamespace(name=name, get_weights=lambda: list(weights), epsilon=epsilon)


def test_batch_norm_is_folded_to_a_factor_and_an_addend(embedding: NDArray[np.float32]) -> None:
    plain = make_head(hidden=2, norm=False)
    gamma, beta, mean, variance = (np.array(pair, np.float32) for pair in ([2, 3], [1, -1], [0.5, 2], [3, 0]))
    model = SimpleNamespace(
        layers=[
            layer("hidden", plain.w1, plain.b1),
            layer("hidden_norm", gamma, beta, mean, variance, epsilon=1.0),
            layer("logits", plain.w2, plain.b2),
        ]
    )
    head = head_of(model)
    hidden = np.maximum(embedding @ plain.w1 + plain.b1, 0)
    normed = gamma * (hidden - mean) / np.sqrt(variance + 1) + beta
    np.testing.assert_allclose(head.logits(embedding), normed @ plain.w2 + plain.b2, rtol=1e-5, atol=1e-5)


def test_a_model_without_a_hidden_layer_has_empty_arrays() -> None:
    plain = make_head(hidden=0)
    head = head_of(SimpleNamespace(layers=[layer("logits", plain.w2, plain.b2)]))
    assert head.w1.size == head.b1.size == head.scale.size == head.offset.size == 0
    np.testing.assert_array_equal(head.w2, plain.w2)
