"""The manifest is checked whenever it is written or read."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from lungwise.data.manifest import SCHEMA, check, conflicts, counts, read_manifest, write_manifest
from lungwise.errors import DataError
from tests.conftest import MakeManifest


def test_a_manifest_survives_the_disk(tmp_path: Path, make_manifest: MakeManifest) -> None:
    table = make_manifest(image=["a", "b"])
    write_manifest(tmp_path / "manifest.parquet", table)
    assert read_manifest(tmp_path / "manifest.parquet").equals(table.select(list(SCHEMA)))


BAD = [
    ({"image": ["a", "a"]}, "'image' must be unique; 2 rows break this, the first is 'a'."),
    ({"image": ["a", "b"], "view": ["", None]}, "no value may be missing; 1 rows break this, the first is 'b'."),
    (
        {"image": ["a", "b"], "split": ["train", "dev"]},
        "'split' must be one of ['train', 'validation', 'test', 'none']; 1 rows break this, the first is 'b'.",
    ),
    ({"image": ["a", "b"], "label": ["x", ""]}, "'label' must not be empty; 1 rows break this, the first is 'b'."),
    ({"image": ["a", "b"], "patient": ["", "p"]}, "'patient' must not be empty; 1 rows break this, the first is 'a'."),
    (
        {"image": ["a", "b"], "status": ["ok", "cut off"]},
        "an image that is neither ok nor missing must have split 'none'; 1 rows break this, the first is 'b'.",
    ),
]


@pytest.mark.parametrize(("columns", "rule"), BAD)
def test_a_bad_row_is_named_and_never_written(
    tmp_path: Path, make_manifest: MakeManifest, columns: dict[str, list[str]], rule: str
) -> None:
    with pytest.raises(DataError) as caught:
        write_manifest(tmp_path / "m.parquet", make_manifest(**columns))
    assert str(caught.value) == f"In a manifest {rule}"
    assert list(tmp_path.iterdir()) == []


def test_a_bad_row_is_found_on_reading(tmp_path: Path, make_manifest: MakeManifest) -> None:
    make_manifest(image=["a", "a"]).write_parquet(tmp_path / "m.parquet")
    with pytest.raises(DataError, match="'image' must be unique"):
        read_manifest(tmp_path / "m.parquet")


def test_a_lost_column_is_named(make_manifest: MakeManifest) -> None:
    with pytest.raises(DataError, match=r"it lacks \['phash'\]; prepare the data set again\.$"):
        check(make_manifest(image=["a"]).drop("phash"))


def test_a_column_of_another_type_is_named(make_manifest: MakeManifest) -> None:
    table = make_manifest(image=["a"]).with_columns(pl.col("width").cast(pl.Int64))
    with pytest.raises(DataError) as caught:
        check(table)
    assert str(caught.value) == "Column 'width' of a manifest must be Int32, got Int64; convert it."


def test_an_absent_manifest_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist; prepare the data set first: lungwise prepare SOURCE --out DIR\.$"):
        read_manifest(tmp_path / "manifest.parquet")


@pytest.mark.parametrize("content", [b"", b"no parquet at all", b"PAR1 cut"])
def test_a_damaged_manifest_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"is not a readable parquet file \([^\n]*\); prepare the data set again\.$"):
        read_manifest(tmp_path / "manifest.parquet")


def test_counts_are_of_readable_images_in_the_order_of_the_parts(make_manifest: MakeManifest) -> None:
    table = make_manifest(
        label=["b", "a", "a", "a"], split=["test", "train", "train", "none"], status=["ok", "ok", "ok", "missing"]
    )
    assert counts(table) == {"train": {"a": 2}, "test": {"b": 1}}
    assert list(counts(table)) == ["train", "test"]


def test_conflicts_are_patients_in_more_than_one_part(make_manifest: MakeManifest) -> None:
    table = make_manifest(patient=["p", "p", "q", "q", "r", "r"], split=["train", "test", "train", "none", "test", "test"])
    assert conflicts(table) == ["p"]
