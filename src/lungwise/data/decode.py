"""Decode every listed image once, in parallel, into files of pixels; continue where an interruption left off."""

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
from typing import Any

import cv2
import imagehash
import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from lungwise.data.pixels import PixelWriter
from lungwise.errors import ImageError, writing
from lungwise.imaging.preprocess import Preprocess, to_square
from lungwise.imaging.radiograph import Radiograph

CHUNK = 256
"""Images between two saves; an interruption costs at most this many decodings."""
FACTS: dict[str, pl.DataType] = {
    "width": pl.Int32(),
    "height": pl.Int32(),
    "sha256": pl.String(),
    "phash": pl.String(),
    "view": pl.String(),
    "notes": pl.String(),
    "status": pl.String(),
}
"""What decoding finds out of an image: size of the file's picture, SHA-256 of the decoded pixels, perceptual hash, view as
the file says it, remarks of the reader, "ok" or why not."""
MISSING = {"width": 0, "height": 0, "sha256": "", "phash": "", "view": "", "notes": "", "status": "missing"}
"""What is known of a file that does not exist."""
_JOURNAL = "decoded.jsonl"


def decode_all(
    paths: pl.Series,
    load: Callable[[str], Radiograph],
    spec: Preprocess,
    folder: Path,
    progress: Callable[[int], None] = lambda done: None,
) -> pl.DataFrame:
    """Decode images into files of pixels below ``folder`` and say what each was.

    Rows of images that cannot be read are black. A journal records each finished chunk; called again with the same
    paths, rows that are recorded are kept. Memory does not grow with the number of images, but for the table returned.

    Args:
        paths: n paths.
        load: reads the image of a path; an ImageError is recorded.
        spec: its ``stored`` and ``fit`` are used.
        folder: where to write.
        progress: called with the number of finished images after each chunk.

    Returns:
        One row an image with the columns of ``FACTS``.

    Raises:
        LungwiseError: the folder is read-only or full.
    """
    journal = folder / _JOURNAL
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with PixelWriter(folder, len(paths), spec.stored) as store:
            done = _resume(journal, store)
            with journal.open("a") as log:
                progress(done)
                for squares, facts in _decoded(paths, done, load, spec):
                    store.append(squares)
                    log.write("".join(json.dumps(fact) + "\n" for fact in facts))
                    log.flush()
                    done += len(facts)
                    progress(done)
    return pl.read_ndjson(journal, schema=FACTS) if done else pl.DataFrame(schema=FACTS)


def _resume(journal: Path, store: PixelWriter) -> int:
    """Rows that are both recorded and on disk; anything beyond them is cut off."""
    ends = [0]
    if journal.exists():
        with journal.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    ends.append(ends[-1] + len(line))
    done = store.resume(len(ends) - 1)
    if journal.exists():
        os.truncate(journal, ends[done])
    return done


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


@contextmanager
def _one_thread_an_image() -> Iterator[None]:
    """Keep OpenCV from splitting one picture over the cores, which are busy with others."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _decoded(
    paths: pl.Series, start: int, load: Callable[[str], Radiograph], spec: Preprocess
) -> Iterator[tuple[NDArray[np.uint8], list[dict[str, Any]]]]:
    """Chunks of squares and facts, decoded on all cores (the decoders release Python's lock)."""
    for first in range(start, len(paths), CHUNK):
        chunk = paths[first : first + CHUNK].to_list()
        with _interrupted_between_chunks(), _one_thread_an_image(), ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            results = list(pool.map(lambda path: decode_one(path, load, spec), chunk))
        yield np.stack([square for square, _ in results]), [fact for _, fact in results]


def decode_one(path: str, load: Callable[[str], Radiograph], spec: Preprocess) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """One image as a stored square with its facts; one that cannot be read is a black square with the reason."""
    try:
        radiograph = load(path)
    except ImageError as error:
        return np.zeros((spec.stored, spec.stored), np.uint8), {**MISSING, "status": str(error)}
    square = to_square(radiograph, spec)
    digest = hashlib.sha256(f"{radiograph.height}x{radiograph.width}:".encode())
    digest.update(np.ascontiguousarray(radiograph.pixels).data)
    return square, {
        "width": radiograph.width,
        "height": radiograph.height,
        "sha256": digest.hexdigest(),
        "phash": perceptual_hash(square),
        "view": radiograph.view,
        "notes": "; ".join(radiograph.warnings),
        "status": "ok",
    }


def perceptual_hash(square: NDArray[np.uint8]) -> str:
    """The 64-bit DCT hash of a stored square as 16 hexadecimal digits."""
    # Shrunk here, because Pillow's own filter takes ten times as long as the hash.
    small = cv2.resize(square, (32, 32), interpolation=cv2.INTER_AREA)
    return str(imagehash.phash(Image.fromarray(small)))
