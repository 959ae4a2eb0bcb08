"""The transfer syntaxes that are read, and which decoder reads each.

Uncompressed, RLE, 8-bit JPEG and JPEG 2000 need nothing beyond pydicom, numpy and Pillow. The others need an optional
package, which the error names. Always the first decoder of a list that is installed is used, never a second try, so that
damaged data cannot slip through the most forgiving one. All are free: pylibjpeg-libjpeg (GPL) is never used.
"""

from __future__ import annotations

from pydicom import uid
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from lungwise.errors import ImageError

NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian)
JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000)
HTJ2K = (uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)

DECODERS: dict[UID, tuple[str, ...]] = {
    uid.RLELossless: ("pylibjpeg", "pydicom"),
    uid.JPEGBaseline8Bit: ("pillow", "gdcm"),
    uid.JPEGExtended12Bit: ("pillow", "gdcm"),
    uid.JPEGLossless: ("gdcm",),
    uid.JPEGLosslessSV1: ("gdcm",),
    **dict.fromkeys(JPEG_LS, ("pyjpegls", "gdcm")),
    **dict.fromkeys(JPEG_2000, ("pylibjpeg", "gdcm", "pillow")),
    **dict.fromkeys(HTJ2K, ("pylibjpeg",)),
}
"""Names of pydicom's decoding plug-ins, in the order of preference."""
_PACKAGES = {
    "gdcm": "python-gdcm",
    "pyjpegls": "pyjpegls",
    "pylibjpeg": "pylibjpeg pylibjpeg-openjpeg",
    "pillow": "pillow",
}
"""What to install for a plug-in; the one of RLE is never missing."""


def check_syntax(syntax: UID, name: str) -> None:
    """Refuse a transfer syntax (PS3.5 Annex A) that is not read."""
    if syntax not in NATIVE and syntax not in DECODERS:
        # What is no UID may be anything, a name among others.
        came = f"'{syntax.name}'" if syntax.is_valid else f"{len(syntax)} characters that are no UID"
        raise ImageError(
            f"{name}: (0002,0010) 'Transfer Syntax UID' must be an uncompressed little-endian, RLE or JPEG syntax, "
            f"got {came}; convert it, for example with gdcmconv --raw."
        )


def check_decoder(syntax: UID, name: str) -> None:
    """Refuse a compressed syntax whose decoder is not installed, naming the package."""
    if syntax not in NATIVE and not decoder_for(syntax):
        package = _PACKAGES[DECODERS[syntax][0]]
        raise ImageError(f"{name} is compressed as {syntax.name}, whose decoder is not installed: pip install {package}.")


def decoder_for(syntax: UID) -> str:
    """Pydicom's name of the first installed decoder of a compressed syntax, or empty."""
    installed = get_decoder(syntax).available_plugins
    return next((plugin for plugin in DECODERS[syntax] if plugin in installed), "")
