"""Batches are decided by the seed and the number of the epoch alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lungwise.data.batches import TrainingBatches, load_squares, plain_batches
from lungwise.data.prepare import Request, prepare
from lungwise.data.store import PreparedData
from lungwise.errors import DataError
from lungwise.imaging.preprocess import Preprocess, scale
from lungwise.recipe import Recipe, parse_recipe
from tests.conftest import MakeFolder


@pytest.fixture
def data(make_folder: MakeFolder, tmp_path: Path) -> PreparedData:
    source = make_folder({"NORMAL": 9, "PNEUMONIA": 4})
    return prepare(source, tmp_path / "data", Request(Preprocess(stored=40)))


def recipe(batch_size: int = 4, seed: int = 0, **data: object) -> Recipe:
    return parse_recipe({"name": "x", "seed": seed, "fit": {"batch_size": batch_size}, "data": data})


def batches(data: PreparedData, chosen: Recipe, size: int = 32) -> TrainingBatches:
    return TrainingBatches(data.train, chosen, Preprocess(stored=40, size=size))


def test_a_batch_is_images_labels_and_weights(data: PreparedData) -> None:
    images, y, weights = next(batches(data, recipe()).epoch(0))
    assert (images.shape, images.dtype) == ((4, 32, 32, 1), np.float32)
    assert (y.dtype, weights.dtype) == (np.int32, np.float32)
    assert (images.min() >= 0, images.max() <= 1) == (True, True)


def test_an_epoch_takes_no_image_twice_and_only_whole_batches(data: PreparedData) -> None:
    made = batches(data, recipe(batch_size=5))
    epoch = list(made.epoch(0))
    assert len(epoch) == len(made) == len(data.train) // 5
    images = np.concatenate([images for images, _, _ in epoch])
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)


def test_an_epoch_is_the_same_whenever_it_is_asked_for(data: PreparedData) -> None:
    chosen = recipe(augment={"rotation": 10, "contrast": 0.2})
    made = batches(data, chosen)
    later = list(made.epoch(3))
    for (images, y, _), (again, same, _) in zip(later, batches(data, chosen).epoch(3), strict=True):
        np.testing.assert_array_equal(images, again)
        np.testing.assert_array_equal(y, same)


def test_epochs_and_seeds_differ(data: PreparedData) -> None:
    first = next(batches(data, recipe()).epoch(0))[0]
    assert not np.array_equal(first, next(batches(data, recipe()).epoch(1))[0])
    assert not np.array_equal(first, next(batches(data, recipe(seed=1)).epoch(0))[0])


def test_every_image_keeps_its_label(data: PreparedData) -> None:
    squares = scale(load_squares(data.pixels, data.train.rows, 40), Preprocess())
    expected = {square.tobytes(): label for square, label in zip(squares, data.train.y, strict=True)}
    for images, y, _ in batches(data, recipe(), size=40).epoch(2):
        assert [expected[image[..., 0].tobytes()] for image in images] == y.tolist()


def test_weights_make_classes_count_the_same(data: PreparedData) -> None:
    made = batches(data, recipe(balance="weights"))
    sums = np.bincount(made.y, weights=made.weights)
    assert sums[0] == pytest.approx(sums[1])


def test_downsampling_leaves_equal_classes_of_weight_one(data: PreparedData) -> None:
    made = batches(data, recipe(batch_size=2, balance="downsample"))
    assert len(set(np.bincount(made.y))) == 1
    assert set(made.weights) == {1.0}


def test_without_balance_everything_is_left_alone(data: PreparedData) -> None:
    made = batches(data, recipe(balance="none"))
    assert len(made.y) == len(data.train)
    assert set(made.weights) == {1.0}


def test_augmentation_changes_training_images_only(data: PreparedData) -> None:
    plain, changed = recipe(), recipe(augment={"shift": 0.3})
    assert not np.array_equal(next(batches(data, plain).epoch(0))[0], next(batches(data, changed).epoch(0))[0])
    stored = scale(np.asarray(data.pixels[data.test.rows]), Preprocess())
    found = np.concatenate(list(plain_batches(data.test, Preprocess(stored=40, size=40), 3)))
    np.testing.assert_array_equal(found[..., 0], stored)


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_plain_batches_hold_every_image_once_in_order(data: PreparedData, batch_size: int) -> None:
    spec = Preprocess(stored=40, size=32)
    parts = list(plain_batches(data.train, spec, batch_size))
    assert sum(map(len, parts)) == len(data.train)
    np.testing.assert_array_equal(np.concatenate(parts), next(plain_batches(data.train, spec, 1000)))


def test_a_batch_larger_than_the_part_says_what_to_set(data: PreparedData) -> None:
    number = len(data.train)
    with pytest.raises(DataError) as caught:
        batches(data, recipe(batch_size=1000))
    assert str(caught.value) == (
        f"A batch must not be larger than the training part, but fit.batch_size is 1000 and there are {number} images; "
        f"lower it with --set fit.batch_size={number}."
    )


def test_images_larger_than_prepared_are_refused(data: PreparedData) -> None:
    with pytest.raises(DataError) as caught:
        batches(data, recipe(), size=64)
    assert str(caught.value) == (
        "The recipe wants images of 64 px, but the data set was prepared at 40 px; prepare it again with --size 64."
    )
