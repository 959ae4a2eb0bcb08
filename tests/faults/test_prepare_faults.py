"""Preparation when files are bad, the disk is, or somebody presses Ctrl-C."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.data import decode as decoding
from lungwise.data import record as recording
from lungwise.data.pixels import PixelWriter
from lungwise.data.prepare import Request, prepare
from lungwise.errors import DataError, LungwiseError
from lungwise.imaging.preprocess import Preprocess
from lungwise.imaging.radiograph import Radiograph
from tests.conftest import Encode, MakeFolder

SMALL = Request(Preprocess(stored=32))
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "CHUNK", 3)


def files(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def interrupt_after(source: Path, out: Path, images: int) -> None:
    """Prepare ``source``, with Ctrl-C once so many images are decoded and kept."""

    def interrupt(done: int, total: int) -> None:
        if done >= images:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source, out, SMALL, progress=interrupt)


def assert_same_as_unbroken(source: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Preparing again in ``out`` finishes, and no byte differs from a preparation that was never interrupted."""
    monkeypatch.undo()
    finished = prepare(source, out, SMALL)
    unbroken = prepare(source, out.with_name("unbroken"), SMALL)
    assert finished.fingerprint == unbroken.fingerprint
    assert files(out) == files(unbroken.folder)


@pytest.mark.parametrize("after", [0, 1, 3, 4, 10, 19])
def test_an_interrupted_preparation_continues(
    two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    decoded: list[str] = []
    decode_one = decoding.decode_one

    def interrupt(path: str, load: Callable[[str], Radiograph], spec: Preprocess) -> object:
        if len(decoded) >= after:
            raise KeyboardInterrupt
        decoded.append(path)
        return decode_one(path, load, spec)

    monkeypatch.setattr(decoding, "decode_one", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare(two_classes, tmp_path / "data", SMALL)
    assert not (tmp_path / "data" / "dataset.json").exists()
    assert_same_as_unbroken(two_classes, tmp_path / "data", monkeypatch)


def test_what_was_decoded_before_is_not_decoded_again(
    two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_after(two_classes, tmp_path / "data", 9)
    seen: list[int] = []
    prepare(two_classes, tmp_path / "data", SMALL, progress=lambda done, total: seen.append(done))
    assert seen == [9, 12, 15, 18, 20]


@pytest.mark.parametrize("name", ["pixels.npy", "decoded.jsonl"])
@pytest.mark.parametrize("lost", [1, 700, 10**9])
def test_work_that_was_half_written_is_done_again(
    two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, lost: int
) -> None:
    interrupt_after(two_classes, tmp_path / "data", 9)
    half = tmp_path / "data" / ".partial" / name
    os.truncate(half, max(0, half.stat().st_size - lost))
    assert_same_as_unbroken(two_classes, tmp_path / "data", monkeypatch)


@pytest.mark.parametrize("step", ["write_manifest", "write_json", "audit", "write_card"])
def test_an_interruption_at_the_end_continues(
    two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recording, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare(two_classes, tmp_path / "data", SMALL)
    assert_same_as_unbroken(two_classes, tmp_path / "data", monkeypatch)


def test_work_of_other_settings_is_not_continued(two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(done: int, total: int) -> None:
        if done >= 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(two_classes, tmp_path / "data", Request(Preprocess(stored=64)), progress=interrupt)
    assert_same_as_unbroken(two_classes, tmp_path / "data", monkeypatch)


def test_bad_files_are_listed_with_the_reason_and_the_rest_goes_on(two_classes: Path, tmp_path: Path, encode: Encode) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    altered = bytearray(encode(noise))
    altered[len(altered) // 2] ^= 255
    bad = {
        "zero.png": (b"", "zero.png is empty (0 bytes)"),
        "text.png": (b"see the other folder", "text.png is not a PNG, JPEG, TIFF, BMP or DICOM image by its content"),
        "cut.png": (encode(noise)[:-300], "cut.png is damaged or cut off in its PNG data"),
        "cut.jpg": (encode(noise, "JPEG")[:-300], "cut.jpg is cut off: its JPEG data end before the end marker"),
        "cut.tif": (encode(noise, "TIFF")[:-300], "cut.tif cannot be decoded"),
        "altered.png": (bytes(altered), "altered.png is damaged or cut off in its PNG data ('IDAT')"),
        "scan.dcm": (b"\0" * 128 + b"DICM", "scan.dcm "),
        "icon.png": (encode(noise[:16, :16]), "An image must have at least 32 pixels on each side, icon.png has 16 x 16"),
        "film.tif": (encode(noise, "TIFF", save_all=True, append_images=[]), ""),
    }
    for name, (content, _) in bad.items():
        (two_classes / "NORMAL" / name).write_bytes(content)
    data = prepare(two_classes, tmp_path / "data", SMALL)
    status = dict(data.manifest.select("path", "status").iter_rows())
    for name, (_, reason) in bad.items():
        assert status[f"NORMAL/{name}"].startswith(reason or "ok")
        assert "\n" not in status[f"NORMAL/{name}"]
    assert data.facts["unreadable"] == 8
    assert (data.manifest["split"] == "none").sum() == 8
    assert len(data.train) + len(data.validation) + len(data.test) == 21
    assert not data.pixels[data.manifest["path"].to_list().index("NORMAL/zero.png")].any()


def test_unusual_images_are_read(two_classes: Path, tmp_path: Path, encode: Encode) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    for mode, kind in [("RGBA", "PNG"), ("P", "PNG"), ("LA", "PNG"), ("1", "PNG"), ("CMYK", "JPEG"), ("CMYK", "TIFF")]:
        (two_classes / "NORMAL" / f"x-{mode}-{kind}.png").write_bytes(encode(noise, kind, mode))
    (two_classes / "NORMAL" / "x-16.png").write_bytes(encode(noise.astype(np.uint16) * 16))
    data = prepare(two_classes, tmp_path / "data", SMALL)
    assert (data.facts["unreadable"], data.manifest.height) == (0, 27)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither named pipes nor loops of links in folders")
def test_what_is_no_file_is_passed_over_or_listed(two_classes: Path, tmp_path: Path) -> None:
    (two_classes / "NORMAL" / "folder.png").mkdir()
    os.mkfifo(two_classes / "NORMAL" / "pipe.png")
    (two_classes / "NORMAL" / "loop.png").symlink_to("loop.png")
    with pytest.raises(DataError, match=r"1 of 22 are missing under .* \(no split 1; NORMAL/loop\.png;"):
        prepare(two_classes, tmp_path / "data", SMALL)
    data = prepare(two_classes, tmp_path / "data", Request(SMALL.spec, allow_missing=True))
    status = dict(data.manifest.select("path", "status").iter_rows())
    assert status["NORMAL/pipe.png"].endswith("pipe.png is not a plain file.")
    assert status["NORMAL/loop.png"] == "missing"
    assert "NORMAL/folder.png" not in status


def test_files_that_may_not_be_read_are_listed(two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_file = os.open

    def deny(place: Path | str, *options: Any, **more: Any) -> int:
        if Path(place).name == "normal0-a.png":
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return open_file(place, *options, **more)

    monkeypatch.setattr(os, "open", deny)  # root may read everything
    data = prepare(two_classes, tmp_path / "data", SMALL)
    assert data.manifest["status"][0] == "normal0-a.png cannot be opened: Permission denied; check its permissions."
    assert data.facts["unreadable"] == 1


def test_when_no_image_can_be_read_one_of_the_reasons_is_told(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder({"A": 3, "B": 3})
    for file in source.rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        prepare(source, tmp_path / "data", SMALL)
    assert str(caught.value) == (
        "None of the 12 images can be read, for example: a0-a.png is empty (0 bytes); fetch the file again."
    )


def test_a_class_of_unreadable_images_is_refused(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder({"A": 3, "B": 3})
    for file in source.glob("B/*.png"):
        file.write_bytes(b"")
    with pytest.raises(DataError, match=r"^A classifier needs at least two classes, got only 'A'; add images"):
        prepare(source, tmp_path / "data", SMALL)
    assert not (tmp_path / "data" / "dataset.json").exists()


@pytest.mark.parametrize("below", ["", "data", "a/b"])
def test_an_output_in_place_of_a_file_is_one_sentence(two_classes: Path, tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(LungwiseError, match=r"must be a directory, but a file is in its place; choose another --out\.$"):
        prepare(two_classes, tmp_path / "file" / below, SMALL)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_read_only_output_is_one_sentence(two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", deny)  # root may write everywhere
    with pytest.raises(LungwiseError, match=r"/data.* must be writable, but it is read-only here; choose another --out\.$"):
        prepare(two_classes, tmp_path / "data", SMALL)
    assert not (tmp_path / "data").exists()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="permissions do not bind root, nor Windows")
def test_a_folder_without_write_permission_is_one_sentence(two_classes: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(LungwiseError, match=r"must be writable, but it is read-only here; choose another --out\.$"):
        prepare(two_classes, tmp_path / "closed" / "data", SMALL)


def test_too_little_room_is_known_before_the_work(two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(10**9, 10**9, 1000))
    with pytest.raises(LungwiseError) as caught:
        prepare(two_classes, tmp_path / "data", Request(Preprocess(stored=512)))
    assert str(caught.value) == (
        f"The pixels need 5 MB, but {tmp_path} has 0 MB left; free some space, choose another --out or a smaller --size."
    )
    assert not (tmp_path / "data").exists()


def test_room_that_is_already_filled_is_not_asked_for_again(
    two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_after(two_classes, tmp_path / "data", 15)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(10**9, 10**9, 6 * 32 * 32))
    assert prepare(two_classes, tmp_path / "data", SMALL).manifest.height == 20


def test_a_disk_that_fills_up_in_the_middle_is_one_sentence(
    two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, calls = PixelWriter.append, []

    def fill(store: PixelWriter, squares: NDArray[np.uint8]) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(store, squares)

    monkeypatch.setattr(PixelWriter, "append", fill)
    with pytest.raises(LungwiseError, match=r"^There is no room left to write .*; free some space or choose another --out\.$"):
        prepare(two_classes, tmp_path / "data", SMALL)
    assert not (tmp_path / "data" / "dataset.json").exists()
    assert_same_as_unbroken(two_classes, tmp_path / "data", monkeypatch)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_real_limit_on_the_size_of_files_is_one_sentence(
    two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (7500, before[1]))  # seven rows of 32 x 32 and a piece
    try:
        with pytest.raises(
            LungwiseError, match=r"^There is no room left to write .*; free some space or choose another --out\.$"
        ):
            prepare(two_classes, tmp_path / "data", SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "data" / "dataset.json").exists()
    assert_same_as_unbroken(two_classes, tmp_path / "data", monkeypatch)


@pytest.mark.parametrize("file", ["manifest.parquet", "audit.json", "samples.png", "README.md", "dataset.json"])
def test_a_disk_that_is_full_at_the_end_is_one_sentence(
    two_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    replace = os.replace

    def fill(source: Path, target: Path) -> None:
        if Path(target).name == file:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", fill)
    with pytest.raises(LungwiseError, match=rf"^There is no room left to write .*/{file}; free some space"):
        prepare(two_classes, tmp_path / "data", SMALL)
    assert not (tmp_path / "data" / "dataset.json").exists()
    assert not [path for path in (tmp_path / "data").iterdir() if path.name.startswith(".") and path.name != ".partial"]
    assert_same_as_unbroken(two_classes, tmp_path / "data", monkeypatch)
