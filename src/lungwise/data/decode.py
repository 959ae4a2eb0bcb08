"""Decode every listed image once, in parallel, into one file of pixels; continue where an interruption left off."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lungwise.errors import ImageError, writing
from lungwise.imaging.preprocess import Preprocess, to_square
from lungwise.imaging.read import read

CHUNK = 256
"""Images between two saves; an interruption costs at most this many decodings."""
MISSING = {"width": 0, "height": 0, "sha256": "", "phash": "", "view": "", "status": "missing"}
"""What is known of a file that does not exist."""


def decode_all(
    files: list[Path], spec: Preprocess, folder: Path, progress: Callable[[int], None] = lambda done: None
) -> list[dict[str, Any]]:
    """Decode files into ``folder/pixels.npy`` (uint8 [n, stored, stored]) and say what each was.

    Rows of files that cannot be read are black. ``folder/decoded.jsonl`` records each finished row; called again with
    the same files, rows that are recorded are kept.

    Args:
        files: n paths.
        spec: its ``stored`` and ``fit`` are used.
        folder: where to write.
        progress: called with the number of finished images after each chunk.

    Returns:
        One dictionary a file: width, height, sha256 (of the decoded pixels), phash, view, status.

    Raises:
        LungwiseError: the folder is read-only or full.
    """
    pixels, journal = folder / "pixels.npy", folder / "decoded.jsonl"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        header = _header((len(files), spec.stored, spec.stored))
        row = spec.stored * spec.stored
        facts = _resume(journal, pixels, len(header), row)
        with pixels.open("r+b" if facts else "wb") as store, journal.open("a" if facts else "w") as log:
            if not facts:
                store.write(header)
            store.seek(0, os.SEEK_END)
            progress(len(facts))
            for squares, found in _decoded(files[len(facts) :], spec):
                _append(store, squares)
                log.write("".join(json.dumps(fact) + "\n" for fact in found))
                log.flush()
                facts += found
                progress(len(facts))
    return facts


@contextmanager
def _interrupted_between_chunks() -> Iterator[list[int]]:
    """Collect Ctrl-C instead of raising it: raised inside a thread pool's lock, it would leave the process waiting."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
    try:
        yield caught
    finally:
        signal.signal(signal.SIGINT, before)
    if caught:
        raise KeyboardInterrupt


def _header(shape: tuple[int, int, int]) -> bytes:
    """NumPy's file header; rows are appended behind it, so a full disk is an error and not a crash in a memory map."""
    from io import BytesIO

    buffer = BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _resume(journal: Path, pixels: Path, header: int, row: int) -> list[dict[str, Any]]:
    """Rows that are both recorded and on disk; anything beyond them is cut off."""
    if not (journal.exists() and pixels.exists()):
        return []
    lines = journal.read_text().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    done = min(len(whole), max(0, pixels.stat().st_size - header) // row)
    if done == 0:
        return []
    os.truncate(pixels, header + done * row)
    journal.write_text("".join(whole[:done]))
    return [json.loads(line) for line in whole[:done]]


def _append(store: BinaryIO, squares: NDArray[np.uint8]) -> None:
    store.write(squares.tobytes())
    store.flush()


def _decoded(files: list[Path], spec: Preprocess) -> Iterator[tuple[NDArray[np.uint8], list[dict[str, Any]]]]:
    """Chunks of squares and facts, decoded on all cores (the decoders release Python's lock)."""
    for start in range(0, len(files), CHUNK):
        with _interrupted_between_chunks(), ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            results = list(pool.map(lambda file: decode_one(file, spec), files[start : start + CHUNK]))
        yield np.stack([square for square, _ in results]), [fact for _, fact in results]


def decode_one(file: Path, spec: Preprocess) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """One file as a stored square with its facts; a file that cannot be read is a black square with the reason."""
    try:
        radiograph = read(file)
    except ImageError as error:
        return np.zeros((spec.stored, spec.stored), np.uint8), {**MISSING, "status": str(error)}
    square = to_square(radiograph, spec)
    shape = f"{radiograph.height}x{radiograph.width}:".encode()
    return square, {
        "width": radiograph.width,
        "height": radiograph.height,
        "sha256": hashlib.sha256(shape + radiograph.pixels.tobytes()).hexdigest(),
        "phash": str(imagehash.phash(Image.fromarray(square))),
        "view": radiograph.view,
        "status": "ok",
    }
