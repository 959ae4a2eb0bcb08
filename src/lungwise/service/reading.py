"""Uploads become images that are ready for the network: a few at a time, with a cap on the pixels that wait."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from lungwise.errors import ImageError
from lungwise.imaging.radiograph import Radiograph
from lungwise.inference.inputs import Item, Reader
from lungwise.inference.predictor import Predictor, Ready
from lungwise.service.settings import MB, Settings
from lungwise.service.uploads import Upload

Source = Upload | Radiograph | ImageError
"""A file, pixels that came as such, or why there are none."""


class Readers:
    """Reads uploads.

    Args:
        settings: how many at one time, and the caps.
        predictor: knows what the network needs.
        reader: decodes the bytes of one file.
    """

    def __init__(self, settings: Settings, predictor: Predictor, reader: Reader) -> None:
        number = settings.decoders or os.cpu_count() or 1
        self._predictor, self._reader, self._max_pixels = predictor, reader, settings.max_pixels
        self._pool = ThreadPoolExecutor(number, thread_name_prefix="lungwise-read")
        self._places = asyncio.Semaphore(number)
        self._limit, self._waiting = settings.decoded_mb * MB, 0
        self._room = asyncio.Event()
        self._room.set()
        self.coming = 0

    @asynccontextmanager
    async def read(self, upload: Source, shortest: int) -> AsyncIterator[Ready | ImageError]:
        """One upload, ready for the network, or why it is not; its pixels count as waiting until the block is left.

        Args:
            upload: the file, or pixels that came as such, or why there are none.
            shortest: pixels of the shorter side that are enough; see :func:`lungwise.imaging.read.read`.
        """
        self.coming += 1
        try:
            async with self._places:
                await self._room.wait()
                loop = asyncio.get_running_loop()
                found = await loop.run_in_executor(self._pool, self._decoded, upload, shortest)
        finally:
            self.coming -= 1
        number = found.radiograph.pixels.nbytes if isinstance(found, Ready) else 0
        self._count(number)
        try:
            yield found
        finally:
            self._count(-number)

    def close(self) -> None:
        """Let the threads end; what has not begun is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _decoded(self, upload: Source, shortest: int) -> Ready | ImageError:
        try:
            image = self._reader(upload.read(), shortest) if isinstance(upload, Upload) else upload
        except ImageError as error:
            return error
        radiograph = self._allowed(image) if isinstance(image, Radiograph) else image
        return self._predictor.make_ready(Item(0, "image", radiograph))

    def _allowed(self, radiograph: Radiograph) -> Radiograph | ImageError:
        if radiograph.width * radiograph.height > self._max_pixels:
            size = f"{radiograph.width} x {radiograph.height}"
            return ImageError(
                f"An image must have at most {self._max_pixels} pixels here, this one has {size}; shrink it first."
            )
        return radiograph

    def _count(self, number: int) -> None:
        self._waiting += number
        if self._waiting < self._limit:
            self._room.set()
        else:
            self._room.clear()
