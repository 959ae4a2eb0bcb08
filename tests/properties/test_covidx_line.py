"""Lines of COVIDx lists are read back as they were written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lungwise.data.sources.covidx_line import parse_line

WORD = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=["C", "Z"], exclude_characters="/"),
    min_size=1,
    max_size=12,
)
WORDS = st.lists(WORD, min_size=1, max_size=3).map(" ".join)
LABEL = st.sampled_from(["COVID-19", "normal", "pneumonia", "positive", "negative", "viral"])
SOURCE = st.sampled_from(["cohen", "sirm", "rsna", "stonybrook"])
ENDING = st.sampled_from([".png", ".jpg", ".jpeg", ".PNG", ".JPG"])


@given(WORDS, WORDS, ENDING, LABEL, SOURCE)
def test_blanks_in_patient_and_file_do_no_harm_when_the_file_exists(
    patient: str, stem: str, ending: str, label: str, source: str
) -> None:
    file = stem + ending
    assert parse_line(f"{patient} {file} {label} {source}", "x:1", {file}) == (patient, file, label, source)


@given(WORDS, ENDING, LABEL, SOURCE)
def test_a_file_named_after_its_patient_needs_no_disk(patient: str, ending: str, label: str, source: str) -> None:
    parsed = parse_line(f"{patient} {patient}{ending} {label} {source}", "x:1")
    assert parsed == (patient, patient + ending, label, source)


@given(WORDS, WORD, ENDING, LABEL)
def test_a_line_without_a_source_has_one_all_the_same(patient: str, stem: str, ending: str, label: str) -> None:
    read = parse_line(f"{patient} {stem}{ending} {label}", "x:1", {stem + ending})
    assert read[:3] == (patient, stem + ending, label)
    assert read[3]
