"""Reading single elements of a DICOM header, whatever their VR, length or number of values turned out to be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import dictionary_description, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag

from lungwise.errors import ImageError
from lungwise.imaging.windowing import Lut

_LONGEST = 40
"""Characters of a value that are shown."""
_LARGEST = 1e12
"""Size of a slope, intercept or window that is believed."""


def refusal(name: str, keyword: str, rule: str, value: object, cure: str) -> ImageError:
    """The error of one element: tag, keyword, rule, value and what to do."""
    tag = Tag(tag_for_keyword(keyword) or 0)
    element = f"({tag.group:04X},{tag.element:04X}) '{dictionary_description(tag)}'"
    if value is None:
        return ImageError(f"{name}: {element} must be {rule}, but it is missing; the file is cut off or not an image.")
    came = str(value)
    # After a damaged length the text may go on into a patient's name; "^" stands between the parts of one (PS3.5 6.2).
    if len(came) > _LONGEST or not came.isprintable() or "^" in came:
        came = f"{len(came)} characters"
    return ImageError(f"{name}: {element} must be {rule}, got '{came}'; {cure}.")


def text(dataset: Dataset, keyword: str) -> str:
    """The first value as upper-case text, empty if there is none."""
    value = _first(dataset, keyword)
    return "" if value is None else str(value).strip().upper()


def whole(dataset: Dataset, keyword: str, name: str, default: int | None = None) -> int:
    """One whole number, or ``default`` where the element is missing or empty."""
    value = _first(dataset, keyword)
    if isinstance(value, bytes) and len(value) == 2:
        # US or SS in implicit encoding, which pydicom leaves alone when nothing tells it the sign.
        value = int.from_bytes(value, "little")
    if value is None and default is not None:
        return default
    if not isinstance(value, int):
        raise refusal(name, keyword, "a whole number", value, "export it again")
    return int(value)


def number(dataset: Dataset, keyword: str, name: str) -> float | None:
    """The first number, or nothing where the element is missing or empty; what would overflow later is refused."""
    value = _first(dataset, keyword)
    if value is None:
        return None
    result = float(value) if isinstance(value, int | float) else float("nan")
    if not abs(result) <= _LARGEST:
        raise refusal(name, keyword, f"a number of at most {_LARGEST:g}", value, "export it again")
    return result


def _first(dataset: Dataset, keyword: str) -> object:
    """The first value of an element, or None."""
    value = dataset.get(keyword)
    if isinstance(value, MultiValue | list):
        value = value[0] if len(value) else None
    return None if isinstance(value, str) and not value.strip() else value


def lookup_table(header: Dataset, keyword: str, signed: bool, name: str) -> Lut:
    """First item of a sequence of lookup tables (PS3.3 C.11.1.1 and C.11.2.1.1)."""
    item = header[keyword].value[0]
    descriptor = _words(item.get("LUTDescriptor"))
    if len(descriptor) != 3:
        raise refusal(name, "LUTDescriptor", "three numbers", item.get("LUTDescriptor"), "export it again")
    # 0 stands for 2**16 entries; the second number has the sign of the values that go in.
    count, first, bits = int(descriptor[0]) or 2**16, int(descriptor[1]), int(descriptor[2])
    negative = first >= 2**15 and (signed or _declared_negative(item))
    if not 8 <= bits <= 16:
        raise refusal(name, "LUTDescriptor", "a table of 8 to 16 bits", bits, "export it again")
    raw = _words(item.get("LUTData")).tobytes()
    if len(raw) >= 2 * count:
        entries = np.frombuffer(raw, "<u2", count)
    elif bits == 8 and len(raw) >= count:
        entries = np.frombuffer(raw, np.uint8, count).astype(np.uint16)
    else:
        raise refusal(name, "LUTData", f"{count} entries", f"{len(raw)} bytes", "fetch the file again")
    return Lut(entries.astype(np.uint16), first - 2**16 if negative else first, bits)


def _declared_negative(item: Dataset) -> bool:
    """Whether the descriptor was read as signed (VR SS) and its second number is below 0."""
    value = item.get("LUTDescriptor")
    return isinstance(value, MultiValue | list) and int(value[1]) < 0


def _words(value: object) -> NDArray[np.uint16]:
    """Little-endian 16-bit words, uint16 [n], from a value of VR US, SS or OW."""
    if value is None:
        return np.empty(0, np.uint16)
    if isinstance(value, bytes):
        return np.frombuffer(value[: len(value) // 2 * 2], "<u2").astype(np.uint16)
    return (np.atleast_1d(np.asarray(value, np.int64)) & 0xFFFF).astype(np.uint16)
