"""How well are lungs found? Figures on phantoms, whose lungs are known, and contact sheets of real films to look at.

    .venv/bin/python benchmarks/lungs.py
    .venv/bin/python benchmarks/lungs.py --data data/ --out lungs.png

On phantoms: Dice of the outlines, and how much of lungs and opacities the cover holds that the shortcut audit uses. On a
prepared data set: how often the average lungs step in and why, and a sheet with outlines (green; red where they are the
average ones) and covers (orange), numbered, for a person to rate.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lungwise.data.phantoms import CLASSES, make_phantom
from lungwise.data.store import open_data
from lungwise.imaging.lungs import Lungs, find_lungs
from lungwise.imaging.png import write_png
from lungwise.imaging.preprocess import resize

NUMBER, SIDE, COLUMNS, SEED = 80, 128, 5, 2024


def phantoms() -> None:
    """Print one line for each class."""
    print(f"{NUMBER} phantoms a class, {SIDE} px: mean (5th percentile, least)")
    for first, label in enumerate(CLASSES):
        rows = []
        for number in range(NUMBER):
            film = make_phantom(label, np.random.default_rng([11, first, number]))
            lungs, opacity = (resize(mask, SIDE) > 127 for mask in (film.lungs, film.mask))
            found = find_lungs(resize(film.pixels, SIDE))
            mask, cover = found.mask(SIDE), found.cover(SIDE)
            dice = 2 * (mask & lungs).sum() / (mask.sum() + lungs.sum())
            held = (cover & opacity).sum() / opacity.sum() if opacity.any() else np.nan
            rows.append((dice, (cover & lungs).sum() / lungs.sum(), held, cover.mean(), found.found))
        table = np.array(rows, float)
        dice, whole, held = (_said(values) for values in table.T[:3])
        print(f"{label:<10} Dice {dice}; cover holds lungs {whole}, opacities {held}; ", end="")
        print(f"cover {table[:, 3].mean():.2f} of the film, average lungs {NUMBER - int(table[:, 4].sum())}")


def _said(values: NDArray[np.float64]) -> str:
    known = values[np.isfinite(values)]
    return f"{known.mean():.3f} ({np.quantile(known, 0.05):.3f}, {known.min():.3f})" if known.size else "–"


def films(folder: Path, out: Path, sheet: int, number: int) -> None:
    """Count where the average lungs step in, and write a sheet of ``sheet`` films."""
    data = open_data(folder)
    rows = np.random.default_rng(SEED).permutation(data.part("train", "validation", "test").rows)[:number]
    doubts: Counter[str] = Counter()
    tiles = []
    for place, row in enumerate(rows.tolist()):
        square = np.asarray(data.pixels[row])
        found = find_lungs(square)
        doubts.update(found.doubts[:1])
        if place < sheet:
            tiles.append(_tile(resize(square, 224), found, place))
    print(f"{folder}: {len(rows)} films, average lungs on {sum(doubts.values())}", dict(doubts))
    lines = [np.hstack(tiles[start : start + COLUMNS]) for start in range(0, len(tiles) - COLUMNS + 1, COLUMNS)]
    write_png(out, np.vstack(lines))


def _tile(square: NDArray[np.uint8], found: Lungs, number: int) -> NDArray[np.uint8]:
    shown = cv2.cvtColor(square, cv2.COLOR_GRAY2BGR)
    cover, _ = cv2.findContours(found.cover(len(square)).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(shown, cover, -1, (0, 140, 255), 1)
    lines = [np.rint(outline * len(square)).astype(np.int32) for outline in found.outlines]
    cv2.polylines(shown, lines, True, (0, 255, 0) if found.found else (0, 0, 255), 1, cv2.LINE_AA)
    cv2.putText(shown, str(number), (4, len(square) - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 0), 1, cv2.LINE_AA)
    return np.asarray(shown, np.uint8)


def main() -> None:
    """Phantoms, or the films of a data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a prepared data set")
    parser.add_argument("--out", type=Path, default=Path("lungs.png"), help="the contact sheet")
    parser.add_argument("--sheet", type=int, default=40, help="films on the sheet")
    parser.add_argument("--films", type=int, default=300, help="films that are counted")
    options = parser.parse_args()
    if options.data is None:
        phantoms()
    else:
        films(options.data, options.out, options.sheet, options.films)


if __name__ == "__main__":
    main()
