"""A data set in memory is read as the file that it would be."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from lungwise.errors import ImageError
from lungwise.imaging.dicom import decode_dicom
from lungwise.imaging.dicom_dataset import to_file
from tests.imaging.test_dicom import FULL_12, make

DEEP = (np.arange(40 * 48).reshape(40, 48) * 2).astype(np.uint16)
LUT: dict[str, Any] = {"LUTDescriptor": [4096, 0, 8], "LUTData": (np.arange(4096) // 16).astype("<u2").tobytes()}


def lut() -> Sequence:
    item = Dataset()
    item.LUTDescriptor = LUT["LUTDescriptor"]
    item.add_new("LUTData", "OW", LUT["LUTData"])
    return Sequence([item])


@pytest.mark.parametrize(
    "data",
    [
        make(DEEP, stored=12, **FULL_12),
        make(DEEP, uid.ImplicitVRLittleEndian, stored=12, PhotometricInterpretation="MONOCHROME1", **FULL_12),
        make(DEEP, uid.DeflatedExplicitVRLittleEndian, stored=12, ViewPosition="PA"),
        make(DEEP, uid.RLELossless, stored=12, PixelPaddingValue=0),
        make(DEEP, stored=12, VOILUTSequence=lut()),
        make(DEEP.astype(np.int16) - 900, stored=12, RescaleIntercept="5", RescaleSlope="2"),
        make((DEEP % 256).astype(np.uint8)),
    ],
    ids=["window", "inverted", "deflated", "rle", "table", "signed", "8 bits"],
)
def test_the_same_as_the_file(data: bytes) -> None:
    wanted = decode_dicom(data)
    dataset = pydicom.dcmread(io.BytesIO(data))
    for _ in range(2):  # reading pixels decodes and changes elements; neither may matter
        found = decode_dicom(to_file(dataset))
        np.testing.assert_array_equal(found.pixels, wanted.pixels)
        assert (found.warnings, found.view) == (wanted.warnings, wanted.view)
        assert dataset.pixel_array.shape == (40, 48)


def test_a_decompressed_data_set_is_read_as_it_now_is() -> None:
    data = make(DEEP, uid.RLELossless, stored=12, **FULL_12)
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.decompress()
    np.testing.assert_array_equal(decode_dicom(to_file(dataset)).pixels, decode_dicom(data).pixels)


def test_neither_the_data_set_nor_a_name_is_touched() -> None:
    dataset = pydicom.dcmread(io.BytesIO(make(DEEP, stored=12)))
    before = str(dataset)
    assert b"Secret" not in to_file(dataset)
    assert str(dataset) == before


def changed(**elements: Any) -> Dataset:
    dataset = pydicom.dcmread(io.BytesIO(make(DEEP, stored=12)))
    for keyword, value in elements.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return dataset


def test_without_a_transfer_syntax_it_is_refused() -> None:
    dataset = changed()
    del dataset.file_meta
    with pytest.raises(ImageError, match=r"^image 3 must say in \(0002,0010\) 'Transfer Syntax UID' .*; set file_meta\."):
        to_file(dataset, "image 3")


def test_a_syntax_that_is_not_read_is_refused() -> None:
    dataset = changed()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
    with pytest.raises(ImageError, match="must be an uncompressed little-endian, RLE or JPEG syntax"):
        to_file(dataset)


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        (changed(PixelData=None), "no complete (7FE0,0010) 'Pixel Data'"),
        (changed(Rows=None), "(0028,0010) 'Rows'"),
        (changed(SOPClassUID="1.2.840.10008.5.1.4.1.1.2"), "(0008,0016)"),
        (changed(PhotometricInterpretation="RGB"), "(0028,0004)"),
    ],
    ids=["no pixels", "no rows", "a CT", "colour"],
)
def test_rules_of_files_hold(dataset: Dataset, said: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode_dicom(to_file(dataset, "x"), "x")
    assert said in str(caught.value)


def test_what_cannot_be_written_is_one_sentence() -> None:
    dataset = changed()
    dataset["Rows"]._value = "no number"
    with pytest.raises(ImageError, match=r"^x has a damaged DICOM data set \("):
        to_file(dataset, "x")
