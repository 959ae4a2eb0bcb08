"""Alive is not ready."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lungwise.inference.predictor import load
from tests.bundle_factory import make_bundle, make_head
from tests.service.conftest import Serve


@pytest.fixture
def own(tmp_path: Path, bundle: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "model"))


def test_a_model_that_is_removed_makes_it_unready_but_not_dead(serve: Serve, own: Path) -> None:
    client = serve(load(own), model=own)
    assert client.get("/v2/health/ready").status_code == 200
    shutil.rmtree(own)
    reply = client.get("/v2/health/ready")
    assert (reply.status_code, reply.json()["code"], reply.headers["retry-after"]) == (503, "not-ready", "5")
    assert (
        reply.json()["detail"]
        == "The model's files are gone or damaged; the service must be started again with a whole bundle."
    )
    assert client.get("/v2/health/live").status_code == 200
    assert client.get("/ping").status_code == 503


def test_one_changed_byte_makes_it_unready(serve: Serve, own: Path) -> None:
    client = serve(load(own), model=own)
    file = own / "model.onnx"
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(bytes(data))
    assert client.get("/v2/health/ready").status_code == 503


def test_files_that_were_only_touched_are_verified_again(serve: Serve, own: Path) -> None:
    client = serve(load(own), model=own)
    file = own / "model.onnx"
    file.write_bytes(file.read_bytes())
    assert client.get("/v2/health/ready").status_code == 200


def test_another_model_in_its_place_makes_it_unready(serve: Serve, own: Path) -> None:
    client = serve(load(own), model=own)
    shutil.rmtree(own)
    make_bundle(own, make_head(seed=9))
    assert client.get("/v2/health/ready").json()["detail"].startswith("The model's files are those of another model")


def test_data_must_be_writable(serve: Serve, tmp_path: Path) -> None:
    store = tmp_path / "data"
    store.mkdir()
    client = serve(data=store)
    assert client.get("/v2/health/ready").status_code == 200
    assert list(store.iterdir()) == []
    store.rmdir()
    assert client.get("/v2/health/ready").json()["detail"] == "The folder for data cannot be written to."
