"""One film with its answer on one page of paper, as PDF."""

from __future__ import annotations

import io
from datetime import UTC, datetime

from PIL import Image

from lungwise.errors import require
from lungwise.inference.result import Result
from lungwise.service.rendering import answer_lines

_MARGIN, _LINE = 42, 13


def report(name: str, film: bytes, laid: bytes, label: str, result: Result) -> bytes:
    """A page of A4: film, heat map, answer, model, time, and what the answer is for.

    Args:
        name: how the client calls the image.
        film: the radiograph as PNG.
        laid: the radiograph with the heat map as PNG.
        label: whose heat map it is.
        result: the answer.

    Raises:
        MissingExtraError: reportlab is not installed.
    """
    require("reportlab", "serve", "A report as PDF")
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfgen import canvas

    width, height = A4
    buffer = io.BytesIO()
    page = canvas.Canvas(buffer, pagesize=A4, pageCompression=1)
    page.setTitle("Lungwise: answer for one image")
    page.setAuthor("Lungwise")
    page.setFont("Helvetica-Bold", 15)
    page.drawString(_MARGIN, height - _MARGIN - 10, "Answer for one chest X-ray")
    page.setFont("Helvetica-Bold", 10)
    page.drawString(_MARGIN, height - _MARGIN - 28, result.intended_use)
    box = (width - 3 * _MARGIN) / 2
    top = height - _MARGIN - 44
    for place, data in enumerate((film, laid)):
        _picture(page, data, _MARGIN + place * (box + _MARGIN), top, box)
    lines = [
        f"Image: {name}",
        *answer_lines(result)[:-1],
        f"Right: where the network looked for '{label}'. This is not the place of a finding.",
        f"Bundle SHA-256: {result.bundle_sha256}",
        f"Made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. {result.intended_use}",
    ]
    _text(page, lines, top - 1.3 * box - 2 * _LINE, width - 2 * _MARGIN)
    page.showPage()
    page.save()
    return buffer.getvalue()


def _picture(page: object, data: bytes, left: float, top: float, side: float) -> None:
    """A picture in a box that is ``side`` wide and 1.3 times as high, as large as fits."""
    from reportlab.lib.utils import ImageReader

    with Image.open(io.BytesIO(data)) as opened:
        opened.thumbnail((1400, 1400))
        share = min(side / opened.width, 1.3 * side / opened.height)
        size = opened.width * share, opened.height * share
        page.drawImage(ImageReader(opened), left, top - size[1], *size)  # type: ignore[attr-defined]


def _text(page: object, lines: list[str], top: float, width: float) -> None:
    """Lines of text, wrapped, as many as the page has room for."""
    from reportlab.lib.utils import simpleSplit

    text = page.beginText(_MARGIN, top)  # type: ignore[attr-defined]
    text.setFont("Helvetica", 9.5, _LINE)
    # The page's own font knows Latin letters only.
    known = [line.encode("cp1252", "replace").decode("cp1252") for line in lines]
    wrapped = [part for line in known for part in simpleSplit(line, "Helvetica", 9.5, width)]
    for line in wrapped[: max(1, int((top - _MARGIN) / _LINE))]:
        text.textLine(line)
    page.drawText(text)  # type: ignore[attr-defined]
