"""The Open Inference Protocol."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from lungwise.inference.predictor import Predictor
from tests.service.conftest import Serve

INFER = "/v2/models/tiny/infer"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def tensor(*data: Any, datatype: str = "BYTES", shape: list[int] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": "image", "datatype": datatype, "shape": shape or [len(data)], "data": list(data), **more}


def outputs(reply: Any) -> dict[str, Any]:
    assert reply.status_code == 200, reply.text
    return {one["name"]: one for one in reply.json()["outputs"]}


def test_the_server_says_what_it_is(client: TestClient) -> None:
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/tiny/ready").json() == {"name": "tiny", "ready": True}
    found = client.get("/v2/models/tiny").json()
    assert found["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    assert {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]} in found["outputs"]


def test_files_in_json_are_answered(client: TestClient, predictor: Predictor, png: bytes) -> None:
    reply = client.post(INFER, json={"id": "7", "inputs": [tensor(b64(png), b64(b"bad"), "no base64!")]})
    found = outputs(reply)
    wanted = predictor.predict(png)
    assert found["probabilities"]["shape"] == [3, 2]
    assert found["probabilities"]["data"] == pytest.approx([*wanted.probabilities.values(), 0, 0, 0, 0], abs=1e-6)
    assert found["decision"]["data"] == [wanted.decision, "", ""]
    assert found["status"]["data"] == ["ok", "error", "error"]
    assert found["reasons"]["data"][2] == "An image within JSON must be the file in base64, this one is not; encode it."
    assert found["labels"]["data"] == ["normal", "sick"]
    about = reply.json()
    assert (about["id"], about["model_name"]) == ("7", "tiny")
    assert about["parameters"]["bundle_sha256"] == predictor.bundle.sha256


def test_files_as_binary_data_are_answered(client: TestClient, predictor: Predictor, png: bytes) -> None:
    raw = b"".join(len(one).to_bytes(4, "little") + one for one in (png, b"bad"))
    head = json.dumps(
        {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(raw)}}]}
    ).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    found = outputs(client.post(INFER, content=head + raw, headers=headers))
    assert found["decision"]["data"] == [predictor.predict(png).decision, ""]
    short = client.post(INFER, content=head + raw[:-1], headers=headers)
    assert short.json()["detail"] == "The input must have either data, or binary data of binary_data_size bytes; correct it."
    wrong = raw[:3] + b"\xff" + raw[4:]
    assert (
        client.post(INFER, content=head + wrong, headers=headers).json()["detail"].startswith("2 elements of BYTES must fill")
    )


def test_pixels_are_answered(client: TestClient, predictor: Predictor, grey: NDArray[np.uint8]) -> None:
    wanted = list(predictor.predict(grey).probabilities.values())
    flat = tensor(*grey.ravel().tolist(), datatype="UINT8", shape=[90, 120])
    nested = tensor(*[grey.tolist()] * 2, datatype="UINT8", shape=[2, 90, 120])
    assert outputs(client.post(INFER, json={"inputs": [flat]}))["probabilities"]["data"] == pytest.approx(wanted, abs=1e-6)
    assert outputs(client.post(INFER, json={"inputs": [nested]}))["probabilities"]["data"] == pytest.approx(
        2 * wanted, abs=1e-6
    )
    head = {"name": "image", "datatype": "UINT8", "shape": [90, 120], "parameters": {"binary_data_size": grey.nbytes}}
    text = json.dumps({"inputs": [head]}).encode()
    headers = {"inference-header-content-length": str(len(text))}
    found = outputs(client.post(INFER, content=text + grey.tobytes(), headers=headers))
    assert found["probabilities"]["data"] == pytest.approx(wanted, abs=1e-6)


def test_only_wanted_outputs_come(client: TestClient, png: bytes) -> None:
    asked = {"inputs": [tensor(b64(png))], "outputs": [{"name": "decision"}]}
    assert list(outputs(client.post(INFER, json=asked))) == ["decision"]
    reply = client.post(INFER, json={**asked, "outputs": [{"name": "logits"}]})
    assert (reply.status_code, reply.json()["error"]) == (422, reply.json()["detail"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "inputs: List should have at least 1 item"),
        ([tensor("x", shape=[2])], "data must hold 2 texts in base64, as the shape says; correct one of the two."),
        ([tensor("x", shape=[1, 2])], "BYTES must have shape [n] or [n, 1]"),
        ([tensor(300, datatype="UINT8", shape=[1, 1])], "UINT8 data must be whole numbers from 0 to 255"),
        ([tensor([1], [1, 2], datatype="UINT8", shape=[2, 2])], "UINT8 data must be whole numbers from 0 to 255"),
        ([tensor(1, 2, datatype="UINT8", shape=[2, 2])], "Shape [2, 2] has 4 numbers, but 2 came; correct the shape."),
        ([tensor(1, datatype="UINT8", shape=[1])], "UINT8 must have shape [h, w], [n, h, w] or [n, h, w, 1]"),
        ([tensor(1, datatype="UINT8", shape=[-1, -1])], "UINT8 must have shape"),
        ([tensor("x", datatype="FP32")], "inputs.0.datatype: Input should be 'BYTES' or 'UINT8'"),
        ([{"name": "image", "datatype": "BYTES", "shape": [1]}], "The input must have either data, or binary data"),
    ],
)
def test_what_does_not_fit_is_refused(client: TestClient, given: Any, said: str) -> None:
    reply = client.post(INFER, json={"inputs": given})
    assert reply.status_code == 422
    assert reply.json()["detail"].startswith(said)


def test_another_model_is_not_here(client: TestClient) -> None:
    for address in ("/v2/models/other", "/v2/models/other/ready"):
        assert client.get(address).status_code == 404
    reply = client.post("/v2/models/other/infer", json={})
    assert reply.json()["error"] == "There is no model 'other' here; it is called 'tiny'."


def test_too_many_images_and_too_much_json_are_refused(serve: Serve, png: bytes) -> None:
    client = serve(max_files=2, max_json_mb=0.1)
    reply = client.post(INFER, json={"inputs": [tensor(*["eA=="] * 3)]})
    assert (reply.status_code, reply.json()["code"]) == (413, "too-many-files")
    reply = client.post(INFER, content=b" " * 100_001)
    assert (reply.status_code, reply.json()["code"]) == (413, "too-large")
    reply = client.post(INFER, content=b"{}", headers={"inference-header-content-length": "200000"})
    assert (reply.status_code, reply.json()["code"]) == (413, "too-large")


def test_small_pixels_are_one_error(client: TestClient) -> None:
    found = outputs(client.post(INFER, json={"inputs": [tensor(1, 2, 3, 4, datatype="UINT8", shape=[2, 2])]}))
    assert found["reasons"]["data"] == ["An array must have at least 32 pixels on each side, got [2, 2]; take the original."]
