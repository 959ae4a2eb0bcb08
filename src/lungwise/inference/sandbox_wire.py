"""What goes through the pipes between the sandbox and its workers: fixed headers and raw bytes, never a pickled object.

A worker decodes files that may be made to take it over. So nothing that it sends is executed or unpacked into objects here:
a header of known length, text and pixels, each checked before it is used.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import printable
from lungwise.imaging.radiograph import Radiograph
from lungwise.imaging.read import MAX_BYTES, MAX_PIXELS

READY = b"LWready1"
"""The first bytes of a worker, once it has imported all it needs and its limits are in force."""
OK, REFUSED, MEMORY = 0, 1, 2
"""What became of a file: pixels, an error whose sentence follows, or too little memory."""
VIEWS = ("", "PA", "AP", "LL", "RL")
MAX_TEXT = 65_536
"""Most bytes of an error or of all warnings."""
MAX_NAME = 1024
_REQUEST = struct.Struct("<4sIIQ")
_REPLY = struct.Struct("<4sBBHIIIII")
_ASK, _TELL = b"LWq1", b"LWr1"
REQUEST_BYTES, REPLY_BYTES = _REQUEST.size, _REPLY.size


class ProtocolError(Exception):
    """What came through a pipe is not in the agreed form."""


class Reply(NamedTuple):
    """The head of a worker's answer; text and pixels follow.

    Args:
        status: ``OK``, ``REFUSED`` or ``MEMORY``.
        view: index in ``VIEWS``.
        height: rows of the pixels, 0 without any.
        width: columns of the pixels.
        original: (height, width) of the file's picture, or None.
        text: bytes of the error, or of the warnings, one a line.
    """

    status: int
    view: int
    height: int
    width: int
    original: tuple[int, int] | None
    text: int


def request(name: str, shortest: int, length: int) -> bytes:
    """The head and the name of a request for a file of ``length`` bytes, whose descriptor goes with it."""
    said = name.encode("utf-8", "replace")[:MAX_NAME]
    return _REQUEST.pack(_ASK, shortest, len(said), length) + said


def parse_request(head: bytes) -> tuple[int, int, int]:
    """Shortest side, bytes of the name and bytes of the file."""
    magic, shortest, name, length = _REQUEST.unpack(head)
    if magic != _ASK or name > MAX_NAME or length > MAX_BYTES:
        raise ProtocolError
    return shortest, name, length


def reply(radiograph: Radiograph) -> list[bytes | memoryview]:
    """An answer with pixels, in pieces."""
    text = "\n".join(map(printable, radiograph.warnings)).encode("utf-8", "replace")[:MAX_TEXT]
    height, width = radiograph.pixels.shape
    original = radiograph.original or (0, 0)
    head = _REPLY.pack(_TELL, OK, VIEWS.index(radiograph.view), 0, height, width, *original, len(text))
    return [head, text, np.ascontiguousarray(radiograph.pixels).reshape(-1).data]


def failure(status: int, sentence: str) -> list[bytes | memoryview]:
    """An answer without pixels."""
    text = printable(sentence).encode("utf-8", "replace")[:MAX_TEXT]
    return [_REPLY.pack(_TELL, status, 0, 0, 0, 0, 0, 0, len(text)), text]


def parse_reply(head: bytes) -> Reply:
    """Check the head of an answer.

    Raises:
        ProtocolError: a number in it is none that an honest worker sends.
    """
    magic, status, view, zero, height, width, *original, text = _REPLY.unpack(head)
    if magic != _TELL or status > MEMORY or view >= len(VIEWS) or zero or text > MAX_TEXT:
        raise ProtocolError
    pixels = height * width
    if (pixels == 0) != (status != OK) or pixels > MAX_PIXELS or original[0] * original[1] > MAX_PIXELS:
        raise ProtocolError
    return Reply(status, view, height, width, (original[0], original[1]) if all(original) else None, text)


def parse_text(data: bytes) -> str:
    """The error or the warnings, of which only line breaks and what can be shown are left."""
    return "\n".join(printable(line) for line in data.decode("utf-8", "replace").split("\n"))


def radiograph_of(head: Reply, text: str, pixels: NDArray[np.uint8]) -> Radiograph:
    """The radiograph of an answer, uint8 [height, width]."""
    return Radiograph(pixels, tuple(filter(None, text.split("\n"))), VIEWS[head.view], head.original)
