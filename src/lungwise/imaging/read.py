"""From a file's bytes to a Radiograph: look at the content, cap it, then decode.

The name of a file is never trusted: a JPEG called ``.png`` is a JPEG. Size is read from the header and capped before a
single pixel is decoded, so that a small file cannot ask for gigabytes.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import threading
import warnings
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from lungwise.errors import ImageError, printable
from lungwise.imaging.grey import to_radiograph
from lungwise.imaging.intact import check_amount, check_whole
from lungwise.imaging.radiograph import Radiograph

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".dcm", ".dicom"})
"""Endings that a folder is searched for; a file named one by one may have any ending."""
MAX_PIXELS = 50_000_000
"""Largest accepted image; a 43 x 43 cm detector at 0.1 mm has 18.5 million pixels."""
MAX_BYTES = 500_000_000
"""Largest accepted file."""
MIN_SIDE = 32
"""Shortest accepted side in pixels; anything smaller is an icon, not a radiograph."""

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
_PILLOW_MODES = ("CMYK", "P", "PA", "LA", "1", "LAB")
_DAMAGE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SyntaxError, TypeError, ValueError),
    *(struct.error, zlib.error),
)
"""What Pillow raises on files that are damaged."""
_LARGEST_EXIF = 2**17
"""Bytes of EXIF data that are looked at for an orientation; a JPEG segment holds half as many."""
_NO_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_TRANSPOSED = (5, 6, 7, 8)
"""EXIF orientations that swap height and width."""
_REDUCED = {
    2: (cv2.IMREAD_REDUCED_GRAYSCALE_2, cv2.IMREAD_REDUCED_COLOR_2),
    4: (cv2.IMREAD_REDUCED_GRAYSCALE_4, cv2.IMREAD_REDUCED_COLOR_4),
    8: (cv2.IMREAD_REDUCED_GRAYSCALE_8, cv2.IMREAD_REDUCED_COLOR_8),
}
"""JPEG decoding at a part of the size (inverse transforms of 4, 2 and 1 points instead of 8): for grey and for colour."""
WARNING_FILTERS = threading.Lock()
"""Python's warning filters belong to the process, so only one thread at a time may change them."""

# Each failure of OpenCV becomes an ImageError; its own lines on stderr would only repeat it.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


@dataclass(frozen=True)
class _Header:
    """What decoding needs to know of a file: format and mode, (height, width), EXIF orientation, whether white is 0."""

    format: str
    mode: str
    size: tuple[int, int]
    orientation: int
    inverted: bool


def read(path: Path | str, shortest: int = 0, *, secondary: bool = False) -> Radiograph:
    """Read one image file.

    Args:
        path: a PNG, JPEG, TIFF, BMP or DICOM file, whatever its name says.
        shortest: pixels of the shorter side that are enough. A JPEG with twice as many or more is decoded at 1/2, 1/4 or
            1/8 of its size, which takes half the time; 0 decodes every image in full.
        secondary: accept DICOM Secondary Capture, whose grey values come with no guarantee.

    Raises:
        ImageError: the file is absent, empty, too large, of another kind, damaged, or not one still image.
    """
    path = Path(path)
    return decode(contents(path), path.name, shortest, secondary=secondary)


def contents(path: Path) -> bytes:
    """The bytes of an image file; raises as :func:`opened`."""
    with opened(path) as file:
        try:
            return file.read(os.fstat(file.fileno()).st_size)
        except OSError as cause:
            raise _unopened(path, cause) from cause


def opened(path: Path) -> BinaryIO:
    """An image file, opened for reading.

    Raises:
        ImageError: it is no plain file, too large, or cannot be opened.
    """
    try:
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "does not exist" if not path.exists() else "is not a plain file"
            raise ImageError(f"An image must be a file, but {printable(str(path))} {kind}.")
        # What was a file a moment ago may be a pipe by now, whose opening must not wait and whose reading would not end.
        file = open(path, "rb", opener=lambda place, flags: os.open(place, flags | _NO_WAITING))  # noqa: SIM115
    except OSError as cause:
        raise _unopened(path, cause) from cause
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_BYTES:
        return file
    file.close()
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"An image must be a file, but {printable(str(path))} is not a plain file.")
    name = printable(path.name)
    raise ImageError(f"An image file must have at most {MAX_BYTES} bytes, {name} has {status.st_size}.")


def _unopened(path: Path, cause: OSError) -> ImageError:
    return ImageError(f"{printable(path.name)} cannot be opened: {cause.strerror}; check its permissions.")


def hidden(inside: Path) -> bool:
    """Whether a path inside a searched folder is, or lies in, what a file system hides; see also ``SUFFIXES``."""
    return any(part.startswith(".") or part == "__MACOSX" for part in inside.parts)


def check_size(width: int, height: int, name: str) -> None:
    """Refuse an image by the size that its header declares, before anything is decoded."""
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"An image must have at most {MAX_PIXELS} pixels, {name} declares {width} x {height}; shrink it first."
        )
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"An image must have at least {MIN_SIDE} pixels on each side, {name} has {width} x {height}; fetch the original."
        )


def decode(data: bytes, name: str = "image", shortest: int = 0, *, secondary: bool = False) -> Radiograph:
    """Decode the bytes of one image file; see :func:`read`.

    Args:
        data: the whole file.
        name: how to call the image in an error.
        shortest: see :func:`read`.
        secondary: see :func:`read`.
    """
    name = printable(name)
    if not data:
        raise ImageError(f"{name} is empty (0 bytes); fetch the file again.")
    try:
        return _decode(data, name, shortest, secondary)
    except (MemoryError, cv2.error) as cause:
        if isinstance(cause, cv2.error) and cause.code != cv2.Error.StsNoMem:
            raise
        raise ImageError(f"{name} needs more memory to be decoded than there is; shrink it first.") from MemoryError()


def _decode(data: bytes, name: str, shortest: int, secondary: bool) -> Radiograph:
    if data[128:132] == b"DICM":
        from lungwise.imaging.dicom import decode_dicom  # heavy, and it shares this module's limits

        return decode_dicom(data, name, allow_secondary=secondary)
    check_whole(data, name)
    header = _inspect(data, name)
    check_amount(data, name, *header.size)
    # OpenCV expands palettes and keeps alpha in a PNG, but not in a TIFF.
    if header.mode in _PILLOW_MODES and header.format != "PNG":
        pixels = _decode_with_pillow(data, name)
    else:
        pixels = _decode_with_opencv(data, name, _flags(header, shortest))
    radiograph = to_radiograph(_upright(pixels, header.orientation), header.inverted, name)
    turned = header.orientation in _TRANSPOSED
    return replace(radiograph, original=header.size[::-1] if turned else header.size)


def _inspect(data: bytes, name: str) -> _Header:
    """The header, after checking format, size and number of frames in it."""
    try:
        with WARNING_FILTERS, warnings.catch_warnings():
            # Pillow warns of odd metadata, and of a bomb beyond a higher cap than the one below.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                width, height = image.size
                # Further pictures of a JPEG (MPO) belong to the first, such as its depth or brightness map.
                frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
                header = _Header(str(image.format), image.mode, (height, width), _orientation(image), _white_is_zero(image))
    except UnidentifiedImageError as cause:
        raise ImageError(
            f"{name} is not a PNG, JPEG, TIFF, BMP or DICOM image by its content; convert or remove it."
        ) from cause
    except Image.DecompressionBombError as cause:
        raise ImageError(
            f"An image must have at most {MAX_PIXELS} pixels, {name} declares far more; shrink it first."
        ) from cause
    except _DAMAGE as cause:
        raise ImageError(f"{name} has a damaged header ({printable(str(cause))}); fetch the file again.") from cause
    check_size(width, height, name)
    if frames != 1:
        raise ImageError(f"An image must be one still picture, {name} has {frames} frames; save the one that is meant.")
    return header


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; both decoders already apply that of a TIFF."""
    if image.format == "TIFF" or len(image.info.get("exif", b"")) > _LARGEST_EXIF:
        return 1
    # Pillow's own method for PNG would decode all pixels in search of a late EXIF chunk.
    value = Image.Image.getexif(image).get(0x0112, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _white_is_zero(image: Image.Image) -> bool:
    """Whether a 16-bit TIFF stores white as 0 (TIFF 6.0, PhotometricInterpretation), which no decoder undoes beyond 8 bits."""
    return isinstance(image, TiffImageFile) and image.mode.startswith("I;16") and image.tag_v2.get(262) == 0


def _flags(header: _Header, shortest: int) -> int:
    """How OpenCV shall decode: unchanged, or a JPEG at the smallest scale whose shorter side is still long enough."""
    factors = [factor for factor in _REDUCED if shortest and min(header.size) // factor >= shortest]
    if header.format not in ("JPEG", "MPO") or header.mode not in ("L", "RGB") or not factors:
        return int(cv2.IMREAD_UNCHANGED)
    # As with IMREAD_UNCHANGED, the orientation is left to us.
    return _REDUCED[max(factors)][header.mode == "RGB"] | int(cv2.IMREAD_IGNORE_ORIENTATION)


def _decode_with_opencv(data: bytes, name: str, flags: int) -> NDArray[np.generic]:
    """Grey, grey 16-bit, RGB or RGBA; OpenCV is the fastest decoder that keeps 16 bits."""
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as cause:
        if cause.code == cv2.Error.StsNoMem:
            raise
        raise ImageError(f"{name} cannot be decoded ({printable(cause.err)}); fetch the file again.") from cause
    if pixels is None:
        raise ImageError(f"{name} cannot be decoded: its data are damaged or cut off; fetch the file again.")
    return np.asarray(pixels)


def _decode_with_pillow(data: bytes, name: str) -> NDArray[np.generic]:
    """Bilevel TIFF as grey; CMYK, and palette and grey-with-alpha TIFF, as RGBA in OpenCV's channel order."""
    try:
        with WARNING_FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                if image.mode == "1":
                    return np.asarray(image.convert("L"))
                rgba = np.asarray(image.convert("RGBA"))
    except _DAMAGE as cause:
        raise ImageError(f"{name} cannot be decoded: {printable(str(cause))}; fetch the file again.") from cause
    return rgba[..., [2, 1, 0, 3]]


def _upright(pixels: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Undo the EXIF orientation (values 1 to 8), which the decoders leave alone in PNG and JPEG."""
    if orientation in _TRANSPOSED:
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
