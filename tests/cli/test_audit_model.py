"""``lungwise audit DATA --model BUNDLE``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lungwise.data.phantoms import CLASSES, write_phantoms
from tests.bundle_factory import make_bundle
from tests.cli.test_main import lungwise


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms, more than half of them in the test part."""
    folder = tmp_path_factory.mktemp("data")
    source = write_phantoms(folder / "films", 14, 3)
    lungwise("prepare", source, "--out", folder / "data", "--size", 40, "--test", 0.6)
    return folder / "data"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b", labels=CLASSES)


def test_both_audits_are_made_and_clean_phantoms_pass(data: Path, bundle: Path, tmp_path: Path) -> None:
    result = lungwise("audit", data, "--model", bundle, "--out", tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"audit.html", "audit.json", "shortcuts.html", "shortcuts.json"}
    assert "Checking where the lungs are" in result.stderr
    assert "From everything around the lungs the class cannot clearly be told" in result.stderr
    assert f"Report: {tmp_path / 'shortcuts.html'}" in result.stderr


def test_an_error_ends_with_exit_code_1_and_json_has_both(data: Path, bundle: Path, tmp_path: Path) -> None:
    import polars as pl

    from lungwise.data.manifest import write_manifest

    confounded = tmp_path / "confounded"
    confounded.mkdir()
    for file in data.iterdir():
        (confounded / file.name).write_bytes(file.read_bytes())
    table = pl.read_parquet(data / "manifest.parquet").with_columns(source="from " + pl.col("label"))
    write_manifest(confounded / "manifest.parquet", table)
    result = lungwise("audit", confounded, "--model", bundle, "--json", "--out", tmp_path / "report", code=1)
    found = json.loads(result.stdout)
    assert found["shortcuts"] == json.loads((tmp_path / "report" / "shortcuts.json").read_text())
    assert found["shortcuts"]["severity"] == "error"
    assert found["findings"]


def test_left_out_needs_a_model(data: Path, tmp_path: Path) -> None:
    result = lungwise("audit", data, "--left-out", tmp_path, code=2)
    assert "Error: --left-out says how a model does on new sources, so it needs --model BUNDLE; give both." in result.stderr


def test_what_is_no_bundle_is_one_sentence(data: Path, tmp_path: Path) -> None:
    result = lungwise("audit", data, "--model", tmp_path, "--out", tmp_path / "report", code=2)
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in result.stderr


def test_a_left_out_run_that_is_none_is_one_sentence(data: Path, bundle: Path, tmp_path: Path) -> None:
    result = lungwise("audit", data, "--model", bundle, "--left-out", tmp_path, "--out", tmp_path / "report", code=2)
    assert "has no metrics.json; evaluate it first: lungwise evaluate" in result.stderr
