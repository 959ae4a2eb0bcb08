"""What every request passes first: it gets an id, and no more requests come in than can be served."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lungwise.service.problems import Problem

if TYPE_CHECKING:
    from lungwise.service.core import Service

ALWAYS = ("/v2/health/live", "/v2/health/ready", "/ping")
"""Answered even when the service is full or being stopped: an orchestrator must not take busy for dead."""


class Gate:
    """ASGI middleware.

    Args:
        app: what is behind it.
        service: the service.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service, self._inside = app, service, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it with 503."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = str(uuid.uuid4())
        scope.setdefault("state", {})["request_id"] = name

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("X-Request-ID", name)
            await send(message)

        problem = None if scope["path"] in ALWAYS else self._problem()
        if problem:
            await problem.response(Request(scope))(scope, receive, marked)
            return
        self._inside += 1
        try:
            await self._app(scope, receive, marked)
        finally:
            self._inside -= 1

    def _problem(self) -> Problem | None:
        if self._service.health.stopping:
            return Problem("stopping", "The service is being stopped; send the request to another one.", retry_after=5)
        if self._inside >= self._service.settings.connections:
            return Problem("busy", f"{self._inside} requests are being served; send yours again soon.", retry_after=2)
        return None
