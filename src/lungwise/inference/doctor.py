"""Is this installation sound? Every part is tried on something known, and what is broken comes with its cure."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import lungwise
from lungwise.errors import ImageError, LungwiseError
from lungwise.inference.cores import hardware_threads, usable_cores
from lungwise.inference.machine import memory, processor

OK: Final = "ok"
ABSENT: Final = "absent"
BROKEN: Final = "broken"
PACKAGES = (
    "numpy", "onnxruntime", "opencv-python-headless", "pillow", "polars", "pydantic", "pydicom", "rich", "typer",
)  # fmt: skip
"""What prediction needs, by the names of the distributions."""
EXTRAS = {
    "train": ("keras", "tensorflow", "onnx", "tf2onnx", "matplotlib", "scipy", "sklearn", "jinja2", "safetensors"),
    "hub": ("huggingface_hub", "kagglehub"),
    "openvino": ("openvino",),
    "track": ("mlflow", "tensorboardX"),
    "tune": ("optuna",),
    "serve": ("fastapi", "uvicorn", "multipart", "prometheus_client", "pydantic_settings"),
    "dicom": ("highdicom", "pynetdicom", "jpeg_ls", "openjpeg", "rle", "pylibjpeg", "gdcm"),
    "scale": ("ray", "sagemaker"),
}
"""Modules by which an extra of this package is known to be there."""
LEAST_MEMORY, LEAST_ROOM = 400_000_000, 100_000_000
"""Bytes of memory that prediction with a small model takes, and of a temporary folder."""


@dataclass(frozen=True)
class Check:
    """What was found of one part.

    Args:
        part: the group it belongs to.
        name: what was looked at.
        state: "ok", "absent" (an optional part that is not there) or "broken".
        said: what was found.
        cure: what to do, where something is absent or broken.
    """

    part: str
    name: str
    state: Literal["ok", "absent", "broken"]
    said: str
    cure: str = ""


def examine(model: Path | None = None, *, settle: bool = False) -> Iterator[Check]:
    """Look at every part, one after the other.

    Args:
        model: a bundle to verify and try as well.
        settle: measure the bundle's speed on every engine, which takes some seconds to minutes.
    """
    from lungwise.inference.doctor_trial import codecs, self_test, trial

    yield from _packages()
    yield from _machine()
    yield from _extras()
    yield from codecs()
    yield from self_test()
    if model is not None:
        yield from trial(model, settle=settle)


def tried(part: str, name: str, began: float, said: str) -> Check:
    """A part that works, with how long it took since ``began``."""
    return Check(part, name, OK, f"{said}, {1000 * (time.perf_counter() - began):.0f} ms")


def broken(part: str, name: str, error: LungwiseError | OSError) -> Check:
    """A part that does not work; the sentence of an error ends in its cure."""
    said, _, cure = str(error).rstrip(".").rpartition("; ")
    return Check(part, name, BROKEN, said or cure, f"{cure}." if said else "Install lungwise again.")


def _packages() -> Iterator[Check]:
    yield Check("packages", "lungwise", OK, lungwise.__version__)
    yield Check("packages", "python", OK, f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in PACKAGES:
        # OpenCV comes under four names, of which any will do.
        names = (name, "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")
        versions = [_version(other) for other in (names if name.startswith("opencv") else (name,))]
        found = next(filter(None, versions), "")
        state: Literal["ok", "broken"] = "ok" if found else "broken"
        yield Check("packages", name, state, found or "not installed", "" if found else f"pip install {name}")


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _machine() -> Iterator[Check]:
    name, features = processor()
    yield Check("machine", "processor", OK, f"{name}: {', '.join(features) or 'its instructions are not known'}")
    cores, threads, all_of_them = usable_cores(), hardware_threads(), os.cpu_count() or 1
    yield Check("machine", "cores", OK, f"{cores} usable ({threads} hardware threads), of {all_of_them} hardware threads")
    total, free = memory()
    said = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free" if total else "the system does not say"
    if total and free < LEAST_MEMORY:
        yield Check("machine", "memory", BROKEN, said, f"Give it at least {LEAST_MEMORY // 10**6} MB.")
    else:
        yield Check("machine", "memory", OK, said)
    yield _temporary()


def _temporary() -> Check:
    part, name = "machine", "temporary folder"
    try:
        with tempfile.NamedTemporaryFile(prefix="lungwise-doctor-") as file:
            file.write(bytes(2**16))
            file.flush()
            folder = Path(file.name).parent
        room = shutil.disk_usage(folder).free
    except OSError as cause:
        return Check(part, name, BROKEN, f"cannot be written ({cause.strerror or cause})", "Set TMPDIR to a folder that can.")
    if room < LEAST_ROOM:
        return Check(part, name, BROKEN, f"{folder}, {room / 1e6:.0f} MB free", "Free some space, or set TMPDIR.")
    return Check(part, name, OK, f"{folder}, {room / 1e9:.1f} GB free")


def _extras() -> Iterator[Check]:
    for extra, modules in EXTRAS.items():
        lost = [module for module in modules if not find_spec(module)]
        if lost:
            said = "not installed" if len(lost) == len(modules) else f"without {', '.join(lost)}"
            yield Check("extras", extra, ABSENT, said, f"pip install 'lungwise[{extra}]'")
        else:
            yield Check("extras", extra, OK, "installed")


def absent_or_broken(part: str, name: str, error: ImageError) -> Check:
    """A codec that did not decode its sample: not installed, which its error says, or broken."""
    said, _, cure = str(error).rstrip(".").rpartition("not installed: ")
    if said:
        return Check(part, name, ABSENT, "its decoder is not installed", cure)
    return broken(part, name, error)
