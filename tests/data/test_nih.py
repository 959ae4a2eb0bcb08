"""NIH ChestX-ray14."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungwise.data.sources import SourceOptions, list_source
from lungwise.errors import DataError

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
ROWS = (
    "00000001_000.png,Cardiomegaly|Emphysema,000,1,058Y,M,PA,2682,2749,0.143,0.143",
    "00000002_000.png,No Finding,000,2,081Y,F,AP,2500,2048,0.171,0.171",
    "00000003_000.png,Pneumonia,000,3,414Y,F,PA,2500,2048,0.171,0.171",
    "00000003_001.png,Infiltration|Pneumonia,001,3,011M,F,PA,2500,2048,0.171,0.171",
    "00000004_000.png,Infiltration,000,4,40,M,PA,2500,2048,0.171,0.171",
)


def make(root: Path, *rows: str, name: str = "Data_Entry_2017.csv", header: str = HEADER) -> Path:
    (root / name).write_text("\n".join([header, *rows]) + "\n")
    for number, row in enumerate(rows):
        folder = root / f"images_00{number % 2 + 1}" / "images"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / row.split(",")[0]).write_bytes(b"x")
    return root


def refusal(root: Path, *classes: str) -> str:
    with pytest.raises(DataError) as caught:
        list_source(root, SourceOptions(classes=classes))
    return str(caught.value)


def test_normal_and_pneumonia_alone_or_beside_others_are_kept(tmp_path: Path) -> None:
    listing = list_source(make(tmp_path, *ROWS))
    assert listing.kind == "nih"
    assert listing.rows.columns == ["path", "label", "patient", "source", "split", "view", "sex", "age"]
    assert listing.rows.rows() == [
        ("images_001/images/00000003_000.png", "pneumonia", "3", "nih", "", "PA", "F", ""),
        ("images_002/images/00000002_000.png", "normal", "2", "nih", "", "AP", "F", "81"),
        ("images_002/images/00000003_001.png", "pneumonia", "3", "nih", "", "PA", "F", "0"),
    ]
    assert listing.notes == (
        "2 images that show none of normal, pneumonia were left out (Cardiomegaly|Emphysema 1, Infiltration 1).",
    )
    assert "CVPR 2017" in listing.citation
    assert "NIH Clinical Center" in listing.licence


def test_other_findings_may_be_chosen(tmp_path: Path) -> None:
    listing = list_source(make(tmp_path, *ROWS), SourceOptions(classes=("no finding", "Infiltration", "pneumonia")))
    assert sorted(listing.rows.select("label", "patient").rows()) == [
        ("Infiltration", "4"),
        ("normal", "2"),
        ("pneumonia", "3"),
    ]
    assert listing.notes[1] == "1 images that show more than one of normal, Infiltration, pneumonia were left out."


def test_the_corrected_table_is_preferred(tmp_path: Path) -> None:
    make(tmp_path, *ROWS)
    make(tmp_path, ROWS[1], ROWS[2].replace(",3,414Y", ",3,41"), name="Data_Entry_2017_v2020.csv")
    assert list_source(tmp_path).rows["age"].to_list() == ["81", "41"]


def test_the_lists_are_the_split(tmp_path: Path) -> None:
    make(tmp_path, *ROWS)
    (tmp_path / "train_val_list.txt").write_text("00000002_000.png\n00000001_000.png\n")
    (tmp_path / "test_list.txt").write_text("00000003_000.png\n00000004_000.png\n")
    listing = list_source(tmp_path)
    assert sorted(listing.rows.select("patient", "split").rows()) == [("2", "train"), ("3", "none"), ("3", "test")]
    assert listing.notes[1] == "1 images stand in neither train_val_list.txt nor test_list.txt and take part in nothing."


def test_one_list_says_both_parts(tmp_path: Path) -> None:
    make(tmp_path, *ROWS)
    (tmp_path / "test_list.txt").write_text("00000002_000.png\n")
    assert sorted(list_source(tmp_path).rows.select("patient", "split").rows()) == [
        ("2", "test"),
        ("3", "train"),
        ("3", "train"),
    ]


def test_an_image_in_both_lists_is_named(tmp_path: Path) -> None:
    make(tmp_path, *ROWS)
    for name in ("train_val_list.txt", "test_list.txt"):
        (tmp_path / name).write_text("00000002_000.png\n")
    assert refusal(tmp_path) == (
        "An image must be in one of train_val_list.txt and test_list.txt, but 00000002_000.png is in both; "
        "fetch the lists again."
    )


def test_an_empty_list_is_named(tmp_path: Path) -> None:
    make(tmp_path, *ROWS)
    (tmp_path / "test_list.txt").write_text("\n")
    assert refusal(tmp_path) == "test_list.txt must name one image a line, but it is empty; fetch the list again."


def test_a_listed_image_that_is_absent_keeps_its_name(tmp_path: Path) -> None:
    make(tmp_path, *ROWS)
    (tmp_path / "images_001" / "images" / "00000003_000.png").unlink()
    assert "00000003_000.png" in list_source(tmp_path).rows["path"].to_list()


def test_an_unknown_finding_lists_the_known(tmp_path: Path) -> None:
    assert refusal(make(tmp_path, *ROWS), "flu") == (
        "--class must name findings of Data_Entry_2017.csv, which are Cardiomegaly, Emphysema, Infiltration, No Finding, "
        "Pneumonia; got 'flu'."
    )


def test_a_class_without_images_is_an_error(tmp_path: Path) -> None:
    assert refusal(make(tmp_path, ROWS[1])) == (
        "Every class must have images, but Data_Entry_2017.csv has none of 'pneumonia'; choose others with --class."
    )


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("a.png,,0,1", "'Finding Labels' must not be empty, got 'a.png,,1,,,'; correct the row."),
        ("a.png,Pneumonia,0,", "'Patient ID' must not be empty, got 'a.png,Pneumonia,,,,'; correct the row."),
        ("x/a.png,Pneumonia,0,1", "'Image Index' must be the name of a file, got 'x/a.png,Pneumonia,1,,,'; correct the row."),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, row: str, sentence: str) -> None:
    (tmp_path / "Data_Entry_2017.csv").write_text(f"{HEADER}\n{ROWS[1]}\n{row}\n")
    assert refusal(tmp_path) == f"Data_Entry_2017.csv:3: {sentence}"


def test_an_image_that_is_listed_twice_is_named(tmp_path: Path) -> None:
    assert refusal(make(tmp_path, *ROWS, ROWS[1])) == (
        "Data_Entry_2017.csv:7: 00000002_000.png is listed already in line 3; keep one of the two rows."
    )


def test_a_table_of_other_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Data_Entry_2017.csv").write_text("image,label\na.png,x\n")
    assert refusal(tmp_path) == (
        "Data_Entry_2017.csv must have the columns Image Index, Finding Labels, Patient ID, it has image, label; "
        "fetch the table again."
    )


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    assert refusal(make(tmp_path)) == "Data_Entry_2017.csv must have one row an image, it has none; fetch the table again."
