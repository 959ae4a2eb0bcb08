"""Joins the service with what guards and observes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from lungwise.service.audit_log import AuditLog
from lungwise.service.core import Service
from lungwise.service.gate import Gate
from lungwise.service.headers import SafeHeaders
from lungwise.service.monitor import Monitor
from lungwise.service.records import Records, Templates, count_outcome
from lungwise.service.security import Access, Guard


class Application(FastAPI):
    """FastAPI whose answers to faults, which come from outside of all middleware, get the headers and are written down too."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, also where a reverse proxy leaves its path before ours."""
        root: str = self.state.service.settings.root_path
        if root:
            scope["root_path"] = root
        await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """The document, with the bearer token that a service may ask for."""
        found = super().openapi()
        found.setdefault("components", {})["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"bearer": []}, {}]  # either: a service on this machine only asks for none
        return found

    def build_middleware_stack(self) -> ASGIApp:
        """What a request passes, from the outermost."""
        inner = super().build_middleware_stack()
        return SafeHeaders(Records(inner, self.state.templates, self.state.audit, self.state.monitor))


def install(app: Application, routers: Sequence[APIRouter], service: Service, access: Access, audit: AuditLog) -> None:
    """Add the routes with headers, records, gate and guard around them; figures for Prometheus."""
    for router in routers:
        app.include_router(router)
    app.state.templates = Templates(routers)
    monitor = Monitor(service.predictor.bundle.sha256)
    batcher, workspaces, budget = service.batcher, service.workspaces, service.budget
    batcher.on_batch, batcher.on_answer = monitor.batch, count_outcome
    monitor.gauge("queue_images", "Images that wait or are at work.", lambda: batcher.depth)
    monitor.gauge("workspaces", "Workspaces that are open.", lambda: len(workspaces))
    monitor.gauge("workspaces_bytes", "Memory of all workspaces.", lambda: workspaces.used)
    monitor.gauge("uploads_bytes", "Uploads that are open.", lambda: budget.used)
    monitor.gauge("audit_failures", "Lines of the audit log that could not be written.", lambda: audit.failures)
    app.state.service, app.state.audit, app.state.monitor = service, audit, monitor
    app.add_middleware(Guard, access=access)
    app.add_middleware(Gate, service=service)  # the last that is added is the first that sees a request
