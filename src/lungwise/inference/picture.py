"""The heat map as a picture that says what it is: film, colours, a scale with numbers, the class, and what it is not."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lungwise.inference.overlay import Fit, colours, overlay

WARNING = "It shows what the network used. By itself it is no place of a finding."
_SHORTEST = 480
"""Films with a longer side below this are enlarged by a whole factor, so that text fits beside them."""
_MARGIN = 0.5
Grey = NDArray[np.uint8]
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def labelled(pixels: Grey, heat: NDArray[np.float32], label: str, method: str, fit: Fit = "stretch") -> NDArray[np.uint8]:
    """A film with its heat map, a scale with numbers beside it, and below it class, method, unit and warning.

    Args:
        pixels: uint8 [height, width].
        heat: float32 [rows, columns], at least 0, in logits a position.
        label: the class that is explained.
        method: how the map was made, in words; see :data:`lungwise.inference.explain.NAMES`.
        fit: how the image became the network's square.

    Returns:
        uint8 [height, width, 3], BGR; larger than the film, which stands at the top left and is enlarged by a whole factor
        where its longer side has less than 480 pixels.
    """
    factor = -(-_SHORTEST // max(pixels.shape))
    film = pixels
    if factor > 1:
        film = np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8)
    height, width = film.shape
    size = max(14, max(height, width) // 45)
    font = ImageFont.load_default(size)
    high, wide = max(height, 8 * size), max(width, 20 * size)
    lines = [part for line in caption(label, method) for part in wrapped(line, font, wide + 6 * size)]
    page = Image.new("RGB", (wide + 7 * size, high + round(1.35 * size * len(lines)) + size), "black")
    page.paste(Image.fromarray(overlay(film, heat, fit)[:, :width, ::-1]), (0, 0))
    draw = ImageDraw.Draw(page)
    _scale(page, draw, (wide, high, size), float(heat.max(initial=0.0)), font)
    for number, line in enumerate(lines):
        draw.text((size // 2, high + round(size * (_MARGIN + 1.35 * number))), line, "white", font)
    return np.ascontiguousarray(np.asarray(page)[..., ::-1])


def caption(label: str, method: str) -> list[str]:
    """The lines below the picture."""
    return [f"What speaks for {label} ({method}; logits a position).", WARNING]


def _scale(page: Image.Image, draw: ImageDraw.ImageDraw, place: tuple[int, int, int], peak: float, font: Font) -> None:
    """The bar right of the film, from "weak" to "strong" with the map's values; without a map the bar would say what is not."""
    left, high, size = place
    top, bottom = round(1.2 * size), high - round(1.2 * size)
    if peak <= 0:
        draw.multiline_text((left + size, top), "nothing\nspeaks\nfor it", "white", font)
        return
    ramp = np.linspace(1, 0, bottom - top, dtype=np.float32)[:, None].repeat(size, axis=1)
    page.paste(Image.fromarray(colours(ramp).astype(np.uint8)[..., ::-1]), (left + size, top))
    draw.text((left + 2.4 * size, top), f"{peak:.2g}\nstrong", "white", font, anchor=None)
    draw.text((left + 2.4 * size, (top + bottom) / 2), f"{peak / 2:.2g}", "white", font, anchor="lm")
    draw.text((left + 2.4 * size, bottom - 2.4 * size), "weak\n0", "white", font)


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
