"""A DICOM data set in memory as the file that it would be, so that it is read by the same rules."""

from __future__ import annotations

import io
from copy import copy

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from lungwise.errors import ImageError
from lungwise.imaging.dicom_file import KEYWORDS, collecting, readable
from lungwise.imaging.dicom_syntax import check_syntax


def to_file(dataset: Dataset, name: str = "image") -> bytes:
    """The bytes of a DICOM file (PS3.10 7.1) with the elements that an image needs, and no others: no patient is copied.

    Args:
        dataset: as read by pydicom, received over the network or made by hand; it is not changed.
        name: how to call it in an error.

    Raises:
        ImageError: it does not say how its pixels are encoded, has none, or an element cannot be written.
    """
    syntax = getattr(dataset, "file_meta", Dataset()).get("TransferSyntaxUID")
    if not syntax:
        raise ImageError(
            f"{name} must say in (0002,0010) 'Transfer Syntax UID' how it is encoded, but does not; "
            "set file_meta.TransferSyntaxUID of the data set."
        )
    check_syntax(UID(str(syntax)), name)
    with readable(name, "data set"), collecting([]):
        small = Dataset()
        for keyword in (*KEYWORDS, "PixelData"):
            if keyword in dataset:
                # A copy, because writing sets marks on the elements.
                small[keyword] = copy(dataset[keyword])
        small.file_meta = FileMetaDataset()
        small.file_meta.TransferSyntaxUID = UID(str(syntax))
        buffer = io.BytesIO()
        small.preamble = bytes(128)
        dcmwrite(buffer, small)
        return buffer.getvalue()
