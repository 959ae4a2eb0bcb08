"""Names and shapes of PyTorch checkpoints in ours: timm's CoAtNets and EfficientNet-Lite0."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import WeightsError, some
from lungwise.models.efficientnet import LITE0

Array = NDArray[Any]
TIMM_BACKBONES = {
    "coatnet_nano_rw": "coatnet-nano-rw",
    "coatnet_0_rw": "coatnet0-rw",
    "coatnet_1_rw": "coatnet1-rw",
    "coatnet_2_rw": "coatnet2-rw",
    "coatnet_rmlp_nano_rw": "coatnet-rmlp-nano-rw",
    "coatnet_rmlp_1_rw2": "coatnet-rmlp1-rw2",
    "coatnet_rmlp_2_rw": "coatnet-rmlp2-rw",
}
"""timm's trained architectures that we have, by the name before the image size."""
_TIMM_HEAD_SIZE = 32
_HEADS = ("head.fc.", "head.pre_logits.")
_MBCONV = {
    "pre_norm": "pre_norm", "conv1_1x1": "expand", "norm1": "expand_norm", "conv2_kxk": "depthwise",
    "norm2": "depthwise_norm", "se.fc1": "se_reduce", "se.fc2": "se_expand", "se_early.fc1": "se_reduce",
    "se_early.fc2": "se_expand", "conv3_1x1": "project", "shortcut.expand": "shortcut_project",
}  # fmt: skip
_TRANSFORMER = {
    "norm1": "attention_norm", "norm1.norm": "attention_norm", "attn.qkv": "attention/qkv", "attn.proj": "attention/project",
    "attn.rel_pos": "attention", "attn.rel_pos.mlp.fc1": "attention/position_hidden",
    "attn.rel_pos.mlp.fc2": "attention/position_out", "ls1": "attention_scale", "norm2": "mlp_norm", "mlp.fc1": "mlp_expand",
    "mlp.fc2": "mlp_project", "ls2": "mlp_scale", "shortcut.expand": "shortcut_project",
}  # fmt: skip
_TIMM_ENDS = {
    "stem.conv1": "stem_conv1", "stem.norm1": "stem_norm", "stem.conv2": "stem_conv2", "norm": "norm", "head.norm": "norm",
}  # fmt: skip
_LITE = {
    "_expand_conv": "expand", "_bn0": "expand_norm", "_depthwise_conv": "depthwise", "_bn1": "depthwise_norm",
    "_project_conv": "project", "_bn2": "project_norm",
}  # fmt: skip
_LITE_ENDS = {"_conv_stem": "stem_conv", "_bn0": "stem_norm", "_conv_head": "top_conv", "_bn1": "top_norm"}
_NORM_LEAVES = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_LEAVES = {"weight": "kernel", "bias": "bias", "gamma": "gamma", "relative_position_bias_table": "bias_table"}


def backbone_of_timm(name: str) -> str:
    """Our name of the architecture in "coatnet_0_rw_224.sw_in1k".

    Raises:
        WeightsError: it is none of ours; those that are get listed.
    """
    architecture = re.sub(r"_\d+$", "", name.split(".", 1)[0])
    if architecture not in TIMM_BACKBONES:
        raise WeightsError(f"timm's weights must be of {', '.join(sorted(TIMM_BACKBONES))}, got '{name}'; choose one of these.")
    return TIMM_BACKBONES[architecture]


def from_timm(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """A checkpoint of timm's ``coatnet_*`` with our names and shapes, its classifier left out.

    Raises:
        WeightsError: a name is unknown.
    """
    attending = {key.split(".attn.")[0] for key in arrays if ".attn." in key}

    def layer_of(module: str) -> str | None:
        match = re.fullmatch(r"(stages\.(\d)\.blocks\.(\d+))\.(.+)", module)
        if not match:
            return _TIMM_ENDS.get(module)
        layer = (_TRANSFORMER if match[1] in attending else _MBCONV).get(match[4])
        return layer and f"s{int(match[2]) + 1}_b{match[3]}_{layer}"

    return _convert({key: value for key, value in arrays.items() if not key.startswith(_HEADS)}, layer_of)


def from_lite0(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The checkpoint of EfficientNet-Lite0 with our names and shapes, its classifier left out.

    Raises:
        WeightsError: a name is unknown.
    """
    places = [f"e{number}_b{index}" for number, stage in enumerate(LITE0, start=1) for index in range(stage.blocks)]

    def layer_of(module: str) -> str | None:
        match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)", module)
        if not match or int(match[1]) >= len(places):
            return _LITE_ENDS.get(module)
        layer = _LITE.get(match[2])
        return layer and f"{places[int(match[1])]}_{layer}"

    return _convert({key: value for key, value in arrays.items() if not key.startswith("_fc.")}, layer_of)


def _convert(arrays: Mapping[str, Array], layer_of: Callable[[str], str | None]) -> dict[str, Array]:
    found, unknown = {}, []
    for key, values in arrays.items():
        module, _, leaf = key.rpartition(".")
        if leaf == "num_batches_tracked":
            continue
        layer = layer_of(module)
        ending = (_NORM_LEAVES if layer and layer.endswith("norm") else _LEAVES).get(leaf)
        if layer is None or ending is None:
            unknown.append(key)
        else:
            found[f"{layer}/{ending}"] = _reshape(layer, ending, values)
    if unknown:
        raise WeightsError(
            f"A checkpoint must have the names of its network, but {len(unknown)} are unknown ({some(unknown)}); take one of "
            "timm's CoAtNets."
        )
    return found


def _reshape(layer: str, ending: str, values: Array) -> Array:
    if layer.endswith("/qkv"):
        # timm keeps query, key and value of one head together; ours has the queries of all heads first.
        by_head = values.reshape(-1, 3, _TIMM_HEAD_SIZE, *values.shape[1:])
        values = by_head.swapaxes(0, 1).reshape(values.shape)
    if ending == "bias_table":
        # timm's offset is query - key, ours key - query: the same table read backwards.
        return np.ascontiguousarray(values[::-1])
    if ending != "kernel":
        return values
    if "/" in layer or "_mlp_" in layer:
        return np.ascontiguousarray(values.reshape(values.shape[:2]).T)
    return np.ascontiguousarray(values.transpose(2, 3, 0, 1) if layer.endswith("depthwise") else values.transpose(2, 3, 1, 0))
