"""For everybody: screen readers, both themes, small telephones and large screens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import File, Open, add, shown

pytestmark = pytest.mark.browser
SERIOUS = ("serious", "critical")


def serious(page: Page) -> list[str]:
    """What axe finds that keeps people out."""
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in SERIOUS]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_axe_finds_nothing_serious(visit: Open, five: list[File], theme: Any) -> None:
    page = visit(color_scheme=theme)
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    assert serious(page) == []
    add(page, five)
    page.set_input_files("#files", [{"name": "empty.png", "mimeType": "", "buffer": b""}])
    page.focus("#list")
    for key in ("Home", "End"):
        page.keyboard.press(key)
        assert serious(page) == []
    page.click("#list li:has-text('strange.png')")
    shown(page, "strange.png")
    assert serious(page) == []
    page.click("#list li:has-text('certain.png')")
    page.keyboard.press("h")
    page.keyboard.press("c")
    expect(page.locator(".legend").first).to_be_visible()
    assert serious(page) == []
    page.click("#model-open")
    page.click("#model summary")
    expect(page.locator(".card h4").first).to_be_visible()
    assert serious(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert serious(page) == []


def test_the_theme_follows_the_system_until_it_is_switched(visit: Open) -> None:
    page = visit(color_scheme="light")
    expect(page.locator("#theme")).to_have_text("Dark theme")
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.click("#theme")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


@pytest.mark.parametrize(("width", "height"), [(360, 740), (768, 1024), (1024, 700), (3840, 2160)])
def test_nothing_is_wider_than_the_screen(visit: Open, film: Callable[..., File], width: int, height: int) -> None:
    page = visit(viewport={"width": width, "height": height})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    add(page, [film("a-very-long-name-of-a-file-without-any-blank-in-it-that-goes-on.png"), film("certain.png")])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click("#list li:has-text('certain.png')")
    shown(page, "certain.png")
    page.keyboard.press("h")
    page.keyboard.press("c")
    shown(page, "a-very-long-name-of-a-file-without-any-blank-in-it-that-goes-on.png", pane=1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.locator(".pane").first.bounding_box()
    assert box
    assert box["height"] >= 150
    expect(page.locator("#purpose")).to_be_in_viewport()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.locator("#purpose")).to_be_in_viewport()


def test_on_a_narrow_screen_list_and_viewer_take_turns(visit: Open, film: Callable[..., File]) -> None:
    page = visit(viewport={"width": 360, "height": 740})
    add(page, [film("certain.png"), film("healthy.png")])
    expect(page.locator("#panes")).to_be_hidden()
    page.click("#list li:has-text('healthy.png')")
    shown(page, "healthy.png")
    expect(page.locator("#list")).to_be_hidden()
    page.click("#back")
    expect(page.locator("#list")).to_be_visible()
    expect(page.locator("#panes")).to_be_hidden()


def test_news_are_said_to_those_who_hear_the_page(visit: Open, film: Callable[..., File]) -> None:
    page = visit()
    add(page, [film("certain.png")])
    expect(page.locator("#live")).to_have_text("All images are answered.")
    page.keyboard.press("Delete")
    expect(page.locator("#live")).to_have_text("certain.png was removed.")
