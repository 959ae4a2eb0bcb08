"""Workspaces: what a page shows, and that nothing of it stays."""

from __future__ import annotations

import csv
import io
import json
import re

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from lungwise.inference.predictor import Predictor
from lungwise.service.problems import Problem
from lungwise.service.settings import Settings
from lungwise.service.store import Workspaces
from lungwise.service.workspaces import concern
from tests.conftest import Encode
from tests.service.conftest import Serve
from tests.service.test_v1 import decoded


def make(client: TestClient) -> str:
    reply = client.post("/v1/workspaces")
    assert reply.status_code == 201
    assert reply.headers["location"] == f"/v1/workspaces/{reply.json()['id']}"
    return f"/v1/workspaces/{reply.json()['id']}"


def put(client: TestClient, place: str, data: bytes, name: str = "scan.png") -> str:
    reply = client.post(f"{place}/images", files={"file": (name, data)})
    assert reply.status_code == 201, reply.text
    assert reply.headers["location"] == f"{place}/images/{reply.json()['id']}"
    return reply.headers["location"]


def test_an_id_has_128_random_bits(client: TestClient) -> None:
    found = {make(client) for _ in range(20)}
    assert len(found) == 20
    assert all(re.fullmatch(r"/v1/workspaces/[0-9a-f]{32}", place) for place in found)


def test_an_image_is_added_with_its_answer(client: TestClient, predictor: Predictor, png: bytes) -> None:
    place = make(client)
    found = client.post(f"{place}/images", files={"file": ("scan.png", png)}).json()
    assert (found["name"], found["width"], found["height"], found["has_heatmap"]) == ("scan.png", 120, 90, True)
    wanted = predictor.predict(png).probabilities
    assert found["result"]["probabilities"] == pytest.approx(wanted, abs=1e-6)
    assert found["concern"] == pytest.approx(wanted["sick"], abs=1e-6)
    listed = client.get(place).json()
    assert listed["images"] == [found]
    assert listed["minutes"] == 30
    assert listed["model"]["intended_use"].startswith("Research use only")


def test_an_image_that_cannot_be_read_is_shown_as_such(client: TestClient) -> None:
    place = make(client)
    film = put(client, place, b"no image", "bad.png")
    (found,) = client.get(place).json()["images"]
    assert (found["result"]["status"], found["has_heatmap"], found["concern"]) == ("error", False, None)
    for name in ("pixels.png", "thumbnail.png", "heat.png", "annotated.png", "report.pdf"):
        reply = client.get(f"{film}/{name}")
        assert (reply.status_code, reply.json()["code"]) == (422, "unreadable-image")


def test_pixels_are_the_radiograph(client: TestClient, png: bytes, grey: NDArray[np.uint8]) -> None:
    film = put(client, make(client), png)
    np.testing.assert_array_equal(decoded(client.get(f"{film}/pixels.png").content), grey)


def test_large_images_are_shown_smaller(client: TestClient, encode: Encode) -> None:
    film = put(client, make(client), encode(np.zeros((2000, 5000), np.uint8)))
    assert decoded(client.get(f"{film}/pixels.png").content).shape == (1638, 4096)
    assert decoded(client.get(f"{film}/thumbnail.png").content).shape == (102, 256)
    assert decoded(client.get(f"{film}/heat.png").content).shape == (410, 1024, 4)


def test_a_jpeg_is_shown_in_full_but_answered_as_everywhere(client: TestClient, predictor: Predictor, encode: Encode) -> None:
    rng = np.random.default_rng(1)
    film = cv2.resize(rng.integers(0, 256, (9, 7), dtype=np.uint8), (640, 800), interpolation=cv2.INTER_CUBIC)
    data = encode(np.asarray(film, np.uint8), "JPEG")
    place = make(client)
    address = put(client, place, data)
    (found,) = client.get(place).json()["images"]
    assert (found["width"], found["height"]) == (640, 800)
    assert found["result"]["probabilities"] == pytest.approx(predictor.predict(data).probabilities, abs=1e-6)
    assert decoded(client.get(f"{address}/pixels.png").content).shape == (800, 640)


def test_heat_maps_of_each_class(client: TestClient, png: bytes) -> None:
    film = put(client, make(client), png)
    layers = {label: client.get(f"{film}/heat.png?label={label}") for label in ("normal", "sick")}
    assert all(decoded(reply.content).shape == (90, 120, 4) for reply in layers.values())
    assert layers["normal"].content != layers["sick"].content
    chosen = client.get(f"{film}/heat.png")
    assert chosen.content == layers[chosen.headers["x-label"]].content
    assert client.get(f"{film}/heat.png?label=cold").status_code == 422


def test_the_annotated_picture_holds_the_film_and_text(client: TestClient, png: bytes) -> None:
    picture = decoded(client.get(f"{put(client, make(client), png)}/annotated.png").content)
    assert picture.shape[1] == 120 + 24
    assert picture.shape[0] > 90
    assert picture[90:].max() > 200


def test_the_report_is_one_page_and_says_what_it_is_for(client: TestClient, png: bytes) -> None:
    reply = client.get(f"{put(client, make(client), png, 'Ärzte 医.png')}/report.pdf")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/pdf")
    assert reply.content.startswith(b"%PDF-")
    assert reply.content.count(b"/Type /Page\n") + reply.content.count(b"/Type /Page ") == 1


def test_results_as_csv_and_json(client: TestClient, png: bytes) -> None:
    place = make(client)
    put(client, place, png, "=cmd().png")
    put(client, place, b"bad", "b.png")
    reply = client.get(f"{place}/results.csv")
    rows = list(csv.DictReader(io.StringIO(reply.text)))
    assert [(row["path"], row["status"]) for row in rows] == [("'=cmd().png", "ok"), ("b.png", "error")]
    assert reply.headers["content-disposition"] == 'attachment; filename="results.csv"'
    assert client.get(f"{place}/results.csv?bom=true").content.startswith(b"\xef\xbb\xbfpath")
    found = client.get(f"{place}/results.json").json()
    assert [one["path"] for one in found["results"]] == ["=cmd().png", "b.png"]
    assert json.dumps(found["model"]) == json.dumps(client.get(place).json()["model"])


def test_deleted_is_gone(client: TestClient, png: bytes) -> None:
    place = make(client)
    first, second = put(client, place, png), put(client, place, png)
    assert client.delete(first).status_code == 204
    assert client.get(f"{first}/pixels.png").json()["code"] == "not-found"
    assert client.get(f"{second}/pixels.png").status_code == 200
    assert client.delete(place).status_code == 204
    for address in (place, f"{second}/pixels.png", f"{place}/results.csv"):
        assert client.get(address).status_code == 404
    assert client.delete(place).status_code == 204


def test_a_page_that_is_left_closes_by_post(client: TestClient, png: bytes) -> None:
    place = make(client)
    put(client, place, png)
    assert client.post(f"{place}/close", content=b"", headers={"content-type": "text/plain"}).status_code == 204
    assert client.get(place).status_code == 404
    assert client.app.state.service.workspaces.used == 0


def test_one_workspace_does_not_show_the_images_of_another(client: TestClient, png: bytes) -> None:
    mine, other = make(client), make(client)
    film = put(client, mine, png)
    assert client.get(f"{other}/images/{film.rsplit('/')[-1]}/pixels.png").status_code == 404


def test_there_is_an_end_to_images_workspaces_and_memory(serve: Serve, png: bytes) -> None:
    client = serve(workspace_images=1, workspaces=2, workspaces_mb=0.05)
    place = make(client)
    put(client, place, png)
    reply = client.post(f"{place}/images", files={"file": ("b.png", png)})
    assert (reply.status_code, reply.json()["detail"]) == (507, "A workspace may have 1 images; delete one first.")
    other = make(client)
    for _ in range(3):
        reply = client.post(f"{other}/images", files={"file": ("b.png", png)})
    assert (reply.status_code, reply.json()["code"]) == (507, "out-of-space")
    reply = client.post("/v1/workspaces")
    assert (reply.status_code, reply.json()["code"], reply.headers["retry-after"]) == (429, "too-many-workspaces", "60")


def test_a_workspace_ends_when_nobody_asks_for_it() -> None:
    now = [0.0]
    store = Workspaces(Settings(workspace_minutes=1), lambda: now[0])
    made = store.make()
    now[0] = 59
    store.get(made.id)
    now[0] = 118
    assert store.get(made.id) is made
    now[0] = 178
    with pytest.raises(Problem, match=r"^There is no such workspace; it ends 1 minutes after its last request\.$"):
        store.get(made.id)
    assert len(store) == 0


@pytest.mark.parametrize(
    ("shares", "wanted"),
    [
        ({"normal": 0.25, "sick": 0.75}, 0.75),
        ({"COVID-19": 0.5, "No_findings": 0.25, "Pneumonia": 0.25}, 0.75),
        ({"a": 0.5, "b": 0.5}, None),
        ({}, None),
    ],
)
def test_concern_is_the_probability_of_anything_but_normal(shares: dict[str, float], wanted: float | None) -> None:
    assert concern(shares) == wanted
