from __future__ import annotations

import keras
import numpy as np
import pytest

from lungwise.models.layers import DropPath, LayerScale, Standardise, gelu


def test_gelu_is_the_exact_one() -> None:
    x = np.linspace(-6, 6, 101).astype("float32")
    np.testing.assert_allclose(gelu(x), keras.activations.gelu(x, approximate=False), atol=1e-6)


def test_drop_path_leaves_inference_alone_and_keeps_the_mean_in_training() -> None:
    layer = DropPath(0.25, seed=3)
    x = np.ones((4000, 1, 1, 2), "float32")
    np.testing.assert_array_equal(layer(x, training=False), x)
    dropped = np.asarray(layer(x, training=True))
    np.testing.assert_allclose(np.unique(dropped), [0.0, 1 / 0.75], rtol=1e-6)
    assert dropped.mean() == pytest.approx(1.0, abs=0.05)
    np.testing.assert_array_equal(dropped[..., 0], dropped[..., 1])


def test_layer_scale_multiplies_each_channel() -> None:
    layer = LayerScale(0.5)
    x = np.arange(6, dtype="float32").reshape(1, 1, 2, 3)
    np.testing.assert_array_equal(layer(x), x * 0.5)
    layer.gamma.assign([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(layer(x), x * [1.0, 2.0, 3.0])


@pytest.mark.parametrize("deviation", [1.0, 0.5])
def test_standardised_images_have_mean_0_and_one_deviation(deviation: float) -> None:
    rng = np.random.default_rng(0)
    x = (0.7 + 0.1 * rng.random((3, 300, 200, 1))).astype("float32")
    found = np.asarray(Standardise(epsilon=0.0, deviation=deviation)(x), np.float64)
    exact = (x - x.mean((1, 2), keepdims=True, dtype=np.float64)) / x.std((1, 2), keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(found, exact * deviation, atol=5e-6)


def test_standardised_image_of_one_grey_is_all_zero() -> None:
    np.testing.assert_array_equal(np.asarray(Standardise()(np.full((1, 8, 8, 1), 0.5, "float32"))), 0.0)
