from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest

from lungwise.models.cnn import KaggleCnn
from lungwise.models.coatnet import FAMILY, CoAtNet, Layout, coatnet
from lungwise.models.coatnet_lite import CoAtNetLite
from lungwise.models.efficientnet import EfficientNetLite0
from lungwise.models.resnet import resnet50v2
from lungwise.models.stages import stages

SMALL = Layout((2, 2, 1, 2, 1), (8, 16, 16, 32, 64), activation="relu", mlp_activation="relu", pool="avg")
IMAGE = (64, 96, 3)


RW = replace(FAMILY["coatnet-rmlp2-rw"], blocks=(2, 1, 1, 1, 1), widths=(8, 8, 32, 32, 64))
BACKBONES: dict[str, Callable[[], keras.Model]] = {
    "coatnet": lambda: CoAtNet(IMAGE, SMALL),
    "coatnet-rw": lambda: CoAtNet(IMAGE, RW),
    "efficientnet-lite0": lambda: EfficientNetLite0((64, 96, 1)),
    "coatnet-lite": lambda: CoAtNetLite((64, 96, 1)),
    "kaggle-cnn": lambda: KaggleCnn((64, 96, 1)),
    "resnet50v2": lambda: resnet50v2((64, 64, 1)),
}


def test_coatnet_gives_a_map_of_one_thirty_second() -> None:
    assert CoAtNet(IMAGE, SMALL).output_shape == (None, 2, 3, 64)
    assert EfficientNetLite0((64, 96, 1)).output_shape == (None, 2, 3, 1280)
    assert CoAtNetLite((64, 96, 1)).output_shape == (None, 2, 3, 384)


@pytest.mark.parametrize("at", ["depthwise", "expand", "pool"])
def test_every_place_of_the_stride_halves_the_map(at: str) -> None:
    layout = Layout((2, 2, 1, 1, 1), (8, 16, 16, 32, 32), mixed=(2, 24), stride_at=at)  # type: ignore[arg-type]
    model = CoAtNet(IMAGE, layout)
    assert [model.get_layer(f"s{stage}_b0_add").output.shape[1:3] for stage in (1, 2, 3)] == [(16, 24), (8, 12), (4, 6)]
    assert model.output_shape == (None, 2, 3, 32)


def test_mixed_stage_has_convolutions_before_attention() -> None:
    plan = FAMILY["coatnet6"].plan()
    third = [row for row in plan if row[0].startswith("s3_")]
    assert [row[1:] for row in third[:1] + third[7:9]] == [("mbconv", 768, 2), ("mbconv", 768, 1), ("transformer", 1536, 1)]
    assert len(third) == 50
    assert plan[-1] == ("s4_b1", "transformer", 2048, 1)


def test_stochastic_depth_rises_from_0_to_its_rate() -> None:
    model = CoAtNet(IMAGE, SMALL, drop_path=0.3)
    rates = [layer.rate for layer in model.layers if layer.name.endswith("_drop")]
    assert (rates[0], rates[-1]) == (0.0, pytest.approx(0.3))
    assert rates == sorted(rates)


def test_lite_networks_have_the_size_they_promise() -> None:
    # The original has 4,652,008 parameters, 1,281,000 of them in its classifier.
    lite0 = EfficientNetLite0((224, 224, 3))
    assert sum(int(np.prod(weight.shape)) for weight in lite0.trainable_weights) == 4_652_008 - 1_281_000
    assert 5_000_000 < CoAtNetLite((224, 224, 1)).count_params() < 8_000_000


@pytest.mark.parametrize("name", BACKBONES)
def test_stages_hold_every_weight_once_in_order(name: str) -> None:
    backbone = BACKBONES[name]()
    found = stages(backbone)
    assert len(found) == 5
    names = [weight.path for stage in found for layer in stage for weight in layer.weights]
    assert sorted(names) == sorted(weight.path for weight in backbone.weights)
    order = {layer.name: place for place, layer in enumerate(backbone.layers)}
    firsts = [min(order[layer.name] for layer in stage) for stage in found]
    assert firsts == sorted(firsts)


def test_frozen_stages_stay_while_the_others_learn() -> None:
    backbone = CoAtNet(IMAGE, SMALL)
    for layer in [*stages(backbone)[0], *stages(backbone)[1]]:
        layer.trainable = False
    learning = {weight.path.split("_")[0] for weight in backbone.trainable_weights}
    assert learning == {"s2", "s3", "s4", "norm/gamma", "norm/beta"}


def test_stages_of_an_unknown_network_are_refused() -> None:
    other = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="dense")], name="other")
    with pytest.raises(ValueError, match=r"must hold all its weights, but other has others: \['dense'\]\."):
        stages(other)


@pytest.mark.parametrize("name", ["coatnet-pico", "coatnet-nano"])
def test_small_ones_are_small(name: str) -> None:
    assert coatnet(name, (128, 128, 1)).count_params() <= 12_000_000
    assert FAMILY[name].widths[3] % 32 == 0


def test_every_weight_learns() -> None:
    """Squeeze-and-excitation once hid in a lambda of the original project and was neither trained nor saved."""
    backbone = CoAtNet(IMAGE, replace(SMALL, activation="gelu", mlp_activation="gelu"))
    logits = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(backbone.output))
    model = keras.Model(backbone.input, logits)
    # Three steps are done sooner than a graph of them is made.
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), crossentropy, jit_compile=False, run_eagerly=True)
    before = [weight.numpy() for weight in model.trainable_weights]
    rng = np.random.default_rng(0)
    for _ in range(3):
        model.train_on_batch(rng.random((6, *IMAGE), "float32"), np.array([0, 1, 2, 0, 1, 2]))
    still = [w.path for w, old in zip(model.trainable_weights, before, strict=True) if np.array_equal(old, w.numpy())]
    # A kernel's bias before a softmax over keys cancels out, so only that third of qkv's bias may stand still.
    assert still == []
