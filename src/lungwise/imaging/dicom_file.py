"""A DICOM file as a container: meta information, header and encoded pixels, with nothing expanded beyond a cap.

Only the elements that an image needs are kept, so no name or number of a patient can reach a message.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_sequence
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from lungwise.errors import ImageError, some
from lungwise.imaging.dicom_elements import refusal
from lungwise.imaging.dicom_syntax import check_syntax

# Python's warning filters belong to the process, so both readers must share one lock.
from lungwise.imaging.read import MAX_PIXELS, WARNING_FILTERS

MAX_INFLATED = 2 * MAX_PIXELS + 2**24
"""Bytes that a deflated file may grow to: the largest image at 16 bits and 16 MB of header."""

MAX_READS = 100_000
"""Most pieces that a header is read in. An element is one or two; a radiograph has some hundred, a few thousand with private
ones. Each element and each empty item of 8 bytes becomes a Python object of hundreds."""
MAX_VALUE, MAX_TABLE, MAX_SEQUENCE = 2**16, 2**18, 2**21
"""Most bytes of an element that is read, of one in a sequence (a table of 65536 entries has half as many), of a sequence."""

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

_SEQUENCES = ("ModalityLUTSequence", "VOILUTSequence", "ViewCodeSequence")
_PIXEL_DATA = 0x7FE00010
_PIXEL_GROUP = 0x7FE0
_LONGEST = 160
_HOME = Path(pydicom.__file__).parent
_LOGGER = logging.getLogger("pydicom")
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


class _Metered(io.BytesIO):
    """Bytes that can be read in at most ``MAX_READS`` pieces."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self._name, self._left = name, MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        """See :meth:`io.BytesIO.read`.

        Raises:
            ImageError: it is one piece too many.
        """
        self._left -= 1
        if self._left < 0:
            raise ImageError(f"{self._name} has too many DICOM elements to be read; remove private sequences from it.")
        return super().read(size)


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


class _Unlogged(logging.Filter):
    """Keeps what pydicom says in this thread out of logs: it quotes values, and a value may be a name."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether another thread said it."""
        return record.thread != self._thread


@contextmanager
def readable(name: str, part: str) -> Iterator[None]:
    """Turn what pydicom raises on damaged bytes into one sentence that names the ``part`` of the file."""
    unlogged = _Unlogged()
    _LOGGER.addFilter(unlogged)
    try:
        yield
    except RecursionError as cause:
        raise ImageError(f"{name} nests its DICOM sequences too deep to be read; remove private sequences from it.") from cause
    except _UNREADABLE as cause:
        if isinstance(cause.__context__, ImageError):  # pydicom turns whatever comes from reading an item into another
            raise cause.__context__ from None
        raise ImageError(f"{name} has a damaged DICOM {part} ({_brief(cause)}); fetch the file again.") from cause
    finally:
        _LOGGER.removeFilter(unlogged)


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
    stream = _Metered(data, name)
    stream.seek(132)
    meta = read_dataset(stream, False, True, stop_when=_behind_meta)
    if not meta.get("TransferSyntaxUID"):
        raise ImageError(
            f"{name} must say in (0002,0010) 'Transfer Syntax UID' how it is encoded, but does not; export it again."
        )
    syntax = UID(str(meta.TransferSyntaxUID))
    check_syntax(syntax, name)
    if syntax == DeflatedExplicitVRLittleEndian:
        stream = _Metered(inflate(stream.read(), MAX_INFLATED, name), name)
    tags: list[BaseTag | int] = [tag for keyword in KEYWORDS if (tag := tag_for_keyword(keyword)) is not None]
    header = read_dataset(stream, syntax == ImplicitVRLittleEndian, True, stop_when=_at_pixels, specific_tags=tags)
    _check_values(header, MAX_VALUE, name)
    for keyword in _SEQUENCES:
        _check_sequence(header, keyword, name)
    sop_class = header.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or ""
    return DicomFile(header, UID(str(sop_class)), syntax, stream)


def _check_values(dataset: Dataset, most: int, name: str) -> None:
    """Refuse large values before they are split: each number of a list becomes a Python object of a hundred bytes."""
    for keyword in (keyword for keyword in dataset.dir() if keyword not in _SEQUENCES):
        element = dataset.get_item(keyword)
        if isinstance(element, RawDataElement) and len(element.value or b"") > most:
            raise refusal(name, keyword, f"at most {most} bytes", f"{len(element.value or b'')} bytes", "export it again")


def _check_sequence(header: Dataset, keyword: str, name: str) -> None:
    """Divide a sequence into its items, counted, and check the values of the first, which is the one that is used."""
    element = header.get_item(keyword) if keyword in header else None
    if isinstance(element, RawDataElement) and element.value:
        value = element.value
        if len(value) > MAX_SEQUENCE:
            raise refusal(name, keyword, f"at most {MAX_SEQUENCE} bytes", f"{len(value)} bytes", "export it again")
        items = read_sequence(_Metered(value, name), element.is_implicit_VR, True, len(value), "iso8859")
        header[keyword] = DataElement(element.tag, "SQ", items)
    if header.get(keyword):
        _check_values(header[keyword].value[0], MAX_TABLE, name)


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
        return get_frame(_Metered(value, name), 0, number_of_frames=1)
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
