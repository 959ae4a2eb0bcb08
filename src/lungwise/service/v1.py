"""``/v1``: predict, heat map, model and its card."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from lungwise.bundle.card import model_card
from lungwise.inference.result import Result
from lungwise.service.core import Answered, Service, ServiceOf, shown_class
from lungwise.service.openapi import FILES, ONE_FILE, PREDICTIONS, PUBLIC_MODEL, png_answer, problems
from lungwise.service.patience import awaited
from lungwise.service.problems import Problem
from lungwise.service.rendering import heat_layer, heat_overlay
from lungwise.service.uploads import Upload

router = APIRouter(prefix="/v1", tags=["predict"], default_response_class=Response, responses=problems())
_UPLOAD_PROBLEMS = (
    "bad-body",
    "no-file",
    "upload-timeout",
    "too-large",
    "unsupported-media-type",
    "invalid",
    "queue-full",
    "busy",
)


@router.post("/predict", responses={200: PREDICTIONS, **problems(*_UPLOAD_PROBLEMS)}, openapi_extra=FILES)
async def predict(
    request: Request,
    service: ServiceOf,
    heatmaps: Annotated[bool, Query(description="Add each image's heat map to its result, as PNG in base64.")] = False,
) -> Response:
    """The answer for each image. One that cannot be read has a result with status "error"; the others are not affected."""
    async with service.receiver().files(request, "files") as uploads:
        if heatmaps:
            with service.batcher.admitted(len(uploads)):
                results = await awaited(request, _with_maps(service, uploads), service.settings.request_seconds)
        else:
            results = [result.to_dict() for result in await service.results(request, uploads)]
    numbered = [{"file": index, **result} for index, result in enumerate(results)]
    return JSONResponse({"model": service.about_model(), "results": numbered})


@router.post("/heatmap", responses={200: png_answer("The heat map."), **problems(*_UPLOAD_PROBLEMS)}, openapi_extra=ONE_FILE)
async def heatmap(
    request: Request,
    service: ServiceOf,
    label: Annotated[str | None, Query(description="The class; by default the one decided for.")] = None,
    style: Annotated[Literal["overlay", "layer"], Query(description="On the film, or alone and transparent.")] = "overlay",
) -> Response:
    """Where the network looked for a class in one image, as PNG; not the place of a finding."""
    if label is not None:
        service.column(label)
    async with service.receiver().files(request, "file", "files", most=1) as uploads:
        with service.batcher.admitted(1):
            made = awaited(request, _picture(service, uploads[0], label, style), service.settings.request_seconds)
            data, shown, result = await made
    headers = {"X-Label": quote(shown), "X-Bundle-SHA256": result.bundle_sha256}
    return Response(data, media_type="image/png", headers=headers)


@router.get("/model", responses={200: PUBLIC_MODEL})
async def model(service: ServiceOf) -> Response:
    """What the model is: classes, preprocessing, decision, calibration, results on its test data."""
    spec = service.predictor.spec.model_dump(mode="json", exclude={"provenance", "files"})
    return JSONResponse({**service.about_model(), **spec})


@router.get("/model/card", responses={200: {"content": {"text/markdown": {}, "text/html": {}}}})
async def card(request: Request, service: ServiceOf) -> Response:
    """The model card: Markdown, or a fragment of HTML where the Accept header prefers that."""
    text = model_card(service.predictor.spec)
    if "text/html" not in request.headers.get("accept", ""):
        return Response(text, media_type="text/markdown; charset=utf-8")
    from markdown_it import MarkdownIt

    # Raw HTML in the text is shown as text, and links to scripts are refused.
    rendered = MarkdownIt("commonmark", {"html": False}).enable("table").render(_without_front_matter(text))
    return HTMLResponse(rendered)


async def _with_maps(service: Service, uploads: list[Upload]) -> list[dict[str, Any]]:
    """Answers with heat maps, one after the other beside the batches of other clients: pictures take memory."""
    found = []
    for upload in uploads:
        async with service.answered(upload) as answered:
            picture = await _drawn(service, answered, None, "overlay") if answered.result.probabilities else None
        shown = base64.b64encode(picture).decode() if picture else None
        found.append({**answered.result.to_dict(), "heatmap_png": shown})
    return found


async def _picture(service: Service, upload: Upload, label: str | None, style: str) -> tuple[bytes, str, Result]:
    async with service.answered(upload) as answered:
        shown = shown_class(service, answered.result, label)
        return await _drawn(service, answered, shown, style), shown, answered.result


async def _drawn(service: Service, answered: Answered, label: str | None, style: str) -> bytes:
    if answered.ready is None:
        raise Problem("unreadable-image", "; ".join(answered.result.reasons))
    shown, radiograph, fit = label or shown_class(service, answered.result, None), answered.ready.radiograph, service.fit
    heat = await service.heat(answered.ready.square, shown)
    if style == "layer":
        return await service.draw(lambda: heat_layer(radiograph.height, radiograph.width, heat, fit))
    return await service.draw(lambda: heat_overlay(radiograph.pixels, heat, fit))


def _without_front_matter(text: str) -> str:
    """The card without its YAML head, which is for model hubs."""
    parts = text.split("---\n", 2)
    return parts[2] if text.startswith("---\n") and len(parts) == 3 else text
