"""DICOM files, built in memory, through decode_dicom."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID

from lungwise.errors import ImageError
from lungwise.imaging import dicom_file, dicom_syntax
from lungwise.imaging.dicom import decode_dicom
from lungwise.imaging.dicom_file import inflate
from lungwise.imaging.radiograph import Radiograph
from lungwise.imaging.read import decode
from tests.conftest import Encode

CR = "1.2.840.10008.5.1.4.1.1.1"
# Never gdcm, whose encoders abort the process on some sizes (python-gdcm 3.2.6).
ENCODERS = {
    uid.RLELossless: "pydicom",
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
}
FULL_8 = {"WindowCenter": "128", "WindowWidth": "256"}
FULL_12 = {"WindowCenter": "2048", "WindowWidth": "4096"}
FULL_16 = {"WindowCenter": "32768", "WindowWidth": "65536"}


def make(
    pixels: NDArray[Any],
    syntax: UID = uid.ExplicitVRLittleEndian,
    *,
    stored: int | None = None,
    signed: bool | None = None,
    frame: bytes | None = None,
    **elements: Any,
) -> bytes:
    """The bytes of a DICOM file: Computed Radiography, MONOCHROME2, one frame, unless ``elements`` say otherwise.

    An element given as None is left out. ``frame`` is an encoded frame; without it pydicom encodes the pixels.
    """
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = elements.pop("SOPClassUID", CR)
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.PatientName = "Secret^Name"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored = stored or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i" if signed is None else signed)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    for keyword, value in elements.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    raw = pixels.tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated == 16 else "OB"
    if frame is not None:
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
    elif syntax.is_encapsulated:
        dataset.compress(syntax, encoding_plugin=ENCODERS[syntax], generate_instance_uid=False)
    else:
        dataset.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def grey(data: bytes, **options: bool) -> NDArray[np.uint8]:
    return decode_dicom(data, "x.dcm", **options).pixels


def refused(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode_dicom(data, "x.dcm")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(("x.dcm", "An image", "A deflated"))
    return str(caught.value)


def item(**elements: Any) -> Sequence:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return Sequence([dataset])


@pytest.fixture
def steps() -> NDArray[np.uint8]:
    """uint8 [33, 257]: every value; its 16-bit form has a length whose low bytes read "BB", like a VR."""
    return np.resize(np.arange(256, dtype=np.uint8), (33, 257))


@pytest.fixture
def deep(steps: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """uint16 [33, 257]: 0 to 4095 in steps."""
    return np.round(steps * (4095 / 255)).astype(np.uint16)


@pytest.fixture
def smooth() -> NDArray[np.uint8]:
    """uint8 [64, 96]: a picture that survives lossy compression."""
    y, x = np.mgrid[:64, :96]
    return np.round(127 + 60 * np.sin(x / 15) + 60 * np.cos(y / 11)).astype(np.uint8)


# The same picture as PNG and as DICOM


@pytest.mark.parametrize("syntax", dicom_syntax.NATIVE)
def test_the_same_as_png(steps: NDArray[np.uint8], encode: Encode, syntax: UID) -> None:
    radiograph = decode_dicom(make(steps, syntax, **FULL_8), "x.dcm")
    png = decode(encode(steps))
    assert radiograph.pixels.dtype == np.uint8
    np.testing.assert_array_equal(radiograph.pixels, png.pixels)
    assert (radiograph.warnings, radiograph.view) == ((), "")


def test_the_common_door_reads_dicom_whatever_the_name(steps: NDArray[np.uint8]) -> None:
    radiograph = decode(make(steps, ViewPosition="AP", **FULL_8), "film.png")
    np.testing.assert_array_equal(radiograph.pixels, steps)
    assert radiograph.view == "AP"


@pytest.mark.parametrize("syntax", dicom_syntax.NATIVE)
def test_sixteen_bits_without_a_window_are_the_same_as_png(deep: NDArray[np.uint16], encode: Encode, syntax: UID) -> None:
    radiograph = decode_dicom(make(deep, syntax), "x.dcm")
    np.testing.assert_array_equal(radiograph.pixels, decode(encode(deep)).pixels)
    assert radiograph.warnings == ("no window in the file: its darkest to brightest value was mapped to black to white",)


def test_eight_bits_without_a_window_are_the_same_as_png(steps: NDArray[np.uint8], encode: Encode) -> None:
    faint = steps // 2 + 40
    radiograph = decode_dicom(make(faint), "x.dcm")
    np.testing.assert_array_equal(radiograph.pixels, decode(encode(faint)).pixels)
    assert radiograph.warnings == ()


# Bits and signs


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.RLELossless])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_bits_and_signs(steps: NDArray[np.uint8], bits: int, signed: bool, syntax: UID) -> None:
    values = np.round(steps * ((2**bits - 1) / 255)).astype(np.int32) - (2 ** (bits - 1) if signed else 0)
    kind = f"{'i' if signed else 'u'}{1 if bits == 8 else 2}"
    window = {"WindowCenter": "0" if signed else str(2 ** (bits - 1)), "WindowWidth": str(2**bits)}
    np.testing.assert_array_equal(grey(make(values.astype(kind), syntax, stored=bits, **window)), steps)


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless])
@pytest.mark.parametrize("signed", [False, True])
def test_bits_above_those_stored_do_not_count(
    deep: NDArray[np.uint16], steps: NDArray[np.uint8], signed: bool, syntax: UID
) -> None:
    garbage = np.resize(np.array([0x0000, 0xF000, 0x5000, 0x8000], np.uint16), deep.shape)
    pattern = (deep - 2048) & 0x0FFF if signed else deep
    window = {"WindowCenter": "0", "WindowWidth": "4096"} if signed else FULL_12
    np.testing.assert_array_equal(grey(make(pattern | garbage, syntax, stored=12, signed=signed, **window)), steps)


def test_odd_number_of_bytes() -> None:
    pixels = np.resize(np.arange(200, dtype=np.uint8), (33, 33))
    radiograph = decode_dicom(make(pixels, **FULL_8), "x.dcm")
    np.testing.assert_array_equal(radiograph.pixels, pixels)
    assert radiograph.warnings == ()


# Presentation


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted", "noted"),
    [
        ("MONOCHROME2", None, False, False),
        ("MONOCHROME2", "IDENTITY", False, False),
        ("MONOCHROME1", None, True, False),
        ("MONOCHROME1", "INVERSE", True, False),
        ("MONOCHROME2", "INVERSE", True, True),
        ("MONOCHROME1", "IDENTITY", False, True),
        ("MONOCHROME1", "LIN OD", True, True),
    ],
)
def test_inversion_happens_once(
    steps: NDArray[np.uint8], photometric: str, shape: str | None, inverted: bool, noted: bool
) -> None:
    dark = steps // 2  # a maximum of 127: inversion must not depend on it
    elements = {"PresentationLUTShape": shape} if shape else {}
    radiograph = decode_dicom(make(dark, PhotometricInterpretation=photometric, **FULL_8, **elements), "x.dcm")
    np.testing.assert_array_equal(radiograph.pixels, 255 - dark if inverted else dark)
    assert bool(radiograph.warnings) == noted


def test_inversion_without_a_window(deep: NDArray[np.uint16], steps: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(grey(make(deep, stored=12, PhotometricInterpretation="MONOCHROME1")), 255 - steps)


# Modality


def test_negative_slope(deep: NDArray[np.uint16], steps: NDArray[np.uint8]) -> None:
    data = make(deep, stored=12, RescaleSlope="-1", RescaleIntercept="4095", **FULL_12)
    np.testing.assert_array_equal(grey(data), 255 - steps)
    data = make(deep, stored=12, RescaleSlope="-1", RescaleIntercept="4095", PhotometricInterpretation="MONOCHROME1", **FULL_12)
    np.testing.assert_array_equal(grey(data), steps)


def test_rescale_comes_before_the_window(deep: NDArray[np.uint16], steps: NDArray[np.uint8]) -> None:
    window = {"WindowCenter": "-1000", "WindowWidth": "2048", "VOILUTFunction": "LINEAR_EXACT"}
    shown = grey(make(deep, stored=12, RescaleSlope="0.5", RescaleIntercept="-2024", **window))
    np.testing.assert_array_equal(shown, np.rint(deep / 4096 * 255))


def test_modality_table_comes_before_the_window(steps: NDArray[np.uint8]) -> None:
    table = item(LUTDescriptor=[256, 0, 16], ModalityLUTType="US", LUTData=[value * 257 for value in range(255, -1, -1)])
    table[0]["LUTDescriptor"].VR = table[0]["LUTData"].VR = "US"
    np.testing.assert_array_equal(grey(make(steps, ModalityLUTSequence=table, **FULL_16)), 255 - steps)


def test_slope_zero_is_refused(steps: NDArray[np.uint8]) -> None:
    assert refused(make(steps, RescaleSlope="0", RescaleIntercept="0")) == (
        "x.dcm: (0028,1053) 'Rescale Slope' must be other than 0, got '0.0'; export it again."
    )


# Padding


def test_padding_is_black_and_outside_the_range(deep: NDArray[np.uint16]) -> None:
    pixels = 1000 + deep // 4
    pixels[:4] = 4095
    shown = grey(make(pixels, stored=12, PixelPaddingValue=4095))
    assert (shown[:4] == 0).all()
    assert (shown[4:].min(), shown[4:].max()) == (0, 255)
    shown = grey(make(pixels, stored=12, PixelPaddingValue=4095, PhotometricInterpretation="MONOCHROME1"))
    assert (shown[:4] == 0).all()
    assert (shown[4:].min(), shown[4:].max()) == (0, 255)


@pytest.mark.parametrize("ends", [(0, 99), (99, 0)])
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
def test_padding_may_be_a_range(deep: NDArray[np.uint16], syntax: UID, ends: tuple[int, int]) -> None:
    pixels = 100 + deep // 2
    pixels[:4] = np.resize(np.arange(100, dtype=np.uint16), (4, 257))
    shown = grey(make(pixels, syntax, stored=12, PixelPaddingValue=ends[0], PixelPaddingRangeLimit=ends[1]))
    assert (shown[:4] == 0).all()
    np.testing.assert_array_equal(shown[4:], np.rint((pixels[4:] - 100.0) / (pixels.max() - 100) * 255))


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
def test_padding_has_the_sign_of_the_pixels(deep: NDArray[np.uint16], syntax: UID) -> None:
    pixels = deep.astype(np.int16) // 4
    pixels[:4] = -2000
    shown = grey(make(pixels, syntax, stored=12, PixelPaddingValue=-2000))
    assert (shown[:4] == 0).all()
    assert (shown[4:].min(), shown[4:].max()) == (0, 255)


def test_padding_of_the_wrong_type_is_understood(deep: NDArray[np.uint16]) -> None:
    pixels = deep.astype(np.int16) // 4
    pixels[:4] = -2000
    data = make(pixels, stored=12, PixelPaddingValue=-2000)
    wrong = data.replace(b"\x28\x00\x20\x01SS", b"\x28\x00\x20\x01US")
    assert wrong != data
    np.testing.assert_array_equal(grey(wrong), grey(data))


def test_padding_beyond_the_bits_stored_is_ignored(deep: NDArray[np.uint16], steps: NDArray[np.uint8]) -> None:
    radiograph = decode_dicom(make(deep, stored=12, PixelPaddingValue=63536, **FULL_12), "x.dcm")
    np.testing.assert_array_equal(radiograph.pixels, steps)
    assert radiograph.warnings == ("pixel padding value 63536 does not fit the bits stored and was ignored",)


def test_nothing_but_padding_is_refused() -> None:
    assert "nothing but (0028,0120) 'Pixel Padding Value'" in refused(make(np.full((40, 40), 7, np.uint8), PixelPaddingValue=7))


# Windows and tables of interest


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (None, lambda x: np.clip((x - 1999.5) / 999 + 0.5, 0, 1)),
        ("LINEAR", lambda x: np.clip((x - 1999.5) / 999 + 0.5, 0, 1)),
        ("LINEAR_EXACT", lambda x: np.clip((x - 2000) / 1000 + 0.5, 0, 1)),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 2000) / 1000))),
    ],
)
def test_window_functions(deep: NDArray[np.uint16], function: str | None, expected: Any) -> None:
    elements = {"VOILUTFunction": function} if function else {}
    shown = grey(make(deep, stored=12, WindowCenter="2000", WindowWidth="1000", **elements))
    np.testing.assert_array_equal(shown, np.rint(255 * expected(deep.astype(np.float64))))


def test_the_first_of_several_windows(deep: NDArray[np.uint16], steps: NDArray[np.uint8]) -> None:
    data = make(deep, stored=12, WindowCenter=["2048", "100"], WindowWidth=["4096", "10"])
    np.testing.assert_array_equal(grey(data), steps)


def test_a_table_of_interest_goes_before_a_window(deep: NDArray[np.uint16], steps: NDArray[np.uint8]) -> None:
    for syntax in dicom_syntax.NATIVE:
        table = item(LUTDescriptor=[4096, 0, 12], LUTData=struct.pack("<4096H", *range(4095, -1, -1)))
        table[0]["LUTDescriptor"].VR, table[0]["LUTData"].VR = "US", "OW"
        data = make(deep, syntax, stored=12, VOILUTSequence=table, WindowCenter="1", WindowWidth="2")
        np.testing.assert_array_equal(grey(data), 255 - steps)


def test_a_table_of_interest_with_bytes_and_an_offset(steps: NDArray[np.uint8]) -> None:
    table = item(LUTDescriptor=[4, 100, 8], LUTData=bytes([0, 80, 160, 255]))
    table[0]["LUTDescriptor"].VR, table[0]["LUTData"].VR = "US", "OW"
    shown = grey(make(steps, VOILUTSequence=table))
    for value, expected in {0: 0, 100: 0, 101: 80, 102: 160, 103: 255, 255: 255}.items():
        assert set(shown[steps == value]) == {expected}


def test_a_table_of_interest_below_zero(steps: NDArray[np.uint8]) -> None:
    values = steps.astype(np.int16) - 128
    table = item(LUTDescriptor=[256, -128, 16], LUTData=[value * 257 for value in range(256)])
    table[0]["LUTDescriptor"].VR, table[0]["LUTData"].VR = "SS", "US"
    np.testing.assert_array_equal(grey(make(values, VOILUTSequence=table)), steps)


def test_a_table_of_65536_entries_says_0() -> None:
    pixels = np.resize(np.arange(0, 65536, 7, dtype=np.uint16), (100, 100))
    table = item(LUTDescriptor=[0, 0, 16], LUTData=struct.pack("<65536H", *range(65535, -1, -1)))
    table[0]["LUTDescriptor"].VR, table[0]["LUTData"].VR = "US", "OW"
    np.testing.assert_array_equal(grey(make(pixels, VOILUTSequence=table)), np.rint((65535 - pixels.astype(float)) / 257))


@pytest.mark.parametrize(
    ("descriptor", "data", "message"),
    [
        ([8, 0, 16], b"\0" * 14, "(0028,3006) 'LUT Data' must be 8 entries, got '14 bytes'"),
        ([8, 0, 20], b"\0" * 16, "(0028,3002) 'LUT Descriptor' must be a table of 8 to 16 bits, got '20'"),
        ([8, 0], b"\0" * 16, "(0028,3002) 'LUT Descriptor' must be three numbers, got '[8, 0]'"),
    ],
)
def test_damaged_tables_are_refused(steps: NDArray[np.uint8], descriptor: list[int], data: bytes, message: str) -> None:
    table = item(LUTDescriptor=descriptor, LUTData=data)
    table[0]["LUTDescriptor"].VR, table[0]["LUTData"].VR = "US", "OW"
    assert message in refused(make(steps, VOILUTSequence=table))


@pytest.mark.parametrize("width", ["0", "-5", "0.5"])
def test_an_impossible_window_is_ignored(deep: NDArray[np.uint16], steps: NDArray[np.uint8], width: str) -> None:
    radiograph = decode_dicom(make(deep, stored=12, WindowCenter="5", WindowWidth=width), "x.dcm")
    np.testing.assert_array_equal(radiograph.pixels, steps)
    assert radiograph.warnings[0] == f"window width {width} is not allowed for LINEAR, so the window was ignored"


def test_an_unknown_window_function_is_refused(steps: NDArray[np.uint8]) -> None:
    assert "(0028,1056) 'VOI LUT Function' must be LINEAR, LINEAR_EXACT or SIGMOID, got 'CUBIC'" in refused(
        make(steps, VOILUTFunction="CUBIC", **FULL_8)
    )


# What is refused by its header


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"PhotometricInterpretation": "RGB"}, "(0028,0004) 'Photometric Interpretation' must be MONOCHROME1 or MONOCHROME2"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "got 'PALETTE COLOR'; colour and palette images are not radiographs"),
        ({"PhotometricInterpretation": None}, "but it is missing; the file is cut off or not an image."),
        ({"SamplesPerPixel": 3}, "(0028,0002) 'Samples per Pixel' must be 1, got '3'"),
        ({"NumberOfFrames": "12"}, "(0028,0008) 'Number of Frames' must be 1, got '12'; save the frame"),
        ({"Rows": None}, "(0028,0010) 'Rows' must be a whole number, but it is missing"),
        ({"BitsAllocated": 32}, "(0028,0100) 'Bits Allocated' must be 8 or 16, got '32'"),
        ({"BitsStored": 5}, "(0028,0101) 'Bits Stored' must be 6 to 8, got '5'"),
        ({"BitsStored": 9}, "(0028,0101) 'Bits Stored' must be 6 to 8, got '9'"),
        ({"HighBit": 6}, "(0028,0102) 'High Bit' must be 7, one less than Bits Stored, got '6'"),
        ({"Rows": 65535, "Columns": 65535}, "at most 50000000 pixels, x.dcm declares 65535 x 65535"),
        ({"Rows": 31}, "at least 32 pixels on each side, x.dcm has 257 x 31"),
        (
            {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"},
            "(0008,0016) 'SOP Class UID' must be Computed Radiography or Digital X-Ray",
        ),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "got 'CT Image Storage'; choose a radiograph."),
        (
            {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
            "got 'Secondary Capture Image Storage'; a screenshot or scan is read only",
        ),
    ],
)
def test_refusals(steps: NDArray[np.uint8], elements: dict[str, Any], message: str) -> None:
    assert message in refused(make(steps, **elements))


def test_a_picture_of_one_frame_is_not_a_film(steps: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(grey(make(steps, NumberOfFrames="1", **FULL_8)), steps)


def test_the_size_is_checked_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch, steps: NDArray[np.uint8]) -> None:
    monkeypatch.setattr("lungwise.imaging.dicom.pixel_data", lambda *given: pytest.fail("the pixels were touched"))
    for elements in ({"Rows": 60000, "Columns": 60000}, {"NumberOfFrames": "60000"}):
        refused(make(steps, **elements))


@pytest.mark.parametrize(
    ("sop_class", "warned"),
    [(CR, False), (CR + ".1", False), (CR + ".1.1", True)],
)
def test_accepted_classes(steps: NDArray[np.uint8], sop_class: str, warned: bool) -> None:
    radiograph = decode_dicom(make(steps, SOPClassUID=sop_class, **FULL_8), "x.dcm")
    np.testing.assert_array_equal(radiograph.pixels, steps)
    assert any("For Processing" in warning for warning in radiograph.warnings) == warned


def test_secondary_capture_on_demand(steps: NDArray[np.uint8]) -> None:
    data = make(steps, SOPClassUID="1.2.840.10008.5.1.4.1.1.7", **FULL_8)
    radiograph = decode_dicom(data, "x.dcm", allow_secondary=True)
    np.testing.assert_array_equal(radiograph.pixels, steps)
    assert radiograph.warnings[0].startswith("Secondary Capture")


# The view


@pytest.mark.parametrize(
    ("position", "code", "view"),
    [
        ("PA", None, "PA"),
        ("AP", None, "AP"),
        ("LL", None, "LL"),
        ("RL", None, "RL"),
        ("LATERAL", None, "LL"),
        ("RLD", None, ""),
        (None, None, ""),
        ("", "272479007", "PA"),
        (None, "399348003", "AP"),
        (None, "R-10206", "AP"),
        (None, "399173006", "LL"),
        (None, "399198007", "RL"),
        (None, "399067008", "LL"),
        (None, "12345", ""),
        ("PA", "399348003", "PA"),
    ],
)
def test_view(steps: NDArray[np.uint8], position: str | None, code: str | None, view: str) -> None:
    elements: dict[str, Any] = {} if position is None else {"ViewPosition": position}
    if code is not None:
        elements["ViewCodeSequence"] = item(CodeValue=code, CodingSchemeDesignator="SCT", CodeMeaning="view")
    radiograph = decode_dicom(make(steps, **elements, **FULL_8), "x.dcm")
    assert radiograph.view == view
    assert radiograph.warnings == (("lateral view: a frontal chest image is expected",) if view in ("LL", "RL") else ())


# Compressed


LOSSLESS = [
    (uid.RLELossless, ["pylibjpeg", "pydicom"]),
    (uid.JPEGLSLossless, ["pyjpegls", "gdcm"]),
    (uid.JPEG2000Lossless, ["pylibjpeg", "gdcm", "pillow"]),
]


@pytest.mark.parametrize(("syntax", "decoder"), [(syntax, one) for syntax, every in LOSSLESS for one in every])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_every_decoder_gives_the_same(
    monkeypatch: pytest.MonkeyPatch, steps: NDArray[np.uint8], syntax: UID, decoder: str, bits: int, signed: bool
) -> None:
    values = np.round(steps * ((2**bits - 1) / 255)).astype(np.int32) - (2 ** (bits - 1) if signed else 0)
    kind = f"{'i' if signed else 'u'}{1 if bits == 8 else 2}"
    window = {"WindowCenter": "0" if signed else str(2 ** (bits - 1)), "WindowWidth": str(2**bits)}
    data = make(values.astype(kind), syntax, stored=bits, **window)
    assert decoder in dicom_syntax.DECODERS[syntax]
    monkeypatch.setitem(dicom_syntax.DECODERS, syntax, (decoder,))
    assert dicom_syntax.decoder_for(syntax) == decoder
    radiograph = decode_dicom(data, "x.dcm")
    np.testing.assert_array_equal(radiograph.pixels, steps)
    assert radiograph.warnings == ()


def test_eight_bits_in_sixteen_allocated(steps: NDArray[np.uint8]) -> None:
    for syntax in (uid.JPEGLSLossless, uid.JPEG2000Lossless, *dicom_syntax.NATIVE):
        data = make(steps.astype(np.uint16), syntax, stored=8, **FULL_8)
        np.testing.assert_array_equal(grey(data), steps)


@pytest.mark.parametrize(("syntax", "options"), [(uid.JPEGLSNearLossless, {"jls_error": 3}), (uid.JPEG2000, {"j2k_cr": [5]})])
def test_lossy_pictures(smooth: NDArray[np.uint8], syntax: UID, options: dict[str, Any]) -> None:
    dataset = pydicom.dcmread(io.BytesIO(make(smooth, **FULL_8)))
    dataset.compress(syntax, encoding_plugin=ENCODERS[syntax], generate_instance_uid=False, **options)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    assert cv2.PSNR(grey(buffer.getvalue()), smooth) > 35


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit])
def test_jpeg_is_the_same_inside_and_outside(smooth: NDArray[np.uint8], encode: Encode, syntax: UID) -> None:
    jpeg = encode(smooth, "JPEG", quality=90)
    np.testing.assert_array_equal(grey(make(smooth, syntax, frame=jpeg, **FULL_8)), decode(jpeg).pixels)


@pytest.mark.parametrize(
    ("syntax", "bits", "allowed"), [(uid.JPEGBaseline8Bit, 12, "8"), (uid.JPEGExtended12Bit, 10, "8 or 12")]
)
def test_jpeg_of_another_depth_than_its_process_has_is_refused(
    smooth: NDArray[np.uint8], encode: Encode, syntax: UID, bits: int, allowed: str
) -> None:
    jpeg = bytearray(encode(smooth, "JPEG"))
    jpeg[jpeg.index(b"\xff\xc0") + 4] = bits
    message = refused(make(smooth.astype(np.uint16), syntax, stored=12, frame=bytes(jpeg)))
    assert f"is a JPEG of {bits} bits, but {syntax.name} has {allowed}; decompress it" in message


def lossless_jpeg(pixels: NDArray[Any], bits: int, predictor: int) -> bytes:
    """Encode by ISO 10918-1 Annex H, with one table of 17 codes of 5 bits: the code of a category is its number."""
    values = pixels.astype(np.int64)
    left, above = np.roll(values, 1, 1), np.roll(values, 1, 0)
    guess = {1: left, 2: above, 4: left + above - np.roll(left, 1, 0)}[predictor]
    guess[0], guess[:, 0] = left[0], above[:, 0]
    guess[0, 0] = 2 ** (bits - 1)
    text = []
    for difference in ((values - guess + 2**15) % 2**16 - 2**15).ravel().tolist():
        size = 16 if difference == -(2**15) else abs(difference).bit_length()
        extra = difference if difference > 0 else difference + 2**size - 1
        text.append(f"{size:05b}" + (f"{extra:0{size}b}" if 0 < size < 16 else ""))
    digits = "".join(text)
    digits += "1" * (-len(digits) % 8)
    scan = int(digits, 2).to_bytes(len(digits) // 8, "big").replace(b"\xff", b"\xff\0")
    frame = struct.pack(">2sHBHHB3B", b"\xff\xc3", 11, bits, *pixels.shape, 1, 1, 0x11, 0)
    table = b"\xff\xc4" + struct.pack(">HB16B", 36, 0, *(17 if n == 5 else 0 for n in range(1, 17))) + bytes(range(17))
    start = struct.pack(">2sHB2B3B", b"\xff\xda", 8, 1, 1, 0, predictor, 0, 0)
    return b"\xff\xd8" + frame + table + start + scan + b"\xff\xd9"


@pytest.mark.parametrize(("syntax", "predictor"), [(uid.JPEGLosslessSV1, 1), (uid.JPEGLossless, 1), (uid.JPEGLossless, 4)])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_jpeg(steps: NDArray[np.uint8], bits: int, syntax: UID, predictor: int) -> None:
    values = np.round(steps * ((2**bits - 1) / 255)).astype("u1" if bits == 8 else "u2")
    window = {"WindowCenter": str(2 ** (bits - 1)), "WindowWidth": str(2**bits)}
    frame = lossless_jpeg(values, bits, predictor)
    np.testing.assert_array_equal(grey(make(values, syntax, stored=bits, frame=frame, **window)), steps)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (6, 1, "data hold 1;"),  # precision
        (3, 0xC4, "not one JPEG frame header"),
        (5, 200, "not one JPEG frame header"),  # length of the frame header
        (15, 0, "not one JPEG frame header"),  # marker of the table
        (16, 0xFE, "no JPEG Huffman table"),
        (16, 0xC3, "x.dcm"),  # a second frame header
        (53, 0, "not one JPEG frame header"),  # marker of the scan
    ],
)
def test_segments_on_which_gdcm_would_abort_are_refused(steps: NDArray[np.uint8], at: int, value: int, message: str) -> None:
    frame = bytearray(lossless_jpeg(steps, 8, 1))
    assert frame[15:17] + frame[53:55] == b"\xff\xc4\xff\xda"
    frame[at] = value
    assert message in refused(make(steps, uid.JPEGLosslessSV1, frame=bytes(frame)))


def test_several_fragments_are_one_frame(smooth: NDArray[np.uint8], encode: Encode) -> None:
    jpeg = encode(smooth, "JPEG")
    dataset = pydicom.dcmread(io.BytesIO(make(smooth, uid.JPEGBaseline8Bit, frame=jpeg, **FULL_8)))
    dataset.PixelData = encapsulate([jpeg], fragments_per_frame=4)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    np.testing.assert_array_equal(grey(buffer.getvalue()), decode(jpeg).pixels)


@pytest.mark.parametrize(
    ("syntax", "package"),
    [
        (uid.JPEGLossless, "python-gdcm"),
        (uid.JPEGLosslessSV1, "python-gdcm"),
        (uid.JPEGLSLossless, "pyjpegls"),
        (uid.JPEGLSNearLossless, "pyjpegls"),
        (uid.JPEG2000Lossless, "pylibjpeg pylibjpeg-openjpeg"),
        (uid.HTJ2KLossless, "pylibjpeg pylibjpeg-openjpeg"),
        (uid.HTJ2KLosslessRPCL, "pylibjpeg pylibjpeg-openjpeg"),
        (uid.HTJ2K, "pylibjpeg pylibjpeg-openjpeg"),
    ],
)
def test_a_missing_decoder_is_named(
    monkeypatch: pytest.MonkeyPatch, steps: NDArray[np.uint8], syntax: UID, package: str
) -> None:
    monkeypatch.setattr(dicom_syntax, "get_decoder", lambda syntax: SimpleNamespace(available_plugins=()))
    data = make(steps, syntax, frame=b"\xff\xd8")
    assert refused(data) == f"x.dcm is compressed as {syntax.name}, whose decoder is not installed: pip install {package}."


CORE_ONLY = """
import sys
for name in ("gdcm", "jpeg_ls", "pylibjpeg", "openjpeg", "rle", "libjpeg"):
    sys.modules[name] = None
from pathlib import Path
import numpy as np
from lungwise.errors import ImageError
from lungwise.imaging.dicom import decode_dicom
expected = np.load(sys.argv[1])
for path in sys.argv[2:]:
    try:
        same = np.array_equal(decode_dicom(Path(path).read_bytes(), "x.dcm").pixels, expected)
        print(Path(path).name, "same" if same else "different")
    except ImageError as error:
        print(Path(path).name, str(error).split(": ")[-1])
"""


def test_what_the_core_reads_alone(steps: NDArray[np.uint8], tmp_path: Path) -> None:
    np.save(tmp_path / "expected.npy", steps)
    frames = {uid.JPEGLosslessSV1: lossless_jpeg(steps, 8, 1), uid.HTJ2KLossless: b"\xff\x4f\xff\x51"}
    expected = dict.fromkeys([*dicom_syntax.NATIVE, uid.RLELossless, uid.JPEG2000Lossless], "same") | {
        uid.JPEGLSLossless: "pip install pyjpegls.",
        uid.JPEGLosslessSV1: "pip install python-gdcm.",
        uid.HTJ2KLossless: "pip install pylibjpeg pylibjpeg-openjpeg.",
    }
    for syntax in expected:
        (tmp_path / syntax.keyword).write_bytes(make(steps, syntax, frame=frames.get(syntax), **FULL_8))
    files = [str(tmp_path / syntax.keyword) for syntax in expected]
    command = [sys.executable, "-c", CORE_ONLY, str(tmp_path / "expected.npy"), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"{syntax.keyword} {answer}" for syntax, answer in expected.items()]


def test_the_gpl_decoder_is_never_named() -> None:
    for syntax, names in dicom_syntax.DECODERS.items():
        assert "pylibjpeg" not in names or syntax in (*dicom_syntax.JPEG_2000, *dicom_syntax.HTJ2K, uid.RLELossless)


@pytest.mark.parametrize("syntax", [uid.ExplicitVRBigEndian, uid.MPEG2MPML, UID("1.2.3.4.5")])
def test_other_syntaxes_are_refused_by_name(steps: NDArray[np.uint8], syntax: UID) -> None:
    data = make(steps)
    old = uid.ExplicitVRLittleEndian.encode()
    at = data.index(old)
    new = syntax.encode().ljust(len(syntax) + len(syntax) % 2, b"\0")
    data = data[: at - 2] + struct.pack("<H", len(new)) + new + data[at + len(old) + len(old) % 2 :]
    assert (
        f"(0002,0010) 'Transfer Syntax UID' must be an uncompressed little-endian, RLE or JPEG syntax, got '{syntax.name}'"
        in (refused(data))
    )


# Damage and malice


def test_a_deflated_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = b"".join(bomb.compress(b"\0" * 2**20) for _ in range(8)) + bomb.flush()
    start = make(np.zeros((32, 32), np.uint8), uid.DeflatedExplicitVRLittleEndian)
    meta_length = 144 + int.from_bytes(start[140:144], "little")
    monkeypatch.setattr(dicom_file, "MAX_INFLATED", 2**20)
    assert "must hold at most 1048576 bytes, x.dcm inflates to more" in refused(start[:meta_length] + body)


def test_inflate_stops_at_its_limit() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(b"a" * 1000) + packer.flush()
    assert inflate(data + b"\0", 1000, "x.dcm") == b"a" * 1000
    with pytest.raises(ImageError, match="at most 999 bytes"):
        inflate(data, 999, "x.dcm")
    with pytest.raises(ImageError, match="cut off: its deflated data have no end"):
        inflate(data[:-2], 1000, "x.dcm")


SYNTAXES = [*dicom_syntax.NATIVE, uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.JPEGLosslessSV1]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_file_cut_anywhere_is_refused(steps: NDArray[np.uint8], syntax: UID, capfd: pytest.CaptureFixture[str]) -> None:
    frame = lossless_jpeg(steps, 8, 1) if syntax == uid.JPEGLosslessSV1 else None
    data = make(steps, syntax, frame=frame, **FULL_8)
    grey(data)
    ends = [
        132,
        140,
        150,
        200,
        300,
        400,
        len(data) // 2,
        len(data) - 20,
        len(data) - 10 if syntax.is_encapsulated else len(data) - 2,
    ]
    for end in ends:
        refused(data[:end])
    assert capfd.readouterr() == ("", "")


def test_a_codestream_without_its_end_is_refused(steps: NDArray[np.uint8], smooth: NDArray[np.uint8], encode: Encode) -> None:
    jpeg = encode(smooth, "JPEG")
    assert "have no end marker" in refused(make(smooth, uid.JPEGBaseline8Bit, frame=jpeg[: len(jpeg) // 2]))
    for syntax in (uid.JPEGLSLossless, uid.JPEG2000Lossless):
        dataset = pydicom.dcmread(io.BytesIO(make(steps, syntax)))
        frame = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
        assert "have no end marker" in refused(make(steps, syntax, frame=frame[: len(frame) // 2]))


def test_a_codestream_of_another_size_is_refused(steps: NDArray[np.uint8], smooth: NDArray[np.uint8], encode: Encode) -> None:
    jpeg = bytearray(encode(smooth, "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = b"\xff\xff\xff\xff"
    message = refused(make(smooth, uid.JPEGBaseline8Bit, frame=bytes(jpeg)))
    assert (
        "declares 96 x 64 grey pixels, but its JPEG Baseline (Process 1) data hold 65535 x 65535 with 1 component(s)" in message
    )
    colour = encode(np.dstack([smooth] * 3), "JPEG")
    assert "96 x 64 with 3 component(s)" in refused(make(smooth, uid.JPEGBaseline8Bit, frame=colour))
    for syntax in (uid.JPEGLSLossless, uid.JPEG2000Lossless):
        dataset = pydicom.dcmread(io.BytesIO(make(steps, syntax)))
        frame = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
        assert "declares 96 x 64 grey pixels" in refused(make(smooth, syntax, frame=frame))


def test_more_bits_than_declared_are_refused(deep: NDArray[np.uint16], steps: NDArray[np.uint8]) -> None:
    dataset = pydicom.dcmread(io.BytesIO(make(deep, uid.JPEGLSLossless, stored=12)))
    frame = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
    assert "declares 8 bits, but its JPEG-LS Lossless Image Compression data hold 12" in refused(
        make(steps, uid.JPEGLSLossless, frame=frame)
    )


@pytest.mark.parametrize("syntax", [syntax for syntax in dicom_syntax.DECODERS if syntax != uid.RLELossless])
@pytest.mark.parametrize("frame", [b"\0" * 100, b"\xff\xd8\xff\xd9", b"\xff\x4f\xff\x51\0\0", b"\xff\xd8\xff\xff\xff\xff"])
def test_what_is_no_codestream_is_refused(steps: NDArray[np.uint8], syntax: UID, frame: bytes) -> None:
    refused(make(steps, syntax, frame=frame))


@pytest.mark.parametrize("frame", [b"\0" * 64, b"\1" + b"\0" * 99, struct.pack("<16L", 1, *[64] * 15) + b"\x80" * 40])
def test_damaged_rle_is_refused(steps: NDArray[np.uint8], frame: bytes) -> None:
    assert "a damaged DICOM pixel stream" in refused(make(steps, uid.RLELossless, frame=frame))


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_damage_inside_the_pixels_raises_nothing_else(
    steps: NDArray[np.uint8], smooth: NDArray[np.uint8], encode: Encode, syntax: UID, capfd: pytest.CaptureFixture[str]
) -> None:
    frame = encode(smooth, "JPEG") if syntax == uid.JPEGBaseline8Bit else None
    data = make(smooth, syntax, frame=frame, **FULL_8)
    start = data.index(b"\xe0\x7f\x10\x00")
    random = np.random.default_rng(7)
    for _ in range(40):
        damaged = bytearray(data)
        for at in random.integers(start, len(data), 3):
            damaged[at] = random.integers(256)
        try:
            radiograph = decode_dicom(bytes(damaged), "x.dcm")
        except ImageError:
            continue
        assert radiograph.pixels.shape == smooth.shape
    assert capfd.readouterr() == ("", "")


def test_damage_inside_the_header_raises_nothing_else(steps: NDArray[np.uint8], capfd: pytest.CaptureFixture[str]) -> None:
    code = item(CodeValue="272479007", CodingSchemeDesignator="SCT", CodeMeaning="PA")
    for syntax in (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian):
        table = item(LUTDescriptor=[4, 0, 8], LUTData=bytes(4))
        table[0]["LUTDescriptor"].VR, table[0]["LUTData"].VR = "US", "OW"
        data = make(steps, syntax, ViewCodeSequence=code, VOILUTSequence=table, PixelPaddingValue=3, RescaleSlope="2", **FULL_8)
        end = data.index(b"\xe0\x7f\x10\x00")
        random = np.random.default_rng(11)
        for at in range(132, end):
            damaged = bytearray(data)
            damaged[at] = random.integers(256)
            with contextlib.suppress(ImageError):
                assert "Secret" not in str(decode_dicom(bytes(damaged), "x.dcm").warnings)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("known", [False, True])
def test_deep_nesting_is_refused(steps: NDArray[np.uint8], known: bool) -> None:
    data = make(steps, **FULL_8)
    sequence = struct.pack("<HH2sHL", *((0x0028, 0x3010) if known else (0x0029, 0x1010)), b"SQ", 0, 0xFFFFFFFF)
    entry = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    at = data.index(b"\xe0\x7f\x10\x00")
    nested = data[:at] + (sequence + entry) * 3000 + data[at:]
    assert refused(nested) == "x.dcm nests its DICOM sequences too deep to be read; remove private sequences from it."


def test_private_sequences_do_no_harm(steps: NDArray[np.uint8]) -> None:
    inner = Dataset()
    inner.add_new(0x00291010, "SQ", [Dataset()])
    for syntax in dicom_syntax.NATIVE:
        data = make(steps, syntax, RequestAttributesSequence=Sequence([inner, Dataset()]), **FULL_8)
        np.testing.assert_array_equal(grey(data), steps)


def test_a_file_without_a_transfer_syntax_is_refused() -> None:
    assert "(0002,0010) 'Transfer Syntax UID'" in refused(b"\0" * 128 + b"DICM")


def test_numbers_that_are_none_are_refused(steps: NDArray[np.uint8]) -> None:
    data = make(steps, WindowCenter="128.25", WindowWidth="256.25")
    refused(data.replace(b"128.25", b"abcdef"))
    refused(data.replace(b"128.25", b"NaN   "))
    message = "x.dcm: (0028,1050) 'Window Center' must be a number of at most 1e+12, got '1e+300'; export it again."
    assert refused(data.replace(b"128.25", b"1e+300")) == message


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_a_window_of_almost_no_width_is_a_threshold(steps: NDArray[np.uint8], function: str) -> None:
    data = make(steps, WindowCenter="100", WindowWidth="1e-300", VOILUTFunction=function)
    expected = np.where(steps > 100, 255, np.where(steps < 100, 0, 128))
    np.testing.assert_array_equal(grey(data), expected)


# Warnings of pydicom


def irregular(pixels: NDArray[np.uint8]) -> bytes:
    """A file whose number of frames is written like a decimal number."""
    data = make(pixels, NumberOfFrames="1", **FULL_8)
    good, bad = b"\x28\x00\x08\x00IS\x02\x001 ", b"\x28\x00\x08\x00IS\x04\x001.0 "
    assert data.count(good) == 1
    return data.replace(good, bad)


def test_irregular_files_warn_in_the_radiograph(steps: NDArray[np.uint8], capfd: pytest.CaptureFixture[str]) -> None:
    radiograph = decode_dicom(irregular(steps), "x.dcm")
    assert isinstance(radiograph, Radiograph)
    np.testing.assert_array_equal(radiograph.pixels, steps)
    assert radiograph.warnings == ("irregular DICOM: Invalid value for VR IS",)
    assert capfd.readouterr() == ("", "")


def test_implicit_data_called_explicit_are_read_with_a_warning(steps: NDArray[np.uint8]) -> None:
    data = make(steps, uid.ImplicitVRLittleEndian, **FULL_8)
    old = b"\x02\x00\x10\x00UI\x12\x001.2.840.10008.1.2\0"
    assert old in data
    radiograph = decode_dicom(data.replace(old, b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0"), "x.dcm")
    np.testing.assert_array_equal(radiograph.pixels, steps)
    assert "Expected explicit VR, but found implicit VR" in radiograph.warnings[0]


def test_excess_bytes_behind_the_pixels_are_noted(steps: NDArray[np.uint8]) -> None:
    wide = np.vstack([steps, steps])
    radiograph = decode_dicom(make(wide, Rows=33, **FULL_8), "x.dcm")
    np.testing.assert_array_equal(radiograph.pixels, steps)
    assert radiograph.warnings == (f"{33 * 257} bytes behind the pixels were ignored",)


def test_warnings_of_others_are_passed_on() -> None:
    notes: list[str] = []
    with pytest.warns(UserWarning, match="mine"), dicom_file.collecting(notes):
        warnings.warn("mine", UserWarning, stacklevel=1)
    assert notes == []


def test_threads_leave_the_filters_alone(steps: NDArray[np.uint8]) -> None:
    before = list(warnings.filters)
    data = irregular(steps)
    found: list[tuple[str, ...]] = []
    workers = [threading.Thread(target=lambda: found.append(decode_dicom(data, "x.dcm").warnings)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 8
    assert len(set(found)) == len(found[0]) == 1
    assert list(warnings.filters) == before
