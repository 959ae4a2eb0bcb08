"""Is this picture a frontal chest film at all? Cheap measures of a stored square, and plain reasons to doubt it.

A film is brought to 32 x 32 without its constant borders and described twice: by its grey values over the whole
(mean 0, deviation 1) and by their local contrast, which exposure does not touch. A fixed basis (principal components of
thousands of pictures) and a small network then say how much it looks like an upright frontal film, a lateral one or
something else. The same description turned by quarters, turned over and negated tells films that stand wrongly.

The numbers come from ``chest.npz``, which ``tools/make_chest_reference.py`` makes. Its frontal films are those of Kermany
et al., "Identifying medical diagnoses and treatable diseases by image-based deep learning", Cell 172 (2018), CC BY 4.0
(training part, children), and of the NIH Clinical Center's ChestX-ray8, Wang et al., CVPR 2017 (adults). It holds
weights over thousands of pictures and no picture. Left and right exchanged is not looked for.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from lungwise.errors import ImageError
from lungwise.imaging.preprocess import resize

CHECKS = ("blank", "tiny", "inverted", "rotated", "lateral", "not-chest")
"""Names of what can be wrong with one picture; they are stable, so that commands can take them."""
POSES = ("upright", "90", "180", "270", "flipped")
"""How a picture may stand: turned clockwise by so many degrees, or mirrored top to bottom."""
MIN_SIDE = 128
"""Shorter side in pixels below which the detail of lungs is missing."""
MIN_CONTRAST = 6.0
"""Standard deviation of the grey values below which a picture counts as blank."""
MAX_CLIPPED = 0.9
"""Share of pixels at black or white above which a picture counts as blank."""
MIN_CONTENT = 0.2
"""Share of the square inside the constant borders below which a picture counts as blank."""

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


class Stack(Protocol):
    """Many squares, uint8 [n, S, S], in memory or on disk; a slice reads only what is asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, S, S)."""

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """uint8."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Bytes: ...


_THUMB, _GRID = 64, 32
_BORDER = 4.0  # mean absolute deviation, in grey values, up to which an outer row or column is border
_BLOCK = 1024


@dataclass(frozen=True)
class Measures:
    """What was measured on n squares, one entry a square; all float32 [n] except ``pose``.

    Args:
        contrast: standard deviation of the grey values inside the borders, 0 to 127.5.
        clipped: share of pixels at 0 to 2 or 253 to 255.
        content: share of the square inside the constant borders.
        frontal: score of "an upright frontal chest film", as log odds.
        lateral: score of "a lateral chest film" against any other picture that is not frontal, as log odds.
        best: highest ``frontal`` of the picture turned, turned over or negated.
        pose: int64 [n], which of these it was: index into ``POSES``, plus 5 when negated; never 0.
    """

    contrast: Floats
    clipped: Floats
    content: Floats
    frontal: Floats
    lateral: Floats
    best: Floats
    pose: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pose)


@dataclass(frozen=True)
class Quality:
    """One picture's measures (see :class:`Measures`), the names of the checks it fails and the reasons as plain text."""

    contrast: float
    clipped: float
    content: float
    frontal: float
    checks: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Reference:
    """What ``chest.npz`` holds.

    Args:
        basis: float32 [k, 2048], components; their product with a description is the network's input.
        hidden: float32 [k + 1, h], first layer; the last row is its bias.
        out: float32 [h + 1, 3], second layer to the log odds of frontal, lateral, other; the last row is its bias.
        frontal: score below which a picture is not taken for an upright frontal film.
        sure: score above which a picture that was turned or negated is taken for one.
        about: where the numbers come from.
    """

    basis: Floats
    hidden: Floats
    out: Floats
    frontal: float
    sure: float
    about: str


@cache
def reference() -> Reference:
    """The shipped reference, read once."""
    with np.load(Path(__file__).with_name("chest.npz"), allow_pickle=False) as file:
        frontal, sure = (float(value) for value in file["limits"])
        basis = file["basis"].astype(np.float32) * file["scale"][:, None]
        hidden, out = file["hidden"].astype(np.float32), file["out"].astype(np.float32)
        return Reference(basis, hidden, out, frontal, sure, str(file["about"]))


def assess(square: Bytes, width: int, height: int) -> Quality:
    """Judge one picture.

    Args:
        square: uint8 [S, S], the stored square, S at least 32.
        width: columns of the original, in pixels.
        height: rows of the original, in pixels.

    Raises:
        ImageError: the square is not uint8, not square or below 32 pixels.
    """
    found = measure(square[None])
    failed = flags(found)
    checks = tuple(name for name in CHECKS if (min(width, height) < MIN_SIDE if name == "tiny" else failed[name][0]))
    texts = {"tiny": f"tiny: its shorter side has {min(width, height)} pixels, {MIN_SIDE} are needed"}
    reasons = tuple(texts.get(name) or _reason(name, found) for name in checks)
    contrast, clipped, content = float(found.contrast[0]), float(found.clipped[0]), float(found.content[0])
    return Quality(contrast, clipped, content, float(found.frontal[0]), checks, reasons)


def _reason(check: str, found: Measures) -> str:
    """Why the first of the measured pictures fails a check."""
    if check == "blank":
        if found.content[0] < MIN_CONTENT:
            return f"mostly border or blank: only {found.content[0]:.0%} of the picture show something"
        if found.clipped[0] > MAX_CLIPPED:
            return f"blank: {found.clipped[0]:.0%} of the pixels are plain black or white"
        return f"blank: its grey values differ by {found.contrast[0]:.1f} on average"
    turned = POSES[int(found.pose[0]) % len(POSES)]
    # The two ways of standing on its head differ by left and right only, which is not looked for.
    upside_down = turned in ("180", "flipped")
    return {
        "inverted": "inverted: air is bright and bone is dark",
        "rotated": "upside down: turned by 180 degrees or mirrored" if upside_down else f"turned clockwise by {turned} degrees",
        "lateral": "a lateral view, not a frontal one",
        "not-chest": "not a frontal chest film",
    }[check]


def flags(found: Measures) -> dict[str, NDArray[np.bool_]]:
    """Which pictures fail which check: bool [n] for each name in ``CHECKS`` but "tiny", which needs the original's size.

    A picture fails "not-chest" and "lateral" only where no other check explains it; "inverted" and "rotated" may be both.
    """
    limit = reference()
    blank = (found.contrast < MIN_CONTRAST) | (found.clipped > MAX_CLIPPED) | (found.content < MIN_CONTENT)
    posed = ~blank & (found.best > limit.sure) & (found.best > found.frontal)
    other = ~blank & ~posed & (found.frontal < limit.frontal)
    return {
        "blank": blank,
        "inverted": posed & (found.pose >= len(POSES)),
        "rotated": posed & (found.pose % len(POSES) > 0),
        "lateral": other & (found.lateral > 0),
        "not-chest": other & (found.lateral <= 0),
    }


def measure(squares: Stack) -> Measures:
    """Measure many pictures, in blocks, so that a memory-mapped array is never read as a whole.

    Args:
        squares: uint8 [n, S, S], S at least 32.

    Raises:
        ImageError: the array is not of this kind.
    """
    shape = squares.shape
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] < _GRID or squares.dtype != np.uint8:
        raise ImageError(
            f"Squares must be uint8 [n, S, S] with S of at least {_GRID}, got {squares.dtype} {list(shape)}; prepare them."
        )
    blocks = [_measure(squares[start : start + _BLOCK]) for start in range(0, max(len(squares), 1), _BLOCK)]
    return Measures(*(np.concatenate([getattr(block, field.name) for block in blocks]) for field in fields(Measures)))


def _measure(squares: Bytes) -> Measures:
    """One block of :func:`measure`."""
    thumbs = np.empty((len(squares), _THUMB, _THUMB), np.uint8)
    for square, thumb in zip(squares, thumbs, strict=True):
        thumb[:] = resize(np.ascontiguousarray(square), _THUMB)
    clipped = ((thumbs <= 2) | (thumbs >= 253)).mean(axis=(1, 2), dtype=np.float32)
    films, content = without_border(thumbs)
    return Measures(films.std(axis=(1, 2)), clipped, content, *compare(describe(films), reference()))


def without_border(thumbs: Bytes) -> tuple[Floats, Floats]:
    """Cut constant outer rows and columns off: padding, collimator shadow, paper.

    Args:
        thumbs: uint8 [n, 64, 64].

    Returns:
        float32 [n, 32, 32] of what is inside, stretched, and float32 [n], the share of the square that it fills. A
        picture that is border all over is kept whole, with share 0.
    """
    values = thumbs.astype(np.float32)
    rows = np.abs(values - values.mean(axis=2, keepdims=True)).mean(axis=2) > _BORDER
    columns = np.abs(values - values.mean(axis=1, keepdims=True)).mean(axis=1) > _BORDER
    films, content = np.empty((len(thumbs), _GRID, _GRID), np.float32), np.zeros(len(thumbs), np.float32)
    for i, film in enumerate(values):
        across, down = np.flatnonzero(columns[i]), np.flatnonzero(rows[i])
        if min(len(across), len(down)) > 1:
            film = film[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
            content[i] = film.size / _THUMB**2
        shrinks = min(film.shape) >= _GRID
        films[i] = cv2.resize(film, (_GRID, _GRID), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return films, content


def describe(films: Floats) -> Floats:
    """Grey values over the whole, and local contrast: float32 [n, 32, 32] to float32 [n, 2, 32, 32]."""
    whole = films - films.mean(axis=(1, 2), keepdims=True)
    whole /= films.std(axis=(1, 2), keepdims=True) + np.float32(1e-3)
    local = films - _blur(films)
    energy = np.sqrt(np.maximum(_blur(local * local), 0))
    # A share of the film's mean contrast keeps the noise of empty regions from being raised to structure.
    local = local / (energy + np.float32(0.15) * energy.mean(axis=(1, 2), keepdims=True) + np.float32(1e-3))
    local /= np.sqrt((local * local).mean(axis=(1, 2), keepdims=True)) + np.float32(1e-6)
    return np.stack([whole, local], axis=1)


@cache
def _kernel() -> Floats:
    """Gaussian blur (deviation 4 pixels, mirrored at the borders) of 32 values as a matrix, float32 [32, 32]."""
    blurred = cv2.GaussianBlur(np.eye(_GRID, dtype=np.float32), (1, 33), 1.0, sigmaY=_GRID / 8, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32)


def _blur(films: Floats) -> Floats:
    return np.asarray(_kernel() @ films @ _kernel().T, np.float32)


def pose(pictures: Floats, name: str) -> Floats:
    """Undo a pose of ``POSES``: the last two axes turned back, [..., S, S]."""
    if name == "flipped":
        return pictures[..., ::-1, :]
    return np.rot90(pictures, {"upright": 0, "90": 1, "180": 2, "270": 3}[name], axes=(-2, -1))


def compare(described: Floats, known: Reference) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
    """The last four entries of :class:`Measures` from descriptions, float32 [n, 2, 32, 32]."""
    up, lateral = _scores(described, known)
    # Turning and negating a film turns and negates its description, which therefore is made only once.
    tries = [_scores(pose(sign * described, name), known)[0] for sign in (1, -1) for name in POSES]
    tries[0] = np.full_like(up, -np.inf)
    stack = np.stack(tries)
    return up, lateral, stack.max(axis=0), stack.argmax(axis=0)


def _scores(described: Floats, known: Reference) -> tuple[Floats, Floats]:
    """Log odds of frontal against all else, and of lateral against other; float32 [n] each."""
    inputs = described.reshape(-1, known.basis.shape[1]) @ known.basis.T
    middle = np.maximum(inputs @ known.hidden[:-1] + known.hidden[-1], 0)
    frontal, lateral, other = (middle @ known.out[:-1] + known.out[-1]).T
    return frontal - np.logaddexp(lateral, other), lateral - other
