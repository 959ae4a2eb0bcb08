"""Lungwise: chest X-ray classifiers that can be believed. Research use only; not a medical device."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.2.0"

_HOME = {
    "prepare": "lungwise.data.prepare",
    "Request": "lungwise.data.prepare",
    "open_data": "lungwise.data.store",
    "XrayClassifier": "lungwise.classifier",
    "evaluate": "lungwise.classifier",
    "load": "lungwise.inference.predictor",
    "Pixels": "lungwise.inference.pixels",
    "LungwiseError": "lungwise.errors",
}

__all__ = ["LungwiseError", "Pixels", "Request", "XrayClassifier", "__version__", "evaluate", "load", "open_data", "prepare"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that ``import lungwise`` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'lungwise' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)
