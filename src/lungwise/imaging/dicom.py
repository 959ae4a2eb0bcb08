"""From the bytes of a DICOM file to a Radiograph: the one documented way from DICOM to 8 bits.

Frame -> bits stored and sign -> padding set aside -> modality LUT or rescale -> VOI LUT or window -> inversion (at most
once) -> 8 bits. This is the order of PS3.4 N.2. A stored value has at most 16 bits, so everything behind the frame is worked
out once for each possible value, and the picture is a look-up in that table.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lungwise.errors import ImageError
from lungwise.imaging.dicom_file import collecting, open_dicom, pixel_data, readable
from lungwise.imaging.dicom_header import Header, read_header
from lungwise.imaging.dicom_pixels import stored_values
from lungwise.imaging.dicom_syntax import check_decoder
from lungwise.imaging.radiograph import Radiograph
from lungwise.imaging.windowing import stretch, to_display, to_modality

_BLOCK = 2**20
"""Pixels looked up at a time; numpy widens indices to 8 bytes, which would be eight images at once."""


def decode_dicom(data: bytes, name: str = "image", *, allow_secondary: bool = False) -> Radiograph:
    """Decode a Computed Radiography or Digital X-Ray image.

    Args:
        data: the whole file, with "DICM" at byte 128 (PS3.10 7.1).
        name: how to call the image in an error.
        allow_secondary: accept Secondary Capture as well, whose grey values come with no guarantee.

    Returns:
        uint8 [rows, columns], 0 black to 255 white, padding black.

    Raises:
        ImageError: the file is damaged, too large, of another kind, or needs a decoder that is not installed.
    """
    notes: list[str] = []
    irregular: list[str] = []
    with readable(name, "header"), collecting(irregular):
        file = open_dicom(data, name)
        header = read_header(file, name, notes, allow_secondary)
        check_decoder(file.syntax, name)
        frame = pixel_data(file, name)
    stored = stored_values(frame, file.syntax, header, name, irregular)
    table = grey_table(header, present_values(stored, header.stored), name)
    if header.voi is None and header.stored != 8:
        notes.append("no window in the file: its darkest to brightest value was mapped to black to white")
    return Radiograph(look_up(table, stored), tuple(notes + irregular), header.view)


def grey_table(header: Header, present: NDArray[np.bool_], name: str) -> NDArray[np.uint8]:
    """The grey of every possible stored value.

    Args:
        header: how stored values become grey.
        present: bool [2 ** stored], which bit patterns occur in the picture.
        name: how to call the image in an error.

    Returns:
        uint8 [2 ** stored], indexed by bit pattern.
    """
    patterns = np.arange(2**header.stored)
    half = 2 ** (header.stored - 1)
    values = np.where(header.signed & (patterns >= half), patterns - 2 * half, patterns)
    low, high = header.padding or (1, 0)
    padding = (values >= low) & (values <= high)
    shown = present & ~padding
    if not shown.any():
        raise ImageError(f"{name} holds nothing but (0028,0120) 'Pixel Padding Value'; fetch the original.")
    units = to_modality(values.astype(np.float64), header.modality)
    if header.voi is None:
        # Eight bits are shown as they are, as those of a PNG are; deeper values have no range of their own to be shown in.
        ranged = units if header.stored == 8 else units[shown]
        display = stretch(units, float(ranged.min()), float(ranged.max()))
    else:
        with np.errstate(over="ignore"):  # a tiny width gives infinity, which the window clips to white
            display = to_display(units, header.voi)
    display = 1.0 - display if header.inverted else display
    return np.where(padding, 0, np.rint(display * 255.0)).astype(np.uint8)


def present_values(stored: NDArray[np.uint16], bits: int) -> NDArray[np.bool_]:
    """Which of the 2 ** bits patterns occur: bool [2 ** bits]."""
    present = np.zeros(2**bits, dtype=np.bool_)
    flat = stored.reshape(-1)
    for at in range(0, flat.size, _BLOCK):
        present[flat[at : at + _BLOCK]] = True
    return present


def look_up(table: NDArray[np.uint8], stored: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """``table[stored]``, uint8 of the shape of ``stored``, in blocks."""
    grey = np.empty(stored.shape, dtype=np.uint8)
    flat_in, flat_out = stored.reshape(-1), grey.reshape(-1)
    for at in range(0, flat_in.size, _BLOCK):
        flat_out[at : at + _BLOCK] = table[flat_in[at : at + _BLOCK]]
    return grey
