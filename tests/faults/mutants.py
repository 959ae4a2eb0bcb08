"""Valid little files of every format, and ways to damage them: blindly, and with knowledge of PNG, JPEG, TIFF and DICOM."""

from __future__ import annotations

import base64
import contextlib
import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import uid

from lungwise.errors import ImageError
from lungwise.inference.sandbox import Sandbox
from tests.faults.hostile import PNG, chunk
from tests.imaging.test_dicom import FULL_8, item, lossless_jpeg, make

FIXTURES = Path(__file__).parents[1] / "imaging" / "fixtures"
FAILURES = ("made its decoder fail", "could not be decoded within")
"""What the sandbox says of a file that no part of the reader refused."""
Numbers = tuple[int, int, int]


def _encoded(kind: str, mode: str = "L", **options: object) -> bytes:
    y, x = np.mgrid[:34, :40]
    picture = Image.fromarray((x * 5 + y * 2).astype(np.uint8))
    buffer = io.BytesIO()
    picture = Image.fromarray((x * 900 + y).astype(np.uint16)) if mode == "I;16" else picture.convert(mode)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@cache
def images() -> dict[str, bytes]:
    """Small PNG, JPEG, TIFF and BMP files, 40 x 34 pixels."""
    return {
        "png": _encoded("PNG"),
        "png 16": _encoded("PNG", "I;16"),
        "png rgba": _encoded("PNG", "RGBA"),
        "png palette": _encoded("PNG", "P"),
        "png 1": _encoded("PNG", "1"),
        "jpeg": _encoded("JPEG"),
        "jpeg progressive": _encoded("JPEG", "RGB", progressive=True),
        "jpeg cmyk": _encoded("JPEG", "CMYK"),
        "tiff": _encoded("TIFF"),
        "tiff lzw": _encoded("TIFF", "RGB", compression="tiff_lzw"),
        "tiff deflate": _encoded("TIFF", "I;16", compression="tiff_adobe_deflate"),
        "tiff fax": _encoded("TIFF", "1", compression="group4"),
        "tiff jpeg": _encoded("TIFF", compression="jpeg"),
        "tiff palette": _encoded("TIFF", "P"),
        "tiff big": _encoded("TIFF", big_tiff=True),
        "bmp": _encoded("BMP"),
        "bmp rgb": _encoded("BMP", "RGB"),
        "bmp 1": _encoded("BMP", "1"),
    }


@cache
def dicoms() -> dict[str, bytes]:
    """Small DICOM files of every transfer syntax, with a patient called Secret."""
    steps = np.resize(np.arange(256, dtype=np.uint8), (34, 40))
    y, x = np.mgrid[0:64, 0:96]
    ramp = (x * 30 + y * 19).astype(np.uint16)
    table = item(LUTDescriptor=[4, 0, 8], LUTData=bytes(4))
    table[0]["LUTDescriptor"].VR, table[0]["LUTData"].VR = "US", "OW"
    code = item(CodeValue="272479007", CodingSchemeDesignator="SCT", CodeMeaning="PA")
    extended = (FIXTURES / "extended_12bit.jpg").read_bytes()
    throughput = (FIXTURES / "htj2k_lossless.j2c").read_bytes()
    more = {"WindowCenter": "128", "WindowWidth": "256", "ViewCodeSequence": code, "PixelPaddingValue": 3}
    return {
        "explicit": make(steps, **more),
        "implicit": make(steps, uid.ImplicitVRLittleEndian, VOILUTSequence=table, **more),
        "deflated": make(steps, uid.DeflatedExplicitVRLittleEndian, **more),
        "rle": make(steps, uid.RLELossless, **FULL_8),
        "jpeg": make(steps, uid.JPEGBaseline8Bit, frame=_encoded("JPEG"), **FULL_8),
        "jpeg lossless": make(steps, uid.JPEGLosslessSV1, frame=lossless_jpeg(steps, 8, 1), **FULL_8),
        "jpeg ls": make(steps, uid.JPEGLSLossless, **FULL_8),
        "jpeg 2000": make(steps, uid.JPEG2000Lossless, **FULL_8),
        "jpeg 12": make(ramp, uid.JPEGExtended12Bit, stored=12, frame=extended),
        "htj2k": make(ramp, uid.HTJ2KLossless, stored=12, frame=throughput),
    }


@cache
def seeds() -> dict[str, bytes]:
    return images() | {f"dicom {name}": data for name, data in dicoms().items()}


def outcome(sandbox: Sandbox, data: bytes) -> str:
    """The error's sentence, "" for a picture; anything else fails the test with the bytes that did it."""
    try:
        found = sandbox(data, 0)
    except ImageError as error:
        said = str(error)
        lawful = said.isprintable() and said.endswith(".") and len(said) < 400 and not any(word in said for word in FAILURES)
        lawful &= "Secret" not in said
    else:
        said = "; ".join(found.warnings)
        lawful = found.pixels.ndim == 2 and min(found.pixels.shape) >= 32 and found.pixels.dtype == np.uint8
        lawful &= "Secret" not in said and said.isprintable()
    assert lawful, f"{said}\nzlib.decompress(base64.b85decode({base64.b85encode(zlib.compress(data, 9)).decode()!r}))"
    return said if said.endswith(".") else ""


def _values(number: int) -> bytes:
    """Bytes that decoders stumble over, and any others."""
    odd = (b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0\0\0")
    return odd[number % 16] if number % 16 < len(odd) else struct.pack("<I", number)[: 1 + number % 4]


def flip(data: bytes, a: int, b: int, c: int) -> bytes:
    at = a % len(data)
    return data[:at] + bytes([data[at] ^ 1 << b % 8]) + data[at + 1 :]


def truncate(data: bytes, a: int, b: int, c: int) -> bytes:
    return data[: max(1, a % len(data))]


def put(data: bytes, a: int, b: int, c: int) -> bytes:
    at, value = a % len(data), _values(b)
    return data[:at] + value + data[at + (0 if c % 4 == 0 else len(value)) :]


def near_start(data: bytes, a: int, b: int, c: int) -> bytes:
    return put(data, a % min(len(data), 200), b, c)


def duplicate(data: bytes, a: int, b: int, c: int) -> bytes:
    at, length = a % len(data), 1 + b % 64
    return data[: at + length] + data[at : at + length] * (1 + c % 8) + data[at + length :]


def delete(data: bytes, a: int, b: int, c: int) -> bytes:
    at = a % len(data)
    return data[:at] + data[at + 1 + b % 32 :] or b"\0"


def splice(data: bytes, a: int, b: int, c: int) -> bytes:
    other = list(seeds().values())[c % len(seeds())]
    return data[: a % len(data)] + other[b % len(other) :] or b"\0"


def png_chunk(data: bytes, a: int, b: int, c: int) -> bytes:
    """Change, double, drop or lengthen one chunk of a PNG, with the right checksum."""
    if not data.startswith(PNG):
        return near_start(data, a, b, c)
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks:
        return near_start(data, a, b, c)
    which = a % len(chunks)
    kind, body = chunks[which]
    if c % 5 == 0:
        chunks.insert(b % len(chunks), (kind, body))
    elif c % 5 == 1:
        del chunks[which]
    elif c % 5 == 2:
        new = (b"tRNS", b"PLTE", b"gAMA", b"acTL", b"fcTL", b"fdAT", b"eXIf", b"iCCP", b"sBIT", b"IHDR", b"cICP")[b % 11]
        chunks.insert(which, (new, body))
    elif c % 5 == 3 and kind == b"IDAT":
        raw = b"\0"
        with contextlib.suppress(zlib.error):  # it was damaged before
            raw = zlib.decompressobj().decompress(body, 10**6) or raw
        chunks[which] = (kind, zlib.compress(put(raw, b, a, c)))
    else:
        chunks[which] = (kind, put(body or b"\0", b, a >> 3, c >> 3))
    return PNG + b"".join(chunk(kind, body) for kind, body in chunks)


def jpeg_segment(data: bytes, a: int, b: int, c: int) -> bytes:
    """Change the kind, length or contents of one segment of a JPEG, wherever the stream lies."""
    marks = [at for at in range(len(data) - 4) if data[at] == 0xFF and 0xC0 <= data[at + 1] <= 0xFE]
    if not marks:
        return put(data, a, b, c)
    at = marks[a % len(marks)]
    if c % 3 == 0:
        return data[: at + 1] + bytes([0xC0 + b % 0x3F]) + data[at + 2 :]
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    if c % 3 == 1:
        return data[: at + 2] + struct.pack(">H", (length + (b % 9 - 4)) % 65536) + data[at + 4 :]
    return put(data, at + 4 + b % max(1, min(length, 40)), a >> 2, c)


def tiff_entry(data: bytes, a: int, b: int, c: int) -> bytes:
    """Change tag, type, count or value of one entry of a little-endian TIFF."""
    if data[:4] != b"II*\0" or len(data) < 8:
        return near_start(data, a, b, c)
    start = int.from_bytes(data[4:8], "little")
    number = int.from_bytes(data[start : start + 2], "little")
    at = start + 2 + 12 * (a % max(1, number)) + (0, 2, 4, 8)[c % 4]
    value = struct.pack("<I", (0, 1, 2, 3, 4, 7, 8, 16, 255, 65535, 2**31, 2**32 - 1, b)[b % 13])
    size = 2 if c % 4 < 2 else 4
    return data[:at] + value[:size] + data[at + size :]


VRS = b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV ZZ".split()


def dicom_element(data: bytes, a: int, b: int, c: int) -> bytes:
    """Change tag, VR, length or value of one element of an explicit data set, or double it, or wrap it in a sequence."""
    if data[128:132] != b"DICM":
        return near_start(data, a, b, c)
    spots, at = [], 132
    while at + 8 <= len(data) and data[at + 4 : at + 6].isalpha():
        wide = data[at + 4 : at + 6] in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC")
        head = 12 if wide else 8
        length = int.from_bytes(data[at + 8 : at + 12] if wide else data[at + 6 : at + 8], "little")
        spots.append((at, head, min(length, len(data))))
        at += head + length
    at, head, length = spots[a % len(spots)] if spots else (132, 8, 8)
    if c % 6 == 0:
        return data[: at + 4] + VRS[b % len(VRS)] + data[at + 6 :]
    if c % 6 == 1:
        return data[: at + head - 2] + struct.pack("<H", b % 65536 if b % 3 else 0xFFFF) + data[at + head :]
    if c % 6 == 2:
        return data[: at + b % 4] + _values(b >> 2)[:1] + data[at + b % 4 + 1 :]
    if c % 6 == 3:
        return data[: at + head + length] + data[at : at + head + length] * (1 + b % 3) + data[at + head + length :]
    if c % 6 == 4:
        item_head = struct.pack("<HHI", 0xFFFE, 0xE000, head + length)
        sequence = struct.pack("<HH2sHI", 0x0029 + b % 2, 0x1010, b"SQ", 0, 8 + head + length)
        return data[:at] + sequence + item_head + data[at:]
    return put(data, at + head + b % max(1, length), a >> 3, c)


MUTATIONS: tuple[Callable[[bytes, int, int, int], bytes], ...] = (
    flip, truncate, put, near_start, duplicate, delete, splice, png_chunk, jpeg_segment, tiff_entry, dicom_element,
)  # fmt: skip


def mutated(seed: str, steps: list[tuple[int, Numbers]]) -> bytes:
    """A seed after some mutations, each its number in ``MUTATIONS`` and the three numbers that steer it."""
    data = seeds()[seed]
    for which, numbers in steps:
        data = MUTATIONS[which % len(MUTATIONS)](data, *numbers) or b"\0"
    return data
