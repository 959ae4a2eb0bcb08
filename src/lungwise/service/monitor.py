"""``/metrics`` for Prometheus: every label is one of a fixed few words, none comes from a client."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from lungwise.service.openapi import problems
from lungwise.service.problems import CODES

router = APIRouter(tags=["operation"], default_response_class=Response, responses=problems())
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64)
STATUSES = ("ok", "cannot assess", "error")
"""What a result may be; see :class:`lungwise.inference.result.Result`."""


class Monitor:
    """The figures of one service, in a registry of its own.

    Args:
        model: SHA-256 of the bundle that answers.
    """

    def __init__(self, model: str) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # memory, processor time and open files of the process
        self._requests = Counter(
            "lungwise_requests", "Requests that were answered.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "lungwise_request_seconds", "Time until the end of the answer.", ("route",), buckets=_SECONDS, registry=registry
        )
        self._images = Counter("lungwise_images", "Images that were answered.", ("status",), registry=registry)
        self._refused = Counter("lungwise_refused", "Requests that were refused.", ("reason",), registry=registry)
        self._bytes = Counter("lungwise_received_bytes", "Bytes of bodies that were read.", registry=registry)
        self._batch = Histogram("lungwise_batch_images", "Images of a batch.", buckets=_SIZES, registry=registry)
        self._batch_seconds = Histogram(
            "lungwise_batch_seconds", "Time of the network for a batch.", buckets=_SECONDS, registry=registry
        )
        Gauge("lungwise_model", "The bundle that answers.", ("sha256",), registry=registry).labels(model).set(1)
        for status in STATUSES:
            self._images.labels(status)

    def gauge(self, name: str, what: str, value: Callable[[], float]) -> None:
        """A figure that is looked up when it is asked for."""
        Gauge(f"lungwise_{name}", what, registry=self.registry).set_function(value)

    def batch(self, size: int, seconds: float) -> None:
        """A batch went through the network."""
        self._batch.observe(size)
        self._batch_seconds.observe(seconds)

    def request(
        self, method: str, route: str, status: int, code: str | None, outcomes: Mapping[str, int], received: int, seconds: float
    ) -> None:
        """A request was answered; see :class:`lungwise.service.audit_log.Entry`."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        self._bytes.inc(received)
        if code in CODES:
            self._refused.labels(code).inc()
        for outcome, number in outcomes.items():
            self._images.labels(outcome).inc(number)

    def text(self) -> bytes:
        """All figures, as Prometheus reads them."""
        return generate_latest(self.registry)


@router.get("/metrics", responses={200: {"description": "The figures.", "content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Figures of the service for Prometheus; without a token only where the service asks for none, or the settings say so."""
    monitor: Monitor = request.app.state.monitor
    return Response(monitor.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
