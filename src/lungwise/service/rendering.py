"""Pictures for a screen: the radiograph, a thumbnail, the heat map alone or on the film, the film with its answer."""

from __future__ import annotations

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lungwise.inference.overlay import Fit, overlay
from lungwise.inference.result import Result
from lungwise.service.problems import Problem

Grey = NDArray[np.uint8]
Heat = NDArray[np.float32]
PICTURE, HEAT, THUMBNAIL = 4096, 1024, 256
"""Longest sides, in pixels."""
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont
_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 3]


def picture(pixels: Grey) -> bytes:
    """A radiograph as PNG, 8-bit grey, longest side at most 4096; pixels of smaller ones are as they were read."""
    return png(shrunk(pixels, PICTURE))


def thumbnail(pixels: Grey) -> bytes:
    """A small radiograph as PNG, longest side at most 256."""
    return png(shrunk(pixels, THUMBNAIL))


def heat_overlay(pixels: Grey, heat: Heat, fit: Fit) -> bytes:
    """The heat map laid over the radiograph with its colour scale, as PNG; longest side of the film at most 1024."""
    return png(overlay(shrunk(pixels, HEAT), heat, fit))


def heat_layer(height: int, width: int, heat: Heat, fit: Fit) -> bytes:
    """The heat map alone as RGBA PNG, to be laid over the radiograph: the stronger, the less transparent.

    It is what :func:`overlay` adds to a film: laid over the same film it gives the same picture.

    Args:
        height: pixels of the film, for the shape.
        width: pixels of the film.
        heat: float32 [rows, columns], at least 0.
        fit: how the image became the network's square.
    """
    height, width = _fitted(height, width, HEAT)
    black, white = (
        overlay(np.full((height, width), grey, np.uint8), heat, fit)[:, :width].astype(np.float32) for grey in (0, 255)
    )
    # Over black a layer leaves colour * alpha, over white 255 * (1 - alpha) more.
    alpha = np.clip(1 - (white - black).mean(axis=2) / 255, 0, 1)
    colour = np.divide(black, alpha[..., None], out=np.zeros_like(black), where=alpha[..., None] > 0)
    layer = np.dstack([np.clip(np.rint(colour), 0, 255), np.rint(255 * alpha)]).astype(np.uint8)
    return png(layer)


def annotated(pixels: Grey, heat: Heat, fit: Fit, result: Result, label: str) -> bytes:
    """The film with its heat map, and below it the answer, the model and what the answer is for; PNG."""
    film = Image.fromarray(overlay(shrunk(pixels, HEAT), heat, fit)[..., ::-1])
    lines = [*answer_lines(result), f"Colours: where the network looked for '{label}', not the place of a finding."]
    size = max(12, film.width // 48)
    font = ImageFont.load_default(size)
    parts = [part for line in lines for part in wrapped(line, font, film.width - 2 * size)]
    page = Image.new("RGB", (film.width, film.height + round(1.35 * size * len(parts)) + size), "black")
    page.paste(film, (0, 0))
    draw = ImageDraw.Draw(page)
    for number, line in enumerate(parts):
        draw.text((size, film.height + size // 2 + round(1.35 * size * number)), line, "white", font)
    buffer = io.BytesIO()
    page.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def answer_lines(result: Result) -> list[str]:
    """What must stand beside a picture: answer, warnings, model, intended use."""
    shares = ", ".join(f"{label} {share:.3f}" for label, share in result.probabilities.items())
    decided = result.decision or f"no decision: {'; '.join(result.reasons) or result.status}"
    lines = [f"{decided}  ({shares})" if shares else decided]
    if result.conformal_set is not None:
        lines.append(f"Cannot be left out: {', '.join(result.conformal_set) or 'nothing fits'}.")
    lines += [f"Note: {warning}." for warning in result.warnings]
    return [*lines, f"Model {result.model}, {result.bundle_sha256[:12]}.", result.intended_use]


def wrapped(line: str, font: Font, width: int) -> list[str]:
    """A line divided at blanks, and within words that are too long, so that each part fits ``width`` pixels."""
    parts = [""]
    for word in line.split():
        tried = f"{parts[-1]} {word}".strip()
        if parts[-1] and font.getlength(tried) > width:
            parts.append("")
            tried = word
        while font.getlength(tried) > width and len(tried) > 1:
            cut = max(1, int(len(tried) * width / font.getlength(tried)))
            parts[-1:] = [tried[:cut], ""]
            tried = tried[cut:]
        parts[-1] = tried
    return parts


def png(pixels: Grey) -> bytes:
    """PNG of uint8 [height, width] or [height, width, 3 or 4] in OpenCV's order of colours."""
    coded, data = cv2.imencode(".png", pixels, _FAST)
    if not coded:
        raise Problem("internal", "The picture could not be made; its log says more.")
    return data.tobytes()


def shrunk(pixels: Grey, longest: int) -> Grey:
    """The same picture with sides of at most ``longest`` pixels."""
    height, width = _fitted(pixels.shape[0], pixels.shape[1], longest)
    if (height, width) == pixels.shape:
        return pixels
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _fitted(height: int, width: int, longest: int) -> tuple[int, int]:
    share = min(1.0, longest / max(height, width))
    return max(1, round(height * share)), max(1, round(width * share))
