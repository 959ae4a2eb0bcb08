"""A service around the tiny bundle, without TensorFlow and without a network."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from lungwise.inference.inputs import Item
from lungwise.inference.predictor import Predictor
from lungwise.inference.result import Result
from lungwise.service.app import create_app
from lungwise.service.settings import Settings
from tests.bundle_factory import make_bundle, make_head, make_predictor
from tests.conftest import Encode

Serve = Callable[..., TestClient]
Grey = NDArray[np.uint8]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle on disk; do not write into it."""
    return make_bundle(tmp_path_factory.mktemp("bundle") / "model")


@pytest.fixture(scope="session")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return make_predictor(tmp_path_factory.mktemp("predictor") / "model", make_head(seed=4))  # its heat maps are not empty


@pytest.fixture
def serve(predictor: Predictor) -> Iterator[Serve]:
    """``serve(max_files=3)``: a client of a running service with these settings."""
    with ExitStack() as running:

        def start(asked: Predictor | None = None, **settings: Any) -> TestClient:
            settings.setdefault("sandbox", False)
            return running.enter_context(TestClient(create_app(Settings(**settings), asked or predictor), "http://localhost"))

        yield start


@pytest.fixture
def client(serve: Serve) -> TestClient:
    return serve()


@pytest.fixture(scope="session")
def grey() -> Grey:
    """uint8 [90, 120], no symmetry in it."""
    y, x = np.mgrid[0:90, 0:120]
    noise = np.random.default_rng(3).integers(0, 8, (90, 120))
    return np.asarray(50 + 50 * np.sin(x / 17) * np.cos(y / 23) + noise, np.uint8)


@pytest.fixture(scope="session")
def png(grey: Grey, encode: Encode) -> bytes:
    return encode(grey)


class Held(Predictor):
    """A predictor that answers only once it is let go, and counts the images of each batch."""

    def __init__(self, plain: Predictor) -> None:
        super().__init__(plain.bundle, threads=1)
        self.go, self.busy = threading.Event(), threading.Event()
        self.batches: list[int] = []

    def answer_batch(self, batch: Any, heatmaps: Path | None) -> list[tuple[Item, Result]]:
        if batch[0][0].name != "warm-up":
            self.busy.set()
            self.go.wait(20)
            self.batches.append(len(batch))
        return super().answer_batch(batch, heatmaps)


@pytest.fixture
def held(predictor: Predictor) -> Iterator[Held]:
    made = Held(predictor)
    yield made
    made.go.set()


@asynccontextmanager
async def running(settings: Settings, predictor: Predictor) -> AsyncIterator[httpx.AsyncClient]:
    """A client for requests that overlap."""
    app = create_app(settings, predictor)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=30) as made,
    ):
        made.app = app  # type: ignore[attr-defined]
        yield made


async def until(true: Callable[[], bool]) -> None:
    """Let other tasks run until something is so."""
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0)


def play(scene: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine of a test."""
    asyncio.run(scene)
