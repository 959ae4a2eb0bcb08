"""Pictures and paper of one image of a workspace."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import cv2
import numpy as np
from fastapi import APIRouter, Query
from numpy.typing import NDArray
from starlette.responses import Response

from lungwise.service.core import Service, ServiceOf, shown_class
from lungwise.service.openapi import binary_answer, png_answer, problems
from lungwise.service.paper import report
from lungwise.service.problems import Problem
from lungwise.service.rendering import Heat, annotated, heat_layer, heat_overlay
from lungwise.service.store import Film

router = APIRouter(
    prefix="/v1/workspaces/{workspace}/images/{image}",
    tags=["workspaces"],
    default_response_class=Response,
    responses=problems(),
)
Label = Annotated[str | None, Query(description="The class; by default the one decided for.")]
_REFUSALS = problems("not-found", "unreadable-image")


@router.get("/pixels.png", responses={200: png_answer("8-bit grey, longest side at most 4096."), **_REFUSALS})
async def pixels(service: ServiceOf, workspace: str, image: str) -> Response:
    """The radiograph as it was read."""
    return _png(_film(service, workspace, image).picture)


@router.get("/thumbnail.png", responses={200: png_answer("8-bit grey, longest side at most 256."), **_REFUSALS})
async def thumbnail(service: ServiceOf, workspace: str, image: str) -> Response:
    """A small picture of the radiograph."""
    return _png(_film(service, workspace, image).thumbnail)


@router.get("/heat.png", responses={200: png_answer("RGBA, the shape of the film."), **_REFUSALS})
async def heat(service: ServiceOf, workspace: str, image: str, label: Label = None) -> Response:
    """Where the network looked for a class, to be laid over the film; not the place of a finding."""
    film = _film(service, workspace, image)
    shown, found = await _heat(service, film, label)
    return _png(await service.draw(lambda: heat_layer(film.height, film.width, found, service.fit)), shown)


@router.get("/annotated.png", responses={200: png_answer("Film, heat map and answer."), **_REFUSALS})
async def annotated_png(service: ServiceOf, workspace: str, image: str, label: Label = None) -> Response:
    """The film with its heat map, answer and what the answer is for, as one picture."""
    film = _film(service, workspace, image)
    shown, found = await _heat(service, film, label)
    fit = service.fit
    return _png(await service.draw(lambda: annotated(_grey(film), found, fit, film.result, shown)), shown)


@router.get("/report.pdf", responses={200: binary_answer("One page.", "application/pdf"), **_REFUSALS})
async def report_pdf(service: ServiceOf, workspace: str, image: str, label: Label = None) -> Response:
    """The same on one page of paper."""
    film = _film(service, workspace, image)
    shown, found = await _heat(service, film, label)
    fit = service.fit

    def made() -> bytes:
        return report(film.name, film.picture, heat_overlay(_grey(film), found, fit), shown, film.result)

    headers = {"Content-Disposition": 'attachment; filename="report.pdf"'}
    return Response(await service.draw(made), media_type="application/pdf", headers=headers)


def _film(service: Service, workspace: str, image: str) -> Film:
    film = service.workspaces.get(workspace).film(image)
    if film.square is None:
        raise Problem("unreadable-image", "; ".join(film.result.reasons) or "The image could not be read; send another.")
    return film


async def _heat(service: Service, film: Film, label: str | None) -> tuple[str, Heat]:
    shown = shown_class(service, film.result, label)
    if film.square is None:
        raise Problem("unreadable-image", "The image could not be read; send another.")
    return shown, await service.heat(film.square, shown)


def _grey(film: Film) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(film.picture, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)


def _png(data: bytes, label: str | None = None) -> Response:
    return Response(data, media_type="image/png", headers={"X-Label": quote(label)} if label else None)
