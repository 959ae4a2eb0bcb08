"""A headless Chromium, a service around the tiny bundle, and files to drop on its page."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from lungwise.data.phantoms import make_phantom
from lungwise.inference.predictor import Predictor
from tests.browser.serving import Scripted, Served, served
from tests.bundle.test_card import metrics
from tests.bundle_factory import make_predictor, youden
from tests.conftest import Encode
from tests.imaging.test_dicom import FULL_8, make

File = dict[str, Any]
Open = Callable[..., Page]
PATIENCE_MS = 60_000

BOTH = ("normal", "sick")


def answer(decision: str | None, sick: float, conformal: tuple[str, ...] | None, **more: Any) -> dict[str, Any]:
    """Fields of an answer that are written down."""
    shares = {"normal": round(1 - sick, 3), "sick": sick}
    return {"status": "ok", "decision": decision, "probabilities": shares, "conformal_set": conformal, **more}


SCRIPT = {
    "certain.png": answer("sick", 0.969, ("sick",)),
    "milder.png": answer("sick", 0.8, BOTH),
    "doubtful.png": answer("normal", 0.4, BOTH),
    "strange.png": {
        **answer(None, 0, None, status="cannot assess", reasons=("not a frontal chest film", "unlike other films")),
        "probabilities": {},
    },
    "healthy.png": answer("normal", 0.03, ("normal",), warnings=("colour image converted to grey",)),
}


@pytest.fixture(scope="session")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """The tiny bundle with a fitted threshold, calibration, sets, and results with intervals."""
    sets = {"normal": 0.5, "sick": 0.5}
    changes = {"decision": youden(0.55), "temperature": 1.5, "conformal_quantiles": sets, "metrics": metrics()}
    return make_predictor(tmp_path_factory.mktemp("browser") / "model", **changes)


@pytest.fixture(scope="session")
def service(predictor: Predictor) -> Iterator[Served]:
    """One service for the tests that need no other settings; five names have chosen answers."""
    with served(Scripted(predictor, SCRIPT)) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium")
    if found is None:
        pytest.fail(
            "The tests of the page need Chromium, but no 'chromium' is on the path; install it (apt-get install chromium)."
        )
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def visit(browser: Browser, service: Served) -> Iterator[Open]:
    """``visit()``: the page, ready. At the end there must be no error on its console and no request to elsewhere."""
    contexts, faults, asked = [], list[str](), list[str]()

    def go(
        at: Served = service, prepare: Callable[[Page], Any] = lambda page: None, ready: bool = True, **options: Any
    ) -> Page:
        options.setdefault("viewport", {"width": 1440, "height": 900})
        context = browser.new_context(locale="en-US", accept_downloads=True, reduced_motion="reduce", **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else None)
        page.on("request", lambda request: None if request.url.startswith(("blob:", at.address)) else asked.append(request.url))
        prepare(page)
        page.goto(at.address)
        if ready:
            expect(page.locator("body[data-ready]")).to_have_count(1)
        return page

    expect.set_options(timeout=PATIENCE_MS)
    yield go
    for context in contexts:
        context.close()
    # Chromium reports each refused request; whether a refusal is wanted, the tests say themselves.
    assert [fault for fault in faults if "Failed to load resource" not in fault] == []
    assert asked == []


@pytest.fixture(scope="session")
def film(encode: Encode) -> Callable[..., File]:
    """``film("a.png")``: a phantom as a file to drop; ``label`` and ``seed`` choose which."""

    def made(name: str, label: str = "pneumonia", seed: int = 0) -> File:
        pixels = make_phantom(label, np.random.default_rng(seed)).pixels
        data = make(pixels, **FULL_8) if name.endswith(".dcm") else encode(pixels)
        return {"name": name, "mimeType": "application/octet-stream", "buffer": data}

    return made


@pytest.fixture(scope="session")
def five(film: Callable[..., File]) -> list[File]:
    """A film of each kind of answer, in an order that is not theirs."""
    names = ("healthy.png", "strange.png", "milder.png", "doubtful.png", "certain.png")
    return [*(film(name, seed=seed) for seed, name in enumerate(names)), broken("broken.png")]


def broken(name: str) -> File:
    """A file that is no image."""
    return {"name": name, "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x1a\nnothing of worth"}


def add(page: Page, files: list[File] | list[str] | list[Path], rows: int | None = None) -> None:
    """Choose files and wait for their answers."""
    page.set_input_files("#files", files)  # type: ignore[arg-type]
    expect(page.locator("#list li")).to_have_count(len(files) if rows is None else rows)
    expect(page.locator("#uploads")).to_be_hidden()


def names(page: Page) -> list[str]:
    """The work list from top to bottom."""
    return page.locator("#list .name").all_inner_texts()


def selected(page: Page) -> str:
    return page.locator("#list li[aria-selected=true] .name").inner_text()


def shown(page: Page, film: str, pane: int = 0) -> None:
    """Wait until a pane shows a film."""
    expect(page.locator(".corner.name").nth(pane)).to_have_text(film)
    expect(page.locator(".corner.state").nth(pane)).to_contain_text("W ")


def state(page: Page, pane: int = 0) -> str:
    return page.locator(".corner.state").nth(pane).inner_text()


def centre(page: Page, pane: int = 0) -> list[int]:
    """Red, green and blue in the middle of a pane's canvas."""
    script = """(pane) => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
      const canvas = document.querySelectorAll(".pane canvas")[pane];
      const part = canvas.getContext("2d").getImageData(canvas.width / 2, canvas.height / 2, 1, 1);
      done([...part.data].slice(0, 3));
    })))"""
    return list(page.evaluate(script, pane))
