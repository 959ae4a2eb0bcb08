"""From a file's bytes to a Radiograph: look at the content, cap it, then decode.

The name of a file is never trusted: a JPEG called ``.png`` is a JPEG. Size is read from the header and capped before a
single pixel is decoded, so that a small file cannot ask for gigabytes.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lungwise.errors import ImageError
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
_COLOUR_TOLERANCE = 16


def read(path: Path | str) -> Radiograph:
    """Read one image file.

    Args:
        path: a PNG, JPEG, TIFF, BMP or DICOM file, whatever its name says.

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
        return decode(path.read_bytes(), path.name)
    except OSError as cause:
        raise ImageError(f"{path.name} cannot be opened: {cause.strerror}; check its permissions.") from cause


def decode(data: bytes, name: str = "image") -> Radiograph:
    """Decode the bytes of one image file; see :func:`read`.

    Args:
        data: the whole file.
        name: how to call the image in an error.
    """
    if not data:
        raise ImageError(f"{name} is empty (0 bytes); fetch the file again.")
    if data[128:132] == b"DICM":
        from lungwise.imaging.dicom import decode_dicom

        return decode_dicom(data, name)
    mode, orientation = _inspect(data, name)
    if mode in ("CMYK", "P", "PA", "LA", "1"):
        pixels = _decode_with_pillow(data, name)
    else:
        pixels = _decode_with_opencv(data, name, orientation)
    return _to_radiograph(pixels, name)


def _inspect(data: bytes, name: str) -> tuple[str, int]:
    """Pillow's mode and the EXIF orientation, after checking format, size and number of frames in the header."""
    try:
        with warnings.catch_warnings():
            # Pillow only warns of a bomb; the cap below is lower than its own.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as header:
                width, height = header.size
                frames = getattr(header, "n_frames", 1)
                mode, orientation = header.mode, header.getexif().get(0x0112, 1)
    except UnidentifiedImageError as cause:
        raise ImageError(f"{name} is not a PNG, JPEG, TIFF, BMP or DICOM image by its content; convert or remove it.") from cause
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombWarning, Image.DecompressionBombError) as cause:
        raise ImageError(f"{name} has a damaged or oversized header ({cause}); fetch the file again.") from cause
    if width * height > MAX_PIXELS:
        raise ImageError(f"An image must have at most {MAX_PIXELS} pixels, {name} declares {width} x {height}; shrink it first.")
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"An image must have at least {MIN_SIDE} pixels on each side, {name} has {width} x {height}.")
    if frames != 1:
        raise ImageError(f"An image must be one still picture, {name} has {frames} frames; save the one that is meant.")
    return mode, int(orientation)


def _decode_with_opencv(data: bytes, name: str, orientation: int) -> NDArray[np.generic]:
    """Grey, grey 16-bit, RGB or RGBA; OpenCV is the fastest decoder that keeps 16 bits."""
    if _truncated_jpeg(data):
        raise ImageError(f"{name} is cut off: its JPEG data end before the end marker; fetch the file again.")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as cause:
        raise ImageError(f"{name} cannot be decoded ({cause.err}); fetch the file again.") from cause
    if pixels is None:
        raise ImageError(f"{name} cannot be decoded: its data are damaged or cut off; fetch the file again.")
    return _upright(np.asarray(pixels), orientation)


def _decode_with_pillow(data: bytes, name: str) -> NDArray[np.generic]:
    """Palette, bilevel and CMYK pictures, as RGB in OpenCV's channel order."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            rgba = np.asarray(image.convert("RGBA"))
    except (OSError, SyntaxError, ValueError) as cause:
        raise ImageError(f"{name} cannot be decoded: {cause}; fetch the file again.") from cause
    return rgba[..., [2, 1, 0, 3]]


def _truncated_jpeg(data: bytes) -> bool:
    """Whether a JPEG lacks its end marker: decoders fill the missing part with grey instead of failing."""
    return data[:2] == b"\xff\xd8" and b"\xff\xd9" not in data[-4096:]


def _upright(pixels: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Undo the EXIF orientation (values 1 to 8), which OpenCV leaves alone when it reads unchanged."""
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _to_radiograph(pixels: NDArray[np.generic], name: str) -> Radiograph:
    """Any decoded array to 8-bit grey, saying what was changed."""
    notes = []
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"An image must have 8 or 16 bits a pixel, {name} has {pixels.dtype}; convert it first.")
    if pixels.dtype == np.uint16:
        pixels = full_range(pixels)
        notes.append("16-bit image without a window: its darkest to brightest value was mapped to black to white")
    if pixels.ndim == 3:
        grey, coloured = _grey(pixels.astype(np.uint8))
        if coloured:
            notes.append("colour image converted to grey")
        pixels = grey
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
    if pixels.shape[2] == 2:
        return pixels[..., 0], False
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:].astype(np.uint16)
        pixels = ((pixels[..., :3] * alpha + 127) // 255).astype(np.uint8)
    spread = pixels.max(axis=2).astype(np.int16) - pixels.min(axis=2)
    coloured = bool((spread > _COLOUR_TOLERANCE).mean() > 0.01)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), dtype=np.uint8), coloured
