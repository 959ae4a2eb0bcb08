"""``lungwise predict`` with images that cannot be assessed: answers without a class, and no failure."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from lungwise.bundle.spec import NoveltySpec
from lungwise.data.phantoms import CLASSES, make_phantom
from tests.bundle_factory import make_bundle
from tests.cli.test_main import lungwise
from tests.conftest import Encode

UPSIDE_DOWN = "upside down: turned by 180 degrees or mirrored"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    block = NoveltySpec(checks=("blank", "inverted", "rotated", "lateral", "not-chest"))
    return make_bundle(tmp_path_factory.mktemp("bundle") / "model", novelty=block)


@pytest.fixture
def films(tmp_path: Path, encode: Encode) -> Path:
    folder, pixels = tmp_path / "films", make_phantom(CLASSES[0], np.random.default_rng(5)).pixels
    folder.mkdir()
    (folder / "down.png").write_bytes(encode(np.ascontiguousarray(pixels[::-1])))
    (folder / "up.png").write_bytes(encode(pixels))
    return folder


def test_it_is_an_answer_and_no_failure(films: Path, model: Path) -> None:
    said = lungwise("predict", films, "--model", model, "--json")
    down, up = (json.loads(line) for line in said.stdout.splitlines())
    assert (down["status"], down["decision"], down["probabilities"]) == ("cannot assess", None, {})
    assert down["reasons"] == [UPSIDE_DOWN]
    assert (up["status"], up["reasons"]) == ("ok", [])
    assert said.stderr == "1 of 2 images cannot be assessed; each answer says why.\n"


def test_the_table_says_why(films: Path, model: Path) -> None:
    lines = lungwise("predict", films, "--model", model).stdout.splitlines()
    row = next(line for line in lines if "down.png" in line)
    assert "cannot assess" in row
    assert UPSIDE_DOWN in row


def test_csv_leaves_the_shares_empty(films: Path, model: Path) -> None:
    header, down, _ = csv.reader(io.StringIO(lungwise("predict", films, "--model", model, "--csv").stdout))
    cells = dict(zip(header, down, strict=True))
    assert (cells["status"], cells["decision"], cells["prob_sick"]) == ("cannot assess", "", "")
    assert cells["reasons"] == UPSIDE_DOWN


def test_a_file_that_cannot_be_read_still_is_a_failure(films: Path, model: Path) -> None:
    (films / "bad.png").write_bytes(b"nothing")
    said = lungwise("predict", films, "--model", model, "--json", code=1)
    assert [json.loads(line)["status"] for line in said.stdout.splitlines()] == ["error", "cannot assess", "ok"]
    assert said.stderr.splitlines()[-2:] == [
        "1 of 3 images could not be read.",
        "1 of 3 images cannot be assessed; each answer says why.",
    ]


def test_a_class_can_be_asked_for_all_the_same(films: Path, model: Path) -> None:
    said = lungwise("predict", films, "--model", model, "--json", "--even-if-novel")
    down, _ = (json.loads(line) for line in said.stdout.splitlines())
    assert (down["status"], down["reasons"]) == ("ok", [])
    assert down["decision"] in down["probabilities"]
    assert down["warnings"] == [f"answered although it cannot be assessed: {UPSIDE_DOWN}"]
    assert said.stderr == ""


def test_a_batch_does_not_go_on_with_the_other_rule(films: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.parquet"
    lungwise("predict", films, "--model", model, "--out", out)
    said = lungwise("predict", films, "--model", model, "--resume", out, "--even-if-novel", code=2)
    assert "assess_anyway" in said.stderr
