"""Pseudonyms, sex and age of DICOM files; no name, number or date of a person in what a listing says."""

from __future__ import annotations

import os
import re
from pathlib import Path

import polars as pl
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from lungwise.data.sources import Listing, SourceOptions, list_source
from lungwise.data.sources.demographics import age, sex
from lungwise.data.sources.pseudonyms import default_key, load_key, pseudonym
from lungwise.errors import DataError

STUDY = "1.2.826.0.1.3680043.8.498.1"


@pytest.fixture(autouse=True)
def config(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("config")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    return folder


def write_dicom(file: Path, syntax: UID = ExplicitVRLittleEndian, **elements: str) -> Path:
    """A DICOM file of a few elements and no pixels."""
    header = Dataset()
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    header.SOPInstanceUID = f"{STUDY}.1"
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    file.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(file, enforce_file_format=True)
    return file


def patients(listing: Listing) -> dict[str, str]:
    return dict(listing.rows.select("path", "patient").rows())


def test_the_patient_of_the_header_is_a_pseudonym(tmp_path: Path, config: Path) -> None:
    for name, number in (("a", "4711"), ("b", "4711"), ("c", "4712")):
        write_dicom(tmp_path / "A" / f"{name}.dcm", PatientID=number, StudyInstanceUID=f"{STUDY}.{name == 'b':d}")
    found = patients(list_source(tmp_path))
    assert found["A/a.dcm"] == found["A/b.dcm"] != found["A/c.dcm"]
    assert all(re.fullmatch(r"p-[0-9a-f]{16}", patient) for patient in found.values())
    key = (config / "lungwise" / "patient.key").read_bytes()
    assert found["A/a.dcm"] == pseudonym(key, b"4711")


def test_nothing_that_names_a_person_is_in_a_listing(tmp_path: Path) -> None:
    secrets = {
        "PatientName": "Planted^Name", "PatientID": "PLANTED-ID-7", "PatientBirthDate": "19510203",
        "AccessionNumber": "PLANTED-ACC", "InstitutionName": "Planted Hospital",
        "ReferringPhysicianName": "Planted^Doctor", "PatientAddress": "Planted Street",
        "StudyDate": "20210203", "OtherPatientIDs": "PLANTED-OTHER", "PatientComments": "planted comment",
    }  # fmt: skip
    write_dicom(tmp_path / "A" / "x.dcm", StudyInstanceUID=STUDY, PatientAge="070Y", PatientSex="F", **secrets)
    damaged = write_dicom(tmp_path / "A" / "y.dcm", StudyInstanceUID=STUDY, **secrets)
    damaged.write_bytes(damaged.read_bytes().replace(b"LO", b"??"))
    listing = list_source(tmp_path)
    said = repr(listing) + listing.rows.write_csv() + "".join(listing.notes)
    assert [value for value in [*secrets.values(), STUDY] if value.lower() in said.lower()] == []
    assert listing.rows.columns == ["path", "label", "patient", "source", "split", "sex", "age"]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("name", ["x.dcm", "x.DICOM", "x", "IM000001"])
def test_every_form_of_file_is_read(tmp_path: Path, syntax: UID, name: str) -> None:
    write_dicom(tmp_path / "A" / name, syntax, PatientID="4711", PatientSex="M", PatientAge="095Y")
    row = list_source(tmp_path).rows
    assert row.select("sex", "age").rows() == [("M", "90")]
    assert row["patient"].item() == pseudonym(load_key(), b"4711")


@pytest.mark.parametrize("number", ["", "  ", "Anonymous", "0"])
def test_where_no_patient_is_named_a_study_is_one(tmp_path: Path, number: str) -> None:
    for name, study in (("a", "1"), ("b", "1"), ("c", "2")):
        write_dicom(tmp_path / "A" / f"{name}.dcm", PatientID=number, StudyInstanceUID=f"{STUDY}.{study}")
    listing = list_source(tmp_path)
    found = patients(listing)
    assert found["A/a.dcm"] == found["A/b.dcm"] != found["A/c.dcm"]
    assert "3 DICOM files name no patient, so each study counts as one." in listing.notes


def test_files_that_name_nobody_are_one_patient(tmp_path: Path) -> None:
    write_dicom(tmp_path / "A" / "a.dcm")
    write_dicom(tmp_path / "B" / "b.dcm")
    listing = list_source(tmp_path)
    assert set(listing.rows["patient"]) == {"p-unknown"}
    assert listing.notes[-1].startswith("2 DICOM files name neither patient nor study and count as one patient")


def test_an_unreadable_header_is_said_and_grouped(tmp_path: Path) -> None:
    whole = write_dicom(tmp_path / "A" / "a.dcm", DeflatedExplicitVRLittleEndian, PatientID="4711")
    for name in "bc":
        (tmp_path / "A" / f"{name}.dcm").write_bytes(whole.read_bytes()[:-40] + b"\xff" * 40)
    listing = list_source(tmp_path)
    assert patients(listing)["A/b.dcm"] == patients(listing)["A/c.dcm"] == "p-unreadable"
    assert "2 DICOM files have no readable header and count as one patient, the first: b.dcm " in listing.notes[-1]


def test_other_files_keep_the_patient_of_their_name(tmp_path: Path, config: Path) -> None:
    for name in ("x.dcm", "case7-a", "case8-b.png"):
        (tmp_path / "A").mkdir(exist_ok=True)
        (tmp_path / "A" / name).write_bytes(b"no DICOM")
    listing = list_source(tmp_path)
    assert patients(listing) == {"A/x.dcm": "x", "A/case7-a": "case7", "A/case8-b.png": "case8"}
    assert listing.rows.width == 5
    assert not (config / "lungwise").exists()


def test_a_pattern_or_a_column_counts_more_than_the_header(tmp_path: Path, config: Path) -> None:
    write_dicom(tmp_path / "A" / "case7.dcm", PatientID="4711")
    (tmp_path / "t.csv").write_text("path,label,patient\nA/case7.dcm,x,me\n")
    assert list_source(tmp_path, SourceOptions(patient_pattern=r"(\d)")).rows["patient"].item() == "7"
    assert list_source(tmp_path / "t.csv").rows["patient"].item() == "me"
    assert not (config / "lungwise").exists()


def test_a_table_without_patients_asks_the_headers(tmp_path: Path) -> None:
    write_dicom(tmp_path / "A" / "case7.dcm", PatientID="4711")
    (tmp_path / "t.csv").write_text("path,label,sex\nA/case7.dcm,x,f\nA/gone.dcm,x,\nA/b.png,x,\n")
    rows = list_source(tmp_path / "t.csv").rows
    assert rows.filter(pl.col("path") == "A/case7.dcm")["patient"].item() == pseudonym(load_key(), b"4711")
    assert dict(rows.select("path", "sex").rows()) == {"A/case7.dcm": "F", "A/gone.dcm": "", "A/b.png": ""}


def test_many_files_are_read_in_order(tmp_path: Path) -> None:
    for number in range(150):
        write_dicom(tmp_path / "A" / f"{number:03d}.dcm", PatientID=f"id{number}")
    key = load_key()
    assert list(patients(list_source(tmp_path)).values()) == [pseudonym(key, f"id{number}".encode()) for number in range(150)]


def test_the_key_is_made_once_for_its_owner_alone(config: Path) -> None:
    key = load_key()
    assert (len(key), load_key()) == (32, key)
    assert default_key() == config / "lungwise" / "patient.key"
    assert default_key().stat().st_mode & 0o777 == 0o600
    assert [file.name for file in default_key().parent.iterdir()] == ["patient.key"]


def test_another_key_gives_other_pseudonyms(tmp_path: Path) -> None:
    write_dicom(tmp_path / "x" / "A" / "a.dcm", PatientID="4711")
    found = {
        list_source(tmp_path / "x", SourceOptions(patient_key=tmp_path / name)).rows["patient"].item()
        for name in ("one.key", "two.key")
    }
    assert len(found) == 2


def test_without_xdg_the_key_lies_in_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CONFIG_HOME", value)
        assert default_key() == tmp_path / ".config" / "lungwise" / "patient.key"


def refusal(file: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_key(file)
    return str(caught.value)


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "k"
    file.write_bytes(b"short")
    file.chmod(0o600)
    assert refusal(file) == (
        f"The key of patient pseudonyms must have at least 32 bytes, {file} has 5; fetch the whole key, or remove the file and "
        "a new one is made."
    )


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "k"
    file.write_bytes(bytes(32))
    file.chmod(mode)
    assert refusal(file) == (
        f"The key of patient pseudonyms must be readable by you alone, but {file} has mode {mode:o}; run chmod 600 on it."
    )


def test_a_key_that_is_no_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (
        f"The key of patient pseudonyms must be readable, but {tmp_path} is not (Is a directory); "
        "name another with --patient-key."
    )


@pytest.mark.parametrize(
    ("text", "years"),
    [("058Y", "58"), ("58", "58"), (" 7.5 ", "7"), ("011M", "0"), ("024M", "2"), ("400D", "1"), ("060W", "1"), ("414", ""),
     ("", ""), (None, ""), ("old", ""), ("0", "0"), ("000Y", "0")],
)  # fmt: skip
def test_ages_are_whole_years(text: str | None, years: str) -> None:
    assert age(text) == years


@pytest.mark.parametrize(("text", "letter"), [("M", "M"), ("female ", "F"), ("O", ""), ("", ""), (None, "")])
def test_sexes_are_one_letter(text: str | None, letter: str) -> None:
    assert sex(text) == letter
