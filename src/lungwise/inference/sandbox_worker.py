"""One worker of the sandbox: a process of its own that decodes what it is sent, and may die of it.

Started by :mod:`lungwise.inference.sandbox` as ``python -c ... SECONDS MEGABYTES MODULE:FUNCTION``. An exception that is not
a refusal ends it: nobody knows in what state a decoder is by then.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lungwise.imaging.radiograph import Radiograph

Decode = Callable[[bytes, str, int], "Radiograph"]
_FILES = 32
"""Files that may be open at one time."""


def main() -> None:
    """Serve until the pipe closes."""
    seconds, megabytes, function = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    source = socket.socket(fileno=0)
    # Decoders print at times; their words must not come between the answers.
    out = os.dup(1)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)
    decode = _loaded(function)
    confine(megabytes)
    from lungwise.inference.sandbox_wire import READY

    _write(out, READY)
    while _answer(source, out, decode, seconds):
        pass


def confine(megabytes: int) -> None:
    """Put the limits in force: memory beyond what is taken already, no file written, no dump of memory, few open files.

    Args:
        megabytes: memory for decoding.
    """
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
    if sys.platform == "linux":  # elsewhere the limit is not kept, or cannot be set
        taken = int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
        most = taken + megabytes * 10**6
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        # Counted over all processes of the user, so that a program taken over can start none; the administrator is exempt.
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def _loaded(function: str) -> Decode:
    """Import the decoder and all that it may need, which must not count against the memory for a file."""
    module, name = function.split(":")
    found: Decode = getattr(importlib.import_module(module), name)
    if module == "lungwise.imaging.read":
        import cv2
        from PIL import Image
        from pydicom.pixels.decoders.base import get_decoder

        from lungwise.imaging.dicom_syntax import DECODERS

        cv2.setNumThreads(1)  # each worker is one of as many as there are cores
        Image.init()
        importlib.import_module("lungwise.imaging.dicom")
        for syntax in DECODERS:
            get_decoder(syntax)
    return found


def _answer(source: socket.socket, out: int, decode: Decode, seconds: float) -> bool:
    """Decode one file; false when there is no further one."""
    from lungwise.errors import ImageError
    from lungwise.inference.sandbox_wire import MEMORY, REFUSED, REQUEST_BYTES, failure, parse_request, reply

    head, files, _, _ = socket.recv_fds(source, REQUEST_BYTES, 1)
    if not files:
        return False
    # Should the sandbox be killed meanwhile, nobody is left to watch the time.
    signal.setitimer(signal.ITIMER_REAL, 2 * seconds + 1)
    shortest, name_length, length = parse_request(_filled(source, head, REQUEST_BYTES))
    name = _filled(source, b"", name_length).decode("utf-8", "replace")
    with os.fdopen(files[0], "rb") as file:
        data = file.read(length)
    try:
        pieces = reply(decode(data, name, shortest))
    except ImageError as error:
        pieces = failure(MEMORY if isinstance(error.__cause__, MemoryError) else REFUSED, str(error))
    except MemoryError:
        pieces = failure(MEMORY, "")
    for piece in pieces:
        _write(out, piece)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return True


def _filled(source: socket.socket, data: bytes, number: int) -> bytes:
    """What came of a message and the rest of it, ``number`` bytes together."""
    while len(data) < number:
        piece = source.recv(number - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _write(out: int, data: bytes | memoryview) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(out, left) :]
