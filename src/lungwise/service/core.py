"""The parts of a running service that its routes share."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import Depends
from numpy.typing import NDArray
from starlette.requests import Request

from lungwise.imaging.preprocess import enough
from lungwise.imaging.radiograph import Radiograph
from lungwise.inference.inputs import Reader
from lungwise.inference.overlay import Fit
from lungwise.inference.predictor import Predictor, Ready
from lungwise.inference.result import Result
from lungwise.service.batcher import Batcher
from lungwise.service.health import Health
from lungwise.service.patience import awaited
from lungwise.service.problems import Problem
from lungwise.service.reading import Readers, Source
from lungwise.service.settings import MB, Settings
from lungwise.service.store import Workspaces
from lungwise.service.uploads import Budget, Receiver, Upload

Out = TypeVar("Out")


@dataclass(frozen=True, eq=False)
class Answered:
    """One image with its answer.

    Args:
        result: the answer.
        ready: as the network got it; None where it could not be read.
    """

    result: Result
    ready: Ready | None


class Service:
    """Everything that routes need; one for each application.

    Args:
        settings: see :class:`Settings`.
        predictor: the loaded bundle.
        reader: decodes the bytes of uploads.
    """

    def __init__(self, settings: Settings, predictor: Predictor, reader: Reader) -> None:
        self.settings, self.predictor = settings, predictor
        self.readers = Readers(settings, predictor, reader)
        wait = settings.batch_wait_ms / 1000
        self.batcher = Batcher(predictor, settings.queue_length, wait, lambda: self.readers.coming)
        self.budget = Budget(settings.inflight_mb * MB)
        self.workspaces = Workspaces(settings)
        self.health = Health(settings, predictor)
        self._artists = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="lungwise-draw")

    @property
    def fit(self) -> Fit:
        """How images become the network's square."""
        return self.predictor.spec.preprocess.fit

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer questions while the block is entered."""
        self.batcher.start()
        sweeper = asyncio.create_task(self.workspaces.sweep(), name="lungwise-sweeper")
        try:
            await self.warm_up()
            yield
        finally:
            self.health.stopping = True
            sweeper.cancel()
            await asyncio.wait([sweeper])
            await self.batcher.stop()
            self.readers.close()
            self._artists.shutdown(wait=False, cancel_futures=True)
            self.workspaces.clear()

    async def warm_up(self) -> None:
        """One made-up image through the network, so that the first client does not wait for what is set up once."""
        side = self.predictor.spec.preprocess.stored
        async with self.readers.read(Radiograph(np.full((side, side), 128, np.uint8)), 0) as image:
            self.health.warm = (await self.batcher.ask(image, "warm-up")).status != "error"

    def receiver(self, max_mb: float | None = None) -> Receiver:
        """What takes the files of one request."""
        return Receiver(self.settings, self.budget, max_mb and max_mb * MB)

    @asynccontextmanager
    async def answered(self, upload: Source) -> AsyncIterator[Answered]:
        """One upload, read and answered; its pixels count as waiting until the block is left."""
        async with self.readers.read(upload, enough(self.predictor.spec.preprocess)) as image:
            result = await self.batcher.ask(image, upload.name if isinstance(upload, Upload) else "image")
            yield Answered(result, image if isinstance(image, Ready) else None)

    async def results(self, request: Request, uploads: Sequence[Source]) -> list[Result]:
        """The answers for all uploads of a request, in their order.

        Raises:
            Problem: the queue is full, the client left, or it took too long.
        """

        async def one(upload: Source) -> Result:
            async with self.answered(upload) as answered:
                return answered.result

        async def every() -> list[Result]:
            return await asyncio.gather(*map(one, uploads))

        with self.batcher.admitted(len(uploads)):
            return await awaited(request, every(), self.settings.request_seconds)

    async def heat(self, square: NDArray[np.uint8], label: str) -> NDArray[np.float32]:
        """The heat map of one class for a stored square, uint8 [stored, stored]: float32 [rows, columns]."""
        column = self.column(label)
        return await self.batcher.run(lambda: self.predictor.heat_maps(square[None], [column])[0])

    async def draw(self, work: Callable[[], Out]) -> Out:
        """Make a picture in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._artists, work)

    def column(self, label: str) -> int:
        """The column of a class.

        Raises:
            Problem: "invalid", there is no such class.
        """
        labels = self.predictor.labels
        if label not in labels:
            raise Problem("invalid", f"label must be one of {', '.join(labels)}, got '{label[:80]}'; correct it.")
        return labels.index(label)

    def about_model(self) -> dict[str, Any]:
        """Which model answers, as it stands in every answer."""
        spec = self.predictor.spec
        return {
            "name": spec.name,
            "bundle_sha256": self.predictor.bundle.sha256,
            "labels": list(spec.labels),
            "intended_use": spec.intended_use,
        }


def shown_class(service: Service, result: Result, label: str | None) -> str:
    """The class whose heat map is shown: the wanted one, else the one decided for, else the most probable.

    Raises:
        Problem: there is no such class, or the image could not be read.
    """
    if not result.probabilities:
        raise Problem("unreadable-image", "; ".join(result.reasons) or "The image cannot be read; send another.")
    chosen = label or result.decision or max(result.probabilities, key=result.probabilities.__getitem__)
    service.column(chosen)
    return chosen


def service_of(request: Request) -> Service:
    """The service that a request is for."""
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(service_of)]
