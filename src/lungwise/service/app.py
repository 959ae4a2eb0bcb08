"""The application: assembly only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

import lungwise
from lungwise.answer import INTENDED_USE
from lungwise.errors import LungwiseError
from lungwise.inference.inputs import Reader, read_image
from lungwise.inference.predictor import Predictor, load
from lungwise.inference.sandbox import Sandbox
from lungwise.service import films, kserve, monitor, page, problems, sagemaker_hosting, v1, workspaces
from lungwise.service.audit_log import AuditLog
from lungwise.service.core import Service
from lungwise.service.operation import Application, install
from lungwise.service.security import Access
from lungwise.service.settings import Settings

ROUTERS = (page.router, v1.router, workspaces.router, films.router, kserve.router, sagemaker_hosting.router, monitor.router)


def create_app(settings: Settings, predictor: Predictor | None = None, reader: Reader | None = None) -> FastAPI:
    """Put the service together.

    Args:
        settings: see :class:`Settings`.
        predictor: the loaded bundle; that of ``settings.model`` by default.
        reader: decodes the bytes of uploads; by the settings a sandbox or this process.

    Raises:
        BundleError: the model is no bundle.
        LungwiseError: no model is named; or the settings would let everybody in, or name a log that cannot be written.
    """
    access = Access(settings)
    guarded = settings.sandbox and reader is None
    if predictor is None:
        if settings.model is None:
            raise LungwiseError("A service needs a model, but none is named; give --model BUNDLE or set LUNGWISE_MODEL.")
        # In a thread: OpenVINO gives the thread that loads a network another stack for signals and takes it back with the
        # network, and the next signal to a main thread without that stack would end the process.
        with ThreadPoolExecutor(1) as aside:
            predictor = aside.submit(_loaded, settings.model, settings).result()
    sandbox = Sandbox(settings.decoders, seconds=settings.sandbox_seconds, megabytes=settings.sandbox_mb) if guarded else None
    service = Service(settings, predictor, sandbox or reader or read_image)
    audit = AuditLog(settings, predictor.bundle.sha256)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as parts:
            parts.callback(audit.close)
            if sandbox:
                parts.enter_context(sandbox)
                sandbox.start()
            await parts.enter_async_context(service.running())
            yield

    app = Application(
        title="Lungwise",
        version=lungwise.__version__,
        summary="Classifies chest X-rays.",
        description=INTENDED_USE,
        lifespan=lifespan,
        openapi_url="/openapi.json",
        # Both would load their scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    problems.install(app)
    install(app, ROUTERS, service, access, audit)
    return app


def _loaded(model: Path, settings: Settings) -> Predictor:
    predictor = load(model, settings.threads, settings.engine)
    predictor.settle()
    return predictor
