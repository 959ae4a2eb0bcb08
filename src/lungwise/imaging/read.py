"""From a file's bytes to a Radiograph: look at the content, cap it, then decode.

The name of a file is never trusted: a JPEG called ``.png`` is a JPEG. Size is read from the header and capped before a
single pixel is decoded, so that a small file cannot ask for gigabytes.
"""

from __future__ import annotations

import io
import struct
import threading
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from lungwise.errors import ImageError
from lungwise.imaging.intact import check_whole
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
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, struct.error)
"""What Pillow raises on files that are damaged."""
_COLOUR_TOLERANCE = 16
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
    try:
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "does not exist" if not path.exists() else "is not a plain file"
            raise ImageError(f"An image must be a file, but {path} {kind}.")
        if path.stat().st_size > MAX_BYTES:
            raise ImageError(f"An image file must have at most {MAX_BYTES} bytes, {path.name} has {path.stat().st_size}.")
        return decode(path.read_bytes(), path.name, shortest, secondary=secondary)
    except OSError as cause:
        raise ImageError(f"{path.name} cannot be opened: {cause.strerror}; check its permissions.") from cause


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
    if not data:
        raise ImageError(f"{name} is empty (0 bytes); fetch the file again.")
    if data[128:132] == b"DICM":
        from lungwise.imaging.dicom import decode_dicom  # heavy, and it shares this module's limits

        return decode_dicom(data, name, allow_secondary=secondary)
    check_whole(data, name)
    header = _inspect(data, name)
    # OpenCV expands palettes and keeps alpha in a PNG, but not in a TIFF.
    if header.mode in _PILLOW_MODES and header.format != "PNG":
        pixels = _decode_with_pillow(data, name)
    else:
        pixels = _decode_with_opencv(data, name, _flags(header, shortest))
    radiograph = _to_radiograph(_upright(pixels, header.orientation), header.inverted, name)
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
        raise ImageError(f"{name} has a damaged header ({cause}); fetch the file again.") from cause
    check_size(width, height, name)
    if frames != 1:
        raise ImageError(f"An image must be one still picture, {name} has {frames} frames; save the one that is meant.")
    return header


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; both decoders already apply that of a TIFF."""
    if image.format == "TIFF":
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
        raise ImageError(f"{name} cannot be decoded ({cause.err}); fetch the file again.") from cause
    if pixels is None:
        raise ImageError(f"{name} cannot be decoded: its data are damaged or cut off; fetch the file again.")
    return np.asarray(pixels)


def _decode_with_pillow(data: bytes, name: str) -> NDArray[np.generic]:
    """CMYK, and palette, bilevel and grey-with-alpha TIFF, as RGBA in OpenCV's channel order."""
    try:
        with WARNING_FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                rgba = np.asarray(image.convert("RGBA"))
    except _DAMAGE as cause:
        raise ImageError(f"{name} cannot be decoded: {cause}; fetch the file again.") from cause
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


def _to_radiograph(pixels: NDArray[np.generic], inverted: bool, name: str) -> Radiograph:
    """Any decoded array to 8-bit grey, saying what was changed."""
    notes = []
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"An image must have 8 or 16 bits a pixel, {name} has {pixels.dtype}; convert it first.")
    if pixels.dtype == np.uint16:
        alpha = (pixels[..., 3:].astype(np.uint32) // 257).astype(np.uint8) if pixels.ndim == 3 else None
        pixels = full_range(pixels if alpha is None else pixels[..., :3])
        pixels = 255 - pixels if inverted else pixels
        pixels = pixels if alpha is None else np.concatenate([pixels, alpha], axis=2)
        notes.append("16-bit image without a window: its darkest to brightest value was mapped to black to white")
    if pixels.ndim == 3:
        pixels, coloured = _grey(pixels.astype(np.uint8, copy=False))
        if coloured:
            notes.append("colour image converted to grey")
    return Radiograph(np.ascontiguousarray(pixels, dtype=np.uint8), tuple(notes))


def full_range(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Map the darkest value to 0 and the brightest to 255, linearly.

    Args:
        pixels: any shape, integer or float.

    Returns:
        uint8, same shape; all 0 when the input is constant.
    """
    values = pixels.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    scale = 255.0 / (high - low) if high > low else 0.0
    return np.rint((values - low) * scale).astype(np.uint8)


def _grey(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], bool]:
    """Luminance (ITU-R BT.601) of a BGR or BGRA image laid on black, and whether it had visible colour."""
    blue, green, red, *alpha = cv2.split(pixels)
    if alpha and alpha[0].min() < 255:
        blue, green, red = (cv2.multiply(plane, alpha[0], scale=1 / 255) for plane in (blue, green, red))
        pixels = np.asarray(cv2.merge([blue, green, red]))
    spread = cv2.subtract(cv2.max(cv2.max(blue, green), red), cv2.min(cv2.min(blue, green), red))
    coloured = cv2.countNonZero(cv2.threshold(spread, _COLOUR_TOLERANCE, 255, cv2.THRESH_BINARY)[1]) > 0.01 * spread.size
    if not coloured and not spread.any():
        return np.asarray(blue, dtype=np.uint8), False  # grey three times over
    code = cv2.COLOR_BGR2GRAY if pixels.shape[2] == 3 else cv2.COLOR_BGRA2GRAY
    return np.asarray(cv2.cvtColor(pixels, code), dtype=np.uint8), coloured
