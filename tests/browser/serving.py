"""The service in a thread, with answers that a test chooses."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from lungwise.inference.inputs import Item
from lungwise.inference.predictor import Predictor
from lungwise.inference.result import Result
from lungwise.service.app import create_app
from lungwise.service.core import Service
from lungwise.service.run import address, listen
from lungwise.service.settings import Settings

Script = Mapping[str, Mapping[str, Any]]


class Scripted(Predictor):
    """A predictor whose answers for some file names are written down: fields of the result that differ."""

    def __init__(self, plain: Predictor, script: Script) -> None:
        super().__init__(plain.bundle, threads=1)
        self._script = script

    def answer_batch(self, batch: Any, heatmaps: Path | None) -> list[tuple[Item, Result]]:
        found = super().answer_batch(batch, heatmaps)
        return [(item, replace(result, **self._script.get(item.name, {}))) for item, result in found]


@dataclass(frozen=True, eq=False)
class Served:
    """A running service."""

    address: str
    app: FastAPI

    @property
    def service(self) -> Service:
        found: Service = self.app.state.service
        return found


@contextmanager
def served(predictor: Predictor, **settings: Any) -> Iterator[Served]:
    """The service on a free port while the block is entered."""
    settings.setdefault("sandbox", False)
    said = Settings(port=0, **settings)
    app = create_app(said, predictor)
    listening = listen(said)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield Served(address(listening), app)
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
