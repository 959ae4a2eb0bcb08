"""Files that are whole or absent: every artefact is written beside its place and moved there when complete."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lungwise.errors import DataError, writing


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file, then move it to ``path``; a failure leaves nothing behind.

    Args:
        path: the final place; its folder is made when absent.
        write: called once with the temporary file's path, which has the same suffix as ``path``.

    Raises:
        LungwiseError: the folder is read-only or full.
    """
    # A finished file keeps what the process's umask allows; the name is this process's own.
    draft = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(draft)
            with draft.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)


def read_text(path: Path) -> str:
    """Read a user's UTF-8 text, with or without a byte order mark.

    Raises:
        DataError: it is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as cause:
        raise DataError(f"{path.name} must be UTF-8 text, but byte {cause.start} is not; save it as UTF-8.") from cause


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    write_whole(path, lambda draft: draft.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON that every reader accepts: NaN and infinities are refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """What can be lost lies here: ``$LUNGWISE_CACHE``, else ``$XDG_CACHE_HOME/lungwise``, else ``~/.cache/lungwise``.

    Raises:
        RuntimeError: none of them is set and there is no home.
    """
    own, shared = os.environ.get("LUNGWISE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return (Path(own) if own else Path(shared or "~/.cache") / "lungwise").expanduser()


def defuse(text: str) -> str:
    """A cell that no spreadsheet takes for a formula (OWASP, "CSV Injection")."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else text
