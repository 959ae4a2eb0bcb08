from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import pytest

from lungwise.models.cnn import KaggleCnn
from lungwise.models.coatnet import FAMILY, CoAtNet, coatnet

SMALL: dict[str, Any] = {
    "image_shape": (64, 96, 3),
    "blocks": (2, 2, 1, 2, 1),
    "widths": (8, 16, 16, 32, 64),
    "activation": "relu",
    "pool": "avg",
    "drop_path": 0.2,
}
CASES = [
    (CoAtNet, SMALL),
    (KaggleCnn, {"image_shape": (40, 50, 1), "filters": (4, 8), "dropouts": (0.1, 0.2)}),
]


@pytest.mark.parametrize(("kind", "arguments"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_config_is_complete_and_rebuilds_the_same_model(kind: type[keras.Model], arguments: dict[str, Any]) -> None:
    model = kind(**arguments)
    missing = set(inspect.signature(kind).parameters) - set(model.get_config()) - {"kwargs"}
    assert not missing, f"{kind.__name__}.get_config() loses {missing}"
    assert {key: model.get_config()[key] for key in arguments} == arguments
    again = kind.from_config(model.get_config())
    again.set_weights(model.get_weights())
    image = np.random.default_rng(0).random((2, *arguments["image_shape"]), "float32")
    np.testing.assert_allclose(again(image), model(image), rtol=1e-6)


def test_coatnet_gives_a_map_of_one_thirty_second() -> None:
    model = CoAtNet(**SMALL)
    assert model.output_shape == (None, 2, 3, 64)


def test_coatnet0_has_the_parameters_of_the_reference_implementation() -> None:
    # timm 1.0 coatnet_0_224 with 3 classes has 24,270,127; its head alone 594,435. Our last norm belongs to the backbone.
    model = coatnet("coatnet0", (224, 224, 3))
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert trainable == 24_270_127 - 594_435 + 2 * 768


def test_pico_is_small() -> None:
    assert coatnet("coatnet-pico", (128, 128, 1)).count_params() <= 10_000_000
    assert FAMILY["coatnet-pico"].widths[3] % 32 == 0


def test_every_weight_learns() -> None:
    """Squeeze-and-excitation once hid in a lambda of the original project and was neither trained nor saved."""
    backbone = CoAtNet(**{**SMALL, "drop_path": 0.0, "activation": "gelu"})
    logits = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(backbone.output))
    model = keras.Model(backbone.input, logits)
    model.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    before = [weight.numpy() for weight in model.trainable_weights]
    rng = np.random.default_rng(0)
    for _ in range(3):
        model.train_on_batch(rng.random((6, 64, 96, 3), "float32"), np.array([0, 1, 2, 0, 1, 2]))
    still = [w.path for w, old in zip(model.trainable_weights, before, strict=True) if np.array_equal(old, w.numpy())]
    # A kernel's bias before a softmax over keys cancels out, so only that third of qkv's bias may stand still.
    assert still == []
