"""``/ping`` and ``/invocations``: what Amazon SageMaker asks of a container that answers for a model."""

from __future__ import annotations

import csv
import io
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lungwise.inference.result import Result, csv_header, csv_row
from lungwise.service.core import Service, ServiceOf
from lungwise.service.encoded import of_base64, parsed
from lungwise.service.kserve import check_ready
from lungwise.service.openapi import INVOCATION, PREDICTIONS, json_answer, problems
from lungwise.service.problems import Problem
from lungwise.service.reading import Source

router = APIRouter(tags=["SageMaker"], default_response_class=Response, responses=problems())
FORMS = {
    "application/json": "application/json",
    "text/csv": "text/csv",
    "application/jsonlines": "application/jsonlines",
    "application/x-jsonlines": "application/jsonlines",
    "application/*": "application/json",
    "*/*": "application/json",
    "": "application/json",
}
"""What Accept may say, and the form that it gets."""


class Instance(BaseModel):
    """One image file in base64."""

    model_config = ConfigDict(extra="forbid")

    b64: str


class Instances(BaseModel):
    """A body that is JSON."""

    model_config = ConfigDict(extra="forbid")

    instances: list[Instance | str] = Field(min_length=1)


@router.get("/ping", responses={200: json_answer("It can answer.", {"type": "object"}, {}), **problems("not-ready")})
async def ping(service: ServiceOf) -> Response:
    """Whether the container can answer."""
    await check_ready(service)
    return JSONResponse({})


@router.post(
    "/invocations",
    responses={
        200: PREDICTIONS,
        **problems(
            "no-file", "bad-body", "not-acceptable", "too-large", "too-many-files", "unsupported-media-type", "queue-full"
        ),
    },
    openapi_extra=INVOCATION,
)
async def invocations(request: Request, service: ServiceOf) -> Response:
    """The answers for one image as the body, or for images in base64 within JSON; as JSON, CSV or JSON lines."""
    form = _form(request.headers.get("accept", ""))
    receiver = service.receiver(service.settings.max_invocation_mb)
    if request.headers.get("content-type", "").split(";")[0].strip().lower() == "application/json":
        async with receiver.body(request) as upload:
            sources = await run_in_threadpool(_instances, upload.read(), service.settings.max_files)
            results = await service.results(request, sources)
    else:
        async with receiver.files(request, "file", "files") as uploads:
            results = await service.results(request, uploads)
    return _answer(service, results, form)


def _instances(data: bytes, most: int) -> list[Source]:
    found = parsed(Instances, data).instances
    if len(found) > most:
        raise Problem("too-many-files", f"A request must hold at most {most} images, this one has {len(found)}; divide it.")
    return [of_base64(one if isinstance(one, str) else one.b64) for one in found]


def _form(accept: str) -> str:
    """The first form of the Accept header that there is."""
    for part in accept.split(","):
        kind = part.split(";")[0].strip().lower()
        if kind in FORMS:
            return FORMS[kind]
    raise Problem("not-acceptable", f"Accept must name one of {', '.join(sorted({*FORMS.values()}))}; correct it.")


def _answer(service: Service, results: list[Result], form: str) -> Response:
    if form == "text/csv":
        labels, buffer = service.predictor.labels, io.StringIO()
        csv.writer(buffer).writerows([csv_header(labels), *(csv_row(result, labels) for result in results)])
        return Response(buffer.getvalue().encode(), media_type="text/csv; charset=utf-8")
    if form == "application/jsonlines":
        return Response("".join(f"{result.to_json()}\n" for result in results).encode(), media_type=form)
    numbered: list[dict[str, Any]] = [{"file": index, **result.to_dict()} for index, result in enumerate(results)]
    return JSONResponse({"model": service.about_model(), "results": numbered})
