"""The same picture more than once, as findings and as rows that are left out."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from lungwise.data.audit.duplicates import duplicates, exact_pairs, grouped
from lungwise.data.audit.finding import Finding
from lungwise.data.exclude import drop_copies
from tests.conftest import MakeManifest


def pairs(*rows: tuple[int, int]) -> NDArray[np.int64]:
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def found(table: pl.DataFrame, near: NDArray[np.int64]) -> list[Finding]:
    table = table.with_row_index("row")
    return duplicates(table, np.concatenate([exact_pairs(table), near]))


def test_nothing_is_found_where_there_is_nothing(make_manifest: MakeManifest) -> None:
    assert found(make_manifest(image=["a", "b", "c"]), pairs()) == []


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(
    ("labels", "splits", "suffix", "severity"),
    [
        (["x", "y"], ["train", "train"], "-label-conflict", "error"),
        (["x", "y"], ["train", "test"], "-label-conflict", "error"),
        (["x", "x"], ["train", "test"], "-across-splits", "error"),
        (["x", "x"], ["train", "train"], "", "warning"),
    ],
)
def test_the_same_picture_twice_is_found(
    make_manifest: MakeManifest, exact: bool, labels: list[str], splits: list[str], suffix: str, severity: str
) -> None:
    table = make_manifest(
        path=["b", "a", "c"], label=[*labels, "x"], split=[*splits, "train"], sha256=["s", "s" if exact else "u", "t"]
    )
    (finding,) = found(table, pairs() if exact else pairs((0, 1)))
    assert (finding.check, finding.severity) == (("duplicate" if exact else "near-duplicate") + suffix, severity)
    assert (finding.count, finding.images, finding.groups) == (1, ("a", "b"), (("a", "b"),))
    assert finding.message.startswith("1 picture")
    assert finding.message.endswith("1 of them under several patient ids")
    assert finding.repair == "lungwise prepare SOURCE --out DIR --drop-duplicates"


def test_copies_of_copies_are_one_group(make_manifest: MakeManifest) -> None:
    table = make_manifest(path=list("abcdef"), sha256=["s", "s", "t", "u", "v", "v"], patient=["p"] * 6)
    groups = grouped(
        table.with_row_index("row"), np.concatenate([exact_pairs(table.with_row_index("row")), pairs((1, 2), (2, 3))])
    )
    assert groups["paths"].to_list() == [["a", "b", "c", "d"], ["e", "f"]]
    assert groups["exact"].to_list() == [False, True]
    assert groups["patients"].to_list() == [1, 1]


def test_pairs_with_a_row_that_takes_no_part_are_passed_over(make_manifest: MakeManifest) -> None:
    used = make_manifest(path=list("abc")).with_row_index("row").filter(pl.col("path") != "b")
    assert duplicates(used, pairs((0, 1), (1, 2))) == []


def test_a_thousand_copies_are_a_thousand_pairs(make_manifest: MakeManifest) -> None:
    table = make_manifest(sha256=["s"] * 1000).with_row_index("row")
    assert len(exact_pairs(table)) == 999
    (finding,) = found(table.drop("row"), pairs())
    assert (finding.count, len(finding.images)) == (1, 1000)


def test_of_copies_the_test_part_keeps_its_own_then_the_largest_stays(make_manifest: MakeManifest) -> None:
    table = make_manifest(
        path=list("abcdef"), split=["train", "test", "validation", "", "", ""], sha256=["s", "s", "s", "t", "t", "u"]
    ).with_columns(width=pl.Series([64, 64, 64, 64, 128, 64], dtype=pl.Int32))
    table = table.with_row_index("row")
    left = drop_copies(table, exact_pairs(table))
    assert left["status"].to_list() == [
        "excluded: duplicate of b", "ok", "excluded: duplicate of b", "excluded: duplicate of e", "ok", "ok",
    ]  # fmt: skip
    assert left["split"].to_list() == ["none", "test", "none", "none", "", ""]


def test_copies_with_different_labels_all_go(make_manifest: MakeManifest) -> None:
    table = make_manifest(path=list("abc"), label=["x", "y", "x"], sha256=["s", "s", "t"]).with_row_index("row")
    left = drop_copies(table, exact_pairs(table))
    assert left["status"].to_list() == ["excluded: the same picture stands under different labels"] * 2 + ["ok"]
