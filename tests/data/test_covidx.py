"""COVIDx label lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungwise.data.sources import SourceOptions, list_source
from lungwise.data.sources.covidx import covidx_versions, list_covidx
from lungwise.data.sources.covidx_line import parse_line
from lungwise.errors import DataError


def write(root: Path, name: str, *lines: str) -> Path:
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("379 1e64990d.png pneumonia rsna", ("379", "1e64990d.png", "pneumonia", "rsna")),
        ("COVID 1 COVID(1).png COVID-19 sirm", ("COVID 1", "COVID(1).png", "COVID-19", "sirm")),
        ("  7\ta.png  normal rnsa ", ("7", "a.png", "normal", "rsna")),
    ],
)
def test_a_line_is_read_from_its_right(line: str, fields: tuple[str, ...]) -> None:
    assert parse_line(line, "x:1") == fields


def test_of_two_readings_the_one_whose_file_exists_is_right() -> None:
    line = "COVID 1 COVID 1 a.png COVID-19 sirm"
    assert parse_line(line, "x:1", {"1 a.png"})[:2] == ("COVID 1 COVID", "1 a.png")
    assert parse_line(line, "x:1", {"COVID 1 a.png"})[:2] == ("COVID 1", "COVID 1 a.png")
    assert parse_line(line, "x:1")[:2] == ("COVID 1 COVID 1", "a.png")


@pytest.mark.parametrize(
    "line", ["p a.txt normal rsna", "a.png", "a.png normal rsna", "# train list", "p a.png normal rsna more"]
)
def test_a_short_line_is_named(tmp_path: Path, line: str) -> None:
    write(tmp_path, "train_COVIDx9A.txt", "1 a.png normal rsna", line)
    with pytest.raises(DataError) as caught:
        list_source(tmp_path)
    assert str(caught.value) == (
        f"train_COVIDx9A.txt:2: a COVIDx line must be 'patient file class source', got '{line}'; correct the list."
    )


def test_the_lists_are_the_split(tmp_path: Path) -> None:
    write(tmp_path, "train_COVIDx9A.txt", "1 a.png normal rsna", "")
    write(tmp_path, "val_COVIDx9A.txt", "2 b.png normal rsna")
    write(tmp_path, "test_COVIDx9A.txt", "3 c.png COVID-19 cohen")
    listing = list_source(tmp_path)
    assert listing.kind == "covidx"
    assert listing.rows.rows() == [
        ("a.png", "normal", "1", "rsna", "train"),
        ("b.png", "normal", "2", "rsna", "validation"),
        ("c.png", "COVID-19", "3", "cohen", "test"),
    ]


@pytest.mark.parametrize("folder", ["images", "train", "test", "data/train", "cohen/covid-chestxray-dataset/images", "."])
def test_images_are_found_where_covidx_puts_them(tmp_path: Path, folder: str) -> None:
    write(tmp_path, "train_COVIDx9A.txt", "1 a.png normal rsna")
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / folder / "a.png").write_bytes(b"x")
    assert list_covidx(tmp_path).rows["path"].to_list() == ["a.png" if folder == "." else f"{folder}/a.png"]


def test_of_equal_names_the_one_in_the_folder_of_the_part_is_taken(tmp_path: Path) -> None:
    write(tmp_path, "train_COVIDx9A.txt", "1 a.png normal rsna")
    write(tmp_path, "test_COVIDx9A.txt", "2 b.png normal rsna")
    for folder in ("images", "test", "train"):
        (tmp_path / folder).mkdir()
        for name in "ab":
            (tmp_path / folder / f"{name}.png").write_bytes(folder.encode())
    assert list_covidx(tmp_path).rows["path"].to_list() == ["test/b.png", "train/a.png"]


def test_copies_of_one_file_are_one_file(tmp_path: Path) -> None:
    write(tmp_path, "train_COVIDx9A.txt", "1 a.png normal rsna")
    for folder in ("two", "one"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(b"same")
    assert list_covidx(tmp_path).rows["path"].to_list() == ["one/a.png"]


def test_different_files_of_one_name_are_an_error(tmp_path: Path) -> None:
    write(tmp_path, "train_COVIDx9A.txt", "1 a.png normal rsna")
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_text(folder)
    with pytest.raises(DataError) as caught:
        list_source(tmp_path)
    assert str(caught.value) == (
        "train_COVIDx9A.txt:1: a.png must be one file, but one/a.png, two/a.png differ; "
        "remove those that are not meant, or name the right folder with --images."
    )


def test_a_listed_png_may_lie_there_as_dicom(tmp_path: Path) -> None:
    write(tmp_path, "train_COVIDx9A.txt", "1 a.png normal rsna", "2 b.png normal rsna")
    (tmp_path / "stage_2_train_images").mkdir()
    (tmp_path / "stage_2_train_images" / "a.dcm").write_bytes(b"x")
    (tmp_path / "b.png").write_bytes(b"x")
    listing = list_source(tmp_path)
    assert listing.rows["path"].to_list() == ["b.png", "stage_2_train_images/a.dcm"]
    assert listing.secondary
    assert listing.notes == ("1 images were found under another ending than the listed one.",)


def test_images_may_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.png").write_bytes(b"x")
    write(tmp_path / "lists", "train_COVIDx9A.txt", "1 a.png normal rsna")
    listing = list_source(tmp_path / "lists", SourceOptions(images=tmp_path / "elsewhere"))
    assert (listing.root / listing.rows["path"][0]).is_file()


def test_of_two_versions_one_must_be_named(tmp_path: Path) -> None:
    write(tmp_path, "train_COVIDx8A.txt", "1 a.png normal rsna")
    write(tmp_path, "train_COVIDx9A.txt", "1 b.png normal rsna")
    assert sorted(covidx_versions(tmp_path)) == ["8A", "9A"]
    assert list_source(tmp_path, SourceOptions(covidx="8A")).rows["path"].to_list() == ["a.png"]
    with pytest.raises(DataError, match=r"has lists of COVIDx 8A, 9A, none was named; name one: --covidx VERSION\.$"):
        list_source(tmp_path)
    with pytest.raises(DataError, match=r"has lists of COVIDx 8A, 9A, '7B' was named; name one: --covidx VERSION\.$"):
        list_source(tmp_path, SourceOptions(covidx="7B"))


def test_a_byte_order_mark_is_no_part_of_a_patient(tmp_path: Path) -> None:
    (tmp_path / "train_COVIDx9A.txt").write_bytes(b"\xef\xbb\xbf1 a.png normal rsna\r\n")
    assert list_covidx(tmp_path).rows["patient"].to_list() == ["1"]


def test_a_list_in_another_encoding_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "train_COVIDx9A.txt").write_bytes(b"Jos\xe9 a.png normal rsna\n")
    with pytest.raises(DataError, match=r"^train_COVIDx9A\.txt must be UTF-8 text, but byte 3 is not; save it as UTF-8\.$"):
        list_source(tmp_path)


@pytest.mark.parametrize(
    ("name", "version"),
    [("train_COVIDx5.txt", "5"), ("train_COVIDx9B.txt", "9B"), ("val_COVIDx_CXR-3A.txt", "CXR-3A"),
     ("test_COVIDx.txt", "COVIDx"),
     ("train_split.txt", "split"), ("train_split_v1.txt", "split_v1"), ("val.txt", "kaggle")],
)  # fmt: skip
def test_lists_of_all_names_are_known(tmp_path: Path, name: str, version: str) -> None:
    write(tmp_path, name, "1 a.png negative rsna" if version == "9B" else "1 a.png normal rsna")
    assert list(covidx_versions(tmp_path)) == [version]
    assert list_source(tmp_path).rows.height == 1


@pytest.mark.parametrize("line", ["images/a.png", "", "some text about a train", "0 0.5 0.5 0.1"])
def test_any_text_called_train_is_no_list(tmp_path: Path, line: str) -> None:
    write(tmp_path, "train.txt", line)
    assert covidx_versions(tmp_path) == {}


@pytest.mark.parametrize(
    ("version", "label", "classes"), [("9A", "positive", "COVID-19, normal, pneumonia"), ("7B", "normal", "positive, negative")]
)
def test_a_class_of_the_other_variant_is_named(tmp_path: Path, version: str, label: str, classes: str) -> None:
    write(tmp_path, f"train_COVIDx{version}.txt", "", f"1 a.png {label} rsna")
    with pytest.raises(DataError) as caught:
        list_source(tmp_path)
    assert str(caught.value) == (
        f"train_COVIDx{version}.txt:2: the class must be one of {classes}, got '{label}'; correct the list."
    )


def test_a_file_that_is_listed_twice_is_named(tmp_path: Path) -> None:
    write(tmp_path, "test_COVIDx9A.txt", "1 a.png normal rsna")
    write(tmp_path, "train_COVIDx9A.txt", "2 b.png normal rsna", "1 a.png normal rsna")
    with pytest.raises(DataError) as caught:
        list_source(tmp_path)
    assert str(caught.value) == (
        "train_COVIDx9A.txt:2: a.png is listed already in test_COVIDx9A.txt:1; keep one of the two lines."
    )


def test_an_empty_list_is_named(tmp_path: Path) -> None:
    write(tmp_path, "train_COVIDx9A.txt", "", " ")
    with pytest.raises(
        DataError, match=r"^train_COVIDx9A\.txt must name one image a line, but it is empty; fetch the list again\.$"
    ):
        list_source(tmp_path)


def test_classes_may_be_chosen(tmp_path: Path) -> None:
    write(tmp_path, "train_COVIDx9A.txt", "1 a.png normal rsna", "2 b.png pneumonia rsna", "3 c.png COVID-19 cohen")
    listing = list_source(tmp_path, SourceOptions(classes=("Normal", "covid-19")))
    assert listing.rows["label"].to_list() == ["normal", "COVID-19"]
    assert listing.notes == ("1 images that show none of normal, COVID-19 were left out (pneumonia 1).",)
    with pytest.raises(DataError, match=r"^--class must name findings of this covidx source, which are .*; got 'flu'\.$"):
        list_source(tmp_path, SourceOptions(classes=("flu",)))


def test_the_listing_says_whom_to_cite(tmp_path: Path) -> None:
    listing = list_source(write(tmp_path, "train_COVIDx9A.txt", "1 a.png normal rsna"))
    assert "Scientific Reports" in listing.citation
    assert listing.licence.startswith("mixed:")
