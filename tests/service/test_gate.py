"""Every request gets an id; a full or stopping service says so, and still tells that it lives."""

from __future__ import annotations

import asyncio
import re

from starlette.testclient import TestClient

from lungwise.service.problems import CODES
from lungwise.service.settings import Settings
from tests.service.conftest import Held, play, running, until


def test_every_answer_has_an_id_that_problems_repeat(client: TestClient) -> None:
    first, second = client.get("/nowhere"), client.get("/v1/model")
    assert re.fullmatch(r"[0-9a-f-]{36}", first.headers["x-request-id"])
    assert first.json()["instance"] == f"urn:uuid:{first.headers['x-request-id']}"
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


def test_a_problem_has_the_members_of_rfc_9457(client: TestClient) -> None:
    found = client.get("/nowhere").json()
    assert found["type"] == "urn:lungwise:problem:not-found"
    assert (found["status"], found["code"], found["title"]) == (404, "not-found", CODES["not-found"][1])
    reply = client.put("/v1/predict")
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
    assert reply.json()["detail"] == "This address does not know PUT; use POST."
    reply = client.post("/v1/predict?heatmaps=perhaps", content=b"x", headers={"content-type": "image/png"})
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid")
    assert reply.json()["errors"][0]["where"] == ["query", "heatmaps"]
    assert "perhaps" not in reply.text


def test_a_full_service_refuses_and_still_lives(held: Held, png: bytes) -> None:
    async def scene() -> None:
        async with running(Settings(connections=1, sandbox=False), held) as client:
            first = asyncio.create_task(client.post("/v1/predict", content=png, headers={"content-type": "image/png"}))
            await until(held.busy.is_set)
            reply = await client.get("/v1/model")
            assert (reply.status_code, reply.json()["code"], reply.headers["retry-after"]) == (503, "busy", "2")
            assert (await client.get("/v2/health/live")).status_code == 200
            assert (await client.get("/v2/health/ready")).status_code == 200
            held.go.set()
            assert (await first).status_code == 200
            assert (await client.get("/v1/model")).status_code == 200

    play(scene())


def test_a_stopping_service_sends_clients_away(client: TestClient) -> None:
    client.app.state.service.health.stopping = True  # type: ignore[attr-defined]
    assert client.get("/v1/model").json()["code"] == "stopping"
    assert client.get("/v2/health/live").status_code == 200
    assert client.get("/v2/health/ready").json()["detail"] == "The service is being stopped."
