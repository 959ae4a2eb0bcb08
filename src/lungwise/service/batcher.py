"""Images of different requests are answered together: a batch takes what is there and waits only for what is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import TypeVar

from lungwise.errors import BundleError, ImageError
from lungwise.inference.inputs import Item
from lungwise.inference.many import BATCH
from lungwise.inference.predictor import Predictor, Ready
from lungwise.inference.result import Result
from lungwise.service.problems import Problem

Out = TypeVar("Out")
MOST = 2 * BATCH
"""Images of a batch; the predictor divides them further as it is fastest."""


@dataclass(frozen=True, eq=False)
class _Question:
    item: Item
    ready: Ready
    answer: asyncio.Future[Result]


class Batcher:
    """The queue before the network. All its methods are called from one event loop; the network runs in a thread.

    Args:
        predictor: what answers.
        length: images that may wait or be at work at one time.
        wait: seconds that a batch waits for images that are on their way.
        coming: how many images are being read, and so are on their way.
    """

    def __init__(self, predictor: Predictor, length: int, wait: float, coming: Callable[[], int] = lambda: 0) -> None:
        self._predictor, self._length, self._wait, self._coming = predictor, length, wait, coming
        self._queue: asyncio.Queue[_Question] = asyncio.Queue()
        self._engine = ThreadPoolExecutor(1, thread_name_prefix="lungwise-network")
        self._asked: list[_Question] = []
        self._admitted = 0
        self._rate = 0.0
        self._loop: asyncio.Task[None] | None = None
        self.on_batch: Callable[[int, float], None] = lambda size, seconds: None
        self.on_answer: Callable[[str], None] = lambda status: None

    @property
    def depth(self) -> int:
        """Images that wait or are at work."""
        return self._admitted

    def start(self) -> None:
        """Begin to answer."""
        self._loop = asyncio.create_task(self._answer(), name="lungwise-batcher")

    async def stop(self) -> None:
        """Answer no more; who still waits is told so."""
        if self._loop:
            self._loop.cancel()
            await asyncio.wait([self._loop])
        left = [*self._asked, *(self._queue.get_nowait() for _ in range(self._queue.qsize()))]
        for question in left:
            if not question.answer.done():
                question.answer.set_exception(Problem("stopping", "The service was stopped before the answer was ready."))
        self._engine.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def admitted(self, number: int) -> Iterator[None]:
        """Room in the queue for all images of a request.

        Raises:
            Problem: "queue-full", with the time after which there should be room.
        """
        if self._admitted + number > self._length:
            seconds = ceil(self._admitted / self._rate) if self._rate else 1
            detail = f"{self._admitted} images wait already and at most {self._length} may; send the request again soon."
            raise Problem("queue-full", detail, retry_after=min(max(seconds, 1), 60))
        self._admitted += number
        try:
            yield
        finally:
            self._admitted -= number

    async def ask(self, image: Ready | ImageError, name: str) -> Result:
        """The answer for one image; cancelling takes the question back.

        Args:
            image: ready for the network, or why it is not; that is an answer too.
            name: how the result calls it.
        """
        if isinstance(image, ImageError):
            self.on_answer("error")
            return self._error(name, image)
        question = _Question(Item(0, name, image.radiograph), image, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(question)
        result = await question.answer
        self.on_answer(result.status)
        return result

    async def run(self, work: Callable[[], Out]) -> Out:
        """Run other work that needs the network in its thread, after the batches that are there."""
        return await asyncio.get_running_loop().run_in_executor(self._engine, work)

    async def _answer(self) -> None:
        while True:
            asked = self._asked = [question for question in await self._gathered() if not question.answer.done()]
            if not asked:
                continue
            loop = asyncio.get_running_loop()
            started = loop.time()
            running = loop.run_in_executor(self._engine, self._results, asked)
            await asyncio.wait([running])
            error = running.exception()
            for place, question in enumerate(asked):
                if question.answer.done():  # its client left meanwhile
                    continue
                if error:
                    question.answer.set_exception(error)
                else:
                    question.answer.set_result(running.result()[place])
            seconds = loop.time() - started
            self._rate = len(asked) / seconds if seconds else self._rate
            self.on_batch(len(asked), seconds)

    async def _gathered(self) -> list[_Question]:
        """The next batch: never empty, never larger than the network's, complete after a bounded wait."""
        batch = [await self._queue.get()]
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._wait
        while len(batch) < MOST:
            if self._queue.empty() and (not self._coming() or loop.time() >= ends):
                break
            try:
                async with asyncio.timeout_at(ends if self._queue.empty() else None):
                    batch.append(await self._queue.get())
            except TimeoutError:
                break
        return batch

    def _results(self, asked: Sequence[_Question]) -> list[Result]:
        """Answers in the same order; where the network fails on a batch, only the image that makes it fail gets an error."""
        try:
            found = self._predictor.answer_batch([(question.item, question.ready) for question in asked], None)
        except BundleError as cause:
            if len(asked) == 1:
                return [self._error(asked[0].item.name, ImageError(str(cause)))]
            return [self._results([question])[0] for question in asked]
        return [result for _, result in found]

    def _error(self, name: str, error: ImageError) -> Result:
        return self._predictor.answer_batch([(Item(0, name, error), error)], None)[0][1]
