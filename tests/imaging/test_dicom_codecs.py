"""Codestreams that none of our decoders can write; tools/make_codec_fixtures.py made them with another library."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import uid

from lungwise.errors import ImageError
from lungwise.imaging import dicom_jpeg12
from lungwise.imaging.dicom import decode_dicom
from tests.imaging.test_dicom import FULL_12, make

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def ramp12() -> NDArray[np.uint16]:
    """uint16 [64, 96], 12 bits: the picture of the fixtures."""
    y, x = np.mgrid[0:64, 0:96]
    ramp = x * 30 + y * 19
    ramp[20:40, 30:60] //= 2
    return ramp.astype(np.uint16)


@pytest.mark.parametrize("syntax", [uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K])
def test_high_throughput_jpeg_2000_without_loss(ramp12: NDArray[np.uint16], syntax: uid.UID) -> None:
    frame = (FIXTURES / "htj2k_lossless.j2c").read_bytes()
    plain = decode_dicom(make(ramp12, stored=12, **FULL_12))
    found = decode_dicom(make(ramp12, syntax, stored=12, frame=frame, **FULL_12))
    np.testing.assert_array_equal(found.pixels, plain.pixels)


@pytest.mark.parametrize(
    ("syntax", "file"), [(uid.HTJ2K, "htj2k_lossy.j2c"), (uid.JPEGExtended12Bit, "extended_12bit.jpg")], ids=["HTJ2K", "JPEG"]
)
def test_lossy_pictures_of_12_bits(ramp12: NDArray[np.uint16], syntax: uid.UID, file: str) -> None:
    plain = decode_dicom(make(ramp12, stored=12, **FULL_12)).pixels
    found = decode_dicom(make(ramp12, syntax, stored=12, frame=(FIXTURES / file).read_bytes(), **FULL_12)).pixels
    assert cv2.PSNR(found, plain) > 45
    assert (found != plain).any()


def test_a_damaged_jpeg_of_12_bits_is_an_error(ramp12: NDArray[np.uint16]) -> None:
    frame = (FIXTURES / "extended_12bit.jpg").read_bytes()
    with pytest.raises(ImageError, match=r"^x is cut off: its JPEG Extended .* data have no end marker"):
        decode_dicom(make(ramp12, uid.JPEGExtended12Bit, stored=12, frame=frame[:-200], **FULL_12), "x")


@pytest.mark.parametrize("unit", [8, 69, 155])
def test_strange_application_data_do_not_end_the_process(ramp12: NDArray[np.uint16], unit: int) -> None:
    frame = bytearray((FIXTURES / "extended_12bit.jpg").read_bytes())
    plain = decode_dicom(make(ramp12, uid.JPEGExtended12Bit, stored=12, frame=bytes(frame), **FULL_12)).pixels
    frame[frame.index(b"JFIF") + 7] = unit  # the unit of the density, of which there are three
    found = decode_dicom(make(ramp12, uid.JPEGExtended12Bit, stored=12, frame=bytes(frame), **FULL_12)).pixels
    np.testing.assert_array_equal(found, plain)


def test_without_gdcm_the_package_is_named(ramp12: NDArray[np.uint16], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(dicom_jpeg12.__dict__, "gdcm")
    frame = (FIXTURES / "extended_12bit.jpg").read_bytes()
    with pytest.raises(ImageError, match=r"12 bits, whose decoder is not installed: pip install python-gdcm\.$"):
        decode_dicom(make(ramp12, uid.JPEGExtended12Bit, stored=12, frame=frame, **FULL_12), "x")
