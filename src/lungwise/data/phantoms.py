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

from lungwise.errors import DataError, writing

CLASSES = ("COVID-19", "normal", "pneumonia")  # also the names of the folders
README = """These pictures are SYNTHETIC: lungwise drew them from random numbers, to show and to test software.
No person was X-rayed, and the opacities are cartoons. Do not use the pictures for diagnosis, do not mix them with real
films, and do not quote a result on them as evidence of performance.
"""

Points: TypeAlias = NDArray[np.float64]
Layer: TypeAlias = NDArray[np.float32]
Range: TypeAlias = tuple[float, float]

# The left lung, clockwise from the apex; a point given twice makes a corner. Third column: moves with the diaphragm.
# fmt: off
_LUNG = np.array([
    (0.27, -0.84, 0), (0.42, -0.77, 0), (0.55, -0.58, 0), (0.65, -0.28, 0), (0.71, 0.05, 0), (0.74, 0.38, 0),
    (0.745, 0.62, 0.4), (0.745, 0.62, 0.4), (0.66, 0.50, 0.8), (0.52, 0.415, 1), (0.37, 0.39, 1), (0.22, 0.42, 1),
    (0.08, 0.47, 0.8), (0.08, 0.47, 0.8), (0.08, 0.10, 0), (0.10, -0.30, 0), (0.11, -0.60, 0), (0.16, -0.79, 0)])
_WALL = _LUNG[:7, 1], _LUNG[:7, 0]  # heights, and how far from the spine the lung reaches there
_DOME = slice(7 * 8, 12 * 8 + 1)  # the diaphragm's part of the smoothed outline
_HEART = np.array([
    (-0.09, -0.30), (-0.13, -0.12), (-0.20, 0.06), (-0.215, 0.25), (-0.15, 0.46), (0.10, 0.54), (0.38, 0.52), (0.46, 0.43),
    (0.44, 0.31), (0.36, 0.14), (0.25, -0.02), (0.19, -0.12), (0.185, -0.20), (0.15, -0.26), (0.195, -0.34), (0.185, -0.43),
    (0.11, -0.48), (0.105, -0.70), (0.13, -1.30), (-0.13, -1.30), (-0.10, -0.70)])
_TORSO = np.array([
    (0.22, -1.5), (0.23, -1.06), (0.34, -0.93), (0.72, -0.84), (1.02, -0.72), (1.16, -0.50), (1.10, -0.25), (0.94, -0.02),
    (0.91, 0.30), (0.90, 0.75), (0.95, 1.6)])
# fmt: on
_ARM = np.array([(0.94, -0.62), (1.20, -0.15), (1.34, 0.9)])
_CLAVICLE = np.array([(0.07, -0.57), (0.22, -0.63), (0.45, -0.70), (0.66, -0.79), (0.92, -0.80)])
_SCAPULA = np.array([(0.80, -0.70), (0.95, -0.62), (0.86, -0.30), (0.73, 0.02), (0.67, -0.05), (0.66, -0.45)])
_TRACHEA = np.array([(0.0, -1.3), (0.0, -0.7), (0.012, -0.28)])
_VERTEBRAE = [np.array([(x, y - 0.03), (x, y + 0.03)]) for y in np.arange(-1.1, 1.2, 0.135) for x in (-0.03, 0.03)]
_SIDES = np.array([(-1.0, 1.0), (1.0, 1.0)])  # mirrored to the patient's right, and as drawn


@dataclass(frozen=True)
class Phantom:
    """One made-up film.

    Args:
        pixels: uint8 [height, width], 0 black (air) to 255 white.
        label: one of `CLASSES`.
        mask: uint8 [height, width], 255 where the opacity is; all 0 for "normal".
    """

    pixels: NDArray[np.uint8]
    label: str
    mask: NDArray[np.uint8]


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


def _curve(points: Points, closed: bool = True) -> Points:
    """A smooth line (Catmull-Rom) through the points: float64 [n, 2] to [8 n, 2] (8 n - 8 when open)."""
    ends = np.concatenate([points[-1:], points, points[:2]] if closed else [points[:1], points, points[-1:]])
    a, b, c, d = (ends[i : len(ends) - 3 + i, None, :] for i in range(4))
    t = np.linspace(0.0, 1.0, 8, endpoint=not closed)[None, :, None]
    bend = 2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    return np.asarray((bend / 2).reshape(-1, 2), np.float64)


class _Body:
    """One person's frame size, build and outlines, which all films of this person share."""

    def __init__(self, rng: np.random.Generator) -> None:
        height = int(rng.integers(272, 305))
        self.size = (height, int(height * rng.uniform(1.0, 1.2)))
        self.build = (rng.uniform(0.93, 1.08), rng.uniform(0.93, 1.05), rng.uniform(0.94, 1.12))
        breath, width = rng.uniform(-0.07, 0.04), rng.uniform(0.85, 1.18)
        self.lungs = []
        for side, wide, rise in zip(_SIDES, (1.04, 1.0), (0.07, 0.0), strict=True):
            outline = _LUNG[:, :2] * side * [wide, 1.0] + rng.normal(0.0, 0.010, (len(_LUNG), 2))
            outline[:, 1] += (breath - rise - rng.uniform(0.0, 0.03)) * _LUNG[:, 2]
            outline[[7, 13]] = outline[[6, 12]]
            self.lungs.append(outline)
        heart = _HEART + rng.normal(0.0, 0.008, _HEART.shape) + [0.0, 0.5 * breath]
        heart[:, 0] *= np.where(_HEART[:, 1] > -0.2, width, 1.0)
        self.heart = _curve(heart)
        self.ribs, self.vessels = _ribs(rng), _vessels(rng)


def _ribs(rng: np.random.Generator) -> tuple[list[Points], list[Points]]:
    """Ribs 1 to 9 of both sides: the halves behind (from the spine to the wall) and in front (falling inwards)."""
    behind, before = list[Points](), list[Points]()
    slope, gap = rng.uniform(0.8, 1.5), rng.uniform(0.142, 0.158)
    for rib in np.repeat(np.arange(9), 2):
        side = _SIDES[len(behind) % 2]
        root = -0.86 + gap * rib + rng.normal(0.0, 0.006)
        turn = root + slope * (0.10 + 0.022 * rib)
        wall = np.interp(turn, *_WALL) + 0.02
        arch = [(0.07, root), (0.4 * wall, root - 0.035), (0.78 * wall, root + 0.02), (wall, turn)]
        fall = [(wall, turn), (0.93 * wall, turn + 0.1), (0.7 * wall, turn + 0.19 * slope), (0.25, turn + 0.27 * slope)]
        behind.append(_curve(np.array(arch), closed=False) * side)
        before.append(_curve(np.array(fall), closed=False) * side)
    return behind, before


def _vessels(rng: np.random.Generator) -> list[Points]:
    """Vessels of both lungs from the hilum outwards: lines [n, 4, 2] for each of four generations, thick to thin."""
    side = np.repeat([-1.0, 1.0], 7)
    start = np.column_stack([side * 0.15, rng.uniform(-0.16, 0.06, 14)])
    angle = np.tile(np.linspace(-1.3, 1.3, 7), 2) + rng.normal(0.0, 0.15, 14)
    levels = []
    for _ in range(4):
        bends = angle[:, None] + rng.normal(0.0, 0.22, (len(angle), 3)).cumsum(axis=1)
        steps = np.stack([side[:, None] * np.cos(bends), np.sin(bends)], axis=-1) * rng.uniform(0.04, 0.09, (len(angle), 1, 1))
        lines = start[:, None] + np.pad(steps.cumsum(axis=1), ((0, 0), (1, 0), (0, 0)))
        levels.append(lines)
        start, side = np.repeat(lines[:, -1], 2, axis=0), np.repeat(side, 2)
        angle = np.repeat(bends[:, -1], 2) + rng.uniform(0.15, 0.6, len(side)) * np.tile([-1.0, 1.0], len(bends))
    return levels


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
    centre = np.array([side * (0.1 + (np.interp(y, *_WALL) - 0.1) * rng.uniform(*across)), y])
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
    return [_curve(np.array([hilum, fork, tip]), closed=False) for fork, tip in zip(forks, tips, strict=True)]


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
    density, air = _density(canvas, body, rng)
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
    return Phantom(pixels, opacity.label, np.where(added > 0.25, np.uint8(255), np.uint8(0)))


def _density(canvas: _Canvas, body: _Body, rng: np.random.Generator) -> tuple[Layer, Layer]:
    """What the beam meets on a healthy film, and how much of it is free lung; both float32 [height, width], about 0 to 1."""
    arms = [_ARM * side for side in _SIDES]
    torso = _curve(np.concatenate([_TORSO, _TORSO[::-1] * _SIDES[0]]))
    tissue = np.maximum(canvas.bulge([torso], 0.45), 0.7 * canvas.draw(arms, 0.26, 0.03))
    lungs = [_curve(outline) for outline in body.lungs]
    # The lungs reach down behind the domes: they end there sharply, not where they grow thin.
    deep = [_curve(outline + _LUNG[:, 2:] * [0.0, 0.35]) for outline in body.lungs]
    heart = canvas.draw([body.heart], softness=0.012)
    air = canvas.bulge(deep, 0.24) * canvas.draw(lungs, softness=0.01) * (1.0 - 0.85 * heart)
    belly = canvas.draw([np.concatenate([lungs[0][_DOME], lungs[1][_DOME][::-1], [(0.95, 1.7), (-0.95, 1.7)]])], softness=0.015)
    bone = 0.08 * canvas.draw(body.ribs[0], 0.064) - 0.03 * canvas.draw(body.ribs[0], 0.03)
    bone = (bone + 0.05 * canvas.draw(body.ribs[1], 0.06)) * (1.0 - 0.65 * belly) + 0.10 * canvas.draw(arms, 0.11)
    bone += 0.11 * canvas.draw([_curve(_CLAVICLE * side, closed=False) for side in _SIDES], 0.06)
    bone += 0.05 * canvas.draw([_curve(_SCAPULA * side) for side in _SIDES])
    bone += 0.04 * canvas.draw(_VERTEBRAE, 0.07, 0.012) + 0.11 * canvas.draw(np.array([[(0.0, -1.5), (0.0, 1.5)]]), 0.15, 0.03)
    blood = sum((0.085 - 0.017 * k) * canvas.draw(lines, 0.028 - 0.007 * k) for k, lines in enumerate(body.vessels))
    density = (0.60 - 0.36 * air + 0.10 * belly) * tissue + 0.09 * heart * (1.0 - 0.7 * belly)
    density += (0.35 + 0.65 * tissue) * bone + blood * air
    density -= 0.12 * canvas.draw([_curve(_TRACHEA, closed=False)], 0.085, 0.014)
    haze = canvas.spread(rng.normal(0.0, 0.03, (7, 8)).astype(np.float32))
    return np.asarray(density + haze * tissue, np.float32), np.asarray(air, np.float32)
