"""The shortcut audit of a bundle on prepared phantoms: what it writes, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lungwise.data.phantoms import CLASSES
from lungwise.data.store import PreparedData
from lungwise.errors import DataError
from lungwise.imaging.preprocess import Preprocess
from lungwise.inference.predictor import Predictor
from lungwise.shortcuts import audit_shortcuts
from tests.bundle_factory import make_predictor

CHECKS = ["source-oracle", "probe", "lungs-covered", "only-lungs", "within-sources", "stability", "left-out-source"]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A bundle of the phantoms' classes whose network has random weights."""
    return make_predictor(tmp_path_factory.mktemp("bundle") / "b", labels=CLASSES)


@pytest.fixture(scope="module")
def tested(small_data: PreparedData) -> PreparedData:
    """The small data set with every image in the test part."""
    return replace(small_data, manifest=small_data.manifest.with_columns(split=pl.lit("test")))


@pytest.fixture(scope="module")
def audited(predictor: Predictor, tested: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("audit")
    steps: list[str] = []
    audit_shortcuts(predictor, tested, out, progress=steps.append)
    assert steps[:2] == ["where the lungs are", "the films as they are"]
    return out


def test_clean_phantoms_raise_nothing(audited: Path) -> None:
    found = json.loads((audited / "shortcuts.json").read_text())
    assert [check["name"] for check in found["checks"]] == CHECKS
    assert found["severity"] in ("note", "ok"), [c["message"] for c in found["checks"] if c["severity"] in ("error", "warning")]
    assert (found["films"], found["of"], found["lungs_found"]) == (54, 54, 54)
    assert found["synthetic"]
    assert "All films come from one source ('phantom')" in found["checks"][0]["message"]


def test_the_page_stands_beside_the_json(audited: Path) -> None:
    page = (audited / "shortcuts.html").read_text()
    assert "Does tiny read lungs, or the source?" in page
    for name in CHECKS:
        assert f'id="{name}"' in page


def test_the_same_audit_again_is_the_same(predictor: Predictor, tested: PreparedData, audited: Path, tmp_path: Path) -> None:
    audit_shortcuts(predictor, tested, tmp_path)
    assert (tmp_path / "shortcuts.json").read_bytes() == (audited / "shortcuts.json").read_bytes()


def test_a_source_that_gives_the_class_away_is_an_error(predictor: Predictor, tested: PreparedData, tmp_path: Path) -> None:
    confounded = replace(tested, manifest=tested.manifest.with_columns(source="from " + pl.col("label")))
    found = audit_shortcuts(predictor, confounded, tmp_path)
    checks = {check["name"]: check for check in found["checks"]}
    assert found["severity"] == checks["source-oracle"]["severity"] == "error"
    assert "gives its class away (answering from the source alone is right for 100 % [" in checks["source-oracle"]["message"]
    assert checks["source-oracle"]["details"]["cramers_v"] == pytest.approx(1.0)
    assert checks["within-sources"]["severity"] == checks["left-out-source"]["severity"] == "warning"
    assert "without 'from normal' no film of 'normal' is left" in checks["left-out-source"]["message"]


def test_films_without_lungs_are_a_note(predictor: Predictor, tested: PreparedData, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, tested.pixels.shape, dtype=np.uint8)
    found = audit_shortcuts(predictor, replace(tested, pixels=noise), tmp_path)
    assert found["lungs_found"] < 27
    covered = {check["name"]: check for check in found["checks"]}["lungs-covered"]
    assert covered["severity"] == "note"
    assert "so covering them says nothing; audit upright frontal films." in covered["message"]


def test_a_data_set_without_a_test_part_is_refused(predictor: Predictor, tested: PreparedData, tmp_path: Path) -> None:
    trained = replace(tested, manifest=tested.manifest.with_columns(split=pl.lit("train")))
    with pytest.raises(
        DataError, match=r"needs at least 20 films in the test part, .* has 0; prepare the data with a larger one"
    ):
        audit_shortcuts(predictor, trained, tmp_path)
    assert not list(tmp_path.iterdir())


def test_few_films_are_refused(predictor: Predictor, small_data: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"has {len(small_data.test)}; prepare the data with a larger one"):
        audit_shortcuts(predictor, small_data, tmp_path)


def test_a_bundle_of_other_classes_is_refused(tested: PreparedData, tmp_path: Path) -> None:
    other = make_predictor(tmp_path / "b")
    with pytest.raises(DataError, match=r"must be the bundle's \['normal', 'sick'\], but 'COVID-19' is not; rename it"):
        audit_shortcuts(other, tested, tmp_path)


def test_a_bundle_of_another_size_is_refused(tested: PreparedData, tmp_path: Path) -> None:
    other = make_predictor(tmp_path / "b", labels=CLASSES, preprocess=Preprocess(stored=48, size=32))
    with pytest.raises(DataError, match=r"\(--size 48 --fit stretch\), but they are 40 px, stretch; prepare them again"):
        audit_shortcuts(other, tested, tmp_path)
