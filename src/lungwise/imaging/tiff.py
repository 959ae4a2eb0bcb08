"""The directory of a TIFF file, checked before a decoder reads it (TIFF 6.0, section 2; BigTIFF).

Decoders differ in what they take from a false directory. Of a tag given twice one takes the first value and another the
last, so that one would check a size and the other decode another.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from lungwise.errors import ImageError

MAX_VALUES = 100_000
"""Most values of a tag that holds numbers: one offset for each row of the tallest film. Each becomes a Python object."""
MAX_TILE = 50_000_000
"""Most pixels of a tile; decoders make room for a whole one, however small the picture."""
_MOST_PAGES = 100
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value of each type."""
_OCTETS = (1, 2, 6, 7)
"""Types whose values stay together as bytes or text."""
_WIDTH, _LENGTH, _COMPRESSION, _STRIPS, _ROWS_A_STRIP, _TILE_WIDTH, _TILE_LENGTH = 256, 257, 259, 273, 278, 322, 323
_CODES = {1: "B", 3: "H", 16: "Q"}
"""Formats of numbers that are not of four bytes."""


@dataclass(frozen=True)
class _Form:
    """Where things stand: formats of the offset, the number of entries and one entry up to its value, and their sizes."""

    offset: str
    number: str
    entry: str
    first: int

    @property
    def step(self) -> int:
        """Bytes of an entry."""
        return struct.calcsize(self.entry) + struct.calcsize(self.offset)


def is_tiff(data: bytes) -> bool:
    """Whether the bytes begin as a TIFF or BigTIFF does."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def check_directory(data: bytes, name: str) -> None:
    """Refuse a TIFF whose directory is cut off, contradicts itself or asks for too much.

    Args:
        data: the whole file.
        name: how to call the image in an error.

    Raises:
        ImageError: there are several pages, a tag is given twice, or a tag or tile is too large.
    """
    form = _form(data)
    try:
        at = struct.unpack_from(form.offset, data, form.first)[0]
        following = _check_entries(data, at, form, name)
        pages = _pages(data, following, form)
    except (struct.error, OverflowError) as cause:
        raise ImageError(f"{name} is cut off or damaged in its TIFF directory; fetch the file again.") from cause
    if pages > 1:
        number = pages if pages <= _MOST_PAGES else f"more than {_MOST_PAGES}"
        raise ImageError(f"An image must be one still picture, {name} has {number} frames; save the one that is meant.")


def _form(data: bytes) -> _Form:
    order, big = "<" if data[:2] == b"II" else ">", 43 in data[2:4]
    return _Form(f"{order}Q", f"{order}Q", f"{order}HHQ", 8) if big else _Form(f"{order}I", f"{order}H", f"{order}HHI", 4)


def _check_entries(data: bytes, at: int, form: _Form, name: str) -> int:
    """Check the entries of the directory ``at`` that byte; returns the offset of the next directory, 0 without one."""
    number = struct.unpack_from(form.number, data, at)[0]
    start = at + struct.calcsize(form.number)
    end = start + number * form.step
    following = int(struct.unpack_from(form.offset, data, end)[0])  # fails first, where the number is too large for the file
    counts: dict[int, int] = {}
    values: dict[int, int] = {}
    for place in range(start, end, form.step):
        tag, kind, count = struct.unpack_from(form.entry, data, place)
        if tag in counts:
            raise ImageError(f"{name} has a damaged TIFF directory: tag {tag} is given twice; fetch the file again.")
        if (kind not in _OCTETS and count > MAX_VALUES) or count * _BYTES.get(kind, 1) > len(data):
            raise ImageError(f"{name} has a damaged TIFF directory: tag {tag} claims {count} values; fetch the file again.")
        # Where there are many values, this is where they stand.
        code = form.offset[0] + _CODES.get(kind, "I")
        counts[tag], values[tag] = count, int(struct.unpack_from(code, data, place + struct.calcsize(form.entry))[0])
    _check_amount(counts, values, len(data), name)
    return following


def _check_amount(counts: dict[int, int], values: dict[int, int], size: int, name: str) -> None:
    """Refuse a tile that is too large, and a picture whose strips, or bytes where they are not packed, are too few for it."""
    tile = values.get(_TILE_WIDTH, 1) * values.get(_TILE_LENGTH, 1)
    if tile > MAX_TILE:
        raise ImageError(f"A tile must have at most {MAX_TILE} pixels, one of {name} has {tile}; save it without tiles.")
    width, length = values.get(_WIDTH, 0), values.get(_LENGTH, 0)
    covered = counts.get(_STRIPS, 0) * values.get(_ROWS_A_STRIP, length)
    unpacked = values.get(_COMPRESSION, 1) == 1
    if (_STRIPS in counts and covered < length) or (unpacked and width * length > 8 * size):
        raise ImageError(f"{name} is cut off: it declares {width} x {length} pixels and holds fewer; fetch the file again.")


def _pages(data: bytes, following: int, form: _Form) -> int:
    """Pages of the file, counted up to one more than ``_MOST_PAGES``; a loop of them counts as that many."""
    pages = 1
    while following and pages <= _MOST_PAGES:
        number = struct.unpack_from(form.number, data, following)[0]
        following = struct.unpack_from(form.offset, data, following + struct.calcsize(form.number) + number * form.step)[0]
        pages += 1
    return pages
