"""Lets timm be imported without torchvision, which it needs for its data pipeline alone."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types
from typing import Any


class _Empty(types.ModuleType):
    """A module in which every name is an empty class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        modes = ("NEAREST", "BILINEAR", "BICUBIC", "BOX", "HAMMING", "LANCZOS")
        made = type(name, (), {key: number for number, key in enumerate(modes)})
        setattr(self, name, made)
        return made


def stand_in_for_torchvision() -> None:
    """Put empty modules in torchvision's place unless it is installed."""
    if importlib.util.find_spec("torchvision"):
        return
    parts = ["", ".ops", ".ops.misc", ".transforms", ".transforms.functional", ".datasets", ".datasets.folder", ".models"]
    for name in [f"torchvision{part}" for part in [*parts, ".models.feature_extraction"]]:
        module = _Empty(name)
        module.__path__, module.__spec__ = [], importlib.machinery.ModuleSpec(name, None)
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
