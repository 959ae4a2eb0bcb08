"""Whether a PNG or JPEG is all there: decoders fill a missing part with grey or black and say nothing."""

from __future__ import annotations

import struct
import zlib

from lungwise.errors import ImageError


def check_whole(data: bytes, name: str) -> None:
    """Refuse a PNG or JPEG that is cut off or altered.

    Args:
        data: the whole file.
        name: how to call the image in the error.

    Raises:
        ImageError: a PNG chunk fails its checksum, or the end of the data is missing.
    """
    if data.startswith(b"\x89PNG") and (chunk := _damaged_chunk(data)):
        raise ImageError(f"{name} is damaged or cut off in its PNG data ({chunk}); fetch the file again.")
    if data.startswith(b"\xff\xd8") and _lacks_end(data):
        raise ImageError(f"{name} is cut off: its JPEG data end before the end marker; fetch the file again.")


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


def _lacks_end(data: bytes) -> bool:
    """Whether a JPEG has no end marker behind its first scan; one before it would belong to a thumbnail."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        fill = data[at + 1] == 0xFF
        at += 1 if fill else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data.rfind(b"\xff\xd9", at) < 0  # from the end, where it is in a whole file
