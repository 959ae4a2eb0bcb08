"""Predict, heat maps, the model and its card."""

from __future__ import annotations

import base64
import io
import json
import zipfile

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from lungwise.inference.predictor import Predictor
from tests.bundle_factory import make_predictor
from tests.conftest import Encode
from tests.service.conftest import Serve

PNG = {"content-type": "image/png"}


def decoded(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)


def test_the_answer_is_that_of_the_predictor(client: TestClient, predictor: Predictor, png: bytes) -> None:
    reply = client.post("/v1/predict", files=[("files", ("scan.png", png))])
    assert reply.status_code == 200
    found = reply.json()
    wanted = predictor.predict(png).to_dict()
    np.testing.assert_allclose(
        list(found["results"][0].pop("probabilities").values()), list(wanted.pop("probabilities").values()), atol=1e-6
    )
    assert found["results"] == [{**wanted, "file": 0, "path": "scan.png"}]
    assert found["model"] == {
        "name": "tiny",
        "bundle_sha256": predictor.bundle.sha256,
        "labels": ["normal", "sick"],
        "intended_use": predictor.spec.intended_use,
    }


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "application/octet-stream", "application/dicom"])
def test_one_file_may_be_the_body(client: TestClient, predictor: Predictor, png: bytes, kind: str) -> None:
    # The kind says only that the body is a file; what is in it is found out from its content.
    result = client.post("/v1/predict", content=png, headers={"content-type": kind}).json()["results"][0]
    assert result["decision"] == predictor.predict(png).decision


def test_one_bad_file_among_many_is_one_error(client: TestClient, png: bytes) -> None:
    files = [("files", (f"{index}.png", b"no image" if index == 7 else png)) for index in range(20)]
    results = client.post("/v1/predict", files=files).json()["results"]
    assert [result["status"] for result in results] == ["error" if index == 7 else "ok" for index in range(20)]
    assert [result["path"] for result in results] == [f"{index}.png" for index in range(20)]
    assert results[7]["reasons"] == ["image is not a PNG, JPEG, TIFF, BMP or DICOM image by its content; convert or remove it."]


def test_files_of_a_zip_are_answered_each(client: TestClient, png: bytes) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a/one.png", png)
        archive.writestr("a/two.png", b"nothing")
        archive.writestr("__MACOSX/a/._one.png", b"hidden")
    for request in ({"files": [("files", ("x.zip", packed.getvalue()))]}, {"content": packed.getvalue()}):
        headers = {"content-type": "application/zip"} if "content" in request else None
        results = client.post("/v1/predict", headers=headers, **request).json()["results"]
        assert [(one["path"], one["status"]) for one in results] == [("a/one.png", "ok"), ("a/two.png", "error")]


def test_the_name_of_a_file_is_shown_as_text_and_opens_nothing(client: TestClient, png: bytes) -> None:
    name = "../../etc/passwd<script>é.png"
    assert client.post("/v1/predict", files=[("files", (name, png))]).json()["results"][0]["path"] == name


def test_heat_maps_come_with_the_results(client: TestClient, png: bytes) -> None:
    files = [("files", ("a.png", png)), ("files", ("b.png", b"bad"))]
    good, bad = client.post("/v1/predict?heatmaps=true", files=files).json()["results"]
    assert decoded(base64.b64decode(good["heatmap_png"])).shape == (90, 120 + 24, 3)
    assert bad["heatmap_png"] is None
    assert good["status"] == "ok"


def test_a_heat_map_is_that_of_the_command_line(
    client: TestClient, predictor: Predictor, png: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("heat") / "map.png"
    decision = predictor.predict(png, place).decision
    reply = client.post("/v1/heatmap", files={"file": ("a.png", png)})
    assert (reply.status_code, reply.headers["content-type"], reply.headers["x-label"]) == (200, "image/png", decision)
    np.testing.assert_allclose(decoded(reply.content).astype(int), decoded(place.read_bytes()).astype(int), atol=1)


def test_a_layer_on_the_film_is_the_overlay(client: TestClient, png: bytes, grey: NDArray[np.uint8]) -> None:
    laid, layer = (
        decoded(client.post(f"/v1/heatmap?label=normal&style={style}", content=png, headers=PNG).content).astype(float)
        for style in ("overlay", "layer")
    )
    assert layer.shape == (90, 120, 4)
    alpha = layer[..., 3:] / 255
    assert alpha.max() > 0.5
    np.testing.assert_allclose(layer[..., :3] * alpha + grey[..., None] * (1 - alpha), laid[:, :120], atol=2.5)


def test_a_heat_map_of_no_class_or_no_image_is_refused(client: TestClient, png: bytes) -> None:
    reply = client.post("/v1/heatmap?label=cold", content=png, headers=PNG)
    assert (reply.status_code, reply.json()["detail"]) == (422, "label must be one of normal, sick, got 'cold'; correct it.")
    reply = client.post("/v1/heatmap", content=b"bad", headers=PNG)
    assert (reply.status_code, reply.json()["code"]) == (422, "unreadable-image")
    assert reply.json()["detail"].startswith("image is not a PNG, ")


def test_the_public_part_of_the_model_names_no_place_and_no_file(client: TestClient, predictor: Predictor) -> None:
    found = client.get("/v1/model").json()
    assert found["labels"] == ["normal", "sick"]
    assert found["bundle_sha256"] == predictor.bundle.sha256
    assert found["decision"]["rule"] == "argmax"
    assert not {"provenance", "files"} & set(found)


def test_the_card_is_markdown_or_safe_html(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> None:
    evil = "<script>alert(1)</script> [x](javascript:alert(1))"
    client = serve(make_predictor(tmp_path_factory.mktemp("evil") / "model", name=evil))
    plain = client.get("/v1/model/card")
    assert plain.headers["content-type"] == "text/markdown; charset=utf-8"
    assert plain.text.startswith("---\n")
    shown = client.get("/v1/model/card", headers={"accept": "text/html"})
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    assert "<script" not in shown.text
    assert "href" not in shown.text
    assert "&lt;script&gt;" in shown.text
    assert "<h2>Inputs</h2>" in shown.text


def test_answers_hold_numbers_only(client: TestClient, png: bytes) -> None:
    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    json.loads(client.post("/v1/predict", content=png, headers=PNG).text, parse_constant=refuse)


def test_large_jpegs_and_grey_pngs_answer_as_the_predictor(client: TestClient, predictor: Predictor, encode: Encode) -> None:
    rng = np.random.default_rng(8)
    film = cv2.resize(rng.integers(0, 256, (9, 7), dtype=np.uint8), (640, 800), interpolation=cv2.INTER_CUBIC)
    for kind in ("JPEG", "PNG"):
        data = encode(np.asarray(film, np.uint8), kind)
        found = client.post("/v1/predict", content=data, headers=PNG).json()["results"][0]["probabilities"]
        assert found == pytest.approx(predictor.predict(data).probabilities, abs=1e-6)


def test_uploads_are_decoded_in_the_sandbox_by_default(serve: Serve, predictor: Predictor, png: bytes) -> None:
    client = serve(sandbox=True, decoders=1)
    good, bad = client.post("/v1/predict", files=[("files", ("a", png)), ("files", ("b", b"bad"))]).json()["results"]
    assert good["probabilities"] == pytest.approx(predictor.predict(png).probabilities, abs=1e-6)
    assert bad["reasons"][0].startswith("image is not a PNG, ")
