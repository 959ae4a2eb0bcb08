"""A bundle on disk: written whole or not at all, verified by hash whenever it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from lungwise.bundle.card import model_card
from lungwise.bundle.container import EXTRAS, FILES, KNOWN, SPEC, Container, opened
from lungwise.bundle.head import HeadWeights
from lungwise.bundle.place import check_place, place
from lungwise.bundle.selfcontained import check_self_contained
from lungwise.bundle.spec import PRECISIONS, BundleSpec
from lungwise.errors import BundleError

_BLANK = "0" * 64
"""Stands for the hash of ``lungwise.json`` while that hash is taken."""
_MAX_SPEC = 64_000_000


@dataclass(frozen=True)
class Bundle:
    """A verified bundle in memory.

    Args:
        spec: the contents of ``lungwise.json``.
        onnx: the ONNX file of the precision that was asked for.
        head: the head's weights.
        sha256: SHA-256 of ``lungwise.json``, which holds the hashes of all other files.
        extras: those of ``EXTRAS`` that the bundle holds and that are no networks, name to contents.
        precision: of the network: "fp32", "fp16" or "int8".
    """

    spec: BundleSpec
    onnx: bytes
    head: HeadWeights
    sha256: str
    extras: Mapping[str, bytes] = field(default_factory=dict)
    precision: str = "fp32"


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
        extras: further files, names from ``EXTRAS``; a smaller network must stand in ``spec.variants``.
        overwrite: replace what is there, if it is a bundle and nothing else.

    Raises:
        BundleError: the place is taken, a network keeps weights in other files, or a smaller one was not measured.
        LungwiseError: it cannot be written.
    """
    check_place(out, overwrite)
    files = {"model.onnx": onnx, "head.npz": head.to_bytes(), "README.md": model_card(spec).encode(), **extras}
    _check_networks(spec, files, out)
    for name in _networks(files):
        check_self_contained(files[name], name)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    text = spec.model_copy(update={"files": {**hashes, SPEC: _BLANK}}).model_dump_json(indent=2)
    sealed = text.replace(_BLANK, hashlib.sha256(text.encode()).hexdigest()).encode()
    place(out, {name: (data,) for name, data in {**files, SPEC: sealed}.items()})
    return out


def read_bundle(path: Path | str, precision: str = "fp32") -> Bundle:
    """Read a bundle and verify every file of it.

    Only what is asked for is held in memory; the networks of other precisions are hashed piece by piece.

    Args:
        path: a directory or zip.
        precision: which network, "fp32", "fp16" or "int8".

    Raises:
        BundleError: it is none, of another format, lacks the precision, or a file is missing or changed (which one is said).
    """
    path = Path(path)
    with opened(path, KNOWN) as files:
        if SPEC not in files.names:
            raise BundleError(f"{path} is not a bundle: it has no {SPEC}; make one with lungwise export RUN --out {path}.")
        text = files.read(SPEC)
        spec = _parsed(text, path)
        _check_names(spec, path)
        kept = _verified(files, spec, _wanted(spec, precision, path))
    network = kept.pop(PRECISIONS[precision])
    check_self_contained(network, f"{PRECISIONS[precision]} of {path}")
    head = HeadWeights.from_bytes(kept.pop("head.npz"))
    if head.w2.shape[1] != len(spec.labels):
        raise BundleError(
            f"head.npz of {path} must have a column for each of {list(spec.labels)}, not {head.w2.shape[1]}; export it again."
        )
    return Bundle(spec, network, head, hashlib.sha256(text).hexdigest(), kept, precision)


def verify_bundle(path: Path | str) -> BundleSpec:
    """Verify a bundle with all its networks, as :func:`read_bundle` does for one of them.

    Raises:
        BundleError: as :func:`read_bundle`.
    """
    spec = read_bundle(path).spec
    for precision in spec.precisions[1:]:
        read_bundle(path, precision)
    return spec


def _parsed(text: bytes, path: Path) -> BundleSpec:
    try:
        if len(text) > _MAX_SPEC:
            raise ValueError(f"it must have at most {_MAX_SPEC} bytes, it has {len(text)}")
        spec = BundleSpec.model_validate(json.loads(text))
    except (ValidationError, ValueError, RecursionError) as cause:
        reason = str(cause.errors()[0]["msg"]) if isinstance(cause, ValidationError) else str(cause)
        raise BundleError(f"{SPEC} of {path} is damaged or of another version ({reason}); export the bundle again.") from cause
    own = spec.files.get(SPEC, "").encode()
    unsealed = text.replace(own, _BLANK.encode()) if own else b""
    _compare(hashlib.sha256(unsealed).hexdigest(), spec, SPEC, path)
    return spec


def _check_names(spec: BundleSpec, path: Path) -> None:
    """Every file that the specification names must be one that is verified."""
    unknown = sorted(set(spec.files) - set(KNOWN))
    if unknown:
        raise BundleError(
            f"A bundle's files must be known, but {SPEC} of {path} names {unknown[0]!r}; take a newer version of Lungwise."
        )
    _check_networks(spec, spec.files, path)


def _wanted(spec: BundleSpec, precision: str, path: Path) -> str:
    """The file of the network that was asked for."""
    if precision not in spec.precisions:
        raise BundleError(
            f"The precision must be one that the bundle has ({', '.join(spec.precisions)}), but {path} was asked for "
            f"'{precision}'; take one of these, or export with --variants."
        )
    return PRECISIONS[precision]


def _networks(names: Iterable[str]) -> list[str]:
    return [name for name in PRECISIONS.values() if name in names]


def _check_networks(spec: BundleSpec, names: Iterable[str], path: Path) -> None:
    """Smaller networks and their measurements must belong together."""
    measured, there = [PRECISIONS[name] for name in spec.precisions], _networks(names)
    odd = sorted((set(there) ^ set(measured)) - {PRECISIONS["fp32"]})  # the first has its own sentence where it is missing
    if odd:
        lacks = "lungwise.json does not say what it costs" if odd[0] in there else "the file is not listed"
        raise BundleError(
            f"A bundle's smaller network must stand there with its measured change of accuracy, but for {odd[0]} of {path} "
            f"{lacks}; export it with --variants."
        )


def _verified(files: Container, spec: BundleSpec, network: str) -> dict[str, bytes]:
    """Compare every file with its hash; the contents of those that prediction needs are returned."""
    kept = {}
    for name in (*FILES, *(name for name in EXTRAS if name in files.names or name in spec.files)):
        if name not in files.names:
            _compare("no such file", spec, name, files.path)
        elif name == network or not (name in PRECISIONS.values() or name == "README.md"):
            kept[name] = files.read(name)
            _compare(hashlib.sha256(kept[name]).hexdigest(), spec, name, files.path)
        else:
            _compare(files.digest(name), spec, name, files.path)
    return kept


def _compare(found: str, spec: BundleSpec, name: str, path: Path) -> None:
    if found != spec.files.get(name):
        raise BundleError(f"{path}: {name} is not the file that was exported (SHA-256 {found}); fetch the bundle again.")
