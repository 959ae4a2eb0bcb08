"""The audit of the real collections finds what is known of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungwise.data.audit import Finding, audit
from lungwise.data.prepare import Request, prepare
from lungwise.data.sources import SourceOptions
from lungwise.data.store import PreparedData
from lungwise.imaging.preprocess import Preprocess

pytestmark = pytest.mark.realdata
SPEC = Preprocess(stored=128)


def findings(data: PreparedData) -> dict[str, Finding]:
    return {finding.check: finding for finding in audit(data.manifest, data.pixels)}


def test_covidx_9a(real: Path, tmp_path: Path) -> None:
    data = prepare(real / "covidx9a", tmp_path / "data", Request(SPEC, allow_missing=True), SourceOptions(covidx="9A"))
    found = findings(data)
    assert "patient-across-splits" not in found
    assert "patient-label-change" not in found
    parts = found["source-confounding"].evidence["parts"]
    assert parts["test"]["oracle_accuracy"] == 0.75
    assert parts["test"]["counts"] == {
        "ricord": {"COVID-19": 200, "normal": 0, "pneumonia": 0}, "rsna": {"COVID-19": 0, "normal": 100, "pneumonia": 100},
    }  # fmt: skip
    assert found["source-confounding"].severity == "error"
    assert (found["body-part"].count, found["mixed-views"].count) == (487, 32)
    assert {name.split("/")[0] for name in found["body-part"].evidence["by_source"]} >= {"stonybrook"}
    assert (found["missing"].count, found["missing"].evidence["listed"]) == (30206, 30530)


def test_darkcovidnet(real: Path, tmp_path: Path) -> None:
    data = prepare(real / "darkcovidnet", tmp_path / "data", Request(SPEC))
    found = findings(data)
    assert found["source-confounding"].severity == "error"
    assert found["source-confounding"].evidence["parts"]["all"]["cramers_v"] == pytest.approx(1.0)
    assert ("No_findings/00002658_001.jpg", "No_findings/00002658_002.jpg") in found["duplicate"].groups
    assert "patient-across-splits" not in found


def test_kermany(real: Path, tmp_path: Path) -> None:
    data = prepare(real / "kermany", tmp_path / "data", Request(SPEC))
    found = findings(data)
    assert found["duplicate"].count == 30
    assert found["patient-across-splits"].count == 264
    assert "source-confounding" not in found
