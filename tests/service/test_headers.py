"""Headers of every answer: pages, pictures, refusals and faults."""

from __future__ import annotations

import asyncio
import json

import pytest
import uvicorn
from starlette.testclient import TestClient

from lungwise.inference.predictor import Predictor
from lungwise.service import page
from lungwise.service.app import create_app
from lungwise.service.run import listen, patient
from lungwise.service.settings import Settings
from tests.service.conftest import Serve, play, until

WANTED = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def check(reply: object, stored: str = "no-store") -> None:
    headers = reply.headers  # type: ignore[attr-defined]
    assert {name: headers.get(name) for name in WANTED} == WANTED
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "camera=()" in headers["permissions-policy"]
    assert headers["cache-control"] == stored
    assert headers["x-request-id"]
    assert "server" not in headers
    assert "x-powered-by" not in headers


def test_answers_and_refusals_have_them(serve: Serve, png: bytes) -> None:
    client = serve(max_file_mb=0.01, rate_burst=12, rate_per_minute=1)
    place = client.post("/v1/workspaces").headers["location"]
    image = client.post(f"{place}/images", files={"file": ("a.png", png)}).headers["location"]
    found = [
        client.post("/v1/predict", files={"files": ("a.png", png)}),
        client.get(f"{image}/pixels.png"),
        client.get("/v1/model/card", headers={"accept": "text/html"}),
        client.get("/openapi.json"),
        client.get("/nothing"),
        client.put("/v1/model"),
        client.post("/v1/predict", files={"files": ("a.png", bytes(20_000))}),
        client.get("/v1/model", headers={"host": "evil.example"}),
        client.post("/v1/workspaces", headers={"origin": "http://evil.example"}),
        client.delete(place),
        *(client.get("/metrics") for _ in range(4)),
        client.get("/ping"),
    ]
    assert {reply.status_code for reply in found} == {200, 204, 403, 404, 405, 413, 421, 429}
    for reply in found:
        check(reply)


def test_the_page_says_itself_what_it_loads_and_is_kept(predictor: Predictor) -> None:
    app = create_app(Settings(sandbox=False, tokens=("0" * 64,)), predictor)
    if "/" not in {getattr(route, "path", "") for route in app.routes}:
        app.include_router(page.router)
    with TestClient(app, "http://localhost") as client:
        for path in ("/", "/static/app.js", "/static/theme.css"):
            reply = client.get(path)
            assert reply.status_code == 200
            check(reply, "no-cache")
            assert reply.headers["content-security-policy"].startswith("default-src 'self'; ")
        check(client.get("/static/nothing.js"))


def test_a_fault_has_them_and_is_written_down(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(Settings(sandbox=False), predictor)
    monkeypatch.setattr(type(app.state.service), "about_model", lambda self: 1 / 0)
    with TestClient(app, "http://localhost", raise_server_exceptions=False) as client:
        reply = client.get("/v1/model")
        assert (reply.status_code, reply.json()["code"]) == (500, "internal")
        assert reply.json()["instance"] == f"urn:uuid:{reply.headers['x-request-id']}"
        check(reply)
        assert 'lungwise_requests_total{method="GET",route="/v1/model",status="500"} 1.0' in client.get("/metrics").text


def test_what_is_no_http_is_refused_as_everything_else() -> None:
    async def scene() -> None:
        with listen(Settings(port=0)) as made:
            config = uvicorn.Config(page.router, http=patient(5), ws="none", lifespan="off", log_config=None, loop="asyncio")
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server._serve([made]))
            await until(lambda: server.started)
            reader, writer = await asyncio.open_connection(*made.getsockname())
            writer.write(b"GET /\x01 HTTP/1.1\r\n\r\n")
            head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
            writer.close()
            server.should_exit = True
            await serving
        assert head.startswith("HTTP/1.1 400 ")
        assert json.loads(body)["code"] == "bad-request"
        assert {line.partition(": ")[0].lower() for line in head.split("\r\n")} >= {*WANTED, "content-security-policy"}

    play(scene())


def test_tags_in_names_are_data_in_every_answer(client: TestClient, png: bytes) -> None:
    evil = "<img src=x onerror=alert(1)>.png"
    place = client.post("/v1/workspaces").headers["location"]
    client.post(f"{place}/images", files={"file": (evil, png)})
    for reply in (client.get(place), client.post("/v1/predict", files={"files": (evil, png)}), client.get(f"/{evil}")):
        assert reply.headers["content-type"] in ("application/json", "application/problem+json")
        check(reply)
    assert client.get(f"{place}/results.csv").headers["content-disposition"].startswith("attachment; ")
