"""From a file's bytes to a Radiograph."""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lungwise.errors import ImageError
from lungwise.imaging.grey import full_range
from lungwise.imaging.radiograph import Radiograph
from lungwise.imaging.read import MAX_PIXELS, decode, read
from tests.conftest import Encode

Grey = NDArray[np.uint8]

LOSSLESS = [
    ("PNG", "L"), ("PNG", "LA"), ("PNG", "P"), ("PNG", "RGB"), ("PNG", "RGBA"),
    ("TIFF", "L"), ("TIFF", "LA"), ("TIFF", "P"), ("TIFF", "PA"), ("TIFF", "RGB"), ("TIFF", "RGBA"), ("TIFF", "CMYK"),
    ("BMP", "L"), ("BMP", "P"), ("BMP", "RGB"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "mode"), LOSSLESS)
def test_a_grey_picture_keeps_its_values_in_every_lossless_form(encode: Encode, ramp: Grey, kind: str, mode: str) -> None:
    found = decode(encode(ramp, kind, mode))
    np.testing.assert_array_equal(found.pixels, ramp)
    assert found.warnings == ()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_keeps_its_values_nearly(encode: Encode, ramp: Grey, mode: str, options: dict[str, object]) -> None:
    found = decode(encode(ramp, "JPEG", mode, quality=98, **options)).pixels
    assert np.abs(found.astype(int) - ramp).mean() < 2


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_a_bilevel_picture_is_black_and_white(encode: Encode, ramp: Grey, kind: str) -> None:
    found = decode(encode(np.where(ramp > 128, 255, 0).astype(np.uint8), kind, "1")).pixels
    np.testing.assert_array_equal(found, np.where(ramp > 128, 255, 0))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits", "tiff_adobe_deflate"])
def test_a_tiff_may_be_compressed(encode: Encode, ramp: Grey, compression: str) -> None:
    np.testing.assert_array_equal(decode(encode(ramp, "TIFF", compression=compression)).pixels, ramp)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_are_mapped_from_darkest_to_brightest(encode: Encode, kind: str) -> None:
    stored = np.full((40, 40), 1000, np.uint16)
    stored[:, 20:30], stored[:, 30:] = 1400, 2000
    found = decode(encode(stored, kind))
    assert found.pixels[0, [0, 20, 30]].tolist() == [0, 102, 255]
    assert found.warnings == ("16-bit image without a window: its darkest to brightest value was mapped to black to white",)


def test_a_16_bit_tiff_that_stores_white_as_zero_is_inverted(encode: Encode) -> None:
    stored = np.zeros((40, 40), np.uint16)
    stored[:, 20:] = 4095
    found = decode(encode(stored, "TIFF", tiffinfo={262: 0})).pixels
    assert found[0, [0, 39]].tolist() == [255, 0]


def test_an_8_bit_tiff_that_stores_white_as_zero_looks_as_meant(encode: Encode, ramp: Grey) -> None:
    np.testing.assert_array_equal(decode(encode(ramp, "TIFF", tiffinfo={262: 0})).pixels, ramp)


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG by hand, for the forms that Pillow does not write (PNG 3rd ed., 11.2.1)."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)], ids=["RGB", "LA", "RGBA"])
def test_opaque_alpha_does_not_dim_a_12_bit_picture(colour: int, channels: int) -> None:
    stored = np.full((40, 40, channels), 65535, ">u2")
    stored[..., : 3 if channels > 2 else 1] = np.where(np.arange(40) < 20, 0, 4095)[None, :, None]
    data = png(40, 40, 16, colour, b"".join(b"\0" + row.tobytes() for row in stored))
    assert decode(data).pixels[0, [0, 39]].tolist() == [0, 255]


def test_a_transparent_place_is_black(encode: Encode) -> None:
    rgba = np.full((40, 40, 4), 200, np.uint8)
    rgba[..., 3] = np.where(np.arange(40) < 20, 0, 255)
    assert decode(encode(rgba)).pixels[0, [0, 39]].tolist() == [0, 200]


def test_half_transparent_is_half_as_bright(encode: Encode) -> None:
    rgba = np.full((40, 40, 4), 200, np.uint8)
    rgba[..., 3] = 51
    assert decode(encode(rgba)).pixels[0, 0] == 40


def test_colour_becomes_luminance_and_is_noted(encode: Encode) -> None:
    red = np.zeros((40, 40, 3), np.uint8)
    red[..., 0] = 200
    found = decode(encode(red))
    assert found.pixels[0, 0] == 60  # 0.299 * 200 (ITU-R BT.601)
    assert found.warnings == ("colour image converted to grey",)


def test_a_few_coloured_marks_are_not_a_colour_image(encode: Encode) -> None:
    grey = np.full((100, 100, 3), 90, np.uint8)
    grey[0, :50] = (255, 0, 0)
    assert decode(encode(grey)).warnings == ()


CORNERS = {1: "ABCD", 2: "BADC", 3: "DCBA", 4: "CDAB", 5: "ACBD", 6: "CADB", 7: "DBCA", 8: "BDAC"}
"""Grey corners (upper left, upper right, lower left, lower right) of a picture stored as ABCD, once upright (EXIF 4.6.4)."""


@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "L"), ("PNG", "P"), ("TIFF", "L"), ("TIFF", "P")]
)
@pytest.mark.parametrize("orientation", sorted(CORNERS))
def test_the_exif_orientation_is_applied_once(encode: Encode, kind: str, mode: str, orientation: int) -> None:
    values = {"A": 200, "B": 120, "C": 60, "D": 0}
    stored = np.kron(np.array([[200, 120], [60, 0]], np.uint8), np.ones((20, 32), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode(encode(stored, kind, mode, exif=exif)).pixels
    assert found.shape == ((64, 40) if orientation >= 5 else (40, 64))
    corners = [int(found[y, x]) for y in (4, -5) for x in (4, -5)]
    assert corners == pytest.approx([values[corner] for corner in CORNERS[orientation]], abs=3)


@pytest.mark.parametrize("orientation", [0, 9, 40000])
def test_an_impossible_orientation_is_passed_over(encode: Encode, ramp: Grey, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode(encode(ramp, exif=exif)).pixels, ramp)


@pytest.mark.parametrize(("kind", "name"), [("JPEG", "x.png"), ("PNG", "x.jpg"), ("TIFF", "x.bmp"), ("BMP", "x")])
def test_the_content_decides_and_not_the_name(tmp_path: Path, encode: Encode, ramp: Grey, kind: str, name: str) -> None:
    (tmp_path / name).write_bytes(encode(ramp, kind))
    assert read(tmp_path / name).pixels.shape == ramp.shape


def test_a_file_may_have_a_line_break_in_its_name(tmp_path: Path, encode: Encode, ramp: Grey) -> None:
    (tmp_path / "a\nb.png").write_bytes(encode(ramp))
    assert read(tmp_path / "a\nb.png").pixels.shape == ramp.shape


def refusal(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, "x")
    return str(caught.value)


def test_an_empty_file_is_refused() -> None:
    assert refusal(b"") == "x is empty (0 bytes); fetch the file again."


@pytest.mark.parametrize("data", [b"not an image", b"\0" * 300, b"GIF89a" + b"\0" * 60, b"<html></html>", b"%PDF-1.7"])
def test_another_kind_of_file_is_refused(data: bytes) -> None:
    assert refusal(data) == "x is not a PNG, JPEG, TIFF, BMP or DICOM image by its content; convert or remove it."


def test_dicom_is_known_by_its_content_and_goes_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    data, found = b"\0" * 128 + b"DICM" + b"\0" * 8, Radiograph(np.zeros((40, 40), np.uint8))
    monkeypatch.setattr(
        "lungwise.imaging.dicom.decode_dicom", lambda *came, **options: found if came == (data, "x.png") else None
    )
    assert decode(data, "x.png") is found


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_other_depths_are_refused(encode: Encode, dtype: type) -> None:
    sentence = refusal(encode(np.zeros((40, 40), dtype), "TIFF"))
    assert sentence == f"An image must have 8 or 16 bits a pixel, x has {np.dtype(dtype)}; convert it first."


@pytest.mark.parametrize(("height", "width"), [(31, 40), (40, 31), (1, 1)])
def test_an_icon_is_refused(encode: Encode, height: int, width: int) -> None:
    sentence = refusal(encode(np.zeros((height, width), np.uint8)))
    assert sentence == f"An image must have at least 32 pixels on each side, x has {width} x {height}; fetch the original."


@pytest.mark.parametrize(("width", "height"), [(8000, 8000), (12000, 12000)])
def test_a_declared_size_beyond_the_cap_is_refused_before_decoding(width: int, height: int) -> None:
    sentence = refusal(png(width, height, 8, 0, b""))
    assert sentence == f"An image must have at most {MAX_PIXELS} pixels, x declares {width} x {height}; shrink it first."


def test_a_declared_size_of_gigabytes_is_refused_before_decoding() -> None:
    assert refusal(png(100_000, 100_000, 8, 0, b"")) == (
        f"An image must have at most {MAX_PIXELS} pixels, x declares far more; shrink it first."
    )


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_several_frames_are_refused(encode: Encode, ramp: Grey, kind: str) -> None:
    data = encode(ramp, kind, save_all=True, append_images=[Image.fromarray(255 - ramp)])
    assert refusal(data) == "An image must be one still picture, x has 2 frames; save the one that is meant."


def test_the_first_picture_of_a_jpeg_with_more_is_taken(encode: Encode, ramp: Grey) -> None:
    data = encode(ramp, "MPO", save_all=True, append_images=[Image.fromarray(255 - ramp)])
    assert np.abs(decode(data).pixels.astype(int) - ramp).mean() < 4


CUT = [
    ("PNG", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("BMP", {}),
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
]


@pytest.mark.parametrize(("kind", "options"), CUT)
@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.99])
def test_a_file_that_is_cut_off_is_refused(encode: Encode, kind: str, options: dict[str, object], keep: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    data = encode(noise, kind, **options)
    assert refusal(data[: int(len(data) * keep)]).startswith("x ")


@pytest.mark.parametrize(
    ("kind", "reason"), [("PNG", "is damaged or cut off in its PNG data"), ("JPEG", "is cut off: its JPEG data end")]
)
@pytest.mark.parametrize("padding", [b"\0", b"\xff"])
def test_padding_does_not_hide_what_was_cut_off(encode: Encode, kind: str, reason: str, padding: bytes) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    data = encode(noise, kind)
    half = len(data) // 2
    assert reason in refusal(data[:half] + padding * (len(data) - half))


def test_the_end_of_a_thumbnail_is_not_the_end_of_a_jpeg(encode: Encode, ramp: Grey) -> None:
    data, thumbnail = encode(ramp, "JPEG"), encode(ramp[:32, :32], "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = data[:2] + segment + data[2:]
    assert decode(whole).pixels.shape == ramp.shape
    assert refusal(whole[:-40]) == "x is cut off: its JPEG data end before the end marker; fetch the file again."


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_bytes_behind_the_end_do_no_harm(encode: Encode, ramp: Grey, kind: str) -> None:
    data = encode(ramp, kind)
    np.testing.assert_array_equal(decode(data + b"\0" * 10_000).pixels, decode(data).pixels)


def test_one_altered_byte_of_a_png_is_noticed(encode: Encode, ramp: Grey) -> None:
    data = bytearray(encode(ramp))
    data[data.index(b"IDAT") + 20] ^= 1
    assert refusal(bytes(data)) == "x is damaged or cut off in its PNG data ('IDAT'); fetch the file again."


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_damage_anywhere_is_an_image_or_an_image_error(encode: Encode, ramp: Grey, kind: str) -> None:
    rng, data = np.random.default_rng(0), encode(ramp, kind)
    for _ in range(150):
        damaged = bytearray(data)
        for place in rng.integers(0, min(len(data), 400), 4):
            damaged[place] = rng.integers(256)
        with contextlib.suppress(ImageError):
            assert decode(bytes(damaged)).pixels.dtype == np.uint8


def test_opencv_writes_nothing_of_its_own(encode: Encode, ramp: Grey, capfd: pytest.CaptureFixture[str]) -> None:
    for kind in ("PNG", "TIFF", "BMP"):
        refusal(encode(ramp, kind)[:-20])
    assert capfd.readouterr() == ("", "")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"^An image must be a file, but .*/x\.png does not exist\.$"):
        read(tmp_path / "x.png")


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "x.png").mkdir()
    with pytest.raises(ImageError, match=r"^An image must be a file, but .*/x\.png is a folder\.$"):
        read(tmp_path / "x.png")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(ImageError, match=r"is not a plain file\.$"):
        read(tmp_path / "x.png")


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.png").symlink_to(tmp_path / "x.png")
    with pytest.raises(ImageError, match=r"^An image must be a file, but .*/x\.png does not exist\.$"):
        read(tmp_path / "x.png")


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"cannot be opened: File name too long; check its permissions\.$"):
        read(tmp_path / ("x" * 300))


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.png").write_bytes(b"x")

    def deny(place: Path, *options: int) -> int:
        raise PermissionError(13, "Permission denied", str(place))

    monkeypatch.setattr(os, "open", deny)  # root may read everything
    with pytest.raises(ImageError, match=r"^x\.png cannot be opened: Permission denied; check its permissions\.$"):
        read(tmp_path / "x.png")


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "x.png").open("wb") as file:
        file.truncate(500_000_001)
    with pytest.raises(ImageError, match=r"^An image file must have at most 500000000 bytes, x\.png has 500000001\."):
        read(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("values", "mapped"),
    [([0, 1], [0, 255]), ([5, 5], [0, 0]), ([100, 200, 355], [0, 100, 255]), ([-1.0, -0.6, 1.0], [0, 51, 255])],
)
def test_full_range_maps_the_extremes_to_black_and_white(values: list[float], mapped: list[int]) -> None:
    assert full_range(np.array(values)).tolist() == mapped
