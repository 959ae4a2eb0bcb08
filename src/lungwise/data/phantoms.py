"""Made-up chest films for demonstrations and tests: drawn by formulas from a seed, no person was ever X-rayed.

A film is a sum of densities (soft tissue, bone, blood, minus air), exposed like a real one. The opacity has a generator
of its own and everything else is drawn the same way for all labels, so it is the only thing to learn a class from.
Lengths are in units of half the image's height; x = 0 is the spine and x > 0 the patient's left, on the image's right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from lungwise.data.phantom_body import (
    ARM,
    CLAVICLE,
    DOME,
    LUNG,
    SCAPULA,
    SIDES,
    TORSO,
    TRACHEA,
    VERTEBRAE,
    WALL,
    Points,
    curve,
)
from lungwise.data.phantom_body import Body as _Body
from lungwise.errors import DataError, writing

CLASSES = ("COVID-19", "normal", "pneumonia")  # also the names of the folders
README = """These pictures are SYNTHETIC: lungwise drew them from random numbers, to show and to test software.
No person was X-rayed, and the opacities are cartoons. Do not use the pictures for diagnosis, do not mix them with real
films, and do not quote a result on them as evidence of performance.
"""

Layer: TypeAlias = NDArray[np.float32]
Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Phantom:
    """One made-up film.

    Args:
        pixels: uint8 [height, width], 0 black (air) to 255 white.
        label: one of `CLASSES`.
        mask: uint8 [height, width], 255 where the opacity is; all 0 for "normal".
        lungs: uint8 [height, width], 255 where lung can be seen: inside the outlines, and not behind the heart.
    """

    pixels: NDArray[np.uint8]
    label: str
    mask: NDArray[np.uint8]
    lungs: NDArray[np.uint8]


def make_phantom(label: str, rng: np.random.Generator) -> Phantom:
    """Draw one film of a new patient.

    Args:
        label: one of `CLASSES`.
        rng: the source of randomness; with generators in the same state, films of two labels differ by the opacity only.

    Raises:
        DataError: the label is unknown.
    """
    body = _Body(rng)
    return _film(body, _Opacity(label, rng), rng)


def write_phantoms(folder: Path, per_class: int, seed: int = 0) -> Path:
    """Write ``folder/CLASS/phantom-<patient>_<film>.png`` (8-bit grey) and a README.txt that says they are synthetic.

    Args:
        folder: made when absent; phantoms of an earlier call are replaced.
        per_class: films of each class, at least 1; a patient has one to three.
        seed: 0 or more; the same seed and number give the same bytes.

    Returns:
        The folder.

    Raises:
        DataError: ``per_class`` is below 1.
        LungwiseError: the folder is read-only, full or a file.
    """
    if per_class < 1:
        raise DataError(f"The number of phantoms per class must be 1 or more, got {per_class}; ask for at least one.")
    with writing(folder):
        for first, label in enumerate(CLASSES):
            place = folder / label
            place.mkdir(parents=True, exist_ok=True)
            for old in place.glob("phantom-[0-9]*_[0-9].png"):
                old.unlink()
            left, patient = per_class, first
            while left:
                rng = np.random.default_rng([seed, patient])
                films = min(left, int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1])))
                body, opacity = _Body(rng), _Opacity(label, rng)
                for film in range(1, films + 1):
                    _, png = cv2.imencode(".png", _film(body, opacity, rng).pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
                    (place / f"phantom-{patient:05d}_{film}.png").write_bytes(png.tobytes())
                # The classes take turns in the numbering, so that no two patients share a number.
                left, patient = left - films, patient + len(CLASSES)
        (folder / "README.txt").write_text(README, encoding="utf-8")
    return folder


class _Opacity:
    """What the disease adds: outlines, how dense, how patchy (a coarse grid of factors), and air-filled bronchi in it."""

    def __init__(self, label: str, rng: np.random.Generator) -> None:
        if label not in CLASSES:
            raise DataError(f"A phantom must be one of {', '.join(CLASSES)}, got '{label}'; choose one of these.")
        # Its own generator: drawing more for one class must not change the rest of the film.
        rng = np.random.default_rng(int(rng.integers(2**62)))
        self.label, self.strength = label, 0.0
        self.patches, self.bronchi = list[Points](), list[Points]()
        self.mottle: Layer = rng.uniform(0.4, 1.4, (24, 26)).astype(np.float32)
        if label == "pneumonia":  # one dense patch, rarely two, with air left in the bronchi
            sides = rng.choice([-1.0, 1.0], 1 + int(rng.random() < 0.15))
            self.patches = [_patch(side, (0.25, 0.8), (0.35, 0.95), (0.17, 0.27), rng) for side in sides]
            self.bronchi = [line for outline in self.patches for line in _bronchi(outline, rng)]
            self.strength, self.mottle = rng.uniform(0.24, 0.55), 0.9 + (self.mottle - 0.9) * np.float32(0.25)
        elif label == "COVID-19":  # several hazy patches on both sides, near the wall and low
            sides = np.tile([-1.0, 1.0], 3)[: int(rng.integers(4, 7))]
            self.patches = [_patch(side, (0.6, 1.0), (0.4, 1.0), (0.10, 0.18), rng) for side in sides]
            self.strength = rng.uniform(0.18, 0.40)


def _patch(side: float, across: Range, down: Range, radius: Range, rng: np.random.Generator) -> Points:
    """An irregular outline in one lung; ``across`` runs from spine to wall, ``down`` from apex to diaphragm (0 to 1)."""
    y = -0.78 + 1.10 * rng.uniform(*down)
    centre = np.array([side * (0.1 + (np.interp(y, *WALL) - 0.1) * rng.uniform(*across)), y])
    angles = np.linspace(0.0, 2 * np.pi, 64, endpoint=False)
    waves = sum(rng.normal(0.0, 0.2 / k) * np.cos(k * angles + rng.uniform(0.0, 2 * np.pi)) for k in (2, 3, 4, 5))
    # A fissure stops the opacity on one side: that half is flatter.
    flat = np.where(np.sin(angles) * rng.choice([-1.0, 1.0]) > 0, rng.uniform(0.5, 1.0), 1.0)
    rays = rng.uniform(*radius) * (1.0 + waves)
    return np.asarray(centre + np.column_stack([rays * np.cos(angles), 1.15 * rays * flat * np.sin(angles)]))


def _bronchi(outline: Points, rng: np.random.Generator) -> list[Points]:
    """Three bronchi that come from the hilum and part inside the outline."""
    centre = outline.mean(axis=0)
    hilum = np.array([np.sign(centre[0]) * 0.12, -0.04])
    ahead = np.arctan2(*(centre - hilum)[::-1]) + np.array([-0.7, 0.0, 0.7]) + rng.normal(0.0, 0.15, 3)
    tips = centre + rng.uniform(0.07, 0.16, (3, 1)) * np.column_stack([np.cos(ahead), np.sin(ahead)])
    forks = hilum + (centre - hilum) * rng.uniform(0.6, 0.9, (3, 1))
    return [curve(np.array([hilum, fork, tip]), closed=False) for fork, tip in zip(forks, tips, strict=True)]


class _Canvas:
    """Draws outlines in body units as soft layers, float32 [height, width] in 0 to 1, all in one pose."""

    def __init__(self, body: _Body, rng: np.random.Generator) -> None:
        """Place the patient: a little turned, moved and nearer or farther on each film."""
        (self.height, self.width), (wide, tall, zoom) = body.size, body.build
        self.scale = self.height / 2 * zoom * rng.uniform(0.97, 1.03)
        angle = np.radians(rng.normal(0.0, 1.8))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        self.matrix = self.scale * turn @ np.diag([wide, tall])
        self.origin = np.array([self.width / 2, self.height * 0.54]) + rng.normal(0.0, 0.012, 2) * self.height

    def draw(self, lines: Sequence[Points] | Points, thick: float = 0.0, softness: float = 0.008) -> Layer:
        """Filled outlines, or open lines when they have a thickness."""
        layer = np.zeros((self.height, self.width), np.uint8)
        for line in lines:
            # OpenCV draws in sixteenths of a pixel (shift 4).
            pixels = [np.rint((line @ self.matrix.T + self.origin) * 16).astype(np.int32)]
            if thick:
                cv2.polylines(layer, pixels, False, (255,), max(1, round(thick * self.scale)), cv2.LINE_AA, 4)
            else:
                cv2.fillPoly(layer, pixels, (255,), cv2.LINE_AA, 4)
        return np.asarray(cv2.GaussianBlur(layer.astype(np.float32) / 255, (0, 0), softness * self.scale), np.float32)

    def bulge(self, outlines: Sequence[Points], depth: float) -> Layer:
        """How thick a rounded body is at each pixel: steep at its edge, full at ``depth`` inside."""
        inside = cv2.distanceTransform((self.draw(outlines) > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
        rest = 1.0 - np.minimum(inside / np.float32(depth * self.scale), 1.0)
        return np.asarray(cv2.GaussianBlur(np.sqrt(1.0 - rest * rest), (0, 0), 1.0), np.float32)

    def spread(self, grid: Layer) -> Layer:
        """Enlarge a coarse grid of values smoothly to the film."""
        return np.asarray(cv2.resize(grid, (self.width, self.height), interpolation=cv2.INTER_CUBIC), np.float32)


def _film(body: _Body, opacity: _Opacity, rng: np.random.Generator) -> Phantom:
    """X-ray a body once: pose, density, opacity, exposure, grain and the burned-in word, in this order."""
    canvas = _Canvas(body, rng)
    density, air, lungs = _density(canvas, body, rng)
    added = canvas.draw(opacity.patches, softness=0.05) * canvas.spread(opacity.mottle) * np.sqrt(air)
    added *= 1.0 - 0.3 * canvas.draw(opacity.bronchi, 0.012)
    # A fixed scale, not the image's own percentiles: an opacity must not darken the rest of the film.
    gain, base, curve = rng.uniform(0.95, 1.2), rng.uniform(-0.03, 0.05), rng.uniform(0.8, 1.25)
    light = np.clip(gain * (density + np.float32(opacity.strength) * added) + base, 0.0, 1.0) ** np.float32(curve)
    grain = rng.standard_normal(density.shape, dtype=np.float32) * np.float32(rng.uniform(0.012, 0.035))
    light += cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.5, 0.9))
    pixels = np.rint(np.clip(light, 0.0, 1.0) * 255).astype(np.uint8)
    corner = (6 if rng.random() < 0.5 else canvas.width - 66, canvas.height - 7)
    cv2.putText(pixels, "SYNTHETIC", corner, cv2.FONT_HERSHEY_SIMPLEX, 0.33, (235,), 1, cv2.LINE_AA)
    return Phantom(pixels, opacity.label, _where(added > 0.25), _where(lungs > 0.5))


def _where(true: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(true, np.uint8(255), np.uint8(0))


def _density(canvas: _Canvas, body: _Body, rng: np.random.Generator) -> tuple[Layer, Layer, Layer]:
    """What the beam meets on a healthy film, how much of it is free lung, and the lungs' fields: float32, about 0 to 1."""
    arms = [ARM * side for side in SIDES]
    torso = curve(np.concatenate([TORSO, TORSO[::-1] * SIDES[0]]))
    tissue = np.maximum(canvas.bulge([torso], 0.45), 0.7 * canvas.draw(arms, 0.26, 0.03))
    lungs = [curve(outline) for outline in body.lungs]
    # The lungs reach down behind the domes: they end there sharply, not where they grow thin.
    deep = [curve(outline + LUNG[:, 2:] * [0.0, 0.35]) for outline in body.lungs]
    heart = canvas.draw([body.heart], softness=0.012)
    fields = canvas.draw(lungs, softness=0.01)
    air = canvas.bulge(deep, 0.24) * fields * (1.0 - 0.85 * heart)
    belly = canvas.draw([np.concatenate([lungs[0][DOME], lungs[1][DOME][::-1], [(0.95, 1.7), (-0.95, 1.7)]])], softness=0.015)
    bone = 0.08 * canvas.draw(body.ribs[0], 0.064) - 0.03 * canvas.draw(body.ribs[0], 0.03)
    bone = (bone + 0.05 * canvas.draw(body.ribs[1], 0.06)) * (1.0 - 0.65 * belly) + 0.10 * canvas.draw(arms, 0.11)
    bone += 0.11 * canvas.draw([curve(CLAVICLE * side, closed=False) for side in SIDES], 0.06)
    bone += 0.05 * canvas.draw([curve(SCAPULA * side) for side in SIDES])
    bone += 0.04 * canvas.draw(VERTEBRAE, 0.07, 0.012) + 0.11 * canvas.draw(np.array([[(0.0, -1.5), (0.0, 1.5)]]), 0.15, 0.03)
    blood = sum((0.085 - 0.017 * k) * canvas.draw(lines, 0.028 - 0.007 * k) for k, lines in enumerate(body.vessels))
    density = (0.60 - 0.36 * air + 0.10 * belly) * tissue + 0.09 * heart * (1.0 - 0.7 * belly)
    density += (0.35 + 0.65 * tissue) * bone + blood * air
    density -= 0.12 * canvas.draw([curve(TRACHEA, closed=False)], 0.085, 0.014)
    haze = canvas.spread(rng.normal(0.0, 0.03, (7, 8)).astype(np.float32))
    whole = density + haze * tissue
    return np.asarray(whole, np.float32), np.asarray(air, np.float32), np.asarray(fields * (1.0 - heart), np.float32)
