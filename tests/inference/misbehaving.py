"""A decoder that does what the bytes tell it, for the sandbox: refuse, crash, hang, lie."""

from __future__ import annotations

import ctypes
import os
import pickle
import resource
import signal
import socket
import sys
import tempfile
from pathlib import Path

import numpy as np

from lungwise.errors import ImageError
from lungwise.imaging.radiograph import Radiograph
from lungwise.inference import sandbox_wire as wire


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


def decode(data: bytes, name: str, shortest: int) -> Radiograph:
    """``data`` is a word and an argument."""
    word, _, argument = data.decode().partition(" ")
    return {
        "grey": grey,
        "refuse": refuse,
        "tell": tell,
        "hang": lambda argument: signal.pause(),
        "spin": spin,
        "segfault": lambda argument: ctypes.string_at(0),
        "abort": lambda argument: os.abort(),
        "exit": lambda argument: os._exit(int(argument)),
        "kill": lambda argument: os.kill(os.getpid(), signal.SIGKILL),
        "raise": lambda argument: 1 // 0,
        "allocate": lambda argument: bytearray(int(argument)),
        "map": lambda argument: np.zeros(int(argument), np.uint8),
        "recurse": recurse,
        "print": chatter,
        "write": write,
        "open": lambda argument: [os.open(os.devnull, os.O_RDONLY) for _ in range(int(argument))],
        "fork": fork,
        "say": say,
        "twice": twice,
    }[word](argument)  # type: ignore[return-value]


def grey(argument: str) -> Radiograph:
    return Radiograph(np.full((40, 50), int(argument), np.uint8), ("a warning",), "PA", (80, 100))


def refuse(argument: str) -> Radiograph:
    raise ImageError(argument)


def tell(argument: str) -> Radiograph:
    """Facts of the worker, as an error."""
    facts = {
        "core": lambda: resource.getrlimit(resource.RLIMIT_CORE),
        "pid": os.getpid,
        "environment": lambda: sorted(os.environ),
        "session": lambda: os.getsid(0) == os.getpid(),
        "socket": lambda: socket.socket().fileno() > 0,
    }
    raise ImageError(f"{facts[argument]()}")


def write(argument: str) -> Radiograph:
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * int(argument))
    raise ImageError("it was written")


def spin(argument: str) -> Radiograph:
    while True:
        pass


def recurse(argument: str) -> Radiograph:
    return recurse(argument)


def chatter(argument: str) -> Radiograph:
    os.write(1, b"written by a codec\n")
    os.write(2, b"complained by a codec\n")
    sys.stdout.write("printed\n")
    sys.stdout.flush()
    return grey(argument)


def fork(argument: str) -> Radiograph:
    """A child that keeps the pipe open when its parent has gone."""
    if os.fork() == 0:
        signal.pause()
    os._exit(4)


def pipe() -> int:
    """The descriptor of the pipe to the sandbox: the one that is a pipe and not the standard input."""
    return next(fd for fd in range(3, 32) if Path(f"/proc/self/fd/{fd}").is_fifo())


def say(argument: str) -> Radiograph:
    """Answer in another form than agreed, and live on."""
    head = {
        "garbage": b"\0" * wire.REPLY_BYTES,
        "pickle": pickle.dumps(Payload("touch " + argument.partition(" ")[2])) + b"\0" * 100,
        "huge": wire._REPLY.pack(b"LWr1", wire.OK, 0, 0, 2**31, 2**31, 0, 0, 0),
        "cap": wire._REPLY.pack(b"LWr1", wire.OK, 0, 0, 7072, 7072, 0, 0, 0),
        "text": wire._REPLY.pack(b"LWr1", wire.REFUSED, 0, 0, 0, 0, 0, 0, 2**31),
        "view": wire._REPLY.pack(b"LWr1", wire.OK, 9, 0, 40, 40, 0, 0, 0),
        "status": wire._REPLY.pack(b"LWr1", 7, 0, 0, 0, 0, 0, 0, 0),
        "empty": wire._REPLY.pack(b"LWr1", wire.OK, 0, 0, 0, 0, 0, 0, 0),
        "both": wire._REPLY.pack(b"LWr1", wire.REFUSED, 0, 0, 40, 40, 0, 0, 0),
        "original": wire._REPLY.pack(b"LWr1", wire.OK, 0, 0, 40, 40, 2**31, 2**31, 0),
    }[argument.partition(" ")[0]]
    os.write(pipe(), head)
    signal.pause()
    return grey("0")


def twice(argument: str) -> Radiograph:
    """An answer, and at once one to the next question: in one piece, so that nobody sees the one without the other."""
    said = b"".join(bytes(piece) for piece in wire.reply(grey("66")))
    os.write(pipe(), said + said)
    return grey(argument)
