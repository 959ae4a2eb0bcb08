"""One contract for every layer and backbone: a complete configuration, and a saved model that answers the same."""

from __future__ import annotations

import inspect
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from lungwise.models.attention import RelativeAttention
from lungwise.models.cnn import KaggleCnn
from lungwise.models.coatnet import CoAtNet, Layout
from lungwise.models.coatnet_lite import CoAtNetLite
from lungwise.models.efficientnet import EfficientNetLite0
from lungwise.models.layers import DropPath, LayerScale, Standardise

ODD = Layout(
    (2, 1, 1, 2, 1), (8, 16, 16, 16, 32), stem=12, mixed=(1, 24), activation="silu", mlp_activation="relu", pool="avg",
    stride_at="expand", hidden_of="input", pre_activation=True, squeeze_early=True, squeeze_activation="relu",
    output_bias=False, attention_of="input", shortcut_bias=False, head_size=8, position="mlp", position_width=8,
    layer_scale=0.1,
)  # fmt: skip
"""Nothing in it is a default."""
MODELS: list[tuple[type[keras.Model], dict[str, Any]]] = [
    (CoAtNet, {"image_shape": (64, 96, 3), "layout": ODD, "drop_path": 0.2}),
    (EfficientNetLite0, {"image_shape": (64, 96, 1), "drop_path": 0.2}),
    (CoAtNetLite, {"image_shape": (64, 96, 1), "widths": (32, 64), "blocks": (1, 2), "drop_path": 0.2}),
    (KaggleCnn, {"image_shape": (40, 50, 1), "filters": (4, 8), "dropouts": (0.1, 0.2)}),
]
ATTENTION = {"width": 32, "dropout": 0.1, "inner": 16, "head_size": 8, "position": "mlp", "position_width": 8}
LAYERS: list[tuple[type[keras.layers.Layer], dict[str, Any]]] = [
    (DropPath, {"rate": 0.3, "seed": 5}),
    (LayerScale, {"start": 0.3}),
    (Standardise, {"epsilon": 0.01, "deviation": 0.5}),
    (RelativeAttention, ATTENTION),
]


def named(value: object) -> str:
    return getattr(value, "__name__", "")


def plain(value: object) -> object:
    return asdict(value) if isinstance(value, Layout) else value


def check_config(kind: type, arguments: dict[str, Any], config: dict[str, Any]) -> None:
    parameters = inspect.signature(kind).parameters
    assert set(parameters) - {"kwargs"} == set(arguments), "the test must give every argument"
    for name, value in arguments.items():
        assert value != parameters[name].default, f"the test must not give {name} its default"
        assert name in config, f"{kind.__name__}.get_config() loses {name}"
        assert config[name] == plain(value)


def test_the_odd_layout_has_no_default() -> None:
    assert [field.name for field in fields(Layout) if getattr(ODD, field.name) == field.default] == []


@pytest.mark.parametrize(("kind", "arguments"), LAYERS, ids=named)
def test_layers_are_rebuilt_from_their_configuration(kind: type[keras.layers.Layer], arguments: dict[str, Any]) -> None:
    layer = kind(**arguments)
    check_config(kind, arguments, layer.get_config())
    x = np.random.default_rng(0).random((2, 4, 6, 16), "float32")
    expected = np.asarray(layer(x))
    again = kind.from_config(layer.get_config())
    again.build(x.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x), expected)


@pytest.mark.parametrize(("kind", "arguments"), MODELS, ids=named)
def test_models_are_saved_and_answer_the_same(kind: type[keras.Model], arguments: dict[str, Any], tmp_path: Path) -> None:
    model = kind(**arguments, name="net")
    check_config(kind, arguments, model.get_config())
    image = np.random.default_rng(0).random((2, *arguments["image_shape"]), "float32")
    expected = np.asarray(model(image))
    again = kind.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(again(image), expected, rtol=1e-6)
    model.save(tmp_path / "net.keras")
    read = keras.saving.load_model(tmp_path / "net.keras")
    assert type(read) is kind
    check_config(kind, arguments, read.get_config())
    np.testing.assert_allclose(read(image), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", [CoAtNet, EfficientNetLite0, CoAtNetLite], ids=named)
def test_sides_that_five_halvings_do_not_divide_are_refused(kind: type[keras.Model]) -> None:
    arguments = {"layout": ODD} if kind is CoAtNet else {}
    with pytest.raises(ValueError, match=r"must be multiples of 32, got \(64, 100\)\."):
        kind((64, 100, 1), **arguments)
