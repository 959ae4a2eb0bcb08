"""Pictures that are no upright frontal chest films, to measure against: what ships with packages as samples, and drawings."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images

Bytes = NDArray[np.uint8]
Rng = np.random.Generator
SIDE = 224
GY, GX = (axis.astype(np.float32) for axis in np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j])


def photographs() -> list[Bytes]:
    """The colour photographs that ship with scikit-learn and matplotlib: uint8 [height, width, 3], BGR."""
    shipped = [np.ascontiguousarray(image[..., ::-1]) for image in load_sample_images().images]
    portrait = cv2.imread(str(samples() / "grace_hopper.jpg"))
    return [*shipped, np.asarray(portrait, np.uint8)]


def samples() -> Path:
    """Where matplotlib keeps its sample data."""
    return Path(matplotlib.get_data_path()) / "sample_data"


def head() -> Bytes:
    """A slice of a real magnetic resonance tomogram of a head, which ships with matplotlib: uint8 [256, 256]."""
    with gzip.open(samples() / "s1045.ima.gz") as file:
        values = np.frombuffer(file.read(), np.uint16).reshape(256, 256)
    return np.asarray(np.minimum(255, values * (255 / np.quantile(values, 0.995))), np.uint8)


def relief() -> Bytes:
    """Heights of real land, which ship with matplotlib, from low (black) to high: uint8 [344, 403]."""
    with np.load(samples() / "jacksboro_fault_dem.npz") as file:
        values = file["elevation"].astype(np.float64)
    return np.asarray((values - values.min()) / np.ptp(values) * 255, np.uint8)


def crops(images: list[Bytes], count: int, rng: Rng, least: int = 96) -> list[Bytes]:
    """Cut-outs of every size and place, some mirrored: uint8 [height, width] or with colour."""
    found = []
    for number in range(count):
        image = images[number % len(images)]
        low, high = min(least, *image.shape[:2]), min(image.shape[:2])
        height, width = (int(side) for side in rng.integers(low, high + 1, 2))
        top, left = (int(rng.integers(0, size - side + 1)) for size, side in zip(image.shape, (height, width), strict=False))
        piece = image[top : top + height, left : left + width]
        found.append(np.ascontiguousarray(piece[:, ::-1] if rng.random() < 0.5 else piece))
    return found


def ellipse(x: float, y: float, wide: float, tall: float, angle: float = 0.0) -> NDArray[np.float32]:
    """A soft ellipse; the square reaches from -1 to 1."""
    dx, dy, c, s = GX - x, GY - y, np.cos(angle), np.sin(angle)
    far = np.hypot((dx * c + dy * s) / wide, (dy * c - dx * s) / tall)
    return np.asarray(1 / (1 + np.exp(np.clip((far - 1) * min(wide, tall) / 0.02, -30, 30))), np.float32)


def expose(film: NDArray[np.floating], rng: Rng) -> Bytes:
    """Densities about 0 to 1 as a noisy picture."""
    film = film * rng.uniform(0.8, 1.1) + rng.normal(0, rng.uniform(0, 0.02), film.shape)
    return np.asarray(np.clip(film, 0, 1) * 255, np.uint8)


def hand(rng: Rng) -> Bytes:
    """Five rays of three bones each in flesh on black, at any angle."""
    turn, film = rng.uniform(-0.5, 0.5), 0.35 * ellipse(0, 0.45, 0.4, 0.35)
    for finger, lean in enumerate(np.linspace(-0.6, 0.6, 5) + turn + rng.normal(0, 0.05, 5)):
        for part in range(4):
            reach = 0.15 + 0.28 * part * rng.uniform(0.95, 1.05)
            x, y = reach * np.sin(lean) + 0.06 * (finger - 2), 0.5 - reach * np.cos(lean)
            film = np.maximum(film, 0.3 * ellipse(x, y, 0.1, 0.18, lean)) + 0.4 * ellipse(x, y, 0.045, 0.12, lean)
    return expose(film, rng)


def belly(rng: Rng) -> Bytes:
    """An abdomen: spine in the middle, pelvis below, bubbles of gas."""
    u = rng.uniform
    film = 0.45 * ellipse(0, 0, u(0.8, 1.0), 1.5)
    for y in np.arange(-1, 0.7, u(0.17, 0.22)):
        film += 0.2 * ellipse(0, y, 0.12, 0.07)
    for side in (-1, 1):
        film += 0.22 * ellipse(side * 0.5, 0.55, 0.35, 0.28, side * -0.5) + 0.2 * ellipse(side * 0.55, 0.95, 0.15, 0.15)
    for _ in range(rng.integers(4, 14)):
        film -= u(0.1, 0.2) * ellipse(u(-0.6, 0.6), u(-0.8, 0.4), u(0.05, 0.2), u(0.04, 0.1), u(0, 3))
    return expose(film, rng)


def side_view(rng: Rng) -> Bytes:
    """A drawn lateral chest: spine at the back, one dark field, the heart in front and low, facing either way."""
    u = rng.uniform
    film = 0.55 * ellipse(0, 0.15, u(0.6, 0.8), 1.2) - 0.3 * ellipse(-0.03, -0.1, u(0.45, 0.6), u(0.5, 0.65), u(-0.15, 0.15))
    film += u(0.2, 0.3) * ellipse(-0.22, u(0.1, 0.3), 0.25, 0.3, -0.4) + 0.25 * ellipse(-0.06, -0.95, 0.4, 0.2)
    for y in np.arange(-0.9, 1, 0.12):
        film += 0.15 * ellipse(0.4 + 0.08 * np.sin(2 * y), y, 0.11, 0.045)
    picture = expose(film, rng)
    return picture if rng.random() < 0.5 else np.ascontiguousarray(picture[:, ::-1])


def tomogram(rng: Rng) -> Bytes:
    """A drawn CT slice of a chest: an oval body on black, two dark lungs, a round spine below, a heart between."""
    u = rng.uniform
    film = (
        0.5 * ellipse(0, 0, u(0.85, 0.97), u(0.6, 0.8)) + 0.2 * ellipse(0, 0.5, 0.12, 0.12) + 0.25 * ellipse(0, -0.6, 0.1, 0.03)
    )
    for side in (-1, 1):
        film -= 0.45 * ellipse(side * u(0.42, 0.5), u(-0.05, 0.1), u(0.28, 0.36), u(0.4, 0.5), side * u(0, 0.3))
        for _ in range(12):
            film += 0.3 * ellipse(side * u(0.25, 0.65), u(-0.3, 0.35), 0.015, 0.015)
    film += 0.1 * ellipse(0.1, -0.1, 0.3, 0.25)
    return expose(film, rng)


def page(rng: Rng) -> Bytes:
    """Lines of letters, dark on bright or bright on dark."""
    sheet, lines = np.full((448, 448), 245, np.uint8), int(rng.integers(6, 26))
    for line in range(lines):
        words = "".join(chr(letter) for letter in rng.choice([32, *range(97, 123)], int(rng.integers(10, 60))))
        place = (int(rng.integers(8, 40)), 20 + 425 * line // lines)
        cv2.putText(sheet, words, place, cv2.FONT_HERSHEY_SIMPLEX, 10 / lines, (20,), max(1, 20 // lines), cv2.LINE_AA)
    return sheet if rng.random() < 0.5 else 255 - sheet


def noise(rng: Rng) -> Bytes:
    """Noise from white to cloudy."""
    rate = np.fft.fftfreq(SIDE)
    radius = np.maximum(np.hypot(rate[:, None], rate), 1 / SIDE)
    wave = np.fft.ifft2(np.fft.fft2(rng.normal(size=GX.shape)) * radius ** -rng.uniform(0, 2.2)).real
    return np.asarray(np.clip(128 + 50 * wave / wave.std(), 0, 255), np.uint8)


def gradient(rng: Rng) -> Bytes:
    """A ramp or a round glow."""
    angle = rng.uniform(0, 2 * np.pi)
    ramp = GX * np.cos(angle) + GY * np.sin(angle) if rng.random() < 0.5 else -np.hypot(GX - np.cos(angle) / 3, GY)
    return np.asarray(((ramp - ramp.min()) / np.ptp(ramp)) ** rng.uniform(0.6, 1.6) * 255, np.uint8)


def checkerboard(rng: Rng) -> Bytes:
    """Squares of two greys."""
    count, (dark, bright) = rng.uniform(2, 14), rng.choice(np.arange(0, 256, 40), 2, replace=False)
    odd = (np.floor(GX * count + rng.random()) + np.floor(GY * count + rng.random())) % 2
    return np.asarray(np.where(odd, bright, dark), np.uint8)


DRAWINGS: dict[str, Callable[[Rng], Bytes]] = {
    "hand": hand,
    "abdomen": belly,
    "lateral (drawn)": side_view,
    "tomogram": tomogram,
    "text": page,
    "noise": noise,
    "gradient": gradient,
    "checkerboard": checkerboard,
}
