"""Make ``src/lungwise/imaging/cut_off.npz``: what a film looks like of which a large part is missing, learned from real ones.

    .venv/bin/python tools/make_cut_off_reference.py data/kermany data/darkcovidnet --without cohen

Prepared data sets teach with their training parts and choose the limit with their validation parts; the test parts stay for
measuring. ``--without`` leaves sources out whose licence does not allow teaching. The same files give the same numbers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from make_chest_reference import NETWORKS, SIDE, Rng, described, quantile, varied
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from lungwise.data.store import Subset, open_data
from lungwise.imaging.cut_off import CutOff, cut_scores
from lungwise.imaging.description import Bytes, Floats
from lungwise.imaging.preprocess import resize
from lungwise.imaging.quality import flags, measure, reference

OUT = Path(__file__).parents[1] / "src/lungwise/imaging/cut_off.npz"
MUCH, LITTLE = (0.33, 0.55), (0.0, 0.08)
"""Shares of a film that are cut away: what is to be found, and what is not."""
FALSE = 0.0025
"""Share of validation films that may lie above the limit, of those that no other check finds fault with."""
HIDDEN, DECAY, PASSES = 48, 0.1, 40
"""Of five settings the one that found most cut validation films."""
FILMS = 2000


def thumbnails(part: Subset, without: list[str]) -> Bytes:
    """The films of a part, uint8 [n, 64, 64], at most ``FILMS`` of them spread over it."""
    rows = part.rows[~part.manifest["source"].is_in(without).to_numpy()]
    chosen = rows[np.linspace(0, len(rows) - 1, min(FILMS, len(rows))).round().astype(int)]
    return np.stack([resize(np.ascontiguousarray(part.data.pixels[row]), SIDE) for row in chosen])


def faultless(thumbs: Bytes) -> Bytes:
    """The films that no other check finds fault with, because a film is only called cut off where nothing else explains it."""
    found = flags(measure(thumbs))
    return thumbs[~np.any([failed for check, failed in found.items() if check != "cut-off"], axis=0)]


def cut(film: Bytes, share: float, side: int) -> Bytes:
    """A film without a share of it at one side, stretched to its old size; 0 is the top, and so on clockwise."""
    stripes = np.rot90(film, side)
    return resize(np.ascontiguousarray(np.rot90(stripes[round(share * SIDE) :], -side)), SIDE)


def many_cut(films: Bytes, shares: tuple[float, float], rng: Rng) -> Bytes:
    """Every film cut once; the top and the bottom twice as often as the sides, which are easier to tell."""
    sides = rng.choice([0, 2, 1, 3], len(films), p=[0.34, 0.34, 0.16, 0.16])
    return np.stack([cut(film, float(rng.uniform(*shares)), int(side)) for film, side in zip(films, sides, strict=True)])


def components(thumbs: Bytes) -> Floats:
    """What the network sees: float32 [n, 40]."""
    return np.asarray(described(thumbs) @ reference().basis.T, np.float32)


def lessons(films: Bytes, rng: Rng) -> tuple[Floats, NDArray[np.int64]]:
    """Components and classes (1 cut off) of whole and cut films; as many of one as of the other."""
    moved = np.stack([varied(film, rng) for film in films])
    whole = [films, moved, many_cut(films, LITTLE, rng), many_cut(moved, LITTLE, rng)]
    parts = [many_cut(pictures, MUCH, rng) for pictures in (films, films, moved, moved)]
    classes = np.repeat([0, 1], [sum(map(len, whole)), sum(map(len, parts))])
    return components(np.concatenate([*whole, *parts])), classes


def train(inputs: Floats, classes: NDArray[np.int64], weights: NDArray[np.float64]) -> CutOff:
    """Some small networks side by side, as one whose output is their mean."""
    firsts, seconds, bias = [], [], 0.0
    for seed in range(NETWORKS):
        chosen = np.random.default_rng(seed).choice(len(inputs), 20_000, p=weights / weights.sum())
        net = MLPClassifier((HIDDEN,), alpha=DECAY, random_state=seed)
        for _ in range(PASSES):
            net.partial_fit(inputs[chosen], classes[chosen], classes=[0, 1])
        firsts.append(np.vstack([net.coefs_[0], net.intercepts_[0]]))
        seconds.append(net.coefs_[1][:, 0] / NETWORKS)
        bias += float(net.intercepts_[1][0]) / NETWORKS
    # Rounded as they are stored, so that the limit is that of the stored network.
    hidden, out = np.hstack(firsts).astype(np.float16), np.concatenate([*seconds, [bias]]).astype(np.float16)
    return CutOff(hidden.astype(np.float32), out.astype(np.float32), 0.0)


def main(folders: list[Path], without: list[str]) -> None:
    """Learn, choose the limit, write the file."""
    rng, data = np.random.default_rng(0), [open_data(folder) for folder in folders]
    taught = [lessons(thumbnails(one.train, without), rng) for one in data]
    weights = np.concatenate([np.full(len(classes), 1 / len(classes)) for _, classes in taught])
    known = train(np.concatenate([x for x, _ in taught]), np.concatenate([y for _, y in taught]), weights)
    scores = [cut_scores(components(faultless(thumbnails(one.validation, without))), known) for one in data]
    evenly = np.concatenate([np.full(len(part), 1 / len(part)) for part in scores])
    limit = quantile(np.concatenate(scores), evenly, 1 - FALSE)
    arrays = {"hidden": known.hidden.astype(np.float16), "out": known.out.astype(np.float16), "limit": np.float32(limit)}
    np.savez_compressed(OUT, **arrays)
    print(f"{sum(len(y) for _, y in taught)} lessons; limit {limit:.3f}; {OUT.stat().st_size} bytes in {OUT}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="prepared data sets")
    parser.add_argument("--without", nargs="*", default=[], help="sources that are left out")
    chosen = parser.parse_args()
    main(chosen.data, chosen.without)
