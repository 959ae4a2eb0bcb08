"""The OpenAPI document: complete, with examples, and true: nothing that it allows makes the service fail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import openapi
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.python.asgi import get_client, shutdown_lifespans
from starlette.testclient import TestClient

from lungwise.inference.predictor import Predictor
from lungwise.service.app import create_app
from lungwise.service.problems import CODES
from lungwise.service.settings import Settings


@pytest.fixture(scope="module")
def document(predictor: Predictor) -> dict[str, Any]:
    found: dict[str, Any] = create_app(Settings(sandbox=False), predictor).openapi()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_the_routes_of_the_contract_are_there(document: dict[str, Any]) -> None:
    film = "/v1/workspaces/{workspace}/images/{image}"
    assert {name for name, _ in operations(document)} >= {
        "POST /v1/predict", "POST /v1/heatmap", "GET /v1/model", "GET /v1/model/card",
        "POST /v1/workspaces", "GET /v1/workspaces/{workspace}", "DELETE /v1/workspaces/{workspace}",
        "POST /v1/workspaces/{workspace}/close", "POST /v1/workspaces/{workspace}/images", f"DELETE {film}",
        f"GET {film}/pixels.png", f"GET {film}/thumbnail.png", f"GET {film}/heat.png", f"GET {film}/annotated.png",
        f"GET {film}/report.pdf", "GET /v1/workspaces/{workspace}/results.csv", "GET /v1/workspaces/{workspace}/results.json",
        "GET /v2", "GET /v2/health/live", "GET /v2/health/ready", "GET /v2/models/{name}", "GET /v2/models/{name}/ready",
        "POST /v2/models/{name}/infer", "GET /ping", "POST /invocations",
    }  # fmt: skip


def test_every_route_is_described_with_its_refusals(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["description"].strip(), name
        for status, response in operation["responses"].items():
            assert response["description"].strip(), f"{name} {status}"
            if int(status) >= 400:
                (media,) = response["content"]
                assert media == "application/problem+json", f"{name} {status}"
                assert {example["value"]["code"] for example in response["content"][media]["examples"].values()} <= set(CODES)
            if "application/json" in response.get("content", {}):
                assert "example" in response["content"]["application/json"], f"{name} {status}"


def test_all_codes_are_documented() -> None:
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
    listed = {(found[1], int(found[2])) for found in re.finditer(r"^\| `([a-z-]+)` \| (\d{3}) \|", text, re.MULTILINE)}
    assert listed == {(code, status) for code, (status, _) in CODES.items()}


def test_there_is_no_page_that_loads_from_elsewhere(client: TestClient) -> None:
    assert client.get("/docs").status_code == 404
    assert client.get("/redoc").status_code == 404
    assert client.get("/openapi.json").status_code == 200


def attack(predictor: Predictor, png: bytes, examples: int) -> None:
    """Ask every route what its schema allows, and beyond; also below a workspace and an image that exist."""
    wide: dict[str, Any] = {"workspaces": 100_000, "workspace_images": 10_000, "rate_burst": 1_000_000}
    app = create_app(Settings(sandbox=False, threads=1, hosts=("testserver",), **wide), predictor)
    schema = openapi.from_asgi("/openapi.json", app)
    try:
        with get_client(app, max_stream_events=None) as session:
            place = session.post("http://testserver/v1/workspaces").json()["id"]
            images = f"http://testserver/v1/workspaces/{place}/images"
            film = session.post(images, files={"file": ("a.png", png)}).json()["id"]
            real = {"name": "tiny", "workspace": place, "image": film}
            for found in schema.get_all_operations():
                assert isinstance(found, Ok)
                _ask(found.ok(), session, real, examples)
    finally:
        shutdown_lifespans()


def _ask(operation: Any, session: Any, real: dict[str, str], examples: int) -> None:
    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(operation.as_strategy())
    def ask(case: Any) -> None:
        case.validate_response(case.call(session=session), checks=[not_a_server_error, problems_only])
        if set(real) & set(case.path_parameters) and case.method in ("GET", "POST") and "close" not in case.path:
            case.path_parameters |= {key: real[key] for key in real if key in case.path_parameters}
            case.validate_response(case.call(session=session), checks=[not_a_server_error, problems_only])

    ask()


def problems_only(ctx: Any, response: Any, case: Any) -> None:
    """Every refusal is a problem document with a known code."""
    if response.status_code >= 400:
        assert response.headers["content-type"] == ["application/problem+json"], (case, response.headers)
        assert CODES[response.json()["code"]][0] == response.status_code


def test_no_request_makes_the_service_fail(predictor: Predictor, png: bytes) -> None:
    attack(predictor, png, 3)


@pytest.mark.slow
def test_no_request_makes_the_service_fail_in_many_tries(predictor: Predictor, png: bytes) -> None:
    attack(predictor, png, 150)
