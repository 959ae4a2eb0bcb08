"""Which engine runs the network: the one that is asked for, else the one that is always there."""

from __future__ import annotations

import os
from importlib.util import find_spec

from lungwise.errors import LungwiseError
from lungwise.inference.cores import usable_cores
from lungwise.inference.engine import Engine
from lungwise.inference.openvino_engine import OpenvinoBfloat16Engine, OpenvinoEngine

AUTO = "auto"
DEFAULT = "onnxruntime"
NAMES = (AUTO, DEFAULT, "openvino", "openvino-bf16")
"""What may be asked for."""
VARIABLE = "LUNGWISE_ENGINE"
LONG = 500
"""Images from which on it pays to settle: measuring takes as long as some 250 images, once for a bundle and a machine."""


def wanted_engine(name: str = AUTO) -> str:
    """The engine to take: ``name``, or what ``$LUNGWISE_ENGINE`` names where that is "auto".

    Raises:
        LungwiseError: there is no such engine.
    """
    said = os.environ.get(VARIABLE, "").strip().lower() if name == AUTO else ""
    if (said or name) not in NAMES:
        place = f"${VARIABLE}" if said else "engine"
        raise LungwiseError(f"{place} must be one of {', '.join(NAMES)}, got '{said or name}'; correct it.")
    return said or name


def open_engine(onnx: bytes, name: str = AUTO, threads: int = 0) -> Engine:
    """Load a network.

    "auto" is ONNX Runtime here: it starts in the tenth of a second, and one image's answer does not depend on what was measured
    on a machine. What is fastest for many images is found by :func:`lungwise.inference.settle.settle`.

    Args:
        onnx: the ONNX file.
        name: one of ``NAMES``; ``$LUNGWISE_ENGINE`` is asked for "auto".
        threads: threads of one forward pass; 0 takes every core that the process may use.

    Raises:
        LungwiseError: there is no such engine, it is not installed (how to install it is said), or not for this processor.
        BundleError: the file is no network of a bundle.
    """
    name, threads = wanted_engine(name), threads or usable_cores()
    if name == "openvino":
        return OpenvinoEngine(onnx, threads)
    if name == "openvino-bf16":
        return OpenvinoBfloat16Engine(onnx, threads)
    from lungwise.inference.onnx_engine import OnnxEngine

    return OnnxEngine(onnx, threads)


def installed() -> tuple[str, ...]:
    """The engines that can be asked for on this machine, as far as can be said without loading one."""
    return NAMES[1:] if find_spec("openvino") else (DEFAULT,)
