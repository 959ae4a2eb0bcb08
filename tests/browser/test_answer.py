"""What is said of an image and of the model, and what can be taken along."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.conftest import File, Open, add, shown

pytestmark = pytest.mark.browser


@pytest.fixture
def page(visit: Open, five: list[File]) -> Page:
    made = visit()
    add(made, five)
    made.focus("#list")
    made.keyboard.press("Home")
    shown(made, "certain.png")
    return made


def take(page: Page, what: str) -> tuple[str, bytes]:
    with page.expect_download() as waiting:
        page.click(f"#download-{what}")
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def test_a_decision_stands_with_its_numbers_and_its_set(page: Page) -> None:
    answer = page.locator("#answer")
    expect(answer.locator(".word")).to_have_text("sick 96.9%")
    expect(answer.locator(".verdict")).to_contain_text("sick is decided for from 55.0% on (chosen on validation).")
    assert answer.locator(".bars dt").all_inner_texts() == ["normal", "sick"]
    assert answer.locator(".bars .number").all_inner_texts() == ["3.1%", "96.9%"]
    assert answer.locator(".bars .fill").nth(1).evaluate("(fill) => fill.style.width") == "96.9%"
    expect(answer.locator(".set p")).to_have_text(
        "Only sick. For images like those of validation, such sets hold the true class in 90 of 100."
    )
    expect(answer).to_contain_text("Calibrated on validation data.")
    expect(answer).to_contain_text("Research use only.")


def test_an_uncertain_set_is_said_in_words(page: Page) -> None:
    page.click("#list li:has-text('doubtful.png')")
    expect(page.locator("#answer .set p")).to_contain_text("Uncertain: normal and sick cannot be told apart safely.")


def test_cannot_assess_is_said_plainly_with_its_reasons(page: Page) -> None:
    page.click("#list li:has-text('strange.png')")
    shown(page, "strange.png")
    expect(page.locator("#answer .word")).to_have_text("Cannot assess")
    expect(page.locator("#answer .reasons li")).to_have_text(["not a frontal chest film", "unlike other films"])
    expect(page.locator("#answer .bars, #answer .set, #download-pdf")).to_have_count(0)
    assert page.locator("#heat").is_disabled()


def test_warnings_are_shown(page: Page) -> None:
    page.click("#list li:has-text('healthy.png')")
    assert page.locator("#answer .warnings li").all_inner_texts() == ["colour image converted to grey"]


def test_all_four_downloads(page: Page) -> None:
    name, data = take(page, "png")
    assert name == "certain-annotated.png"
    assert Image.open(io.BytesIO(data)).format == "PNG"
    name, data = take(page, "pdf")
    assert (name, data[:5]) == ("certain-report.pdf", b"%PDF-")
    name, data = take(page, "csv")
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    assert (name, len(rows)) == ("lungwise-answers.csv", 6)
    assert {row["path"]: row["status"] for row in rows}["broken.png"] == "error"
    name, data = take(page, "json")
    assert name == "lungwise-answers.json"
    assert {result["path"] for result in json.loads(data)["results"]} >= {"certain.png", "broken.png"}


def test_a_download_that_fails_is_said(page: Page) -> None:
    body = json.dumps({"code": "internal", "detail": "The service made a mistake.", "status": 500})
    page.route("**/report.pdf*", lambda route: route.fulfill(status=500, content_type="application/problem+json", body=body))
    page.click("#download-pdf")
    expect(page.locator("#alarm-text")).to_have_text("The service made a mistake.")
    page.click("#alarm-close")
    expect(page.locator("#alarm")).to_be_hidden()


def test_the_model_and_its_card_are_one_click_away(page: Page) -> None:
    page.click("#model-open")
    body = page.locator("#model-body")
    expect(body).to_contain_text("Research use only.")
    expect(body).to_contain_text(
        "20 images, 10 patients. In brackets: 95 % percentile bootstrap over patients, 2000 resamples."
    )
    expect(body.locator(".figures tr", has_text="Accuracy").first).to_contain_text("0.800 [0.700, 0.850]")
    expect(body).to_contain_text("It was not tested on data of other places.")
    body.locator("summary").click()
    expect(body.locator(".card h4").first).to_have_text("Version")
    expect(body.locator(".card")).to_contain_text("Explanation limits")


def test_the_service_gives_an_answer_with_nothing_written_down(visit: Open, film: Callable[..., File]) -> None:
    """From file to answer without any chosen result, and as DICOM the same as PNG."""
    page = visit()
    add(page, [film("one.png"), film("one.dcm")])
    assert len(set(page.locator("#list .said").all_inner_texts())) == 1
    first = page.locator("#list .thumb").first
    expect(first).to_have_attribute("src", re.compile("^blob:"))
