"""``/v2``: the Open Inference Protocol (KServe v2), with its binary tensor data for requests."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import lungwise
from lungwise.inference.result import Result, set_text
from lungwise.service.core import Service, ServiceOf
from lungwise.service.encoded import of_base64, of_pixels, of_prefixed, parsed
from lungwise.service.openapi import INFER, INFERRED, json_answer, problems
from lungwise.service.problems import Problem
from lungwise.service.reading import Source
from lungwise.service.settings import MB
from lungwise.service.uploads import Upload

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"], default_response_class=Response, responses=problems())
Name = Annotated[str, Path(description="The model's name.")]
_READY = {"type": "object", "properties": {"ready": {"type": "boolean"}}}


class Tensor(BaseModel):
    """One input: files as BYTES, or grey values as UINT8."""

    name: Literal["image"]
    shape: list[int] = Field(min_length=1, max_length=4)
    datatype: Literal["BYTES", "UINT8"]
    data: list[Any] | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


class Wanted(BaseModel):
    """One output that is asked for."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class Inference(BaseModel):
    """A request for answers."""

    id: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: list[Tensor] = Field(min_length=1, max_length=1)
    outputs: list[Wanted] = Field(default_factory=list)


@router.get("/health/live", responses={200: json_answer("The process answers.", {"type": "object"}, {"live": True})})
async def live() -> Response:
    """Whether the process is alive; if not, it should be started again."""
    return JSONResponse({"live": True})


@router.get("/health/ready", responses={200: json_answer("It can answer.", _READY, {"ready": True}), **problems("not-ready")})
async def ready(service: ServiceOf) -> Response:
    """Whether requests should be sent here: the model is whole, the network is warm, and data can be stored."""
    await check_ready(service)
    return JSONResponse({"ready": True})


@router.get("", responses={200: json_answer("The server.", {"type": "object"}, {"name": "lungwise"})})
async def server() -> Response:
    """The server and the extensions of the protocol that it knows."""
    return JSONResponse({"name": "lungwise", "version": lungwise.__version__, "extensions": ["binary_tensor_data"]})


@router.get(
    "/models/{name}", responses={200: json_answer("The model.", {"type": "object"}, {"name": "lite"}), **problems("not-found")}
)
async def metadata(service: ServiceOf, name: Name) -> Response:
    """Inputs and outputs of the model."""
    _check_name(service, name)
    number = len(service.predictor.labels)
    texts = [{"name": key, "datatype": "BYTES", "shape": [-1]} for key in ("decision", "status", "conformal_set", "reasons")]
    return JSONResponse({
        "name": service.predictor.spec.name,
        "versions": [service.predictor.bundle.sha256[:12]],
        "platform": "lungwise",
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, number]},
            {"name": "labels", "datatype": "BYTES", "shape": [number]},
            *texts,
        ],
    })  # fmt: skip


@router.get(
    "/models/{name}/ready",
    responses={
        200: json_answer("It can answer.", _READY, {"name": "lite", "ready": True}),
        **problems("not-found", "not-ready"),
    },
)
async def model_ready(service: ServiceOf, name: Name) -> Response:
    """Whether the model can answer."""
    _check_name(service, name)
    await check_ready(service)
    return JSONResponse({"name": name, "ready": True})


@router.post(
    "/models/{name}/infer",
    responses={200: INFERRED, **problems("not-found", "bad-request", "too-large", "too-many-files", "queue-full", "busy")},
    openapi_extra=INFER,
)
async def infer(
    request: Request,
    service: ServiceOf,
    name: Name,
    inference_header_content_length: Annotated[
        int | None, Header(ge=2, description="Bytes of JSON before binary tensor data, where there are such.")
    ] = None,
) -> Response:
    """The answers for images that come as files (BYTES: base64 in JSON, raw as binary data) or as grey values (UINT8)."""
    _check_name(service, name)
    most = None if inference_header_content_length else service.settings.max_json_mb
    async with service.receiver(most).body(request) as upload:
        asked, sources = await run_in_threadpool(_asked, upload, inference_header_content_length, service)
        results = await service.results(request, sources)
    outputs = _outputs(service, results)
    wanted = [one.name for one in asked.outputs] or list(outputs)
    if strange := [one for one in wanted if one not in outputs]:
        raise Problem("invalid", f"outputs may be {', '.join(outputs)}, not '{strange[0][:80]}'; correct it.")
    about = service.about_model()
    answer = {
        "model_name": name,
        "model_version": about["bundle_sha256"][:12],
        "parameters": {key: about[key] for key in ("bundle_sha256", "intended_use")},
        "outputs": [{"name": one, **outputs[one]} for one in wanted],
    }
    return JSONResponse({**answer, **({"id": asked.id} if asked.id is not None else {})})


async def check_ready(service: Service) -> None:
    """Refuse with 503 while the service cannot answer.

    Raises:
        Problem: "not-ready".
    """
    problem = await run_in_threadpool(service.health.problem)
    if problem:
        raise Problem("not-ready", problem, retry_after=5)


def _asked(upload: Upload, header: int | None, service: Service) -> tuple[Inference, list[Source]]:
    """What a body asks, in a thread: JSON may be long."""
    if header is not None and header > service.settings.max_json_mb * MB:
        raise Problem("too-large", f"JSON must have at most {service.settings.max_json_mb:g} MB; send less of it.")
    data = upload.read()
    asked = parsed(Inference, data[:header])
    tensor, raw = asked.inputs[0], b"" if header is None else data[header:]
    declared = tensor.parameters.get("binary_data_size")
    if (tensor.data is None) == (declared is None) or (declared is not None and declared != len(raw)):
        raise Problem("invalid", "The input must have either data, or binary data of binary_data_size bytes; correct it.")
    number = tensor.shape[0] if tensor.datatype == "BYTES" or len(tensor.shape) > 2 else 1
    if number > service.settings.max_files:
        raise Problem(
            "too-many-files", f"A request must hold at most {service.settings.max_files} images; send the rest apart."
        )
    if tensor.datatype == "UINT8":
        return asked, of_pixels(raw if tensor.data is None else tensor.data, tensor.shape)
    return asked, _files(tensor, raw, number)


def _files(tensor: Tensor, raw: bytes, number: int) -> list[Source]:
    if number < 1 or any(side != 1 for side in tensor.shape[1:]):
        raise Problem("invalid", f"BYTES must have shape [n] or [n, 1] with n of at least 1, not {tensor.shape}; correct it.")
    if tensor.data is None:
        return of_prefixed(raw, number)
    flat = [one for part in tensor.data for one in (part if isinstance(part, list) else [part])]
    if len(flat) != number or not all(isinstance(one, str) for one in flat):
        raise Problem("invalid", f"data must hold {number} texts in base64, as the shape says; correct one of the two.")
    return [of_base64(one) for one in flat]


def _outputs(service: Service, results: list[Result]) -> dict[str, dict[str, Any]]:
    """The answers as tensors; an image that could not be read has probabilities of 0 throughout and status "error"."""
    labels = service.predictor.labels
    shares = [result.probabilities.get(label, 0.0) for result in results for label in labels]
    texts = {
        "decision": [result.decision or "" for result in results],
        "status": [result.status for result in results],
        "conformal_set": [set_text(result) for result in results],
        "reasons": ["; ".join(result.reasons) for result in results],
        "labels": list(labels),
    }
    return {
        "probabilities": {"datatype": "FP64", "shape": [len(results), len(labels)], "data": shares},
        **{key: {"datatype": "BYTES", "shape": [len(found)], "data": found} for key, found in texts.items()},
    }


def _check_name(service: Service, name: str) -> None:
    if name != service.predictor.spec.name:
        raise Problem("not-found", f"There is no model '{name[:80]}' here; it is called '{service.predictor.spec.name}'.")
