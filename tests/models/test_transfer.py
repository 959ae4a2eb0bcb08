from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from lungwise.errors import WeightsError
from lungwise.models.attention import RelativeAttention
from lungwise.models.coatnet import CoAtNet, Layout
from lungwise.models.transfer import assign, fit_table, match_channels, resize_table, transfer

LAYOUT = Layout((2, 1, 1, 2, 1), (8, 16, 16, 32, 64))


def smooth(rows: int, columns: int) -> np.ndarray:
    """A table of two heads: a falling slope and a bump, as learnt biases look."""
    down, right = np.meshgrid(np.linspace(-1, 1, 2 * rows - 1), np.linspace(-1, 1, 2 * columns - 1), indexing="ij")
    return np.stack([down + 2 * right, np.exp(-(down**2) - right**2)], axis=-1).reshape(-1, 2).astype("float32")


def test_resizing_to_the_same_grid_changes_nothing() -> None:
    table = np.random.default_rng(0).normal(size=(7 * 9, 3)).astype("float32")
    np.testing.assert_allclose(resize_table(table, (4, 5), (4, 5)), table, atol=1e-7)


def test_resizing_one_row_worked_by_hand() -> None:
    # 3 values to 5: centres at (i + 0.5) * 3 / 5 - 0.5 = -0.2, 0.4, 1, 1.6, 2.2, the first and last held at the border.
    found = resize_table(np.array([[1.0], [2.0], [4.0]]), (1, 2), (1, 3))
    np.testing.assert_allclose(found[:, 0], [1.0, 1.4, 2.0, 3.2, 4.0], atol=1e-6)


def test_there_and_back_is_close_and_keeps_the_middle() -> None:
    table = smooth(7, 7)
    larger = resize_table(table, (7, 7), (12, 14))
    assert larger.shape == (23 * 27, 2)
    np.testing.assert_allclose(larger[23 * 27 // 2], table[13 * 13 // 2], atol=1e-6)
    # Only the borders, which are held, lose something: 1 % of the slope's range.
    np.testing.assert_allclose(resize_table(larger, (12, 14), (7, 7)), table, atol=0.012 * np.ptp(table))


def test_a_table_of_the_same_grid_is_returned_as_it_is() -> None:
    table = np.array([[-0.0, 1e-40]] * (7 * 9), np.float32)
    assert fit_table("table", table, (4, 5)) is table


@pytest.mark.parametrize("side", [1, 2, 7])
def test_a_table_of_square_images_fits_another_grid(side: int) -> None:
    table = smooth(side, side)
    np.testing.assert_array_equal(fit_table("table", table, (5, 6)), resize_table(table, (side, side), (5, 6)))


def test_a_table_of_one_place_becomes_flat() -> None:
    np.testing.assert_array_equal(fit_table("table", np.array([[2.0, -3.0]]), (2, 2)), [[2.0, -3.0]] * 9)


def with_smooth_tables(model: CoAtNet) -> CoAtNet:
    for weight in model.weights:
        if weight.path.endswith("bias_table"):
            side = (round(weight.shape[0] ** 0.5) + 1) // 2
            weight.assign(np.repeat(smooth(side, side)[:, 1:], weight.shape[1], axis=1))
    return model


def test_weights_go_to_another_size_and_a_plain_image_gets_nearly_the_same_answer() -> None:
    keras.utils.set_random_seed(0)
    small, large, other = (CoAtNet(shape, LAYOUT) for shape in ((64, 64, 1), (96, 128, 1), (64, 64, 1)))
    transfer(with_smooth_tables(small), large)
    images = [np.full((1, *model.input_shape[1:]), 0.5, "float32") for model in (small, large, other)]
    plain = [np.asarray(model(image)).mean((1, 2)) for model, image in zip((small, large, other), images, strict=True)]
    # Borders weigh less in the larger image; other weights differ ten times as much.
    assert np.abs(plain[0] - plain[1]).mean() < 0.15 * np.abs(plain[0] - plain[2]).mean()
    back = CoAtNet((64, 64, 1), LAYOUT)
    transfer(large, back)
    for first, last in zip(small.weights, back.weights, strict=True):
        np.testing.assert_allclose(first, last, atol=0.1 if first.path.endswith("bias_table") else 0)


def scene(side: int) -> np.ndarray:
    """The same soft picture on a grid of any size, 32 channels: [1, side, side, 32]."""
    place = (np.arange(side) + 0.5) / side
    down, right = place[:, None, None], place[None, :, None]
    phase = np.arange(32) / 5
    return np.asarray(np.sin(3 * down + phase) * np.cos(2 * right - 2 * phase), "float32")[None]


def test_attention_with_a_resized_table_sees_the_same_picture() -> None:
    keras.utils.set_random_seed(0)
    coarse, fine = RelativeAttention(32), RelativeAttention(32)
    coarse.build((None, 8, 8, 32))
    fine.build((None, 16, 16, 32))
    table = 4 * smooth(8, 8)[:, :1]
    coarse.bias_table.assign(table)
    for one, other in ((coarse.qkv, fine.qkv), (coarse.project, fine.project)):
        other.set_weights(one.get_weights())
    means = []
    for resized in (resize_table(table, (8, 8), (16, 16)), np.zeros((31 * 31, 1))):
        fine.bias_table.assign(resized)
        means.append(np.asarray(fine(scene(16))).mean((1, 2)))
    wanted = np.asarray(coarse(scene(8))).mean((1, 2))
    right, wrong = (np.abs(found - wanted).max() for found in means)
    assert right < 0.1 * wrong


def test_weights_of_the_same_size_are_copied_exactly() -> None:
    first, second = CoAtNet((64, 96, 3), LAYOUT), CoAtNet((64, 96, 3), LAYOUT)
    transfer(first, second)
    image = np.random.default_rng(0).random((2, 64, 96, 3), "float32")
    np.testing.assert_array_equal(first(image), second(image))


def test_positions_by_mlp_need_no_resizing() -> None:
    layout = replace(LAYOUT, position="mlp", position_width=8)
    first, second = CoAtNet((64, 64, 1), layout), CoAtNet((96, 96, 1), layout)
    transfer(first, second)
    for one, other in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_grey_and_colour_kernels_answer_grey_images_alike() -> None:
    colour, grey, again = (CoAtNet((64, 64, channels), LAYOUT) for channels in (3, 1, 3))
    transfer(colour, grey)
    transfer(grey, again)
    image = np.random.default_rng(0).random((1, 64, 64, 1), "float32")
    answers = [np.asarray(model(np.repeat(image, model.input_shape[-1], axis=3))) for model in (colour, grey, again)]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-5)
    np.testing.assert_allclose(answers[1], answers[2], atol=1e-5)


def test_a_kernel_is_summed_over_the_colours() -> None:
    kernel = np.arange(6, dtype="float32").reshape(1, 1, 3, 2)
    np.testing.assert_array_equal(match_channels(kernel, 1), [[[[6.0, 9.0]]]])
    np.testing.assert_allclose(match_channels(match_channels(kernel, 1), 3).sum(axis=2), [[[6.0, 9.0]]])


def dense(units: int = 2) -> keras.Model:
    image = keras.layers.Input((3,))
    return keras.Model(image, keras.layers.Dense(units, name="first")(image), name="net")


def test_both_differences_are_listed_and_nothing_is_changed() -> None:
    model = dense()
    before = model.get_weights()
    with pytest.raises(WeightsError) as caught:
        assign(model, {"first/kernel": np.ones((3, 2)), "last/kernel": np.ones(1)})
    assert str(caught.value) == (
        "The weights must fit the backbone net, but 1 are only in the model (first/bias) and 1 only in the file (last/kernel); "
        "take the backbone that they were made for, or name what to skip."
    )
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_is_skipped_keeps_its_values() -> None:
    model = dense()
    assign(model, {"first/kernel": np.ones((3, 2)), "last/kernel": np.ones(1)}, skip=["last/*", "*/bias"])
    np.testing.assert_array_equal(model.get_weights()[0], np.ones((3, 2)))


def test_a_shape_that_differs_is_named() -> None:
    with pytest.raises(WeightsError, match=r"first/kernel has the shape \(3, 4\) in the file and \(3, 2\) in the model; take"):
        assign(dense(), {"first/kernel": np.ones((3, 4)), "first/bias": np.ones(2)})


def test_a_table_of_no_square_is_refused() -> None:
    model = CoAtNet((64, 64, 1), LAYOUT)
    arrays = {weight.path: np.asarray(weight) for weight in model.weights}
    arrays["s3_b0_attention/bias_table"] = np.zeros((50, 1))
    with pytest.raises(WeightsError, match="must come from square images, but its 50 rows are no such table"):
        assign(model, arrays)
