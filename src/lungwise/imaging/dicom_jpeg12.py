"""JPEG Extended with 12 bits a sample (ISO 10918-1, process 4), as some digital detectors write it.

Pydicom offers no decoder for it: Pillow's stops at 8 bits, and its use of gdcm is closed. Gdcm itself reads it.
"""

from __future__ import annotations

import contextlib

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import ImageError

with contextlib.suppress(ModuleNotFoundError):  # an optional decoder
    import gdcm


def decode_twelve_bits(frame: bytes, rows: int, columns: int, name: str) -> NDArray[np.uint16]:
    """Decode one grey frame.

    Args:
        frame: a whole JPEG stream of 12 bits and one component, whose segments were checked.
        rows: its height.
        columns: its width.
        name: how to call the file in an error.

    Returns:
        uint16 [rows, columns], 0 to 4095.

    Raises:
        ImageError: python-gdcm is not installed, or gives less than the whole picture.
    """
    if "gdcm" not in globals():
        raise ImageError(
            f"{name} is compressed as JPEG Extended with 12 bits, whose decoder is not installed: pip install python-gdcm."
        )
    image = _image(frame, rows, columns)
    # Gdcm hands bytes over as text.
    values = image.GetBuffer().encode("utf-8", "surrogateescape")
    if len(values) != 2 * rows * columns:
        raise ImageError(f"{name} has damaged JPEG Extended data: {len(values)} bytes came out; fetch the file again.")
    return np.frombuffer(values, "<u2").reshape(rows, columns)


def _image(frame: bytes, rows: int, columns: int) -> gdcm.Image:
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, 12, 11, 0))
    return image
