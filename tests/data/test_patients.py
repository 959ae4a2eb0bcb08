"""Patients from the names of files."""

from __future__ import annotations

import re

import pytest

from lungwise.data.sources.patients import custom_pattern, guess, patient_by
from lungwise.errors import DataError


@pytest.mark.parametrize(
    ("stem", "patient", "source"),
    [
        ("person19_bacteria_62", "person19", "kermany"),
        ("person1_virus_6", "person1", "kermany"),
        ("IM-0129-0001", "IM-0129", "kermany"),
        ("NORMAL2-IM-0373-0001-0002", "IM-0373", "kermany"),
        ("NORMAL2-IM-0373-0001", "IM-0373", "kermany"),
        ("BACTERIA-1008087-0001", "1008087", "kermany"),
        ("NORMAL-1003233-0002", "1003233", "kermany"),
        ("00001280_004", "00001280", "nih"),
        ("MIDRC-RICORD-1C-419639-003251-46647-0", "419639-003251", "ricord"),
    ],
)
def test_names_of_public_collections_are_known(stem: str, patient: str, source: str) -> None:
    assert guess(stem) == (patient, source)


@pytest.mark.parametrize(
    "stem",
    ["case7", "case7-a", "case7_b", "case7-day3", "case7-day-12", "case7-PA", "case7-lateral", "case7_AP", "case7-day3-PA",
     "case7-24-hours", "case7-admission", "case7a", "case7-a1", "case7-b2"],
)  # fmt: skip
def test_films_of_one_case_stay_together(stem: str) -> None:
    assert guess(stem) == ("case7", "")


@pytest.mark.parametrize("stem", ["x", "a", "-a", "1280_004", "scan 12", "Röntgen"])
def test_a_name_that_says_nothing_is_its_own_patient(stem: str) -> None:
    patient, source = guess(stem)
    assert (bool(patient), source) == (True, "")


def test_different_cases_stay_apart() -> None:
    assert len({guess(f"case{number}-a")[0] for number in range(20)}) == 20


def test_the_first_group_of_a_pattern_is_the_patient() -> None:
    assert patient_by(custom_pattern(r"^(p\d+)(_x)?"), "p12_x") == "p12"


def test_a_pattern_must_compile() -> None:
    with pytest.raises(DataError, match=r"^--patient-pattern must be a regular expression, got '\(p' \(.*\); correct it\.$"):
        custom_pattern("(p")


def test_a_pattern_must_have_a_group() -> None:
    with pytest.raises(DataError) as caught:
        custom_pattern("p.")
    assert str(caught.value) == "--patient-pattern must have one group in brackets for the patient, got 'p.'; add (...)."


@pytest.mark.parametrize("stem", ["x12", "q_"])
def test_a_name_without_a_match_is_named(stem: str) -> None:
    with pytest.raises(DataError) as caught:
        patient_by(re.compile(r"q_(\d*)"), stem)
    assert str(caught.value) == f"--patient-pattern 'q_(\\d*)' must match every file, it finds nothing in '{stem}'."
