"""What a JPEG-family codestream says of itself, read before a decoder sees it.

The header of the DICOM file is capped, but a decoder makes room for what the codestream declares, and codecs trust it: gdcm
aborts the whole process on some damaged segments, and OpenJPEG takes a gigabyte for a few bytes that ask for tiny blocks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_HUFFMAN_TABLE, _SCAN, _QUANTISATION, _RESTART, _JPEG_LS_FRAME = 0xC4, 0xDA, 0xDB, 0xDD, 0xF7
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {_HUFFMAN_TABLE, 0xC8, 0xCC} | {_JPEG_LS_FRAME}
"""Second byte of the markers that open a JPEG or JPEG-LS frame header (ISO 10918-1 B.1.1.3, ISO 14495-1 C.1.1)."""
_NEEDED = _FRAME_MARKERS | {_HUFFMAN_TABLE, _QUANTISATION, _RESTART}
"""Second byte of the markers in front of a scan that decoding needs."""
_CODING, _COMPONENT_CODING, _TILE_PART, _DATA, _END = 0x52, 0x53, 0x90, 0x93, 0xD9
"""Second byte of markers of JPEG 2000 (ISO 15444-1 table A.2)."""
_MOST_TILES, _MOST_LAYERS = 4096, 100
_LEAST_BLOCK, _LEAST_PRECINCT = 8, 5
"""Powers of two: pixels of a code-block, and the side of a precinct. Usual are 12 and 7 or more."""


@dataclass(frozen=True)
class Frame:
    """What a codestream declares.

    Args:
        rows: height in pixels.
        columns: width in pixels.
        components: samples a pixel.
        precision: bits a sample.
    """

    rows: int
    columns: int
    components: int
    precision: int


def jpeg_frame(stream: bytes) -> Frame:
    """The one frame header of a JPEG or JPEG-LS stream (ISO 10918-1 B.2.2).

    Raises:
        ValueError: the segments up to the first scan are not in order.
    """
    if stream[:2] != b"\xff\xd8":
        raise ValueError("no JPEG start marker")
    headers: list[Frame] = []
    seen, at = set(), 2
    while at + 4 <= len(stream) and stream[at] == 0xFF and stream[at + 1] != _SCAN:
        seen.add(stream[at + 1])
        if stream[at + 1] in _FRAME_MARKERS:
            precision, rows, columns, components = struct.unpack_from(">BHHB", stream, at + 4)
            headers.append(Frame(rows, columns, components, precision))
        at += 1 if stream[at + 1] == 0xFF else 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    if len(headers) != 1 or stream[at : at + 2] != bytes([0xFF, _SCAN]):
        raise ValueError("not one JPEG frame header and a scan behind it")
    if not seen & {_HUFFMAN_TABLE, _JPEG_LS_FRAME}:
        raise ValueError("no JPEG Huffman table")
    return headers[0]


def bare_jpeg(stream: bytes) -> bytes:
    """A JPEG stream with what decoding needs and nothing else: gdcm aborts the process on some application data."""
    kept, at = [stream[:2]], 2
    while at + 4 <= len(stream) and stream[at] == 0xFF and stream[at + 1] != _SCAN:
        end = at + (1 if stream[at + 1] == 0xFF else 2 + int.from_bytes(stream[at + 2 : at + 4], "big"))
        if stream[at + 1] in _NEEDED:
            kept.append(stream[at:end])
        at = end
    return b"".join([*kept, stream[at:]])


def jpeg_2000_frame(stream: bytes) -> Frame:
    """The size of a bare JPEG 2000 codestream (ISO 15444-1 A.5.1), after checking what it is divided into.

    Raises:
        ValueError: there is none, or it has so many tiles, layers, blocks or precincts that their lists outweigh the picture.
    """
    if stream[:4] != b"\xff\x4f\xff\x51" or len(stream) < 43:
        raise ValueError("no JPEG 2000 codestream, which must not be wrapped in a JP2 file (PS3.5 A.4.4)")
    x, y, x_offset, y_offset, x_tile, y_tile, x_first, y_first = struct.unpack_from(">8I", stream, 8)
    if not (x_tile and y_tile and x_first <= x_offset < x and y_first <= y_offset < y):
        raise ValueError("JPEG 2000 tiles without an area")
    if -(-(x - x_first) // x_tile) * -(-(y - y_first) // y_tile) > _MOST_TILES:
        raise ValueError(f"more than {_MOST_TILES} JPEG 2000 tiles")
    for marker, body in _segments(stream):
        if marker == _CODING:
            if int.from_bytes(body[2:4], "big") > _MOST_LAYERS:
                raise ValueError(f"more than {_MOST_LAYERS} JPEG 2000 layers")
            _check_blocks(body[:1] + body[5:])
        elif marker == _COMPONENT_CODING:
            _check_blocks(body[1:])
    return Frame(y - y_offset, x - x_offset, int.from_bytes(stream[40:42], "big"), (stream[42] & 0x7F) + 1)


def _check_blocks(style: bytes) -> None:
    """Refuse tiny code-blocks and precincts; ``style`` is Scod or Scoc and what follows from the levels on (A.6.1, A.6.2)."""
    if len(style) < 6 or (style[2] & 15) + (style[3] & 15) + 4 < _LEAST_BLOCK:
        raise ValueError("JPEG 2000 code-blocks that are too small")
    if style[0] & 1 and any(min(size & 15, size >> 4) < _LEAST_PRECINCT for size in style[6:]):
        raise ValueError("JPEG 2000 precincts that are too small")


def _segments(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Second byte of the marker and contents of every segment in the main header and those of all tile-parts."""
    at, part = 2, 0
    while at + 4 <= len(stream) and stream[at] == 0xFF and stream[at + 1] != _END:
        marker, length = stream[at + 1], int.from_bytes(stream[at + 2 : at + 4], "big")
        if marker == _DATA:
            size = int.from_bytes(stream[part + 6 : part + 10], "big")
            if not size:  # the last one, up to the end
                return
            at = max(part + size, at + 2)
            continue
        if marker == _TILE_PART:
            part = at
        yield marker, stream[at + 4 : at + 2 + length]
        at += 2 + max(length, 2)
