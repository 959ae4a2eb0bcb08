"""One worker of the sandbox as seen from outside: a process, what goes to and comes from it, its time and its end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lungwise.errors import ImageError, LungwiseError
from lungwise.imaging.radiograph import Radiograph
from lungwise.imaging.read import MAX_PIXELS
from lungwise.inference import sandbox_wire as wire

NO_WORKER = "A worker of the sandbox could not be started ({}); check memory and the limit of processes."
_START = "from lungwise.inference.sandbox_worker import main; main()"
_STARTING = 120.0
"""Seconds that a worker may take to import what it needs."""
_PIPE = 2**20
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "TZ")
"""Variables of the environment that a worker sees; passwords and keys of the service are not among them."""


class _OutOfTimeError(Exception):
    """The worker has not answered within its time."""


class Worker:
    """One process and the pipes to it; one thread at a time may use it."""

    def __init__(self, seconds: float, megabytes: int, decode: str) -> None:
        self._limits, self._name = (seconds, megabytes), ""
        self._lock, self._gone = threading.Lock(), False
        command = [sys.executable, "-P", "-c", _START, str(seconds), str(megabytes), decode]
        # Files go through a socket as open descriptors, so that their bytes need not be copied; pixels come through a pipe.
        self._socket, theirs = socket.socketpair()
        answers, told = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - nothing in it comes from a file
                command,
                stdin=theirs.fileno(),
                stdout=told,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the sandbox, which ends its workers
            )
        except OSError:
            self._socket.close()
            os.close(answers)
            raise
        finally:
            theirs.close()
            os.close(told)
        self._socket.setblocking(False)
        self._out = answers
        os.set_blocking(answers, False)
        with contextlib.suppress(AttributeError, OSError):  # only Linux has it, and not without end
            import fcntl

            fcntl.fcntl(answers, fcntl.F_SETPIPE_SZ, _PIPE)
        self._ready = self._working = False

    def idle(self) -> bool:
        """Whether it waits for a file: nothing is unfinished, and it has neither ended nor said anything unasked."""
        return not self._working and (not self._ready or not _waits(self._out, select.POLLIN, 0))

    def decode(self, file: BinaryIO, name: str, shortest: int) -> Radiograph:
        """Decode one file; after any error that leaves it not :meth:`idle` the worker must be stopped."""
        seconds, megabytes = self._limits
        self._working = True
        if not self._ready:
            self._await_start()
        try:
            found = self._exchange(file, name, shortest, time.monotonic() + seconds)
        except _OutOfTimeError as cause:
            raise ImageError(
                f"{name} could not be decoded within {seconds:g} s; it is damaged or made to do harm, check where it is from."
            ) from cause
        except (EOFError, ConnectionError, wire.ProtocolError) as cause:
            raise ImageError(
                f"{name} made its decoder fail ({self.stop()}); it is damaged or made to do harm, check where it is from."
            ) from cause
        if isinstance(found, Radiograph):
            return found
        raise ImageError(found or f"{name} could not be decoded within {megabytes} MB of memory; shrink it first.")

    def kill(self) -> None:
        """End the process and what it may have started, at once."""
        with self._lock, contextlib.suppress(ProcessLookupError, PermissionError):
            if not self._gone:
                os.killpg(self._process.pid, signal.SIGKILL)

    def stop(self) -> str:
        """End the process and give back what it used; returns how it ended when it ended by itself."""
        self.kill()  # which changes nothing of how a process ended that is ending already
        with self._lock:
            code = self._process.wait()
            if not self._gone:
                self._gone = True
                self._socket.close()
                os.close(self._out)
        return _ending(code)

    def _await_start(self) -> None:
        try:
            hello = self._receive(len(wire.READY), time.monotonic() + _STARTING)
        except (_OutOfTimeError, EOFError) as cause:
            raise LungwiseError(NO_WORKER.format(self.stop())) from cause
        if bytes(hello) != wire.READY:
            raise LungwiseError("A worker of the sandbox said something else than agreed; install lungwise again.")
        self._ready = True

    def _exchange(self, file: BinaryIO, name: str, shortest: int, deadline: float) -> Radiograph | str:
        """Send a file and receive its radiograph, or the sentence of its error, empty for lack of memory."""
        request = wire.request(name, shortest, os.fstat(file.fileno()).st_size)
        # So short a message is taken whole or not at all: what came before was read by a worker that is idle again.
        socket.send_fds(self._socket, [request], [file.fileno()])
        head = wire.parse_reply(bytes(self._receive(wire.REPLY_BYTES, deadline)))
        text = wire.parse_text(bytes(self._receive(head.text, deadline)))
        pixels = np.empty(head.height * head.width, np.uint8)
        self._fill(pixels.data, deadline)
        self._working = False
        if head.status == wire.OK:
            return wire.radiograph_of(head, text, pixels.reshape(head.height, head.width))
        return text if head.status == wire.REFUSED else ""

    def _receive(self, number: int, deadline: float) -> bytearray:
        found = bytearray(number)
        self._fill(memoryview(found), deadline)
        return found

    def _fill(self, left: memoryview, deadline: float) -> None:
        while left:
            _await(self._out, select.POLLIN, deadline)
            number = os.readv(self._out, [left])
            if not number:
                raise EOFError
            left = left[number:]


def _environment() -> dict[str, str]:
    """Variables of a worker; OpenCV's own cap on pixels does not rely on what another reader saw in the header."""
    path = os.pathsep.join(str(Path(place).resolve()) for place in sys.path if place)
    kept = {key: os.environ[key] for key in _KEPT if key in os.environ}
    caps = {"OPENCV_IO_MAX_IMAGE_PIXELS": str(MAX_PIXELS)}
    return kept | caps | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _waits(pipe: int, event: int, seconds: float) -> bool:
    """Whether something happens at a pipe within that time: it can be read or written, or its other end is closed."""
    poll = select.poll()
    poll.register(pipe, event)
    return bool(poll.poll(max(0.0, 1000 * seconds)))


def _await(pipe: int, event: int, deadline: float) -> None:
    if not _waits(pipe, event, deadline - time.monotonic()):
        raise _OutOfTimeError


def _ending(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"exit code {code}"
    names: Sequence[str] = [one.name for one in signal.Signals if one == -code]
    return names[0] if names else f"signal {-code}"
