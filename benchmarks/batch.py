"""How much a folder of files costs beyond the network itself: throughput with decoding, and memory that does not grow.

    .venv/bin/python benchmarks/batch.py --model BUNDLE [--data FOLDER] [--json]

Throughput: ``predict_many`` over files as they come from a hospital, against the bare engine on the same images prepared
beforehand, in batches of the same size. The two take turns, and the median of their ratios counts; limit 0.9. Decoding needs
the same cores as the network, so beside a small network no program can reach that; what one could that wastes nothing is
printed as "possible", and the share of it that is reached. ``--views 9`` makes the same network nine times as costly. Without
``--data`` the files are phantoms at the size of small detectors, half PNG and half JPEG.

Memory: the peak of a process that answers 1,000 and 10,000 files (links to the same few); limit 1.1 times as much. It runs the
smallest network that there is, because the network's memory hides growth elsewhere.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lungwise.data.phantoms import CLASSES, make_phantom
from lungwise.imaging.preprocess import enough, to_square
from lungwise.imaging.read import read
from lungwise.imaging.views import to_inputs
from lungwise.inference.inputs import find_images
from lungwise.inference.many import BATCH
from lungwise.inference.predictor import Predictor, load

FILES, TURNS = 192, 5
SIDES = (1024, 1760, 2048)
"""Shorter sides in pixels: public collections, and a 35 x 43 cm detector at 0.2 mm and at 0.17 mm."""
SHARE, GROWTH = 0.9, 1.1
FEW, MANY, DISTINCT = 1_000, 10_000, 20
_COUNT = """
import resource, sys
from pathlib import Path
from lungwise.inference.predictor import load
answered = sum(1 for _ in load(Path(sys.argv[1]), threads=1).predict_many(sys.argv[2]))
print(answered, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def draw(folder: Path, number: int, sides: Sequence[int]) -> list[Path]:
    """Phantoms with the grain of a detector, alternately as PNG and JPEG."""
    rng, files = np.random.default_rng(0), []
    for index in range(number):
        side = sides[index % len(sides)]
        film = cv2.resize(make_phantom(CLASSES[index % 3], rng).pixels, (side, side * 6 // 5), interpolation=cv2.INTER_CUBIC)
        grain = np.clip(film + rng.normal(0, 2, film.shape), 0, 255).astype(np.uint8)
        path = folder / f"{index:03d}{('.png', '.jpg')[index % 2]}"
        cv2.imwrite(str(path), grain)
        files.append(path)
    return files


def inputs_of(predictor: Predictor, files: list[Path]) -> NDArray[np.float32]:
    """What the network is asked about the files: float32 [files * views, size, size, 1]."""
    spec = predictor.spec.preprocess
    squares = (to_square(read(file, enough(spec)), spec) for file in files)
    return np.concatenate([to_inputs(square, spec, predictor.views) for square in squares])


def bare(predictor: Predictor, inputs: NDArray[np.float32]) -> float:
    """Images a second of the engine alone."""
    begin = time.perf_counter()
    for start in range(0, len(inputs), BATCH):
        predictor.engine.run(inputs[start : start + BATCH], ("embedding",))
    return len(inputs) / predictor.views / (time.perf_counter() - begin)


def whole(predictor: Predictor, files: list[Path]) -> float:
    """Images a second from files to answers."""
    begin = time.perf_counter()
    failed = sum(result.status == "error" for result in predictor.predict_many(files))
    took = time.perf_counter() - begin
    if failed:
        raise SystemExit(f"{failed} files could not be read, which flatters the figure; name other --data.")
    return len(files) / took


def throughput(predictor: Predictor, files: list[Path], turns: int) -> dict[str, float]:
    """Medians of both rates and of their ratio, over turns."""
    begin = time.process_time()
    inputs = inputs_of(predictor, files)
    decoding = (time.process_time() - begin) / len(files)
    bare(predictor, inputs)
    rates = [(bare(predictor, inputs), whole(predictor, files)) for _ in range(turns)]
    alone, together = (statistics.median(rate) for rate in zip(*rates, strict=True))
    possible = 1 / (1 / alone + decoding / predictor.engine.threads)
    return {
        "engine_images_per_second": alone,
        "batch_images_per_second": together,
        "share": statistics.median(after / before for before, after in rates),
        "limit": SHARE,
        "decoding_ms_of_one_core": 1000 * decoding,
        "possible_images_per_second": possible,
        "share_of_possible": together / possible,
    }


def memory(model: Path, folder: Path) -> dict[str, float]:
    """Peaks in megabytes of processes that answer few and many files."""
    drawn = draw(folder, DISTINCT, (1024,))
    peaks = {}
    for number in (FEW, MANY):
        place = folder / str(number)
        place.mkdir()
        for index, file in zip(range(number), itertools.cycle(drawn), strict=False):
            os.link(file, place / f"{index:06d}{file.suffix}")
        command = [sys.executable, "-c", _COUNT, str(model), str(place)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        answered, peaks[number] = map(int, said.split())
        if answered != number:
            raise SystemExit(f"{number} files must be answered, but {answered} were.")
    return {f"peak_mb_{FEW}": peaks[FEW], f"peak_mb_{MANY}": peaks[MANY], "growth": peaks[MANY] / peaks[FEW], "limit": GROWTH}


def main() -> None:
    """Print rates, ratios and limits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a bundle for throughput")
    parser.add_argument("--small", type=Path, help="a bundle for memory")
    parser.add_argument("--data", type=Path, help="a folder of X-rays in the place of phantoms")
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--views", type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        if options.model:
            files = find_images([options.data])[: options.files] if options.data else draw(Path(folder), options.files, SIDES)
            predictor = load(options.model, options.threads, options.engine, views=options.views)
            found["throughput"] = throughput(predictor, files, options.turns)
        if options.small:
            found["memory"] = memory(options.small, Path(folder))
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, figures in found.items():
        print(name + ": " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
