"""Is this picture a frontal chest film at all? Cheap measures of a stored square, and plain reasons to doubt it.

A film is brought to 32 x 32 without its constant borders and described twice: by its grey values over the whole
(mean 0, deviation 1) and by their local contrast, which exposure does not touch. A fixed basis (principal components of
thousands of pictures) and a small network then say how much it looks like an upright frontal film, a lateral one or
something else. The same description turned by quarters, turned over and negated tells films that stand wrongly; another
small network, :mod:`lungwise.imaging.cut_off`, tells those of which much is missing.

The numbers come from ``chest.npz``, which ``tools/make_chest_reference.py`` makes. Its frontal films are those of Kermany
et al., "Identifying medical diagnoses and treatable diseases by image-based deep learning", Cell 172 (2018), CC BY 4.0
(training part, children), and of the NIH Clinical Center's ChestX-ray8, Wang et al., CVPR 2017 (adults). It holds
weights over thousands of pictures and no picture. Left and right exchanged is not looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import ImageError
from lungwise.imaging.cut_off import cut_reference, cut_scores
from lungwise.imaging.description import GRID, THUMB, Bytes, Floats, describe, without_border
from lungwise.imaging.preprocess import resize

CHECKS = ("blank", "tiny", "inverted", "rotated", "lateral", "not-chest", "cut-off")
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
        cut: score of "a large part of the lungs lies outside of the picture", as log odds.
    """

    contrast: Floats
    clipped: Floats
    content: Floats
    frontal: Floats
    lateral: Floats
    best: Floats
    pose: NDArray[np.int64]
    cut: Floats

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
    return judge(square[None], [(width, height)])[0]


def judge(squares: Bytes, sizes: Sequence[tuple[int, int]]) -> list[Quality]:
    """Judge n pictures; see :func:`assess`.

    Args:
        squares: uint8 [n, S, S].
        sizes: width and height of each original, in pixels.
    """
    found = measure(squares)
    failed = flags(found) | {"tiny": np.array([min(size) < MIN_SIDE for size in sizes], bool)}
    judged = []
    for row, size in enumerate(sizes):
        checks = tuple(name for name in CHECKS if failed[name][row])
        reasons = tuple(_reason(name, found, row, min(size)) for name in checks)
        contrast, clipped, content = float(found.contrast[row]), float(found.clipped[row]), float(found.content[row])
        judged.append(Quality(contrast, clipped, content, float(found.frontal[row]), checks, reasons))
    return judged


def _reason(check: str, found: Measures, row: int, side: int) -> str:
    """Why one of the measured pictures, whose original has a shorter side of so many pixels, fails a check."""
    if check == "blank":
        if found.content[row] < MIN_CONTENT:
            return f"mostly border or blank: only {found.content[row]:.0%} of the picture show something"
        if found.clipped[row] > MAX_CLIPPED:
            return f"blank: {found.clipped[row]:.0%} of the pixels are plain black or white"
        return f"blank: its grey values differ by {found.contrast[row]:.1f} on average"
    turned = POSES[int(found.pose[row]) % len(POSES)]
    # The two ways of standing on its head differ by left and right only, which is not looked for.
    upside_down = turned in ("180", "flipped")
    return {
        "tiny": f"tiny: its shorter side has {side} pixels, {MIN_SIDE} are needed",
        "inverted": "inverted: air is bright and bone is dark",
        "rotated": "upside down: turned by 180 degrees or mirrored" if upside_down else f"turned clockwise by {turned} degrees",
        "lateral": "a lateral view, not a frontal one",
        "not-chest": "not a frontal chest film",
        "cut-off": "cut off: a large part of the lungs is outside of the picture",
    }[check]


def flags(found: Measures) -> dict[str, NDArray[np.bool_]]:
    """Which pictures fail which check: bool [n] for each name in ``CHECKS`` but "tiny", which needs the original's size.

    A picture fails "not-chest", "lateral" and "cut-off" only where no other check explains it; "inverted" and "rotated" may be
    both.
    """
    limit = reference()
    blank = (found.contrast < MIN_CONTRAST) | (found.clipped > MAX_CLIPPED) | (found.content < MIN_CONTENT)
    posed = ~blank & (found.best > limit.sure) & (found.best > found.frontal)
    other = ~blank & ~posed & (found.frontal < limit.frontal)
    cut = ~blank & ~posed & ~other & (found.cut > cut_reference().limit)
    return {
        "blank": blank,
        "inverted": posed & (found.pose >= len(POSES)),
        "rotated": posed & (found.pose % len(POSES) > 0),
        "lateral": other & (found.lateral > 0),
        "not-chest": other & (found.lateral <= 0),
        "cut-off": cut,
    }


def measure(squares: Stack) -> Measures:
    """Measure many pictures, in blocks, so that a memory-mapped array is never read as a whole.

    Args:
        squares: uint8 [n, S, S], S at least 32.

    Raises:
        ImageError: the array is not of this kind.
    """
    shape = squares.shape
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] < GRID or squares.dtype != np.uint8:
        raise ImageError(
            f"Squares must be uint8 [n, S, S] with S of at least {GRID}, got {squares.dtype} {list(shape)}; prepare them."
        )
    blocks = [_measure(squares[start : start + _BLOCK]) for start in range(0, max(len(squares), 1), _BLOCK)]
    return Measures(*(np.concatenate([getattr(block, field.name) for block in blocks]) for field in fields(Measures)))


def _measure(squares: Bytes) -> Measures:
    """One block of :func:`measure`."""
    thumbs = np.empty((len(squares), THUMB, THUMB), np.uint8)
    for square, thumb in zip(squares, thumbs, strict=True):
        thumb[:] = resize(np.ascontiguousarray(square), THUMB)
    clipped = ((thumbs <= 2) | (thumbs >= 253)).mean(axis=(1, 2), dtype=np.float32)
    films, content = without_border(thumbs)
    known = reference()
    components = _components(describe(films), known)
    cut = cut_scores(components[0], cut_reference())
    return Measures(films.std(axis=(1, 2)), clipped, content, *_judged(components, known), cut)


def pose(pictures: Floats, name: str) -> Floats:
    """Undo a pose of ``POSES``: the last two axes turned back, [..., S, S]."""
    if name == "flipped":
        return pictures[..., ::-1, :]
    return np.rot90(pictures, {"upright": 0, "90": 1, "180": 2, "270": 3}[name], axes=(-2, -1))


def compare(described: Floats, known: Reference) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
    """From ``frontal`` to ``pose`` of :class:`Measures`, from descriptions float32 [n, 2, 32, 32]."""
    return _judged(_components(described, known), known)


def _components(described: Floats, known: Reference) -> Floats:
    """What the networks see of n descriptions in each of the five poses: float32 [5, n, k]."""
    posed = np.stack([pose(described, name) for name in POSES])
    found = posed.reshape(-1, known.basis.shape[1]) @ known.basis.T
    return np.asarray(found.reshape(len(POSES), len(described), len(known.basis)), np.float32)


def _judged(components: Floats, known: Reference) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
    # Negating a film negates its description and its components.
    inputs = np.concatenate([components, -components])
    middle = np.maximum(inputs @ known.hidden[:-1] + known.hidden[-1], 0)
    frontal, lateral, other = np.moveaxis(middle @ known.out[:-1] + known.out[-1], -1, 0)
    scores = frontal - np.logaddexp(lateral, other)
    tries = np.concatenate([np.full_like(scores[:1], -np.inf), scores[1:]])
    return scores[0], (lateral - other)[0], tries.max(axis=0), tries.argmax(axis=0)
