"""The grey-scale formulas of DICOM PS3.3 C.11, worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.imaging.dicom import decode_dicom, grey_table
from lungwise.imaging.dicom_header import Header
from lungwise.imaging.windowing import (
    Lut,
    Rescale,
    Window,
    apply_lut,
    stretch,
    to_display,
    to_modality,
    window_linear,
    window_linear_exact,
    window_sigmoid,
)
from tests.imaging.test_dicom import make

Function = Callable[[NDArray[np.float64], float, float], NDArray[np.float64]]

WINDOWS: list[tuple[Function, float, float, dict[float, float]]] = [
    # The examples of the note in C.11.2.1.2.1: c=2048, w=4096 becomes (x - 2047.5) / 4095 + 0.5 = x / 4095.
    (window_linear, 2048, 4096, {-1: 0, 0: 0, 819: 0.2, 4095: 1, 4096: 1}),
    # c=2048, w=1 becomes: 0 for x <= 2047.5, else 1.
    (window_linear, 2048, 1, {2047: 0, 2047.5: 0, 2048: 1}),
    # c=0, w=100: 0 for x <= -50, 1 for x > 49, else (x + 0.5) / 99 + 0.5.
    (window_linear, 0, 100, {-50: 0, -49: 1 / 99, -0.5: 0.5, 0: 50 / 99, 49: 1, 50: 1}),
    # c=0, w=1: 0 for x <= -0.5, else 1.
    (window_linear, 0, 1, {-1: 0, -0.5: 0, 0: 1}),
    # The same examples in C.11.2.1.3.2: x / 4096, a threshold between 2047.5 and 2048.5, (x + 50) / 100.
    (window_linear_exact, 2048, 4096, {-1: 0, 0: 0, 1024: 0.25, 4096: 1, 5000: 1}),
    (window_linear_exact, 2048, 1, {2047: 0, 2047.75: 0.25, 2048: 0.5, 2048.5: 1}),
    (window_linear_exact, 0, 100, {-50: 0, -25: 0.25, 0: 0.5, 50: 1}),
    (window_linear_exact, 0.5, 0.5, {0.25: 0, 0.5: 0.5, 0.75: 1}),
    # 1 / (1 + exp(-4 (x - c) / w)): exp(-4) = 0.0183156 one width above, and ln 3 / 4 widths above it is 3/4.
    (window_sigmoid, 100, 40, {60: 0.0179862, 100: 0.5, 140: 0.9820138, 100 + 10 * np.log(3): 0.75, 1e9: 1, -1e9: 0}),
]


@pytest.mark.parametrize(("function", "center", "width", "points"), WINDOWS)
def test_windows(function: Function, center: float, width: float, points: dict[float, float]) -> None:
    shown = function(np.array(list(points), np.float64), center, width)
    np.testing.assert_allclose(shown, list(points.values()), atol=5e-8)


def test_a_lookup_table_holds_its_ends() -> None:
    lut = Lut(np.array([10, 20, 40, 80], np.uint16), first=-1, bits=8)
    inputs = np.array([-1000, -1, 0, 0.4, 0.6, 1, 2, 3, 1000], np.float64)
    assert apply_lut(inputs, lut).tolist() == [10, 10, 20, 20, 40, 40, 80, 80, 80]


def test_a_lookup_table_is_white_at_its_full_depth() -> None:
    lut = Lut(np.array([0, 1023, 4095], np.uint16), first=0, bits=12)
    assert to_display(np.array([0.0, 1, 2]), lut).tolist() == [0, 1023 / 4095, 1]


def test_rescale_may_fall() -> None:
    assert to_modality(np.array([0.0, 1, 10]), Rescale(-2, 1024)).tolist() == [1024, 1022, 1004]


def test_modality_lookup_gives_its_own_units() -> None:
    assert to_modality(np.array([0.0, 1]), Lut(np.array([7, 65535], np.uint16), 0, 16)).tolist() == [7, 65535]


def test_stretch() -> None:
    assert stretch(np.array([0.0, 10, 15, 20, 30]), 10, 20).tolist() == [0, 0, 0.5, 1, 1]
    assert stretch(np.array([5.0, 5]), 5, 5).tolist() == [0, 0]


def header(**changes: object) -> Header:
    """12 bits stored, unsigned, window 0..4095, and changes."""
    plain: dict[str, object] = {
        "rows": 32,
        "columns": 32,
        "allocated": 16,
        "stored": 12,
        "signed": False,
        "padding": None,
        "modality": Rescale(),
        "voi": Window(2048, 4096),
        "inverted": False,
        "view": "",
    }
    return Header(**(plain | changes))  # type: ignore[arg-type]


# Bit pattern -> grey; 255 x / 4095 rounded: 819 -> 51, 2048 -> 127.53 -> 128, 4000 -> 249.08 -> 249.
TABLES: list[tuple[dict[str, object], dict[int, int]]] = [
    ({}, {0: 0, 819: 51, 2048: 128, 4000: 249, 4095: 255}),
    ({"inverted": True}, {0: 255, 819: 204, 2048: 127, 4000: 6, 4095: 0}),
    ({"padding": (4000, 4095)}, {0: 0, 819: 51, 3999: 249, 4000: 0, 4095: 0}),
    # Padding stays black when the picture is inverted.
    ({"padding": (0, 0), "inverted": True}, {0: 0, 1: 255, 819: 204, 4095: 0}),
    # Signed: pattern 2048 is -2048, pattern 4095 is -1; the window runs from -2048 to 2047, (x + 2048) / 4095.
    ({"signed": True, "voi": Window(0, 4096)}, {2048: 0, 2867: 51, 4095: 127, 0: 128, 2047: 255}),
    # 4095 - x: black and white change places without an inversion.
    ({"modality": Rescale(-1, 4095)}, {0: 255, 819: 204, 4095: 0}),
    # ... and an inversion on top puts them back.
    ({"modality": Rescale(-1, 4095), "inverted": True}, {0: 0, 819: 51, 4095: 255}),
    # No window: from the lowest to the highest value present, here 100 and 1120, so 255 (x - 100) / 1020.
    ({"voi": None}, {99: 0, 100: 0, 104: 1, 610: 128, 1120: 255, 4095: 255}),
    ({"voi": None, "inverted": True}, {100: 255, 104: 254, 1120: 0, 4095: 0}),
    # A falling rescale turns the range round.
    ({"voi": None, "modality": Rescale(-3, 7)}, {100: 255, 104: 254, 1120: 0}),
    # With 1120 as padding the range ends at 610: 255 (x - 100) / 510.
    ({"voi": None, "padding": (1120, 1120)}, {100: 0, 102: 1, 610: 255, 1120: 0}),
]


@pytest.mark.parametrize(("changes", "greys"), TABLES, ids=lambda value: str(value) if "voi" in str(value) else "")
def test_tables(changes: dict[str, object], greys: dict[int, int]) -> None:
    present = np.zeros(4096, np.bool_)
    present[[100, 610, 1120]] = True
    table = grey_table(header(**changes), present, "x.dcm")
    assert {pattern: int(table[pattern]) for pattern in greys} == greys


# One file with everything: 12 bits signed with other bits above, MONOCHROME1, padding, falling rescale, window.
# stored s -> units -s/2 + 1000 -> LINEAR c=1000.5 w=501: (u - 1000) / 500 + 0.5 -> inverted: 0.5 - (u - 1000) / 500
# = 0.5 + s / 1000, clipped to [0, 1]; 255 times that.
def test_a_whole_file() -> None:
    values = {-2000: 0, -500: 0, -300: 51, 20: 133, 300: 204, 500: 255, 2047: 255, -2048: 0}
    stored = np.resize(np.array(list(values), np.int16), (40, 64))
    garbage = np.uint16(0x5000)
    data = make(
        (stored.view(np.uint16) & 0x0FFF) | garbage,
        stored=12,
        signed=True,
        PhotometricInterpretation="MONOCHROME1",
        PixelPaddingValue=-2048,
        RescaleSlope="-0.5",
        RescaleIntercept="1000",
        WindowCenter="1000.5",
        WindowWidth="501",
    )
    greys = decode_dicom(data, "x.dcm").pixels
    assert dict(zip(values, greys[0, :8].tolist(), strict=True)) == values
