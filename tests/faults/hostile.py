"""Image files made to do harm: bombs of a few kilobytes, contradictions, and what a patient's name could leak through."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid

from tests.imaging.test_dicom import make

PNG = b"\x89PNG\r\n\x1a\n"
SIDE = 7071
"""A square of this side has just less than 50 million pixels, the most that is accepted."""
PIXELS = 0x7FE0
Entry = tuple[int, int, int, int]


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk with its checksum (PNG 3rd ed., 5.3)."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def ihdr(width: int, height: int, depth: int = 8, colour: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


@cache
def zeros(number: int, raw: bool = False) -> bytes:
    """That many zero bytes, compressed a thousandfold."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15 if raw else 15)
    pieces = [packer.compress(bytes(min(2**20, number - at))) for at in range(0, number, 2**20)]
    return b"".join([*pieces, packer.flush()])


def png(width: int, height: int, depth: int = 8, colour: int = 0, extra: bytes = b"", packed: bytes | None = None) -> bytes:
    """A black PNG, with ``extra`` chunks in front of its pixels."""
    row = (width * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] * depth + 7) // 8 + 1
    data = zeros(row * height) if packed is None else packed
    return PNG + ihdr(width, height, depth, colour) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg(width: int, height: int, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (width, height), 90).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def resized_jpeg(width: int, height: int) -> bytes:
    """A small JPEG whose header declares another size."""
    data = bytearray(jpeg(64, 64))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_of_many_scans(width: int, height: int, scans: int) -> bytes:
    data = jpeg(width, height, progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * scans + b"\xff\xd9"


def jpeg_segments(marker: int, start: bytes, number: int) -> bytes:
    data = jpeg(64, 64)
    segment = bytes([0xFF, marker]) + struct.pack(">H", 65535) + start.ljust(65533, b"\0")
    return data[:2] + segment * number + data[2:]


def tiff(*changes: Entry, pixels: bytes = b"\x40" * 4096, following: int = 0, extra: tuple[Entry, ...] = ()) -> bytes:
    """A TIFF of 64 x 64 grey pixels with some of its tags (tag, type, count, value) changed, and ``extra`` ones at the end."""
    plain = ((256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 0), (277, 3, 1, 1))
    tags = {entry[0]: entry for entry in (*plain, (278, 4, 1, 64), (279, 4, 1, len(pixels)), *changes)}
    entries = [*sorted(tags.values()), *extra]
    start = 8 + 2 + 12 * len(entries) + 4
    directory = b"".join(struct.pack("<HHII", *entry[:3], start if entry[0] == 273 else entry[3]) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + struct.pack("<I", following) + pixels


def bmp(width: int, height: int, bits: int = 24, packing: int = 0, start: int = 54, size: int = 40, rest: int = 12288) -> bytes:
    """A BMP whose header says what it is told to."""
    head = b"BM" + struct.pack("<IHHI", 54 + rest, 0, 0, start)
    return head + struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, packing, 0, 0, 0, 0, 0) + bytes(rest)


def exif_of_many_values() -> bytes:
    """An orientation of eight million numbers."""
    return b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHII", 0x112, 3, 8_000_000, 30) + bytes(16_000_004)


IMAGES: dict[str, tuple[Callable[[], bytes], int, str]] = {
    # name: the file, megabytes that reading may take at most, and how the error begins or "read"
    "one bit, 50k x 50k": (lambda: png(50_000, 50_000, 1, packed=zeros(1000)), 20, "An image must have at most"),
    "largest grey": (lambda: png(SIDE, SIDE), 130, "read"),
    "largest grey, 16 bits": (lambda: png(SIDE, SIDE, 16), 260, "read"),
    "largest grey, 1 bit": (lambda: png(SIDE, SIDE, 1), 130, "read"),
    "zTXt bomb": (lambda: png(64, 64, extra=chunk(b"zTXt", b"Comment\0\0" + zeros(100_000_000))), 20, "x has a damaged"),
    "iTXt bomb": (lambda: png(64, 64, extra=chunk(b"iTXt", b"C\0\1\0\0\0" + zeros(100_000_000))), 20, "x has a damaged"),
    "iCCP bomb": (lambda: png(64, 64, extra=chunk(b"iCCP", b"icc\0\0" + zeros(100_000_000))), 20, "x has a damaged"),
    "many zTXt": (lambda: png(64, 64, extra=chunk(b"zTXt", b"C\0\0" + zeros(900_000)) * 200), 20, "x has a damaged"),
    "zTXt bomb behind the pixels": (
        lambda: png(64, 64)[:-12] + chunk(b"zTXt", b"C\0\0" + zeros(100_000_000)) + chunk(b"IEND", b""),
        20,
        "read",
    ),
    "pixels inflate without end": (lambda: png(64, 64, packed=zeros(100_000_000)), 20, "x has 9"),
    "two headers, large last": (
        lambda: PNG + ihdr(64, 64) + png(30_000, 30_000, packed=zeros(9))[8:],
        20,
        "An image must have",
    ),
    "two headers, small last": (lambda: PNG + ihdr(30_000, 30_000) + png(64, 64)[8:], 20, "x "),
    "orientation of many values": (lambda: png(64, 64, extra=chunk(b"eXIf", exif_of_many_values())), 60, "x cannot be decoded"),
    "metadata without end": (
        lambda: png(64, 64, extra=chunk(b"prVt", bytes(17_000_000))),
        40,
        "An image must have at most 16777216",
    ),
    "JPEG of 65535 x 65535": (lambda: resized_jpeg(65535, 65535), 20, "An image must have at most"),
    "JPEG of 7000 x 7000 in 500 bytes": (lambda: resized_jpeg(7000, 7000), 20, "x is cut off: "),
    "JPEG of many scans": (lambda: jpeg_of_many_scans(2000, 2000, 500), 20, "A JPEG must have at most 100 scans"),
    "JPEG of many tables": (
        lambda: jpeg_of_many_scans(64, 64, 1)[:-2] + b"\xff\xfe\0\2" * 500 + b"\xff\xd9",
        20,
        "A JPEG must have at most 100",
    ),
    "JPEG of much EXIF": (lambda: jpeg_segments(0xE1, b"Exif\0\0", 600), 60, "An image must have at most 16777216 bytes"),
    "JPEG of much ICC": (lambda: jpeg_segments(0xE2, b"ICC_PROFILE\0\1\1", 600), 60, "An image must have at most 16777216"),
    "TIFF with two widths, small last": (
        lambda: tiff((256, 4, 1, 30_000), extra=((256, 4, 1, 64),)),
        20,
        "x has a damaged TIFF",
    ),
    "TIFF with two widths, large last": (
        lambda: tiff(extra=((256, 4, 1, 30_000),)),
        20,
        "x has a damaged TIFF directory: tag 256",
    ),
    "TIFF of one giant tile": (
        lambda: tiff((322, 4, 1, 32_752), (323, 4, 1, 32_752), (324, 4, 1, 200), (325, 4, 1, 4096)),
        20,
        "A tile must have",
    ),
    "TIFF of millions of strips": (
        lambda: tiff((273, 4, 10**7, 0), (279, 4, 10**7, 200), pixels=bytes(4 * 10**7)),
        80,
        "x has a damaged TIFF directory: tag 273",
    ),
    "TIFF tag beyond the file": (lambda: tiff((700, 1, 2**32 - 1, 8)), 20, "x has a damaged TIFF directory: tag 700"),
    "TIFF of a million rows in one strip of 64": (
        lambda: tiff((257, 4, 1, 700_000)),
        20,
        "x is cut off: it declares 64 x 700000",
    ),
    "TIFF of 7000 x 7000 in 4 kB": (
        lambda: tiff((256, 4, 1, 7000), (257, 4, 1, 7000), (278, 4, 1, 7000)),
        20,
        "x is cut off: it declares 7000 x 7000",
    ),
    "TIFF of colours beyond 16 bits": (
        lambda: tiff((262, 3, 1, 3), (320, 4, 768, 8 + 2 + 120 + 4 + 4096), pixels=bytes(4096) + b"\xff" * 3072),
        20,
        "x cannot be decoded: unsigned byte integer is greater than maximum",
    ),
    "TIFF that inflates": (lambda: tiff((259, 3, 1, 8), pixels=zeros(100_000_000)), 20, "read"),
    "TIFF of pages in a loop": (
        lambda: tiff(following=8),
        20,
        "An image must be one still picture, x has more than 100 frames",
    ),
    "largest bilevel TIFF": (
        lambda: tiff((256, 4, 1, SIDE), (257, 4, 1, SIDE), (258, 3, 1, 1), (278, 4, 1, SIDE), pixels=bytes(884 * SIDE)),
        250,
        "read",
    ),
    "BMP of 20000 x 20000": (lambda: bmp(20_000, 20_000), 20, "An image must have at most"),
    "BMP of 7000 x 7000 in 12 kB": (lambda: bmp(7000, 7000), 20, "x cannot be decoded"),
    "BMP of no height": (lambda: bmp(64, 0), 20, "x"),
    "BMP of the least height": (lambda: bmp(64, -(2**31)), 20, "An image must have at most"),
    "BMP of negative width": (lambda: bmp(-64, 64), 20, ""),
    "BMP that starts behind its end": (lambda: bmp(64, 64, start=2**31 - 1), 20, "x cannot be decoded"),
    "BMP of no bits": (lambda: bmp(64, 64, bits=0), 20, "x has a damaged header"),
    "BMP of runs that end early": (lambda: bmp(7000, 7000, 8, 1, 54, rest=1026), 20, "x "),
}
"""Attacks by PNG, JPEG, TIFF and BMP."""


def insert(data: bytes, elements: bytes) -> bytes:
    """Elements in front of the pixels."""
    at = data.index(struct.pack("<HH", PIXELS, 0x10))
    return data[:at] + elements + data[at:]


def grey(rows: int = 64, columns: int = 64) -> NDArray[np.uint8]:
    return np.zeros((rows, columns), np.uint8)


def sized(rows: int, columns: int, syntax: uid.UID, frame: bytes) -> bytes:
    """A file that declares a size that its pixels do not have."""
    return make(grey(), syntax, frame=frame, Rows=rows, Columns=columns)


def long(group: int, element: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """An explicit element of the VRs that have a length of four bytes."""
    return struct.pack("<HH2sHI", group, element, vr, 0, len(value) if length is None else length) + value


SEQUENCE, ITEM, END_ITEM, END = (
    struct.pack("<HH2sHI", 0x0029, 0x1010, b"SQ", 0, 0xFFFFFFFF),
    struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF),
    struct.pack("<HHI", 0xFFFE, 0xE00D, 0),
    struct.pack("<HHI", 0xFFFE, 0xE0DD, 0),
)
EMPTY = struct.pack("<HHI", 0xFFFE, 0xE000, 0)


def deflated_bomb() -> bytes:
    start = make(grey(), uid.DeflatedExplicitVRLittleEndian)
    return start[: 144 + int.from_bytes(start[140:144], "little")] + zeros(150_000_000, raw=True)


def implicit_list() -> bytes:
    """A window centre of four million numbers, possible where lengths have four bytes."""
    value = b"1\\" * 4_000_000
    return insert(make(grey(), uid.ImplicitVRLittleEndian), struct.pack("<HHI", 0x0028, 0x1050, len(value)) + value)


def jpeg_2000(width: int = 64, height: int = 64) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grey(height, width)).save(buffer, "JPEG2000", no_jp2=True, precinct_size=(64, 64), num_resolutions=1)
    return buffer.getvalue()


def changed_2000(at: int, value: bytes, marker: bytes = b"\xff\x51") -> bytes:
    """A JPEG 2000 codestream with some bytes of a segment changed, counted from its marker."""
    stream = bytearray(jpeg_2000())
    place = stream.index(marker) + at
    stream[place : place + len(value)] = value
    return bytes(stream)


def fragments(number: int) -> bytes:
    """Pixels in that many empty fragments."""
    data = make(grey(), uid.RLELossless, frame=bytes(64))
    return data[: -len(END)] + EMPTY * number + END


DICOM: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "deflated bomb": (deflated_bomb, 260, "A deflated DICOM file must hold at most"),
    "RLE of 20000 x 20000": (lambda: sized(20_000, 20_000, uid.RLELossless, bytes(70)), 20, "An image must have at most"),
    "RLE of 7000 x 7000 in 70 bytes": (lambda: sized(7000, 7000, uid.RLELossless, bytes(70)), 20, "x has a damaged"),
    "JPEG of 20000 x 20000 inside": (
        lambda: sized(64, 64, uid.JPEGBaseline8Bit, resized_jpeg(20_000, 20_000)),
        20,
        "x declares",
    ),
    "JPEG of 7000 x 7000 in 500 bytes": (
        lambda: sized(7000, 7000, uid.JPEGBaseline8Bit, resized_jpeg(7000, 7000)),
        20,
        "x is cut off",
    ),
    "JPEG of many scans": (
        lambda: sized(200, 200, uid.JPEGBaseline8Bit, jpeg_of_many_scans(200, 200, 200)),
        20,
        "A JPEG must have",
    ),
    "JPEG 2000 of 20000 x 20000 inside": (
        lambda: sized(64, 64, uid.JPEG2000, changed_2000(6, struct.pack(">II", 20_000, 20_000))),
        20,
        "x has a damaged DICOM pixel",
    ),
    "JPEG 2000 of 7000 x 7000 in 200 bytes": (
        lambda: sized(7000, 7000, uid.JPEG2000, changed_2000(6, struct.pack(">IIIIII", 7000, 7000, 0, 0, 7000, 7000))),
        320,
        "read",
    ),
    "JPEG 2000 of tiles without end": (
        lambda: sized(64, 65, uid.JPEG2000, changed_2000(6, struct.pack(">IIIIII", 65, 64, 0, 0, 1, 1))),
        20,
        "x has a damaged DICOM pixel stream (more than 4096 JPEG 2000 tiles)",
    ),
    "JPEG 2000 of tiny precincts": (
        lambda: sized(64, 64, uid.JPEG2000, changed_2000(14, b"\x11", b"\xff\x52")),
        20,
        "x has a damaged DICOM pixel stream (JPEG 2000 precincts that are too small)",
    ),
    "JPEG 2000 of tiny blocks": (
        lambda: sized(64, 64, uid.JPEG2000, changed_2000(10, b"\0\0", b"\xff\x52")),
        20,
        "x has a damaged DICOM pixel stream (JPEG 2000 code-blocks that are too small)",
    ),
    "JPEG 2000 of 65535 layers": (
        lambda: sized(64, 64, uid.JPEG2000, changed_2000(6, b"\xff\xff", b"\xff\x52")),
        20,
        "x has a damaged DICOM pixel stream (more than 100 JPEG 2000 layers)",
    ),
    "sequences 300 deep": (lambda: insert(make(grey()), (SEQUENCE + ITEM) * 300), 40, "x nests its DICOM sequences too deep"),
    "sequences 100000 deep": (lambda: insert(make(grey()), (SEQUENCE + ITEM) * 100_000), 40, "x nests its DICOM"),
    "a million items": (lambda: insert(make(grey()), SEQUENCE + EMPTY * 10**6 + END), 60, "x has too many DICOM elements"),
    "a million items of a table": (
        lambda: insert(make(grey()), long(0x0028, 0x3010, b"SQ", EMPTY * 10**6)),
        40,
        "x: (0028,3010) 'VOI LUT Sequence'",
    ),
    "200000 items of a table": (
        lambda: insert(make(grey()), long(0x0028, 0x3010, b"SQ", EMPTY * 200_000)),
        60,
        "x has too many DICOM elements",
    ),
    "a million elements": (
        lambda: insert(make(grey()), struct.pack("<HH2sH", 0x29, 0x1010, b"LO", 0) * 10**6),
        30,
        "x has too many",
    ),
    "a million fragments": (lambda: fragments(10**6), 30, "x has too many DICOM elements"),
    "four million numbers": (
        implicit_list,
        40,
        "x: (0028,1050) 'Window Center' must be at most 65536 bytes, got '8000000 bytes'",
    ),
    "an element beyond the end": (
        lambda: insert(make(grey()), long(0x29, 0x1010, b"OB", b"", 2**32 - 2)),
        20,
        "x has no complete",
    ),
    "a value of 2 GB": (lambda: insert(make(grey()), long(0x0018, 0x5101, b"UT", b"", 2**31)), 20, "x"),
    "largest of 16 bits": (lambda: make(np.zeros((SIDE, SIDE), np.uint16)), 420, "read"),
}
"""Attacks by DICOM."""
