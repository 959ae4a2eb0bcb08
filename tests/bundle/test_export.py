"""An export proves itself; here without Keras, by a network that numpy computes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.bundle.export import TOLERANCE, difference, distance, prove
from lungwise.bundle.head import HeadWeights
from lungwise.errors import BundleError
from tests.bundle_factory import SIZE, make_head, make_onnx, numpy_forward

Batch = NDArray[np.float32]
Answer = dict[str, Batch]


class FakeKeras:
    """Answers as the tiny network does, after ``change``; remembers the sizes of its batches."""

    def __init__(self, head: HeadWeights, pool: str = "average", change: Callable[[Answer], object] = dict) -> None:
        self.head, self.pool, self.change = head, pool, change
        self.batches: list[int] = []

    def predict_on_batch(self, batch: Batch) -> Answer:
        self.batches.append(len(batch))
        answer = numpy_forward(batch, self.head, self.pool)
        self.change(answer)
        return answer


@pytest.fixture
def samples() -> Batch:
    return np.random.default_rng(3).uniform(0, 1, (5, SIZE, SIZE, 1)).astype(np.float32)


@pytest.mark.parametrize("pool", ["average", "flatten"])
@pytest.mark.parametrize("hidden", [0, 5])
def test_equal_networks_are_proven(samples: Batch, pool: str, hidden: int) -> None:
    head = make_head(pool, hidden)
    assert prove(make_onnx(head, pool), FakeKeras(head, pool), head, samples) <= TOLERANCE


def test_several_batch_sizes_are_compared(samples: Batch) -> None:
    head = make_head()
    fake = FakeKeras(head)
    prove(make_onnx(head), fake, head, samples)
    assert len(set(fake.batches)) >= 3


@pytest.mark.parametrize("output", ["logits", "features", "embedding"])
def test_a_different_output_is_refused(samples: Batch, output: str) -> None:
    head = make_head()

    def shift(answer: Answer) -> None:
        answer[output] = answer[output] + np.float32(0.01)

    with pytest.raises(
        BundleError, match=r"ONNX must equal Keras, but they differ by .* \(allowed 1e-05\); nothing was written"
    ):
        prove(make_onnx(head), FakeKeras(head, change=shift), head, samples)


@pytest.mark.parametrize("output", ["logits", "features", "embedding"])
def test_not_a_number_is_refused(samples: Batch, output: str) -> None:
    head = make_head()

    def spoil(answer: Answer) -> None:
        answer[output][0, 0] = np.nan

    with pytest.raises(BundleError, match="they differ by inf"):
        prove(make_onnx(head), FakeKeras(head, change=spoil), head, samples)


def test_not_a_number_on_both_sides_is_refused(samples: Batch) -> None:
    head = make_head()
    head.b2[:] = np.nan
    with pytest.raises(BundleError, match="they differ by inf"):
        prove(make_onnx(head), FakeKeras(head), head, samples)


def test_another_head_is_refused(samples: Batch) -> None:
    head = make_head()
    with pytest.raises(BundleError, match="ONNX must equal Keras"):
        prove(make_onnx(head), FakeKeras(head), make_head(seed=1), samples)


def test_small_values_differ_absolutely() -> None:
    assert difference(np.array([0.1]), np.array([0.2])) == pytest.approx(0.1)


def test_large_values_differ_relatively() -> None:
    assert difference(np.array([101.0, 3.0]), np.array([100.0, 3.0])) == pytest.approx(0.01)


def test_other_shapes_differ_infinitely() -> None:
    assert difference(np.zeros((1, 2)), np.zeros((2, 1))) == float("inf")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_differ_infinitely(value: float) -> None:
    assert difference(np.array([value]), np.array([0.0])) == float("inf")
    assert difference(np.array([0.0]), np.array([value])) == float("inf")
    assert difference(np.array([value]), np.array([value])) == float("inf")


def test_empty_arrays_are_equal() -> None:
    assert difference(np.zeros((0, 3)), np.zeros((0, 3))) == 0.0


def test_maps_differ_as_a_whole_and_one_wrong_value_of_thousands_is_enough_to_refuse() -> None:
    rng = np.random.default_rng(0)
    theirs = rng.normal(size=(1, 7, 7, 384))
    wrong = theirs.copy()
    wrong[0, 3, 3, 5] += 0.01
    assert distance(wrong, theirs) == pytest.approx(0.01 / np.linalg.norm(theirs))
    assert distance(wrong, theirs) > TOLERANCE
    assert distance(theirs + rng.normal(size=theirs.shape) * 2e-5, theirs) > TOLERANCE
    assert distance(theirs[:, :6], theirs) == float("inf")
    assert distance(np.full((1, 2), np.nan), np.zeros((1, 2))) == float("inf")
    assert distance(np.array([0.1]), np.array([0.2])) == pytest.approx(0.1)
