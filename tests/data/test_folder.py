"""A folder of class folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lungwise.data.sources import SourceOptions, list_source
from lungwise.data.sources.folder import list_folder
from lungwise.errors import DataError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_folders_are_classes(tmp_path: Path) -> None:
    rows = list_folder(touch(tmp_path, "B/x.png", "A/y.jpg")).rows
    assert rows.select("path", "label", "split").rows() == [("A/y.jpg", "A", ""), ("B/x.png", "B", "")]


@pytest.mark.parametrize(
    ("folder", "split"),
    [("train", "train"), ("Training", "train"), ("val", "validation"), ("VALID", "validation"), ("dev", "validation"),
     ("test", "test"), ("Testing", "test")],
)  # fmt: skip
def test_folders_above_the_classes_are_parts(tmp_path: Path, folder: str, split: str) -> None:
    rows = list_folder(touch(tmp_path, f"{folder}/A/x.png", f"{folder}/B/y.png")).rows
    assert rows["split"].to_list() == [split, split]
    assert rows["label"].to_list() == ["A", "B"]


def test_images_may_lie_deeper(tmp_path: Path) -> None:
    assert list_folder(touch(tmp_path, "A/2020/march/x.png")).rows["label"].to_list() == ["A"]


def test_hidden_files_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "A/x.png", "A/.x.png", "A/.git/y.png", "__MACOSX/A/._x.png", ".cache/z.png", "A/__MACOSX/q.png")
    assert list_folder(tmp_path).rows["path"].to_list() == ["A/x.png"]


@pytest.mark.parametrize("name", ["x.PNG", "x.JpEg", "x.tif", "x.bmp", "x.dcm", "x"])
def test_endings_of_images_in_any_case_and_none_are_listed(tmp_path: Path, name: str) -> None:
    assert list_folder(touch(tmp_path, f"A/{name}")).rows.height == 1


def test_other_files_are_counted(tmp_path: Path) -> None:
    listing = list_folder(touch(tmp_path, "A/x.png", "A/notes.txt", "B/Thumbs.db"))
    assert listing.notes == ("2 files whose names do not end like an image's were not looked at.",)


def test_folders_beside_the_parts_are_named(tmp_path: Path) -> None:
    listing = list_folder(touch(tmp_path, "train/A/x.png", "masks/A/x.png"))
    assert listing.rows["path"].to_list() == ["train/A/x.png"]
    assert listing.notes == ("Folders beside train were not looked at: masks.",)


def test_a_folder_named_like_an_image_is_no_image(tmp_path: Path) -> None:
    (touch(tmp_path, "A/x.png") / "A" / "y.png").mkdir()
    assert list_folder(tmp_path).rows["path"].to_list() == ["A/x.png"]


def test_a_loop_of_folders_ends(tmp_path: Path) -> None:
    touch(tmp_path, "A/x.png")
    (tmp_path / "A" / "loop").symlink_to(tmp_path / "A", target_is_directory=True)
    assert list_folder(tmp_path).rows["path"].to_list() == ["A/x.png"]


def test_class_folders_may_be_links(tmp_path: Path) -> None:
    touch(tmp_path, "store/x.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "A").symlink_to(tmp_path / "store", target_is_directory=True)
    assert list_folder(tmp_path / "root").rows["path"].to_list() == ["A/x.png"]


def test_a_name_may_hold_a_line_break(tmp_path: Path) -> None:
    assert list_folder(touch(tmp_path, "A/x\ny.png")).rows["path"].to_list() == ["A/x\ny.png"]


def test_equal_names_in_two_places_are_two_images(tmp_path: Path) -> None:
    assert list_folder(touch(tmp_path, "A/x.png", "B/x.png")).rows.height == 2


def test_the_folder_is_the_source_where_names_say_nothing(tmp_path: Path) -> None:
    root = touch(tmp_path / "clinic", "A/x1.png", "A/00001280_004.png")
    assert sorted(list_folder(root).rows["source"]) == ["clinic", "nih"]


def test_a_pattern_finds_the_patient(tmp_path: Path) -> None:
    rows = list_folder(touch(tmp_path, "A/2020_p7_1.png"), SourceOptions(patient_pattern=r"_(p\d+)_")).rows
    assert rows["patient"].to_list() == ["p7"]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        list_source(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} must hold a folder of images for each class, but no image was found in it (it has no folders); "
        "put the X-rays of each class into a folder named after it."
    )


def test_folders_without_images_are_named(tmp_path: Path) -> None:
    (tmp_path / "A").mkdir()
    touch(tmp_path, "B/notes.txt")
    with pytest.raises(DataError, match=r"but no image was found in its folders A, B; put the X-rays"):
        list_source(tmp_path)


def test_a_name_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "A").mkdir()
    try:
        Path(os.fsdecode(bytes(tmp_path / "A") + b"/\xff.png")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system only takes names in UTF-8")
    with pytest.raises(DataError, match=r"^Names of files and folders must be UTF-8 text, got 'A/.udcff\.png'; rename it\.$"):
        list_source(tmp_path)


def test_a_closed_folder_is_an_error_and_not_an_empty_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "A/x.png", "B/x.png")
    scan = os.scandir

    def deny(path: str) -> object:
        if str(path).endswith("/B"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", deny)  # root may open everything
    with pytest.raises(DataError, match=r"/B cannot be opened: Permission denied; check its permissions\.$"):
        list_source(tmp_path)


def test_a_source_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"^A source must be a folder or a table, but .*/no does not exist; correct the path\.$"
    ):
        list_source(tmp_path / "no")


def test_a_source_of_another_kind_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "x.zip")
    with pytest.raises(DataError) as caught:
        list_source(tmp_path / "x.zip")
    assert str(caught.value) == "A source must be a folder or one of ['.csv', '.tsv', '.parquet', '.npz'], got x.zip."


def test_classes_may_be_chosen(tmp_path: Path) -> None:
    listing = list_source(touch(tmp_path, "A/x.png", "B/y.png", "C/z.png"), SourceOptions(classes=("a", "C")))
    assert listing.rows["path"].to_list() == ["A/x.png", "C/z.png"]
    assert listing.notes == ("1 images that show none of A, C were left out (B 1).",)


def test_a_folder_around_classes_is_still_the_class(tmp_path: Path) -> None:
    assert list_source(touch(tmp_path, "A/B/x.png")).rows["label"].to_list() == ["A"]
