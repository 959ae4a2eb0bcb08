"""Names cannot act, tokens stay in memory, and images are gone when they should be."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from lungwise.inference.predictor import Predictor
from tests.browser.conftest import File, Open, add, names, shown
from tests.browser.serving import Served, served
from tests.bundle_factory import make_predictor

pytestmark = pytest.mark.browser
ATTACK = "<img src=x onerror=window.hacked=1>"


def test_tags_in_names_are_text(visit: Open, film: Callable[..., File], tmp_path: Path) -> None:
    labels = ("normal", ATTACK)
    hostile = make_predictor(tmp_path / "model", labels=labels, name=f"<script>window.hacked=2</script>{ATTACK}")
    with served(hostile) as running:
        page = visit(running)
        add(page, [film(f"{ATTACK}.png")])
        shown(page, f"{ATTACK}.png")
        assert names(page) == [f"{ATTACK}.png"]
        page.keyboard.press("h")
        assert ATTACK in page.locator("#heat-class option").all_inner_texts()
        page.click("#model-open")
        expect(page.locator("#model-title")).to_contain_text(ATTACK)
        page.click("#model summary")
        expect(page.locator(".card h4").first).to_be_visible()
        page.keyboard.press("Escape")
        with page.expect_download():
            page.click("#download-png")
        assert page.evaluate("window.hacked === undefined")
        assert page.locator("img[src=x], img[onerror], main script").count() == 0


def test_the_document_allows_no_inline_script_or_style(visit: Open, service: Served) -> None:
    page = visit()
    reply = page.request.get(service.address)
    policy = reply.headers["content-security-policy"]
    wanted = "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; connect-src 'self';"
    assert policy.startswith(wanted)
    assert "frame-ancestors 'none'" in policy
    assert page.locator("script:not([src]), style, [style], [onclick], [onerror], [onload]").count() == 0


def guarded(page: Page, secret: str, seen: list[str | None]) -> None:
    """Let the service ask for a token, as it does on any address but this machine's own."""

    def check(route: Route) -> None:
        given = route.request.headers.get("authorization")
        seen.append(given)
        if given == f"Bearer {secret}":
            route.fallback()
        else:
            route.fulfill(
                status=401,
                content_type="application/problem+json",
                body='{"code": "unauthorized", "detail": "A token is needed."}',
            )

    for pattern in ("**/v1/**", "**/page/settings"):
        page.route(pattern, check)


def test_a_token_is_asked_for_and_kept_in_memory_only(visit: Open, film: Callable[..., File]) -> None:
    seen: list[str | None] = []
    page = visit(prepare=lambda page: guarded(page, "open sesame", seen), ready=False)
    expect(page.locator("#token")).to_be_visible()
    for _ in range(3):
        page.keyboard.press("Escape")
        expect(page.locator("#token")).to_be_visible()
    page.fill("#token-value", "wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#token-wrong")).to_be_visible()
    page.fill("#token-value", "open sesame")
    page.click("#token-form button")
    expect(page.locator("body[data-ready]")).to_have_count(1)
    assert seen[:2] == [None, "Bearer wrong"]
    add(page, [film("a.png")])
    shown(page, "a.png")
    expect(page.locator("#list .thumb")).to_have_attribute("src", re.compile("^blob:"))
    kept = page.evaluate("JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage), document.cookie])")
    assert "sesame" not in kept
    assert "sesame" not in page.content()
    assert page.input_value("#token-value") == ""
    assert set(seen[2:]) == {"Bearer open sesame"}


@pytest.fixture
def alone(predictor: Predictor) -> Any:
    """A service for one test, whose workspaces may be tampered with."""
    with served(predictor) as running:
        yield running


def test_leaving_the_page_closes_its_workspace(
    visit: Open, alone: Served, film: Callable[..., File], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = visit(alone)
    add(page, [film("a.png")])
    store = alone.service.workspaces
    assert len(store) == 1
    closed, close = threading.Event(), store.close

    def noted(name: str) -> None:
        close(name)
        closed.set()

    monkeypatch.setattr(store, "close", noted)
    page.goto("about:blank")
    assert closed.wait(20)
    assert (len(store), store.used) == (0, 0)


def test_images_that_are_gone_are_said_to_be_gone_and_can_be_sent_again(
    visit: Open, alone: Served, film: Callable[..., File]
) -> None:
    page = visit(alone)
    add(page, [film("a.png"), film("b.png")])
    shown(page, "a.png") if page.locator(".corner.name").inner_text() == "a.png" else shown(page, "b.png")
    alone.service.workspaces.clear()
    page.click("#download-csv")
    expect(page.locator("#gone-text")).to_contain_text("30 minutes passed, or it was started anew")
    page.get_by_role("button", name="Send the same 2 files again").click()
    expect(page.locator("#list li")).to_have_count(2)
    assert len(alone.service.workspaces) == 1
    page.click("#alarm-close")
    alone.service.workspaces.clear()
    page.click("#download-json")
    page.get_by_role("button", name="Begin anew").click()
    expect(page.locator("#start")).to_be_visible()
    expect(page.locator("#list li")).to_have_count(0)
    expect(page.locator("#lifetime")).to_have_text("")


def test_the_page_notices_by_itself_when_the_time_is_over(visit: Open, predictor: Predictor, film: Callable[..., File]) -> None:
    with served(predictor, workspace_minutes=1 / 60) as brief:
        page = visit(brief)
        page.set_input_files("#files", [film("a.png")])
        expect(page.locator("#gone")).to_be_visible()


def test_all_images_are_forgotten_on_demand(visit: Open, alone: Served, film: Callable[..., File]) -> None:
    page = visit(alone)
    add(page, [film("a.png")])
    page.click("#forget")
    page.click("#sure [data-close]")
    expect(page.locator("#list li")).to_have_count(1)
    page.click("#forget")
    with page.expect_response(lambda reply: reply.request.method == "DELETE") as gone:
        page.click("#sure-yes")
    assert gone.value.status == 204
    expect(page.locator("#start")).to_be_visible()
    assert len(alone.service.workspaces) == 0
