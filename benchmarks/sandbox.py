"""What decoding in processes of its own costs: images a second as a share of decoding in threads of this process.

    PYTHONPATH=src:. .venv/bin/python -P benchmarks/sandbox.py

Made-up films of the size that detectors give, as PNG, JPEG, 16-bit PNG and DICOM, all in the file cache. Both read with as
many threads or processes as there are, turn by turn; the median of the turns counts. A share below the limit breaks it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from lungwise.data.phantoms import CLASSES, make_phantom
from lungwise.imaging.radiograph import Radiograph
from lungwise.inference.cores import hardware_threads
from lungwise.inference.inputs import read_image
from lungwise.inference.sandbox import Sandbox
from tests.imaging.test_dicom import make

TURNS, FILMS, SHORTEST = 5, 24, 512
LIMIT = 0.75
SIZE = (2048, 2500)


def write_films(folder: Path) -> dict[str, list[Path]]:
    """The films of each format."""
    found: dict[str, list[Path]] = {}
    for number in range(3):
        film = cv2.resize(make_phantom(CLASSES[number], np.random.default_rng(number)).pixels, SIZE)
        deep = film.astype(np.uint16) * 16
        coded = {
            "JPEG": cv2.imencode(".jpg", film)[1].tobytes(),
            "PNG": cv2.imencode(".png", film)[1].tobytes(),
            "PNG, 16 bits": cv2.imencode(".png", deep)[1].tobytes(),
            "DICOM": make(deep, stored=12),
        }
        for kind, data in coded.items():
            place = folder / f"{kind}-{number}"
            place.write_bytes(data)
            found.setdefault(kind, []).append(place)
    return {kind: (places * FILMS)[:FILMS] for kind, places in found.items()}


def rate(reader: Callable[[Path, int], Radiograph], paths: list[Path], pool: ThreadPoolExecutor) -> float:
    """Images a second."""
    begin = time.perf_counter()
    list(pool.map(lambda path: reader(path, SHORTEST), paths))
    return len(paths) / (time.perf_counter() - begin)


def main() -> None:
    """Print one line a format, and what a crash costs."""
    number = hardware_threads()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(number) as pool, Sandbox(number) as sandbox:
        films = write_films(Path(folder))
        begin = time.perf_counter()
        sandbox(films["PNG"][0], SHORTEST)
        first = time.perf_counter() - begin
        for kind, paths in films.items():
            for reader in (read_image, sandbox):
                rate(reader, paths[:4], pool)
            turns = [(rate(read_image, paths, pool), rate(sandbox, paths, pool)) for _ in range(TURNS)]
            here, there = (statistics.median(column) for column in zip(*turns, strict=True))
            share = statistics.median(there / here for here, there in turns)
            verdict = "" if share >= LIMIT else f"  below {LIMIT}"
            print(f"{kind:<13} in process {here:6.1f}/s  sandbox {there:6.1f}/s  share {share:.2f}{verdict}")
        print(f"starting a worker, once and after each crash: {first:.2f} s")


if __name__ == "__main__":
    main()
