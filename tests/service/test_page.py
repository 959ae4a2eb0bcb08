"""The page's document, files and text, without a browser; what it does in one is tested in tests/browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from lungwise.answer import INTENDED_USE
from lungwise.service import page, problems
from tests.service.conftest import Serve

FOLDER = Path(page.__file__).parent
SCRIPTS = sorted((FOLDER / "static").glob("*.js"))
TEMPLATE = (FOLDER / "templates" / "page.html").read_text()


@pytest.fixture
def visitor(serve: Serve) -> TestClient:
    """A client of the page alone, beside a running service."""
    app = FastAPI()
    app.state.service = serve(workspace_minutes=12, workspace_images=7).app.state.service  # type: ignore[attr-defined]
    app.include_router(page.router)
    problems.install(app)
    return TestClient(app, headers={"Host": "localhost"})


def test_the_document_says_what_it_is_for_before_any_script_runs(visitor: TestClient) -> None:
    reply = visitor.get("/")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert f'<p id="purpose" role="note">{INTENDED_USE}</p>' in reply.text
    assert "<noscript>" in reply.text


def test_the_policy_allows_the_page_itself_and_nothing_else(visitor: TestClient) -> None:
    policy = dict(part.strip().split(" ", 1) for part in visitor.get("/").headers["content-security-policy"].split(";"))
    assert {policy[name] for name in ("default-src", "script-src", "style-src", "connect-src")} == {"'self'"}
    assert {policy[name] for name in ("object-src", "base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert policy["img-src"] == "'self' blob: data:"


def test_the_document_tells_nothing_of_the_model(visitor: TestClient) -> None:
    """It is given to whoever asks, also where answers need a token."""
    assert not re.search(r"\b(tiny|sick)\b", visitor.get("/").text)


def test_settings_say_what_the_page_must_know(visitor: TestClient) -> None:
    said = visitor.get("/page/settings").json()
    assert {name: said[name] for name in ("labels", "findings", "minutes", "images", "max_file_mb")} == {
        "labels": ["normal", "sick"], "findings": ["sick"], "minutes": 12, "images": 7, "max_file_mb": 100,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        (("normal", "pneumonia"), ["pneumonia"]),
        (("PNEUMONIA", "Healthy"), ["PNEUMONIA"]),
        (("Covid-19", "No_findings", "Pneumonia"), ["Covid-19", "Pneumonia"]),
        (("bacterial", "viral"), ["bacterial", "viral"]),
    ],
)
def test_findings_are_all_classes_but_the_normal_ones(labels: tuple[str, ...], wanted: list[str]) -> None:
    assert page.findings(labels) == wanted


def test_files_are_asked_for_again_and_sent_only_when_changed(visitor: TestClient) -> None:
    first = visitor.get("/static/app.js")
    assert (first.status_code, first.headers["cache-control"]) == (200, "no-cache")
    assert first.headers["content-type"].startswith("text/javascript")
    again = visitor.get("/static/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["none.js", "", "../page.py", "%2e%2e/page.py", "..%2fpage.py", "/etc/passwd", "app.js/x"])
def test_nothing_but_the_page_can_be_asked_for(visitor: TestClient, name: str) -> None:
    reply = visitor.get(f"/static/{name}")
    assert reply.status_code == 404
    assert reply.json()["code"] == "not-found"


def test_a_path_of_a_proxy_is_put_before_every_address() -> None:
    text = page.document("/xrays")
    assert re.findall(r'(?:src|href)="(/[^"]*)"', text)
    assert all(address.startswith("/xrays/static/") for address in re.findall(r'(?:src|href)="(/[^"]*)"', text))
    assert 'data-root="/xrays"' in text


def used() -> set[str]:
    """Keys of the sentences that template and scripts use; a key that is put together stands with its first part."""
    scripts = "".join(path.read_text() for path in SCRIPTS)
    known = json.loads((FOLDER / "static" / "strings.json").read_text())
    found = set(re.findall(r"text\.(\w+)", TEMPLATE)) | set(re.findall(r'\bt\("(\w+)"', scripts))
    found |= {word for word in re.findall(r'"(\w+)"', scripts) if word in known}
    stems = re.findall(r"\bt\(`(\w+_)\$\{", scripts)
    return found | {key for key in known if key.startswith(tuple(stems))}


def test_every_sentence_is_there_and_is_used() -> None:
    assert used() == set(page.strings())


@pytest.mark.parametrize("path", [*SCRIPTS, *(FOLDER / "static").glob("*.css")], ids=lambda path: path.name)
def test_scripts_and_styles_are_small_and_read_no_html_and_load_nothing_from_elsewhere(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    assert not re.search(r"https?://|//cdn", text)
    assert len(text.splitlines()) <= 300
    assert max(map(len, text.splitlines())) <= 128 or path.suffix == ".css"


def test_a_script_imports_only_what_is_there() -> None:
    for path in SCRIPTS:
        assert set(re.findall(r'from "\./([\w.]+)"', path.read_text())) <= set(page.assets()), path.name
