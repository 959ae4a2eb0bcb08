"""The page: one document, its script modules and styles, and what they must know of this service."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

import lungwise
from lungwise.answer import INTENDED_USE
from lungwise.errors import require
from lungwise.service.core import ServiceOf
from lungwise.service.problems import Problem
from lungwise.service.workspaces import concern

router = APIRouter(include_in_schema=False)
CSP = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""No inline script or style, nothing from another address, in no frame."""
_HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # kept, but asked for again, so that a new version is seen at once
}
_FOLDER = Path(__file__).parent
_MEDIA = {".js": "text/javascript", ".css": "text/css", ".json": "application/json", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Asset:
    """One file of ``static/``.

    Args:
        content: its bytes.
        media: its media type.
        tag: its entity tag.
    """

    content: bytes
    media: str
    tag: str


@router.get("/")
async def page(request: Request) -> Response:
    """The document. It holds nothing of the model or of a reader, so that it needs no token."""
    return HTMLResponse(document(request.scope.get("root_path", "").rstrip("/")), headers=_HEADERS)


@router.get("/static/{name:path}")
async def static(request: Request, name: str) -> Response:
    """A script module, the styles, the English text or the icon."""
    found = assets().get(name)
    if found is None:
        raise Problem("not-found", "The page has no such file; load the page again.")
    headers = {**_HEADERS, "ETag": found.tag}
    if request.headers.get("if-none-match") == found.tag:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media, headers=headers)


@router.get("/page/settings")
async def settings(service: ServiceOf) -> Response:
    """What the page must know before the first image: the model's classes, and how much may be sent."""
    said = service.settings
    about: dict[str, Any] = {
        **service.about_model(),
        "findings": findings(tuple(service.predictor.labels)),
        "minutes": said.workspace_minutes,
        "images": said.workspace_images,
        "max_file_mb": said.max_file_mb,
    }
    return JSONResponse(about, headers={"Cache-Control": "no-store"})


def findings(labels: tuple[str, ...]) -> list[str]:
    """The classes that deserve to be looked at: all but the normal ones; all where none is known to be normal."""
    return [label for label in labels if concern({other: float(other == label) for other in labels}) != 0]


@cache
def document(root: str) -> str:
    """The HTML.

    Args:
        root: the path under which a reverse proxy shows the service; "" without one.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    require("jinja2", "serve", "The page")
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(loader=FileSystemLoader(_FOLDER / "templates"), autoescape=True, undefined=StrictUndefined)
    template = made.get_template("page.html")
    return template.render(root=root, text=strings(), version=lungwise.__version__, intended_use=INTENDED_USE)


@cache
def strings() -> Mapping[str, str]:
    """The page's English text; scripts read the same file."""
    found: dict[str, str] = json.loads(assets()["strings.json"].content)
    return found


@cache
def assets() -> Mapping[str, Asset]:
    """The files of ``static/`` by name, read once; nothing else can be asked for."""
    found = {}
    for path in sorted((_FOLDER / "static").iterdir()):
        if path.suffix in _MEDIA:
            content = path.read_bytes()
            found[path.name] = Asset(content, _MEDIA[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:20]}"')
    return found
