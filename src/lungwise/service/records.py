"""What is written down of each request: measured outside of everything else, so that refusals and faults are among it."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextvars import ContextVar

from fastapi import APIRouter
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lungwise.service.audit_log import AuditLog, Entry
from lungwise.service.monitor import Monitor
from lungwise.service.security import route_path

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_tally: ContextVar[Counter[str]] = ContextVar("lungwise_tally")


def count_outcome(status: str) -> None:
    """Count an image's answer for the request that asks; outside of requests nothing is counted."""
    tally = _tally.get(None)
    if tally is not None:
        tally[status] += 1


class Templates:
    """Finds the template of a route, also for a request that is refused before routing.

    Args:
        routers: where the routes are, besides those of the page.
    """

    def __init__(self, routers: Iterable[APIRouter]) -> None:
        paths = {route.path for router in routers for route in router.routes if isinstance(route, Route)}
        paths |= {"/", "/openapi.json", "/page/settings", "/static/{name:path}"}
        # Those without a variable first: "/a/b" is not "/a/{name}".
        self._known = [(_pattern(one), one) for one in sorted(paths, key=lambda one: ("{" in one, one))]

    def find(self, scope: Scope) -> str:
        """The template; "(none)" where there is no such route. Never the path itself."""
        path = route_path(scope)
        return next((template for pattern, template in self._known if pattern.fullmatch(path)), "(none)")


class Records:
    """ASGI middleware that writes the audit log and counts for the metrics.

    Args:
        app: what is behind it.
        templates: of the routes.
        audit: the log.
        monitor: the figures.
        clock: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        app: ASGIApp,
        templates: Templates,
        audit: AuditLog,
        monitor: Monitor,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app, self._templates, self._audit, self._monitor, self._clock = app, templates, audit, monitor, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and write down how."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        began, seen, tally = self._clock(), {"bytes": 0, "status": 0}, Counter[str]()
        token = _tally.set(tally)

        async def counted() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                seen["bytes"] += len(message.get("body", b""))
            return message

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
            await send(message)

        try:
            await self._app(scope, counted, noted)
        finally:
            _tally.reset(token)
            self._write(scope, seen["status"], tally, seen["bytes"], self._clock() - began)

    def _write(self, scope: Scope, status: int, tally: Counter[str], received: int, seconds: float) -> None:
        state = scope["state"]
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        route, code = self._templates.find(scope), state.get("problem_code")
        entry = Entry(state.get("identity"), state.get("request_id"), method, route, status, code, tally, received, seconds)
        self._audit.write(entry)
        self._monitor.request(method, route, status, code, tally, received, seconds)


def _pattern(template: str) -> re.Pattern[str]:
    parts: Iterable[str] = re.split(r"(\{[^}]*\})", template)
    found = ((".*" if part.endswith(":path}") else "[^/]+") if part.startswith("{") else re.escape(part) for part in parts)
    return re.compile("".join(found), re.DOTALL)
