"""Which kind a source is, and what is looked at in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lungwise.data.sources import KINDS, SourceOptions, list_source
from lungwise.data.sources.tree import files_below, images_by_name
from lungwise.errors import DataError


def touch(root: Path, *names: str, text: str = "x") -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_folder_of_two_kinds_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "train_COVIDx9A.txt", text="1 a.png normal rsna\n")
    touch(tmp_path, "Data_Entry_2017.csv")
    with pytest.raises(DataError) as caught:
        list_source(tmp_path)
    assert str(caught.value) == (
        f"A source must be of one kind, but {tmp_path} looks like COVIDx and NIH ChestX-ray14; give each a folder of its own."
    )
    assert list_source(tmp_path, SourceOptions(covidx="9A")).kind == "covidx"


def test_a_plain_folder_and_nothing_are_of_no_published_kind(tmp_path: Path) -> None:
    touch(tmp_path, "A/x.png", "B/y.png")
    for place in (tmp_path, tmp_path / "no", tmp_path / "A" / "x.png"):
        assert [kind.name for kind in KINDS if kind.recognises(place)] == []


def test_a_source_may_be_named_by_text(tmp_path: Path) -> None:
    assert list_source(str(touch(tmp_path, "A/x.png"))).kind == "folder"


def test_secondary_capture_may_be_accepted(tmp_path: Path) -> None:
    touch(tmp_path, "A/x.dcm")
    assert not list_source(tmp_path).secondary
    assert list_source(tmp_path, SourceOptions(secondary=True)).secondary


def test_only_empty_wrappings_are_looked_through(tmp_path: Path) -> None:
    touch(tmp_path, "a/b/train_COVIDx9A.txt", text="1 a.png normal rsna\n")
    touch(tmp_path, "__MACOSX/x.png", ".DS_Store")
    assert list_source(tmp_path).root == tmp_path / "a" / "b"
    touch(tmp_path, "a/notes.txt")
    with pytest.raises(DataError, match="no image was found in its folders a; put"):
        list_source(tmp_path)


def test_closed_folders_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "train_COVIDx9A.txt", text="1 a.png normal rsna\n")
    touch(tmp_path, "closed/a.png")
    scan = os.scandir

    def deny(path: str) -> object:
        if str(path).endswith("/closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", deny)  # root may open everything
    with pytest.raises(DataError, match=r"/closed cannot be opened: Permission denied; check its permissions\.$"):
        list_source(tmp_path)


def test_a_listed_name_that_is_not_text_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "train_COVIDx9A.txt", text="1 a.png normal rsna\n")
    folder = tmp_path / "f"
    try:
        Path(os.fsdecode(bytes(folder) + b"\xff")).mkdir()
        Path(os.fsdecode(bytes(folder) + b"\xff/a.png")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system only takes names in UTF-8")
    with pytest.raises(DataError, match=r"^Names of files and folders must be UTF-8 text, got 'f.udcff/a\.png'; rename it\.$"):
        list_source(tmp_path)


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "disk/a.png", "root/b.png")
    (tmp_path / "root" / "images").symlink_to(tmp_path / "disk", target_is_directory=True)
    (tmp_path / "disk" / "back").symlink_to(tmp_path / "root", target_is_directory=True)
    assert images_by_name(tmp_path / "root") == {"a.png": ["images/a.png"], "b.png": ["b.png"]}


def test_hidden_files_are_not_seen(tmp_path: Path) -> None:
    touch(tmp_path, "a/b.png", ".c/d.png", "a/.e.png", "__MACOSX/f.png")
    assert list(files_below(tmp_path)) == ["a/b.png"]
