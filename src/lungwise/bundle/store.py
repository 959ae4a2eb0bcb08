"""A bundle on disk: written whole or not at all, verified by hash whenever it is read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from lungwise.bundle.card import model_card
from lungwise.bundle.head import HeadWeights
from lungwise.bundle.spec import BundleSpec
from lungwise.errors import BundleError, writing

SPEC = "lungwise.json"
FILES = ("model.onnx", "head.npz", "README.md")
"""What every bundle holds besides its specification."""
EXTRAS = ("novelty.npz", "model_fp16.onnx", "model_int8.onnx")
"""What a bundle may hold; the specification names those that it does."""
_MAX_BYTES = 20_000_000_000
_BLANK = "0" * 64
"""Stands for the hash of ``lungwise.json`` while that hash is taken."""
_ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError)
"""What ``zipfile`` raises on damaged, encrypted and unsupported archives."""


@dataclass(frozen=True)
class Bundle:
    """A verified bundle in memory.

    Args:
        spec: the contents of ``lungwise.json``.
        onnx: the ONNX file.
        head: the head's weights.
        sha256: SHA-256 of ``lungwise.json``, which holds the hashes of all other files.
        extras: those of ``EXTRAS`` that the bundle holds, name to contents.
    """

    spec: BundleSpec
    onnx: bytes
    head: HeadWeights
    sha256: str
    extras: Mapping[str, bytes] = field(default_factory=dict)


def write_bundle(
    out: Path,
    spec: BundleSpec,
    onnx: bytes,
    head: HeadWeights,
    *,
    extras: Mapping[str, bytes] = MappingProxyType({}),
    overwrite: bool = False,
) -> Path:
    """Write a bundle as a directory, or as one file when ``out`` ends in ``.zip``.

    Args:
        out: the place; must be free (absent or an empty directory) unless ``overwrite``.
        spec: without hashes; they are filled in here.
        onnx: the ONNX file.
        head: the head's weights.
        extras: further files, names from ``EXTRAS``.
        overwrite: replace what is there, if it is a bundle and nothing else.

    Raises:
        BundleError: the place is taken.
        LungwiseError: it cannot be written.
    """
    _check_place(out, overwrite)
    files = {"model.onnx": onnx, "head.npz": head.to_bytes(), "README.md": model_card(spec).encode(), **extras}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    text = spec.model_copy(update={"files": {**hashes, SPEC: _BLANK}}).model_dump_json(indent=2)
    sealed = text.replace(_BLANK, hashlib.sha256(text.encode()).hexdigest()).encode()
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            _fill(draft, {**files, SPEC: sealed}, zipped=out.suffix == ".zip")
            _replace(draft, out)
        finally:
            _remove(draft)
    return out


def read_bundle(path: Path | str) -> Bundle:
    """Read a bundle and verify every file of it.

    Raises:
        BundleError: it is none, of another format, or a file is missing or changed (which one is said).
    """
    path = Path(path)
    files = _read_zip(path) if path.is_file() else _read_directory(path)
    if SPEC not in files:
        raise BundleError(f"{path} is not a bundle: it has no {SPEC}; make one with lungwise export RUN --out {path}.")
    try:
        spec = BundleSpec.model_validate(json.loads(files[SPEC]))
    except (ValidationError, ValueError) as cause:
        reason = str(cause.errors()[0]["msg"]) if isinstance(cause, ValidationError) else str(cause)
        raise BundleError(f"{SPEC} of {path} is damaged or of another version ({reason}); export the bundle again.") from cause
    own = spec.files.get(SPEC, "").encode()
    unsealed = {**files, SPEC: files[SPEC].replace(own, _BLANK.encode()) if own else b""}
    there = [name for name in EXTRAS if name in files or name in spec.files]
    for name in (SPEC, *FILES, *there):
        found = hashlib.sha256(unsealed[name]).hexdigest() if name in files else "no such file"
        if found != spec.files.get(name):
            raise BundleError(f"{path}: {name} is not the file that was exported (SHA-256 {found}); fetch the bundle again.")
    head, sealed = HeadWeights.from_bytes(files["head.npz"]), hashlib.sha256(files[SPEC]).hexdigest()
    return Bundle(spec, files["model.onnx"], head, sealed, {name: files[name] for name in there})


def _check_place(out: Path, overwrite: bool) -> None:
    """Refuse a place that is taken; what is more than a bundle is never replaced."""
    if out.name in ("", ".."):
        raise BundleError(f"A bundle needs a name of its own, but --out is {out}; name a new directory or zip file.")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (overwrite and _is_bundle(out)):
        what = "another bundle; add --overwrite or choose" if _is_bundle(out) else "something else; choose"
        raise BundleError(f"A bundle needs a free place, but {out} holds {what} another --out.")


def _is_bundle(path: Path) -> bool:
    """Whether a bundle's files are there and nothing else."""
    if path.is_dir():
        names = {child.name for child in path.iterdir()}
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    else:
        return False
    return SPEC in names and names <= {SPEC, *FILES, *EXTRAS}


def _fill(draft: Path, files: Mapping[str, bytes], *, zipped: bool) -> None:
    if zipped:
        with draft.open("wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, data in files.items():
                    # A fixed time, so that the same bundle has the same bytes.
                    archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
            file.flush()
            os.fsync(file.fileno())
        return
    draft.mkdir()
    for name, data in files.items():
        with (draft / name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def _replace(draft: Path, out: Path) -> None:
    """Move the draft to its place; an old bundle is only removed once the new one is there, else put back."""
    if out.is_dir():
        old = out.with_name(f".{out.name}.old.{os.getpid()}")
        os.replace(out, old)
        try:
            os.replace(draft, out)
        finally:
            if not out.exists():
                os.replace(old, out)
        _remove(old)
    else:
        os.replace(draft, out)


def _remove(draft: Path) -> None:
    if draft.is_dir() and not draft.is_symlink():
        shutil.rmtree(draft)
    else:
        draft.unlink(missing_ok=True)


def _read_directory(path: Path) -> dict[str, bytes]:
    if not path.is_dir():
        raise BundleError(f"A bundle must be a directory or a zip file, but {path} does not exist; correct --model.")
    names = [name for name in (SPEC, *FILES, *EXTRAS) if (path / name).is_file()]
    linked = [name for name in names if (path / name).is_symlink()]
    if linked:
        raise BundleError(f"A bundle's files must be plain files, but {linked[0]} of {path} is a link; copy the file itself.")
    try:
        return {name: (path / name).read_bytes() for name in names}
    except OSError as cause:
        raise BundleError(f"{path} cannot be read ({cause}); check its permissions.") from cause


def _read_zip(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            wanted = [info for info in archive.infolist() if info.filename in (SPEC, *FILES, *EXTRAS)]
            if sum(info.file_size for info in wanted) > _MAX_BYTES:
                raise BundleError(f"A bundle must have at most {_MAX_BYTES} bytes, {path} unpacks to more.")
            return {info.filename: archive.read(info) for info in wanted}
    except _ZIP_DAMAGE as cause:
        raise BundleError(f"{path} is not a readable bundle ({cause}); fetch or export it again.") from cause
