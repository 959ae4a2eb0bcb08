"""The process: uvicorn with our log, patience with slow clients, and a stop that is over within half a minute."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import threading
from contextlib import ExitStack
from types import FrameType

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from lungwise.errors import LungwiseError
from lungwise.service.core import Service
from lungwise.service.headers import ALWAYS, UNLESS_SAID
from lungwise.service.problems import MEDIA, Problem
from lungwise.service.settings import Settings

_BACKLOG = 1024
HARD_STOP_SECONDS = 29
"""After a signal the process is gone within this time, whatever a decoder is doing."""


class _Server(uvicorn.Server):
    """A server that tells the service when it is being stopped."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called on SIGTERM and SIGINT."""
        self._service.health.stopping = True
        if not self.should_exit:
            # os._exit: at that time a thread hangs in a library, and an ordinary end would wait for it.
            last = threading.Timer(HARD_STOP_SECONDS, os._exit, [1])
            last.daemon = True
            last.start()
        super().handle_exit(sig, frame)


class _Protocol(H11Protocol):
    """HTTP/1.1 whose clients must send the head of a request, and go on reading the answer, within a bounded time."""

    seconds = 15.0

    def connection_made(self, transport: object) -> None:
        """A client has come."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._waiting = self.loop.call_later(self.seconds, self._hang_up)

    def data_received(self, data: bytes) -> None:
        """A piece of a request has come."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._waiting.cancel()
        elif self._waiting.cancelled():
            self._waiting = self.loop.call_later(self.seconds, self._hang_up)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP at all is refused as everything else is, though no application sees it."""
        said = {**ALWAYS, **UNLESS_SAID, "Content-Type": MEDIA, "Connection": "close"}
        headers = [(name.encode(), value.encode()) for name, value in said.items()]
        document = Problem("bad-request", "This is no HTTP request; correct it.").document("")
        events = h11.Response(status_code=400, headers=headers, reason=b"Bad Request"), h11.Data(json.dumps(document).encode())
        for event in (*events, h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def on_response_complete(self) -> None:
        """All of an answer has been handed to the system, or waits for that."""
        super().on_response_complete()
        self._watch(-1)

    def _watch(self, before: int) -> None:
        """Hang up on a client that reads nothing of what waits for it."""
        waiting = self.transport.get_write_buffer_size()
        if waiting and waiting == before:
            self.transport.abort()
        elif waiting:
            self.loop.call_later(self.seconds, self._watch, waiting)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._waiting.cancel()
        super().connection_lost(exc)

    def _hang_up(self) -> None:
        self.transport.close()


def patient(seconds: float) -> type[asyncio.Protocol]:
    """HTTP/1.1 for clients that are never idle for longer than this within a request or an answer."""
    return type("Protocol", (_Protocol,), {"seconds": seconds})


def listen(settings: Settings) -> socket.socket:
    """A socket that listens on the address of the settings.

    Raises:
        LungwiseError: it cannot be had.
    """
    where = f"{settings.host}:{settings.port}"
    try:
        family, *_, place = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        with ExitStack() as unless_bound:
            # asyncio sends small answers at once only where a socket says that it is one of TCP.
            made = unless_bound.enter_context(socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP))
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(place)
            made.listen(_BACKLOG)  # so that who reads the address can connect to it
            unless_bound.pop_all()
    except OSError as cause:
        raise LungwiseError(
            f"{where} must be free to listen on, but: {cause.strerror or cause}; choose another --port."
        ) from cause
    return made


def address(listening: socket.socket) -> str:
    """The address under which a socket is reached."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: FastAPI, settings: Settings, listening: socket.socket) -> None:
    """Serve until a signal comes; then running requests are finished, for at most ``stop_seconds``."""
    logging.basicConfig(stream=sys.stderr, level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    config = uvicorn.Config(
        app,
        http=patient(settings.idle_seconds),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        log_level=settings.log_level,
        access_log=False,  # it would hold addresses; the audit log says what may be said
        server_header=False,
        timeout_keep_alive=5,
        limit_concurrency=4 * settings.connections,  # of connections; the gate refuses with a problem document before
        timeout_graceful_shutdown=int(settings.stop_seconds),
        h11_max_incomplete_event_size=65_536,
    )
    # uvicorn raises the signal that stopped it once more; a stop that was asked for is no failure.
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        _Server(config, app.state.service).run(sockets=[listening])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
