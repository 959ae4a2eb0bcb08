"""What SageMaker asks."""

from __future__ import annotations

import base64
import csv
import io
import json

import pytest
from starlette.testclient import TestClient

from lungwise.inference.predictor import Predictor
from tests.service.conftest import Serve

IMAGE = {"content-type": "application/x-image"}


def test_ping(client: TestClient) -> None:
    assert client.get("/ping").status_code == 200
    client.app.state.service.health.warm = False  # type: ignore[attr-defined]
    reply = client.get("/ping")
    assert (reply.status_code, reply.json()["code"]) == (503, "not-ready")


@pytest.mark.parametrize("kind", ["application/x-image", "image/png", "application/dicom"])
def test_an_image_is_answered(client: TestClient, predictor: Predictor, png: bytes, kind: str) -> None:
    reply = client.post("/invocations", content=png, headers={"content-type": kind})
    assert reply.json()["results"][0]["decision"] == predictor.predict(png).decision
    assert reply.json()["model"]["bundle_sha256"] == predictor.bundle.sha256


def test_json_holds_several(client: TestClient, png: bytes) -> None:
    text = base64.b64encode(png).decode()
    reply = client.post("/invocations", json={"instances": [{"b64": text}, text, {"b64": "%"}]})
    assert [one["status"] for one in reply.json()["results"]] == ["ok", "ok", "error"]


def test_the_form_of_the_answer_is_chosen(client: TestClient, png: bytes) -> None:
    reply = client.post("/invocations", content=png, headers={**IMAGE, "accept": "text/csv"})
    (row,) = csv.DictReader(io.StringIO(reply.text))
    assert (row["status"], reply.headers["content-type"]) == ("ok", "text/csv; charset=utf-8")
    reply = client.post("/invocations", content=png, headers={**IMAGE, "accept": "application/jsonlines"})
    assert json.loads(reply.text)["status"] == "ok"
    reply = client.post("/invocations", content=png, headers={**IMAGE, "accept": "image/gif"})
    assert (reply.status_code, reply.json()["code"]) == (406, "not-acceptable")


def test_wrong_json_and_large_bodies_are_refused(serve: Serve) -> None:
    client = serve(max_invocation_mb=0.01, max_files=2)
    for body in ({"instances": []}, {"instances": [1]}, {"instance": "x"}, [1]):
        assert client.post("/invocations", json=body).json()["code"] == "invalid"
    assert client.post("/invocations", json={"instances": ["eA=="] * 3}).json()["code"] == "too-many-files"
    assert client.post("/invocations", content=b"x" * 10_001, headers=IMAGE).json()["code"] == "too-large"
    assert client.post("/invocations", content=b"{", headers={"content-type": "application/json"}).status_code == 422
