"""Folders, patterns and archives are walked lazily, in order, and cannot be walked for ever."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from lungwise.errors import ImageError, LungwiseError
from lungwise.inference.inputs import Item, find_images, is_single, load_item, read_image, walk
from lungwise.inference.pixels import Pixels
from lungwise.inference.places import NoImagesError, images_of


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def names(*images: Path | str) -> list[str]:
    return [item.name for item in walk(images)]


def inside(place: Path) -> list[str]:
    return [Path(name).relative_to(place).as_posix() for name in names(place)]


def only_error(place: Path | str) -> str:
    (item,) = walk(place)
    assert isinstance(item.source, ImageError)
    return str(item.source)


# Folders


def test_a_folder_is_walked_in_the_order_of_sorted_paths(tmp_path: Path) -> None:
    files = ["b.png", "a/z.JPEG", "a/c.tif", "a.png", "a/b/x.bmp", "a-b/y.png"]
    touch(*(tmp_path / file for file in files), tmp_path / "notes.txt")
    assert inside(tmp_path) == [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path / file for file in files)]


def test_a_folder_is_listed_only_when_it_is_reached(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "1.png", tmp_path / "b" / "2.png")
    items = walk(tmp_path)
    assert next(items).name.endswith("1.png")
    touch(tmp_path / "b" / "3.png")
    assert [Path(item.name).name for item in items] == ["2.png", "3.png"]


def test_dicom_files_without_an_ending_are_found_by_their_mark(tmp_path: Path) -> None:
    touch(tmp_path / "README", tmp_path / "no.3")
    for name in ("IM0001", "1.2.840.10008.5", "DICOMDIR", "scan.old"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    assert inside(tmp_path) == ["1.2.840.10008.5", "IM0001"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_neither_searched_nor_waited_for(tmp_path: Path) -> None:
    touch(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.png")
    first, second = walk(tmp_path)
    assert Path(first.name).name == "a.png"
    with pytest.raises(ImageError, match=r"pipe\.png is not a plain file\.$"):
        load_item(second, read_image, 0)


def test_links_in_circles_end(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "1.png", tmp_path / "b" / "2.png")
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "b" / "other").symlink_to(tmp_path / "a")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert inside(tmp_path) == ["a/1.png", "b/2.png", "loop.png"]


def test_linked_folders_and_files_are_followed(tmp_path: Path) -> None:
    touch(tmp_path / "store" / "1.png")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "films").symlink_to(tmp_path / "store")
    (tmp_path / "study" / "one.png").symlink_to(tmp_path / "store" / "1.png")
    assert inside(tmp_path / "study") == ["films/1.png", "one.png"]


def test_a_folder_that_cannot_be_listed_is_one_error_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "a" / "1.png", tmp_path / "b" / "2.png")
    real = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    first, second = walk(tmp_path)
    assert str(first.source) == f"{tmp_path / 'a'} cannot be opened: Permission denied; check its permissions."
    assert Path(second.name).name == "2.png"


@pytest.mark.parametrize(("name", "kind"), [("", "folder"), ("*.png", "pattern")])
def test_a_place_without_images_is_one_sentence(tmp_path: Path, name: str, kind: str) -> None:
    place = tmp_path / name
    assert only_error(place) == f"A {kind} to predict must hold images, but {place} has none; name another."
    with pytest.raises(LungwiseError, match=rf"^A {kind} to predict must hold images"):
        find_images([place])


# Patterns


def test_a_pattern_takes_what_it_matches_at_any_depth(tmp_path: Path) -> None:
    touch(tmp_path / "b.png", tmp_path / "a" / "c" / "1.png", tmp_path / "a" / "x.jpg", tmp_path / ".hidden.png")
    assert names(tmp_path / "**" / "*.png") == [str(tmp_path / "a" / "c" / "1.png"), str(tmp_path / "b.png")]
    assert names(str(tmp_path / "a" / "[xy].jp?")) == [str(tmp_path / "a" / "x.jpg")]


def test_a_pattern_takes_files_of_any_ending_and_no_folders(tmp_path: Path) -> None:
    touch(tmp_path / "IM1", tmp_path / "IM2.dat", tmp_path / "IM3" / "x.png")
    assert names(tmp_path / "IM*") == [str(tmp_path / "IM1"), str(tmp_path / "IM2.dat")]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    touch(tmp_path / "scan[1].png", tmp_path / "scan1.png")
    assert names(tmp_path / "scan[1].png") == [str(tmp_path / "scan[1].png")]


# Lists and single images


def test_lists_may_hold_anything_and_number_through(tmp_path: Path) -> None:
    touch(tmp_path / "f" / "1.png", tmp_path / "f" / "2.png")
    array = np.zeros((40, 40), np.uint8)
    items = list(walk([b"x", tmp_path / "f", array, Pixels(array, 0, 1), str(tmp_path / "none.png")]))
    assert [item.index for item in items] == list(range(6))
    wanted = ["image 0", str(tmp_path / "f" / "1.png"), str(tmp_path / "f" / "2.png"), "image 3", "image 4"]
    assert [item.name for item in items] == [*wanted, str(tmp_path / "none.png")]


def test_a_list_is_taken_as_it_is_needed() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b""

    assert len(list(islice(walk(endless()), 5))) == 5


def test_single_images_and_several(tmp_path: Path) -> None:
    touch(tmp_path / "a.png")
    assert all(map(is_single, [b"", np.zeros((2, 2)), tmp_path / "a.png", str(tmp_path / "none.png")]))
    several: list[Path | str | list[Path]] = [tmp_path, str(tmp_path), tmp_path / "*.png", tmp_path / "x.zip", [tmp_path / "a"]]
    assert not any(map(is_single, several))


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(LungwiseError, match=r"^Images must be paths, .* or a list of these, got int\.$"):
        list(walk(5))  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"^An image must be a path, .*, image 0 is of type float\.$"):
        load_item(Item(0, "image 0", 0.5), read_image, 0)  # type: ignore[arg-type]


def test_names_too_long_or_impossible_are_missing_files(tmp_path: Path) -> None:
    for name in ("x" * 5000, "a\0b"):
        (item,) = walk(name)
        with pytest.raises(ImageError):
            load_item(item, read_image, 0)
    assert not list(images_of(str(tmp_path)))[1:]
    assert isinstance(next(images_of(str(tmp_path)))[1], NoImagesError)
