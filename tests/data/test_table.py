"""A table with one row an image."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from lungwise.data.sources import SourceOptions, list_source
from lungwise.data.sources.table import list_table
from lungwise.errors import DataError


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "xrays.csv"


def test_rows_come_in_the_order_of_their_paths(table: Path) -> None:
    table.write_text("path,label,patient,source,split\nb.png,sick,2,x,test\na.png,well,1,y,\n")
    assert list_table(table).rows.rows() == [("a.png", "well", "1", "y", ""), ("b.png", "sick", "2", "x", "test")]


def test_a_patient_keeps_its_zeros(table: Path) -> None:
    table.write_text("path,label,patient\na.png,x,007\n")
    assert list_table(table).rows["patient"].to_list() == ["007"]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".CSV"])
def test_every_kind_of_table_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    frame = pl.DataFrame({"path": ["a.png"], "label": ["x"], "patient": [7]})
    if suffix == ".parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, separator="\t" if suffix == ".tsv" else ",")
    assert list_source(path).rows["patient"].to_list() == ["7"]


def test_columns_may_have_other_names(table: Path) -> None:
    table.write_text("Image Index,Finding Labels,Patient ID\na.png,x,7\n")
    rows = list_table(
        table, SourceOptions(columns={"path": "Image Index", "label": "Finding Labels", "patient": "Patient ID"})
    ).rows
    assert rows.select("path", "label", "patient").rows() == [("a.png", "x", "7")]


def test_without_a_patient_column_names_of_files_tell(table: Path) -> None:
    table.write_text("path,label\nd/00001280_004.png,x\nd/case7-day3.png,y\n")
    listing = list_table(table)
    assert listing.rows["patient"].to_list() == ["00001280", "case7"]
    assert listing.notes == ("The table has no patient column: patients come from the names of the files.",)


def test_a_pattern_may_tell_the_patient(table: Path) -> None:
    table.write_text("path,label\nd/2020-p7.png,x\n")
    assert list_table(table, SourceOptions(patient_pattern=r"-(p\d+)")).rows["patient"].to_list() == ["p7"]


def test_images_may_lie_elsewhere(table: Path, tmp_path: Path) -> None:
    table.write_text("path,label\na.png,x\n")
    assert list_table(table).root == tmp_path
    assert list_source(table, SourceOptions(images=tmp_path)).root == tmp_path


@pytest.mark.parametrize(
    ("written", "split"),
    [("train", "train"), ("TRAIN", "train"), (" val ", "validation"), ("Testing", "test"), ("none", "none"), ("", "")],
)
def test_splits_are_recognised(table: Path, written: str, split: str) -> None:
    table.write_text(f"path,label,split\na.png,x,{written}\n")
    assert list_table(table).rows["split"].to_list() == [split]


def refusal(table: Path, columns: dict[str, str] | None = None) -> str:
    with pytest.raises(DataError) as caught:
        list_source(table, SourceOptions(columns=columns or {}))
    return str(caught.value)


def test_a_missing_label_column_lists_the_columns(table: Path) -> None:
    table.write_text("path,finding\na.png,x\n")
    assert refusal(table) == (
        "xrays.csv must have a column 'label' for the label, it has path, finding; name the right one with --column label=NAME."
    )


def test_a_column_that_was_named_must_exist(table: Path) -> None:
    table.write_text("path,label\na.png,x\n")
    assert refusal(table, {"patient": "pid"}) == "xrays.csv has no column 'pid', it has path, label; correct --column."
    assert refusal(table, {"label": "dx"}).startswith("xrays.csv must have a column 'dx' for the label")


def test_only_our_columns_can_be_named(table: Path) -> None:
    table.write_text("path,label\na.png,x\n")
    assert refusal(table, {"weight": "Weight"}) == (
        "--column takes one of ['path', 'label', 'patient', 'source', 'split', 'view', 'sex', 'age'] on its left side, "
        "got 'weight'."
    )


@pytest.mark.parametrize("column", ["path", "label", "patient"])
@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_cell_is_named_by_its_row(table: Path, column: str, empty: str) -> None:
    cells = {"path": "a.png", "label": "x", "patient": "7"}
    table.write_text(f"path,label,patient\nb.png,x,8\n{','.join({**cells, column: empty}.values())}\n")
    assert refusal(table) == f"Every row of xrays.csv must have a {column}, row 3 has none; fill or drop it."


def test_another_split_is_refused(table: Path) -> None:
    table.write_text("path,label,split\na.png,x,holdout\n")
    assert refusal(table) == (
        "Column 'split' of xrays.csv must be train, validation, test, none or empty, got 'holdout'; correct it."
    )


@pytest.mark.parametrize(
    "content", [b"", b"path,label\na,b,c\n", "path,label\nä,é\n".encode("latin-1"), b'path,label\n"a,b\n'],
    ids=["empty", "ragged", "latin-1", "quote"],
)  # fmt: skip
def test_a_csv_that_cannot_be_read_is_one_sentence(table: Path, content: bytes) -> None:
    table.write_bytes(content)
    sentence = refusal(table)
    assert sentence.startswith(f"{table} cannot be read as a table: ")
    assert sentence.endswith("; save it as UTF-8 CSV or parquet.")
    assert "\n" not in sentence


def test_a_parquet_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    assert refusal(tmp_path / "t.parquet").endswith("; save it as UTF-8 CSV or parquet.")


def test_the_folder_of_images_must_be_one(table: Path, tmp_path: Path) -> None:
    table.write_text("path,label\na.png,x\n")
    with pytest.raises(DataError, match=r"^--images must be a folder, but .*/no is none; correct the path\.$"):
        list_source(table, SourceOptions(images=tmp_path / "no"))


def test_view_sex_and_age_come_in_one_form(table: Path) -> None:
    table.write_text("path,label,Sex,age,view\na.png,x,male,058Y,pa\nb.png,x,F,7,\nc.png,x,?,414,AP\nd.png,x,,,\n")
    rows = list_table(table, SourceOptions(columns={"sex": "Sex"})).rows
    assert rows.select("view", "sex", "age").rows() == [("PA", "M", "58"), ("", "F", "7"), ("AP", "", ""), ("", "", "")]


def test_a_table_without_rows_is_refused(table: Path) -> None:
    table.write_text("path,label\n")
    assert refusal(table) == "xrays.csv must have one row an image, it has none; fill it."
