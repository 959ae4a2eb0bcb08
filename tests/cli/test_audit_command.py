"""``lungwise audit`` and the options of ``prepare`` that repair what it finds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pydicom
import pytest

from lungwise.data.phantoms import write_phantoms
from lungwise.data.store import open_data
from tests.cli.test_main import lungwise
from tests.conftest import Encode
from tests.imaging.test_dicom import FULL_8, make


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Six phantoms of each class, and one of the normal ones among the pneumonias as well."""
    source = write_phantoms(tmp_path / "films", 6, 3)
    shutil.copy(min((source / "normal").iterdir()), source / "pneumonia" / "phantom-88888_1.png")
    return source


def test_an_error_ends_with_exit_code_1_and_its_repair_with_0(films: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    lungwise("prepare", films, "--out", data, "--size", 64)
    result = lungwise("audit", data, code=1)
    assert "error: 1 picture stands in the collection more than once with different labels" in result.stderr
    assert "repair: lungwise prepare SOURCE --out DIR --drop-duplicates" in result.stderr
    assert (data / "audit.html").read_text().startswith("<!doctype html>")
    lungwise("prepare", films, "--out", data, "--size", 64, "--drop-duplicates", "--overwrite")
    assert json.loads(lungwise("audit", data, "--json").stdout)["errors"] == 0


def test_json_names_the_images_of_every_finding(films: Path, tmp_path: Path, encode: Encode) -> None:
    (films / "normal" / "phantom-77777_1.png").write_bytes(encode(np.full((64, 64), 7, np.uint8)))
    lungwise("prepare", films, "--out", tmp_path / "data", "--size", 64)
    found = json.loads(lungwise("audit", tmp_path / "data", "--json", code=1).stdout)
    assert found["data"] == str(tmp_path / "data")
    assert {"duplicate-label-conflict", "blank", "tiny"} <= {finding["check"] for finding in found["findings"]}
    for finding in found["findings"]:
        assert finding["images"]
        assert all((films / path).exists() for path in finding["images"])
    assert json.loads((tmp_path / "data" / "audit.json").read_text()) == found["findings"]


def test_the_report_goes_elsewhere_when_told_to(films: Path, tmp_path: Path) -> None:
    lungwise("prepare", films, "--out", tmp_path / "data", "--size", 64)
    (tmp_path / "data" / "audit.json").unlink()
    lungwise("audit", tmp_path / "data", "--out", tmp_path / "report", "--quiet", code=1)
    assert {file.name for file in (tmp_path / "report").iterdir()} == {"audit.html", "audit.json"}
    assert not (tmp_path / "data" / "audit.json").exists()


def test_what_is_no_prepared_data_set_is_one_sentence(tmp_path: Path) -> None:
    result = lungwise("audit", tmp_path, code=2)
    assert result.stderr.startswith(f"Error: {tmp_path} is not a prepared data set; run lungwise prepare")


def test_images_are_left_out_from_the_command_line(films: Path, tmp_path: Path) -> None:
    arguments = ["prepare", films, "--out", tmp_path / "data", "--size", 64, "--exclude", "pneumonia/phantom-88888_1.png"]
    text = lungwise(*arguments).stderr
    assert "1 image was left out; see column 'status' of the manifest." in text
    assert open_data(tmp_path / "data").facts["excluded"] == 1


def test_dicom_patients_become_pseudonyms_under_the_given_key(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(12):
        place = tmp_path / "clinic" / ("normal" if number % 2 else "ill") / f"{number}.dcm"
        place.parent.mkdir(parents=True, exist_ok=True)
        grey = rng.integers(0, 256, (64, 64), dtype=np.uint8)
        place.write_bytes(make(grey, PatientID=f"MRN-{number // 4}{number % 2}", PatientBirthDate="19600101", **FULL_8))
    for out in ("a", "b"):
        lungwise("prepare", tmp_path / "clinic", "--out", tmp_path / out, "--size", 64, "--patient-key", tmp_path / "key")
    tables = [open_data(tmp_path / out).manifest for out in ("a", "b")]
    assert tables[0]["patient"].n_unique() == 6
    assert tables[0]["patient"].to_list() == tables[1]["patient"].to_list()
    written = b"".join(file.read_bytes() for file in (tmp_path / "a").iterdir() if file.suffix != ".npy")
    for secret in (b"MRN-", b"Secret", b"19600101"):
        assert secret not in written


def test_secondary_capture_is_read_only_when_allowed(tmp_path: Path) -> None:
    capture = pydicom.uid.SecondaryCaptureImageStorage
    for number in range(12):
        place = tmp_path / "clinic" / ("normal" if number % 2 else "ill") / f"case{number}.dcm"
        place.parent.mkdir(parents=True, exist_ok=True)
        grey = np.random.default_rng(number).integers(0, 256, (64, 64), dtype=np.uint8)
        place.write_bytes(make(grey, SOPClassUID=capture, PatientID=f"P{number}", **FULL_8))
    arguments = ["prepare", tmp_path / "clinic", "--size", 64, "--patient-key", tmp_path / "key", "--out", tmp_path / "data"]
    assert "None of the 12 images can be read" in lungwise(*arguments, code=2).stderr
    lungwise(*arguments, "--allow-secondary")
    assert (open_data(tmp_path / "data").manifest["status"] == "ok").all()


def test_the_audit_of_a_manifest_with_missing_files_counts_them(films: Path, tmp_path: Path) -> None:
    paths = sorted(file.relative_to(films).as_posix() for file in films.rglob("*.png"))
    rows = pl.DataFrame({"path": [*paths, "gone.png"], "label": [*(path.split("/")[0] for path in paths), "normal"]})
    rows.write_csv(films / "list.csv")
    lungwise("prepare", films / "list.csv", "--out", tmp_path / "data", "--size", 64, "--allow-missing")
    found = json.loads(lungwise("audit", tmp_path / "data", "--json", code=1).stdout)
    (missing,) = (finding for finding in found["findings"] if finding["check"] == "missing")
    assert (missing["images"], missing["evidence"]["listed"]) == (["gone.png"], len(paths) + 1)
