"""The viewer: zoom, window and level, inversion, heat map, two films side by side."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import File, Open, add, centre, shown, state
from tests.conftest import Encode

pytestmark = pytest.mark.browser
GREY = 100


@pytest.fixture
def flat(encode: Encode) -> File:
    """A film of one grey, so that every tone can be worked out by hand."""
    return {"name": "flat.png", "mimeType": "image/png", "buffer": encode(np.full((200, 160), GREY, np.uint8))}


@pytest.fixture
def page(visit: Open, flat: File) -> Page:
    made = visit()
    add(made, [flat])
    shown(made, "flat.png")
    return made


def zoom(page: Page) -> int:
    found = re.match(r"(\d+) %", state(page))
    assert found
    return int(found[1])


def middle(page: Page) -> tuple[float, float]:
    box = page.locator(".pane").bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_grey_values_are_shown_as_they_are_in_the_file(page: Page) -> None:
    assert centre(page) == [GREY] * 3


def test_inversion(page: Page) -> None:
    page.click("#invert")
    assert centre(page) == [255 - GREY] * 3
    expect(page.locator(".corner.state")).to_contain_text("inverted")
    page.click("#reset")
    assert centre(page) == [GREY] * 3


def test_window_and_level_follow_the_linear_formula(page: Page) -> None:
    page.focus("#width")
    page.evaluate("""() => {
      for (const [id, value] of [["width", 100], ["level", 110]]) {
        const slider = document.getElementById(id);
        slider.value = value;
        slider.dispatchEvent(new Event("input"));
      }
    }""")
    assert centre(page) == [round(255 * ((GREY - 109.5) / 100 + 0.5))] * 3
    assert "W 100  L 110" in page.locator(".corner.state").text_content()  # type: ignore[operator]


def test_the_right_button_changes_the_window(page: Page) -> None:
    x, y = middle(page)
    page.mouse.move(x, y)
    page.mouse.down(button="right")
    page.mouse.move(x + 60, y + 40)
    page.mouse.up(button="right")
    assert centre(page) != [GREY] * 3
    assert "W 315  L 108" in page.locator(".corner.state").text_content()  # type: ignore[operator]


def test_dragging_pans_or_changes_the_window_as_chosen(page: Page) -> None:
    x, y = middle(page)

    def drag() -> None:
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x - 400, y)
        page.mouse.up()

    drag()
    assert centre(page) == [0] * 3 or centre(page) == [GREY] * 3  # half a film further, and never out of sight
    assert "W 255" in state(page)
    page.click("#fit")
    page.keyboard.press("w")
    expect(page.locator("#mode-window")).to_have_attribute("aria-pressed", "true")
    drag()
    assert "W 2 " in state(page)


def test_wheel_buttons_and_keys_zoom(page: Page) -> None:
    before = zoom(page)
    page.mouse.move(*middle(page))
    page.mouse.wheel(0, -400)
    expect(page.locator(".corner.state")).not_to_contain_text(f"{before} %")
    assert zoom(page) == pytest.approx(before * np.exp(0.6), rel=0.01)
    page.click("#fit")
    expect(page.locator(".corner.state")).to_contain_text(f"{before} %")
    page.click("#zoom-in")
    page.keyboard.press("+")
    expect(page.locator(".corner.state")).not_to_contain_text(f"{before} %")
    centre(page)  # two frames later
    assert zoom(page) == pytest.approx(before * 1.25**2, abs=1.5)
    page.keyboard.press("-")
    page.keyboard.press("f")
    expect(page.locator(".corner.state")).to_contain_text(f"{before} %")


def test_two_fingers_zoom(visit: Open, flat: File) -> None:
    page = visit(has_touch=True, viewport={"width": 360, "height": 740})
    add(page, [flat])
    page.tap("#list li")
    shown(page, "flat.png")
    before = zoom(page)
    x, y = middle(page)
    touch = page.context.new_cdp_session(page)

    def fingers(kind: str, apart: float) -> None:
        points = [] if kind == "touchEnd" else [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", 30)
    fingers("touchMove", 60)
    fingers("touchEnd", 0)
    expect(page.locator(".corner.state")).not_to_contain_text(f"{before} %")
    assert zoom(page) == pytest.approx(2 * before, rel=0.05)


def test_the_heat_map_is_laid_over_the_film(visit: Open, film: Callable[..., File]) -> None:
    page = visit()
    add(page, [film("one.png", seed=4)])
    shown(page, "one.png")
    assert coloured(page) == 0
    page.keyboard.press("h")
    expect(page.locator(".corner.heat")).to_contain_text("not the place of a finding")
    expect(page.locator(".legend")).to_be_visible()
    assert sorted(page.locator("#heat-class option").all_inner_texts()) == ["normal", "sick"]
    strong = coloured(page)
    assert strong > 0
    page.fill("#opacity", "0")
    assert coloured(page) == 0
    page.keyboard.press("]")
    page.keyboard.press("]")
    assert 0 < coloured(page) < strong
    with page.expect_response(lambda reply: "heat.png?label=" in reply.url) as asked:
        other = next(label for label in ("normal", "sick") if label != page.input_value("#heat-class"))
        page.select_option("#heat-class", other)
    assert asked.value.url.endswith(f"label={other}")
    expect(page.locator(".corner.heat")).to_contain_text(f"Heat map for {other}")
    page.click("#heat")
    expect(page.locator(".legend")).to_be_hidden()
    assert coloured(page) == 0


def coloured(page: Page) -> float:
    """How far the film's pixels are from grey, on average."""
    script = """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
      const canvas = document.querySelector(".pane canvas");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let sum = 0;
      for (let place = 0; place < data.length; place += 4) sum += Math.abs(data[place] - data[place + 2]);
      done(sum / data.length);
    })))"""
    return float(page.evaluate(script))


def test_two_films_side_by_side_have_tools_of_their_own(visit: Open, film: Callable[..., File]) -> None:
    page = visit()
    add(page, [film("certain.png", seed=1), film("healthy.png", "normal", seed=2)])
    page.focus("#list")
    page.keyboard.press("End")
    page.keyboard.press("Home")
    shown(page, "certain.png")
    page.click("#compare")
    expect(page.locator(".pane")).to_have_count(2)
    shown(page, "healthy.png", pane=1)
    expect(page.locator("#answer h2")).to_have_text("healthy.png")
    page.click("#invert")
    assert ["inverted" in state(page, pane) for pane in (0, 1)] == [False, True]
    page.keyboard.press("x")
    expect(page.locator("#answer h2")).to_have_text("certain.png")
    expect(page.locator("#list li[aria-selected=true] .name")).to_have_text("certain.png")
    expect(page.locator("#invert")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("c")
    expect(page.locator(".pane")).to_have_count(1)
    shown(page, "certain.png")


def test_one_film_alone_is_compared_with_its_heat_map(page: Page) -> None:
    page.keyboard.press("c")
    shown(page, "flat.png", pane=1)
    expect(page.locator(".legend").nth(1)).to_be_visible()
    expect(page.locator(".legend").nth(0)).to_be_hidden()
