"""Images in batches, their views together, in the order of the part; a network that can be seen through stands for Keras'."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.data.store import PreparedData
from lungwise.errors import DataError
from lungwise.imaging.preprocess import Preprocess
from lungwise.imaging.views import to_inputs
from lungwise.training.predict import BATCH, predict_logits, validate

SPEC = Preprocess(stored=40, size=32)


class Glass:
    """Logits are the grey of three places of the image, times ten."""

    output_shape = (None, 3)

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def predict_on_batch(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self.sizes.append(len(batch))
        return 10 * batch[:, [4, 16, 28], 10, 0]


class Broken(Glass):
    """Its last answer is no number."""

    def predict_on_batch(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        found = super().predict_on_batch(batch)
        found[-1, 0] = -np.inf
        return found


@pytest.mark.parametrize("views", [1, 2, 9, 16])
def test_every_image_gets_the_mean_of_its_own_views(small_data: PreparedData, views: int) -> None:
    part, model = small_data.part("train", "validation", "test"), Glass()
    found = predict_logits(model, part, SPEC, views)
    inputs = [to_inputs(np.asarray(small_data.pixels[row]), SPEC, views) for row in part.rows]
    wanted = [10 * views_of_one[:, [4, 16, 28], 10, 0].mean(axis=0) for views_of_one in inputs]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert found.dtype == np.float32
    assert max(model.sizes) <= BATCH
    assert sum(model.sizes) == len(part) * views


@pytest.mark.parametrize("views", [1, 3])
def test_no_images_have_no_logits(small_data: PreparedData, views: int) -> None:
    assert predict_logits(Glass(), small_data.part("none"), SPEC, views).shape == (0, 3)


@pytest.mark.parametrize("views", [1, 3])
def test_images_are_not_enlarged(small_data: PreparedData, views: int) -> None:
    with pytest.raises(DataError, match="wants images of 64 px, but the data set was prepared at 40 px"):
        predict_logits(Glass(), small_data.test, Preprocess(stored=40, size=64), views)


def test_validation_is_loss_and_accuracy_of_the_image_itself(small_data: PreparedData) -> None:
    part = small_data.validation
    logits: Any = predict_logits(Glass(), part, SPEC).astype(float)
    own = logits[np.arange(len(part)), part.y] - np.log(np.exp(logits).sum(axis=1))
    found = validate(Glass(), part, SPEC)
    assert found == pytest.approx({"val_loss": -own.mean(), "val_accuracy": (logits.argmax(axis=1) == part.y).mean()})


def test_a_logit_that_is_no_number_makes_the_loss_none(small_data: PreparedData) -> None:
    assert math.isnan(validate(Broken(), small_data.validation, SPEC)["val_loss"])
