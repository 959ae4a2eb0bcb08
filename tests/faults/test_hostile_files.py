"""Files that are not what they seem: other formats inside, devices, pipes, names that act on a terminal."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from lungwise.cli.main import app
from lungwise.errors import ImageError
from lungwise.imaging.dicom_file import MAX_READS
from lungwise.imaging.intact import MAX_SCANS
from lungwise.imaging.read import decode, read
from lungwise.inference.inputs import walk
from tests import bundle_factory
from tests.conftest import Encode
from tests.faults.hostile import PNG, chunk, ihdr, insert, jpeg_of_many_scans, png, zeros
from tests.imaging.test_dicom import make

Grey = NDArray[np.uint8]


def refusal(data: bytes | Path) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, "x") if isinstance(data, bytes) else read(data)
    return str(caught.value)


def archive(name: str = "evil.png") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr(name, b"inside")
    return buffer.getvalue()


# Two formats in one file


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF"])
@pytest.mark.parametrize("more", [archive(), b"<script>alert(1)</script>", b"%PDF-1.7", b"MZ" + bytes(60)])
def test_what_hangs_behind_a_picture_is_never_looked_at(encode: Encode, ramp: Grey, kind: str, more: bytes) -> None:
    data = encode(ramp, kind)
    np.testing.assert_array_equal(decode(data + more).pixels, decode(data).pixels)


def test_a_picture_and_archive_in_one_is_one_picture(encode: Encode, ramp: Grey, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(encode(ramp) + archive())
    assert zipfile.is_zipfile(tmp_path / "x.png")
    assert [item.name for item in walk(tmp_path / "x.png")] == [str(tmp_path / "x.png")]


@pytest.mark.parametrize("first", [archive(), b"#!/bin/sh\n", b"<html>", b"GIF89a", b"\0"])
def test_a_picture_behind_something_else_is_none(encode: Encode, ramp: Grey, first: bytes) -> None:
    assert "is not a PNG, JPEG, TIFF, BMP or DICOM image by its content" in refusal(first + encode(ramp))


@pytest.mark.parametrize("preamble", [b"II*\0\x08\0\0\0", b"MZ\x90\0", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_a_dicom_file_that_begins_as_another_format_is_dicom(ramp: Grey, preamble: bytes) -> None:
    data = make(ramp)
    np.testing.assert_array_equal(decode(preamble.ljust(128, b"\0") + data[128:]).pixels, ramp)


@pytest.mark.parametrize("frames", [2, 3])
def test_an_animated_png_is_refused(encode: Encode, ramp: Grey, frames: int) -> None:
    more = [Image.fromarray(np.roll(ramp, step, axis=1)) for step in range(1, frames)]
    assert f"x has {frames} frames" in refusal(encode(ramp, save_all=True, append_images=more))


def test_an_animation_that_is_announced_twice_is_no_way_around(ramp: Grey) -> None:
    control = chunk(b"acTL", (1).to_bytes(4, "big") + bytes(4)) + chunk(b"acTL", (9).to_bytes(4, "big") + bytes(4))
    assert decode(png(64, 64, extra=control)).pixels.shape == (64, 64)


def test_pages_of_a_tiff_are_counted(encode: Encode, ramp: Grey) -> None:
    more = [Image.fromarray(ramp)] * 149
    data = encode(ramp, "TIFF", save_all=True, append_images=more[:2])
    assert "x has 3 frames" in refusal(data)
    assert "x has more than 100 frames" in refusal(encode(ramp, "TIFF", save_all=True, append_images=more))


def test_a_big_tiff_is_checked_as_well(encode: Encode, ramp: Grey) -> None:
    data = encode(ramp, "TIFF", big_tiff=True)
    np.testing.assert_array_equal(decode(data).pixels, ramp)
    assert "cut off or damaged in its TIFF directory" in refusal(data[:100])
    number = int.from_bytes(data[8:16], "little")
    twice = data[: number + 8 + 20] + data[number + 8 : number + 8 + 20] + data[number + 8 + 40 :]
    assert "is given twice" in refusal(twice)


# What honest files may have, just within the caps


def test_a_jpeg_may_have_many_scans() -> None:
    assert decode(jpeg_of_many_scans(64, 64, MAX_SCANS - 12)).pixels.shape == (64, 64)


def test_a_header_may_be_long(ramp: Grey) -> None:
    element = b"\x29\x00\x10\x10LO\x02\x00ab"
    np.testing.assert_array_equal(decode(insert(make(ramp), element * (MAX_READS // 2))).pixels, ramp)


def test_a_png_may_hold_colour_profile_and_text(encode: Encode, ramp: Grey) -> None:
    data = encode(ramp, icc_profile=bytes(900_000))
    np.testing.assert_array_equal(decode(data).pixels, ramp)


def test_noise_that_cannot_be_packed_is_not_too_much(encode: Encode) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 700), np.uint8)
    for options in ({"compress_level": 0}, {"compress_level": 9}):
        np.testing.assert_array_equal(decode(encode(noise, **options)).pixels, noise)


def test_an_empty_film_is_not_cut_off(encode: Encode) -> None:
    for options in ({}, {"progressive": True}, {"optimize": True, "quality": 1}):
        assert decode(encode(np.full((3000, 3000), 77, np.uint8), "JPEG", **options)).pixels.shape == (3000, 3000)


# Places that are no files


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such devices")
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/urandom", "/dev/tty"])
def test_a_device_is_refused(device: str, tmp_path: Path) -> None:
    assert refusal(Path(device)).endswith((" is not a plain file.", " does not exist."))
    (tmp_path / "x.png").symlink_to(device)
    assert refusal(tmp_path / "x.png").endswith((" is not a plain file.", " does not exist."))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no such files")
def test_a_file_of_the_system_without_a_size_is_empty() -> None:
    assert refusal(Path("/proc/self/status")) == "status is empty (0 bytes); fetch the file again."


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_a_pipe_that_takes_a_files_place_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "x.png")
    monkeypatch.setattr(Path, "is_file", lambda self: True)  # as it was a moment ago
    assert refusal(tmp_path / "x.png").endswith("x.png is not a plain file.")


UNPRIVILEGED = """
import os, sys
from lungwise.errors import ImageError
from lungwise.imaging.read import read
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    read(sys.argv[1])
except ImageError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_a_file_that_really_may_not_be_read(tmp_path: Path, encode: Encode, ramp: Grey) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & stat.S_IXOTH and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    file = tmp_path / "x.png"
    file.write_bytes(encode(ramp))
    file.chmod(0)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", UNPRIVILEGED, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "x.png cannot be opened: Permission denied; check its permissions.\n"


# Names


ODD = ["=cmd|' !A0.png", "\x1b]0;owned\x07\x1b[31m.png", "a\nb\r.png", "\u202egnp.exe.png", "[red]x.png", "-rf.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such names")
@pytest.mark.parametrize("name", ODD)
def test_an_error_names_a_file_without_doing_what_its_name_says(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    for sentence in (refusal(tmp_path / name), refusal(tmp_path / "absent" / name)):
        assert sentence.isprintable()
        assert "\x1b" not in sentence


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such names")
@pytest.mark.parametrize("style", ["json", "csv", "table"])
def test_one_bad_file_of_each_kind_fails_one_item_each(tmp_path: Path, encode: Encode, ramp: Grey, style: str) -> None:
    model, folder = bundle_factory.make_bundle(tmp_path / "model"), tmp_path / "films"
    folder.mkdir()
    bad = {
        "1-empty.png": b"",
        "2-text.png": b"not an image",
        "3-bomb.png": PNG + ihdr(50_000, 50_000, 1) + chunk(b"IDAT", zeros(100)) + chunk(b"IEND", b""),
        "4-cut.jpg": encode(ramp, "JPEG")[:-50],
        "5-scans.jpg": jpeg_of_many_scans(64, 64, 200),
        "6-cut.dcm": make(ramp)[:-50],
        "7-archive.png": archive(),
    }
    for name, data in (bad | dict.fromkeys(ODD, b"")).items():
        (folder / name).write_bytes(data)
    (folder / "8-loop.png").symlink_to(folder / "8-loop.png")
    os.mkfifo(folder / "9-pipe.png")
    for number in range(3):
        (folder / f"{number}-good.png").write_bytes(encode(np.roll(ramp, number)))
    options = [] if style == "table" else [f"--{style}"]
    done = CliRunner().invoke(app, ["predict", str(folder), "--model", str(model), *options])
    assert done.exit_code == 1
    assert done.exception is None or isinstance(done.exception, SystemExit)
    if style == "json":
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        failed = [answer for answer in answers if answer["status"] == "error"]
        assert len(answers) - len(failed) == 3
        assert len(failed) == len(bad) + len(ODD) + 2
        assert all(len(answer["reasons"]) == 1 and answer["reasons"][0].isprintable() for answer in failed)
    if style == "csv":
        assert "\n=cmd" not in done.stdout
    assert "\x1b]0;owned" not in done.stderr
    if style == "table":
        assert "\x1b]0;owned" not in done.stdout
