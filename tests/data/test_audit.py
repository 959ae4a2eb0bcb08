"""What in a collection would mislead."""

from __future__ import annotations

import pytest

from lungwise.data.audit import audit
from tests.conftest import MakeManifest


def test_a_clean_collection_has_no_findings(make_manifest: MakeManifest) -> None:
    assert audit(make_manifest(image=["a", "b", "c"])) == []


@pytest.mark.parametrize(
    ("labels", "splits", "check", "severity"),
    [
        (["x", "y"], ["train", "train"], "duplicate-label-conflict", "error"),
        (["x", "y"], ["train", "test"], "duplicate-label-conflict", "error"),
        (["x", "x"], ["train", "test"], "duplicate-across-splits", "error"),
        (["x", "x"], ["train", "train"], "duplicate", "warning"),
    ],
)
def test_the_same_picture_twice_is_found(
    make_manifest: MakeManifest, labels: list[str], splits: list[str], check: str, severity: str
) -> None:
    table = make_manifest(image=["b", "a", "c"], label=[*labels, "x"], split=[*splits, "train"], sha256=["s", "s", "t"])
    (finding,) = audit(table)
    assert (finding["check"], finding["severity"], finding["count"]) == (check, severity, 1)
    assert finding["images"] == ["a", "b"]
    assert finding["message"].startswith("1 pictures stand in ")


def test_a_patient_on_both_sides_is_found(make_manifest: MakeManifest) -> None:
    table = make_manifest(image=["a", "b", "c"], patient=["p", "p", "q"], split=["train", "test", "test"])
    (finding,) = audit(table)
    assert finding == {
        "check": "patient-across-splits",
        "severity": "error",
        "count": 1,
        "message": "1 patient ids stand in more than one of train, validation and test",
        "images": ["a", "b"],
    }


@pytest.mark.parametrize("aside", [{"split": ["train", "none"]}, {"split": ["train", "none"], "status": ["ok", "missing"]}])
def test_images_that_take_part_in_nothing_are_not_judged(make_manifest: MakeManifest, aside: dict[str, list[str]]) -> None:
    assert audit(make_manifest(sha256=["s", "s"], patient=["p", "p"], **aside)) == []


def test_errors_come_before_warnings(make_manifest: MakeManifest) -> None:
    table = make_manifest(label=["x", "x", "x", "y"], sha256=["s", "s", "t", "t"])
    assert [finding["severity"] for finding in audit(table)] == ["error", "warning"]
