"""A patient's name stands in every text of a DICOM file, and in none of what Lungwise says of it."""

from __future__ import annotations

import io
import json
import traceback
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import uid
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from typer.testing import CliRunner

from lungwise.cli.main import app
from lungwise.errors import ImageError
from lungwise.imaging.dicom import decode_dicom
from lungwise.imaging.dicom_file import KEYWORDS
from tests import bundle_factory
from tests.conftest import Encode
from tests.imaging.test_dicom import FULL_8, make

NAME = "DOE^SECRETIA"
WORDS = ("SECRETIA", "Secretia", "secretia", NAME)
TEXTS = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UI", "UR", "UT")
Grey = NDArray[np.uint8]


@cache
def planted(data: bytes, keywords: tuple[str, ...] = ()) -> bytes:
    """The file with the name in every text element that a reader does not need, and in ``keywords``."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    needed = {pydicom.datadict.tag_for_keyword(keyword) for keyword in KEYWORDS}
    value = NAME.encode()
    for tag, (vr, *_) in DicomDictionary.items():
        wanted = keyword_for_tag(tag) in keywords
        if wanted or (vr in TEXTS and 8 <= tag >> 16 < 0x7FE0 and tag not in needed and tag != 0x00080005):
            vr = vr.split(" or ")[0]
            dataset[tag] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)
    for tag in (0x00091001, 0x00111002, 0x00E11003):
        dataset.add_new(tag, "LO", NAME)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is logged is seen, as in a service that logs everything."""
    caplog.set_level(0)


def silent(text: str) -> None:
    assert not any(word in text for word in WORDS), text


def said(data: bytes) -> str:
    """All that reading says: warnings, or the error with its whole chain."""
    try:
        return "\n".join(decode_dicom(data, "x.dcm").warnings)
    except ImageError as error:
        silent(str(error))
        return str(error)


def test_the_name_stands_in_hundreds_of_elements(ramp: Grey) -> None:
    assert planted(make(ramp)).count(NAME.encode()) > 1500


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEG2000Lossless])
def test_a_whole_file_says_nothing(ramp: Grey, syntax: uid.UID, capfd: pytest.CaptureFixture[str]) -> None:
    silent(said(planted(make(ramp, syntax, PatientName=NAME, **FULL_8))))
    silent("".join(capfd.readouterr()))


@pytest.mark.parametrize("keyword", [keyword for keyword in KEYWORDS if not keyword.endswith("Sequence")])
def test_a_name_in_the_place_of_what_a_reader_needs_is_not_quoted(
    ramp: Grey, keyword: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    data = planted(make(ramp, **FULL_8), (keyword,))
    caplog.clear()
    silent(said(data))
    silent("".join(capfd.readouterr()) + caplog.text)


def test_a_name_in_the_meta_information_is_not_quoted(ramp: Grey) -> None:
    data = make(ramp)
    old = b"1.2.840.10008.1.2.1"
    at = data.index(old)
    for group in (NAME, f"1.2 {NAME}"):
        new = group.encode().ljust(20, b"\0")
        assert said(data[: at - 2] + b"\x14\0" + new + data[at + 20 :]).endswith("for example with gdcmconv --raw.")


def test_a_name_in_a_view_code_or_table_is_not_quoted(ramp: Grey) -> None:
    inner = pydicom.Dataset()
    inner.CodeValue = inner.CodeMeaning = NAME
    table = pydicom.Dataset()
    table.LUTExplanation = NAME
    for elements in ({"ViewCodeSequence": [inner]}, {"VOILUTSequence": [table]}, {"ModalityLUTSequence": [table]}):
        silent(said(planted(make(ramp, **elements))))


def test_a_damaged_file_says_nothing(ramp: Grey, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    data = planted(make(ramp, PatientName=NAME, **FULL_8))
    caplog.clear()
    silent(said(data))
    random = np.random.default_rng(5)
    starts = [
        at for at in range(132, len(data) - 8) if data[at + 4 : at + 6] in (b"CS", b"DS", b"IS", b"US", b"LO", b"PN", b"UI")
    ]
    for at in random.choice(starts, 250, replace=False):
        damaged = bytearray(data)
        damaged[at + int(random.integers(8))] = int(random.integers(256))
        silent(said(bytes(damaged)))
        silent(said(data[:at]))
    silent("".join(capfd.readouterr()) + caplog.text)


def test_not_even_the_cause_of_an_error_is_shown_by_the_command(
    ramp: Grey, encode: Encode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, folder = bundle_factory.make_bundle(tmp_path / "model"), tmp_path / "films"
    folder.mkdir()
    data = planted(make(ramp, PatientName=NAME, **FULL_8))
    files = {
        "whole": data,
        "cut": data[:-900],
        "short": data[:3000],
        "photometric": planted(make(ramp), ("PhotometricInterpretation",)),
    }
    files |= {"class": planted(make(ramp), ("SOPClassUID",)), "window": planted(make(ramp), ("WindowCenter", "WindowWidth"))}
    for name, content in files.items():
        (folder / f"{name}.dcm").write_bytes(content)
    for options in (
        ["--json"],
        ["--csv"],
        [],
        ["--json", "--heatmaps", str(tmp_path / "maps")],
        ["--out", str(tmp_path / "a.csv")],
    ):
        done = CliRunner().invoke(app, ["predict", str(folder), "--model", str(model), *options])
        assert done.exit_code == 1
        silent(done.output + "".join(traceback.format_exception(done.exception)))
        if "--json" in options:
            assert [json.loads(line)["status"] for line in done.stdout.splitlines()].count("error") == 5
    silent((tmp_path / "a.csv").read_text())
    silent(caplog.text)
    silent(" ".join(str(path) for path in tmp_path.rglob("*")))
