"""From the encoded frame of a DICOM image to its stored values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from lungwise.errors import ImageError
from lungwise.imaging.dicom_codestream import bare_jpeg, jpeg_2000_frame, jpeg_frame
from lungwise.imaging.dicom_file import collecting, readable
from lungwise.imaging.dicom_header import Header
from lungwise.imaging.dicom_jpeg12 import decode_twelve_bits
from lungwise.imaging.dicom_syntax import HTJ2K, JPEG_2000, JPEG_LS, NATIVE, decoder_for
from lungwise.imaging.intact import check_amount, check_scans, first_scan

_PRECISIONS: dict[UID, tuple[int, ...]] = {uid.JPEGBaseline8Bit: (8,), uid.JPEGExtended12Bit: (8, 12)}
"""Bits a sample of the JPEG processes that fix them (ISO 10918-1 table B.2)."""


def stored_values(frame: bytes, syntax: UID, header: Header, name: str, notes: list[str]) -> NDArray[np.uint16]:
    """Decode one frame.

    Args:
        frame: samples of a native syntax, or the codestream of an encapsulated one.
        syntax: one that passed ``check_syntax`` and ``check_decoder``.
        header: size and bits.
        name: how to call the file in an error.
        notes: receives warnings.

    Returns:
        uint16 [rows, columns], the bits stored of each sample; those above, which may hold anything, are 0 (PS3.5 8.1.1).

    Raises:
        ImageError: the data are damaged, cut off, or another picture than the header declares.
    """
    samples = _native(frame, header, name, notes) if syntax in NATIVE else _decoded(frame, syntax, header, name, notes)
    return samples.astype(np.uint16) & np.uint16(2**header.stored - 1)


def _native(frame: bytes, header: Header, name: str, notes: list[str]) -> NDArray[np.generic]:
    """Uncompressed samples, uint8 or uint16 [rows, columns]."""
    count = header.rows * header.columns
    size = count * header.allocated // 8
    if len(frame) < size:
        raise ImageError(
            f"{name} is cut off: {size} bytes of pixels are declared, {len(frame)} are there; fetch the file again."
        )
    if len(frame) > size + size % 2:
        notes.append(f"{len(frame) - size} bytes behind the pixels were ignored")
    return np.frombuffer(frame, f"<u{header.allocated // 8}", count).reshape(header.rows, header.columns)


def _decoded(frame: bytes, syntax: UID, header: Header, name: str, notes: list[str]) -> NDArray[np.generic]:
    """Samples of a compressed frame, any integer type [rows, columns]."""
    precision = header.stored
    allocated = header.allocated
    if syntax != uid.RLELossless:
        precision = _precision(frame, syntax, header, name)
        allocated = 8 if precision <= 8 else 16
    plugin = decoder_for(syntax)
    twelve = syntax == uid.JPEGExtended12Bit and precision == 12
    if twelve or (plugin == "gdcm" and frame[:2] == b"\xff\xd8"):
        frame = bare_jpeg(frame)
    if twelve:
        with readable(name, "pixel stream"):
            return decode_twelve_bits(frame, header.rows, header.columns, name)
    options: dict[str, Any] = {
        "rows": header.rows,
        "columns": header.columns,
        "bits_allocated": allocated,
        "bits_stored": precision,
        "pixel_representation": int(header.signed),
        "samples_per_pixel": 1,
        "number_of_frames": 1,
        "photometric_interpretation": "MONOCHROME2",
    }
    options |= {"index": 0, "raw": True, "validate": False, "decoding_plugin": plugin}
    with readable(name, "pixel stream"):
        if plugin == "pydicom":  # the only one that warns, and as pure Python it gains nothing from threads
            with collecting(notes):
                return get_decoder(syntax).as_array(encapsulate([frame]), **options)[0]
        return get_decoder(syntax).as_array(encapsulate([frame]), **options)[0]


def _precision(frame: bytes, syntax: UID, header: Header, name: str) -> int:
    """Bits a sample of a JPEG-family codestream, after checking that it is whole and is the picture of the header."""
    with readable(name, "pixel stream"):
        is_2000 = syntax in JPEG_2000 or syntax in HTJ2K
        found = jpeg_2000_frame(frame) if is_2000 else jpeg_frame(frame)
    precision = found.precision
    if (found.rows, found.columns, found.components) != (header.rows, header.columns, 1):
        raise ImageError(
            f"{name} declares {header.columns} x {header.rows} grey pixels, but its {syntax.name} data hold "
            f"{found.columns} x {found.rows} with {found.components} component(s); fetch the file again."
        )
    if not 2 <= precision <= header.allocated:
        raise ImageError(
            f"{name} declares {header.allocated} bits, but its {syntax.name} data hold {precision}; fetch the file again."
        )
    if precision not in _PRECISIONS.get(syntax, (precision,)):
        raise ImageError(
            f"{name} is a JPEG of {precision} bits, but {syntax.name} has {' or '.join(map(str, _PRECISIONS[syntax]))}; "
            "decompress it, for example with dcmdjpeg."
        )
    if frame.rfind(b"\xff\xd9") < 0:
        raise ImageError(f"{name} is cut off: its {syntax.name} data have no end marker; fetch the file again.")
    if not is_2000 and syntax not in JPEG_LS:  # which has other markers, and one scan
        check_scans(frame, first_scan(frame), name)
    if syntax in _PRECISIONS:
        check_amount(frame, name, found.rows, found.columns)
    return precision
