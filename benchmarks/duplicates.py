"""Are planted copies found, and how long does a search take? Recall and precision per kind of copy; time as a share of 60 s.

    .venv/bin/python benchmarks/duplicates.py [--data FOLDER] [--images 30000]

``--data`` is a folder of images or a prepared data set; without it, phantoms are drawn. A copy is found when it is linked to
its film; a pair is true when both films have equal pixels or one source, so that near-duplicates among the films themselves
count as wrong unless equal: precision is a lower bound.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lungwise.data.audit.near import group_pairs, near_duplicates
from lungwise.data.phantoms import CLASSES, make_phantom
from lungwise.data.store import open_data
from lungwise.imaging.preprocess import Preprocess, to_square
from lungwise.imaging.radiograph import Radiograph
from lungwise.imaging.read import read
from lungwise.inference.inputs import find_images

LIMIT, RUNS, SEED, PHANTOMS = 60.0, 3, 1, 900
Image = NDArray[np.uint8]
Change = Callable[[Image, np.random.Generator], Image]


def jpeg(film: Image, quality: int) -> Image:
    """Through a JPEG file."""
    _, file = cv2.imencode(".jpg", film, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_GRAYSCALE), np.uint8)


def half(film: Image) -> Image:
    """Half as many pixels a side."""
    size = (film.shape[1] // 2, film.shape[0] // 2)
    return np.asarray(cv2.resize(film, size, interpolation=cv2.INTER_AREA), np.uint8)


def and_back(film: Image, shape: tuple[int, ...]) -> Image:
    """Enlarged to [height, width]."""
    return np.asarray(cv2.resize(film, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.uint8)


def brighter(film: Image, gain: float, plus: float = 0.0) -> Image:
    """Grey values times a gain, plus a share of white; cut off at black and white."""
    return np.clip(np.rint(film * np.float32(gain) + np.float32(255 * plus)), 0, 255).astype(np.uint8)


def crop(film: Image, top: float, bottom: float, left: float, right: float) -> Image:
    """Without a share of each side."""
    high, wide = film.shape
    return film[round(top * high) : high - round(bottom * high), round(left * wide) : wide - round(right * wide)]


CHANGES: dict[str, Change] = {
    "JPEG q60": lambda film, rng: jpeg(film, 60),
    "half the size": lambda film, rng: half(film),
    "half and back": lambda film, rng: and_back(half(film), film.shape),
    "brightness x 1.1": lambda film, rng: brighter(film, 1.1),
    "brightness x 0.9": lambda film, rng: brighter(film, 0.9),
    "brightness + 10 %": lambda film, rng: brighter(film, 1.0, 0.1),
    "brightness - 10 %": lambda film, rng: brighter(film, 1.0, -0.1),
    "crop 3 % all sides": lambda film, rng: crop(film, 0.03, 0.03, 0.03, 0.03),
    "crop 3 % one side": lambda film, rng: crop(film, *np.roll([0.03, 0, 0, 0], rng.integers(4)).tolist()),
    "crop 3 % corner": lambda film, rng: crop(film, 0.03, 0.0, 0.03, 0.0),
    "crop, half, x, q60": lambda film, rng: jpeg(
        brighter(half(crop(film, *rng.uniform(0.0, 0.03, 4))), rng.uniform(0.9, 1.1)), 60
    ),
}  # fmt: skip


def films_of(data: Path | None) -> Iterator[Image]:
    """The films, one at a time."""
    if data is None:
        for number in range(PHANTOMS):
            yield make_phantom(CLASSES[number % len(CLASSES)], np.random.default_rng([SEED, number])).pixels
    elif (data / "dataset.json").exists():
        yield from (np.asarray(square) for square in open_data(data).pixels)
    else:
        yield from (read(file).pixels for file in find_images([data]))


def recall_and_precision(films: list[Image], cases: int, spec: Preprocess) -> NDArray[np.uint8]:
    """Print a line for each kind of copy; returns the films' squares."""
    rng = np.random.default_rng(SEED)
    squares = np.stack([to_square(Radiograph(film), spec) for film in films])
    _, same = np.unique(squares.reshape(len(squares), -1), axis=0, return_inverse=True)
    known = near_duplicates(squares)
    unequal = int((same[known.rows[:, 0]] != same[known.rows[:, 1]]).sum())
    print(f"{len(films)} films, side {spec.stored}; among themselves {len(known)} pairs, {unequal} of them of unequal pixels")
    chosen = rng.permutation(len(films))[: min(cases, len(films))]
    for name, change in CHANGES.items():
        copies = np.stack([to_square(Radiograph(change(films[row], rng)), spec) for row in chosen])
        pairs = near_duplicates(np.concatenate([squares, copies])).rows
        group = group_pairs(pairs, len(films) + len(copies))
        found = int((group[chosen] == group[len(films) :]).sum())
        source = np.concatenate([same, same[chosen]])
        wrong = int((source[pairs[:, 0]] != source[pairs[:, 1]]).sum())
        precision = 1 - wrong / max(1, len(pairs))
        print(f"{name:<20} cases {len(copies):5d}  recall {found / len(copies):.4f}  precision {precision:.4f}  wrong {wrong}")
    return squares


def write_variants(squares: NDArray[np.uint8], images: int, file: Path) -> None:
    """Films and their changed copies in turn, until there are ``images``."""
    rng, changes = np.random.default_rng(SEED), list(CHANGES.values())
    side = squares.shape[1]
    store = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(images, side, side))
    for row in range(images):
        turn, film = divmod(row, len(squares))
        changed = changes[int(rng.integers(len(changes)))](squares[film], rng) if turn else squares[film]
        store[row] = to_square(Radiograph(changed), Preprocess(stored=side, size=side))
    store.flush()


def own_memory() -> float:
    """Megabytes of this process that are no file's; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def timing(squares: NDArray[np.uint8], images: int) -> None:
    """Print the median time of a search among ``images`` squares on disk, and the memory that it took."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pixels.npy"
        write_variants(squares, images, file)
        times, memory, before, pairs = [], [0.0], own_memory(), 0
        for _ in range(RUNS):
            begin = time.perf_counter()
            found = near_duplicates(np.load(file, mmap_mode="r"), progress=lambda share: memory.append(own_memory()))
            times.append(time.perf_counter() - begin)
            pairs = len(found)
    took = statistics.median(times)
    print(f"{images} images, {len(squares)} different, {pairs} pairs: {took:.1f} s", end="")
    print(f"   limit {LIMIT:.0f} s at 30000   share {took / LIMIT:.2f}   memory {max(memory) - before:.0f} MB")


def main() -> None:
    """Print recall and precision, then the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--images", type=int, default=30_000)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--stored", type=int, default=224)
    options = parser.parse_args()
    films = list(films_of(options.data))
    side = films[0].shape[0] if options.data and (options.data / "dataset.json").exists() else options.stored
    squares = recall_and_precision(films, options.cases, Preprocess(stored=side, size=side))
    if options.images:
        timing(squares, options.images)


if __name__ == "__main__":
    main()
