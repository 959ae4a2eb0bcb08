"""What was measured on this machine, kept in the user's cache folder. Losing it costs a measurement and nothing else."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from lungwise import __version__
from lungwise.errors import LungwiseError
from lungwise.files import cache_folder, write_text

Kind = TypeVar("Kind", bound=BaseModel)
_LIBRARIES = ("onnxruntime", "openvino")
_MOST = 1 << 16
"""Bytes of a note; a larger file is none of ours."""


def notes_folder() -> Path:
    """Where notes are kept; see :func:`lungwise.files.cache_folder`."""
    return cache_folder() / "engines"


def recall(key: Sequence[str | int], kind: type[Kind]) -> Kind | None:
    """A note that was made for the same question on the same machine with the same libraries; None without a readable one."""
    with suppress(OSError, RuntimeError, ValidationError, ValueError), _place(key).open("rb") as file:
        return kind.model_validate_json(file.read(_MOST))
    return None


def remember(key: Sequence[str | int], note: BaseModel) -> None:
    """Keep a note, whole or not at all; a folder that cannot be written to is no error."""
    with suppress(OSError, RuntimeError, LungwiseError):
        write_text(_place(key), note.model_dump_json(indent=2) + "\n")


def machine() -> str:
    """The processor and what it can do, in one line.

    A model's name alone does not say it: virtual machines of one name differ in their instructions.
    """
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
        parts = dict(line.partition(":")[::2] for line in lines)
        known = [
            text.strip() for name, text in parts.items() if name.strip() in ("model name", "flags", "Features", "CPU part")
        ]
        if known:
            return " ".join(known)
    return f"{platform.machine()} {platform.processor()}"


def _place(key: Sequence[str | int]) -> Path:
    """The note's file; without a home there is none, which is a RuntimeError."""
    question = json.dumps([*key, machine(), __version__, *(_version(library) for library in _LIBRARIES)])
    return notes_folder() / f"{hashlib.sha256(question.encode()).hexdigest()[:32]}.json"


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""
