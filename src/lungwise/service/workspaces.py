"""``/v1/workspaces``: images that somebody looks at on a page; in memory only."""

from __future__ import annotations

import csv
import io
from secrets import token_hex
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lungwise.errors import ImageError
from lungwise.imaging.preprocess import enough
from lungwise.inference.result import csv_header, csv_row
from lungwise.labels import LabelSet
from lungwise.service.core import Service, ServiceOf
from lungwise.service.openapi import CREATED_FILM, CREATED_WORKSPACE, ONE_FILE, PREDICTIONS, WORKSPACE, binary_answer, problems
from lungwise.service.patience import awaited
from lungwise.service.rendering import picture, thumbnail
from lungwise.service.store import Film, Workspace
from lungwise.service.uploads import Upload

router = APIRouter(prefix="/v1/workspaces", tags=["workspaces"], default_response_class=Response, responses=problems())
_UPLOAD_PROBLEMS = (
    *("not-found", "bad-body", "no-file", "upload-timeout", "too-large", "too-many-files", "unsupported-media-type"),
    *("queue-full", "busy", "out-of-space"),
)
_GONE = problems("not-found")


@router.post("", status_code=201, responses={201: CREATED_WORKSPACE, **problems("too-many-workspaces")})
async def make(request: Request, service: ServiceOf) -> Response:
    """A new workspace. Its id is its secret; it ends some minutes after the last request for it."""
    made = service.workspaces.make()
    return JSONResponse(_about(service, made), 201, {"Location": f"{request.url.path.rstrip('/')}/{made.id}"})


@router.get("/{workspace}", responses={200: WORKSPACE, **_GONE})
async def listing(service: ServiceOf, workspace: str) -> Response:
    """The images of a workspace with their answers, in the order in which they came."""
    found = service.workspaces.get(workspace)
    images = [_shown(service, film) for film in found.films.values()]
    return JSONResponse({**_about(service, found), "model": service.about_model(), "images": images})


@router.delete("/{workspace}", status_code=204)
@router.post("/{workspace}/close", status_code=204)
async def close(service: ServiceOf, workspace: str) -> Response:
    """Forget a workspace and all its images at once. Without a complaint if it is gone: a page that is left asks twice."""
    service.workspaces.close(workspace)
    return Response(status_code=204)


@router.post(
    "/{workspace}/images", status_code=201, responses={201: CREATED_FILM, **problems(*_UPLOAD_PROBLEMS)}, openapi_extra=ONE_FILE
)
async def add(request: Request, service: ServiceOf, workspace: str) -> Response:
    """Add an image and get its answer. One that cannot be read is added with a result whose status is "error"."""
    found = service.workspaces.get(workspace)
    service.workspaces.check_room(found)
    async with service.receiver().files(request, "file", most=1, unzip=False) as uploads:
        with service.batcher.admitted(1):
            film = await awaited(request, _film(service, uploads[0]), service.settings.request_seconds)
    service.workspaces.add(found, film)
    return JSONResponse(_shown(service, film), 201, {"Location": f"{request.url.path.rstrip('/')}/{film.id}"})


@router.delete("/{workspace}/images/{image}", status_code=204, responses=_GONE)
async def remove(service: ServiceOf, workspace: str, image: str) -> Response:
    """Forget one image."""
    service.workspaces.remove(service.workspaces.get(workspace), image)
    return Response(status_code=204)


@router.get("/{workspace}/results.json", responses={200: PREDICTIONS, **_GONE})
async def results_json(service: ServiceOf, workspace: str) -> Response:
    """All answers of a workspace, as /v1/predict gives them."""
    found = service.workspaces.get(workspace)
    results = [{"file": index, **film.result.to_dict()} for index, film in enumerate(found.films.values())]
    return JSONResponse({"model": service.about_model(), "results": results}, headers=_attached("results.json"))


@router.get("/{workspace}/results.csv", responses={200: binary_answer("One line an image.", "text/csv"), **_GONE})
async def results_csv(
    service: ServiceOf,
    workspace: str,
    bom: Annotated[bool, Query(description="Begin with a byte order mark, as some spreadsheets want it.")] = False,
) -> Response:
    """All answers of a workspace as CSV; cells that a spreadsheet would run as a formula are defused."""
    found, labels = service.workspaces.get(workspace), service.predictor.labels
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(csv_header(labels))
    writer.writerows(csv_row(film.result, labels) for film in found.films.values())
    text = ("\ufeff" if bom else "") + buffer.getvalue()
    return Response(text.encode(), media_type="text/csv; charset=utf-8", headers=_attached("results.csv"))


async def _film(service: Service, upload: Upload) -> Film:
    """Read, answer and draw one image."""
    least = enough(service.predictor.spec.preprocess)
    async with service.readers.read(upload, 0) as full:
        if isinstance(full, ImageError):
            return Film(token_hex(8), upload.name, await service.batcher.ask(full, upload.name))
        whole = full.radiograph
        pictures = await service.draw(lambda: (picture(whole.pixels), thumbnail(whole.pixels)))
        # The network must see what it sees of the same file through every other door, and those read large JPEGs in part.
        if upload.start(2) != b"\xff\xd8":
            result = await service.batcher.ask(full, upload.name)
            return Film(token_hex(8), upload.name, result, whole.width, whole.height, full.square, *pictures)
    async with service.readers.read(upload, least) as image:
        result = await service.batcher.ask(image, upload.name)
        square = full.square if isinstance(image, ImageError) else image.square
    return Film(token_hex(8), upload.name, result, whole.width, whole.height, square, *pictures)


def _about(service: Service, workspace: Workspace) -> dict[str, Any]:
    ends = service.workspaces.expires_at(workspace).isoformat(timespec="seconds")
    return {"id": workspace.id, "expires_at": ends, "minutes": service.settings.workspace_minutes}


def _shown(service: Service, film: Film) -> dict[str, Any]:
    return {
        "id": film.id,
        "name": film.name,
        "width": film.width,
        "height": film.height,
        "added_at": film.added.isoformat(timespec="seconds"),
        "result": film.result.to_dict(),
        "has_heatmap": film.square is not None and bool(film.result.probabilities),
        "concern": concern(film.result.probabilities),
    }


def concern(probabilities: dict[str, float]) -> float | None:
    """How much an image deserves to be looked at first: the probability that it is anything but normal.

    Args:
        probabilities: class to probability; may be empty.

    Returns:
        0 to 1; None where there are no probabilities, or no class that is called normal or the like.
    """
    labels = list(probabilities)
    # Of two classes LabelSet tells which is the finding; a class that never is the finding is the normal one.
    normal = [one for one in labels if any(LabelSet((other, one)).positive == 0 for other in labels if other != one)]
    return min(1.0, max(0.0, 1 - sum(probabilities[one] for one in normal))) if normal else None


def _attached(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
