"""Errors as RFC 9457 problem documents: one shape, stable codes, no traceback and no detail of the machine."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lungwise.errors import BundleError, ImageError, LungwiseError

MEDIA = "application/problem+json"
TYPE = "urn:lungwise:problem:"
_log = logging.getLogger("lungwise.service")

CODES: Mapping[str, tuple[int, str]] = {
    "bad-request": (400, "The request is not of the form that it must have"),
    "bad-body": (400, "The body of the request is damaged"),
    "no-file": (400, "The request holds no file"),
    "unauthorized": (401, "The request needs a valid token"),
    "forbidden": (403, "This is not allowed"),
    "not-found": (404, "There is nothing at this address"),
    "method-not-allowed": (405, "The address does not know this method"),
    "not-acceptable": (406, "The answer cannot have the wanted form"),
    "upload-timeout": (408, "The upload took too long"),
    "too-large": (413, "The request or a file of it is too large"),
    "too-many-files": (413, "The request holds too many files"),
    "unsupported-media-type": (415, "The body is of a kind that is not accepted"),
    "misdirected": (421, "The Host header names another service"),
    "invalid": (422, "A value of the request is not allowed"),
    "unreadable-image": (422, "The image cannot be read"),
    "queue-full": (429, "More images wait than can be answered soon"),
    "rate-limit": (429, "Too many requests in a short time"),
    "too-many-workspaces": (429, "There are too many workspaces"),
    "client-gone": (499, "The client left before the answer"),
    "internal": (500, "The service made a mistake"),
    "busy": (503, "The service has more to do than it can hold"),
    "not-ready": (503, "The service is not ready"),
    "stopping": (503, "The service is being stopped"),
    "timeout": (503, "The answer took too long"),
    "out-of-space": (507, "There is no room left"),
}
"""Every code with its status and title; they are part of the interface (docs/http.md) and never change their meaning."""

_BY_STATUS = {
    400: "bad-request", 401: "unauthorized", 403: "forbidden", 404: "not-found", 405: "method-not-allowed",
    406: "not-acceptable", 413: "too-large", 415: "unsupported-media-type", 422: "invalid", 429: "queue-full", 503: "busy",
}  # fmt: skip


class Problem(Exception):  # noqa: N818 - named after the document that it becomes.
    """A refusal that is answered as a problem document.

    Args:
        code: one of ``CODES``.
        detail: one sentence: the rule, what came, what to do.
        retry_after: seconds after which to try again, for 429 and 503.
        headers: further headers of the answer.
        extra: further members of the document.
    """

    def __init__(
        self, code: str, detail: str, *, retry_after: int | None = None, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.code, self.detail, self.extra = code, detail, extra
        self.status = CODES[code][0]
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)

    def document(self, request_id: str) -> dict[str, Any]:
        """The members of the problem document; "" makes an id up."""
        return {
            "type": TYPE + self.code,
            "title": CODES[self.code][1],
            "status": self.status,
            "detail": self.detail,
            "instance": f"urn:uuid:{request_id or uuid.uuid4()}",
            "code": self.code,
            **self.extra,
        }

    def response(self, request: Request) -> Response:
        """The problem document that answers the request."""
        state = request.scope.setdefault("state", {})
        state["problem_code"] = self.code  # for the audit log and the metrics
        content = self.document(state.get("request_id", ""))
        if request.scope["path"].startswith("/v2"):  # request.url fails on some Host headers
            content["error"] = self.detail  # where clients of the Open Inference Protocol look for it
        return JSONResponse(content, self.status, {**self.headers, "Cache-Control": "no-store"}, MEDIA)


def install(app: FastAPI) -> None:
    """Let every exception of the application end as a problem document."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(LungwiseError, _own)
    app.add_exception_handler(Exception, _unexpected)


async def _problem(request: Request, error: Exception) -> Response:
    return error.response(request) if isinstance(error, Problem) else await _unexpected(request, error)


async def _http(request: Request, error: Exception) -> Response:
    """What Starlette and FastAPI refuse by themselves: unknown addresses, wrong methods, broken JSON."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    code = _BY_STATUS.get(status, "bad-request" if status < 500 else "internal")
    detail = {
        404: "There is nothing at this address; GET /openapi.json and docs/http.md list what there is.",
        405: f"This address does not know {request.method}; use {headers.get('Allow', 'another method')}.",
    }.get(status, f"{HTTPStatus(CODES[code][0]).phrase}; correct the request.")
    return Problem(code, detail, headers=headers).response(request)


async def _invalid(request: Request, error: Exception) -> Response:
    """A parameter or a JSON body that FastAPI refuses; values are not repeated, they may be large or personal."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    errors = [{"where": [str(part) for part in one["loc"]], "what": str(one["msg"])} for one in found[:20]]
    first = f"{'.'.join(errors[0]['where'])}: {errors[0]['what']}" if errors else "a value is not allowed"
    return Problem("invalid", f"{first}; correct the request.", errors=errors).response(request)


async def _own(request: Request, error: Exception) -> Response:
    if isinstance(error, ImageError):
        return Problem("unreadable-image", str(error)).response(request)
    _log.error("request failed: %s", type(error).__name__ if not isinstance(error, BundleError) else error)
    return Problem("internal", "The service could not answer; its log says why.").response(request)


async def _unexpected(request: Request, error: Exception) -> Response:
    """A fault of ours: the server logs it with its traceback, the client learns only that it happened."""
    return Problem("internal", "The service made a mistake that it did not expect; its log says more.").response(request)
