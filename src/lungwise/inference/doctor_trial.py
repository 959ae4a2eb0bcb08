"""Trials of ``lungwise doctor``: codecs on embedded pictures, engines on an embedded network, and the user's own bundle."""

from __future__ import annotations

import json
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lungwise.bundle.store import Bundle, read_bundle, verify_bundle
from lungwise.errors import ImageError, LungwiseError
from lungwise.imaging.read import decode
from lungwise.inference.doctor import ABSENT, BROKEN, OK, Check, absent_or_broken, broken, tried

SAMPLES = Path(__file__).with_name("selftest.zip")
"""Made by tools/make_selftest.py."""
TOLERANCE = 1e-4
"""How far a probability may lie from the expected one: that of float32; see :mod:`lungwise.inference.settle`."""
_LOSSY = 3.0
"""Grey values that a lossy codec may be away on average."""
_REINSTALL = "Install lungwise and its packages again."


def sample(name: str) -> bytes:
    """One file of the embedded archive."""
    with zipfile.ZipFile(SAMPLES) as archive:
        return archive.read(name)


def codecs() -> Iterator[Check]:
    """Every image format and DICOM transfer syntax, on a small picture that is known."""
    grey = decode(sample("film.png")).pixels
    for ending, name in ((".png", "PNG"), (".jpg", "JPEG"), (".tif", "TIFF"), (".bmp", "BMP")):
        coded, data = cv2.imencode(ending, grey)
        yield _decoded(name, data.tobytes() if coded else b"", grey)
    from lungwise.imaging.dicom_syntax import DECODERS, NATIVE

    try:
        truth = decode(sample("ExplicitVRLittleEndian.dcm")).pixels
    except ImageError as error:
        yield broken("codecs", "DICOM", error)
        return
    for syntax in (*NATIVE, *DECODERS):
        yield _decoded(f"DICOM {syntax.keyword}", sample(f"{syntax.keyword}.dcm"), truth)


def _decoded(name: str, data: bytes, truth: NDArray[np.uint8]) -> Check:
    try:
        found = decode(data).pixels
    except ImageError as error:
        return absent_or_broken("codecs", name, error)
    if found.shape != truth.shape or np.abs(found.astype(np.int16) - truth).mean() > _LOSSY:
        return Check("codecs", name, BROKEN, "decodes to another picture", _REINSTALL)
    return Check("codecs", name, OK, "decoded")


def self_test() -> Iterator[Check]:
    """The embedded bundle on every engine that is installed, against an answer from numpy; and the sandbox."""
    from lungwise.inference.engines import NAMES, installed

    expected = json.loads(sample("expected.json"))
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.zip"
        model.write_bytes(sample("model.zip"))
        for engine in installed():
            yield _answered(model, engine, expected)
    for engine in (name for name in NAMES[1:] if name not in installed()):
        yield Check("self-test", engine, ABSENT, "not installed", "pip install 'lungwise[openvino]'")
    yield _sandboxed()


def _answered(model: Path, engine: str, expected: dict[str, float]) -> Check:
    from lungwise.inference.predictor import load
    from lungwise.inference.settle import TOLERANCE as OTHERS

    began = time.perf_counter()
    try:
        predictor = load(model, engine=engine)
        found = predictor.predict(sample("film.png")).probabilities
    except LungwiseError as error:
        if engine == "openvino-bf16":  # not every processor has it
            return Check("self-test", engine, ABSENT, str(error))
        return broken("self-test", engine, error)
    away = max(abs(found.get(label, np.inf) - share) for label, share in expected.items())
    if away > max(TOLERANCE, OTHERS[predictor.engine.precision]):
        return Check("self-test", engine, BROKEN, f"answers {away:.2g} away from what is expected", _REINSTALL)
    return tried("self-test", engine, began, f"answers as expected ({away:.0e} away)")


def _sandboxed() -> Check:
    from lungwise.inference.sandbox import Sandbox

    began = time.perf_counter()
    try:
        with Sandbox(1) as sandbox:
            same = np.array_equal(sandbox(sample("film.png"), 0).pixels, decode(sample("film.png")).pixels)
    except LungwiseError as error:
        return broken("self-test", "sandbox", error)
    if not same:
        return Check("self-test", "sandbox", BROKEN, "decodes to another picture", _REINSTALL)
    return tried("self-test", "sandbox", began, "decodes in a process of its own")


def trial(model: Path, *, settle: bool = False) -> Iterator[Check]:
    """Verify a bundle, load it and ask it about the made-up film.

    Args:
        model: a directory or zip.
        settle: measure its speed on every engine.
    """
    from lungwise.inference.predictor import Predictor

    began = time.perf_counter()
    try:
        verify_bundle(model)
        yield tried("model", "verified", began, str(model))
        began = time.perf_counter()
        bundle = read_bundle(model)
        predictor = Predictor(bundle)
        yield tried("model", "loaded", began, f"{bundle.spec.name}: {', '.join(bundle.spec.labels)}")
        yield Check("model", "SHA-256", OK, bundle.sha256)
        began = time.perf_counter()
        result = predictor.predict(sample("film.png"))
        yield tried("model", "predicted", began, result.decision or "; ".join(result.reasons) or "no decision")
        if settle:
            yield from _speeds(bundle)
    except LungwiseError as error:
        yield broken("model", model.name or str(model), error)


def _speeds(bundle: Bundle) -> Iterator[Check]:
    from lungwise.inference.settle import settle

    found = settle(bundle)
    for engine, rate in found.rates.items():
        yield Check("speed", engine, OK, f"{rate:.1f} images/s, moves a probability by {found.moves[engine]:.1g} at most")
    said = f"{found.engine}, {found.threads} threads, batches of {found.batch}: {found.rate:.1f} images/s"
    yield Check("speed", "fastest", OK, said)
