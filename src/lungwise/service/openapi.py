"""What the OpenAPI document says of bodies and answers, with examples."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from lungwise.answer import INTENDED_USE
from lungwise.service.problems import CODES, MEDIA, TYPE

Responses = dict[int | str, dict[str, Any]]
_SHA = "9f2c4a7be1d05c83f6a1b2c3d4e5f60718293a4b5c6d7e8f9012a3b4c5d6e7f8"
_BINARY = {"type": "string", "format": "binary"}
_TEXTS = {"type": "array", "items": {"type": "string"}}

MODEL = {"name": "lite", "bundle_sha256": _SHA, "labels": ["normal", "pneumonia"], "intended_use": INTENDED_USE}
RESULT = {
    "path": "scan.png",
    "status": "ok",
    "decision": "pneumonia",
    "probabilities": {"normal": 0.08, "pneumonia": 0.92},
    "conformal_set": ["pneumonia"],
    "reasons": [],
    "warnings": ["colour image converted to grey"],
    "heatmap": None,
    "model": "lite",
    "bundle_sha256": _SHA,
    "intended_use": INTENDED_USE,
}
RESULT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": [
        "path",
        "status",
        "decision",
        "probabilities",
        "reasons",
        "warnings",
        "model",
        "bundle_sha256",
        "intended_use",
    ],
    "properties": {
        "path": {"type": "string", "description": "The file's name, as it was sent."},
        "status": {"type": "string", "description": "ok, error, or another word for an answer without a decision."},
        "decision": {"type": ["string", "null"]},
        "probabilities": {"type": "object", "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1}},
        "conformal_set": {"type": ["array", "null"], "items": {"type": "string"}},
        "reasons": _TEXTS,
        "warnings": _TEXTS,
        "heatmap": {"type": ["string", "null"]},
        "heatmap_png": {"type": ["string", "null"], "description": "PNG in base64, with heatmaps=true."},
        "model": {"type": "string"},
        "bundle_sha256": {"type": "string"},
        "intended_use": {"type": "string"},
    },
}
_MODEL_SCHEMA = {
    "type": "object",
    "required": list(MODEL),
    "properties": {**{name: {"type": "string"} for name in MODEL}, "labels": _TEXTS},
}


def json_answer(description: str, schema: dict[str, Any], example: Any) -> dict[str, Any]:
    """An answer as JSON."""
    return {"description": description, "content": {"application/json": {"schema": schema, "example": example}}}


def png_answer(description: str) -> dict[str, Any]:
    """An answer that is a picture."""
    return {"description": description, "content": {"image/png": {"schema": _BINARY}}}


def binary_answer(description: str, media: str) -> dict[str, Any]:
    """An answer that is a file of another kind."""
    return {"description": description, "content": {media: {"schema": _BINARY}}}


PREDICTIONS = json_answer(
    "The model and one result for each file, in the order in which they were sent.",
    {
        "type": "object",
        "required": ["model", "results"],
        "properties": {"model": _MODEL_SCHEMA, "results": {"type": "array", "items": RESULT_SCHEMA}},
    },
    {"model": MODEL, "results": [{"file": 0, **RESULT}]},
)
PUBLIC_MODEL = json_answer(
    "The public part of the bundle's specification.",
    _MODEL_SCHEMA,
    {**MODEL, "format": 1, "views": 1, "temperature": 1.3, "synthetic": False, "metrics": {}},
)
_ONE = {"schema": _BINARY}
_RAW = {"image/png": _ONE, "image/jpeg": _ONE, "application/dicom": _ONE}


def _multipart(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"schema": {"type": "object", "properties": properties, "required": required}}


FILES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Images in the field 'files', or one image or zip file as the body. PNG, JPEG, TIFF, BMP, DICOM, zip.",
        "content": {
            "multipart/form-data": _multipart({"files": {"type": "array", "items": _BINARY, "minItems": 1}}, ["files"]),
            **_RAW,
            "application/zip": _ONE,
        },
    }
}
ONE_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One image in the field 'file', or as the body.",
        "content": {"multipart/form-data": _multipart({"file": _BINARY}, ["file"]), **_RAW},
    }
}

_WORKSPACE = {"id": "5f0c8a5e3c0f4a2e9b6d7c8190a1b2c3", "expires_at": "2030-01-31T12:30:00+00:00", "minutes": 30}
_WORKSPACE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": list(_WORKSPACE),
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "expires_at": {"type": "string", "format": "date-time"},
        "minutes": {"type": "number"},
    },
}
_FILM = {
    "id": "0a1b2c3d4e5f6071",
    "name": "scan.png",
    "width": 2048,
    "height": 2500,
    "added_at": "2030-01-31T12:00:00+00:00",
    "result": RESULT,
    "has_heatmap": True,
    "concern": 0.92,
}
_FILM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": list(_FILM),
    "properties": {
        **{name: {"type": "string"} for name in ("id", "name", "added_at")},
        **{name: {"type": "integer", "minimum": 0} for name in ("width", "height")},
        "result": RESULT_SCHEMA,
        "has_heatmap": {"type": "boolean"},
        "concern": {
            "type": ["number", "null"],
            "description": "Probability of anything but the normal class; null without probabilities or without such a class.",
        },
    },
}
CREATED_WORKSPACE = json_answer("The new workspace.", _WORKSPACE_SCHEMA, _WORKSPACE)
CREATED_FILM = json_answer("The image with its answer.", _FILM_SCHEMA, _FILM)
WORKSPACE = json_answer(
    "The workspace with its images.",
    {
        **_WORKSPACE_SCHEMA,
        "properties": {**_WORKSPACE_SCHEMA["properties"], "images": {"type": "array", "items": _FILM_SCHEMA}},
    },
    {**_WORKSPACE, "model": MODEL, "images": [_FILM]},
)

_TENSOR = {"name": "image", "shape": [1], "datatype": "BYTES", "data": ["iVBORw0KGgo="]}
INFER: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {
                        "id": {"type": "string"},
                        "inputs": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": 1,
                            "items": {
                                "type": "object",
                                "required": list(_TENSOR),
                                "properties": {
                                    "name": {"const": "image"},
                                    "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1},
                                    "datatype": {"enum": ["BYTES", "UINT8"]},
                                    "data": {"type": "array"},
                                },
                            },
                        },
                        "outputs": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
                    },
                },
                "example": {"inputs": [_TENSOR]},
            },
        },
    }
}
INFERRED = json_answer(
    "The answers as tensors; an image that cannot be read has status 'error' and probabilities of 0.",
    {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {"model_name": {"type": "string"}, "outputs": {"type": "array", "items": {"type": "object"}}},
    },
    {
        "model_name": "lite",
        "model_version": _SHA[:12],
        "parameters": {"bundle_sha256": _SHA, "intended_use": INTENDED_USE},
        "outputs": [
            {"name": "probabilities", "datatype": "FP64", "shape": [1, 2], "data": [0.08, 0.92]},
            {"name": "decision", "datatype": "BYTES", "shape": [1], "data": ["pneumonia"]},
        ],
    },
)
_INSTANCES: dict[str, Any] = {
    "schema": {
        "type": "object",
        "required": ["instances"],
        "additionalProperties": False,
        "properties": {
            "instances": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "object", "required": ["b64"], "properties": {"b64": {"type": "string"}}},
            }
        },
    },
    "example": {"instances": [{"b64": "iVBORw0KGgo="}]},
}
INVOCATION: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {**_RAW, "application/x-image": _ONE, "application/json": _INSTANCES},
    }
}


_EVERYWHERE = ("unauthorized", "forbidden", "misdirected", "rate-limit")
"""Refusals before any route; see security.py."""


def problems(*codes: str) -> Responses:
    """The refusals of a route as problem documents, one entry a status."""
    of_status: dict[int, list[str]] = defaultdict(list)
    for code in ("invalid", *_EVERYWHERE, *codes):
        if code not in of_status[CODES[code][0]]:
            of_status[CODES[code][0]].append(code)
    return {status: _problem(status, found) for status, found in of_status.items()}


def _problem(status: int, codes: list[str]) -> dict[str, Any]:
    examples = {
        code: {
            "value": {
                "type": TYPE + code,
                "title": CODES[code][1],
                "status": status,
                "detail": f"{CODES[code][1]}: what came, and what to do.",
                "instance": "urn:uuid:6f1c9f0e-52ad-4d6c-9a75-0f3f0f1d3c55",
                "code": code,
            }
        }
        for code in codes
    }
    content = {"schema": PROBLEM_SCHEMA, "examples": examples}
    found: dict[str, Any] = {"description": "; ".join(CODES[code][1] for code in codes), "content": {MEDIA: content}}
    if status in (429, 503):
        seconds = {"type": "integer", "description": "Seconds after which to try again."}
        found["headers"] = {"Retry-After": {"schema": seconds}}
    return found


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "detail", "instance", "code"],
    "properties": {
        **{name: {"type": "string"} for name in ("type", "title", "detail", "instance")},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": sorted(CODES)},
    },
}
