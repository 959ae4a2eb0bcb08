"""Images come in, and the work list puts the most worrying first."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import File, Open, add, broken, names, selected, shown
from tests.browser.serving import served

pytestmark = pytest.mark.browser

DROP = """(files) => {
  const transfer = new DataTransfer();
  for (const { name, data } of files) {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name));
  }
  return transfer;
}"""


def drop(page: Page, files: list[File]) -> None:
    import base64

    given = [{"name": file["name"], "data": base64.b64encode(file["buffer"]).decode()} for file in files]
    transfer = page.evaluate_handle(DROP, given)
    page.dispatch_event("#main", "dragenter", {"dataTransfer": transfer})
    expect(page.locator("#veil")).to_be_visible()
    page.dispatch_event("#main", "drop", {"dataTransfer": transfer})
    expect(page.locator("#veil")).to_be_hidden()


def test_dropped_files_are_listed_with_the_most_worrying_first(visit: Open, five: list[File]) -> None:
    page = visit()
    expect(page.locator("#start")).to_contain_text("30 minutes")
    drop(page, five)
    expect(page.locator("#list li")).to_have_count(6)
    expect(page.locator("#uploads")).to_be_hidden()
    assert names(page) == ["certain.png", "milder.png", "doubtful.png", "strange.png", "broken.png", "healthy.png"]
    badges = [row.locator(".badge").all_inner_texts() for row in page.locator("#list li").all()]
    assert badges == [["Finding"], ["Finding", "Uncertain"], ["Uncertain"], ["Cannot assess"], ["Error"], ["Low concern"]]
    said = page.locator("#list .said").all_inner_texts()
    assert said == [
        "sick 96.9%",
        "sick 80.0%",
        "normal; any finding: 40.0%",
        "No decision",
        "Could not be read",
        "normal; any finding: 3.0%",
    ]
    expect(page.locator("#lifetime")).to_contain_text("Images are forgotten at")
    expect(page.locator("#list .thumb[src^='blob:']")).to_have_count(5)


def test_an_image_is_pasted(visit: Open, film: Callable[..., File]) -> None:
    import base64

    page = visit()
    file = film("pasted.png")
    given = [{"name": file["name"], "data": base64.b64encode(file["buffer"]).decode()}]
    transfer = page.evaluate_handle(DROP, given)
    script = "(data) => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }))"
    page.evaluate(script, transfer)
    expect(page.locator("#list li")).to_have_count(1)


def test_a_folder_is_added_without_its_hidden_files(visit: Open, film: Callable[..., File], tmp_path: Any) -> None:
    inner = tmp_path / "study" / "series"
    inner.mkdir(parents=True)
    for place in (inner / "a.png", inner.parent / "b.png", inner / ".hidden"):
        place.write_bytes(film("a.png")["buffer"])
    page = visit()
    page.set_input_files("#folder", str(tmp_path / "study"))
    expect(page.locator("#list li")).to_have_count(2)
    assert sorted(names(page)) == ["a.png", "b.png"]


def test_filters_show_one_kind_and_text(visit: Open, five: list[File]) -> None:
    page = visit()
    add(page, five)
    assert [chip.inner_text() for chip in page.locator(".chip").all()] == [
        "All 6", "Finding 2", "Uncertain 2", "Cannot assess 1", "Error 1", "Low concern 1",
    ]  # fmt: skip
    page.click(".chip[data-kind=uncertain]")
    assert names(page) == ["milder.png", "doubtful.png"]
    page.click(".chip[data-kind=all]")
    page.fill("#search", "NORMAL")
    assert names(page) == ["doubtful.png", "healthy.png"]
    page.fill("#search", "frontal")
    assert names(page) == ["strange.png"]
    page.fill("#search", "nothing like it")
    expect(page.locator("#list-note")).to_have_text("No image fits this choice.")


def test_the_keyboard_is_enough(visit: Open, five: list[File]) -> None:
    page = visit()
    add(page, five)
    page.focus("#list")
    page.keyboard.press("Home")
    assert selected(page) == "certain.png"
    page.keyboard.press("ArrowDown")
    assert selected(page) == "milder.png"
    assert page.get_attribute("#list", "aria-activedescendant") == page.locator("[aria-selected=true]").get_attribute("id")
    shown(page, "milder.png")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.className") == "pane"
    page.keyboard.press("n")
    assert selected(page) == "doubtful.png"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "list"
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    expect(page.locator("#keys tr")).to_have_count(16)
    page.uncheck("#single-keys")
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_hidden()  # single letters can be switched off (WCAG 2.1.4)
    page.keyboard.press("Delete")
    expect(page.locator("#list li")).to_have_count(5)
    assert selected(page) == "strange.png"


def test_refusals_of_the_page_itself_say_the_rule(visit: Open, predictor: Any, film: Callable[..., File]) -> None:
    with served(predictor, max_file_mb=1, max_request_mb=2, workspace_images=2) as strict:
        page = visit(strict)
        large = {"name": "large.dcm", "mimeType": "", "buffer": bytes(1_200_000)}
        empty = {"name": "empty.png", "mimeType": "", "buffer": b""}
        page.set_input_files("#files", [large, empty, film("a.png"), film("b.png"), film("c.png")])
        expect(page.locator("#list li")).to_have_count(2)
        failed = page.locator("#uploads-list li.failed")
        expect(failed).to_have_count(3)
        assert [row.locator(".quiet").inner_text() for row in failed.all()] == [
            "A file may have at most 1 MB, this one has 2 MB.",
            "The file is empty.",
            "There may be 2 images at one time; remove some first.",
        ]
        expect(page.locator("#uploads-sum")).to_have_text("3 could not be added")
        page.click("#uploads-clear")
        expect(page.locator("#uploads")).to_be_hidden()


def test_a_busy_service_is_asked_again_after_its_pause(visit: Open, film: Callable[..., File]) -> None:
    page = visit()
    refused: list[str] = []

    def busy(route: Route) -> None:
        if len(refused) < 2:
            refused.append(route.request.url)
            status = (429, 503)[len(refused) - 1]
            body = json.dumps({"code": "queue-full", "detail": "Many images wait.", "status": status})
            route.fulfill(status=status, headers={"Retry-After": "0"}, content_type="application/problem+json", body=body)
        else:
            route.fallback()

    page.route("**/images", busy)
    add(page, [film("a.png")])
    assert len(refused) == 2


def test_a_refusal_is_shown_and_can_be_tried_again(visit: Open, film: Callable[..., File]) -> None:
    page = visit()
    body = json.dumps({"code": "out-of-space", "detail": "The workspaces have no memory left.", "status": 507})
    page.route(
        "**/images", lambda route: route.fulfill(status=507, content_type="application/problem+json", body=body), times=1
    )
    page.set_input_files("#files", [film("a.png")])
    expect(page.locator("#uploads-list li.failed")).to_contain_text("The workspaces have no memory left.")
    page.get_by_role("button", name="Try again: a.png").click()
    expect(page.locator("#list li")).to_have_count(1)


def test_a_broken_file_is_listed_with_its_reason(visit: Open) -> None:
    page = visit()
    add(page, [broken("bad.png")])
    expect(page.locator("#answer .word")).to_have_text("Could not be read")
    expect(page.locator("#answer .reasons li")).to_have_count(1)
    expect(page.locator(".pane-note")).to_have_text("This file could not be read as a radiograph.")
    assert page.locator("#heat").is_disabled()
    expect(page.locator("#download-png")).to_have_count(0)
    expect(page.locator("#download-csv")).to_be_visible()
