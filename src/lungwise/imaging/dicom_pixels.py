"""From the encoded frame of a DICOM image to its stored values."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from lungwise.errors import ImageError
from lungwise.imaging.dicom_file import collecting, readable
from lungwise.imaging.dicom_header import Header
from lungwise.imaging.dicom_jpeg12 import decode_twelve_bits
from lungwise.imaging.dicom_syntax import HTJ2K, JPEG_2000, NATIVE, decoder_for

_HUFFMAN_TABLE, _SCAN, _QUANTISATION, _RESTART, _JPEG_LS_FRAME = 0xC4, 0xDA, 0xDB, 0xDD, 0xF7
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {_HUFFMAN_TABLE, 0xC8, 0xCC} | {_JPEG_LS_FRAME}
"""Second byte of the markers that open a JPEG or JPEG-LS frame header (ISO 10918-1 B.1.1.3, ISO 14495-1 C.1.1)."""
_NEEDED = _FRAME_MARKERS | {_HUFFMAN_TABLE, _QUANTISATION, _RESTART}
"""Second byte of the markers in front of a scan that decoding needs."""
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
        frame = _bare(frame)
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
        rows, columns, components, precision = _siz(frame) if is_2000 else _sof(frame)
    if (rows, columns, components) != (header.rows, header.columns, 1):
        raise ImageError(
            f"{name} declares {header.columns} x {header.rows} grey pixels, but its {syntax.name} data hold "
            f"{columns} x {rows} with {components} component(s); fetch the file again."
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
    return precision


def _sof(frame: bytes) -> tuple[int, int, int, int]:
    """Rows, columns, components and precision from the one frame header of a JPEG or JPEG-LS stream (ISO 10918-1 B.2.2).

    All segments up to the first scan must be in order: gdcm aborts the whole process on some that are not.
    """
    if frame[:2] != b"\xff\xd8":
        raise ValueError("no JPEG start marker")
    headers: list[tuple[int, int, int, int]] = []
    seen, at = set(), 2
    while at + 4 <= len(frame) and frame[at] == 0xFF and frame[at + 1] != _SCAN:
        seen.add(frame[at + 1])
        if frame[at + 1] in _FRAME_MARKERS:
            precision, rows, columns, components = struct.unpack_from(">BHHB", frame, at + 4)
            headers.append((rows, columns, components, precision))
        at += 1 if frame[at + 1] == 0xFF else 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    if len(headers) != 1 or frame[at : at + 2] != bytes([0xFF, _SCAN]):
        raise ValueError("not one JPEG frame header and a scan behind it")
    if not seen & {_HUFFMAN_TABLE, _JPEG_LS_FRAME}:
        raise ValueError("no JPEG Huffman table")
    return headers[0]


def _bare(frame: bytes) -> bytes:
    """A JPEG stream with what decoding needs and nothing else: gdcm aborts the process on some application data."""
    kept, at = [frame[:2]], 2
    while at + 4 <= len(frame) and frame[at] == 0xFF and frame[at + 1] != _SCAN:
        end = at + (1 if frame[at + 1] == 0xFF else 2 + int.from_bytes(frame[at + 2 : at + 4], "big"))
        if frame[at + 1] in _NEEDED:
            kept.append(frame[at:end])
        at = end
    return b"".join([*kept, frame[at:]])


def _siz(frame: bytes) -> tuple[int, int, int, int]:
    """Rows, columns, components and precision from a bare JPEG 2000 codestream (ISO 15444-1 A.5.1)."""
    if frame[:4] != b"\xff\x4f\xff\x51" or len(frame) < 43:
        raise ValueError("no JPEG 2000 codestream, which must not be wrapped in a JP2 file (PS3.5 A.4.4)")
    x, y, x_offset, y_offset = (int.from_bytes(frame[at : at + 4], "big") for at in (8, 12, 16, 20))
    return y - y_offset, x - x_offset, int.from_bytes(frame[40:42], "big"), (frame[42] & 0x7F) + 1
