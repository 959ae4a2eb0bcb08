"""The rules that a DICOM header must meet to be read as one grey radiograph, and what of it shapes the pixels."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import UID

from lungwise.imaging.dicom_elements import lookup_table, number, refusal, text, whole
from lungwise.imaging.dicom_file import DicomFile
from lungwise.imaging.read import check_size
from lungwise.imaging.windowing import WINDOWS, Lut, Rescale, Window

COMPUTED_RADIOGRAPHY = "1.2.840.10008.5.1.4.1.1.1"
FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"
FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

_VIEW_CODES = {
    # PS3.16 CID 4010, SNOMED CT and the older SNOMED RT
    "272479007": "PA",
    "R-10214": "PA",
    "R-40888": "PA",
    "399348003": "AP",
    "R-10206": "AP",
    "399173006": "LL",
    "R-10236": "LL",
    "399198007": "RL",
    "R-10232": "RL",
    "399067008": "LL",
    "R-102CD": "LL",
}
_VIEW_POSITIONS = {"PA": "PA", "AP": "AP", "LL": "LL", "RL": "RL", "LATERAL": "LL", "LAT": "LL"}
"""A lateral view that names no side counts as LL, the usual one; what matters is that it is not frontal."""


@dataclass(frozen=True, eq=False)
class Header:
    """What the pixels need.

    Args:
        rows: height in pixels.
        columns: width in pixels.
        allocated: bits of a stored sample, 8 or 16.
        stored: bits of it that count, 6 to ``allocated``.
        signed: whether those bits are a two's complement number.
        padding: lowest and highest stored value outside the picture, if any.
        modality: from stored values to modality units.
        voi: from modality units to display, if the file says.
        inverted: whether the display is inverted after that.
        view: "PA", "AP", "LL", "RL" or empty.
    """

    rows: int
    columns: int
    allocated: int
    stored: int
    signed: bool
    padding: tuple[int, int] | None
    modality: Lut | Rescale
    voi: Lut | Window | None
    inverted: bool
    view: str


def read_header(file: DicomFile, name: str, notes: list[str], allow_secondary: bool) -> Header:
    """Check the header and take from it what the pixels need.

    Args:
        file: the opened file.
        name: how to call it in an error.
        notes: receives what a reader of the result should know.
        allow_secondary: accept Secondary Capture.

    Raises:
        ImageError: a rule is broken; the sentence names the element, the rule and the value.
    """
    header = file.header
    _check_class(file.sop_class, name, notes, allow_secondary)
    _check_picture(header, name)
    allocated, stored = _bits(header, name)
    signed = whole(header, "PixelRepresentation", name, 0) == 1
    return Header(
        rows=whole(header, "Rows", name),
        columns=whole(header, "Columns", name),
        allocated=allocated,
        stored=stored,
        signed=signed,
        padding=_padding(header, stored, signed, name, notes),
        modality=_modality(header, signed, name),
        voi=_voi(header, signed, name, notes),
        inverted=_inverted(header, notes),
        view=_view(header, notes),
    )


def _check_class(sop_class: UID, name: str, notes: list[str], allow_secondary: bool) -> None:
    """Accept Computed Radiography and Digital X-Ray, by SOP class (PS3.4 B.5)."""
    if sop_class in (COMPUTED_RADIOGRAPHY, FOR_PRESENTATION):
        return
    if sop_class == FOR_PROCESSING:
        notes.append("digital X-ray 'For Processing': detector data that the vendor did not prepare for viewing")
        return
    rule = "Computed Radiography or Digital X-Ray Image Storage"
    if sop_class == SECONDARY_CAPTURE:
        if allow_secondary:
            notes.append("Secondary Capture: how its grey values were made is not known")
            return
        cure = "a screenshot or scan is read only when Secondary Capture is allowed, send the original image"
    else:
        cure = "choose a radiograph"
    came = sop_class.name if sop_class.is_valid else f"{len(sop_class)} characters that are no UID"
    raise refusal(name, "SOPClassUID", rule, came if sop_class else None, cure)


def _check_picture(header: Dataset, name: str) -> None:
    """One grey frame of an acceptable size (PS3.3 C.7.6.3), told from the header before anything is decoded."""
    photometric = text(header, "PhotometricInterpretation")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        cure = "colour and palette images are not radiographs, choose the original"
        raise refusal(name, "PhotometricInterpretation", "MONOCHROME1 or MONOCHROME2", photometric or None, cure)
    samples = whole(header, "SamplesPerPixel", name, 1)
    if samples != 1:
        raise refusal(name, "SamplesPerPixel", "1", samples, "colour images are not radiographs, choose the original")
    frames = whole(header, "NumberOfFrames", name, 1)
    if frames not in (0, 1):
        raise refusal(name, "NumberOfFrames", "1", frames, "save the frame that is meant as an image of its own")
    rows, columns = whole(header, "Rows", name), whole(header, "Columns", name)
    check_size(columns, rows, name)


def _bits(header: Dataset, name: str) -> tuple[int, int]:
    """Bits allocated and stored (PS3.5 8.1.1, PS3.3 C.8.11.3)."""
    allocated, stored = whole(header, "BitsAllocated", name), whole(header, "BitsStored", name)
    high = whole(header, "HighBit", name, stored - 1)
    if allocated not in (8, 16):
        raise refusal(name, "BitsAllocated", "8 or 16", allocated, "export it with 16 bits")
    if not 6 <= stored <= allocated:
        raise refusal(name, "BitsStored", f"6 to {allocated}", stored, "export it again")
    if high != stored - 1:
        raise refusal(name, "HighBit", f"{stored - 1}, one less than Bits Stored", high, "export it again")
    return allocated, stored


def _padding(header: Dataset, stored: int, signed: bool, name: str, notes: list[str]) -> tuple[int, int] | None:
    """Range of padding values (PS3.3 C.7.5.1.1.2), as signed or unsigned as the pixels whatever VR it was given."""
    if header.get("PixelPaddingValue") is None:
        return None
    value = whole(header, "PixelPaddingValue", name)
    limit = whole(header, "PixelPaddingRangeLimit", name, value)
    low, high = sorted(_as_stored(bound, stored, signed) for bound in (value, limit))
    least = -(2 ** (stored - 1)) if signed else 0
    if high < least or low >= least + 2**stored:
        notes.append(f"pixel padding value {value} does not fit the bits stored and was ignored")
        return None
    return low, high


def _as_stored(value: int, stored: int, signed: bool) -> int:
    """A 16-bit pattern as a pixel value: ``stored`` bits if it fits into them, else a sign-extended 16-bit number."""
    pattern = value & 0xFFFF
    if not signed:
        return pattern
    bits = stored if pattern < 2**stored else 16
    return pattern - 2**bits if pattern >= 2 ** (bits - 1) else pattern


def _modality(header: Dataset, signed: bool, name: str) -> Lut | Rescale:
    """Modality LUT or rescale (PS3.3 C.11.1), for Computed Radiography as well."""
    if header.get("ModalityLUTSequence"):
        return lookup_table(header, "ModalityLUTSequence", signed, name)
    slope, intercept = number(header, "RescaleSlope", name), number(header, "RescaleIntercept", name)
    if slope == 0:
        raise refusal(name, "RescaleSlope", "other than 0", slope, "export it again")
    return Rescale(1.0 if slope is None else slope, 0.0 if intercept is None else intercept)


def _voi(header: Dataset, signed: bool, name: str, notes: list[str]) -> Lut | Window | None:
    """The first VOI LUT, else the first window (PS3.3 C.11.2), else nothing."""
    if header.get("VOILUTSequence"):
        return lookup_table(header, "VOILUTSequence", signed, name)
    center, width = number(header, "WindowCenter", name), number(header, "WindowWidth", name)
    if center is None or width is None:
        return None
    function = text(header, "VOILUTFunction") or "LINEAR"
    if function not in WINDOWS:
        raise refusal(name, "VOILUTFunction", "LINEAR, LINEAR_EXACT or SIGMOID", function, "export it with a plain window")
    if width < 1 if function == "LINEAR" else width <= 0:
        notes.append(f"window width {width:g} is not allowed for {function}, so the window was ignored")
        return None
    return Window(center, width, function)


def _inverted(header: Dataset, notes: list[str]) -> bool:
    """Whether to invert, once: by Presentation LUT Shape (PS3.3 C.11.6), or MONOCHROME1 where there is no shape."""
    low_is_white = text(header, "PhotometricInterpretation") == "MONOCHROME1"
    shape = text(header, "PresentationLUTShape")
    if shape not in ("IDENTITY", "INVERSE"):
        if shape:
            notes.append("Presentation LUT Shape is one that is not for viewing and was ignored")
        return low_is_white
    if low_is_white != (shape == "INVERSE"):
        notes.append(f"Presentation LUT Shape {shape} contradicts the photometric interpretation and was preferred")
    return shape == "INVERSE"


def _view(header: Dataset, notes: list[str]) -> str:
    """Projection from (0018,5101) View Position, else from (0054,0220) View Code Sequence (PS3.16 CID 4010)."""
    view = _VIEW_POSITIONS.get(text(header, "ViewPosition"), "")
    codes = header.get("ViewCodeSequence")
    if not text(header, "ViewPosition") and codes:
        view = _VIEW_CODES.get(text(codes[0], "CodeValue"), "")
    if view in ("LL", "RL"):
        notes.append("lateral view: a frontal chest image is expected")
    return view
