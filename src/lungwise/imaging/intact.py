"""Whether an image file is all there, and modest: decoders fill a missing part with grey or black and say nothing.

A file may also be made to do harm. A few kilobytes can ask for gigabytes, or for hours. What bounds both is checked here,
on the coded bytes and before a decoder sees them.
"""

from __future__ import annotations

import re
import struct
import zlib

from lungwise.errors import ImageError
from lungwise.imaging.tiff import check_directory, is_tiff

MAX_METADATA = 16 * 2**20
"""Most bytes that a PNG or JPEG may hold besides its picture; colour profiles have a few megabytes at most."""
MAX_SCANS = 100
"""Most scans of a progressive JPEG. Usual are ten; each costs a pass over the whole picture, however few bytes it has."""
_PIXELS_A_BIT = 64
"""Pixels of a JPEG that one bit can stand for: a block of 8 x 8 whose code has one bit (ISO 10918-1 F.1.2.1, G.1.2.1)."""
_SPARE = 2**16
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""A marker that can stand behind entropy-coded data: neither a stuffed zero, a restart nor a fill byte (B.1.1.2)."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples a pixel of PNG's colour types (PNG 3rd ed., 11.2.1)."""
_SCAN, _END = 0xDA, 0xD9


def check_whole(data: bytes, name: str) -> None:
    """Refuse a file that is cut off or altered, or asks for more work than an honest one can.

    Args:
        data: the whole file.
        name: how to call the image in the error.

    Raises:
        ImageError: a PNG chunk fails its checksum, the end of the data is missing, there are too many scans or metadata, or
            the directory of a TIFF is none.
    """
    if data.startswith(b"\x89PNG"):
        _check_png(data, name)
    if data.startswith(b"\xff\xd8"):
        _check_jpeg(data, name)
    if is_tiff(data):
        check_directory(data, name)


def check_amount(data: bytes, name: str, height: int, width: int) -> None:
    """Refuse a picture that has far fewer coded bytes than its declared size needs, or far more.

    Args:
        data: the whole file, which passed :func:`check_whole`.
        name: how to call the image in the error.
        height: declared rows.
        width: declared columns.

    Raises:
        ImageError: a JPEG has less than a bit a block, or a PNG more data than its pixels.
    """
    if data.startswith(b"\x89PNG") and data[25] in _CHANNELS:
        row = (width * _CHANNELS[data[25]] * data[24] + 7) // 8 + 1
        packed = sum(length for kind, length in _chunks(data) if kind == b"IDAT")
        # Deflate adds next to nothing to what it cannot pack; interlacing begins up to twice as many rows.
        if packed > 2 * height * row + _SPARE:
            raise ImageError(
                f"{name} has {packed} bytes of PNG data for {width} x {height} pixels, more than they can need; "
                "check where it is from."
            )
    if data.startswith(b"\xff\xd8") and 8 * (len(data) - first_scan(data)) < width * height // _PIXELS_A_BIT:
        raise ImageError(f"{name} is cut off: {len(data)} bytes cannot hold {width} x {height} pixels; fetch the file again.")


def _check_png(data: bytes, name: str) -> None:
    if chunk := _damaged_chunk(data):
        raise ImageError(f"{name} is damaged or cut off in its PNG data ({chunk}); fetch the file again.")
    _check_metadata(sum(length for kind, length in _chunks(data) if kind != b"IDAT"), name)


def _check_jpeg(data: bytes, name: str) -> None:
    at = first_scan(data)
    if data.rfind(b"\xff\xd9", at) < 0:  # from the end, where it is in a whole file; one before it would be a thumbnail's
        raise ImageError(f"{name} is cut off: its JPEG data end before the end marker; fetch the file again.")
    _check_metadata(at, name)
    check_scans(data, at, name)


def _check_metadata(number: int, name: str) -> None:
    if number > MAX_METADATA:
        raise ImageError(
            f"An image must have at most {MAX_METADATA} bytes besides its picture, {name} has {number}; save it without them."
        )


def check_scans(data: bytes, at: int, name: str) -> None:
    """Refuse a JPEG stream of more than ``MAX_SCANS`` scans, counted from its first one ``at`` that byte."""
    scans = 0
    for segments, found in enumerate(_MARKER.finditer(data, at)):  # tables and comments may stand between scans
        if found[0][1] == _END:
            return
        scans += found[0][1] == _SCAN
        if scans > MAX_SCANS or segments >= 4 * MAX_SCANS:
            raise ImageError(f"A JPEG must have at most {MAX_SCANS} scans, {name} has more; save it again as a baseline JPEG.")


def _chunks(data: bytes) -> list[tuple[bytes, int]]:
    """Kind and length of every chunk of a PNG, up to the last whole one."""
    found, at = [], 8
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        found.append((kind, length))
        at += 12 + length
        if kind == b"IEND":
            break
    return found


def _damaged_chunk(data: bytes) -> str:
    """Name of the first PNG chunk that fails its checksum (PNG 3rd ed., 5.3), "no end" without the last one, else ""."""
    at = 8
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(memoryview(data)[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return ascii(kind.decode("latin-1"))
        if kind == b"IEND":
            return ""
        at = end + 4
    return "no end"


def first_scan(data: bytes) -> int:
    """Where the first scan of a JPEG begins; one byte behind everything that could be in front of it when there is none."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _SCAN:
        fill = data[at + 1] == 0xFF
        at += 1 if fill else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at
