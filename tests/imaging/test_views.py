"""A few views of an image: fixed, mild, never mirrored, the first one the image itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.data.augment import augment
from lungwise.imaging.preprocess import Preprocess, to_input
from lungwise.imaging.views import CHANGES, MOST, Change, mean_logits, to_inputs, views
from lungwise.recipe import Augment, Predict

Grey = NDArray[np.uint8]
SIDE = 100


@pytest.fixture
def square() -> Grey:
    """Smooth noise, so that a shift by a few pixels is seen and an interpolation error is small."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    return np.rint(120 + 60 * np.sin(7 * rows + 2 * columns) + 50 * np.cos(5 * columns)).astype(np.uint8)


def disc(row: float, column: float, radius: float) -> Grey:
    """A white disc on black, its centre given as shares of the side."""
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    distance = np.hypot(rows - row * SIDE, columns - column * SIDE)
    return np.clip(255 * (radius * SIDE - distance + 0.5), 0, 255).astype(np.uint8)


def middle(image: Grey) -> tuple[float, float]:
    """Where the white is: row and column as shares of the side."""
    weight = image / image.sum()
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    return float((weight * rows).sum() / SIDE), float((weight * columns).sum() / SIDE)


@pytest.mark.parametrize("number", [1, 2, 9, MOST])
def test_the_first_view_is_the_image_and_the_others_are_not(square: Grey, number: int) -> None:
    found = views(square, number)
    assert (found.shape, found.dtype) == ((number, SIDE, SIDE), np.uint8)
    np.testing.assert_array_equal(found[0], square)
    assert len(np.unique(found.reshape(number, -1), axis=0)) == number


def test_fewer_views_are_the_first_of_more_and_always_the_same(square: Grey) -> None:
    before = square.copy()
    all_of_them = views(square, MOST)
    for number in range(1, MOST):
        np.testing.assert_array_equal(views(square, number), all_of_them[:number])
    np.testing.assert_array_equal(square, before)


def test_a_recipe_may_ask_for_as_many_as_there_are() -> None:
    assert len(CHANGES) == MOST == 16
    assert Predict(views=MOST).views == MOST
    with pytest.raises(ValueError, match=f"less than or equal to {MOST}"):
        Predict(views=MOST + 1)


def test_opposite_changes_follow_each_other() -> None:
    for one, other in zip(CHANGES[1:-1:2], CHANGES[2::2], strict=True):
        np.testing.assert_allclose(np.mean([one, other], axis=0), Change(), atol=1e-12)


def test_every_change_is_mild() -> None:
    for change in CHANGES:
        assert abs(change.angle) <= 5
        assert 0.95 <= change.zoom <= 1.05
        assert max(abs(change.right), abs(change.down)) <= 0.03


def test_a_shift_goes_where_it_says() -> None:
    image = disc(0.5, 0.5, 0.1)
    for view, change in zip(views(image, MOST), CHANGES, strict=True):
        np.testing.assert_allclose(middle(view), (0.5 + change.down, 0.5 + change.right), atol=2e-3)


def test_rotation_and_zoom_are_about_the_middle() -> None:
    image = disc(0.5, 0.8, 0.1)  # to the right of the middle
    for view, change in zip(views(image, MOST), CHANGES, strict=True):
        angle, length = np.radians(change.angle), 0.3 * change.zoom
        expected = (0.5 - length * np.sin(angle) + change.down, 0.5 + length * np.cos(angle) + change.right)
        np.testing.assert_allclose(middle(view), expected, atol=2e-3)
        np.testing.assert_allclose(view.sum() / image.sum(), change.zoom**2, rtol=0.02)


def test_no_view_is_mirrored() -> None:
    heart = disc(0.6, 0.62, 0.15)
    assert all(middle(view)[1] > 0.55 for view in views(heart, MOST))


def test_borders_repeat_the_edge() -> None:
    assert (views(np.full((40, 40), 200, np.uint8), MOST) == 200).all()


def test_views_move_images_as_training_does(square: Grey) -> None:
    # A draw at the limits: augmentation by the same shift.
    class Most:
        def uniform(self, low: float, high: float, size: int | None = None) -> object:
            return high if size is None else np.array([high, 0.0])

    expected = augment(square, Augment(shift=0.03), Most())  # type: ignore[arg-type]
    np.testing.assert_array_equal(views(square, 4)[3], expected)


def test_a_view_of_the_image_reaches_the_network_as_the_image_does() -> None:
    stored = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    spec = Preprocess(stored=48, size=32, low=-1.0, high=1.0)
    found = to_inputs(stored, spec, 5)
    assert (found.shape, found.dtype) == ((5, 32, 32, 1), np.float32)
    np.testing.assert_array_equal(found[0], to_input(stored, spec))
    np.testing.assert_array_equal(to_inputs(stored, spec, 1)[0], to_input(stored, spec))


@pytest.mark.parametrize("number", [0, -1, MOST + 1])
def test_other_numbers_are_refused(square: Grey, number: int) -> None:
    with pytest.raises(ValueError, match=rf"^An image has 1 to {MOST} views, got {number}\.$"):
        views(square, number)


def test_the_views_of_an_image_stand_together() -> None:
    logits = np.array([[0, 1], [2, 3], [4, 8], [10, 0], [10, 1], [10, 2]], np.float32)
    found = mean_logits(logits, 3)
    np.testing.assert_array_equal(found, np.array([[2, 4], [10, 1]], np.float32))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(mean_logits(logits, 1), logits)
    assert mean_logits(logits[:0], 3).shape == (0, 2)
