"""A DICOM file as a container: meta information, header and encoded pixels, with nothing expanded beyond a cap.

Only the elements that an image needs are kept, so no name or number of a patient can reach a message.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from lungwise.errors import ImageError, some
from lungwise.imaging.dicom_syntax import check_syntax

# Python's warning filters belong to the process, so both readers must share one lock.
from lungwise.imaging.read import MAX_PIXELS, WARNING_FILTERS

MAX_INFLATED = 2 * MAX_PIXELS + 2**24
"""Bytes that a deflated file may grow to: the largest image at 16 bits and 16 MB of header."""

KEYWORDS = (
    "SOPClassUID",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "ModalityLUTSequence",
    "RescaleIntercept",
    "RescaleSlope",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "PresentationLUTShape",
    "ViewPosition",
    "ViewCodeSequence",
)
"""Elements that are read; all others are skipped."""

_PIXEL_DATA = 0x7FE00010
_PIXEL_GROUP = 0x7FE0
_LONGEST = 160
_HOME = Path(pydicom.__file__).parent
_UNREADABLE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    BytesLengthException,
    InvalidDicomError,
)
"""What pydicom and its decoders raise on bytes that are not what they should be."""


@dataclass(frozen=True, eq=False)
class DicomFile:
    """A file read up to its pixels.

    Args:
        header: the elements of ``KEYWORDS`` that the file holds.
        sop_class: (0008,0016), or what the meta information says.
        syntax: transfer syntax.
        stream: positioned at the first element of group 7FE0.
    """

    header: Dataset
    sop_class: UID
    syntax: UID
    stream: io.BytesIO


@contextmanager
def readable(name: str, part: str) -> Iterator[None]:
    """Turn what pydicom raises on damaged bytes into one sentence that names the ``part`` of the file."""
    try:
        yield
    except RecursionError as cause:
        raise ImageError(f"{name} nests its DICOM sequences too deep to be read; remove private sequences from it.") from cause
    except _UNREADABLE as cause:
        raise ImageError(f"{name} has a damaged DICOM {part} ({_brief(cause)}); fetch the file again.") from cause


@contextmanager
def collecting(notes: list[str]) -> Iterator[None]:
    """Put what pydicom warns of into ``notes`` instead of on the terminal; warnings of others are passed on."""
    with WARNING_FILTERS, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    texts = []
    for warning in caught:
        if Path(warning.filename).is_relative_to(_HOME):
            texts.append(_brief(warning.message))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if texts:
        notes.append("irregular DICOM: " + some(list(dict.fromkeys(texts))))


def _brief(message: object) -> str:
    """What pydicom says, on one line, without the value: where a length is damaged, it may hold a patient's name."""
    text = re.split(r"[: ]+b?['\"]", " ".join(str(message).split()))[0]
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def open_dicom(data: bytes, name: str) -> DicomFile:
    """Read meta information and header (PS3.10 7.1), stopping before the pixels.

    Args:
        data: the whole file, with "DICM" at byte 128.
        name: how to call the file in an error.

    Raises:
        ImageError: the file has no transfer syntax, or one that is not read.
    """
    stream = io.BytesIO(data)
    stream.seek(132)
    meta = read_dataset(stream, False, True, stop_when=_behind_meta)
    if not meta.get("TransferSyntaxUID"):
        raise ImageError(
            f"{name} must say in (0002,0010) 'Transfer Syntax UID' how it is encoded, but does not; export it again."
        )
    syntax = UID(str(meta.TransferSyntaxUID))
    check_syntax(syntax, name)
    if syntax == DeflatedExplicitVRLittleEndian:
        stream = io.BytesIO(inflate(stream.read(), MAX_INFLATED, name))
    tags: list[BaseTag | int] = [tag for keyword in KEYWORDS if (tag := tag_for_keyword(keyword)) is not None]
    header = read_dataset(stream, syntax == ImplicitVRLittleEndian, True, stop_when=_at_pixels, specific_tags=tags)
    sop_class = header.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or ""
    return DicomFile(header, UID(str(sop_class)), syntax, stream)


def inflate(data: bytes, limit: int, name: str) -> bytes:
    """Undo the deflated transfer syntax (PS3.5 A.5), refusing to grow beyond ``limit`` bytes.

    Args:
        data: raw deflate stream (RFC 1951), perhaps with a padding byte behind it.
        limit: largest accepted result in bytes.
        name: how to call the file in an error.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    result = inflater.decompress(data, limit + 1)
    if len(result) > limit:
        raise ImageError(
            f"A deflated DICOM file must hold at most {limit} bytes, {name} inflates to more; check where it is from."
        )
    if not inflater.eof:
        raise ImageError(f"{name} is cut off: its deflated data have no end; fetch the file again.")
    return result


def pixel_data(file: DicomFile, name: str) -> bytes:
    """The value of (7FE0,0010) Pixel Data: native samples, or the one frame of an encapsulated image (PS3.5 A.4).

    Raises:
        ImageError: there is none, or the file ends inside it.
    """
    implicit = file.header.original_encoding[0] is True
    # As "not the top level", pydicom does not take the length of an implicit element for a VR.
    rest = read_dataset(file.stream, implicit, True, stop_when=_behind_pixels, specific_tags=[_PIXEL_DATA], at_top_level=False)
    element = rest.get_item(_PIXEL_DATA)
    value = element.value if element is not None else None
    if not isinstance(value, bytes) or not value:
        raise ImageError(
            f"{name} has no complete (7FE0,0010) 'Pixel Data': it is cut off or not an image; fetch the file again."
        )
    if file.syntax.is_encapsulated:
        return get_frame(value, 0, number_of_frames=1)
    return value


def _behind_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    """Whether an element is behind group 0002."""
    return bool(tag >> 16 != 2)


def _at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
    """Whether an element belongs to the pixels."""
    return bool(tag >> 16 == _PIXEL_GROUP)


def _behind_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
    """Whether an element is behind the pixels."""
    return bool(tag > _PIXEL_DATA)
