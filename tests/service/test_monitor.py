"""Figures for Prometheus: right, and without a word that a client chose."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from lungwise.inference.predictor import Predictor
from tests.service.conftest import Serve


def figures(client: TestClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    reply = client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=")
    found = (sample for family in text_string_to_metric_families(reply.text) for sample in family.samples)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}


def test_requests_images_and_refusals_are_counted(client: TestClient, predictor: Predictor, png: bytes) -> None:
    def value(name: str, **labels: str) -> float:
        return found[f"lungwise_{name}", frozenset(labels.items())]

    found = figures(client)
    assert [value("images_total", status=status) for status in ("ok", "cannot assess", "error")] == [0, 0, 0]  # no warm-up
    warm = value("batch_images_count")
    client.post("/v1/predict", files=[("files", ("a", png)), ("files", ("b", png)), ("files", ("c", b"bad"))])
    client.get("/nothing")
    client.get("/v1/model", headers={"host": "evil.example"})
    found = figures(client)
    assert value("requests_total", method="POST", route="/v1/predict", status="200") == 1
    assert value("requests_total", method="GET", route="(none)", status="404") == 1
    assert (value("images_total", status="ok"), value("images_total", status="error")) == (2, 1)
    assert (value("refused_total", reason="misdirected"), value("refused_total", reason="not-found")) == (1, 1)
    assert value("request_seconds_count", route="/v1/predict") == 1
    assert value("batch_images_sum") - warm == 2
    assert value("received_bytes_total") > 2 * len(png)
    assert value("queue_images") == 0
    assert value("model", sha256=predictor.bundle.sha256) == 1
    assert found["process_resident_memory_bytes", frozenset()] > 1e7


def test_clients_cannot_make_labels(client: TestClient) -> None:
    def shape() -> set[tuple[str, frozenset[tuple[str, str]]]]:
        return set(figures(client))

    for word in ("GET", "BREW"):
        client.request(word, "/nothing")
    figures(client)
    before = shape()
    for number in range(30):
        client.request(f"M{number}", f"/path{number}", headers={f"x-{number}": "y"})
        client.get(f"/path{number}?q={number}")
    assert shape() == before
    assert not re.search(r"path\d|M\d\d", client.get("/metrics").text)


def test_two_services_in_a_process_count_apart(serve: Serve) -> None:
    first, second = serve(), serve()
    first.get("/v1/model")
    key = ("lungwise_requests_total", frozenset({"method": "GET", "route": "/v1/model", "status": "200"}.items()))
    assert (figures(first)[key], figures(second).get(key)) == (1, None)
