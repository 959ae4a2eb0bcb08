"""The whole audit: order, scope, and the concerns that need no picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lungwise.data.audit import Finding, audit, worst_first
from lungwise.data.audit.disk import missing_files, unlisted_files, unreadable_files
from lungwise.data.audit.duplicates import Pairs
from lungwise.data.phantoms import make_phantom
from lungwise.imaging.preprocess import resize
from tests.conftest import MakeManifest

NONE: Pairs = np.zeros((0, 2), np.int64)


def films(number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.stack([resize(make_phantom("normal", np.random.default_rng(film)).pixels, 64) for film in range(number)])


def test_a_clean_collection_has_no_findings(make_manifest: MakeManifest) -> None:
    table = make_manifest(image=["a", "b", "c"]).with_columns(pl.col("width", "height") * 16)
    assert audit(table, films(3), pairs=NONE) == []


def test_copies_are_searched_for_where_nobody_has(make_manifest: MakeManifest) -> None:
    squares = films(3)
    squares[2] = np.clip(squares[0].astype(int) + 6, 0, 255)
    table = make_manifest(path=["a", "b", "c"]).with_columns(pl.col("width", "height") * 16)
    (finding,) = audit(table, squares)
    assert (finding.check, finding.images) == ("near-duplicate", ("a", "c"))


def test_a_patient_on_both_sides_is_found(make_manifest: MakeManifest) -> None:
    table = make_manifest(path=["a", "b", "c"], patient=["p", "p", "q"], split=["train", "test", "test"])
    (finding,) = audit(table.with_columns(pl.col("width", "height") * 16), films(3), pairs=NONE)
    assert (finding.check, finding.severity, finding.count) == ("patient-across-splits", "error", 1)
    assert finding.message == "1 patient id stands in more than one of train, validation and test"
    assert (finding.images, finding.groups) == (("a", "b"), (("a", "b"),))
    assert finding.as_json()["evidence"]["patients"] == ["p"]


def test_a_patient_with_two_labels_is_worth_a_note(make_manifest: MakeManifest) -> None:
    table = make_manifest(path=["a", "b"], patient=["p", "p"], label=["x", "y"])
    (finding,) = audit(table.with_columns(pl.col("width", "height") * 16), films(2), pairs=NONE)
    assert (finding.check, finding.severity, finding.images) == ("patient-label-change", "note", ("a", "b"))


@pytest.mark.parametrize("status", ["excluded: x", "cut off"])
def test_images_that_take_part_in_nothing_are_not_judged(make_manifest: MakeManifest, status: str) -> None:
    table = make_manifest(sha256=["s", "s"], patient=["p", "p"], split=["train", "none"], status=["ok", status])
    found = audit(table.with_columns(pl.col("width", "height") * 16), films(2), pairs=np.array([[0, 1]]))
    assert [finding.check for finding in found] == (["unreadable"] if status == "cut off" else [])


def test_missing_files_count_for_the_list_and_not_for_the_pictures(make_manifest: MakeManifest) -> None:
    table = make_manifest(
        path=["a", "b", "c"], patient=["p", "q", "p"], split=["train", "train", "test"], status=["ok", "ok", "missing"],
        sha256=["s", "t", ""],
    )  # fmt: skip
    found = audit(table.with_columns(pl.col("width", "height") * 16), films(2), pairs=NONE)
    assert [(finding.check, finding.images) for finding in found] == [
        ("patient-across-splits", ("a", "c")),
        ("missing", ("c",)),
    ]
    assert found[1].evidence["by_split"] == {"test": 1}


def test_what_cannot_be_read_is_named_with_the_reason(make_manifest: MakeManifest) -> None:
    table = make_manifest(path=["a", "b"], status=["ok", "b is cut off."], split=["train", "none"])
    (finding,) = unreadable_files(table)
    assert finding.evidence["reasons"] == {"b": "b is cut off."}
    assert missing_files(table) == []


def test_files_that_no_list_names_are_noted(make_manifest: MakeManifest, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "below/c.jpg", ".hidden.png", "list.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (finding,) = unlisted_files(make_manifest(path=["a.png"]), tmp_path)
    assert (finding.severity, finding.images) == ("note", ("b.png", "below/c.jpg"))


def test_errors_come_before_warnings_before_notes() -> None:
    found = [
        Finding("a", "note", 9, ""),
        Finding("b", "warning", 1, ""),
        Finding("c", "error", 1, ""),
        Finding("d", "error", 2, ""),
    ]
    assert [finding.check for finding in worst_first(found)] == ["d", "c", "b", "a"]
