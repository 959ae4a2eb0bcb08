"""Decode files that nobody vouches for in processes of their own, with limits of time and memory.

Codecs are written in C, and some files are made to crash them, to fill the memory or to take the process over. Here such a
file costs one worker, which is replaced, and one item of a batch. A worker gets an open file and gives pixels; see
``docs/security.md`` for what it is kept from and what it is not.
"""

from __future__ import annotations

import os
import queue
import select
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from lungwise.errors import LungwiseError, printable
from lungwise.imaging.radiograph import Radiograph
from lungwise.imaging.read import opened
from lungwise.inference.cores import hardware_threads
from lungwise.inference.sandbox_process import NO_WORKER, Worker

SECONDS, MEGABYTES = 20.0, 600
"""Limits for one file. The largest grey picture that is accepted, 50 million pixels of 16 bits, takes less than 500 MB."""
DECODE = "lungwise.imaging.read:decode"


class Sandbox:
    """Decodes images as :func:`lungwise.imaging.read.read` does, in other processes; any number of threads may call it.

    Use it in a ``with`` statement, or call :meth:`close`. Workers start when they are first needed.

    Args:
        workers: processes at one time; 0 takes one for each hardware thread.
        seconds: longest time for one file.
        megabytes: most memory for one file, beside what a worker needs anyway; kept on Linux only.
        decode: what decodes, as MODULE:FUNCTION of (bytes, name, shortest).

    Raises:
        LungwiseError: the system has no such processes (Windows).
    """

    def __init__(self, workers: int = 0, *, seconds: float = SECONDS, megabytes: int = MEGABYTES, decode: str = DECODE) -> None:
        if not hasattr(select, "poll"):
            raise LungwiseError("The sandbox needs Linux or macOS; leave it out, or use the container.")
        self._limits = (seconds, megabytes, decode)
        self._seats: queue.LifoQueue[Worker | None] = queue.LifoQueue()
        self._busy: set[Worker] = set()
        self._lock, self._closed = threading.Lock(), False
        for _ in range(workers or hardware_threads()):
            self._seats.put(None)

    def __call__(self, image: Path | bytes, shortest: int = 0) -> Radiograph:
        """Decode one image.

        Args:
            image: a file, or its bytes.
            shortest: pixels of the shorter side that are enough; see :func:`lungwise.imaging.read.read`.

        Raises:
            ImageError: it cannot be read as a radiograph, or not within the limits.
            LungwiseError: the sandbox is closed, or cannot start a worker.
        """
        name = "image" if isinstance(image, bytes) else printable(image.name)
        with _in_memory(image) if isinstance(image, bytes) else opened(image) as file:
            return self._decode(file, name, shortest)

    def _decode(self, file: BinaryIO, name: str, shortest: int) -> Radiograph:
        worker = self._seats.get()
        try:
            if worker is not None and not worker.idle():
                worker.stop()
                worker = None
            if self._closed:
                raise LungwiseError("The sandbox is closed; open another one.")
            worker = worker or self._started()
            self._busy.add(worker)
            return worker.decode(file, name, shortest)
        finally:
            with self._lock:
                self._seats.put(self._released(worker))

    def start(self) -> None:
        """Start all workers now, so that the first image need not wait for one; they import beside each other."""
        for seat in [self._seats.get() for _ in range(self._seats.qsize())]:
            self._seats.put(seat or self._started())

    def close(self) -> None:
        """End all workers, those at work as well; whoever waits for one gets an error."""
        self._closed = True
        for worker in tuple(self._busy):
            worker.kill()
        with self._lock:
            for seat in [self._seats.get() for _ in range(self._seats.qsize())]:
                if seat is not None:
                    seat.stop()
                self._seats.put(None)  # who waits for a place must learn that there is none

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _started(self) -> Worker:
        try:
            return Worker(*self._limits)
        except OSError as cause:
            raise LungwiseError(NO_WORKER.format(cause.strerror)) from cause

    def _released(self, worker: Worker | None) -> Worker | None:
        """The worker for its next file, or None in its place where it is not fit for one."""
        if worker is None:
            return None
        self._busy.discard(worker)
        if worker.idle() and not self._closed:
            return worker
        worker.stop()
        return None


def _in_memory(data: bytes) -> BinaryIO:
    """Bytes as an open file without a name, at its start."""
    if hasattr(os, "memfd_create"):
        file: BinaryIO = os.fdopen(os.memfd_create("image"), "w+b", buffering=0)
    else:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the caller closes it
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
    file.seek(0)
    return file
