"""COVIDx label lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungwise.data.sources import list_source
from lungwise.data.sources.covidx import covidx_versions, list_covidx, parse_line
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


@pytest.mark.parametrize("line", ["p a.png normal", "a.png", "# train list"])
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


@pytest.mark.parametrize("folder", ["images", "train", "test", "data/train", "."])
def test_images_are_found_where_covidx_puts_them(tmp_path: Path, folder: str) -> None:
    write(tmp_path, "train_COVIDx9A.txt", "1 a.png normal rsna")
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / folder / "a.png").write_bytes(b"x")
    assert list_covidx(tmp_path).rows["path"].to_list() == ["a.png" if folder == "." else f"{folder}/a.png"]


def test_of_equal_names_the_one_under_images_is_taken(tmp_path: Path) -> None:
    write(tmp_path, "train_COVIDx9A.txt", "1 a.png normal rsna")
    for folder in ("images", "train"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(b"x")
    assert list_covidx(tmp_path).rows["path"].to_list() == ["images/a.png"]


def test_images_may_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.png").write_bytes(b"x")
    write(tmp_path / "lists", "train_COVIDx9A.txt", "1 a.png normal rsna")
    listing = list_source(tmp_path / "lists", images=tmp_path / "elsewhere")
    assert (listing.root / listing.rows["path"][0]).is_file()


def test_of_two_versions_one_must_be_named(tmp_path: Path) -> None:
    write(tmp_path, "train_COVIDx8A.txt", "1 a.png normal rsna")
    write(tmp_path, "train_COVIDx9A.txt", "1 b.png normal rsna")
    assert sorted(covidx_versions(tmp_path)) == ["8A", "9A"]
    assert list_source(tmp_path, covidx="8A").rows["path"].to_list() == ["a.png"]
    with pytest.raises(DataError, match=r"has lists of COVIDx 8A, 9A, none was named; name one: --covidx VERSION\.$"):
        list_source(tmp_path)
    with pytest.raises(DataError, match=r"has lists of COVIDx 8A, 9A, '7B' was named; name one: --covidx VERSION\.$"):
        list_source(tmp_path, covidx="7B")


def test_a_byte_order_mark_is_no_part_of_a_patient(tmp_path: Path) -> None:
    (tmp_path / "train_COVIDx9A.txt").write_bytes(b"\xef\xbb\xbf1 a.png normal rsna\r\n")
    assert list_covidx(tmp_path).rows["patient"].to_list() == ["1"]


def test_a_list_in_another_encoding_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "train_COVIDx9A.txt").write_bytes(b"Jos\xe9 a.png normal rsna\n")
    with pytest.raises(DataError, match=r"^train_COVIDx9A\.txt must be UTF-8 text, but byte 3 is not; save it as UTF-8\.$"):
        list_source(tmp_path)
