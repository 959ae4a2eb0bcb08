"""Make ``src/lungwise/imaging/chest.npz``: what an upright frontal chest film looks like, learned from real ones.

    .venv/bin/python tools/make_chest_reference.py --learn kermany/train --learn darkcovidnet/No_findings \
        darkcovidnet/Pneumonia --limit darkcovidnet/Covid-19 covidx9a/images --out src/lungwise/imaging/chest.npz

``--learn`` folders teach, so their licence must allow it; of a folder whose name is not ``train`` only the patients of one
half are used (``fitting``), and the other half stays for measuring. ``--limit`` folders only help to choose the limits,
with the same half of their patients. The same files give the same numbers.

What is not a frontal film is made here: real films turned, negated and cut to a part, drawn bodies, noise and text.
No real picture of anything else is used, so photographs and real films of other parts are unseen when measuring.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from lungwise.data.sources.patients import guess
from lungwise.imaging.description import Bytes, Floats, describe, without_border
from lungwise.imaging.preprocess import Preprocess, resize, to_square
from lungwise.imaging.quality import POSES, Reference, compare, pose
from lungwise.imaging.read import SUFFIXES, read

SIDE, COMPONENTS, HIDDEN, NETWORKS, PASSES = 64, 40, 24, 5, 25
ABOUT = (
    "Reference of lungwise.imaging.quality. Frontal films: Kermany et al., Cell 172 (2018), CC BY 4.0, training part; and "
    "NIH Clinical Center ChestX-ray8, Wang et al., CVPR 2017, half of the patients of the selection by Ozturk et al., 2020. "
    "Only components and weights over thousands of pictures are kept, rounded to 8 and 16 bits; no film is in this file."
)
Rng = np.random.Generator
GY, GX = (axis.astype(np.float32) for axis in np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j])


def fitting(stem: str) -> bool:
    """Whether the film with this file stem belongs to the half of the patients that is learned from."""
    return hashlib.sha256(guess(stem)[0].encode()).digest()[0] % 2 == 0


def films(folder: Path) -> list[Path]:
    """The image files of a folder that are used here."""
    found = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    return [file for file in found if folder.name == "train" or fitting(file.stem)]


def thumbnails(files: list[Path]) -> Bytes:
    """The films as measured: uint8 [n, 64, 64], by way of the stored square."""
    return np.stack([resize(to_square(read(file), Preprocess(stored=224, size=224)), SIDE) for file in files])


def described(thumbs: Bytes) -> Floats:
    """Thumbnails uint8 [n, 64, 64] as descriptions float32 [n, 2048]."""
    return describe(without_border(thumbs)[0]).reshape(len(thumbs), -1)


def varied(film: Bytes, rng: Rng) -> Bytes:
    """A film moved, stretched, turned a little and exposed otherwise; every fourth with one lung made opaque."""
    (wide, tall), angle = rng.uniform(0.85, 1.3, 2), np.radians(rng.normal(0, 6))
    turn = np.diag([wide, tall]) @ [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    centre = np.full(2, (SIDE - 1) / 2)
    matrix = np.column_stack([turn, centre + rng.normal(0, 2.2, 2) - turn @ centre])
    border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    moved = cv2.warpAffine(film, matrix, (SIDE, SIDE), borderMode=border).astype(np.float32)
    if rng.random() < 0.25:
        mask = rng.uniform(0.5, 1) * blob(
            rng.choice([-0.45, 0.45]), rng.uniform(-0.4, 0.3), 0.38, rng.uniform(0.3, 0.8), soft=0.1
        )
        moved += mask * (rng.uniform(0.75, 0.95) * np.percentile(moved, 95) - moved)
    moved -= moved.min()
    return np.asarray((moved / max(1.0, moved.max())) ** rng.uniform(0.6, 1.7) * 255, np.uint8)


def part(film: Bytes, rng: Rng) -> Bytes:
    """What is below the lungs, one half, the shoulders, or a detail of a film."""
    kind, (low, high), (y, x) = rng.integers(5), rng.integers(14, 26, 2), rng.integers(0, 40, 2)
    cuts = (film[low + 24 :], film[:, : low + 12], film[:, high + 16 :], film[:low], film[y : y + low, x : x + high])
    return resize(np.ascontiguousarray(cuts[kind]), SIDE)


def step(distance: Floats, soft: float) -> Floats:
    """1 where the distance is below 0, 0 above, smooth over ``soft``."""
    return np.asarray(1 / (1 + np.exp(np.clip(distance / soft, -30, 30))), np.float32)


def blob(x: float, y: float, wide: float, tall: float, angle: float = 0.0, soft: float = 0.04) -> Floats:
    """A soft ellipse; the square reaches from -1 to 1."""
    dx, dy, c, s = GX - x, GY - y, np.cos(angle), np.sin(angle)
    return step(np.hypot((dx * c + dy * s) / wide, (dy * c - dx * s) / tall) - 1, soft / min(wide, tall))


def ring(x: float, y: float, wide: float, tall: float, thick: float, angle: float = 0.0) -> Floats:
    """The rim of an ellipse."""
    return blob(x, y, wide, tall, angle, 0.02) - blob(x, y, max(wide - thick, 0.02), max(tall - thick, 0.02), angle, 0.02)


def vertebrae(across: Floats, rng: Rng) -> Floats:
    """A spine where ``across``, the distance from its middle, is small."""
    gaps = np.sign(np.sin(2 * np.pi * GY / rng.uniform(0.14, 0.3)))
    return step(np.abs(across) - rng.uniform(0.07, 0.14), 0.02) * (0.72 + 0.28 * gaps)


def lateral(rng: Rng) -> Floats:
    """A chest from the side: the spine at one border, one dark field, the heart in front and below."""
    u, side = rng.uniform, rng.choice([-1, 1])
    wide = u(0.55, 0.95) * (1 - 0.35 * np.clip(-(GY + u(0.2, 0.5)), 0, 1))
    x = GX * side - u(-0.1, 0.1) * GY - u(-0.12, 0.12)
    body = step(np.abs(x) - wide, 0.05)
    lung = step(np.abs(x - u(-0.05, 0.05)) - wide * u(0.78, 0.92), 0.05) * step(GY - u(0.3, 0.75) - u(-0.3, 0.3) * x, 0.05)
    lung = lung * step(-GY - u(0.6, 0.9), 0.06)
    film = u(0.4, 0.6) * body * np.sqrt(np.clip(1 - (x / (wide + 0.15)) ** 2, 0.15, 1)) - u(0.18, 0.35) * lung
    film += u(0.12, 0.32) * blob(-side * u(0.1, 0.35), u(0.05, 0.45), u(0.2, 0.36), u(0.22, 0.4), u(-0.6, 0.6), 0.05)
    back = u(0.35, 0.55) * wide / 0.8 + u(-0.05, 0.2) * np.cos(GY * 1.6)
    film += u(0.06, 0.22) * vertebrae(x - back, rng) * (body > 0.3)
    film += u(0, 0.2) * blob(u(-0.3, 0.3), -u(0.75, 1), u(0.3, 0.6), u(0.12, 0.3), u(-0.5, 0.5))
    film += u(0, 0.15) * step(np.abs(x + wide * u(0.75, 0.9)) - 0.04, 0.02) * (GY < 0.4)
    for rib in range(int(rng.integers(4, 10))):
        film += u(0, 0.05) * np.exp(-(((GY + 0.7 - rib * 0.17 - u(0.1, 0.5) * x) / 0.03) ** 2)) * lung
    return np.asarray(film, np.float32)


def abdomen(rng: Rng) -> Floats:
    """A belly: the spine in the middle, often a pelvis below, gas here and there, no fields of lung."""
    u = rng.uniform
    x, low = u(-0.15, 0.15), u(0.25, 1.0)
    film = u(0.35, 0.6) * blob(x, u(-0.2, 0.2), u(0.75, 1.3), u(1.0, 1.9), 0, 0.08)
    film += u(0.08, 0.25) * vertebrae(GX - x, rng) * (u(0.3, 1.2) > GY)
    for side in (-1, 1) if rng.random() < 0.75 else ():
        film += u(0.1, 0.3) * blob(x + side * u(0.4, 0.6), low, u(0.25, 0.42), u(0.2, 0.4), -side * u(0.1, 0.8))
        film += u(0, 0.15) * ring(x + side * 0.5, low, u(0.3, 0.42), u(0.25, 0.4), 0.08, -side * 0.4)
        film += u(0, 0.25) * blob(x + side * u(0.5, 0.7), low + u(0.3, 0.5), 0.14, 0.14)
    film -= u(-0.1, 0.2) * blob(x, low + u(0.05, 0.45), u(0.15, 0.3), u(0.1, 0.25))
    dome = u(-0.15, 0.25)
    film -= max(dome, 0) * (blob(x - 0.45, -1.05, 0.4, u(0.1, 0.35)) + blob(x + 0.45, -1.05, 0.4, u(0.1, 0.35)))
    film += u(0, 0.12) * blob(x - u(0.3, 0.5), -u(0.3, 0.6), 0.45, 0.4)
    for _ in range(int(rng.integers(0, 18))):
        film -= u(0.04, 0.25) * blob(x + u(-0.75, 0.75), u(-0.9, 0.7), u(0.05, 0.3), u(0.04, 0.14), u(0, 3.2), 0.025)
    return np.asarray(film, np.float32)


def limb(rng: Rng) -> Floats:
    """Long and short bones in their flesh: a few more or less side by side, or a fan of them as in a hand."""
    u, angle, film = rng.uniform, rng.uniform(0, 3.15), np.zeros_like(GX)
    fan, bones = (u(0.15, 0.4), int(rng.integers(3, 7))) if rng.random() < 0.5 else (0.0, int(rng.integers(1, 6)))
    wrist, first = (u(-0.3, 0.3), u(0.1, 0.7)), u(-0.3, 0.3) - fan * (bones - 1) / 2
    for bone in range(bones):
        x, y, long, wide, lean = u(-0.6, 0.6), u(-0.6, 0.6), u(0.4, 1.5), u(0.05, 0.3), angle + rng.normal(0, 0.25)
        if fan:
            long, wide, lean = u(0.35, 0.6), u(0.03, 0.08), first + fan * bone
            reach = long * u(1.1, 1.5)
            x, y = wrist[0] + reach * np.sin(lean), wrist[1] - reach * np.cos(lean)
        film = np.maximum(film, u(0.3, 0.5) * blob(x, y, wide * 1.9, long * 1.05, lean))
        film = film + u(0.15, 0.4) * blob(x, y, wide, long, lean) - u(-0.1, 0.15) * blob(x, y, wide * 0.5, long * 0.9, lean)
    film = np.maximum(film, min(fan, 1) * u(0, 2) * blob(*wrist, u(0.2, 0.5), u(0.2, 0.5)))
    for _ in range(int(rng.integers(0, 8))):
        film = film + u(0.1, 0.3) * blob(u(-0.6, 0.6), u(-0.6, 0.6), u(0.05, 0.25), u(0.05, 0.25), u(0, 3))
    return np.asarray(film if rng.random() < 0.7 else np.rot90(film), np.float32)


def rims(rng: Rng) -> Floats:
    """Round things with rims, such as a skull or a pelvis, with or without a spine."""
    u = rng.uniform
    film = u(0, 0.5) * blob(u(-0.1, 0.1), u(-0.2, 0.2), u(0.6, 1.2), u(0.6, 1.2), u(0, 3))
    film += max(u(-0.3, 0.4), 0) * vertebrae(GX - u(-0.5, 0.5), rng)
    for _ in range(int(rng.integers(1, 7))):
        shape = u(-0.7, 0.7), u(-0.7, 0.7), u(0.15, 0.8), u(0.15, 0.8)
        film += u(0.1, 0.35) * ring(*shape, u(0.05, 0.15), u(0, 3)) + u(-0.2, 0.2) * blob(*shape, u(0, 3))
    return np.asarray(film, np.float32)


def noise(rng: Rng) -> Floats:
    """Noise with a spectrum from white to cloudy, or a gradient."""
    if rng.random() < 0.4:
        angle, power = rng.uniform(0, 6.3), rng.uniform(0.6, 1.6)
        far = np.hypot(GX - rng.uniform(-0.4, 0.4), GY - rng.uniform(-0.4, 0.4))
        ramp = (far, -far, GX * np.cos(angle) + GY * np.sin(angle))[rng.integers(3)]
        return np.asarray(((ramp - ramp.min()) / np.ptp(ramp)) ** power, np.float32)
    rate = np.fft.fftfreq(SIDE)
    radius = np.maximum(np.hypot(rate[:, None], rate), 1 / SIDE)
    wave = np.fft.ifft2(np.fft.fft2(rng.normal(size=GX.shape)) * radius ** -rng.uniform(0, 2.2)).real
    return np.asarray(np.clip(0.5 + wave / wave.std() / 5, 0, 1), np.float32)


def text(rng: Rng) -> Floats:
    """Lines of letters, dark on bright or bright on dark."""
    page, lines = np.full((512, 512), 255, np.uint8), int(rng.integers(5, 30))
    for line in range(lines):
        letters = "".join(chr(c) for c in rng.choice([32, *range(97, 123)], rng.integers(5, 70)))
        place, ink = (int(rng.integers(5, 60)), 25 + line * 490 // lines), int(rng.integers(0, 90))
        cv2.putText(page, letters, place, cv2.FONT_HERSHEY_SIMPLEX, 13 / lines, (ink,), max(1, 30 // lines))
    return np.asarray(resize(page if rng.random() < 0.7 else 255 - page, SIDE) / 255.0, np.float32)


def drawn(draw: Callable[[Rng], Floats], count: int, rng: Rng) -> Bytes:
    """Many pictures of one kind, each exposed in its own way: uint8 [count, 64, 64]."""
    pictures = []
    for _ in range(count):
        film = draw(rng)
        haze = cv2.resize(rng.normal(0, rng.uniform(0, 0.06), (6, 6)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        film = film + haze * (film > 0.05)
        film = (film - film.min()) / max(1e-3, float(np.ptp(film))) * rng.uniform(0.7, 1.2) + rng.uniform(-0.05, 0.1)
        film = np.clip(film, 0, 1) ** rng.uniform(0.6, 1.6) + rng.normal(0, rng.uniform(0, 0.02), film.shape)
        pictures.append(np.asarray(np.clip(film, 0, 1) * 255, np.uint8))
    return np.stack(pictures)


def wrong_poses(descriptions: Floats) -> Floats:
    """Descriptions of upright films in nine other poses."""
    stack = descriptions.reshape(-1, 2, 32, 32)
    ways = [(sign, name) for sign in (1, -1) for name in POSES][1:]
    turned = [sign * pose(stack[number :: len(ways)], name) for number, (sign, name) in enumerate(ways)]
    return np.concatenate(turned).reshape(-1, descriptions.shape[1])


def lessons(collections: list[Bytes], rng: Rng) -> list[tuple[int, float, Floats]]:
    """Classes (0 frontal, 1 lateral, 2 other), their shares of the lessons, and descriptions; collections weigh the same."""
    taught: list[tuple[int, float, Floats]] = []
    for thumbs in collections:
        chosen = thumbs[rng.choice(len(thumbs), 3000)]
        share, seen = 1 / len(collections), described(thumbs)
        taught.append((0, 0.2 * share, seen))
        taught.append((0, 0.3 * share, described(np.stack([varied(film, rng) for film in chosen]))))
        taught.append((2, 0.15 * share, described(np.stack([part(film, rng) for film in chosen]))))
        taught.append((2, 0.15 * share, wrong_poses(seen[rng.choice(len(seen), 3600)])))
    kinds = {lateral: (1, 0.05, 1500), abdomen: (2, 0.05, 1500), limb: (2, 0.035, 1000), rims: (2, 0.025, 700)}
    for draw, (kind, share, count) in {**kinds, noise: (2, 0.03, 1500), text: (2, 0.01, 300)}.items():
        taught.append((kind, share, described(drawn(draw, count, rng))))
    return taught


def components(taught: list[tuple[int, float, Floats]]) -> tuple[NDArray[np.int8], Floats]:
    """Principal components of all lessons, whitened, as 8-bit numbers [k, 2048] and the factor of each row."""
    scatter = sum(share / len(seen) * (seen.T.astype(np.float64) @ seen) for _, share, seen in taught)
    values, vectors = np.linalg.eigh(scatter)
    rows = (vectors[:, ::-1] / np.sqrt(values[::-1])).T[:COMPONENTS]
    # The sign of a component means nothing; fixing it makes the file the same on every machine.
    rows *= np.sign(rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)])[:, None]
    factor = (np.abs(rows).max(axis=1) / 127).astype(np.float32)
    return np.rint(rows / factor[:, None]).astype(np.int8), factor


def train(inputs: Floats, classes: NDArray[np.int64], weights: Floats) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Some small networks side by side, as one whose output is their mean; see ``Reference`` for the layout."""
    firsts, seconds, bias = [], [], np.zeros(3)
    for seed in range(NETWORKS):
        chosen = np.random.default_rng(seed).choice(len(inputs), 20_000, p=weights / weights.sum())
        net = MLPClassifier((HIDDEN,), alpha=1.0, random_state=seed)
        for _ in range(PASSES):
            net.partial_fit(inputs[chosen], classes[chosen], classes=[0, 1, 2])
        firsts.append(np.vstack([net.coefs_[0], net.intercepts_[0]]))
        seconds.append(net.coefs_[1] / NETWORKS)
        bias += net.intercepts_[1] / NETWORKS
    return np.hstack(firsts).astype(np.float16), np.vstack([*seconds, bias]).astype(np.float16)


def limits(collections: list[Bytes], known: Reference) -> tuple[float, float]:
    """The two limits of ``Reference``, from frontal films of the fitting half; every collection weighs the same.

    The first lets three in four hundred of them fall below, because films that were learned from score better than new ones.
    """
    scores = [compare(describe(without_border(thumbs)[0]), known)[0] for thumbs in collections]
    weights = np.concatenate([np.full(len(part), 1 / len(part)) for part in scores])
    return quantile(np.concatenate(scores), weights, 0.0075), quantile(np.concatenate(scores), weights, 0.05)


def quantile(values: Floats, weights: NDArray[np.float64], share: float) -> float:
    """The value below which the share of the weight lies."""
    order = np.argsort(values)
    return float(values[order][np.searchsorted(np.cumsum(weights[order]), share * weights.sum())])


def main(learn: list[list[Path]], limit: list[list[Path]], out: Path) -> None:
    """Learn, choose the limits, write the file."""
    rng = np.random.default_rng(0)
    taken = [thumbnails([file for folder in group for file in films(folder)]) for group in [*learn, *limit]]
    taught = lessons(taken[: len(learn)], rng)
    basis, factor = components(taught)
    seen = np.concatenate([described for _, _, described in taught]) @ (basis * factor[:, None]).T
    classes = np.concatenate([np.full(len(described), kind) for kind, _, described in taught])
    weights = np.concatenate([np.full(len(described), share / len(described)) for _, share, described in taught])
    hidden, last = train(seen, classes, weights)
    known = Reference(basis * factor[:, None], hidden.astype(np.float32), last.astype(np.float32), 0.0, 0.0, ABOUT)
    found = np.array(limits(taken, known), np.float32)
    np.savez_compressed(out, basis=basis, scale=factor, hidden=hidden, out=last, limits=found, about=np.array(ABOUT))
    films_taught = sum(map(len, taken[: len(learn)]))
    print(f"{films_taught} films taught; limits {found.round(3).tolist()}; {out.stat().st_size} bytes in {out}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learn", type=Path, nargs="+", action="append", required=True, help="folders of one collection")
    parser.add_argument("--limit", type=Path, nargs="+", action="append", default=[], help="folders of one more collection")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    main(chosen.learn, chosen.limit, chosen.out)
