"""The whole way on real X-rays: five files, one damaged, one DICOM, one photograph.

``LUNGWISE_BUNDLE`` names a trained bundle; without one the tiny one answers.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from lungwise.imaging.read import read
from lungwise.inference.predictor import Predictor, load
from tests.browser.conftest import File, Open, add, names, shown
from tests.browser.serving import Served, served
from tests.browser.test_access import serious
from tests.browser.test_answer import take
from tests.imaging.test_dicom import FULL_8, make

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def real() -> Path:
    folder = os.environ.get("LUNGWISE_REALDATA")
    if not folder:
        pytest.skip("LUNGWISE_REALDATA names no folder")
    return Path(folder)


@pytest.fixture(scope="module")
def trained(predictor: Predictor) -> Iterator[Served]:
    """Behind the sandbox, as ``lungwise serve`` has it."""
    named = os.environ.get("LUNGWISE_BUNDLE")
    with served(load(named) if named else predictor, sandbox=True) as running:
        yield running


@pytest.fixture(scope="module")
def files(real: Path) -> list[File]:
    sick, healthy, other = (
        sorted((real / folder).iterdir())[0]
        for folder in ("kermany/test/PNEUMONIA", "kermany/test/NORMAL", "darkcovidnet/No_findings")
    )
    data = {"sick.jpeg": sick.read_bytes(), "healthy.jpeg": healthy.read_bytes()}
    data["clinic.dcm"] = make(read(other).pixels, **FULL_8)
    data["damaged.jpeg"] = data["sick.jpeg"][:2000]
    data["holiday.jpeg"] = photograph()
    return [{"name": name, "mimeType": "", "buffer": content} for name, content in data.items()]


def photograph() -> bytes:
    """A beach, as far as colours go: sky, sea and sand."""
    rng = np.random.default_rng(0)
    picture = np.zeros((480, 640, 3), np.uint8)
    for rows, colour in (
        (slice(0, 220), (235, 180, 90)),
        (slice(220, 330), (160, 110, 20)),
        (slice(330, 480), (140, 200, 230)),
    ):
        picture[rows] = colour
    noisy = np.clip(picture + rng.normal(0, 12, picture.shape), 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", noisy)[1].tobytes()


@pytest.fixture
def page(visit: Open, trained: Served, files: list[File]) -> Page:
    made = visit(trained, color_scheme="dark")
    add(made, files)
    return made


def badge(page: Page, name: str) -> list[str]:
    return page.locator(f"#list li:has-text('{name}') .badge").all_inner_texts()


def test_the_work_list_tells_films_from_what_cannot_be_read(page: Page) -> None:
    assert sorted(names(page)) == ["clinic.dcm", "damaged.jpeg", "healthy.jpeg", "holiday.jpeg", "sick.jpeg"]
    assert badge(page, "damaged.jpeg") == ["Error"]
    for film in ("clinic.dcm", "healthy.jpeg", "sick.jpeg"):
        assert badge(page, film) != ["Error"]
    page.click("#list li:has-text('damaged.jpeg')")
    expect(page.locator("#answer .word")).to_have_text("Could not be read")
    assert len(page.locator("#answer .reasons li").all_inner_texts()[0]) > 20
    page.click("#list li:has-text('holiday.jpeg')")
    expect(page.locator("#answer")).to_contain_text("colour")  # refused, or at least noted


def test_the_heat_map_and_the_downloads(page: Page) -> None:
    page.click("#list li:has-text('sick.jpeg')")
    shown(page, "sick.jpeg")
    page.keyboard.press("h")
    expect(page.locator(".legend")).to_be_visible()
    assert Image.open(io.BytesIO(take(page, "png")[1])).mode == "RGB"
    assert take(page, "pdf")[1].startswith(b"%PDF-")
    rows = {row["path"]: row for row in csv.DictReader(io.StringIO(take(page, "csv")[1].decode()))}
    results = {result["path"]: result for result in json.loads(take(page, "json")[1])["results"]}
    assert rows.keys() == results.keys()
    assert rows["damaged.jpeg"]["status"] == results["damaged.jpeg"]["status"] == "error"
    label = page.locator("#answer .bars dt").first.inner_text()
    assert float(rows["sick.jpeg"][f"prob_{label}"]) == pytest.approx(results["sick.jpeg"]["probabilities"][label], abs=1e-6)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("width", [360, 3840])
def test_it_is_for_everybody_and_fits_every_screen(page: Page, theme: str, width: int, tmp_path: Path) -> None:
    if theme == "light":
        page.click("#theme")
    page.click("#list li:has-text('sick.jpeg')")
    shown(page, "sick.jpeg")
    page.keyboard.press("h")
    expect(page.locator(".legend")).to_be_visible()
    page.set_viewport_size({"width": width, "height": 740 if width == 360 else 2160})
    assert serious(page) == []
    picture = Image.open(io.BytesIO(page.screenshot(path=tmp_path / "page.png", full_page=width == 360)))
    assert picture.width == width
    assert page.evaluate("document.documentElement.dataset.theme") == theme
