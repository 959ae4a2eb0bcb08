"""Preparation of the real collections, in the folder that LUNGWISE_REALDATA names."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungwise.data.prepare import Request, prepare
from lungwise.data.sources import SourceOptions
from lungwise.errors import DataError
from lungwise.imaging.preprocess import Preprocess
from lungwise.imaging.read import read

pytestmark = pytest.mark.realdata
SMALL = Request(Preprocess(stored=32))


def test_kermany_keeps_its_official_test_part(real: Path, tmp_path: Path) -> None:
    data = prepare(real / "kermany", tmp_path / "data", SMALL)
    assert data.facts["counts"]["test"] == {"NORMAL": 234, "PNEUMONIA": 390}
    assert len(data.train) + len(data.validation) == 5216
    assert (data.facts["unreadable"], data.facts["missing"]) == (0, 0)
    assert set(data.manifest["source"]) == {"kermany"}


def test_darkcovidnet_is_split_by_patient(real: Path, tmp_path: Path) -> None:
    data = prepare(real / "darkcovidnet", tmp_path / "data", SMALL)
    totals = dict(data.manifest.group_by("label").len().iter_rows())
    assert totals == {"Covid-19": 124, "No_findings": 500, "Pneumonia": 500}
    parts = [set(part.manifest["patient"]) for part in (data.train, data.validation, data.test)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert data.facts["unreadable"] == 0


def test_covidx9a_with_missing_files_is_refused(real: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"but 30206 of 30530 are missing under .* \(test 400, train 29806; "):
        prepare(real / "covidx9a", tmp_path / "data", SMALL, SourceOptions(covidx="9A"))
    assert len((tmp_path / "data.missing.txt").read_text().splitlines()) == 30206
    assert not (tmp_path / "data").exists()


def test_covidx9a_goes_on_when_missing_files_are_allowed(real: Path, tmp_path: Path) -> None:
    data = prepare(real / "covidx9a", tmp_path / "data", Request(SMALL.spec, allow_missing=True), SourceOptions(covidx="9A"))
    assert (data.facts["missing"], data.facts["unreadable"]) == (30206, 0)
    assert (data.manifest["status"] == "ok").sum() == data.pixels.shape[0] == 324


def test_every_original_is_read(real: Path) -> None:
    sizes = [read(file).pixels.shape for file in sorted((real / "originals").iterdir())]
    assert len(sizes) == 57
    assert max(height * width for height, width in sizes) > 10_000_000
